package routes

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// twin is the routing tables a second time, written straight from the tables and algorithms of docs/spec/nameserver.md#routing,
// its deviations, and docs/spec/tombstones.md#ownership: plain maps, whole scans, no index, no cache, no short cut. It is what state is compared with.
type twin struct {
	opts Options
	ttl  time.Duration
	t    map[string]map[string]Queue
	a    map[string]*twinBroker
	c    map[string]map[string]bool
	l    map[tombstone.Key]*twinLive
	f    map[tombstone.Key][]string
	m    map[string][]twinMapping
	evic map[twinClaimKey]*twinEvicted
}

type twinClaimKey struct {
	key    tombstone.Key
	source mq.Source
}

type twinBroker struct {
	cluster string
	addrs   map[int64]string
	by      map[int64]tombstone.Key // which registration an address was last made by
	zone    Opt
	acting  bool
}

type twinLive struct {
	name    string
	id      int64
	gone    bool // for the original; what it keeps alive under another name still depends on it
	seen    clock.Stamp
	timeout time.Duration
	data    DataVersion
	ha      Opt
	order   int
	claims  map[mq.Source]*twinClaim
	heir    bool // it was inherited, and nobody has registered since
}

// twinClaim is what one source says of a registration.
type twinClaim struct {
	owner    *Conn
	name     string
	id       int64
	reg      clock.Stamp
	last     int // order of its last REGISTER
	made     int // order of its first
	since    clock.Stamp
	version  int32
	language uint8
}

// twinMapping is a mapping of that name, and the broker that gave it.
type twinMapping struct {
	name, from string
	info       any
}

// shows is the claim of the source that registered last, and the next newest; nil: none.
func (e *twinLive) shows() (first, second *twinClaim) {
	for _, c := range e.claims {
		switch {
		case first == nil || c.last > first.last:
			first, second = c, first
		case second == nil || c.last > second.last:
			second = c
		}
	}
	return first, second
}

func (e *twinLive) of(conn uint64) *twinClaim {
	for _, c := range e.claims {
		if c.owner.ID == conn {
			return c
		}
	}
	return nil
}

// without takes a claim away, and says that the registration goes on: docs/spec/tombstones.md#how-claims-end.
func (e *twinLive) without(c *twinClaim, now clock.Stamp) bool {
	first, second := e.shows()
	if first == c {
		if second == nil || now.Sub(second.reg) > 60*time.Second {
			return false
		}
		e.heir = true
	}
	delete(e.claims, c.owner.Source)
	return true
}

func twinMachine(c *Conn) bool { return c.Source.Addr.IsValid() && !c.Source.Apart && !c.Shared }

type twinEvicted struct {
	id    tombstone.Identity
	owner *Conn
	late  bool
	at    clock.Stamp
}

func newTwin(opts Options, ttl time.Duration) *twin {
	return &twin{
		opts: opts, ttl: ttl, t: map[string]map[string]Queue{}, a: map[string]*twinBroker{},
		c: map[string]map[string]bool{}, l: map[tombstone.Key]*twinLive{}, f: map[tombstone.Key][]string{},
		m: map[string][]twinMapping{}, evic: map[twinClaimKey]*twinEvicted{},
	}
}

func (w *twin) live(key tombstone.Key) *twinLive {
	if e := w.l[key]; e != nil && !e.gone {
		return e
	}
	return nil
}

func (b *twinBroker) min() int64 { return slices.Min(slices.Collect(maps.Keys(b.addrs))) }

// keeps lists the broker names that a registration keeps alive, in order of names.
func (w *twin) keeps(key tombstone.Key) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(w.a)) {
		for _, by := range w.a[name].by {
			if by == key {
				names = append(names, name)
			}
		}
	}
	return names
}

func (w *twin) dropL(key tombstone.Key) {
	if len(w.keeps(key)) > 0 {
		w.l[key].gone = true
	} else {
		delete(w.l, key)
	}
	delete(w.f, key)
}

// sweep drops registrations that are gone and keep nothing alive any more.
func (w *twin) sweep() {
	for key, e := range w.l {
		if e.gone && len(w.keeps(key)) == 0 {
			delete(w.l, key)
			delete(w.f, key)
		}
	}
}

func (w *twin) register(r *Registration, now clock.Stamp, order int) (res RegisterResult, notes []Notification) {
	defer w.sweep()
	key := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
	one := r.HasTopics && len(r.Topics) == 1
	if b := w.a[r.Name]; one {
		if b == nil {
			return RegisterResult{Refused: true}, nil // it would leave a name without address
		}
		for id, addr := range b.addrs {
			if len(b.addrs) == 1 && addr == r.Addr && id != r.ID {
				return RegisterResult{Refused: true}, nil // it would leave a name without address
			}
		}
	}
	// Join the cluster.
	if w.c[r.Cluster] == nil {
		w.c[r.Cluster] = map[string]bool{}
	}
	w.c[r.Cluster][r.Name] = true
	// Find or make the broker name.
	first := false
	b := w.a[r.Name]
	if b == nil {
		b = &twinBroker{cluster: r.Cluster, addrs: map[int64]string{}, by: map[int64]tombstone.Key{}}
		w.a[r.Name] = b
		first = true
	}
	// Overwrite its description.
	b.acting = r.Acting == True
	b.zone = r.Zone
	// Would it lead?
	prevMin := int64(0)
	if len(b.addrs) > 0 {
		prevMin = b.min()
	}
	minChanged := r.ID < prevMin
	// Leave the old id.
	for id, addr := range maps.Clone(b.addrs) {
		if addr == r.Addr && id != r.ID {
			delete(b.addrs, id)
			delete(b.by, id)
		}
	}
	// Whoever stands under the id stays if its state version is greater.
	old, had := b.addrs[r.ID]
	if had && old != r.Addr {
		if e := w.live(tombstone.Key{Cluster: r.Cluster, Addr: old}); e != nil && e.data.StateVersion > r.DataVersion.StateVersion {
			if w.live(key) != nil {
				w.dropL(key)
			}
			return RegisterResult{Dropped: true}, nil
		}
	}
	// Refuse a lone first topic.
	if !had && one {
		return RegisterResult{Refused: true}, nil
	}
	// Stand under the id.
	b.addrs[r.ID] = r.Addr
	b.by[r.ID] = key
	first = first || !had || old == ""
	// Does it speak for the topics?
	master := r.ID == 0
	primeSlave := r.Acting != Absent && !master && r.ID == b.min()
	// Apply topics.
	if r.HasTopics && (master || primeSlave) {
		w.registerTopicsOf(r, b, first, primeSlave)
	}
	w.keepAlive(r, now, order)
	// Tell a slave its master.
	if m, ok := b.addrs[0]; ok && !master {
		if e := w.live(tombstone.Key{Cluster: r.Cluster, Addr: m}); e != nil {
			res = RegisterResult{HasMaster: true, MasterAddr: m, HAAddr: e.ha}
		}
	}
	// Notify a new minimum.
	if minChanged && w.opts.NotifyMinBrokerID {
		notes = append(notes, w.note(r.Name, Opt{}, r.HAAddr))
	}
	return res, notes
}

// keepAlive renews the live entry and the claim of the connection's source, and stores the filter servers; of several
// connections of a source that is a machine the one accepted last owns the claim.
func (w *twin) keepAlive(r *Registration, now clock.Stamp, order int) {
	key := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
	src := r.Conn.Source
	delete(w.evic, twinClaimKey{key, src})
	e := &twinLive{name: r.Name, id: r.ID, seen: now, timeout: 120 * time.Second, data: r.DataVersion,
		ha: r.HAAddr, order: order, claims: map[mq.Source]*twinClaim{}}
	if r.Timeout.Valid {
		e.timeout = time.Duration(r.Timeout.N) * time.Millisecond
	}
	if prev := w.live(key); prev != nil {
		e.claims = prev.claims
	}
	c := &twinClaim{owner: r.Conn, name: r.Name, id: r.ID, reg: now, last: order, made: order, since: now, version: r.Version, language: r.Language}
	switch old := e.claims[src]; {
	case old == nil && len(e.claims) == 8:
		var last *twinClaim
		for _, o := range e.claims {
			if last == nil || o.made > last.made {
				last = o
			}
		}
		delete(e.claims, last.owner.Source)
	case old != nil:
		c.made, c.since = old.made, old.since
		if twinMachine(r.Conn) && old.owner.ID > r.Conn.ID {
			c.owner, c.version, c.language = old.owner, old.version, old.language
		}
	}
	e.claims[src] = c
	w.l[key] = e
	if r.Filters.Valid {
		delete(w.f, key)
		if len(r.Filters.Servers) > 0 {
			w.f[key] = r.Filters.Servers
		}
	}
}

func (w *twin) registerTopicsOf(r *Registration, b *twinBroker, first, primeSlave bool) {
	e := w.live(tombstone.Key{Cluster: r.Cluster, Addr: r.Addr})
	differs := e == nil || e.data != r.DataVersion
	if w.opts.DeleteUnlistedTopics && len(r.Mappings) == 0 {
		for topic, row := range w.t {
			listed := false
			for _, t := range r.Topics {
				key := t.Key
				if key == nil {
					key = t.Name
				}
				listed = listed || string(key) == topic
			}
			if !listed {
				w.erase(topic, row, r.Name)
			}
		}
	}
	for _, t := range r.Topics {
		if t.Name == nil {
			continue
		}
		_, known := w.t[string(t.Name)][r.Name]
		if !first && !differs && known {
			continue
		}
		q := t.Queue
		if primeSlave && b.acting {
			q.Perm &^= 2
		}
		if w.t[string(t.Name)] == nil {
			w.t[string(t.Name)] = map[string]Queue{}
		}
		w.t[string(t.Name)][r.Name] = q
	}
	if first || differs {
		for _, m := range r.Mappings {
			w.forgetMappings(m.Topic, func(old twinMapping) bool { return old.from == r.Name && old.name == m.Broker })
			w.m[m.Topic] = append(w.m[m.Topic], twinMapping{m.Broker, r.Name, m.Info})
		}
	}
}

func (w *twin) erase(topic string, row map[string]Queue, name string) {
	delete(row, name)
	if len(row) == 0 {
		delete(w.t, topic)
	}
}

func (w *twin) note(name string, offline, ha Opt) Notification {
	b := w.a[name]
	n := Notification{Broker: name, MinID: b.min(), MinAddr: b.addrs[b.min()], Offline: offline, HA: ha}
	for _, id := range slices.Sorted(maps.Keys(b.addrs)) {
		if offline.Valid || len(b.addrs) == 1 || id != b.min() {
			n.Receivers = append(n.Receivers, b.addrs[id])
		}
	}
	return n
}

func (w *twin) unregister(u *Unregistration, now clock.Stamp) (left Left, notes []Notification) {
	key := tombstone.Key{Cluster: u.Cluster, Addr: u.Addr}
	older := func(e *twinLive) bool {
		c := e.claims[u.Conn.Source]
		return twinMachine(u.Conn) && c != nil && c.owner.ID > u.Conn.ID
	}
	e := w.live(key)
	if e != nil && older(e) {
		return Left{Leaving: LeavingOlderConn}, nil
	}
	if b := w.a[u.Name]; b != nil {
		for id, addr := range b.addrs {
			if addr == u.Addr && older(w.l[b.by[id]]) {
				return Left{Leaving: LeavingOlderConn}, nil
			}
		}
	}
	left = w.leaving(key, e, u, now)
	return left, w.remove(key, u.Name, u.ID)
}

func (w *twin) leaving(key tombstone.Key, e *twinLive, u *Unregistration, now clock.Stamp) Left {
	d := tombstone.Departure{Key: key, Unregistered: u.At, Conn: u.Conn.ID}
	ck := twinClaimKey{key, u.Conn.Source}
	var own *twinClaim
	if e != nil {
		own = e.of(u.Conn.ID)
	}
	switch rem := w.evic[ck]; {
	case own != nil:
		d.Since, d.LateProof = own.since, own.version >= mq.V5_0_0 && own.language == 0
		d.Identity = tombstone.Identity{Name: own.name, BrokerID: own.id, RemoteIP: u.Conn.Source.Addr}
	case rem != nil && rem.owner.ID == u.Conn.ID && now.Sub(rem.at) <= w.ttl:
		d.LateProof, d.Identity = rem.late, rem.id
	case e != nil:
		return Left{Leaving: LeavingOtherConn}
	default:
		return Left{Leaving: LeavingUnknown}
	}
	switch {
	case d.Name != u.Name:
		return Left{Leaving: LeavingOtherName}
	case d.BrokerID != u.ID:
		return Left{Leaving: LeavingOtherID}
	case !u.Conn.CanProve || !twinMachine(u.Conn):
		return Left{Leaving: LeavingNoProof}
	}
	delete(w.evic, ck)
	return Left{Leaving: LeavingProven, Departure: d}
}

// remove is an unregistration by itself, not in a batch (docs/spec/nameserver.md#unregistration).
func (w *twin) remove(key tombstone.Key, name string, id int64) (notes []Notification) {
	defer w.sweep()
	hadL := w.live(key) != nil
	if b := w.a[name]; b != nil {
		minChanged := id == b.min()
		for i, addr := range maps.Clone(b.addrs) {
			if addr == key.Addr {
				delete(b.addrs, i)
				delete(b.by, i)
			}
		}
		if len(b.addrs) == 0 {
			w.removeName(name)
		} else {
			if b.acting && b.min() > 0 {
				for _, row := range w.t {
					if q, ok := row[name]; ok {
						q.Perm &^= 2
						row[name] = q
					}
				}
			}
			if minChanged && b.acting && w.opts.NotifyMinBrokerID {
				notes = append(notes, w.note(name, mq.Some(key.Addr), Opt{}))
			}
		}
	}
	if hadL && w.l[key] != nil {
		w.dropL(key)
	}
	return notes
}

func (w *twin) forgetMappings(topic string, which func(twinMapping) bool) {
	if w.m[topic] = slices.DeleteFunc(w.m[topic], which); len(w.m[topic]) == 0 {
		delete(w.m, topic)
	}
}

func (w *twin) removeName(name string) {
	delete(w.a, name)
	for topic := range w.m {
		w.forgetMappings(topic, func(m twinMapping) bool { return m.from == name })
	}
	for topic, row := range w.t {
		w.erase(topic, row, name)
	}
	for c, set := range w.c { // every cluster, not only that of the last address
		delete(set, name)
		if len(set) == 0 {
			delete(w.c, c)
		}
	}
	for key, e := range w.l {
		if e.name != name {
			continue
		}
		others := w.keeps(key)
		if len(others) == 0 { // it is superseded
			delete(w.l, key)
			delete(w.f, key)
			continue
		}
		e.name = others[0]
		for id, addr := range w.a[e.name].addrs {
			if addr == key.Addr {
				e.id = id
			}
		}
		for _, c := range e.claims {
			if c.name == name {
				c.name, c.id = e.name, e.id
			}
		}
	}
}

// end is what a lost connection or an expiry does to one registration: every address it keeps alive goes.
func (w *twin) end(key tombstone.Key) (notes []Notification) {
	e := w.l[key]
	for _, name := range w.keeps(key) {
		for id, by := range maps.Clone(w.a[name].by) {
			if by == key {
				// Only the member: other registrations of the address are none of its business.
				e.gone = true
				notes = append(notes, w.remove(tombstone.Key{Addr: key.Addr, Cluster: "\x00none"}, name, id)...)
			}
		}
	}
	delete(w.l, key)
	delete(w.f, key)
	return notes
}

func (w *twin) inOrder() []tombstone.Key {
	return slices.SortedFunc(maps.Keys(w.l), func(a, b tombstone.Key) int { return cmp.Compare(w.l[a].order, w.l[b].order) })
}

func (w *twin) connLost(conn uint64, now clock.Stamp) (notes []Notification) {
	for _, key := range w.inOrder() {
		if e := w.l[key]; e != nil && e.of(conn) != nil && !e.without(e.of(conn), now) {
			notes = append(notes, w.end(key)...)
		}
	}
	for key, rem := range w.evic {
		if rem.owner.ID == conn {
			delete(w.evic, key)
		}
	}
	return notes
}

// expire also says which connections are closed, and for which silence if anything lives on them.
func (w *twin) expire(now clock.Stamp) (notes []Notification, closed map[uint64]time.Duration) {
	late, over := map[tombstone.Key]bool{}, map[tombstone.Key]bool{}
	for key, e := range w.l {
		late[key] = e.seen.Add(e.timeout).Boot < now.Boot
		first, _ := e.shows()
		over[key] = e.heir && first.reg.Add(60*time.Second).Boot < now.Boot
	}
	serving, superseded := map[uint64][]time.Duration{}, map[uint64]bool{}
	for _, key := range w.inOrder() {
		e := w.l[key]
		if e == nil || !late[key] && !over[key] {
			continue
		}
		if first, _ := e.shows(); late[key] && len(w.keeps(key)) > 0 {
			serving[first.owner.ID] = append(serving[first.owner.ID], e.timeout)
		} else if late[key] {
			superseded[first.owner.ID] = true
		}
		notes = append(notes, w.end(key)...)
	}
	shared := map[uint64]bool{}
	for _, e := range w.l {
		for _, c := range e.claims {
			shared[c.owner.ID] = true
		}
	}
	closed = map[uint64]time.Duration{}
	for conn := range superseded {
		if !shared[conn] {
			closed[conn] = 0
		}
	}
	for conn, timeouts := range serving {
		closed[conn] = 0
		if shared[conn] {
			closed[conn] = slices.Min(timeouts)
		}
	}
	return notes, closed
}

// judge says whether the claim was taken, and whether the registration was evicted with it.
func (w *twin) judge(key tombstone.Key, id tombstone.Identity, lo tombstone.Bounds, now clock.Stamp) (taken, evicted bool, notes []Notification) {
	e := w.live(key)
	if e == nil || !lo.HasLife {
		return false, false, nil
	}
	c := e.claims[mq.Source{Addr: id.RemoteIP}]
	if c == nil || !twinMachine(c.owner) || c.name != id.Name || c.id != id.BrokerID {
		return false, false, nil
	}
	lifeOK := lo.Asked.Elapsed(c.owner.FirstByte) > lo.Life
	regOK := lo.Asked.Elapsed(c.reg) > lo.Unregistered
	if !lifeOK || !regOK {
		return false, false, nil
	}
	w.evic[twinClaimKey{key, c.owner.Source}] = &twinEvicted{id: id, owner: c.owner, late: c.version >= mq.V5_0_0 && c.language == 0, at: now}
	if e.without(c, now) {
		return true, false, nil
	}
	return true, true, w.remove(key, c.name, c.id)
}

// vanish says what becomes of a claim whose host has vanished.
func (w *twin) vanish(v *Vanished, now clock.Stamp) (Taken, []Notification) {
	e := w.live(v.Key)
	if e == nil {
		return NotTaken, nil
	}
	c := e.claims[mq.Source{Addr: v.RemoteIP}]
	if c == nil || c.name != v.Name || c.id != v.BrokerID || c.owner.ID != v.Owner || now.Elapsed(c.reg) < v.Silence {
		return NotTaken, nil
	}
	w.evic[twinClaimKey{v.Key, c.owner.Source}] = &twinEvicted{id: v.Identity, owner: c.owner, late: c.version >= mq.V5_0_0 && c.language == 0, at: now}
	if e.without(c, now) {
		return Inherited, nil
	}
	return TakenOut, w.end(v.Key)
}

func (w *twin) writePerm(name string, to func(int32) int32) (n int) {
	for _, row := range w.t {
		if q, ok := row[name]; ok {
			q.Perm = to(q.Perm)
			row[name] = q
			n++
		}
	}
	return n
}

func (w *twin) deleteTopic(topic, cluster string) {
	if cluster == "" {
		delete(w.t, topic)
		return
	}
	for name := range w.c[cluster] {
		if row := w.t[topic]; row != nil {
			w.erase(topic, row, name)
		}
	}
}

func (w *twin) registerTopics(topic string, queues []TopicQueue) {
	row, known := w.t[topic]
	if !known {
		row = map[string]Queue{}
	}
	for _, q := range queues {
		if w.a[q.Broker.S] == nil {
			return
		}
		row[q.Broker.S] = q.Queue
		if known {
			w.t[topic] = row
		}
	}
	if len(row) > 0 {
		w.t[topic] = row
	}
}

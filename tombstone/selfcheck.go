package tombstone

import (
	"cmp"
	"container/list"
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/hold"
	"github.com/epitaph-mq/epitaph/order"
)

// An eviction is refuted when the very connection that held the evicted registration registers that broker again,
// is still open refutedAfter later and has sent no UNREGISTER of it since: a departed process does not do that. A
// BrokerContainer that removes and adds an inner broker does, so one alone means little. What several put on hold, and how
// many that takes, is what they have in common.
const (
	refutedAfter   = 30 * time.Second
	refutedOfKey   = 2 // of one key from one source
	refutedOfOne   = 3 // of one source
	refutedSources = 3 // sources of which one was refuted
)

// HoldKind says what a hold is about. Whoever registers and unregisters brokers of his own, or in somebody else's name, puts
// on hold what comes from his own source; only what is wrong with several sources is wrong with the node.
type HoldKind uint8

// Kinds of holds.
const (
	HoldKey    HoldKind = iota // tombstones of one key from one source
	HoldSource                 // all tombstones from one source
	HoldNode                   // all tombstones
	holdKinds                  // how many there are
)

var holdNames = [holdKinds]string{"broker", "source", "node"}

// Name is the kind for programs.
func (k HoldKind) Name() string { return holdNames[k] }

// scope is what a hold is about; what the kind does not name is zero.
type scope struct {
	kind   HoldKind
	key    Key
	source netip.Prefix
}

// Hold says that this node evicts nothing of a scope by tombstone for the moment.
type Hold struct {
	Kind   HoldKind
	Key    Key          // of HoldKey
	Source netip.Prefix // an address with HoldKey; with HoldSource a source as refutations count it: an IPv4 address or an IPv6 /64
	Until  clock.Stamp
}

// RefutedEviction is an eviction that turned out to be wrong, with the whole tombstone.
type RefutedEviction struct {
	Decision Decision
	Back     time.Duration // from the eviction to the REGISTER that brought the broker back
	Holds    []Hold        // what this one put on hold
}

// watched is an eviction whose connection may come back.
type watched struct {
	decision Decision
	back     clock.Stamp   // first REGISTER after the eviction on the same connection; zero before
	place    *list.Element // in the list of its source
}

// selfCheck watches evictions, by connection and key (docs/spec/tombstones.md#self-check). The shell feeds it with the events
// of connections; a connection never comes back under its number.
type selfCheck struct {
	by      map[uint64]map[Key]*watched
	sources map[netip.Prefix]*list.List // the same by source, oldest first
	n       int                         // watched in all, at most maxWatched
	holds   hold.Holds[ID, scope]
}

func newSelfCheck() selfCheck {
	return selfCheck{
		by: map[uint64]map[Key]*watched{}, sources: map[netip.Prefix]*list.List{}, holds: hold.New[ID, scope](maxRefuted),
	}
}

// sourceOf is the source that evictions and departures of brokers at ip are counted under: who has one IPv6 address has a /64 of
// them.
func sourceOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

// scopesOf are those that the tombstone is in.
func scopesOf(id ID) [holdKinds]scope {
	return [...]scope{
		{HoldKey, id.Key, netip.PrefixFrom(id.RemoteIP, id.RemoteIP.BitLen())},
		{kind: HoldSource, source: sourceOf(id.RemoteIP)},
		{kind: HoldNode},
	}
}

// evicted starts to watch the connection that held the evicted registration. A connection that is back already goes on being
// watched as it is: whoever has its broker evicted again and again must not throw away the proof that this is wrong.
func (r *selfCheck) evicted(d Decision) {
	conn, source := d.Verdict.Conn, sourceOf(d.ID.RemoteIP)
	if w := r.by[conn][d.ID.Key]; w != nil {
		if !w.back.IsZero() {
			return
		}
		r.unwatch(conn, d.ID.Key)
	}
	if r.n >= maxWatched {
		r.makeRoom()
	}
	if r.by[conn] == nil {
		r.by[conn] = map[Key]*watched{}
	}
	if r.sources[source] == nil {
		r.sources[source] = list.New()
	}
	w := &watched{decision: d}
	w.place = r.sources[source].PushBack(w)
	r.by[conn][d.ID.Key] = w
	r.n++
}

// makeRoom ends the oldest watch of the source that has the most: nobody's evictions push out another's.
func (r *selfCheck) makeRoom() {
	var most *list.List
	for _, l := range r.sources {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	d := &most.Front().Value.(*watched).decision
	r.unwatch(d.Verdict.Conn, d.ID.Key)
}

// registered notes that the connection that held the evicted registration registered the broker again.
func (r *selfCheck) registered(conn uint64, k Key, who Identity, now clock.Stamp) {
	w := r.by[conn][k]
	if w != nil && w.back.IsZero() && w.decision.ID.Name == who.Name && w.decision.ID.BrokerID == who.BrokerID {
		w.back = now
	}
}

// unwatch ends a watch: the connection sent an UNREGISTER of k or is gone, or the watch has told what it can.
func (r *selfCheck) unwatch(conn uint64, k Key) {
	w := r.by[conn][k]
	if w == nil {
		return
	}
	delete(r.by[conn], k)
	r.n--
	if len(r.by[conn]) == 0 {
		delete(r.by, conn)
	}
	source := sourceOf(w.decision.ID.RemoteIP)
	l := r.sources[source]
	l.Remove(w.place)
	if l.Len() == 0 {
		delete(r.sources, source)
	}
}

func (r *selfCheck) closed(conn uint64) {
	for k := range r.by[conn] {
		r.unwatch(conn, k)
	}
}

// holding says that this node evicts nothing by that tombstone for the moment.
func (r *selfCheck) holding(id ID, now clock.Stamp) bool {
	for _, s := range scopesOf(id) {
		if r.holds.On(s, now) {
			return true
		}
	}
	return false
}

// held lists the holds, those of the node first.
func (r *selfCheck) held(now clock.Stamp) (list []Hold) {
	for s, until := range r.holds.All(now) {
		list = append(list, Hold{s.kind, s.key, s.source, until})
	}
	order.By(list, func(a, b Hold) int {
		return cmp.Or(cmp.Compare(b.Kind, a.Kind), a.Source.Compare(b.Source),
			cmp.Compare(a.Key.Cluster, b.Key.Cluster), cmp.Compare(a.Key.Addr, b.Key.Addr))
	})
	return list
}

// sweep returns the evictions that are refuted by now, oldest first, and ends the watch of those whose broker never came back.
func (r *selfCheck) sweep(now clock.Stamp) []RefutedEviction {
	r.holds.Sweep(now)
	var out []RefutedEviction
	for conn, keys := range r.by {
		for k, w := range keys {
			switch {
			case !w.back.IsZero() && now.Sub(w.back) >= refutedAfter:
				out = append(out, RefutedEviction{Decision: w.decision, Back: w.back.Sub(w.decision.At)})
				r.unwatch(conn, k)
			case w.back.IsZero() && now.Sub(w.decision.At) >= TTL:
				r.unwatch(conn, k)
			}
		}
	}
	order.By(out, func(a, b RefutedEviction) int { return compareDecisions(a.Decision, b.Decision) })
	for i := range out {
		out[i].Holds = r.count(out[i].Decision.ID, now)
	}
	return out
}

// count adds one refuted eviction and says which holds it starts.
func (r *selfCheck) count(id ID, now clock.Stamp) (started []Hold) {
	r.holds.Refute(id, now)
	for _, s := range scopesOf(id) {
		if r.holds.On(s, now) || !r.enough(s) {
			continue
		}
		started = append(started, Hold{s.kind, s.key, s.source, r.holds.Hold(s, now)})
	}
	return started
}

// enough says that what was refuted within the window, and since the scope was last on hold, is enough to hold it.
func (r *selfCheck) enough(s scope) bool {
	n, sources := 0, map[netip.Prefix]struct{}{}
	for id := range r.holds.Counting(s) {
		if scopesOf(id)[s.kind] != s {
			continue
		}
		n++
		sources[sourceOf(id.RemoteIP)] = struct{}{}
	}
	switch s.kind {
	case HoldKey:
		return n >= refutedOfKey
	case HoldSource:
		return n >= refutedOfOne
	}
	return len(sources) >= refutedSources
}

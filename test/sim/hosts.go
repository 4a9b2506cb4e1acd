package sim

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// watch is the rule about dead hosts at one process of a node, and what package node/vanished is around it.
type watch struct {
	n       *node
	mode    vanish.Mode
	rule    *vanish.Node
	claims  map[vanish.Subject]vanish.Claim
	spoken  map[uint64]uint64 // how many registrations each connection has sent
	watched map[vanish.Subject]bool
	telling int64               // true time at which the rule hears of the newest REGISTER
	untold  map[uint64][]func() // by connection: what it has not heard of yet
	looked  clock.Stamp

	answered bool // something answers for others

	// The truth:
	told    map[vanish.Subject]map[int]told // by whom
	taken   map[vanish.Subject]taken        // by the rule, and not registered since
	refuted map[vanish.Subject]int64        // true time
	aside   map[tombstone.Key]aside         // what may be put back
}

// missing is a member that is taken for dead, and may only have lost some packets.
type missing struct {
	tombstone.Peer
	until int64 // true time
}

// told is what another node has told of a host, as true times.
type told struct {
	boot         uint64
	life, passed int64 // 0: nothing
	passedOn     int64 // when it was sent
	came         int64 // when the newest of both came
}

// taken is a claim that the rule took.
type taken struct {
	conn uint64
	at   int64 // true time
}

// evictAfter is the silence that an eviction takes, and vote the one from which on a node says silent.
const (
	evictAfter = 8 * time.Second
	vote       = evictAfter * 5 / 8
)

// opDeadHosts begins the rule at a node that has listened for half a minute.
func (w *World) opDeadHosts(a [4]int64) {
	n := w.nodes[a[0]]
	n.judges, n.mode = true, vanish.Mode(a[1])
	if w.seed%5 == 0 {
		w.Timeout = 30 * time.Second // registrations end by themselves
	}
	n.listen(30 * time.Second)
}

// asideBytes is what nodes keep of what vanished hosts lost: nothing in every fourth world.
func (w *World) asideBytes() int64 {
	if w.seed%4 == 3 {
		return 0
	}
	return routes.DefaultAsideBytes
}

// listen begins the rule in the present life of the node.
func (n *node) listen(already time.Duration) {
	now := n.stamp()
	rule, err := vanish.New(vanish.Config{Self: n.peer(), Mode: n.mode, After: evictAfter, Nonce: n.w.Rng.Uint64}, now.Add(-already))
	if err != nil {
		panic(err) // the simulation's own mistake
	}
	h := &watch{
		n: n, mode: n.mode, rule: rule, claims: map[vanish.Subject]vanish.Claim{}, spoken: map[uint64]uint64{}, watched: map[vanish.Subject]bool{},
		told: map[vanish.Subject]map[int]told{}, taken: map[vanish.Subject]taken{}, refuted: map[vanish.Subject]int64{},
		aside: map[tombstone.Key]aside{}, untold: map[uint64][]func(){},
	}
	n.watch = h
	n.when(n.w.now+int64(n.w.Between(0, vanish.Tick)), h.loop)
}

func (h *watch) loop() {
	h.tick()
	every := vanish.Tick
	if h.mode == vanish.Off {
		every = 10 * time.Second
	}
	h.n.when(h.n.w.now+int64(every), h.loop)
}

func (h *watch) tick() {
	now := h.n.stamp()
	h.catchUp(now)
	if h.mode == vanish.Off {
		h.rule.Tick(now)
		return
	}
	silent := map[int]bool{}
	for _, id := range h.rule.Due(now) {
		if c := h.n.conns[id]; c != nil && h.look(c) >= 2*time.Second {
			silent[c.Proc.Host()] = true
		}
	}
	if len(silent) > 0 {
		var beside []uint64
		for id, c := range h.n.conns {
			if silent[c.Proc.Host()] && c.Proc.Kind != world.Proxied && !h.watches(id) {
				beside = append(beside, id)
			}
		}
		slices.Sort(beside)
		for _, id := range beside {
			h.lookBeside(h.n.conns[id])
		}
	}
	h.rule.Tick(h.n.stamp())
	h.carryOut()
}

// watches says that a connection is watched.
func (h *watch) watches(conn uint64) bool {
	for s, claim := range h.claims {
		if claim.Conn == conn && h.watched[s] {
			return true
		}
	}
	return false
}

// look reads a watched connection's TCP_INFO.
func (h *watch) look(c *conn) (heard time.Duration) {
	r, _ := c.Kernel.Look()
	h.rule.Looked(c.ID, r, h.n.stamp())
	return r.Heard
}

// lookBeside reads that of another connection of the same host.
func (h *watch) lookBeside(c *conn) {
	if r, closed := c.Kernel.Look(); !closed {
		h.heardOn(c, r)
	}
}

func (h *watch) heardOn(c *conn, r vanish.Reading) {
	now := h.n.stamp()
	h.rule.Heard(c.Proc.IP(), now.Add(-max(r.Heard-20*time.Millisecond, 0)), now)
}

func (h *watch) catchUp(now clock.Stamp) {
	if !h.looked.IsZero() && now.Sub(h.looked) < vanish.LookEvery {
		return
	}
	h.looked = now
	var others, missing []vanish.Peer
	for _, o := range h.n.w.nodes {
		p, listed := h.n.members[o.name()]
		switch m := h.n.missing[o.name()]; {
		case o == h.n:
		case listed:
			others = append(others, p)
		case m.until > h.n.w.now:
			missing = append(missing, m.Peer)
		}
	}
	h.rule.Members(others, missing, len(h.n.w.nodes))
	var ended []vanish.Claim
	for s, claim := range h.claims {
		if !h.claimed(s) {
			ended = append(ended, claim)
		}
	}
	slices.SortFunc(ended, func(a, b vanish.Claim) int {
		return cmp.Or(cmp.Compare(a.Conn, b.Conn), cmp.Compare(a.Generation, b.Generation))
	})
	for _, claim := range ended {
		if c := h.n.conns[claim.Conn]; c != nil {
			h.look(c)
		}
		h.rule.Ended(claim.Subject)
		delete(h.claims, claim.Subject)
	}
}

// said notes what a frame is about.
func (n *node) said(f *world.Frame) {
	if n.watch != nil {
		n.watch.touched(f.Key, f.Name)
	}
}

func (h *watch) claimed(s vanish.Subject) bool {
	return h.n.table.HeldBy(keyOf(s), whose(s))
}

func keyOf(s vanish.Subject) tombstone.Key { return tombstone.Key{Cluster: s.Cluster, Addr: s.Addr} }

func whose(s vanish.Subject) tombstone.Identity {
	return tombstone.Identity{Name: s.Name, BrokerID: s.BrokerID, RemoteIP: s.Source}
}

// registered tells the rule of a REGISTER that the tables have, sometimes late.
func (h *watch) registered(c *conn, f *world.Frame) {
	s := vanish.Subject{Cluster: f.Key.Cluster, Addr: f.Key.Addr, Name: f.Name, BrokerID: f.ID, Source: c.Proc.IP()}
	delete(h.taken, s)
	h.n.w.Sign(c.Proc.Host(), h.n.index)
	h.spoken[c.ID]++
	claim := vanish.Claim{Subject: s, Conn: c.ID, Generation: h.spoken[c.ID]}
	tell := func() {
		watched := h.mode != vanish.Off && c.Proc.Kind != world.Proxied && strings.HasPrefix(s.Addr, s.Source.String()+":")
		if watched {
			c.Kernel.Watch()
		}
		h.claims[s], h.watched[s] = claim, watched
		h.rule.Registered(claim, watched, h.n.stamp())
		h.carryOut()
	}
	w := h.n.w
	h.telling = max(h.telling, w.now) // in order
	if w.Chance(0.1) {
		h.telling += int64(w.Between(0, 20*time.Millisecond))
	}
	if h.telling == w.now {
		tell()
	} else {
		h.untold[c.ID] = append(h.untold[c.ID], tell)
		h.n.when(h.telling, func() {
			if q := h.untold[c.ID]; len(q) > 0 {
				h.untold[c.ID] = q[1:]
				q[0]()
			}
		})
	}
}

// closing looks at a connection that is about to be closed. Its requests have been handled whole before.
func (h *watch) closing(c *conn) {
	for _, tell := range h.untold[c.ID] {
		tell()
	}
	delete(h.untold, c.ID)
	if c.Proc.Kind != world.Proxied && h.rule.Knows(c.Proc.IP()) {
		r, _ := c.Kernel.Look()
		h.rule.Looked(c.ID, r, h.n.stamp())
		h.heardOn(c, r)
		h.carryOut()
	}
}

func (h *watch) closed(c *conn) {
	h.rule.Closed(c.ID)
	delete(h.spoken, c.ID)
	for s, claim := range h.claims {
		if claim.Conn == c.ID {
			delete(h.claims, s)
		}
	}
	for s, t := range h.taken {
		if t.conn == c.ID {
			delete(h.taken, s)
		}
	}
	maps.DeleteFunc(h.aside, func(_ tombstone.Key, a aside) bool { return a.claim.Conn == c.ID })
}

// carryOut does what the rule wants.
func (h *watch) carryOut() {
	n, w := h.n, h.n.w
	out := h.rule.Take()
	for _, id := range out.Probes {
		if c := n.conns[id]; c != nil {
			c.Kernel.Probe()
		}
	}
	for _, t := range out.Connects {
		_, host := w.HostAt(t.Source)
		answered, after := w.Try(n.index, host)
		n.when(w.now+int64(after), func() {
			outcome := vanish.Unanswered
			switch {
			case w.Chance(0.01):
				outcome = vanish.Failed // no descriptor, no port
			case answered:
				outcome = vanish.Answered
			}
			if outcome == vanish.Answered && !h.answered {
				w.Sign(host, n.index)
			}
			h.rule.Tried(t.Source, t.Try, outcome, n.stamp())
			h.carryOut()
		})
	}
	for _, p := range out.Packets {
		if p.After == 0 {
			h.send(p)
		} else {
			n.when(w.now+int64(p.After), func() { h.send(p) })
		}
	}
	for _, e := range out.Evict {
		decided := w.now
		if w.Chance(0.3) {
			n.when(w.now+int64(w.Between(0, 60*time.Millisecond)), func() { h.evict(e, decided) })
		} else {
			h.evict(e, decided)
		}
	}
	for _, r := range out.Restore {
		if w.Chance(0.3) {
			n.when(w.now+int64(w.Between(0, 60*time.Millisecond)), func() { h.restore(&r) })
		} else {
			h.restore(&r)
		}
	}
	for i := range out.Events {
		h.event(&out.Events[i])
	}
	if h.mode == vanish.Off && (len(out.Probes)+len(out.Connects)+len(out.Evict)+len(out.Restore) > 0 || slices.ContainsFunc(out.Packets, func(p vanish.Packet) bool {
		_, answers := p.Msg.(vanish.View)
		return !answers
	})) {
		w.FailHost(17, "%s is off, and wants %+v", n.name(), out)
	}
}

func (h *watch) event(e *vanish.Event) {
	w, n := h.n.w, h.n
	switch e.Kind {
	case vanish.Kept:
		w.Logf("%s keeps %s: %s %s", n.name(), e.Claim.Cluster, e.Why.Name(), e.By)
	case vanish.BrakeBegan:
		w.brakes++
	case vanish.Refuted:
		h.isRefuted(e)
	}
}

// words are a message about silent hosts on its way.
type words struct {
	from, to int
	msg      vanish.Message
	at       int64
}

// evict takes out what was judged at a true time, unless it is not as it was judged any more.
func (h *watch) evict(e vanish.Eviction, decided int64) {
	n, w := h.n, h.n.w
	_, host := w.HostAt(e.Source)
	key := keyOf(e.Subject)
	stands := false
	v := routes.Vanished{Key: key, Identity: whose(e.Subject), Owner: e.Conn, Silence: e.After}
	v.Still = func() bool {
		c := n.conns[e.Conn]
		if c == nil {
			return false
		}
		r, closed := c.Kernel.Look()
		stands = h.rule.Pending(&e, n.stamp()) && e.Stands(h.claims[e.Subject], !closed, r)
		return stands
	}
	if h.mode != vanish.On {
		took := v.Still()
		if took {
			h.checkEviction(&e, host, decided)
		}
		h.rule.Took(e, took)
		return
	}
	g, before := n.ghosts[key], n.record(key)
	n.touched = true
	taken, eff := n.table.Vanish(&v)
	w.Logf("%s judges the host of %s dead (silence %v, agreed %v, mute %v): %v", n.name(), e.Cluster, e.Silence, e.Agreed, e.Mute, taken)
	v.Still = func() bool { return stands || taken == routes.NotTaken }
	n.noted(key, e.Source, func(t *routes.Table) { t.Vanish(&v) }, byVanish)
	if taken != routes.NotTaken {
		n.twin = nil
		h.checkEviction(&e, host, decided)
		h.tookOut(&e, host, g, before, taken)
	}
	h.rule.Took(e, taken != routes.NotTaken)
	n.effects(eff)
	n.check()
	h.carryOut()
}

// restore puts back what was taken out, if its host is heard by one more look.
func (h *watch) restore(r *vanish.Restoration) {
	n, alive := h.n, false
	key := keyOf(r.Subject)
	back := routes.Restoration{Key: key, Identity: whose(r.Subject), Owner: r.Conn}
	back.Alive = func() bool {
		c := n.conns[r.Conn]
		if c == nil {
			return false
		}
		l, closed := c.Kernel.Look()
		alive = r.Stands(!closed, l, n.stamp())
		return alive
	}
	n.touched = true
	done, eff := n.table.Restore(&back)
	back.Alive = func() bool { return alive }
	n.noted(key, r.Source, func(t *routes.Table) { t.Restore(&back) }, byBroker)
	if done == routes.PutBack {
		h.putBack(r, key)
		h.claims[r.Subject], h.watched[r.Subject] = r.Claim, true
	}
	if done != routes.NotYet {
		h.rule.Restored(r, done == routes.PutBack)
	}
	n.effects(eff)
	n.check()
}

// answeredFor is something on the way that answers for hosts that are not there.
func (n *node) answeredFor() {
	if n.watch != nil {
		n.watch.answered = true
		n.watch.rule.AnsweredFor(true)
	}
}

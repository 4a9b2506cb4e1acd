package sim

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// What nodes say and do about dead hosts is judged by what none of them can know (docs/spec/deadhosts.md#rules): when a host's newest sign of
// life reached each node's kernel, and what was told to whom.

const drift = 50 * time.Millisecond // of what clocks and readings may be wrong by, in eight seconds

// honest says that a node tells of all life that its kernels know: else nobody could rely on its words.
func (w *World) honest(from int, v vanish.View) {
	n := w.nodes[from]
	subjects := w.asked[v.Nonce]
	if n.watch == nil || len(subjects) != len(v.Answers) {
		return
	}
	for i, s := range subjects {
		claim, held := n.watch.claims[s]
		c := n.conns[claim.Conn]
		if !held || c == nil || c.Proc.Kind == world.Proxied {
			continue
		}
		if a := v.Answers[i]; a.Life == vanish.Never || int64(a.Life-drift) > w.now-c.Kernel.At {
			w.FailHost(13, "%s tells life of %s %v ago, its kernel heard it %v ago", n.name(), s.Cluster, a.Life, time.Duration(w.now-c.Kernel.At))
		}
	}
}

// hears notes what a node was told, and when that was.
func (h *watch) hears(m words) {
	from := h.n.w.nodes[m.from]
	note := func(s vanish.Subject, life, passed time.Duration) {
		by := h.told[s]
		if by == nil {
			by = map[int]told{}
			h.told[s] = by
		}
		t := by[m.from]
		if t.boot != m.msg.Sender().Boot {
			t = told{boot: m.msg.Sender().Boot}
		}
		before := t
		if life != vanish.Never {
			t.life = max(t.life, m.at-int64(life))
		}
		if passed != vanish.Never && m.at >= t.passedOn { // what it believed of others it may have had put right since
			t.passed, t.passedOn = m.at-int64(passed), m.at
		}
		if t != before {
			t.came = h.n.w.now
		}
		by[m.from] = t
	}
	if m.msg.Sender().Boot != from.boot || h.n.members[from.name()] != from.peer() {
		return
	}
	switch msg := m.msg.(type) {
	case vanish.View:
		for i, s := range h.n.w.asked[msg.Nonce] {
			note(s, msg.Answers[i].Life, msg.Answers[i].PassedOn)
		}
	case vanish.Alive:
		for _, s := range msg.News {
			note(s.Subject, s.Life, vanish.Never)
		}
	}
}

// checkEviction is V-3 to V-6 and V-13: nobody is evicted whom a node heard that could say so.
func (h *watch) checkEviction(e *vanish.Eviction, host int, decided int64) {
	n, w := h.n, h.n.w
	if at, _ := w.Heard(host, n.index); time.Duration(w.now-at) < evictAfter-drift {
		w.FailHost(13, "%s evicts %s, which it heard %v ago", n.name(), e.Cluster, time.Duration(w.now-at))
	}
	unheard := 1
	for _, o := range w.nodes {
		at, broke := w.Heard(host, o.index)
		ago := time.Duration(w.now - at)
		if o != n && (ago >= vote-drift || time.Duration(w.now-broke) <= 1500*time.Millisecond) {
			unheard++
		}
		if o == n || o.down || o.watch == nil || time.Duration(w.now-o.until) < time.Second || at < o.began {
			continue
		}
		if w.clean(n, o) && ago > w.roundTrip(e) && ago < vote-2*drift {
			w.FailHost(13, "%s evicts %s, which %s heard %v ago", n.name(), e.Cluster, o.name(), ago)
		}
		if t := h.told[e.Subject][o.index]; t.boot == o.boot && t.came < decided && max(t.life, t.passed) > w.now-int64(vote-6*drift) {
			w.FailHost(13, "%s evicts %s, of which %s told it life %v ago, and another's %v ago", n.name(), e.Cluster, o.name(),
				time.Duration(w.now-t.life), time.Duration(w.now-t.passed))
		}
	}
	frozen := time.Duration(w.now-n.froze) < 5*time.Second // it takes what is old for new: what remains
	if q := vanish.Quorum(len(w.nodes)); !frozen && (unheard < q || len(e.Agreed)+1 < q) {
		w.FailHost(3, "%s evicts %s: %d of %d nodes have not heard it, agreed %v", n.name(), e.Cluster, unheard, len(w.nodes), e.Agreed)
	}
	lately := 0
	for s, at := range h.refuted {
		if ago := time.Duration(w.now - at); ago < 9*time.Minute {
			lately++
			if s == e.Subject {
				w.FailHost(5, "%s evicts %s, whose eviction was refuted %v ago", n.name(), e.Cluster, ago)
			}
		}
	}
	if lately > 2 {
		w.FailHost(6, "%s evicts %s, though %d evictions were refuted", n.name(), e.Cluster, lately)
	}
	if !frozen && !h.hearsAnother(host) {
		w.FailHost(4, "%s evicts %s, and hears no other host", n.name(), e.Cluster)
	}
	w.Vanished++
}

func (h *watch) hearsAnother(host int) bool {
	for _, c := range h.n.conns {
		at, _ := h.n.w.Heard(c.Proc.Host(), h.n.index)
		if c.Proc.Host() != host && time.Duration(h.n.w.now-at) < evictAfter/2 {
			return true
		}
	}
	return false
}

// clean says that nothing has come between two nodes for five seconds.
func (w *World) clean(a, b *node) bool {
	net := &w.Net
	quiet := !net.Cut[a.index][b.index] && !net.Cut[b.index][a.index] && !net.NoUDP[a.index][b.index] && !net.NoUDP[b.index][a.index] &&
		net.Loss == 0 && net.Corrupt == 0 && net.Slow <= 50*time.Millisecond
	return quiet && time.Duration(w.now-max(a.changed, b.changed)) > 5*time.Second &&
		a.members[b.name()] == b.peer() && b.members[a.name()] == a.peer()
}

// roundTrip is how old a node's news may be without the other's knowing.
func (w *World) roundTrip(e *vanish.Eviction) time.Duration {
	d := 2*vanish.Tick + 4*(w.Net.Lag+w.Net.Slow) + 300*time.Millisecond
	if e.Silence > evictAfter+4*time.Second { // questions are a second apart by then
		d += 1100 * time.Millisecond
	}
	return d
}

// tookOut notes an eviction, and that nobody else's claim went: V-14 and V-15.
func (h *watch) tookOut(e *vanish.Eviction, host int, g *world.Ghost, before routes.Record, out routes.Taken) {
	n, w := h.n, h.n.w
	if g == nil || g.Claims[host] == nil || g.Claims[host].Owner.ID != e.Conn {
		w.FailHost(15, "%s evicts %s of host %d, which does not claim it on connection %d", n.name(), e.Cluster, host, e.Conn)
		return
	}
	if ago := time.Duration(w.now - g.Claims[host].LastRegister); ago < evictAfter-drift {
		w.FailHost(14, "%s evicts %s, which was registered %v ago", n.name(), e.Cluster, ago)
	}
	was := &world.Ghost{Claims: maps.Clone(g.Claims)}
	delete(g.Claims, host)
	if heir := g.Inherits(host, w.now); heir != nil && out == routes.TakenOut {
		w.FailHost(15, "%s evicts %s, which %s registered %v ago", n.name(), e.Cluster, heir.Owner.Proc.Name(), time.Duration(w.now-heir.LastRegister))
	}
	h.taken[e.Subject] = taken{e.Conn, w.now}
	if out == routes.TakenOut {
		h.aside[keyOf(e.Subject)] = aside{e.Claim, w.now, was, before}
	}
}

// aside is the truth about what the rule took and nobody has touched since.
type aside struct {
	claim vanish.Claim
	at    int64        // true time
	ghost *world.Ghost // as it was
	was   routes.Record
}

// touched notes that something was said of a key or of a broker name, whatever came of it.
func (h *watch) touched(key tombstone.Key, name string) {
	maps.DeleteFunc(h.aside, func(k tombstone.Key, a aside) bool { return k == key || a.claim.Name == name })
}

// proven notes that a tombstone was judged: where it would have taken what is set aside, that is not put back.
func (h *watch) proven(key tombstone.Key, who tombstone.Identity, b tombstone.Bounds) {
	a, is := h.aside[key]
	if !is {
		return
	}
	e := tombstone.Entry{
		Identity: whose(a.claim.Subject), FirstByte: a.was.Owner.FirstByte, LastRegister: a.was.LastRegister, Conn: a.was.Owner.ID,
	}
	if tombstone.Decide(e, who, b, h.n.stamp()).Outcome == tombstone.Evicted {
		delete(h.aside, key)
	}
}

// putBack is V-18: only what the rule took and nobody has touched since is put back, as it was and within its own time, and its host was heard since
// on the very connection, which is open.
func (h *watch) putBack(r *vanish.Restoration, key tombstone.Key) {
	n, w := h.n, h.n.w
	a, is := h.aside[key]
	c := n.conns[r.Conn]
	switch {
	case !is || a.claim != r.Claim:
		w.FailHost(18, "%s puts %s back, which it had not taken out, or of which it has heard since", n.name(), key.Cluster)
		return
	case c == nil || c.Kernel.At <= a.at:
		w.FailHost(18, "%s puts %s back, of whose host nothing was heard on its connection since", n.name(), key.Cluster)
		return
	}
	if now := n.record(key); now != a.was {
		w.FailHost(18, "%s puts %s back as %+v, and it was %+v", n.name(), key.Cluster, now, a.was)
	}
	own := a.was.Timeout
	last := a.ghost.Claims[c.Proc.Host()].LastRegister
	if ago := time.Duration(w.now - last); ago > own+own/10 && n.froze <= last { // else less time went by for the node
		w.FailHost(18, "%s puts %s back, which was registered %v ago and has %v", n.name(), key.Cluster, ago, own)
	}
	w.Logf("%s puts %s back", n.name(), key.Cluster)
	w.PutBack++
	delete(h.aside, key)
	delete(h.taken, r.Subject)
	n.ghosts[key] = a.ghost
	n.sync()
}

// record is what the tables hold of a key, without what tombstones leave behind on what they keep.
func (n *node) record(key tombstone.Key) (r routes.Record) {
	for _, r := range registrations(n.table) {
		if r.Cluster == key.Cluster && r.Addr == key.Addr {
			return r
		}
	}
	return r
}

// isRefuted checks that something was heard of the host since.
func (h *watch) isRefuted(e *vanish.Event) {
	n, w := h.n, h.n.w
	_, host := w.HostAt(e.Claim.Source)
	at, _ := w.Heard(host, n.index)
	if c := n.conns[e.Claim.Conn]; c != nil {
		at = max(at, c.Kernel.At)
	}
	if t, is := h.taken[e.Claim.Subject]; is && at <= t.at {
		w.FailHost(5, "%s refutes its eviction of %s, of which it has heard nothing since", n.name(), e.Claim.Cluster)
	}
	w.Logf("%s refutes its eviction of %s by %s", n.name(), e.Claim.Cluster, e.By)
	h.refuted[e.Claim.Subject] = w.now
	w.HostsBack++
}

// unregistered is V-16: an UNREGISTER of what the rule took, on the connection that owned it, makes a tombstone as if nothing had been.
func (h *watch) unregistered(c *conn, f *world.Frame, l routes.Leaving) {
	s := vanish.Subject{Cluster: f.Key.Cluster, Addr: f.Key.Addr, Name: f.Name, BrokerID: f.ID, Source: c.Proc.IP()}
	t, is := h.taken[s]
	if !is || t.conn != c.ID || time.Duration(h.n.w.now-t.at) > tombstone.TTL*9/10 {
		return
	}
	delete(h.taken, s)
	h.n.w.Farewells++
	if l != routes.LeavingProven {
		h.n.w.FailHost(16, "%s: the unregister of %s, which was evicted %v before, is %v", h.n.name(), s.Cluster, time.Duration(h.n.w.now-t.at), l)
	}
}

// entry is something that the tables of a node were told.
type entry struct {
	kind   entryKind
	key    tombstone.Key
	source netip.Addr
	at     clock.Stamp
	do     func(*routes.Table)
}

var everything tombstone.Key // is the key of what is not about one

type entryKind int

const (
	byBroker entryKind = iota // a frame, a lost connection, or time
	byTombstone
	byVanish
)

// noted remembers what the tables were told. When a tombstone and a vanished host were about the same claim, one after the other, either order must
// leave the same tables, and the same answer to the owner's UNREGISTER: V-16.
func (n *node) noted(key tombstone.Key, source netip.Addr, do func(*routes.Table), kind entryKind) {
	if n.watch == nil || n.mode != vanish.On {
		return
	}
	last := entry{kind, key, source, n.stamp(), do}
	n.told = append(n.told, last)
	if kind == byBroker {
		return
	}
	for i := len(n.told) - 2; i >= 0; i-- {
		first := n.told[i]
		if first.kind == byBroker && (first.key == key || first.key == everything) || last.at.Sub(first.at) > time.Minute {
			return
		}
		if first.kind == byBroker || first.kind == kind || first.key != key || first.source != source {
			continue
		}
		first.at = last.at
		rest := slices.Concat(n.told[:i], n.told[i+1:len(n.told)-1])
		a, b := n.replayed(slices.Concat(rest, []entry{first, last})), n.replayed(slices.Concat(rest, []entry{last, first}))
		n.w.Races++
		if x, y := registrations(a), registrations(b); !slices.Equal(x, y) {
			n.w.FailHost(16, "%s: a tombstone and a vanished host leave %v of %s, and in the other order %v", n.name(), x, key.Cluster, y)
		}
		for _, c := range n.conns {
			if c.Proc.IP() != source {
				continue
			}
			u := routes.Unregistration{Cluster: key.Cluster, Addr: key.Addr, Name: world.BrokerName(key), Conn: c.route(), At: last.at}
			x, _ := a.Unregister(&u)
			y, _ := b.Unregister(&u)
			if x.Leaving != y.Leaving {
				n.w.FailHost(16, "%s: after a tombstone and a vanished host an unregister of %s is %v, and in the other order %v", n.name(), key.Cluster,
					x.Leaving, y.Leaving)
			}
		}
		return
	}
}

// replayed are the tables after all that.
func (n *node) replayed(all []entry) *routes.Table {
	var now clock.Stamp
	t := routes.New(routes.Config{
		Clock: func() clock.Stamp { return now }, Encode: func(b []byte, _ *routes.Route, _ bool) []byte { return b }, TombstoneTTL: tombstone.TTL,
		AsideBytes: n.w.asideBytes(),
	})
	for _, e := range all {
		now = e.at
		e.do(t)
	}
	return t
}

// registrations are those of a table, without what tombstones leave behind on what they keep.
func registrations(t *routes.Table) []routes.Record {
	all := t.Registrations()
	for i := range all {
		all[i].Kept, all[i].KeptAt = tombstone.Verdict{}, clock.Stamp{}
	}
	return all
}

// lastDeath is V-1: when the faults have ended, a host that dies is gone at every node in less than nine seconds, unless that node says why it
// judges nobody.
func (w *World) lastDeath() {
	w.Mend()
	for w.Still() && len(w.Failures) == 0 { // else time stands still, too
		w.Run(time.Second)
	}
	alive := w.Living()
	for _, d := range []time.Duration{26 * time.Second, 14 * time.Second} { // forgotten connections are given up by then
		for _, p := range alive {
			for i := range w.nodes {
				w.Register(p, i)
			}
		}
		w.Run(d)
	}
	if len(alive) == 0 || len(w.Failures) > 0 {
		return
	}
	victim := alive[w.Rng.IntN(len(alive))]
	most := evictAfter + time.Second
	if w.Chance(0.3) {
		w.Net.Loss = 0.1
		most += 2 * time.Second
	}
	for _, n := range w.nodes {
		if n.clock.Slewed() { // eight seconds take longer
			most += time.Second
			break
		}
	}
	if w.Chance(0.3) { // a node beside it
		w.restart(w.nodes[w.Rng.IntN(len(w.nodes))], time.Hour)
	}
	subject := victim.Subject()
	must := w.mustGo(subject)
	w.Apply(world.Op{Verb: "die", Args: [4]int64{int64(victim.Host())}})
	before := w.brakes
	w.Run(most)
	if w.brakes > before { // that host was one too many
		return
	}
	for _, n := range must {
		switch {
		case n.watch.claimed(subject):
			w.FailHost(1, "%s holds %s %v after its host has died: %+v", n.name(), subject.Cluster, most, n.watch.rule.Status(n.stamp()))
		default:
			w.Deaths++
		}
	}
}

// mustGo are the nodes that must evict a subject when its host dies now: a quorum of them can.
func (w *World) mustGo(s vanish.Subject) (must []*node) {
	can := 0
	for _, n := range w.nodes {
		if n.down || n.watch == nil || n.mode == vanish.Off {
			continue
		}
		st := n.watch.rule.Status(n.stamp())
		if st.Braked || st.AnsweredFor || !st.HeldUntil.IsZero() {
			continue
		}
		for _, h := range st.Hosts {
			for _, c := range h.Claims {
				if c.Subject == s && c.Calibrated && !c.OnHold && c.EvictedAt.IsZero() && h.AnswersConnections && !h.Silent {
					can++
					if n.mode == vanish.On {
						must = append(must, n)
					}
				}
			}
		}
	}
	if can < vanish.Quorum(len(w.nodes)) {
		return nil
	}
	return must
}

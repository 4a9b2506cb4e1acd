package sim

import (
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// sync forgets the ghosts of what is gone, and checks INV-2.
func (n *node) sync() {
	explained := 0
	for k := range n.ghosts {
		switch {
		case !n.table.Holds(k):
			delete(n.ghosts, k)
		case n.ghosts.Explained(k):
			explained++
		}
	}
	if explained == n.table.Stats().Registrations { // those that are not shown counted
		return
	}
	for _, r := range n.table.Registrations() {
		k := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
		if !n.ghosts.Explained(k) {
			n.w.Fail(2, false, "%s holds %v that no open connection registered", n.name(), k)
		}
	}
}

// judged checks a verdict against the truth: INV-1 and INV-4.
func (n *node) judged(id tombstone.ID, g *world.Ghost, v tombstone.Verdict) {
	m := n.w.Marked(n.index, id)
	if m == nil || g == nil || n.w.flaw != NoFlaw && !v.Took() {
		return
	}
	flagged := m.Proc.Flagged || n.w.nodes[m.Node].flagged || g.Flagged()
	claim := g.Claims[m.Proc.Host()]
	if claim == nil || claim.Owner.ID != v.Conn {
		if v.Took() {
			n.w.Take(n.index, g, m, v, flagged)
		}
		return // it was another's that was looked at
	}
	if n.w.flaw == NoFlaw && v.LifeMargin > 0 && m.Life > 0 && claim.Owner.FirstByte >= m.Life {
		n.w.Fail(4, flagged, "%s: first byte at %v is not before L at %v of %s by %s, margin %v", n.name(),
			time.Duration(claim.Owner.FirstByte), time.Duration(m.Life), id.Cluster, m.Proc.Name(), v.LifeMargin)
	}
	if n.w.flaw == NoFlaw && v.RegisterMargin > 0 && claim.LastRegister >= m.U {
		n.w.Fail(4, flagged, "%s: last register at %v is not before U at %v of %s by %s, margin %v", n.name(),
			time.Duration(claim.LastRegister), time.Duration(m.U), id.Cluster, m.Proc.Name(), v.RegisterMargin)
	}
	if v.Took() {
		n.w.Take(n.index, g, m, v, flagged)
	}
}

// raised notes that a tombstone's proof of life has become a later one.
func (w *World) raised(m *world.Mark, at int64) {
	if w.flaw == FlawLateProof {
		m.Life = max(m.Life, at)
	}
	m.Raise(at)
}

// removedLocally checks that a predecessor's late frame or FIN removed nobody who came on a newer connection from its host, and
// that a FIN removed nobody whom another host keeps registering. It forgets the ghost if the registration is gone.
func (n *node) removedLocally(c *conn, k tombstone.Key, before *world.Ghost, fin bool) {
	if before == nil || n.table.Holds(k) {
		return
	}
	delete(n.ghosts, k)
	if claim := before.Claims[c.Proc.Host()]; claim != nil {
		for _, r := range claim.Regs {
			if r.Conn.Open && r.Conn.ID > c.ID && r.Conn.Proc.Alive && !r.Conn.Proc.Stopping {
				n.w.Fail(9, false, "%s: a late frame of %s on connection %d removed %s of %s on connection %d",
					n.name(), c.Proc.Name(), c.ID, k.Cluster, r.Conn.Proc.Name(), r.Conn.ID)
				return
			}
		}
	}
	if heir := before.Inherits(c.Proc.Host(), n.w.now); fin && heir != nil {
		n.w.Fail(9, false, "%s: the end of connection %d of %s removed %s, which %s registers", n.name(), c.ID, c.Proc.Name(),
			k.Cluster, heir.Owner.Proc.Name())
	}
}

// overdue is INV-10. A process that stood still until a moment ago has not looked yet.
func (n *node) overdue() {
	if n.w.flaw == NoFlaw && n.w.now-n.until > int64(2*time.Second) {
		n.w.Overdue(n.index, n.stoodStill)
	}
}

// checkProof is INV-6.
func (w *World) checkProof(from *node, msg tombstone.Message) {
	p, ok := msg.(tombstone.Proof)
	if !ok {
		return
	}
	for _, a := range p.Answers {
		if !a.Known {
			continue
		}
		found := false
		for _, m := range w.Marks {
			if m.Node == from.index && m.ID.Seq == a.Seq && m.Boot == from.boot {
				found = true
				age := time.Duration(w.now - m.U)
				if age > tombstone.TTL+tombstone.TTL/400+from.stoodStill {
					w.Fail(6, false, "%s proves tombstone %d after %v", from.name(), a.Seq, age)
				}
			}
		}
		if !found {
			w.Fail(6, false, "%s proves tombstone %d of another life", from.name(), a.Seq)
		}
	}
}

// Settle ends all faults between the nodes, lets every pair exchange its state once and checks INV-7.
func (w *World) Settle() {
	w.Net.Calm()
	w.Run(2 * time.Second)
	for w.anyHalted() || w.Taken >= w.now {
		w.Run(time.Second)
	}
	for _, n := range w.nodes {
		if n.down {
			n.start()
		}
	}
	for i, a := range w.nodes {
		for _, b := range w.nodes[i+1:] {
			w.rejoin(a, b, time.Millisecond)
		}
	}
	w.Run(3 * time.Second)
	if len(w.Failures) > 0 {
		return
	}
	for _, m := range w.Marks {
		w.checkGone(m)
	}
	// INV-5: all that was said lately, once more and in any order, evicts nothing more.
	before := w.evictions()
	w.replay(world.Replayable)
	w.Run(3 * time.Second)
	if more := w.evictions() - before; more > 0 {
		w.Fail(5, false, "%d evictions by a replay of what had been said", more)
	}
	if slices.ContainsFunc(w.nodes, func(n *node) bool { return n.judges }) {
		w.lastDeath()
	}
	for _, n := range w.nodes {
		n.touched = true
		n.check()
		n.sync()
	}
}

func (w *World) evictions() (n uint64) {
	for _, one := range w.nodes {
		n += one.x.Counters().Decided[tombstone.Evicted]
	}
	return n
}

func (w *World) anyHalted() bool {
	for _, n := range w.nodes {
		if n.until > w.now {
			return true
		}
	}
	return false
}

// checkGone is INV-7 for one tombstone: where its rule holds with room to spare, the registration must be gone.
func (w *World) checkGone(m *world.Mark) {
	origin := w.nodes[m.Node]
	if origin.boot != m.Boot || origin.stoodStill > 0 {
		return
	}
	for _, n := range w.nodes {
		g := n.ghosts[m.ID.Key]
		if n == origin || g == nil || n.stoodStill > 0 || len(n.x.Status(0, n.stamp()).Holds) > 0 {
			continue
		}
		if m.Gone(g, n.table.Holders(m.ID.Key), w.now) {
			w.Fail(7, false, "%s still holds %s, which tombstone %d of %s proves to be gone", n.name(), m.ID.Cluster,
				m.ID.Seq, origin.name())
		}
	}
}

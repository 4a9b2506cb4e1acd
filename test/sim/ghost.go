package sim

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// ghost is the truth about one registration held at one node.
type ghost struct {
	regs         []ghostReg // every REGISTER applied to it since it began
	owner        *conn
	lastRegister int64 // true time
}

// ghostReg says which life sent a REGISTER, and when in its own order.
type ghostReg struct {
	conn *conn
	seq  int
}

// mark is the truth about one tombstone.
type mark struct {
	id     tombstone.ID
	origin *node
	proc   *proc
	seq    int // of the UNREGISTER in the process's own order
	u      int64
	life   int64 // true time of L; 0: none
}

// registered notes a REGISTER that was handled.
func (n *node) registered(c *conn, f frame) {
	if _, held := n.table.Holds(f.key); !held {
		return
	}
	g := n.ghosts[f.key]
	if g == nil {
		g = &ghost{owner: c}
		n.ghosts[f.key] = g
	}
	if c.id >= g.owner.id || n.w.flaw == FlawNoOwnership {
		g.owner = c
	}
	g.lastRegister = n.w.now
	g.regs = append(g.regs, ghostReg{c, f.seq})
}

// sync forgets the ghosts of what is gone, and checks INV-2.
func (n *node) sync() {
	for k := range n.ghosts {
		if _, held := n.table.Holds(k); !held {
			delete(n.ghosts, k)
		}
	}
	for _, r := range n.table.Registrations() {
		k := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
		g := n.ghosts[k]
		if g == nil || !g.explained() {
			n.w.fail(2, false, "%s holds %v that no open connection registered", n.name(), k)
		}
	}
}

func (g *ghost) explained() bool {
	for _, r := range g.regs {
		if r.conn.open {
			return true
		}
	}
	return false
}

// judged checks a verdict against the truth: INV-1 and INV-4.
func (n *node) judged(id tombstone.ID, g *ghost, v tombstone.Verdict) {
	m := n.w.byID[anyRevision(id)]
	if m == nil {
		n.w.fail(9, false, "%s judged a tombstone that nobody made: %+v", n.name(), id)
		return
	}
	if g == nil || n.w.flaw != NoFlaw && v.Outcome != tombstone.Evicted {
		return
	}
	flagged := m.proc.flagged || m.origin.flagged || g.flagged()
	if n.w.flaw == NoFlaw && v.LifeMargin > 0 && m.life > 0 && g.owner.firstByteTrue >= m.life {
		n.w.fail(4, flagged, "%s: first byte at %v is not before L at %v of %s by %s, margin %v", n.name(),
			time.Duration(g.owner.firstByteTrue), time.Duration(m.life), id.Cluster, m.proc.name(), v.LifeMargin)
	}
	if n.w.flaw == NoFlaw && v.RegisterMargin > 0 && g.lastRegister >= m.u {
		n.w.fail(4, flagged, "%s: last register at %v is not before U at %v of %s by %s, margin %v", n.name(),
			time.Duration(g.lastRegister), time.Duration(m.u), id.Cluster, m.proc.name(), v.RegisterMargin)
	}
	if v.Outcome != tombstone.Evicted {
		return
	}
	n.w.evicted++
	for _, r := range g.regs {
		p := r.conn.proc
		foreign := p.ip != m.proc.ip // only another host's ownership counts: its other frames own nothing
		if foreign && r.conn == g.owner || !foreign && (p.num > m.proc.num || p == m.proc && r.seq > m.seq) {
			n.w.fail(1, flagged, "%s evicted %s, registered by %s (frame %d), for the unregister of %s (frame %d)",
				n.name(), id.Cluster, p.name(), r.seq, m.proc.name(), m.seq)
			return
		}
	}
}

func (g *ghost) flagged() bool {
	for _, r := range g.regs {
		if r.conn.proc.flagged {
			return true
		}
	}
	return false
}

// mark notes a tombstone that was made, and checks that nothing but the owner's UNREGISTER made it: INV-9.
func (w *World) mark(n *node, c *conn, f frame, id tombstone.ID, d tombstone.Departure) {
	m := &mark{id: id, origin: n, proc: c.proc, seq: f.seq, u: w.now}
	for _, wr := range c.writes {
		if wr.stamp == d.Life {
			m.life = wr.at
		}
	}
	w.marks = append(w.marks, m)
	w.byID[anyRevision(id)] = m
	if !f.unregister || c.proc.kind == proxied {
		w.fail(9, false, "%s made a tombstone of a frame that must not make one", n.name())
	}
	w.logf("%s makes tombstone %d of %s, life %v", n.name(), id.Seq, id.Cluster, time.Duration(m.life))
}

func (w *World) raised(id tombstone.ID, at int64) {
	m := w.byID[anyRevision(id)]
	if m != nil && (m.proc.kind == v5 || m.proc.kind == container || m.proc.kind == v5keeps || w.flaw == FlawLateProof) {
		m.life = max(m.life, at)
	}
}

// removedLocally checks that a predecessor's late frame or FIN removed nobody who came on a newer connection, and
// forgets the ghost if the registration is gone.
func (n *node) removedLocally(c *conn, k tombstone.Key, before *ghost) {
	if before == nil {
		return
	}
	if _, held := n.table.Holds(k); held {
		return
	}
	delete(n.ghosts, k)
	for _, r := range before.regs {
		if r.conn.open && r.conn.id > c.id && r.conn.proc.alive && !r.conn.proc.stopping {
			n.w.fail(9, false, "%s: a late frame of %s on connection %d removed %s of %s on connection %d",
				n.name(), c.proc.name(), c.id, k.Cluster, r.conn.proc.name(), r.conn.id)
			return
		}
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
		for _, m := range w.marks {
			if m.origin == from && m.id.Seq == a.Seq && m.id.Origin.Boot == from.boot {
				found = true
				age := time.Duration(w.now - m.u)
				if age > tombstone.TTL+tombstone.TTL/400+from.stoodStill {
					w.fail(6, false, "%s proves tombstone %d after %v", from.name(), a.Seq, age)
				}
			}
		}
		if !found {
			w.fail(6, false, "%s proves tombstone %d of another life", from.name(), a.Seq)
		}
	}
}

// Settle ends all faults between the nodes, lets every pair exchange its state once and checks INV-7.
func (w *World) Settle() {
	w.calm()
	w.Run(2 * time.Second)
	for w.anyHalted() {
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
	for _, m := range w.marks {
		w.checkGone(m)
	}
	// INV-5: all that was said lately, once more and in any order, evicts nothing more.
	before := w.evictions()
	w.replay(len(w.net.old))
	w.Run(3 * time.Second)
	if more := w.evictions() - before; more > 0 {
		w.fail(5, false, "%d evictions by a replay of what had been said", more)
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
func (w *World) checkGone(m *mark) {
	age := time.Duration(w.now - m.u)
	if m.life == 0 || m.origin.boot != m.id.Origin.Boot || age > tombstone.TTL*9/10 || m.origin.stoodStill > 0 {
		return
	}
	room := int64(50*time.Millisecond) + int64(age)/10 + (w.now-m.life)/10
	for _, n := range w.nodes {
		g := n.ghosts[m.id.Key]
		if n == m.origin || g == nil || n.stoodStill > 0 || n.x.Status(0, n.stamp()).HeldUntil != (clock.Stamp{}) {
			continue
		}
		who, _ := n.table.Holds(m.id.Key)
		if who == m.id.Identity && g.owner.firstByteTrue < m.life-room && g.lastRegister < m.u-room {
			w.fail(7, false, "%s still holds %s, which tombstone %d of %s proves to be gone", n.name(), m.id.Cluster,
				m.id.Seq, m.origin.name())
		}
	}
}

func anyRevision(id tombstone.ID) tombstone.ID {
	id.Revision = 0
	return id
}

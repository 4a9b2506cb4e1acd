package world

import (
	"time"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// Ghost is the truth about one registration held at one node.
type Ghost struct {
	Regs         []GhostReg // every REGISTER applied to it since it began
	Owner        *Conn      // the newest of their connections
	LastRegister int64      // true time
}

// GhostReg says which life sent a REGISTER, and when in its own order.
type GhostReg struct {
	Conn *Conn
	Seq  int
}

// Ghosts are those of the registrations that one process of a node holds.
type Ghosts map[tombstone.Key]*Ghost

// Mark is the truth about one tombstone.
type Mark struct {
	ID   tombstone.ID
	Node int // its origin, and the process there
	Boot uint64
	Proc *Proc
	Seq  int   // of the UNREGISTER in the process's own order
	U    int64 // true time
	Life int64 // true time of L; 0: none
}

// Registered notes a REGISTER.
func (gs Ghosts) Registered(c *Conn, f *Frame) *Ghost {
	g := gs[f.Key]
	if g == nil {
		g = &Ghost{Owner: c}
		gs[f.Key] = g
	}
	if c.ID >= g.Owner.ID {
		g.Owner = c
	}
	g.LastRegister = c.w.Time.Now()
	g.Regs = append(g.Regs, GhostReg{c, f.Seq})
	return g
}

// Explained says that an open connection has registered k: INV-2.
func (gs Ghosts) Explained(k tombstone.Key) bool {
	g := gs[k]
	if g == nil {
		return false
	}
	for _, r := range g.Regs {
		if r.Conn.Open {
			return true
		}
	}
	return false
}

// Flagged says that a residual case was made with one of its processes.
func (g *Ghost) Flagged() bool {
	for _, r := range g.Regs {
		if r.Conn.Proc.Flagged {
			return true
		}
	}
	return false
}

// Mark notes a tombstone that the UNREGISTER f has made, and checks that it may: INV-9.
func (w *World) Mark(c *Conn, f *Frame, id tombstone.ID, life int64) *Mark {
	m := &Mark{ID: id, Node: c.Node, Boot: c.Life, Proc: c.Proc, Seq: f.Seq, U: w.Time.Now(), Life: life}
	w.Marks = append(w.Marks, m)
	w.byID[anyRevision(id)] = m
	if !f.Unregister || c.Proc.Kind == Proxied {
		w.Fail(9, false, "%s made a tombstone of a frame that must not make one", NodeName(c.Node))
	}
	w.Logf("%s makes tombstone %d of %s, life %v", NodeName(c.Node), id.Seq, id.Cluster, time.Duration(m.Life))
	return m
}

// Marked is the truth about a tombstone; nil: nobody made it, which is a failure.
func (w *World) Marked(node int, id tombstone.ID) *Mark {
	m := w.byID[anyRevision(id)]
	if m == nil {
		w.Fail(9, false, "%s judged a tombstone that nobody made: %+v", NodeName(node), id)
	}
	return m
}

// Evict notes that a node has evicted what g is the truth of by tombstone m, and checks that no registration went that in
// the broker's own order came after the UNREGISTER: INV-1.
func (w *World) Evict(node int, g *Ghost, m *Mark, flagged bool) {
	w.Evicted++
	for _, r := range g.Regs {
		p := r.Conn.Proc
		foreign := p.host != m.Proc.host // only another host's ownership counts: its other frames own nothing
		if foreign && r.Conn == g.Owner || !foreign && (p.Num > m.Proc.Num || p == m.Proc && r.Seq > m.Seq) {
			w.Fail(1, flagged, "%s evicted %s, registered by %s (frame %d), for the unregister of %s (frame %d)",
				NodeName(node), m.ID.Cluster, p.Name(), r.Seq, m.Proc.Name(), m.Seq)
			return
		}
	}
}

// Gone says that the rule of m holds for what g is the truth of with room to spare, so that it must be gone: INV-7.
func (m *Mark) Gone(g *Ghost, held tombstone.Identity, now int64) bool {
	age := now - m.U
	if m.Life == 0 || time.Duration(age) > tombstone.TTL*9/10 {
		return false
	}
	room := int64(50*time.Millisecond) + age/10 + (now-m.Life)/10
	return held == m.ID.Identity && g.Owner.FirstByte < m.Life-room && g.LastRegister < m.U-room
}

// Raise makes an acknowledged write at that time the proof of life of a tombstone of a broker that unregisters first.
func (m *Mark) Raise(at int64) {
	if k := m.Proc.Kind; k == V5 || k == Container || k == V5Keeps {
		m.Life = max(m.Life, at)
	}
}

func anyRevision(id tombstone.ID) tombstone.ID {
	id.Revision = 0
	return id
}

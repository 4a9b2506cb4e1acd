package world

import (
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// Ghost is the truth about one registration held at one node, by the host that claims it.
type Ghost struct {
	Claims map[int]*GhostClaim
	shown  *GhostClaim
}

// GhostClaim is the truth about what one host says of a registration.
type GhostClaim struct {
	Regs         []GhostReg // every REGISTER of the host since the claim began
	Owner        *Conn      // the newest of their connections
	LastRegister int64      // true time
}

// GhostReg says which life sent a REGISTER, when in its own order, and when it was handled.
type GhostReg struct {
	Conn *Conn
	Seq  int
	At   int64 // true time
}

// window is how long after its last REGISTER a claim inherits, with room for clocks that run fast.
const window = 50 * time.Second

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

// Registered notes a REGISTER. A claim whose owner is gone has ended with it.
func (gs Ghosts) Registered(c *Conn, f *Frame) *Ghost {
	c.back(f)
	g := gs[f.Key]
	if g == nil {
		g = &Ghost{Claims: map[int]*GhostClaim{}}
		gs[f.Key] = g
	}
	claim := g.Claims[c.Proc.host]
	if claim == nil || !claim.Owner.Open {
		claim = &GhostClaim{Owner: c}
		g.Claims[c.Proc.host] = claim
	}
	if c.ID >= claim.Owner.ID {
		claim.Owner = c
	}
	claim.LastRegister = c.w.Time.Now()
	claim.Regs = append(claim.Regs, GhostReg{c, f.Seq, claim.LastRegister})
	g.shown = claim
	return g
}

// Owner is the connection of the claim that shows: that of the newest REGISTER whose owner is open.
func (g *Ghost) Owner() *Conn {
	if g.shown == nil || !g.shown.Owner.Open || g.Claims[g.shown.Owner.Proc.host] != g.shown {
		g.shown = nil
		for _, c := range g.Claims {
			if c.Owner.Open && (g.shown == nil || c.LastRegister > g.shown.LastRegister) {
				g.shown = c
			}
		}
	}
	if g.shown == nil {
		return nil
	}
	return g.shown.Owner
}

// Explained says that an open connection has registered k: INV-2.
func (gs Ghosts) Explained(k tombstone.Key) bool {
	g := gs[k]
	if g == nil {
		return false
	}
	for _, c := range g.Claims {
		if slices.ContainsFunc(c.Regs, func(r GhostReg) bool { return r.Conn.Open }) {
			return true
		}
	}
	return false
}

// Inherits says that a claim of another host must keep the registration when that of this one ends: its process goes on
// registering.
func (g *Ghost) Inherits(host int, now int64) *GhostClaim {
	for h, c := range g.Claims {
		if h != host && c.Owner.Open && c.LastRegister > now-int64(window) {
			return c
		}
	}
	return nil
}

// Flagged says that a residual case was made with one of its processes.
func (g *Ghost) Flagged() bool {
	for _, c := range g.Claims {
		if slices.ContainsFunc(c.Regs, func(r GhostReg) bool { return r.Conn.Proc.Flagged }) {
			return true
		}
	}
	return false
}

// Mark notes a tombstone that the UNREGISTER f has made, whose first byte was read at u, and checks that it may: INV-9.
func (w *World) Mark(c *Conn, f *Frame, id tombstone.ID, u, life int64) *Mark {
	m := &Mark{ID: id, Node: c.Node, Boot: c.Life, Proc: c.Proc, Seq: f.Seq, U: u, Life: life}
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

// Take notes that by tombstone m a node has taken the claim whose owner was the connection with that number of what g is the
// truth of, and whether the registration went with it. It checks INV-1: that no REGISTER went that in the broker's own order came
// after the UNREGISTER, that nobody else's claim went, and that the registration stayed where another host goes on registering.
func (w *World) Take(node int, g *Ghost, m *Mark, v tombstone.Verdict, flagged bool) {
	host, now := m.Proc.host, w.Time.Now()
	claim := g.Claims[host]
	if claim == nil || claim.Owner.ID != v.Conn {
		w.Fail(1, flagged, "%s took connection %d of %s, which %s never claimed, for the unregister of %s",
			NodeName(node), v.Conn, m.ID.Cluster, m.Proc.Name(), m.Proc.Name())
		return
	}
	delete(g.Claims, host)
	claim.Owner.took(m.ID)
	for _, r := range claim.Regs {
		if p := r.Conn.Proc; p.Num > m.Proc.Num || p == m.Proc && r.Seq > m.Seq {
			w.Fail(1, flagged, "%s took %s, registered by %s (frame %d), for the unregister of %s (frame %d)",
				NodeName(node), m.ID.Cluster, p.Name(), r.Seq, m.Proc.Name(), m.Seq)
			return
		}
	}
	if v.Outcome != tombstone.Evicted {
		return
	}
	w.Evicted++
	if heir := g.Inherits(host, now); heir != nil {
		w.Fail(1, flagged, "%s evicted %s, which %s registered %v ago, for the unregister of %s", NodeName(node), m.ID.Cluster,
			heir.Owner.Proc.Name(), time.Duration(now-heir.LastRegister), m.Proc.Name())
	}
}

// Gone says that the rule of m holds for the claim of its source on what g is the truth of with room to spare, so that it must be
// gone: INV-7. held are those that claim it at the node.
func (m *Mark) Gone(g *Ghost, held []tombstone.Identity, now int64) bool {
	age, claim := now-m.U, g.Claims[m.Proc.host]
	if claim == nil || m.Life == 0 || time.Duration(age) > tombstone.TTL*9/10 {
		return false
	}
	room := int64(50*time.Millisecond) + age/10 + (now-m.Life)/10
	return slices.Contains(held, m.ID.Identity) && claim.Owner.FirstByte < m.Life-room && claim.LastRegister < m.U-room
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

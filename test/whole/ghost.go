package whole

import (
	"fmt"
	"log/slog"
	"slices"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// ghost is the truth about one registration held at one node.
type ghost struct {
	regs         []ghostReg // every REGISTER that the node has read since it began
	owner        *conn
	lastRegister time.Time
}

type ghostReg struct {
	conn *conn
	seq  int
}

// mark is the truth about one tombstone.
type mark struct {
	id     string
	key    tombstone.Key
	origin *life
	proc   *proc
	seq    int // of the UNREGISTER in the process's own order
	u      time.Time
	life   time.Time // L; zero: none
}

// leaving is an UNREGISTER that a node has just read.
type leaving struct {
	conn *conn
	seq  int
	at   time.Time
}

// handles notes a frame that the node has read: it handles it before time goes on.
func (l *life) handles(c *conn, f frame) {
	w := l.m.w
	if f.unregister {
		c.proc.leaving--
		l.leaving[f.key] = leaving{conn: c, seq: f.seq, at: time.Now()}
		w.logf("%s reads the unregister of %s by %s", l.m.name(), f.key.Cluster, c.proc.name())
		return
	}
	w.logf("%s reads the register of %s by %s", l.m.name(), f.key.Cluster, c.proc.name())
	g := l.ghosts[f.key]
	if g == nil {
		g = &ghost{owner: c}
		l.ghosts[f.key] = g
	}
	if c.id >= g.owner.id {
		g.owner = c
	}
	g.lastRegister = time.Now()
	g.regs = append(g.regs, ghostReg{c, f.seq})
}

// heard is a line of the node's log.
func (l *life) heard(line string, attrs map[string]slog.Value) {
	w := l.m.w
	key := tombstone.Key{Cluster: attrs["cluster"].String(), Addr: attrs["addr"].String()}
	w.lines[line]++
	switch line {
	case routes.BrokerEvicted.String():
		if g := l.ghosts[key]; g != nil {
			l.evicted[key] = g
		}
		delete(l.ghosts, key)
	case routes.BrokerUnregistered.String(), routes.BrokerLost.String(), routes.BrokerExpired.String():
		delete(l.ghosts, key)
	case "tombstone made":
		l.made(key, idOf(attrs))
	case "tombstone judged":
		outcome := attrs["outcome"].String()
		w.logf("%s judges %s of %s: %s (life %v, register %v)", l.m.name(), key.Cluster, attrs["origin"], outcome,
			attrs["life_margin"], attrs["register_margin"])
		if outcome == tombstone.Evicted.String() {
			l.judged(key, idOf(attrs))
		}
	}
}

// idOf tells tombstones apart.
func idOf(attrs map[string]slog.Value) string {
	return fmt.Sprintf("%s/%s/%s", attrs["origin"], attrs["boot"], attrs["seq"])
}

// made notes a tombstone and checks that an UNREGISTER was read at this moment: INV-9.
func (l *life) made(key tombstone.Key, id string) {
	w := l.m.w
	u, ok := l.leaving[key]
	if !ok || !u.at.Equal(time.Now()) || u.conn.proc.kind == proxied {
		w.failed(9, "%s made a tombstone of %s although nothing that makes one was read", l.m.name(), key.Cluster)
		return
	}
	m := &mark{id: id, key: key, origin: l, proc: u.conn.proc, seq: u.seq, u: u.at}
	for _, wr := range u.conn.writes {
		if wr.acked && wr.at.Before(u.at) && wr.end <= u.conn.ackedOff {
			m.life = wr.at
		}
	}
	for i := range u.conn.unasked {
		if u.conn.unasked[i].seq == u.seq {
			u.conn.unasked[i].mark = m
		}
	}
	w.marks = append(w.marks, m)
	w.byID[id] = m
	w.logf("%s makes tombstone %s of %s", l.m.name(), id, key.Cluster)
}

// judged checks an eviction against the truth: INV-1.
func (l *life) judged(key tombstone.Key, id string) {
	w := l.m.w
	w.evicted++
	m, g := w.byID[id], l.evicted[key]
	delete(l.evicted, key)
	if m == nil || g == nil {
		w.failed(9, "%s evicted %s for a tombstone that nobody made: %s", l.m.name(), key.Cluster, id)
		return
	}
	for _, r := range g.regs {
		p := r.conn.proc
		foreign := p.host != m.proc.host // only another host's ownership counts: its other frames own nothing
		if foreign && r.conn == g.owner || !foreign && (p.num > m.proc.num || p == m.proc && r.seq > m.seq) {
			w.failed(1, "%s evicted %s, registered by %s (frame %d), for the unregister of %s (frame %d)",
				l.m.name(), key.Cluster, p.name(), r.seq, m.proc.name(), m.seq)
			return
		}
	}
}

// check is INV-2 (everything held is explained) and the ages of INV-6, at every node.
func (w *World) check() {
	synctest.Wait()
	for _, m := range w.machine {
		l := m.current()
		if l == nil {
			continue
		}
		held := l.node.Table().Registrations()
		var own []tombstone.OwnStatus
		if !m.plain {
			own = l.node.Gossip().Status(100).Own
		}
		w.mu.Lock()
		for i := range held {
			if r := &held[i]; !l.explained(r) {
				w.failed(2, "%s holds %s %s on connection %v, which no open connection registered",
					m.name(), r.Cluster, r.Addr, r.Owner)
			}
		}
		for _, o := range own {
			if o.Age > tombstone.TTL+2*time.Second {
				w.failed(6, "%s has a tombstone of %v", m.name(), o.Age)
			}
		}
		w.mu.Unlock()
	}
}

func (l *life) explained(r *routes.Record) bool {
	g := l.ghosts[tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}]
	return g != nil && slices.ContainsFunc(g.regs, func(reg ghostReg) bool { return !reg.conn.shut })
}

// checkGone is INV-7: where the rule of a live tombstone holds with room to spare, the registration is gone.
func (w *World) checkGone() {
	for _, m := range w.machine {
		l := m.gossiping()
		if l == nil || !l.node.Gossip().Status(0).HeldUntil.IsZero() {
			continue
		}
		held := l.node.Table().Registrations()
		w.mu.Lock()
		for i := range held {
			r := &held[i]
			key := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
			for _, mark := range w.marks {
				if mark.key == key && l.provablyGone(key, mark) {
					w.failed(7, "%s still holds %s, which tombstone %s proves to be gone", m.name(), r.Cluster, mark.id)
				}
			}
		}
		w.mu.Unlock()
	}
}

func (l *life) provablyGone(key tombstone.Key, m *mark) bool {
	age := time.Since(m.u)
	g := l.ghosts[key]
	if g == nil || m.life.IsZero() || m.origin.m.life != m.origin || m.origin == l || age > tombstone.TTL*9/10 ||
		m.origin.m.stoodStill || l.m.stoodStill || g.owner.proc.host != m.proc.host {
		return false
	}
	room := 50*time.Millisecond + age/10 + time.Since(m.life)/10
	return g.owner.first.Before(m.life.Add(-room)) && g.lastRegister.Before(m.u.Add(-room))
}

package whole

import (
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// leaving is an UNREGISTER that a node has just read.
type leaving struct {
	conn  *conn
	frame world.Frame
	begun int64 // true time at which its first byte was read
	at    int64 // and its last one
}

// begins notes a frame of which the node has read the first byte.
func (l *life) begins(c *conn, f *world.Frame) {
	if f.Unregister {
		c.Proc.Leaving--
	}
}

// handles notes a frame that the node has read: it handles it before time goes on.
func (l *life) handles(c *conn, f *frame) {
	w := l.m.w
	if f.Unregister {
		c.Unregistered(f.Key)
		l.leaving[f.Key] = leaving{conn: c, frame: f.Frame, begun: f.begun, at: w.Time.Now()}
		w.Logf("%s reads the unregister of %s by %s", l.m.name(), f.Key.Cluster, c.Proc.Name())
		return
	}
	w.Logf("%s reads the register of %s by %s", l.m.name(), f.Key.Cluster, c.Proc.Name())
	delete(l.vanished, f.Key)
	w.Sign(c.Proc.Host(), l.m.index)
	l.ghosts.Registered(c.Conn, &f.Frame)
}

// changed is told of every change of the node's tables.
func (l *life) changed(e *routes.Event) {
	l.m.w.mu.Lock()
	defer l.m.w.mu.Unlock()
	key := tombstone.Key{Cluster: e.Cluster, Addr: e.Addr}
	switch e.Kind {
	case routes.BrokerEvicted:
		if g := l.ghosts[key]; g != nil {
			l.evicted[key] = g
		}
		delete(l.ghosts, key)
	case routes.BrokerVanished:
		l.hostEvicted(key)
		delete(l.ghosts, key)
	case routes.BrokerRestored:
		l.restored(key)
	case routes.BrokerUnregistered, routes.BrokerLost, routes.BrokerExpired:
		delete(l.ghosts, key)
	}
}

// made is told of every tombstone of the node, and checks that an UNREGISTER was read at this moment: INV-9.
func (l *life) made(id tombstone.ID) {
	w := l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	u, ok := l.leaving[id.Key]
	if !ok || u.at != w.Time.Now() {
		w.Fail(9, false, "%s made a tombstone of %s although nothing that makes one was read", l.m.name(), id.Cluster)
		return
	}
	life := int64(0)
	for _, wr := range u.conn.Writes {
		if wr.Acked && wr.At < u.begun && wr.EndByte <= u.conn.acked {
			life = wr.At
		}
	}
	m := w.Mark(u.conn.Conn, &u.frame, id, u.begun, life)
	if l.vanished[id.Key].owner == u.conn.Conn {
		w.farewells++
		delete(l.vanished, id.Key)
	}
	for i := range u.conn.unasked {
		if f := &u.conn.unasked[i]; f.Seq == u.frame.Seq {
			f.mark = m
		}
	}
}

// decided is told of every decision of the node on another one's tombstone.
func (l *life) decided(d tombstone.Decision) {
	w := l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Logf("%s judges %s of %s: %v (life %v, register %v)", l.m.name(), d.ID.Cluster, d.ID.Origin.Name, d.Verdict.Outcome,
		d.Verdict.LifeMargin, d.Verdict.RegisterMargin)
	m := w.Marked(l.m.index, d.ID)
	if m == nil || !d.Verdict.Took() {
		return
	}
	g := l.ghosts[d.ID.Key]
	if d.Verdict.Outcome == tombstone.Evicted {
		g = l.evicted[d.ID.Key]
		delete(l.evicted, d.ID.Key)
	}
	if g == nil {
		w.Fail(9, false, "%s evicted %s, which it did not hold", l.m.name(), d.ID.Cluster)
		return
	}
	w.Take(l.m.index, g, m, d.Verdict, false)
}

// refuted is told of every eviction that the node takes for wrong.
func (l *life) refuted(r tombstone.RefutedEviction) {
	w := l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Refuted(l.m.index, r.Decision.ID.Key)
}

// check is INV-2 (everything held is explained), the ages of INV-6, and that nothing is overdue by INV-10, at every node.
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
			if r := &held[i]; !l.ghosts.Explained(tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}) {
				w.Fail(2, false, "%s holds %s %s on connection %v, which no open connection registered",
					m.name(), r.Cluster, r.Addr, r.Owner)
			}
		}
		for _, o := range own {
			if o.Age > tombstone.TTL+2*time.Second {
				w.Fail(6, false, "%s has a tombstone of %v", m.name(), o.Age)
			}
		}
		if !m.plain && !m.stoodStill {
			w.Overdue(m.index, 0)
		}
		l.checkFarewells()
		w.mu.Unlock()
	}
}

// checkGone is INV-7: where the rule of a live tombstone holds with room to spare, the registration is gone.
func (w *World) checkGone() {
	for _, m := range w.machine {
		l := m.gossiping()
		if l == nil || len(l.node.Gossip().Status(0).Holds) > 0 {
			continue
		}
		w.mu.Lock()
		marks := w.Marks
		w.mu.Unlock()
		for _, mark := range marks {
			held := l.node.Table().Holders(mark.ID.Key)
			w.mu.Lock()
			origin, g := w.machine[mark.Node], l.ghosts[mark.ID.Key]
			if g != nil && origin != m && origin.Life() == mark.Boot && !origin.stoodStill && !m.stoodStill &&
				mark.Gone(g, held, w.Time.Now()) {
				w.Fail(7, false, "%s still holds %s, which tombstone %d of %s proves to be gone", m.name(), mark.ID.Cluster,
					mark.ID.Seq, origin.name())
			}
			w.mu.Unlock()
		}
	}
}

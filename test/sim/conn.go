package sim

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/world"
)

// conn is a node's end of a connection.
type conn struct {
	*world.Conn
	node      *node
	also      []uint64 // ids it was given to break the ownership rule
	firstByte clock.Stamp
	begun     clock.Stamp // first byte of the frame that is being read
	began     int64       // the same in true time
	lastRead  int64       // true time
}

// Life tells the node's processes apart.
func (n *node) Life() uint64 { return n.boot }

// Accept takes a connection.
func (n *node) Accept(c *world.Conn) bool {
	if n.down || n.until > n.w.now {
		return false
	}
	n.accept++
	c.ID = n.accept
	mine := &conn{Conn: c, node: n}
	c.End = mine
	n.conns[c.ID] = mine
	if n.judges {
		c.Begin(n.clock)
	}
	mine.openEarly()
	return true
}

// openedFor is a host and a node between which a proxy has connections ready.
type openedFor struct{ host, node int }

// opened is a connection that a proxy has opened before a broker needs it.
type opened struct {
	boot      uint64
	firstByte clock.Stamp
	at        int64
}

// openEarly takes the connection that a proxy has ready, and makes it open the next one. Where the proxy has said nothing on it
// that matters only to whoever takes the accept for the first byte.
func (c *conn) openEarly() {
	w := c.node.w
	k := openedFor{c.Proc.Host(), c.Node}
	if e, ok := w.early[k]; ok && e.boot == c.Life {
		switch {
		case w.flaw == FlawAcceptedNotRead:
			c.firstByte = e.firstByte
		case w.Residual == world.ResidualProxyOpensEarly:
			c.firstByte, c.FirstByte = e.firstByte, e.at
			c.Proc.Flagged = true
		}
	}
	w.early[k] = opened{c.Life, c.node.stamp(), w.now}
}

// Dead says that the node's process has ended.
func (c *conn) Dead() bool { return c.node.boot != c.Life }

// Take handles a frame as soon as the node's process runs.
func (c *conn) Take(f world.Frame, at int64) { c.node.when(at, func() { c.handle(&f) }) }

// Reset ends the connection as soon as the node's process runs.
func (c *conn) Reset(at int64) { c.node.when(at, func() { c.node.lost(c) }) }

func (c *conn) handle(f *world.Frame) {
	n := c.node
	if !c.Open {
		return
	}
	c.lastRead = n.w.now
	if f.Part != world.Rest {
		c.begins(f)
	}
	switch {
	case f.FIN:
		n.lost(c)
	case f.Part == world.First:
		return
	case f.Unregister:
		n.unregister(c, f, n.w.flaw.unregistered(c))
	default:
		n.w.Logf("%s handles the register of %s by %s", n.name(), f.Key.Cluster, c.Proc.Name())
		n.register(c, f)
	}
	n.check()
}

// begins stamps the first byte of a frame, and of the connection.
func (c *conn) begins(f *world.Frame) {
	c.begun, c.began = c.node.stamp(), c.node.w.now
	switch {
	case f.FIN:
		return
	case f.Unregister:
		c.Proc.Leaving--
	}
	if c.FirstByte == 0 {
		c.FirstByte = c.began
	}
	if c.firstByte.IsZero() {
		c.firstByte = c.begun
	}
}

// Acked is an acknowledgement. The kernel takes it also while the node's process is paused; the process looks at it when
// it runs.
func (c *conn) Acked(wr *world.Write) {
	n, at, stamp := c.node, wr.At, wr.Stamp
	for _, m := range wr.Marks {
		n.when(n.w.now, func() {
			now := n.stamp()
			if now.Sub(stamp) > 100*time.Millisecond {
				return // nobody polls so long
			}
			n.w.raised(m, at)
			n.output(n.x.LateProof(m.ID, stamp, now))
		})
	}
}

// reply writes an answer.
func (c *conn) reply(wr world.Write) {
	n := c.node
	if n.w.flaw != FlawStampedLate {
		wr.Stamp = n.stamp()
	}
	c.Reply(wr)
	if n.w.flaw == FlawStampedLate {
		i := len(c.Writes) - 1
		n.when(n.w.now+int64(n.w.Between(0, 200*time.Millisecond)), func() { c.Writes[i].Stamp = n.stamp() })
	}
}

// life is the stamp of the newest acknowledged write before u.
func (c *conn) life(u clock.Stamp) clock.Stamp {
	for i := len(c.Writes) - 1; i >= 0; i-- {
		if wr := c.Writes[i]; wr.Acked && !wr.Stamp.IsZero() && wr.Stamp.Before(u) {
			return wr.Stamp
		}
	}
	return clock.Stamp{}
}

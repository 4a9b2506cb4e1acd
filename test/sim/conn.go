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
	lastRead  int64 // true time
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
	mine.openEarly()
	return true
}

// openedFor is a host and a node between which a proxy has connections ready.
type openedFor struct{ host, node int }

// opened is a connection that a proxy has opened, and said something on, before a broker needs it.
type opened struct {
	boot      uint64
	firstByte clock.Stamp
	at        int64
}

// openEarly gives the connection to the one that the proxy has ready, and makes it open the next one.
func (c *conn) openEarly() {
	w := c.node.w
	if w.Residual != world.ResidualProxyOpensEarly {
		return
	}
	k := openedFor{c.Proc.Host(), c.Node}
	if e, ok := w.early[k]; ok && e.boot == c.Life {
		c.firstByte, c.FirstByte = e.firstByte, e.at
		c.Proc.Flagged = true
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
	at := n.stamp()
	c.lastRead = n.w.now
	if c.firstByte.IsZero() && !f.FIN {
		c.firstByte, c.FirstByte = at, n.w.now
	}
	switch {
	case f.FIN:
		n.lost(c)
	case f.Unregister:
		c.Proc.Leaving--
		n.unregister(c, f, at)
	default:
		n.w.Logf("%s handles the register of %s by %s", n.name(), f.Key.Cluster, c.Proc.Name())
		n.register(c, f)
	}
	n.check()
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

// life is the stamp of the newest acknowledged write before u.
func (c *conn) life(u clock.Stamp) clock.Stamp {
	for i := len(c.Writes) - 1; i >= 0; i-- {
		if wr := c.Writes[i]; wr.Acked && wr.Stamp.Before(u) {
			return wr.Stamp
		}
	}
	return clock.Stamp{}
}

package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// kind is what a process is, as far as tombstones care.
type kind int

const (
	v5        kind = iota // Java 5.x: unregisters first, before it gives up its port and its store lock
	v4                    // Java 4.x: unregisters near the end, when its successor may already run
	rust                  // says version 5 but closes its servers first
	container             // a BrokerContainer: registers and unregisters inner brokers as it likes
	proxied               // a 5.x broker behind a front end that sends a PROXY header
	v5keeps               // residual: 5.x with clientCloseSocketIfTimeout=false
	kinds
)

var kindNames = [kinds]string{"v5", "v4", "rust", "container", "proxied", "v5keeps"}

func (k kind) version() int32 {
	if k == v4 {
		return 395 // V4_9_x
	}
	return 479 // V5_5_0
}

func (k kind) language() uint8 {
	if k == rust {
		return 12 // anything but JAVA
	}
	return 0
}

// proc is one life of a broker or tool. It never registers from another IP.
type proc struct {
	w        *World
	num      int // also its place in the order of lives
	ip       int
	kind     kind
	key      tombstone.Key
	alive    bool
	stopping bool // a stopping process registers no more
	over     bool // its successor has started: it unregisters no more
	flagged  bool // a residual case was made with it
	as       Guise
	seq      int // frames sent, in its own order
	leaving  int // UNREGISTERs that no node has handled yet
	conns    map[int]*conn
	all      []*conn // also those it has closed
}

func (p *proc) name() string { return fmt.Sprintf("p%d", p.num) }

// Guise is what a process says about itself when it does not say the usual.
type Guise struct {
	Cluster, Addr, Name string
	ID                  int64
	Timeout             time.Duration
}

// Set reads the words of an as step behind the process: name=value each.
func (g *Guise) Set(words []string) (err error) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "cluster":
			g.Cluster = value
		case "addr":
			g.Addr = value
		case "name":
			g.Name = value
		case "id":
			g.ID, err = strconv.ParseInt(value, 10, 64)
		case "timeout":
			g.Timeout, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown %q", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frame is a REGISTER or UNREGISTER on its way.
type frame struct {
	unregister bool
	fin        bool
	key        tombstone.Key
	name       string
	id         int64
	seq        int // in the process's own order
}

// conn is a TCP connection with both of its ends.
type conn struct {
	proc *proc
	node *node
	boot uint64 // boot of the node's process

	// the broker's end
	closed  bool // the process has closed it, or has exited
	waiting int  // UNREGISTERs sent and not answered
	asking  int  // REGISTERs sent and not answered

	// the way
	lastArrival int64
	held        []frame // while the path is stalled
	answers     []int   // replies held on the way back, as indexes of writes
	lostFrames  bool    // the host vanished: what is held never arrives

	// the node's end
	id            uint64
	also          []uint64 // ids it was given to break the ownership rule
	open          bool
	reset         bool // an RST came: what has not arrived never will
	proxied       bool
	firstByte     clock.Stamp
	firstByteTrue int64
	lastHandled   int64
	writes        []write
	withheld      []int // acknowledgements that do not come (yet)
}

// write is a reply written by the node.
type write struct {
	stamp     clock.Stamp
	at        int64 // true time
	acked     bool
	tombstone tombstone.ID // of the UNREGISTER that it answers, if that made one
	unreg     bool
}

// pathState is the way between a host and a node.
type pathState struct {
	stalled bool
	acks    ackMode
}

type ackMode int

const (
	acksAtOnce ackMode = iota
	acksLate           // 40 to 200 ms
	acksNever          // until the mode changes
)

func (w *World) path(ip, node int) *pathState {
	p := w.paths[path{ip, node}]
	if p == nil {
		p = &pathState{}
		w.paths[path{ip, node}] = p
	}
	return p
}

// connect answers the process's connection to a node, a new one if needed and possible.
func (p *proc) connect(n *node) *conn {
	if c := p.conns[n.index]; c != nil && !c.closed && c.boot == n.boot {
		return c
	}
	if p.w.path(p.ip, n.index).stalled || n.down || n.until > p.w.now {
		return nil
	}
	n.accept++
	c := &conn{proc: p, node: n, boot: n.boot, id: n.accept, open: true, proxied: p.kind == proxied}
	n.conns[c.id] = c
	p.w.openEarly(c)
	p.conns[n.index] = c
	p.all = append(p.all, c)
	return c
}

// openedEarly is a connection that a proxy has opened, and said something on, before a broker needs it.
type openedEarly struct {
	boot      uint64
	firstByte clock.Stamp
	at        int64
}

// openEarly gives the connection to the one that the proxy has ready, and makes it open the next one.
func (w *World) openEarly(c *conn) {
	if w.residual != ResidualProxyOpensEarly {
		return
	}
	k := path{c.proc.ip, c.node.index}
	if e, ok := w.early[k]; ok && e.boot == c.boot {
		c.firstByte, c.firstByteTrue = e.firstByte, e.at
		c.proc.flagged = true
	}
	w.early[k] = openedEarly{c.boot, c.node.stamp(), w.now}
}

// send puts a frame on the connection, in order; it may arrive after the process has gone.
func (c *conn) send(f frame) {
	w := c.proc.w
	if f.unregister {
		c.waiting++
		c.proc.leaving++
		w.after(3*time.Second, func() { c.timeout(f.seq) })
	} else if !f.fin {
		c.asking++
	}
	if w.path(c.proc.ip, c.node.index).stalled {
		c.held = append(c.held, f)
		return
	}
	c.travel(f, w.delay())
}

// timeout closes the socket of a call that was not answered within 3 s, as the Java client does.
func (c *conn) timeout(int) {
	if c.waiting > 0 && !c.closed && c.proc.kind != v5keeps {
		c.proc.w.logf("%s gives up its connection to %s", c.proc.name(), c.node.name())
		c.close()
	}
}

func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.waiting, c.asking = 0, 0
	if c.proc.conns[c.node.index] == c {
		delete(c.proc.conns, c.node.index)
	}
	c.send(frame{fin: true})
}

func (c *conn) travel(f frame, d time.Duration) {
	w := c.proc.w
	c.lastArrival = max(c.lastArrival, w.now+int64(d))
	w.at(c.lastArrival, func() { c.arrive(f) })
}

// arrive puts the frame into the node's receive buffer; it is handled in order, sometimes late.
func (c *conn) arrive(f frame) {
	if c.reset || c.node.boot != c.boot {
		return
	}
	w := c.proc.w
	c.lastHandled = max(c.lastHandled, w.now)
	if w.chance(w.busy) {
		c.lastHandled += int64(w.between(0, 200*time.Millisecond))
	}
	c.node.when(c.lastHandled, func() { c.handle(f) })
}

func (c *conn) handle(f frame) {
	n := c.node
	if !c.open {
		return
	}
	at := n.stamp()
	if c.firstByte.IsZero() && !f.fin {
		c.firstByte, c.firstByteTrue = at, n.w.now
	}
	switch {
	case f.fin:
		n.lost(c)
	case f.unregister:
		c.proc.leaving--
		n.unregister(c, f, at)
	default:
		n.w.logf("%s handles the register of %s by %s", n.name(), f.key.Cluster, c.proc.name())
		n.register(c, f)
	}
	n.check()
}

// reply writes the answer to f. What becomes of it tells whether the broker lives.
func (c *conn) reply(f frame, id tombstone.ID) {
	w := c.proc.w
	c.writes = append(c.writes, write{stamp: c.node.stamp(), at: w.now, tombstone: id, unreg: f.unregister})
	i := len(c.writes) - 1
	if w.path(c.proc.ip, c.node.index).stalled {
		c.answers = append(c.answers, i)
		return
	}
	w.after(w.delay(), func() { c.answered(i) })
}

// answered is a reply that reaches the broker's host.
func (c *conn) answered(i int) {
	w := c.proc.w
	st := w.path(c.proc.ip, c.node.index)
	if st.stalled {
		c.answers = append(c.answers, i)
		return
	}
	if c.lostFrames {
		return
	}
	if c.closed && !(w.residual == ResidualProxyBuffers && c.proc.flagged) {
		w.after(w.delay(), func() { c.resetArrives() })
		return
	}
	if c.writes[i].unreg {
		c.waiting = max(0, c.waiting-1)
	} else {
		c.asking = max(0, c.asking-1)
	}
	switch st.acks {
	case acksNever:
		c.withheld = append(c.withheld, i)
	case acksLate:
		w.after(w.between(40*time.Millisecond, 200*time.Millisecond), func() { c.acked(i) })
	default:
		w.after(w.delay(), func() { c.acked(i) })
	}
}

func (c *conn) resetArrives() {
	if c.node.boot != c.boot || c.reset {
		return
	}
	c.reset = true
	if c.proc.w.flaw == FlawResetIsAck {
		for i := range c.writes {
			c.acked(i)
		}
	}
	c.lastHandled = max(c.lastHandled, c.proc.w.now)
	c.node.when(c.lastHandled, func() { c.node.lost(c) })
}

// acked is an acknowledgement that reaches the node: of everything up to write i. The kernel takes it also while the
// node's process is paused; the process looks at it when it runs.
func (c *conn) acked(i int) {
	n := c.node
	if n.boot != c.boot || c.proc.w.path(c.proc.ip, n.index).stalled {
		return
	}
	for j := range c.writes[:i+1] {
		c.writes[j].acked = true
	}
	wr := c.writes[i]
	if wr.tombstone.Seq == 0 {
		return
	}
	n.when(n.w.now, func() {
		now := n.stamp()
		if now.Sub(wr.stamp) > 100*time.Millisecond {
			return // nobody polls so long
		}
		n.w.raised(wr.tombstone, wr.at)
		n.output(n.x.LateProof(wr.tombstone, wr.stamp, now))
	})
}

// life is the stamp of the newest acknowledged write before u.
func (c *conn) life(u clock.Stamp) clock.Stamp {
	for i := len(c.writes) - 1; i >= 0; i-- {
		if wr := c.writes[i]; wr.acked && wr.stamp.Before(u) {
			return wr.stamp
		}
	}
	return clock.Stamp{}
}

// closedByNode is a connection that the node closes itself (expiry).
func (c *conn) closedByNode() {
	c.node.when(c.proc.w.now, func() { c.node.lost(c) })
	c.closed = true
	if c.proc.conns[c.node.index] == c {
		delete(c.proc.conns, c.node.index)
	}
}

// exit ends the process: the kernel sends a FIN after what was written, and answers later data with RST.
func (p *proc) exit() {
	p.alive = false
	for _, c := range p.all {
		c.close()
	}
}

// vanish ends process and host: nothing more arrives, no FIN either.
func (p *proc) vanish() {
	p.alive = false
	for _, c := range p.all {
		c.closed, c.lostFrames, c.held = true, true, nil
	}
}

// heal lets a stalled path go on: every connection retransmits at its own time.
func (w *World) heal(ip, node int) {
	st := w.path(ip, node)
	if !st.stalled {
		return
	}
	st.stalled = false
	for _, p := range w.ordered() {
		if p.ip != ip {
			continue
		}
		for _, c := range p.all {
			if c.node.index != node {
				continue
			}
			resume := w.between(0, 2*time.Second)
			for _, f := range c.held {
				c.travel(f, resume)
				if w.busy > 0 {
					resume += w.between(0, 20*time.Millisecond)
				}
			}
			c.held = nil
			for _, i := range c.answers {
				w.after(resume, func() { c.answered(i) })
			}
			c.answers = nil
		}
	}
}

// ordered are the processes in the order of their starts, and then those of forgers.
func (w *World) ordered() []*proc {
	var ps []*proc
	for i := 0; len(ps) < len(w.procs); i++ {
		if p := w.procs[i]; p != nil {
			ps = append(ps, p)
		}
	}
	return append(ps, w.forgers...)
}

// delay is the way between a broker and a node when nothing is wrong.
func (w *World) delay() time.Duration { return w.between(50*time.Microsecond, 2*time.Millisecond) }

// unanswered says that frames of this kind are still on their way or not answered, as far as the process knows.
func (p *proc) unanswered(unregister bool) bool {
	for _, c := range p.all {
		if unregister && c.waiting > 0 || !unregister && (c.asking > 0 || anyHeld(c, unregister)) {
			return true
		}
	}
	return false
}

func anyHeld(c *conn, unregister bool) bool {
	for _, f := range c.held {
		if !f.fin && f.unregister == unregister {
			return true
		}
	}
	return false
}

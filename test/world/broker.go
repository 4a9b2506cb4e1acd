package world

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Proc is one life of a broker or tool. It never registers from another IP.
type Proc struct {
	w        *World
	Num      int // also its place in the order of lives
	host     int
	Kind     Kind
	key      tombstone.Key
	Alive    bool
	Stopping bool // a stopping process registers no more
	over     bool // its successor has started: it unregisters no more
	Flagged  bool // a residual case was made with it
	guise    Guise
	seq      int // frames sent, in its own order
	Leaving  int // UNREGISTERs that no node has handled yet
	conns    map[int]*Conn
	all      []*Conn // also those it has closed
}

// Name is how scenarios call the process.
func (p *Proc) Name() string { return fmt.Sprintf("p%d", p.Num) }

// IP is the source address of the process's host.
func (p *Proc) IP() netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, byte(p.host >> 8), byte(p.host)})
}

// Host is the number of the process's host.
func (p *Proc) Host() int { return p.host }

// Frame is a REGISTER or UNREGISTER on its way, or the end of what a connection carries.
type Frame struct {
	Unregister bool
	FIN        bool
	Key        tombstone.Key
	Name       string
	ID         int64
	Timeout    time.Duration // for heartbeats; 0: none
	Seq        int           // in the process's own order
	Part       Part
}

// Part says which part of a frame has come: one in two segments comes in parts.
type Part int

// Parts.
const (
	Whole Part = iota
	First
	Rest
)

// Conn is a TCP connection: the broker's end and the way. The node's end is an End.
type Conn struct {
	w    *World
	Proc *Proc
	host *Host
	way  *pathState
	Node int    // at the other end
	Life uint64 // of the node's process
	End  End
	ID   uint64 // at the node, in the order of accepting

	// the broker's end
	closed  bool // the process has closed it, or has exited, or the node has closed it
	waiting int  // UNREGISTERs sent and not answered
	asking  int  // REGISTERs sent and not answered

	// the way
	lastArrival int64
	lastTaken   int64
	lastAnswer  int64
	held        []Frame // while the way is shut
	answers     []int   // replies held on the way back, as indexes of Writes
	withheld    []int   // acknowledgements that do not come (yet)
	lostFrames  bool    // the host vanished: what is held never arrives
	lostAt      int64   // true time at which it lost its power; 0: it did not
	forgotten   bool    // something on the way has forgotten the connection, and drops what belongs to it
	reset       bool    // an RST came: what has not arrived never will

	// what the node's end has done
	Open      bool
	taken     map[tombstone.Key]*taken
	FirstByte int64 // true time at which the first byte of its first frame was read; 0: none yet
	Writes    []Write
	Kernel    Kernel
}

// Write is a reply written by the node.
type Write struct {
	At      int64 // true time
	Stamp   clock.Stamp
	Acked   bool
	Asks    int     // REGISTERs that it answers
	Unregs  int     // UNREGISTERs that it answers
	Marks   []*Mark // of the tombstones that those made
	EndByte uint64  // how much was written on the connection with it
}

// End is the node's end of a connection.
type End interface {
	// Dead says that what is under way goes nowhere, for the node's process has ended.
	Dead() bool
	// Take has the frame in the node's receive buffer at that time.
	Take(f Frame, at int64)
	// Reset has an RST there at that time.
	Reset(at int64)
	// Acked tells that everything up to this write is acknowledged.
	Acked(wr *Write)
}

// pathState is the way between a host and a node.
type pathState struct {
	stalled bool
	mute    bool // what the host sends is lost
	deaf    bool // what the node sends is lost
	acks    ackMode

	heard int64 // true time at which the host's newest sign of life reached the node; 0: none yet
	broke int64 // of one that came after a silence
}

// path is the way between a broker's host and a node.
type path struct{ host, node int }

type ackMode int

const (
	acksAtOnce ackMode = iota
	acksLate           // 40 to 200 ms
	acksNever          // until the mode changes
)

var ackNames = []string{"at-once", "late", "never"}

func (w *World) path(host, node int) *pathState {
	p := w.paths[path{host, node}]
	if p == nil {
		p = &pathState{}
		w.paths[path{host, node}] = p
	}
	return p
}

// connect answers the process's connection to a node, a new one if needed and possible.
func (p *Proc) connect(node int) *Conn {
	life := p.w.Nodes[node].Life()
	if c := p.conns[node]; c != nil && !c.closed && c.Life == life {
		return c
	}
	if life == 0 || !p.w.inward(p.host, node) || !p.w.outward(p.host, node) {
		return nil
	}
	c := &Conn{w: p.w, Proc: p, host: p.w.host(p.host), way: p.w.path(p.host, node), Node: node, Life: life, Open: true}
	if !p.w.Nodes[node].Accept(c) {
		return nil
	}
	p.conns[node] = c
	p.all = append(p.all, c)
	return c
}

// say sends one frame.
func (p *Proc) say(node int, k tombstone.Key, unregister bool) {
	if c := p.connect(node); c != nil {
		p.seq++
		c.send(Frame{
			Unregister: unregister, ID: p.guise.ID, Seq: p.seq, Timeout: cmp.Or(p.guise.Timeout, p.w.Timeout),
			Key:  tombstone.Key{Cluster: cmp.Or(p.guise.Cluster, k.Cluster), Addr: cmp.Or(p.guise.Addr, k.Addr)},
			Name: cmp.Or(p.guise.Name, BrokerName(k)),
		})
	}
}

// send puts a frame on the connection, in order; it may arrive after the process has gone.
func (c *Conn) send(f Frame) {
	if f.Unregister {
		c.waiting++
		c.Proc.Leaving++
		c.w.After(3*time.Second, c.timeout)
	} else if !f.FIN {
		c.asking++
	}
	if !c.outward() {
		c.held = append(c.held, f)
		if c.forgotten && !f.FIN && !f.Unregister {
			c.w.After(registerTimeout, c.close)
		}
		return
	}
	c.travel(f, c.w.delay()+c.w.again(c.Proc.host))
}

// registerTimeout is how long Java waits for the answer to a REGISTER before it closes the connection.
const registerTimeout = 24 * time.Second

// timeout closes the socket of a call that was not answered within 3 s, as the Java client does.
func (c *Conn) timeout() {
	if c.waiting > 0 && !c.closed && c.Proc.Kind != V5Keeps {
		c.w.Logf("%s gives up its connection to %s", c.Proc.Name(), NodeName(c.Node))
		c.close()
	}
}

func (c *Conn) close() {
	if !c.closed {
		c.Hangup()
		c.send(Frame{FIN: true})
	}
}

// Hangup ends the broker's use of the connection: the node has closed it, or its process has ended.
func (c *Conn) Hangup() {
	c.closed = true
	c.waiting, c.asking = 0, 0                      // its calls have failed
	if c.Proc != nil && c.Proc.conns[c.Node] == c { // nil: nobody has taken it
		delete(c.Proc.conns, c.Node)
	}
}

// travel lets a frame arrive after d, or when what was sent before it has arrived.
func (c *Conn) travel(f Frame, d time.Duration) {
	c.lastArrival = max(c.lastArrival+c.w.Step, c.w.Time.Now()+int64(d))
	c.w.Time.At(c.lastArrival, func() { c.arrive(f) })
}

// arrive puts the frame into the node's receive buffer; it is read in order, sometimes late.
func (c *Conn) arrive(f Frame) {
	if c.reset || c.End.Dead() || c.tooLate(c.w.Time.Now()) {
		return
	}
	c.Kernel.hears(true)
	c.lastTaken = max(c.lastTaken+c.w.Step, c.w.Time.Now())
	if c.w.Chance(c.w.Busy) {
		c.lastTaken += int64(c.w.Between(0, 200*time.Millisecond))
	}
	if !f.FIN && c.w.Chance(c.w.Busy) {
		f.Part = First
		c.End.Take(f, c.lastTaken)
		f.Part = Rest
		c.lastTaken += c.w.Step + int64(c.w.retransmission())
	}
	c.w.Taken = max(c.w.Taken, c.lastTaken)
	if at := c.lastTaken; f.Part == Rest && c.Kernel.On() {
		c.w.Time.At(at, func() {
			if !c.End.Dead() && !c.tooLate(at) {
				c.Kernel.hears(true)
				c.End.Take(f, at)
			}
		})
		return
	}
	c.End.Take(f, c.lastTaken)
}

// retransmission is how long the second segment of a frame is behind the first one: none is lost, one is, or some are.
func (w *World) retransmission() time.Duration {
	longest := []time.Duration{2 * time.Millisecond, 300 * time.Millisecond, 7 * time.Second}
	return w.Between(0, longest[w.Rng.IntN(len(longest))])
}

// Reply sends what the node writes, in order. What becomes of it tells whether the broker lives. The write may take its time
// before anything is on its way.
func (c *Conn) Reply(wr Write) {
	now := c.w.Time.Now()
	wr.At = now
	c.Writes = append(c.Writes, wr)
	c.Kernel.wrote()
	i := len(c.Writes) - 1
	if !c.inward() {
		c.answers = append(c.answers, i)
		return
	}
	d := c.w.delay()
	if c.w.Chance(c.w.Busy) {
		d += c.w.Between(0, 60*time.Millisecond)
	}
	c.lastAnswer = max(c.lastAnswer+c.w.Step, now+int64(d))
	c.w.Time.At(c.lastAnswer, func() { c.answered(i) })
}

// answered is a reply that reaches the broker's host.
func (c *Conn) answered(i int) {
	if !c.inward() {
		c.answers = append(c.answers, i)
		return
	}
	if c.lostFrames {
		return
	}
	if c.closed && !(c.w.Residual == ResidualProxyBuffers && c.Proc.Flagged) {
		c.w.After(c.w.delay(), c.resetArrives)
		return
	}
	c.waiting = max(0, c.waiting-c.Writes[i].Unregs)
	c.asking = max(0, c.asking-c.Writes[i].Asks)
	switch c.way.acks {
	case acksNever:
		c.withheld = append(c.withheld, i)
	case acksLate:
		c.w.After(c.w.Between(40*time.Millisecond, 200*time.Millisecond), func() { c.acked(i) })
	default:
		c.w.After(c.w.delay(), func() { c.acked(i) })
	}
}

func (c *Conn) resetArrives() {
	if c.reset || c.End.Dead() {
		return
	}
	c.reset = true
	c.Kernel.closed = true
	if c.w.ResetIsAck {
		for i := range c.Writes {
			c.acked(i)
		}
	}
	c.lastTaken = max(c.lastTaken+c.w.Step, c.w.Time.Now())
	c.End.Reset(c.lastTaken)
}

// acked is an acknowledgement that reaches the node's kernel: of everything up to write i.
func (c *Conn) acked(i int) {
	if c.End.Dead() || !c.outward() {
		return
	}
	for j := range c.Writes[:i+1] {
		c.Writes[j].Acked = true
	}
	c.Kernel.hears(false)
	c.End.Acked(&c.Writes[i])
}

// acknowledge lets withheld acknowledgements come.
func (c *Conn) acknowledge() {
	if c.closed || len(c.withheld) == 0 {
		return
	}
	last := c.withheld[len(c.withheld)-1]
	c.withheld = nil
	c.w.After(c.w.delay(), func() { c.acked(last) })
}

// exit ends the process: the kernel sends a FIN after what was written, and answers later data with RST.
func (p *Proc) exit() {
	p.Alive = false
	for _, c := range p.all {
		c.close()
	}
}

// vanish ends process and host: nothing more arrives, no FIN either.
func (p *Proc) vanish() {
	p.Alive = false
	for _, c := range p.all {
		c.closed, c.lostFrames, c.held = true, true, nil
	}
}

// ExitAll ends every process.
func (w *World) ExitAll() {
	for _, p := range w.ordered() {
		if p.Alive {
			p.exit()
		}
	}
}

// heal lets a stalled path go on: every connection retransmits at its own time.
func (w *World) heal(host, node int) {
	st := w.path(host, node)
	if !st.stalled && !st.mute && !st.deaf {
		return
	}
	st.stalled, st.mute, st.deaf = false, false, false
	w.flush(host, node)
}

// flush sends what has waited, as far as the way is open.
func (w *World) flush(host, node int) {
	for c := range w.ways(host, node) {
		resume := w.Between(0, 2*time.Second)
		if c.outward() {
			for _, f := range c.held {
				c.travel(f, resume)
				if w.Busy > 0 {
					resume += w.Between(0, 20*time.Millisecond)
				}
			}
			c.held = nil
		}
		if c.inward() {
			for _, i := range c.answers {
				w.After(resume, func() { c.answered(i) })
			}
			c.answers = nil
		}
	}
}

// ways are the connections of a host to a node.
func (w *World) ways(host, node int) iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, p := range w.ordered() {
			for _, c := range p.all {
				if p.host == host && c.Node == node && !yield(c) {
					return
				}
			}
		}
	}
}

// ordered are the processes in the order of their starts, and then those of forgers.
func (w *World) ordered() []*Proc {
	var ps []*Proc
	for i := 0; len(ps) < len(w.procs); i++ {
		if p := w.procs[i]; p != nil {
			ps = append(ps, p)
		}
	}
	return append(ps, w.forgers...)
}

// delay is the way between a broker and a node when nothing is wrong.
func (w *World) delay() time.Duration { return w.Between(50*time.Microsecond, 2*time.Millisecond) }

// unanswered says that frames of this kind are still on their way or not answered, as far as the process knows.
func (p *Proc) unanswered(unregister bool) bool {
	return slices.ContainsFunc(p.all, func(c *Conn) bool {
		if unregister {
			return c.waiting > 0
		}
		return c.asking > 0 || slices.ContainsFunc(c.held, func(f Frame) bool { return !f.FIN && !f.Unregister })
	})
}

package whole

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is a broker's TCP connection with both of its ends. The node's end is a net.Conn whose reads and writes are the
// node's; the broker's end is moved by the schedule. World.mu guards all of it.
type conn struct {
	w    *World
	proc *proc
	life *life

	// the broker's end
	closed  bool // the process has closed it, or has exited
	waiting int  // UNREGISTERs sent and not answered
	asking  int  // REGISTERs sent and not answered

	// the way
	lastArrival time.Time
	lastRead    time.Time
	held        []frame // while the path is stalled
	answers     []int   // replies held on the way back, as indexes of writes
	parked      int     // frames that came while the node's process stood still
	lostFrames  bool    // the host vanished: what is held never arrives

	// the node's end
	id       uint64
	remote   *net.TCPAddr
	in       []byte  // arrived and not read
	frames   []frame // in in, in order
	bounds   []int   // where each of frames ends, in bytes from the first one of in
	unasked  []frame // read and not answered
	fin      bool
	reset    bool // an RST came: what has not arrived never will
	broken   bool // the node has read everything that came before the RST
	shut     bool // closed by the node
	expired  bool // a deadline has passed
	signal   chan struct{}
	first    time.Time // when the first byte of its first frame was read
	sent     uint64
	ackedOff uint64
	writes   []write
	withheld []int // acknowledgements that do not come (yet)
}

// write is a reply written by the node.
type write struct {
	end    uint64
	at     time.Time
	acked  bool
	asks   int // REGISTERs answered
	unregs int // UNREGISTERs answered
	marks  []*mark
}

var _ net.Conn = (*conn)(nil)

func (c *conn) wakeUp() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// Read is the node's.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if n, err, done := c.tryRead(p); done {
			return n, err
		}
		<-c.signal
	}
}

//nolint:revive // n and err are those of Read
func (c *conn) tryRead(p []byte) (n int, err error, done bool) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	switch {
	case c.shut:
		return 0, net.ErrClosed, true
	case c.expired:
		return 0, os.ErrDeadlineExceeded, true
	case len(c.in) > 0:
		n = copy(p, c.in)
		c.in = c.in[n:]
		c.read(n)
		return n, nil, true
	case c.broken:
		return 0, syscall.ECONNRESET, true
	case c.fin:
		return 0, io.EOF, true
	}
	return 0, nil, false
}

// read tells the ghosts of the frames that the node has read to their end: it handles them before time goes on.
func (c *conn) read(n int) {
	if c.first.IsZero() && len(c.frames) > 0 {
		c.first = time.Now()
	}
	whole := 0
	for i := range c.bounds {
		c.bounds[i] -= n
		if c.bounds[i] <= 0 {
			whole++
		}
	}
	for _, f := range c.frames[:whole] {
		c.unasked = append(c.unasked, f)
		c.life.handles(c, f)
	}
	c.frames, c.bounds = c.frames[whole:], c.bounds[whole:]
}

// Write is the node's: the answers to everything that it has read.
func (c *conn) Write(p []byte) (int, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	switch {
	case c.shut:
		return 0, net.ErrClosed
	case c.expired:
		return 0, os.ErrDeadlineExceeded
	case c.reset:
		return 0, syscall.EPIPE
	}
	c.sent += uint64(len(p))
	wr := write{end: c.sent, at: time.Now()}
	for _, f := range c.unasked {
		if f.unregister {
			wr.unregs++
		} else {
			wr.asks++
		}
		if f.mark != nil {
			wr.marks = append(wr.marks, f.mark)
		}
	}
	c.unasked = nil
	c.writes = append(c.writes, wr)
	i := len(c.writes) - 1
	if c.w.path(c.proc.host, c.life.m.index).stalled {
		c.answers = append(c.answers, i)
	} else {
		c.later(c.w.delay(), func() { c.answered(i) })
	}
	return len(p), nil
}

// later runs do after d with the world locked.
func (c *conn) later(d time.Duration, do func()) { c.w.later(d, do) }

// BytesAcked is what tcpi_bytes_acked would say.
func (c *conn) BytesAcked() uint64 {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.ackedOff
}

// Close is the node's. The broker hears of it.
func (c *conn) Close() error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.shut {
		return nil
	}
	c.shut = true
	c.wakeUp()
	c.brokerHears()
	return nil
}

// brokerHears ends the broker's use of the connection.
func (c *conn) brokerHears() {
	c.closed = true
	c.waiting, c.asking = 0, 0
	if c.proc.conns[c.life.m.index] == c {
		delete(c.proc.conns, c.life.m.index)
	}
}

// LocalAddr is the node's.
func (c *conn) LocalAddr() net.Addr { return &net.TCPAddr{IP: c.life.m.ip(), Port: brokerPort} }

// RemoteAddr is the broker's host.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is used by the node to end what waits: only a time that has passed matters.
func (c *conn) SetDeadline(t time.Time) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if !t.IsZero() && !t.After(time.Now()) {
		c.expired = true
		c.wakeUp()
	}
	return nil
}

// SetReadDeadline is SetDeadline: the node writes no more once it reads no more.
func (c *conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }

// SetWriteDeadline is not used by the node.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// listener is the RocketMQ port of one life of a node.
type listener struct {
	m     *machine
	conns chan net.Conn
	done  chan struct{}
}

const brokerPort = 9876

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: l.m.ip(), Port: brokerPort} }

// proxyHeader is the binary PROXY header that a front end sends for the broker.
func proxyHeader(from, to *net.TCPAddr) []byte {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	b = append(b, from.IP.To4()...)
	b = append(b, to.IP.To4()...)
	b = binary.BigEndian.AppendUint16(b, uint16(from.Port))
	return binary.BigEndian.AppendUint16(b, uint16(to.Port))
}

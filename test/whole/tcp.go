package whole

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// conn is the node's end of a broker's TCP connection, a net.Conn whose reads and writes are the node's. World.mu guards
// all of it.
type conn struct {
	*world.Conn
	w    *World
	life *life

	remote  *net.TCPAddr
	in      []byte  // arrived and not read
	frames  []frame // in in, in order
	parked  int     // frames that came while the node's process stood still
	unasked []frame // read and not answered
	fin     bool
	reset   bool // an RST came
	broken  bool // the node has read everything that came before the RST
	expired bool // a deadline has passed
	signal  chan struct{}
	sent    uint64
	acked   uint64
}

// frame is one that has arrived, perhaps in part.
type frame struct {
	world.Frame
	bytes int         // all of them
	end   int         // of what will have come of it, in bytes from the first one of in
	begun int64       // true time at which its first byte was read; 0: not yet
	mark  *world.Mark // of the tombstone that it made
}

var (
	_ net.Conn  = (*conn)(nil)
	_ world.End = (*conn)(nil)
)

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
	case !c.Open:
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

// read tells the ghosts of the frames that the node has begun to read, and of those that it has read to their end: it handles
// them before time goes on.
func (c *conn) read(n int) {
	now := c.w.Now()
	if c.FirstByte == 0 && len(c.frames) > 0 {
		c.FirstByte = now
	}
	whole := 0
	for i := range c.frames {
		f := &c.frames[i]
		if f.end -= n; f.begun == 0 && f.end < f.bytes {
			f.begun = now
			c.life.begins(c, &f.Frame)
		}
		if f.end <= 0 {
			whole++
		}
	}
	for i := range c.frames[:whole] {
		c.unasked = append(c.unasked, c.frames[i])
		c.life.handles(c, &c.frames[i])
	}
	c.frames = c.frames[whole:]
}

// Write is the node's: the answers to everything that it has read. It may take its time before anything is on its way, and
// after that.
func (c *conn) Write(p []byte) (int, error) {
	n, late, err := c.write(p)
	if late > 0 {
		pause(late)
	}
	return n, err
}

func (c *conn) write(p []byte) (n int, late time.Duration, err error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	switch {
	case !c.Open:
		return 0, 0, net.ErrClosed
	case c.expired:
		return 0, 0, os.ErrDeadlineExceeded
	case c.reset:
		return 0, 0, syscall.EPIPE
	}
	c.sent += uint64(len(p))
	wr := world.Write{EndByte: c.sent}
	for _, f := range c.unasked {
		if f.Unregister {
			wr.Unregs++
		} else {
			wr.Asks++
		}
		if f.mark != nil {
			wr.Marks = append(wr.Marks, f.mark)
		}
	}
	c.unasked = nil
	c.Reply(wr)
	if c.w.Chance(c.w.Busy) {
		late = c.w.Between(0, 200*time.Millisecond)
	}
	return len(p), late, nil
}

// BytesAcked is what tcpi_bytes_acked would say.
func (c *conn) BytesAcked() uint64 {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.acked
}

// Close is the node's. The broker hears of it.
func (c *conn) Close() error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.Open {
		c.Open = false
		c.wakeUp()
		c.Hangup()
	}
	return nil
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

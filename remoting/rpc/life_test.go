//go:build linux

package rpc

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting"
)

// The facts about acknowledgements that tombstones rest on, each on a real socket.

// lifeline is a server whose handler lets the test look at the connection between two requests.
type lifeline struct {
	*Server
	conn chan *Conn
	step chan func(c *Conn, resp *remoting.Response)
}

func startLifeline(t *testing.T, change func(*Config)) *lifeline {
	l := &lifeline{conn: make(chan *Conn, 1), step: make(chan func(*Conn, *remoting.Response), 8)}
	l.Server = start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, resp *remoting.Response) {
		c.TrackWrites()
		select {
		case f := <-l.step:
			f(c, resp)
		default:
		}
		select {
		case l.conn <- c:
		default:
		}
	}}, change)
	return l
}

func (c *Conn) lifeNow() (clock.Stamp, bool) { return c.Life(clock.Now()) }

// register sends a first request and waits for its answer, which is acknowledged when the next frame comes or soon after.
func (l *lifeline) register(t *testing.T, p *peer) *Conn {
	t.Helper()
	p.send(request(103, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	return <-l.conn
}

func TestLifeOfAnAcknowledgedAnswer(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	before := clock.Now()
	c := l.register(t, p)
	after := clock.Now()
	if !c.CanProve() {
		t.Fatal("cannot prove")
	}
	until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	life, _ := c.lifeNow()
	if !before.Before(life) || !life.Before(after) {
		t.Errorf("life %v is not between %v and %v", life, before, after)
	}
	if _, ok := c.Life(life); ok {
		t.Error("a stamp is before itself")
	}
	// FrameStart of the next frame is after its arrival, and later than the first answer.
	result := make(chan bool, 1)
	l.step <- func(c *Conn, _ *remoting.Response) {
		got, ok := c.Life(c.FrameStart())
		result <- ok && got == life
	}
	p.send(request(104, 2, 0, ""))
	p.wantHeader(`"opaque":2,`)
	if !<-result {
		t.Error("the answer to the first frame proves nothing when the second comes")
	}
}

func TestNoLifeWithoutTracking(t *testing.T) {
	conns := make(chan *Conn, 1)
	s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) { conns <- c }}, nil)
	p := dial(t, s)
	p.send(request(103, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	c := <-conns
	if _, ok := c.lifeNow(); ok {
		t.Error("life without TrackWrites")
	}
	if c.FrameStart() != c.FirstByte() {
		t.Error("a frame start later than the first byte, though nothing was stamped")
	}
}

// TestNoLifeFromWhatIsInFlight fills the path: written, in part even acknowledged, but its last byte is not.
func TestNoLifeFromWhatIsInFlight(t *testing.T) {
	l := startLifeline(t, func(c *Config) { c.SocketWriteBuffer = 64 << 20 })
	conn, err := (&net.Dialer{Control: smallWindow}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	c := l.register(t, p)
	until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	first, _ := c.lifeNow()
	flushed := make(chan struct{})
	l.step <- func(c *Conn, resp *remoting.Response) {
		resp.Body = make([]byte, copyBody+200<<10) // one write, larger than the peer's window
		c.AfterFlush(func() { close(flushed) })
	}
	p.send(request(206, 2, 0, ""))
	<-flushed
	if got, ok := c.lifeNow(); !ok || got != first {
		t.Errorf("life %v, want that of the first answer %v: the second is in flight", got, first)
	}
	p.recv()
	until(t, "all acknowledged", func() bool { got, _ := c.lifeNow(); return first.Before(got) })
}

func smallWindow(_, _ string, rc syscall.RawConn) error {
	return rc.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
}

// TestResetIsNoAcknowledgement: the peer's process closes with bytes unread, so its kernel answers by RST.
func TestResetIsNoAcknowledgement(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	c := l.register(t, p)
	until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	first, _ := c.lifeNow()
	gate := make(chan struct{})
	var since clock.Stamp
	l.step <- func(*Conn, *remoting.Response) {
		<-gate
		since = clock.Now()
	}
	p.send(request(104, 2, 0, ""))
	until(t, "the request is being served", func() bool { return len(l.step) == 0 })
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close() // RST
	close(gate)
	until(t, "closed", func() bool { return l.ConnCount() == 0 })
	if got, ok := c.lifeNow(); !ok || got != first {
		t.Errorf("life %v, want %v: the reset acknowledged nothing", got, first)
	}
	if late, ok := c.LateLife(t.Context(), since); ok {
		t.Errorf("late proof %v from a reset", late)
	}
}

// TestClosedSocketAcknowledgesNothing: FIN first, then the answer is written into a socket that its process has closed.
func TestClosedSocketAcknowledgesNothing(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	c := l.register(t, p)
	until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	first, _ := c.lifeNow()
	gate := make(chan struct{})
	var since clock.Stamp
	l.step <- func(*Conn, *remoting.Response) {
		<-gate
		since = clock.Now()
	}
	p.send(request(104, 2, 0, ""))
	until(t, "the request is being served", func() bool { return len(l.step) == 0 })
	_ = p.Close() // nothing unread: FIN
	close(gate)
	until(t, "closed", func() bool { return l.ConnCount() == 0 })
	if got, ok := c.lifeNow(); !ok || got != first {
		t.Errorf("life %v, want %v", got, first)
	}
	if late, ok := c.LateLife(t.Context(), since); ok {
		t.Errorf("late proof %v from a closed socket", late)
	}
}

// TestHalfCloseStillAcknowledges: shutdown(SHUT_WR) leaves the socket open for reading.
func TestHalfCloseStillAcknowledges(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	c := l.register(t, p)
	gate := make(chan struct{})
	var since clock.Stamp
	l.step <- func(*Conn, *remoting.Response) {
		<-gate
		since = clock.Now()
	}
	p.send(request(104, 2, 0, ""))
	until(t, "the request is being served", func() bool { return len(l.step) == 0 })
	_ = p.Conn.(*net.TCPConn).CloseWrite()
	close(gate)
	p.wantHeader(`"opaque":2,`)
	p.wantClosed()
	until(t, "gone", func() bool { return l.ConnCount() == 0 })
	late, ok := c.LateLife(t.Context(), since)
	if !ok || late.Before(since) {
		// The acknowledgement of the last answer may come just after the server closed: then there is no proof, which
		// errs towards keeping. The earlier one must be there.
		if _, ok := c.lifeNow(); !ok {
			t.Error("no proof of life at all")
		}
	}
}

func TestLateLife(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	l.register(t, p)
	type proof struct {
		stamp, since clock.Stamp
		ok           bool
	}
	late := make(chan proof, 1)
	l.step <- func(c *Conn, _ *remoting.Response) {
		since := clock.Now()
		c.AfterFlush(func() {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				stamp, ok := c.LateLife(ctx, since)
				late <- proof{stamp, since, ok}
			}()
		})
	}
	p.send(request(104, 2, 0, ""))
	p.wantHeader(`"opaque":2,`)
	if got := <-late; !got.ok || got.stamp.Before(got.since) || !got.stamp.Before(clock.Now()) {
		t.Errorf("late proof %+v", got)
	}
}

func TestLateLifeGivesUp(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	c := l.register(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if stamp, ok := c.LateLife(ctx, clock.Now()); ok {
		t.Errorf("late proof %v of a write that never was", stamp)
	}
}

func TestLifeBelowTLS(t *testing.T) {
	l := startLifeline(t, testTLS(t))
	p := dialTLS(t, l.Server, nil)
	c := l.register(t, p)
	if !c.TLS() || !c.CanProve() {
		t.Fatal("no TLS, or no proof")
	}
	until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	if acked, ok := c.wire.acked(); !ok || acked != c.wire.sent {
		t.Errorf("%d bytes acknowledged, %d counted", acked, c.wire.sent)
	}
}

func TestNoProofBehindAProxy(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	p.send([]byte("PROXY TCP4 10.1.2.3 10.1.2.4 1000 9876\r\n"))
	c := l.register(t, p)
	if _, ok := c.lifeNow(); ok || c.CanProve() || !c.Proxied() || c.RemoteAddr().String() != "10.1.2.3:1000" {
		t.Errorf("proves %v, proxied %v, remote %v", c.CanProve(), c.Proxied(), c.RemoteAddr())
	}
}

func TestTrackerKeepsWhatAnOverflowWouldLose(t *testing.T) {
	var tr tracker
	stamp := func(i int) clock.Stamp { return clock.Stamp{Raw: int64(i), Boot: int64(i)} }
	acked := uint64(0)
	sample := func() (uint64, bool) { return acked, true }
	for i := 1; i <= 40; i++ {
		if i == 20 {
			acked = 50 // the first five
		}
		tr.add(mark{end: uint64(10 * i), stamp: stamp(i)}, sample)
	}
	if got, ok := tr.newest(acked, stamp(100)); !ok || got != stamp(5) {
		t.Errorf("newest of %d acknowledged bytes is %v", acked, got)
	}
	if got, ok := tr.newest(399, stamp(100)); !ok || got.Raw >= 39 {
		t.Errorf("a stretched mark counts before its last byte: %v", got)
	}
	if got, ok := tr.newest(400, stamp(100)); !ok || got.Raw >= 40 {
		t.Errorf("a stretched mark must keep its earlier stamp: %v", got)
	}
	if got, ok := tr.newest(400, stamp(3)); ok {
		t.Errorf("before 3 nothing is known any more, got %v", got)
	}
}

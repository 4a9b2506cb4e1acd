//go:build linux

package rpc

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
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
	p.Put(request(103, 1, 0, ""))
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
	kit.Until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
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
	p.Put(request(104, 2, 0, ""))
	p.wantHeader(`"opaque":2,`)
	if !<-result {
		t.Error("the answer to the first frame proves nothing when the second comes")
	}
}

func TestNoLifeWithoutTracking(t *testing.T) {
	conns, starts := make(chan *Conn, 1), make(chan clock.Stamp, 1)
	s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) {
		conns <- c
		starts <- c.FrameStart() // the connection's own, while it handles
	}}, nil)
	p := dial(t, s)
	p.Put(request(103, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	c := <-conns
	if _, ok := c.lifeNow(); ok {
		t.Error("life without TrackWrites")
	}
	if <-starts != c.FirstByte() {
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
	kit.Until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	first, _ := c.lifeNow()
	flushed := make(chan struct{})
	l.step <- func(c *Conn, resp *remoting.Response) {
		resp.Body = make([]byte, copyBody+200<<10) // one write, larger than the peer's window
		c.AfterFlush(func() { close(flushed) })
	}
	p.Put(request(206, 2, 0, ""))
	<-flushed
	if got, ok := c.lifeNow(); !ok || got != first {
		t.Errorf("life %v, want that of the first answer %v: the second is in flight", got, first)
	}
	p.recv()
	kit.Until(t, "all acknowledged", func() bool { got, _ := c.lifeNow(); return first.Before(got) })
}

func smallWindow(_, _ string, rc syscall.RawConn) error {
	return rc.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
}

// TestResetIsNoAcknowledgement: the peer's process closes with bytes unread, so its kernel answers by RST.
func TestResetIsNoAcknowledgement(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	c := l.register(t, p)
	kit.Until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	first, _ := c.lifeNow()
	gate := make(chan struct{})
	var since clock.Stamp
	l.step <- func(*Conn, *remoting.Response) {
		<-gate
		since = clock.Now()
	}
	p.Put(request(104, 2, 0, ""))
	kit.Until(t, "the request is being served", func() bool { return len(l.step) == 0 })
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close() // RST
	close(gate)
	kit.Until(t, "closed", func() bool { return l.ConnCount() == 0 })
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
	kit.Until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	first, _ := c.lifeNow()
	gate := make(chan struct{})
	var since clock.Stamp
	l.step <- func(*Conn, *remoting.Response) {
		<-gate
		since = clock.Now()
	}
	p.Put(request(104, 2, 0, ""))
	kit.Until(t, "the request is being served", func() bool { return len(l.step) == 0 })
	_ = p.Close() // nothing unread: FIN
	close(gate)
	kit.Until(t, "closed", func() bool { return l.ConnCount() == 0 })
	if got, ok := c.lifeNow(); !ok || got != first {
		t.Errorf("life %v, want %v", got, first)
	}
	if late, ok := c.LateLife(t.Context(), since); ok {
		t.Errorf("late proof %v from a closed socket", late)
	}
}

// TestHalfCloseProvesNothing: shutdown(SHUT_WR) leaves the socket open for reading, and it acknowledges. So does a proxy, Docker's among them, for a
// process that has ended: what it said last may have waited before a node that stood still, and its successor is registered elsewhere.
func TestHalfCloseProvesNothing(t *testing.T) {
	for name, after := range map[string]bool{"before the answer is written": false, "after it was acknowledged": true} {
		t.Run(name, func(t *testing.T) {
			l := startLifeline(t, nil)
			p := dial(t, l.Server)
			c := l.register(t, p)
			kit.Until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
			first, _ := c.lifeNow()
			gate, flushed, looked := make(chan struct{}), make(chan struct{}), make(chan struct{})
			var since clock.Stamp
			l.step <- func(c *Conn, _ *remoting.Response) {
				<-gate
				since = clock.Now()
				c.AfterFlush(func() {
					close(flushed)
					<-looked // or the server would read the end, and close
				})
			}
			p.Put(request(104, 2, 0, ""))
			kit.Until(t, "the request is being served", func() bool { return len(l.step) == 0 })
			end := func() {
				kit.Must(t, p.Conn.(*net.TCPConn).CloseWrite())
				kit.Until(t, "its end is here", c.wire.ending)
			}
			if !after {
				end()
			}
			close(gate)
			defer close(looked)
			p.wantHeader(`"opaque":2,`)
			<-flushed
			kit.Until(t, "acknowledged", func() bool { n, ok := c.wire.acked(); return ok && n == c.wire.sent })
			if after {
				end()
			}
			if life, ok := c.lifeNow(); !ok || first.Before(life) != after {
				t.Errorf("life %v, the first answer was %v", life, first)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if late, ok := c.LateLife(ctx, since); ok {
				t.Errorf("late proof %v of a peer that has ended its sending", late)
			}
		})
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
	p.Put(request(104, 2, 0, ""))
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
	kit.Until(t, "acknowledged", func() bool { _, ok := c.lifeNow(); return ok })
	if acked, ok := c.wire.acked(); !ok || acked != c.wire.sent {
		t.Errorf("%d bytes acknowledged, %d counted", acked, c.wire.sent)
	}
}

// TestNoProofBehindAProxy: what acknowledges is the proxy's kernel, whether its header names a source or not.
func TestNoProofBehindAProxy(t *testing.T) {
	for name, c := range map[string]struct{ header, remote string }{
		"v1":         {"PROXY TCP4 10.1.2.3 10.1.2.4 1000 9876\r\n", "10.1.2.3:1000"},
		"v1 UNKNOWN": {"PROXY UNKNOWN\r\n", ""},
		"v2":         {v2(0x21, 0x11, v2IPv4), "10.1.2.3:1000"},
		"v2 LOCAL":   {v2(0x20, 0x00, ""), ""},
		"v2 unix":    {v2(0x21, 0x31, strings.Repeat("/", 216)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLifeline(t, nil)
			p := dial(t, l.Server)
			p.Put([]byte(c.header))
			conn := l.register(t, p)
			want := c.remote
			if want == "" {
				want = p.LocalAddr().String()
			}
			kit.Until(t, "acknowledged", func() bool { n, ok := conn.wire.acked(); return ok && n > 0 })
			if _, ok := conn.lifeNow(); ok || conn.CanProve() || !conn.Proxied() || conn.RemoteAddr().String() != want {
				t.Errorf("proves %v, proxied %v, remote %v", conn.CanProve(), conn.Proxied(), conn.RemoteAddr())
			}
		})
	}
}

// TestFrameStartIsTheFirstByte: a frame that comes in pieces is as old as its first byte, and one whose first byte came
// with the end of another is as old as that read.
func TestFrameStartIsTheFirstByte(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	c := l.register(t, p)
	sent := c.wire.meter.bytesIn.Load()
	send := func(b []byte) {
		p.Put(b)
		sent += int64(len(b))
		kit.Until(t, "read by the server", func() bool { return c.wire.meter.bytesIn.Load() == sent })
	}
	starts := make(chan clock.Stamp, 2)
	seen := func(c *Conn, _ *remoting.Response) { starts <- c.FrameStart() }
	want := func(what string, after, before clock.Stamp) {
		t.Helper()
		if got := <-starts; !after.Before(got) || !got.Before(before) {
			t.Errorf("%s starts at %v, want a stamp between %v and %v", what, got, after, before)
		}
	}
	frame := request(104, 2, 0, "body")

	l.step <- seen
	before := clock.Now()
	send(frame[:1])
	after := clock.Now()
	send(frame[1:9])
	send(frame[9 : len(frame)-1])
	send(frame[len(frame)-1:])
	p.wantHeader(`"opaque":2,`)
	want("a frame in four pieces", before, after)

	l.step <- seen
	l.step <- seen
	before = clock.Now()
	send(frame[:7])
	middle := clock.Now()
	send(append(frame[7:len(frame):len(frame)], frame[:7]...))
	after = clock.Now()
	send(frame[7:])
	p.wantHeader(`"opaque":2,`)
	p.wantHeader(`"opaque":2,`)
	want("the frame before", before, middle)
	want("a frame that began in the read that ended another", middle, after)
}

// slowWrite is a socket whose writes take time: each stamps its begin and ends when the clock has moved on.
type slowWrite struct {
	sink
	begun []clock.Stamp
}

func (s *slowWrite) Write(p []byte) (int, error) {
	begin := clock.Now()
	s.begun = append(s.begun, begin)
	for !begin.Before(clock.Now()) {
	}
	return len(p), nil
}

// TestWritesAreStampedBefore: an acknowledgement may come while write(2) still runs, so the stamp that it proves must be
// older than the write.
func TestWritesAreStampedBefore(t *testing.T) {
	var ticks atomic.Int64
	for name, write := range map[string]func(w *wire) error{
		"one":        func(w *wire) error { _, err := w.Write(make([]byte, 10)); return err },
		"in steps":   func(w *wire) error { _, err := w.Write(make([]byte, 2*writeChunk+1)); return err },
		"two":        func(w *wire) error { return w.writeTwo(make([]byte, 10), make([]byte, 20)) },
		"two, large": func(w *wire) error { return w.writeTwo(make([]byte, 10), make([]byte, 2*writeChunk+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			conn := &slowWrite{}
			var w wire
			w.init(conn, &ticks, clock.Now)
			w.trackWrites()
			if err := write(&w); err != nil {
				t.Fatal(err)
			}
			begun := conn.begun
			if strings.HasPrefix(name, "two") { // head and body are one write to a TCP socket, two to this one
				begun = append(begun[:1:1], begun[2:]...)
			}
			track := w.track.Load()
			if track.n != len(begun) {
				t.Fatalf("%d marks of %d writes", track.n, len(begun))
			}
			for i, at := range begun {
				if stamp := track.marks[i].stamp; at.Before(stamp) {
					t.Errorf("write %d began at %v and is stamped %v", i, at, stamp)
				}
			}
		})
	}
}

// TestTheLastByteCounts: a write is acknowledged with its last byte, not with the one before.
func TestTheLastByteCounts(t *testing.T) {
	stamp := func(i int) clock.Stamp { return clock.Stamp{Raw: int64(i), Boot: int64(i)} }
	none := func() (uint64, bool) { return 0, false }
	var tr tracker
	tr.add(mark{end: 10, stamp: stamp(1)}, none)
	tr.add(mark{end: 20, stamp: stamp(2)}, none)
	for acked, want := range map[uint64]int{0: 0, 9: 0, 10: 1, 11: 1, 19: 1, 20: 2, 21: 2} {
		if got, ok := tr.newest(acked, stamp(9)); ok != (want > 0) || ok && got != stamp(want) {
			t.Errorf("%d bytes acknowledged prove %v, %v, want write %d", acked, got, ok, want)
		}
		got, ok, pending := tr.first(acked, stamp(2))
		if ok != (acked >= 20) || got != stamp(2) || !pending {
			t.Errorf("%d bytes acknowledged: first %v, %v, pending %v", acked, got, ok, pending)
		}
	}
	tr.drop(19)
	if tr.known.stamp != stamp(1) || tr.n != 1 {
		t.Errorf("19 bytes acknowledged leave %d writes and know %v", tr.n, tr.known)
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

//go:build linux

package rpc

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func untilParked(t *testing.T, c *Conn) {
	t.Helper()
	kit.Until(t, "parked", func() bool { return c.state.Load() == parked })
}

// TestSilentConnectionsHaveNoGoroutine, whether they have asked something or never sent a byte, plain or encrypted; each
// is served when it speaks, again and again.
func TestSilentConnectionsHaveNoGoroutine(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, testTLS(t))
	before := runtime.NumGoroutine()
	var peers []*peer
	for i := range 30 {
		switch i % 3 {
		case 0:
			peers = append(peers, dial(t, s))
		case 1:
			peers = append(peers, dialTLS(t, s, nil))
		default:
			peers = append(peers, dial(t, s))
			peers[i].Put(request(206, i, 0, ""))
			peers[i].wantHeader(`"opaque":` + itoa(i) + `,`)
		}
	}
	all := func() bool {
		for c := range s.Conns() {
			if c.state.Load() != parked {
				return false
			}
		}
		return s.ConnCount() == len(peers)
	}
	for round := range 3 {
		kit.Until(t, "all parked", all)
		kit.Until(t, "no goroutine each", func() bool { return runtime.NumGoroutine() < before+len(peers)/3 }) // the server has some
		for i, p := range peers {
			p.Put(request(206, round*100+i, 0, strings.Repeat("x", round*20000)))
		}
		for i, p := range peers {
			p.wantHeader(`"opaque":` + itoa(round*100+i) + `,`)
		}
	}
	for c := range s.Conns() {
		kit.Until(t, "three requests counted, which happens after the answer", func() bool { return !c.framed || c.wire.meter.requests.Load() >= 3 })
	}
}

// TestAnUnfinishedFrameIsNotParked: what has begun keeps its goroutine, and its bytes.
func TestAnUnfinishedFrameIsNotParked(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	p := dial(t, s)
	frame := request(206, 1, 0, "body")
	p.Put(frame[:9])
	c := only(t, s)
	kit.Until(t, "read", func() bool { return c.wire.meter.bytesIn.Load() == 9 })
	for range 3 { // as the sweeper asks
		_ = c.wire.SetReadDeadline(past)
		from := s.ticks.Load()
		kit.Until(t, "a step", func() bool { return s.ticks.Load() > from })
	}
	if c.state.Load() != active {
		t.Fatal("parked within a frame")
	}
	p.Put(frame[9:])
	p.wantHeader(`"opaque":1,`)
	untilParked(t, c)
}

// TestParkedConnectionsEnd by whoever ends them, with one Closed for those that had a frame.
func TestParkedConnectionsEnd(t *testing.T) {
	for name, end := range map[string]func(s *Server, c *Conn, p *peer){
		"FIN":       func(_ *Server, _ *Conn, p *peer) { _ = p.Close() },
		"RST":       func(_ *Server, _ *Conn, p *peer) { _ = p.Conn.(*net.TCPConn).SetLinger(0); _ = p.Close() },
		"Close":     func(_ *Server, c *Conn, _ *peer) { c.Close("test") },
		"CloseConn": func(s *Server, c *Conn, _ *peer) { s.CloseConn(c.ID(), 0, "test") },
		"bad frame": func(_ *Server, _ *Conn, p *peer) { p.Put([]byte("\xff\xff\xff\xff")) },
		"Shutdown":  func(s *Server, _ *Conn, _ *peer) { _ = s.Shutdown(t.Context()) },
		"idle":      func(_ *Server, _ *Conn, _ *peer) {},
	} {
		for _, asked := range []bool{false, true} {
			t.Run(name+" "+map[bool]string{false: "fresh", true: "asked"}[asked], func(t *testing.T) {
				t.Parallel()
				closed := make(chan *Conn, 2)
				s := start(t, handlerFunc{serve: echo, closed: closed}, func(c *Config) {
					if name == "idle" {
						c.Idle = func() time.Duration { return 8 * sweepEvery }
					}
				})
				p := dial(t, s)
				if asked {
					p.Put(request(206, 1, 0, ""))
					p.wantHeader(`"opaque":1,`)
				}
				c := only(t, s)
				untilParked(t, c)
				end(s, c, p)
				kit.Until(t, "gone", func() bool { return s.ConnCount() == 0 })
				want := 0
				if asked || name == "bad frame" {
					want = 1
				}
				if n := len(closed); n != want {
					t.Errorf("Closed came %d times, want %d", n, want)
				}
			})
		}
	}
}

// TestActiveConnectionsDoNotWakeThePoller, or it would turn without end beside a handler that waits with bytes unread.
func TestActiveConnectionsDoNotWakeThePoller(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
		if req.Opaque == 1 {
			close(entered)
			<-leave
		}
	}}, nil)
	p := dial(t, s)
	p.Put(request(206, 1, 0, ""))
	<-entered
	p.Put(request(206, 2, 0, ""))
	c := only(t, s)
	kit.Until(t, "unread bytes", func() (unread bool) {
		_ = c.wire.raw.Control(func(fd uintptr) {
			n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
			unread = err == nil && n > 0
		})
		return unread
	})
	_ = s.poller.raw.Control(func(set uintptr) {
		if n, err := unix.EpollWait(int(set), make([]unix.EpollEvent, 1), 0); n != 0 || err != nil {
			t.Errorf("%d events of a connection that is served, %v", n, err)
		}
	})
	close(leave)
	p.wantHeader(`"opaque":1,`)
	p.wantHeader(`"opaque":2,`)
}

// TestClosedWhileItParks: who closes before the connection is parked wakes nobody, so it must find out itself.
func TestClosedWhileItParks(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	p := dial(t, s)
	c := only(t, s)
	untilParked(t, c)
	if !c.state.CompareAndSwap(parked, active) {
		t.Fatal("woken by nobody")
	}
	c.Close("test")
	if c.park() {
		t.Error("parked though it is to be closed")
	}
	go c.run(clock.Stamp{})
	p.Closed()
}

// TestWithoutPoller: what cannot be parked keeps its goroutine.
func TestWithoutPoller(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	p := dial(t, s)
	c := only(t, s)
	untilParked(t, c)
	p.Put(request(206, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	s.poller.close()
	kit.Until(t, "given up", func() bool { return c.state.Load() == unparkable })
	p.Put(request(206, 2, 0, ""))
	p.wantHeader(`"opaque":2,`)
	late := dial(t, s)
	late.Put(request(206, 3, 0, ""))
	late.wantHeader(`"opaque":3,`)
}

// TestFrameStartOfAWokenConnection is when the poller saw the bytes, not when a goroutine got round to read them; only the
// frame that woke it has that stamp.
func TestFrameStartOfAWokenConnection(t *testing.T) {
	l := startLifeline(t, nil)
	p := dial(t, l.Server)
	c := l.register(t, p)
	starts := make(chan clock.Stamp, 1)
	seen := func(c *Conn, _ *remoting.Response) { starts <- c.FrameStart() }
	first := c.FirstByte()
	for range 2 {
		untilParked(t, c)
		for range 2 {
			before := clock.Now()
			l.step <- seen
			p.Put(request(104, 2, 0, ""))
			p.wantHeader(`"opaque":2,`)
			if got := <-starts; !before.Before(got) || !got.Before(clock.Now()) {
				t.Errorf("frame starts at %v, was sent after %v", got, before)
			}
		}
	}
	if c.FirstByte() != first {
		t.Error("a new first byte")
	}

	// Between the poller and the read lies a queue. The test is the poller here, and the queue is long.
	untilParked(t, c)
	if !c.state.CompareAndSwap(parked, active) {
		t.Fatal("woken by nobody")
	}
	l.step <- seen
	p.Put(request(104, 3, 0, ""))
	at := clock.Now()
	for !at.Before(clock.Now()) {
	}
	go c.run(at)
	p.wantHeader(`"opaque":3,`)
	if got := <-starts; got != at {
		t.Errorf("frame starts at %v, the poller saw it at %v", got, at)
	}
	l.step <- seen
	p.Put(request(104, 4, 0, ""))
	p.wantHeader(`"opaque":4,`)
	if got := <-starts; !at.Before(got) {
		t.Errorf("the next frame starts at %v, too", got)
	}
}

// TestFirstByteIsNoOlderThanItsRead: a connection is not older than its first byte was read, whatever woke it.
func TestFirstByteIsNoOlderThanItsRead(t *testing.T) {
	conns := make(chan *Conn, 1)
	s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) { conns <- c }}, nil)
	p := dial(t, s)
	c := only(t, s)
	untilParked(t, c)
	if !c.state.CompareAndSwap(parked, active) {
		t.Fatal("woken by nobody")
	}
	p.Put(request(103, 1, 0, ""))
	at := clock.Now()
	go c.run(at)
	p.wantHeader(`"opaque":1,`)
	if c := <-conns; c.FirstByte().Before(at) || c.FirstByte() == at {
		t.Errorf("first byte %v, woken at %v", c.FirstByte(), at)
	}
}

// TestHandshakeOutlivesTheSweeper: a deadline that was meant for a silent connection does not end a handshake.
func TestHandshakeOutlivesTheSweeper(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var (
		w       wire
		ticks   atomic.Int64
		closing atomic.Pointer[string]
		in      [8]byte
	)
	w.init(conn, &ticks, clock.Now)
	_ = conn.SetReadDeadline(past)
	if _, err := w.Read(in[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("outside of a handshake: %v", err)
	}
	w.closing = &closing
	_, _ = client.Write([]byte("hello"))
	_ = conn.SetReadDeadline(past)
	if n, err := w.Read(in[:]); n != 5 || err != nil {
		t.Errorf("read %d bytes in a handshake, %v", n, err)
	}
	reason := "test"
	closing.Store(&reason)
	_ = conn.SetReadDeadline(past)
	if _, err := w.Read(in[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("closing: %v", err)
	}
}

// TestParkingLosesNothing: connections are asked for without end while they speak, are spoken to in pieces, end or are
// closed. Every request is answered once, and every connection ends once.
func TestParkingLosesNothing(t *testing.T) {
	var closes atomic.Int64
	s := start(t, counting{&closes}, nil)
	stop := make(chan struct{})
	var sweeper, group sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond): // far more often than the sweeper
			}
			for c := range s.Conns() {
				if c.state.Load() == active && c.expires.Load() == 0 {
					_ = c.wire.SetReadDeadline(past)
				}
			}
		}
	})
	const peers, rounds = 16, 100
	for i := range peers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			p := dial(t, s)
			for j := range rounds {
				frame := request(206, j, 0, strings.Repeat("x", rng.IntN(3000)))
				cut := rng.IntN(len(frame))
				for _, part := range [][]byte{frame[:cut], frame[cut:]} {
					if _, err := p.Write(part); err != nil {
						t.Error(err)
						return
					}
					for range rng.IntN(4) {
						runtime.Gosched()
					}
				}
				answer, err := p.TryNext(patience)
				if err != nil {
					t.Errorf("peer %d, request %d: %v", i, j, err)
					return
				}
				if !strings.Contains(answer.Header, `"opaque":`+itoa(j)+`,`) {
					t.Errorf("peer %d, request %d: %s", i, j, answer.Header)
					return
				}
			}
			if i%2 == 0 {
				_ = p.Close()
			}
		})
	}
	group.Wait()
	close(stop)
	sweeper.Wait()
	kit.Until(t, "half gone", func() bool { return s.ConnCount() == peers/2 })
	for c := range s.Conns() {
		c.Close("test")
	}
	kit.Until(t, "all gone", func() bool { return s.ConnCount() == 0 })
	if n := closes.Load(); n != peers {
		t.Errorf("Closed came %d times for %d connections", n, peers)
	}
	if n := s.Stats().Requests; n != peers*rounds {
		t.Errorf("%d requests counted, want %d", n, peers*rounds)
	}
}

// counting echoes and counts the ends.
type counting struct{ closes *atomic.Int64 }

func (counting) Serve(c *Conn, req *remoting.Request, resp *remoting.Response) { echo(c, req, resp) }

func (h counting) Closed(*Conn) { h.closes.Add(1) }

package rpc

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a listener of in-memory connections, for virtual time.
type memory struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// dial returns the client's end of a new connection.
func (m *memory) dial() net.Conn {
	client, server := net.Pipe()
	m.conns <- server
	return client
}

// virtual runs f in virtual time with a server.
func virtual(t *testing.T, change func(*Config), f func(t *testing.T, s *Server, m *memory)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		change(&cfg)
		s, err := New(cfg, handlerFunc{serve: echo})
		if err != nil {
			t.Fatal(err)
		}
		m := newMemory()
		if err := s.Use(m); err != nil {
			t.Fatal(err)
		}
		serve(t, s)
		f(t, s, m)
	})
}

// lives is how long it takes until the server closes.
func lives(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	begin := time.Now()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes, want a closed connection", n)
	}
	return time.Since(begin)
}

func wantWithin(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got < want || got > want+2*sweepEvery {
		t.Errorf("closed after %v, want %v to %v", got, want, want+2*sweepEvery)
	}
}

func TestIdle(t *testing.T) {
	idle := 120 * time.Second
	virtual(t, func(c *Config) { c.Idle = func() time.Duration { return idle } }, func(t *testing.T, s *Server, m *memory) {
		silent := m.dial()
		wantWithin(t, lives(t, silent), 120*time.Second)

		old := m.dial()
		synctest.Wait()
		idle = 2 * time.Second // for new connections only
		wantWithin(t, lives(t, m.dial()), 2*time.Second)

		busy := m.dial()
		for range 10 {
			time.Sleep(time.Second) // virtual
			roundTrip(t, busy)
		}
		wantWithin(t, lives(t, busy), 2*time.Second)
		roundTrip(t, old)
		wantWithin(t, lives(t, old), 120*time.Second)
		synctest.Wait() // the server may have closed it and still hold it
		if st := s.Stats(); st.Idle != 4 || st.Conns != 0 {
			t.Errorf("stats %+v", st)
		}
		idle = 0
		never := m.dial()
		time.Sleep(time.Hour) // virtual
		roundTrip(t, never)
	})
}

// TestSilence: what is read ends it, nothing else does, and only a connection that has been silent for long enough is closed.
func TestSilence(t *testing.T) {
	virtual(t, func(*Config) {}, func(t *testing.T, s *Server, m *memory) {
		const silence = 10100 * time.Millisecond // no whole number of steps, so that rounding shows
		p := m.dial()
		time.Sleep(100 * time.Millisecond) // virtual
		roundTrip(t, p)
		c := only(t, s)
		time.Sleep(silence) // virtual
		c.wire.meter.out(1)
		c.wire.meter.in(0) // a read that a deadline ended
		if d := c.Silence(); d < silence || d > silence+2*sweepEvery {
			t.Errorf("silent for %v, want %v or up to two steps more", d, silence)
		}
		roundTrip(t, p)
		time.Sleep(5 * time.Second) // virtual
		if s.CloseConn(c.ID(), 10*time.Second, "test") {
			t.Error("closed, though it was heard")
		}
		roundTrip(t, p)
		time.Sleep(10 * time.Second) // virtual
		if !s.CloseConn(c.ID(), 10*time.Second, "test") {
			t.Error("not closed, though it was silent")
		}
		lives(t, p)
	})
}

func roundTrip(t *testing.T, c net.Conn) {
	t.Helper()
	p := newPeer(t, c)
	p.Put(request(206, 7, 0, ""))
	p.wantHeader(`"opaque":7,`)
	_ = c.SetDeadline(time.Time{})
}

// TestIdleCountsWhatIsWritten: a reader that takes a step now and then is not idle, one that takes none is.
func TestIdleCountsWhatIsWritten(t *testing.T) {
	virtual(t, func(c *Config) { c.Idle = func() time.Duration { return 10 * time.Second } }, func(t *testing.T, s *Server, m *memory) {
		c := m.dial()
		body := make([]byte, 6*writeChunk)
		if _, err := c.Write(request(206, 1, 0, string(body))); err != nil {
			t.Fatal(err)
		}
		chunk := make([]byte, 2*writeChunk) // at least one whole step of the server
		for range 2 {
			time.Sleep(8 * time.Second) // virtual
			for n := 0; n < len(chunk); {
				m, err := c.Read(chunk[n:])
				if err != nil {
					t.Fatalf("closed while it reads: %v", err)
				}
				n += m
			}
		}
		synctest.Wait()
		begin := time.Now()
		for s.ConnCount() > 0 {
			time.Sleep(sweepEvery) // virtual
		}
		wantWithin(t, time.Since(begin), 10*time.Second)
	})
}

func TestFrameMustBecomeComplete(t *testing.T) {
	virtual(t, func(c *Config) {
		c.Idle = func() time.Duration { return 0 }
		c.FrameTimeout, c.MinFrameRate = 60*time.Second, 64<<10
	}, func(t *testing.T, s *Server, m *memory) {
		part := m.dial()
		roundTrip(t, part)
		if _, err := part.Write([]byte{0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		wantWithin(t, lives(t, part), 60*time.Second)

		// 1 MiB may take 16 s more; bytes that trickle in do not prolong it.
		large := m.dial()
		word := binary.BigEndian.AppendUint32(nil, 1<<20)
		begin := time.Now()
		for _, b := range append(word, make([]byte, 1000)...) {
			if _, err := large.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(time.Second) // virtual
		}
		if d := time.Since(begin); d < 76*time.Second || d > 78*time.Second {
			t.Errorf("closed after %v, want 76 s and the second between two writes", d)
		}

		// Each frame has its own time.
		steady := m.dial()
		frame := request(206, 1, 0, "")
		go func() {
			for range 10 {
				time.Sleep(50 * time.Second) // virtual
				if _, err := steady.Write(append(frame[20:len(frame):len(frame)], frame[:20]...)); err != nil {
					return
				}
			}
		}()
		if _, err := steady.Write(frame[:20]); err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, steady)
		for range 10 {
			p.wantHeader(`"opaque":1,`)
		}
		if n := s.Stats().TooSlow; n != 2 {
			t.Errorf("%d closed for slowness, want 2", n)
		}
	})
}

func TestHandshakeMustEnd(t *testing.T) {
	store, err := NewTLS(testMode, quiet)
	if err != nil {
		t.Fatal(err)
	}
	virtual(t, func(c *Config) { c.TLS, c.FirstTimeout = store, 10*time.Second }, func(t *testing.T, s *Server, m *memory) {
		c := m.dial()
		if _, err := c.Write([]byte{tlsRecord, 3, 1}); err != nil {
			t.Fatal(err)
		}
		wantWithin(t, lives(t, c), 10*time.Second)
		if st := s.Stats(); st.TooSlow != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// memoryUse is what the Go process needs for its heap and stacks.
func memoryUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// TestIdleConnectionsAreCheap: 2,000 connections that were served once hold no buffers and need less than 20 MB. Both
// ends count here.
func TestIdleConnectionsAreCheap(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	const n = 2000
	conns := make([]net.Conn, n)
	before := memoryUse()
	frame, answer := request(206, 1, 0, ""), make([]byte, 200)
	for i := range conns {
		c, err := net.DialTimeout("tcp", s.Addr().String(), patience)
		if errors.Is(err, syscall.EMFILE) {
			t.Skipf("SKIPPED: 2,000 connections are needed, and this process may have only %d file descriptors", i)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(answer); err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	after := memoryUse()
	per := (after - before) / n
	t.Logf("%d bytes for each of %d connections", per, n)
	if per > 12<<10 { // 7 KiB both ends together, 11 with the race detector; one read buffer alone would be 16
		t.Errorf("an idle connection costs %d bytes", per)
	}
}

// TestHalfFramesAreBounded: connections that claim large frames get no memory for it before they have sent much, and together
// never more than the budget.
func TestHalfFramesAreBounded(t *testing.T) {
	const size, budget = 4 << 20, 16 << 20
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.MaxFrame, cfg.Memory = size, budget
		s, err := New(cfg, handlerFunc{serve: echo})
		if err != nil {
			t.Fatal(err)
		}
		m := newMemory()
		if err := s.Use(m); err != nil {
			t.Fatal(err)
		}
		serve(t, s)
		word := binary.BigEndian.AppendUint32(nil, size-4)
		before := memoryUse()
		for range 100 { // nothing but the length: no memory for it
			c := m.dial()
			defer c.Close()
			if _, err := c.Write(word); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if used := int64(memoryUse()) - int64(before); used > 8<<20 {
			t.Errorf("%d bytes for a hundred lengths", used)
		}
		half := append(word[:4:4], make([]byte, size/2)...)
		for range 20 {
			c := m.dial()
			defer c.Close()
			go c.Write(half)
		}
		synctest.Wait()
		// Each of those that got through holds a buffer of 4 MiB.
		if used := int64(memoryUse()) - int64(before); used > budget+4<<20 {
			t.Errorf("%d bytes held with a budget of %d", used, budget)
		}
		time.Sleep(2 * roomWait) // virtual
		synctest.Wait()
		// Those for which there was never room, and those that gave way to them.
		if st := s.Stats(); st.NoBudget < 10 || st.NoBudget > 20 {
			t.Errorf("%d connections closed for want of memory", st.NoBudget)
		}
		// Time ends the others and gives the budget back.
		time.Sleep(cfg.FrameTimeout + 65*time.Second) // virtual
		synctest.Wait()
		if used := s.Stats().Memory; used > 100*serving {
			t.Errorf("%d bytes are still charged", used)
		}
		whole := m.dial()
		defer whole.Close()
		frame := request(206, 7, 0, "")
		frame = request(206, 7, 0, string(make([]byte, size-len(frame))))
		go whole.Write(frame)
		p := &peer{kit.Over(t, whole)}
		p.wantHeader(`"opaque":7,`)
	})
}

// TestSlowReaderStopsItself: a peer that pipelines and never reads is no longer read from, and nobody else notices.
func TestSlowReaderStopsItself(t *testing.T) {
	body := make([]byte, 8<<10)
	s := start(t, handlerFunc{serve: func(_ *Conn, _ *remoting.Request, resp *remoting.Response) { resp.Body = body }},
		func(c *Config) { c.SocketReadBuffer, c.SocketWriteBuffer = 64<<10, 64<<10 })
	slow := dial(t, s)
	batch := bytes.Repeat(request(206, 1, 0, ""), 1000)
	before := memoryUse()
	var served int64
	_ = slow.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	for range 1000 { // a million requests, 8 GB of answers
		if _, err := slow.Write(batch); err != nil {
			break
		}
	}
	served = s.Stats().Requests
	if served > 100_000 {
		t.Fatalf("%d requests served for a peer that reads nothing", served)
	}
	if used := int64(memoryUse()) - int64(before); used > 4<<20 {
		t.Errorf("%d bytes held for it", used)
	}
	p := dial(t, s)
	p.Put(request(206, 2, 0, ""))
	p.wantHeader(`"opaque":2,`)
	for c := range s.Conns() {
		c.Close("end of test")
	}
}

// TestFloodOfConnects: connections come and go as fast as they can while another one is served.
func TestFloodOfConnects(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, func(c *Config) { c.MaxConns = 50 })
	p := dial(t, s)
	p.Put(request(206, 0, 0, ""))
	p.wantHeader(`"opaque":0,`)
	var kept []net.Conn
	for i := range 500 {
		c, err := net.DialTimeout("tcp", s.Addr().String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
		if i%50 == 0 {
			p.Put(request(206, i, 0, ""))
			p.wantHeader(`"opaque":` + itoa(i) + `,`)
		}
	}
	kit.Until(t, "all accepted", func() bool { return s.Stats().Accepted == 501 })
	kit.Until(t, "no more than may be", func() bool { return s.ConnCount() <= 50 })
	kit.Until(t, "the others counted as refused", func() bool { st := s.Stats(); return st.Refused+st.NoRoom >= 451 })
	for _, c := range kept {
		_ = c.Close()
	}
	kit.Until(t, "all gone", func() bool { return s.ConnCount() == 1 })
	late := dial(t, s)
	late.Put(request(206, 9, 0, ""))
	late.wantHeader(`"opaque":9,`)
}

// failing is a listener without file descriptors for a while.
type failing struct {
	*memory
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return f.memory.Accept()
}

func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(DefaultConfig(), handlerFunc{serve: echo})
		if err != nil {
			t.Fatal(err)
		}
		f := &failing{memory: newMemory(), left: 10}
		if err := s.Use(f); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		serve(t, s)
		c := f.dial()
		if d := time.Since(begin); d < 2*time.Second || d > 6*time.Second {
			t.Errorf("accepted again after %v", d)
		}
		roundTrip(t, c)
		_ = c.Close()
	})
}

// FuzzFrames: however the same bytes are cut, the same requests are served and the connection ends the same way.
func FuzzFrames(f *testing.F) {
	good := string(request(206, 1, 0, "body"))
	f.Add([]byte(good+good), uint8(1))
	f.Add([]byte(good+"\x00\x00\x00\x03"), uint8(5))
	f.Add([]byte("PROXY UNKNOWN\r\n"+good), uint8(3))
	f.Add([]byte(good+good[:len(good)-3]), uint8(9))
	f.Add([]byte(strings.Repeat(good, 40)), uint8(200))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		if len(b) > 32<<10 {
			return
		}
		if whole, parts := feedAll(t, b, len(b)), feedAll(t, b, 1+int(step)); whole != parts {
			t.Fatalf("at once %q, in steps of %d %q", whole, 1+int(step), parts)
		}
	})
}

// feedAll gives b to a connection without socket and returns what it served and wrote.
func feedAll(t *testing.T, b []byte, step int) string {
	var out bytes.Buffer
	cfg := DefaultConfig()
	s, err := New(cfg, handlerFunc{serve: echo})
	if err != nil {
		t.Fatal(err)
	}
	c := s.newConn(sink{&out})
	c.loop = s.takeLoop(c)
	for len(b) > 0 {
		p, err := c.space()
		if err != nil {
			t.Fatal(err)
		}
		n := copy(p[:min(len(p), step)], b)
		b = b[n:]
		c.got(n)
		if err := c.feed(); err != nil {
			return out.String() + " closed"
		}
		c.release()
	}
	return out.String()
}

// sink is a connection that takes everything and gives nothing.
type sink struct{ *bytes.Buffer }

func (sink) Close() error                     { return nil }
func (sink) LocalAddr() net.Addr              { return nil }
func (sink) RemoteAddr() net.Addr             { return nil }
func (sink) SetDeadline(time.Time) error      { return nil }
func (sink) SetReadDeadline(time.Time) error  { return nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }

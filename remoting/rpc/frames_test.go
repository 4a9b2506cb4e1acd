package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestAnswersInOrderHoweverTheBytesArrive(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	const frames = 200
	var all []byte
	for i := range frames {
		all = append(all, request(206, i, 0, strings.Repeat("x", i*37%5000))...)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, step := range map[string]func() int{
		"at once":       func() int { return len(all) },
		"in pieces":     func() int { return 1 + rng.IntN(3000) },
		"byte by byte":  func() int { return 1 },
		"odd fragments": func() int { return 7 },
	} {
		t.Run(name, func(t *testing.T) {
			p, limit := dial(t, s), frames
			if name == "byte by byte" || name == "odd fragments" {
				limit = 12
			}
			go func() {
				var sent int
				for rest := all[:sizeOf(all, limit)]; len(rest) > 0; rest = rest[sent:] {
					sent, _ = p.Write(rest[:min(step(), len(rest))])
				}
			}()
			for i := range limit {
				h, body := p.recv()
				if !strings.Contains(h, `"opaque":`+itoa(i)+`,`) || len(body) != i*37%5000 {
					t.Fatalf("answer %d: %s with %d bytes", i, h, len(body))
				}
			}
		})
	}
}

// sizeOf is the length of the first n frames of b.
func sizeOf(b []byte, n int) (size int) {
	for range n {
		size += 4 + int(binary.BigEndian.Uint32(b[size:]))
	}
	return size
}

func TestFrameLengths(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	for name, c := range map[string]struct {
		bytes  string
		closes bool
	}{
		"zero":           {"\x00\x00\x00\x00", true},
		"three":          {"\x00\x00\x00\x03", true},
		"negative":       {"\xff\xff\xff\xff", true},
		"least negative": {"\x80\x00\x00\x00", true},
		"one too many":   {"\x00\xff\xff\xfd", true}, // 16777213
		"largest":        {"\x00\xff\xff\xfc", false},
		"no header":      {"\x00\x00\x00\x04\x00\x00\x00\x00", true},
		"header too big": {"\x00\x00\x00\x05\x00\x00\x00\x02{", true},
		"type two":       {"\x00\x00\x00\x06\x02\x00\x00\x02{}", true},
		"http":           {"GET / HTTP/1.1\r\n\r\n", true},
		"empty object":   {"\x00\x00\x00\x06\x00\x00\x00\x02{}", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, s)
			p.Put(request(206, 1, 0, ""))
			p.wantHeader(`"opaque":1,`)
			before := s.Stats()
			// The good frame before it in one segment must still be answered.
			p.Put(append(request(206, 2, 0, ""), c.bytes...))
			p.wantHeader(`"opaque":2,`)
			if c.closes {
				p.Closed()
				kit.Until(t, "malformed counted", func() bool { return s.Stats().Malformed == before.Malformed+1 })
			}
		})
	}
	if n := s.Stats().Malformed; n != 9 {
		t.Errorf("%d connections counted as malformed, want 9", n)
	}
}

func TestLargestFrameIsServed(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	head := len(request(206, 1, 0, ""))
	body := bytes.Repeat([]byte("0123456789abcdef"), 16<<20/16)[:16<<20-head]
	p := dial(t, s)
	go p.Write(request(206, 1, 0, string(body)))
	if _, got := p.recv(); !bytes.Equal(got, body) {
		t.Fatalf("got %d bytes back, want %d", len(got), len(body))
	}
}

func TestFlags(t *testing.T) {
	var served atomic.Int64
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, resp *remoting.Response) {
		served.Add(1)
		if req.Code == 999 {
			resp.Fail(remoting.RequestCodeNotSupported, " request type 999 not supported")
		}
	}}, nil)
	p := dial(t, s)
	p.Put(request(206, 1, 2, "")) // one-way: served, silent
	p.Put(request(999, 2, 2, "")) // so is its error
	p.Put(request(206, 3, 1, "")) // response: dropped
	p.Put(request(206, 4, 3, "")) // both: a response
	p.Put(request(206, 5, 4, "")) // unknown bit: ignored
	p.wantHeader(`"opaque":5,`, `"flag":1,`)
	if served.Load() != 3 {
		t.Errorf("%d requests served, want 3", served.Load())
	}
	kit.Until(t, "counts", func() bool { st := s.Stats(); return st.Responses == 2 && st.Requests == 3 })
}

func TestSerializeTypeIsTheServers(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, func(c *Config) { c.Serialize = remoting.RocketMQ })
	p := dial(t, s)
	p.Put(request(206, 1, 0, ""))
	if a := p.Next(); a.Type != byte(remoting.RocketMQ) {
		t.Fatalf("type %d, %s: want a binary header", a.Type, a)
	}
}

func TestPanicIsCodeOne(t *testing.T) {
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, resp *remoting.Response) {
		if req.Code == 904 {
			resp.Set("half", "done")
			panic("no header")
		}
	}}, nil)
	p := dial(t, s)
	p.Put(append(request(904, 1, 0, ""), request(904, 2, 2, "")...))
	p.Put(request(206, 3, 0, ""))
	h, _ := p.recv()
	if !strings.Contains(h, `"code":1,`) || !strings.Contains(h, "no header") || strings.Contains(h, "extFields") {
		t.Errorf("answer to a panic: %s", h)
	}
	p.wantHeader(`"code":0,`, `"opaque":3,`)
	if n := s.Stats().Panics; n != 2 {
		t.Errorf("%d panics counted, want 2", n)
	}
}

func TestGoAway(t *testing.T) {
	var served atomic.Int64
	s := start(t, handlerFunc{serve: func(*Conn, *remoting.Request, *remoting.Response) { served.Add(1) }}, nil)
	s.GoAway(true)
	p := dial(t, s)
	p.Put(requestVersion(206, 1, 0, 476, ""))
	p.wantHeader(`"code":1500,`, `"remark":"please go away"`)
	p.Put(requestVersion(206, 2, 2, 476, "")) // one-way: silent
	p.Put(requestVersion(206, 3, 0, 475, ""))
	p.wantHeader(`"code":0,`, `"opaque":3,`)
	if served.Load() != 1 {
		t.Errorf("%d requests served, want 1", served.Load())
	}
}

// TestOverload holds one request in the handler and one in the queue of a pool of that size.
func TestOverload(t *testing.T) {
	entered, release := make(chan struct{}, 10), make(chan struct{})
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
		if req.Code != remoting.GetRouteInfoByTopic {
			entered <- struct{}{}
			<-release
		}
	}}, func(c *Config) { c.Pools[DefaultPool] = PoolSize{Threads: 1, Queue: 1} })
	running, waiting, refused := dial(t, s), dial(t, s), dial(t, s)
	running.Put(request(206, 1, 0, ""))
	<-entered
	waiting.Put(request(206, 2, 0, ""))
	kit.Until(t, "one waits", func() bool { return s.pools[DefaultPool].inside.Load() == 2 })
	refused.Put(request(206, 3, 2, "")) // silent
	refused.Put(request(206, 4, 0, ""))
	refused.wantHeader(`"code":2,`, `"opaque":4,`, `"remark":"`+overloadRemark+`"`)
	refused.Put(request(105, 5, 0, ""))
	refused.wantHeader(`"code":0,`, `"opaque":5,`)
	close(release)
	running.wantHeader(`"code":0,`, `"opaque":1,`)
	waiting.wantHeader(`"code":0,`, `"opaque":2,`)
	refused.Put(request(206, 6, 0, ""))
	refused.wantHeader(`"code":0,`, `"opaque":6,`)
	if n := s.Stats().Overloads; n != 2 {
		t.Errorf("%d overloads counted, want 2", n)
	}
}

func TestPoolNeverLetsMoreIn(t *testing.T) {
	p := newPool(PoolSize{Threads: 3, Queue: 2})
	var running, most, refused atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 5000 {
				ok, wait := p.enter()
				if !ok {
					refused.Add(1)
					continue
				}
				if wait {
					<-p.turn
				}
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				running.Add(-1)
				p.leave()
			}
		})
	}
	group.Wait()
	if most.Load() > 3 || p.inside.Load() != 0 || len(p.turn) != 0 {
		t.Errorf("at most %d ran, %d inside, %d tokens left", most.Load(), p.inside.Load(), len(p.turn))
	}
}

func TestClosedComesOnceAfterTheLastServe(t *testing.T) {
	closed := make(chan *Conn, 10)
	s := start(t, handlerFunc{closed: closed, serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) {
		c.SetValue("state")
	}}, nil)
	silent := dial(t, s) // no frame byte: no Closed
	kit.Until(t, "accepted", func() bool { return s.ConnCount() == 1 })
	_ = silent.Close()
	kit.Until(t, "gone", func() bool { return s.ConnCount() == 0 })
	for range 3 {
		p := dial(t, s)
		p.Put(request(206, 1, 0, ""))
		p.wantHeader(`"opaque":1,`)
		_ = p.Close()
		c := <-closed
		if c.Value() != "state" || c.ID() < 2 || c.FirstByte().IsZero() || c.Accepted().IsZero() {
			t.Errorf("connection %d has value %v", c.ID(), c.Value())
		}
	}
	p := dial(t, s)
	p.Put(request(206, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	kit.Until(t, "the ones before gone", func() bool { return s.ConnCount() == 1 })
	for c := range s.Conns() {
		if c.SocketAddr().String() != p.LocalAddr().String() || c.RemoteAddr() != c.SocketAddr() || c.Proxied() || c.TLS() {
			t.Errorf("addresses %v %v", c.SocketAddr(), c.RemoteAddr())
		}
		if !s.CloseConn(c.ID(), 0, "test") || s.CloseConn(c.ID()+1, 0, "test") {
			t.Error("CloseConn")
		}
	}
	p.Closed()
	<-closed
	if len(closed) != 0 {
		t.Error("Closed came more than once")
	}
}

func TestAfterFlushComesAfterTheAnswer(t *testing.T) {
	flushed := make(chan int64, 2)
	s := start(t, handlerFunc{serve: func(c *Conn, req *remoting.Request, resp *remoting.Response) {
		resp.Body = req.Body
		c.AfterFlush(func() { flushed <- c.wire.meter.bytesOut.Load() })
	}}, nil)
	for _, size := range []int{10, 2 * copyBody} {
		p := dial(t, s)
		p.Put(request(206, 1, 0, strings.Repeat("x", size)))
		p.recv()
		if n := <-flushed; n < int64(size) {
			t.Errorf("AfterFlush ran after %d bytes of an answer of %d", n, size)
		}
	}
}

func TestShutdownFinishesTheRequest(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := start(t, handlerFunc{serve: func(*Conn, *remoting.Request, *remoting.Response) {
		close(entered)
		<-release
	}}, nil)
	p, idle := dial(t, s), dial(t, s)
	p.Put(request(206, 1, 0, ""))
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	idle.Closed()
	close(release)
	p.wantHeader(`"opaque":1,`)
	p.Closed()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestListenNamesTheAddress(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	cfg := DefaultConfig()
	cfg.Addr = s.Addr().String()
	other, err := New(cfg, handlerFunc{serve: echo})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Listen(context.Background())
	if err == nil || !strings.HasPrefix(err.Error(), "Failed to bind to "+cfg.Addr) {
		t.Errorf("listening twice: %v", err)
	}
	cfg.MaxFrame, cfg.Idle = 0, nil
	if _, err := New(cfg, nil); err == nil || !strings.Contains(err.Error(), "Idle") || !strings.Contains(err.Error(), "MaxFrame") {
		t.Errorf("bad config: %v", err)
	}
}

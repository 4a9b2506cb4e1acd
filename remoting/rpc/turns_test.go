package rpc

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Codes of these tests, by what they are.
const (
	aRoute  = 105 // ClientPool, an answer, short
	aList   = 206 // DefaultPool, an answer
	aWipe   = 205 // DefaultPool, changes something
	aSign   = 904 // BrokerPool, changes something, short
	aChange = 104 // BrokerPool, changes something
)

func classed(c *Config) {
	c.Class = func(req *remoting.Request) Class {
		return map[int32]Class{
			aRoute: {Pool: ClientPool, Short: true}, aList: {Pool: DefaultPool}, aWipe: {Pool: DefaultPool, Changes: true},
			aSign: {Pool: BrokerPool, Changes: true, Short: true}, aChange: {Pool: BrokerPool, Changes: true},
		}[req.Code]
	}
}

// book is what was handled: code and body.
type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) note(req *remoting.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf("%d%s", req.Code, req.Body))
}

func (b *book) read() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}

// index is where the first line of that text is, after all that were handled before.
func (b *book) index(line string) int { return slices.Index(b.read(), line) }

// A request of a broker waits for none of another kind, also on a server whose other pools are full.
func TestBrokersHaveAGateOfTheirOwn(t *testing.T) {
	release := make(chan struct{})
	var stuck atomic.Int64
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
		if req.Code == aList || req.Code == aRoute {
			stuck.Add(1)
			<-release
		}
	}}, func(c *Config) {
		classed(c)
		c.Pools[DefaultPool], c.Pools[ClientPool] = PoolSize{Threads: 1, Queue: 1}, PoolSize{Threads: 1, Queue: 1}
	})
	for range 3 {
		dial(t, s).Put(request(aList, 1, 0, ""))
		dial(t, s).Put(request(aRoute, 1, 0, ""))
	}
	kit.Until(t, "both pools are full", func() bool { return stuck.Load() == 2 && s.Stats().Overloads == 2 })
	p := dial(t, s)
	for i, code := range []int{aSign, aChange} {
		p.Put(request(code, i, 0, ""))
		p.wantHeader(`"code":0,`, `"opaque":`+itoa(i)+`,`)
	}
	close(release)
}

// held is a server of one thread in each pool whose handler stands still at the first request until the test goes on.
func held(t *testing.T) (s *Server, b *book, goOn func()) {
	t.Helper()
	b = &book{}
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s = start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
		once.Do(func() {
			close(entered)
			<-release
		})
		b.note(req)
	}}, func(c *Config) {
		classed(c)
		for i := range c.Pools {
			c.Pools[i] = PoolSize{Threads: 1, Queue: 100}
		}
	})
	return s, b, sync.OnceFunc(func() {
		<-entered
		close(release)
	})
}

// waits lets p's request wait for its turn.
func waits(t *testing.T, s *Server, pool Pool, p *peer, frames ...[]byte) {
	t.Helper()
	before := s.pools[pool].inside.Load()
	p.Put(frames...)
	kit.Until(t, "the request to wait", func() bool { return s.pools[pool].inside.Load() == before+1 })
}

// Connections take turns: one that has sent many requests has a window of short ones handled, and of others one.
func TestConnectionsTakeTurns(t *testing.T) {
	for code, want := range map[int]int{aSign: window, aWipe: 1} {
		s, b, goOn := held(t)
		defer goOn()
		pool := classOfTest(code)
		first, many, last := dial(t, s), dial(t, s), dial(t, s)
		waits(t, s, pool, first, request(code, 1, 0, "first"))
		waits(t, s, pool, many, bytes.Repeat(request(code, 1, 2, "many"), 3*window))
		waits(t, s, pool, last, request(code, 1, 0, "last"))
		goOn()
		last.wantHeader(`"code":0,`)
		if got := b.index(itoa(code)+"last") - b.index(itoa(code)+"many"); got != want {
			t.Errorf("code %d: %d of the many came first, want %d: %v", code, got, want, b.read())
		}
		kit.Until(t, "all are handled", func() bool { return len(b.read()) == 2+3*window })
	}
}

func classOfTest(code int) Pool {
	var c Config
	classed(&c)
	return c.Class(&remoting.Request{Code: int32(code)}).Pool
}

// What is asked for without wanting the answer is not worked for, and what changes something is done.
func TestOneWayRequestsForAnAnswerAreNotHandled(t *testing.T) {
	b := &book{}
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) { b.note(req) }}, classed)
	p := dial(t, s)
	for _, code := range []int{aRoute, aList, 9999, aWipe, aChange, aSign} {
		p.Put(request(code, 1, 2, ""))
	}
	p.Put(request(aList, 7, 0, ""))
	p.wantHeader(`"opaque":7,`)
	if got, want := b.read(), []string{"205", "104", "904", "206"}; !slices.Equal(got, want) {
		t.Errorf("handled %v, want %v", got, want)
	}
	kit.Until(t, "all seven are counted, which is after the answer is out", func() bool { return s.Stats().Requests == 7 })
}

// Of a peer that is gone what changes something is done, in order, and what only answers is not. It is gone by a reset while
// its requests wait.
func TestRequestsOfAGonePeer(t *testing.T) {
	s, b, goOn := held(t)
	defer goOn()
	blocker, p := dial(t, s), dial(t, s)
	waits(t, s, DefaultPool, blocker, request(aWipe, 1, 0, "blocker"))
	frames := [][]byte{request(aList, 1, 0, ""), request(aWipe, 2, 0, "1"), request(aRoute, 3, 0, ""), request(aChange, 4, 0, "2"), request(aList, 5, 0, "")}
	for i := range 2 * window {
		frames = append(frames, request(aWipe, 6, 2, fmt.Sprint("more", i)), request(aList, 6, 0, strings.Repeat("b", 500)))
	}
	frames = append(frames, request(aChange, 7, 0, "good-bye"))
	waits(t, s, DefaultPool, p, frames...)
	kit.Must(t, p.Conn.(*net.TCPConn).SetLinger(0))
	kit.Must(t, p.Close())
	kit.Until(t, "the reset is there", func() (gone bool) {
		for c := range s.Conns() {
			gone = gone || c.wire.gone()
		}
		return gone
	})
	goOn()
	kit.Until(t, "the connection has ended", func() bool { return s.ConnCount() == 1 })
	want := []string{"205blocker", "2051", "1042"}
	for i := range 2 * window {
		want = append(want, fmt.Sprint("205more", i))
	}
	if got := b.read(); !slices.Equal(got, append(want, "104good-bye")) {
		t.Errorf("handled %v", got)
	}
}

// A write that fails ends the answers, not what was sent before: a broker says good-bye and goes.
func TestGoodByeBehindAnAnswerThatNobodyReads(t *testing.T) {
	b := &book{}
	flushed := make(chan string, 100)
	s := start(t, handlerFunc{serve: func(c *Conn, req *remoting.Request, resp *remoting.Response) {
		b.note(req)
		resp.Body = make([]byte, 1<<20)
		c.AfterFlush(func() { flushed <- fmt.Sprint(req.Code) })
	}}, func(c *Config) {
		classed(c)
		c.SocketWriteBuffer = 64 << 10
	})
	p := dial(t, s)
	p.Put(bytes.Repeat(request(aSign, 1, 0, ""), 20), request(aRoute, 2, 0, ""), request(aChange, 3, 0, "good-bye")) // more than the sockets hold
	kit.Until(t, "a write waits for the reader", func() bool { return len(b.read()) > 0 })
	kit.Must(t, p.Close()) // with unread bytes: a reset
	kit.Until(t, "the connection has ended", func() bool { return s.ConnCount() == 0 })
	if got := b.read(); len(got) != 21 || got[20] != "104good-bye" {
		t.Errorf("handled %v", got)
	}
	if n := len(flushed); n > 10 {
		t.Errorf("%d answers are said to be out", n)
	}
}

// Whoever has only ended his own sending gets what he asked for.
func TestHalfClosedPeerIsAnswered(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, classed)
	p := dial(t, s)
	p.Put(request(aList, 1, 0, "x"), request(aList, 2, 0, "y"))
	kit.Must(t, p.Conn.(*net.TCPConn).CloseWrite())
	p.wantHeader(`"opaque":1,`)
	p.wantHeader(`"opaque":2,`)
}

// A handler may go on in another pool, and its former place is free meanwhile.
func TestEnter(t *testing.T) {
	release := make(chan struct{})
	s := start(t, handlerFunc{serve: func(c *Conn, req *remoting.Request, resp *remoting.Response) {
		resp.HasExt = true
		if len(req.Body) > 0 && c.Enter(LargePool) {
			<-release
		}
	}}, func(c *Config) {
		classed(c)
		c.Pools[BrokerPool], c.Pools[LargePool] = PoolSize{Threads: 1}, PoolSize{Threads: 1}
	})
	large, more, small := dial(t, s), dial(t, s), dial(t, s)
	large.Put(request(aChange, 1, 0, "large"))
	kit.Until(t, "it goes on", func() bool {
		return s.pools[LargePool].inside.Load() == 1 && s.pools[BrokerPool].inside.Load() == 0
	})
	small.Put(request(aChange, 2, 0, ""))
	small.wantHeader(`"code":0,`)
	more.Put(request(aChange, 3, 0, "large"))
	more.wantHeader(`{"code":2,"flag":1,`, overloadRemark) // without the fields of the handler
	close(release)
	large.wantHeader(`"code":0,`)
	if n := s.Stats().Overloads; n != 1 {
		t.Errorf("%d overloads counted", n)
	}
}

package rpc

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// shareholder is a connection of a server that serves nobody.
func shareholder(t *testing.T, s *Server, source string, owner bool) *Conn {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	c := s.newConn(a)
	c.socketAddr = netip.AddrPortFrom(netip.MustParseAddr(source), 1)
	c.state.Store(active)
	if owner {
		c.SetValue("owner")
	}
	s.conns[c.id] = c
	return c
}

// bank is such a server; who has a value owns a registration.
func bank(t *testing.T, memory int64) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Memory = memory
	cfg.Owner = func(c *Conn) (time.Duration, bool) { return time.Hour, c.Value() != nil }
	s, err := New(cfg, handlerFunc{serve: echo})
	kit.Must(t, err)
	return s
}

const mb = 1 << 20

// taken takes, and says what came of it: yes, no, and which of the others were closed for it.
func taken(c *Conn, n int64, others ...*Conn) string { return takenBy(c, n, ask{}, others...) }

func takenBy(c *Conn, n int64, by ask, others ...*Conn) string {
	was := map[*Conn]bool{}
	for _, o := range others {
		was[o] = o.closing.Load() != nil
	}
	text := "no"
	if c.takeBy(n, by) {
		text = "yes"
	}
	for i, o := range others {
		if o.closing.Load() != nil && !was[o] {
			text += fmt.Sprint(" -", i)
		}
	}
	return text
}

func TestWhoGivesFirst(t *testing.T) {
	want := func(t *testing.T, what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	twelve := func(t *testing.T, s *Server) (all []*Conn) {
		t.Helper()
		for range 12 {
			c := shareholder(t, s, "192.0.2.1", false)
			want(t, "each of twelve strangers", taken(c, 1*mb), "yes")
			all = append(all, c)
		}
		return all
	}
	// little takes n MB in pieces, none of which is much.
	little := func(t *testing.T, what string, c *Conn, n int) {
		t.Helper()
		for range 32 * n {
			want(t, what, taken(c, mb/32), "yes")
		}
	}
	t.Run("one source", func(t *testing.T) {
		s := bank(t, 16*mb)
		a, b := shareholder(t, s, "192.0.2.1", false), shareholder(t, s, "192.0.2.1", false)
		want(t, "three quarters, whoever it is", taken(a, 12*mb), "yes")
		want(t, "nothing more at once", takenBy(b, bulk, ask{waits: true}, a), "no")
		little(t, "seven eighths, little by little, where nobody else holds any", b, 2)
		want(t, "who holds much makes room for who holds little", taken(b, mb/32, a), "no -0")
		a.give(a.held.Load())
		want(t, "once it is given back", taken(b, 1*mb), "yes")
		if used := s.account.used.Load(); used != 3*mb {
			t.Errorf("%d bytes are charged", used)
		}
	})
	t.Run("equals", func(t *testing.T) {
		s := bank(t, 16*mb)
		all := twelve(t, s)
		want(t, "another source", taken(shareholder(t, s, "192.0.2.2", false), 1), "yes")
		want(t, "one more of the source that holds most", taken(all[0], 1, all[1:]...), "no")
	})
	t.Run("who waits closes nobody yet", func(t *testing.T) {
		s := bank(t, 16*mb)
		a, b, o := shareholder(t, s, "192.0.2.1", false), shareholder(t, s, "192.0.2.2", false), shareholder(t, s, "192.0.2.3", true)
		want(t, "a stranger", taken(a, 12*mb), "yes")
		want(t, "another", takenBy(b, 1*mb, ask{waits: true}, a), "no")
		want(t, "a broker, who owns a registration", takenBy(o, 5*mb, ask{waits: true}, a), "no -0")
	})
	t.Run("what is handled right now may have all", func(t *testing.T) {
		s := bank(t, 16*mb)
		a, b := shareholder(t, s, "192.0.2.1", false), shareholder(t, s, "192.0.2.2", false)
		want(t, "a stranger", taken(a, 12*mb), "yes")
		want(t, "for the request that is handled", takenBy(a, 4*mb, ask{served: true}, b), "yes")
		want(t, "more than there is", takenBy(b, 1, ask{served: true, waits: true}, a), "no")
	})
	t.Run("other sources", func(t *testing.T) {
		s := bank(t, 16*mb)
		a, b, o := shareholder(t, s, "192.0.2.1", false), shareholder(t, s, "192.0.2.2", false), shareholder(t, s, "192.0.2.3", true)
		want(t, "a stranger", taken(a, 12*mb), "yes")
		little(t, "another, little by little", b, 2)
		want(t, "a broker, of the rest", taken(o, 2*mb, a, b), "yes")
		want(t, "another, of what is gone", taken(b, mb/32, a), "no -0")
	})
	t.Run("a broker takes from strangers, beside it or elsewhere", func(t *testing.T) {
		s := bank(t, 16*mb)
		a, o := shareholder(t, s, "192.0.2.1", false), shareholder(t, s, "192.0.2.1", true)
		want(t, "a stranger", taken(a, 12*mb), "yes")
		want(t, "all that is there", taken(o, 4*mb, a), "yes")
		want(t, "more", taken(o, 1*mb, a), "no -0")
	})
	t.Run("brokers give nothing", func(t *testing.T) {
		s := bank(t, 16*mb)
		o := shareholder(t, s, "192.0.2.1", true)
		want(t, "a broker", taken(o, 16*mb), "yes")
		want(t, "a stranger", taken(shareholder(t, s, "192.0.2.2", false), 1, o), "no")
		want(t, "another broker", taken(shareholder(t, s, "192.0.2.3", true), 1, o), "no")
	})
	t.Run("a network of IPv6 is one source", func(t *testing.T) {
		s := bank(t, 16*mb)
		a, b := shareholder(t, s, "2001:db8::1", false), shareholder(t, s, "2001:db8::2", false)
		c := shareholder(t, s, "2001:db8:0:1::1", false)
		want(t, "three quarters", taken(a, 12*mb), "yes")
		want(t, "its neighbour, who holds as much", taken(b, 12*mb, a), "no")
		little(t, "another network", c, 1)
	})
	t.Run("no more is taken away than is wanted", func(t *testing.T) {
		s := bank(t, 16*mb)
		all := twelve(t, s)
		o := shareholder(t, s, "192.0.2.2", true)
		want(t, "a broker", taken(o, 4*mb, all...), "yes")
		if got := taken(o, 2*mb, all...); strings.Count(got, "-") != 2 {
			t.Errorf("two of them: %s", got)
		}
		if got := taken(o, 2*mb, all...); strings.Count(got, "-") != 0 {
			t.Errorf("the same, which are going: %s", got)
		}
	})
}

// A listed broker on a new connection, by the header of its frame.
func TestListedBrokerIsNotRefused(t *testing.T) {
	const body = 720_000 // two and the broker's are more than there is
	listed := func(_ *Conn, req *remoting.Request) bool { return req.Code == 103 }
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, resp *remoting.Response) { resp.Remark = fmt.Sprint(len(req.Body)) }},
		func(c *Config) { c.Memory, c.Listed = 2*mb, listed })
	var strangers []*peer
	half := request(206, 1, 0, strings.Repeat("x", body))[:body-40000]
	for i := range 2 { // one after the other: of several that grow at once none might get as far as to hold a whole frame
		p := dial(t, s)
		go p.Write(half)
		strangers = append(strangers, p)
		kit.Until(t, "they hold as much as strangers may", func() bool {
			n := 0
			for c := range s.Conns() {
				if c.held.Load() > body {
					n++
				}
			}
			return n == i+1
		})
	}
	if n := s.Stats().NoBudget; n != 0 {
		t.Errorf("%d of them made room for each other", n)
	}
	p := dial(t, s)
	p.Put(request(103, 7, 0, strings.Repeat("x", body)))
	p.wantHeader(`"opaque":7,`)
	if s.Stats().NoBudget == 0 {
		t.Error("no stranger made room")
	}
	for c := range s.Conns() {
		if c.listed.Load() {
			t.Error("with its frame handled it still counts as that broker's")
		}
	}
	for _, p := range strangers {
		p.Close()
	}
}

func TestAnswersAreCharged(t *testing.T) {
	var size int
	s := start(t, handlerFunc{serve: func(_ *Conn, _ *remoting.Request, resp *remoting.Response) {
		if size < 0 {
			resp.Set("value", strings.Repeat("x", -size))
			return
		}
		resp.Body = make([]byte, size)
	}}, func(c *Config) { c.Memory = mb })
	for _, c := range []struct {
		size int
		code string
	}{
		{mb / 2, `"code":0`}, {mb, `"code":2`}, {100, `"code":0`},
		{-mb / 4, `"code":0`}, {-mb, `"code":2`}, {-100, `"code":0`},
	} {
		size = c.size
		p := dial(t, s)
		p.Put(append(request(206, 1, 0, ""), request(206, 2, 0, "")...))
		for range 2 {
			p.wantHeader(c.code)
		}
		p.Close()
	}
	if n := s.Stats().Overloads; n != 4 {
		t.Errorf("%d overloads", n)
	}
}

// A header of nothing but fields takes many times its size when it is decoded.
func TestFieldsAreCharged(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, func(c *Config) { c.Memory = 4 * mb })
	fields := func(n int) []byte {
		return kit.JSONFrame(`{"code":206,"extFields":{` + strings.TrimSuffix(strings.Repeat(`"":"",`, n), ",") + `},"opaque":5}`)
	}
	p := dial(t, s)
	p.Put(fields(4000))
	p.wantHeader(`"opaque":5`)
	s.account.used.Add(4*mb/8*7 - 200_000)
	defer s.account.used.Add(200_000 - 4*mb/8*7)
	p.Put(fields(2000)) // 12 kB, which become 192 kB
	p.Closed()
	kit.Until(t, "counted", func() bool { return s.Stats().NoBudget == 1 })
}

// Where no memory is left, connections that speak wait where they hold nothing, and are served when there is some.
func TestStalledConnectionsAreServedLater(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, func(c *Config) { c.Memory = mb })
	var peers []*peer
	for range 20 {
		peers = append(peers, dial(t, s))
	}
	kit.Until(t, "parked", func() bool {
		for c := range s.Conns() {
			if c.state.Load() != parked {
				return false
			}
		}
		return s.ConnCount() == 20
	})
	s.account.used.Add(mb)
	for i, p := range peers {
		p.Put(request(206, i, 0, ""))
	}
	kit.Until(t, "all wait", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.stalled) == 20
	})
	if n := s.Stats().Requests; n != 0 {
		t.Errorf("%d requests were served without memory", n)
	}
	for c := range s.Conns() { // one that is closed meanwhile
		if c.id == 20 {
			c.Close("test")
		}
	}
	peers[19].Closed()
	s.account.used.Add(-mb)
	for i, p := range peers[:19] {
		p.wantHeader(`"opaque":` + itoa(i) + `,`)
	}
}

func TestPeersThatTakeNothing(t *testing.T) {
	const size = 1000
	body := make([]byte, size)
	var owner bool
	s := start(t, handlerFunc{serve: func(c *Conn, req *remoting.Request, resp *remoting.Response) {
		if resp.Body = body; owner {
			c.SetValue(true)
		}
		if req.Code == 206 {
			resp.Body = make([]byte, 4*mb)
		}
	}}, func(c *Config) {
		c.StuckAfter = time.Second
		c.SocketWriteBuffer = 16 << 10
		c.Owner = func(c *Conn) (time.Duration, bool) { return 0, c.Value() != nil }
	})
	t.Run("a client is closed", func(t *testing.T) {
		p := dial(t, s)
		p.Put(request(206, 1, 0, ""))
		kit.Until(t, "closed", func() bool { return s.Stats().Stuck == 1 && s.ConnCount() == 0 })
	})
	t.Run("a broker is served on", func(t *testing.T) {
		owner = true
		before := s.Stats().Requests
		p := dial(t, s)
		p.Put(append(request(206, 1, 0, ""), request(100, 2, 0, "")...))
		kit.Until(t, "its answers are dropped", func() bool { return s.Stats().Dropped > 0 })
		for i := range 5 {
			p.Put(request(100, 3+i, 0, ""))
		}
		kit.Until(t, "and its requests served", func() bool { return s.Stats().Requests == before+7 })
		p.wantHeader(`"opaque":1,`) // the one that had begun comes to its end
		p.Put(request(100, 9, 0, ""))
		for {
			h, got := p.recv()
			if strings.Contains(h, `"opaque":9,`) {
				break
			}
			if len(got) != size {
				t.Fatalf("%s with %d bytes", h, len(got))
			}
		}
		if st := s.Stats(); st.Stuck != 1 || s.ConnCount() != 1 {
			t.Errorf("%+v", st)
		}
	})
}

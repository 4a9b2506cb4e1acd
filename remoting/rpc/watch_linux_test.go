package rpc

import (
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
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

// What the kernel does on paths that are cut, lossy or gone is proven in test/netns.

// accepted is a connection over loopback as the server has it, and its peer; a byte has come.
func accepted(t *testing.T) (fd func(func(fd int)), peer net.Conn) {
	t.Helper()
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer l.Close()
	peer, err = net.Dial("tcp", l.Addr().String())
	kit.Must(t, err)
	served, err := l.Accept()
	kit.Must(t, err)
	t.Cleanup(func() { served.Close(); peer.Close() })
	_, err = peer.Write([]byte{0})
	kit.Must(t, err)
	_, err = served.Read(make([]byte, 1))
	kit.Must(t, err)
	raw, err := served.(syscall.Conn).SyscallConn()
	kit.Must(t, err)
	return func(f func(fd int)) {
		t.Helper()
		kit.Must(t, raw.Control(func(fd uintptr) { f(int(fd)) }))
	}, peer
}

var watchOptions = []struct {
	name          string
	level, option int
}{
	{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	{"TCP_RTO_MAX_MS", unix.IPPROTO_TCP, tcpRTOMax},
	{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE},
}

func optionsOf(fd int) (text string) {
	for _, o := range watchOptions {
		if v, err := unix.GetsockoptInt(fd, o.level, o.option); err == nil {
			text += fmt.Sprintf("%s=%d ", o.name, v)
		}
	}
	return text
}

func watchIt(t *testing.T, fd int) {
	t.Helper()
	_, err := watchSocket(fd, 180_000, setOption)
	kit.Must(t, err)
}

// TestWatchOptions: the first option is the one that keeps the kernel from judging, the last is the one that makes it ask.
func TestWatchOptions(t *testing.T) {
	control, _ := accepted(t)
	control(func(fd int) {
		var order []string
		paced, err := watchSocket(fd, 181_000, func(fd, level, option, value int) error {
			for _, o := range watchOptions {
				if o.level == level && o.option == option {
					order = append(order, o.name)
				}
			}
			return setOption(fd, level, option, value)
		})
		kit.Must(t, err)
		for i, o := range watchOptions {
			if order[i] != o.name {
				t.Errorf("set in the order %v", order)
				break
			}
		}
		got := optionsOf(fd)
		for _, want := range []string{"TCP_USER_TIMEOUT=181000 ", "TCP_KEEPIDLE=2 ", "TCP_KEEPINTVL=1 ", "TCP_KEEPCNT=127 ", "SO_KEEPALIVE=1 "} {
			if !strings.Contains(got, want) {
				t.Errorf("%snot set: %s", want, got)
			}
		}
		if strings.Contains(got, "TCP_RTO_MAX_MS=") != paced || paced && !strings.Contains(got, "TCP_RTO_MAX_MS=1000 ") {
			t.Errorf("paced %v: %s", paced, got)
		}
		kit.Must(t, setPatience(fd, math.MaxInt32, setOption))
		if got := optionsOf(fd); !strings.Contains(got, "TCP_USER_TIMEOUT=2147483647 ") || !strings.Contains(got, "SO_KEEPALIVE=1 ") {
			t.Errorf("after it was raised: %s", got)
		}
	})
}

// TestWatchIsAllOrNothing refuses one option after another.
func TestWatchIsAllOrNothing(t *testing.T) {
	for _, refused := range watchOptions {
		t.Run(refused.name, func(t *testing.T) {
			control, _ := accepted(t)
			refuse := func(fd, level, option, value int) error {
				if level == refused.level && option == refused.option && value != 0 {
					return unix.ENOPROTOOPT
				}
				return setOption(fd, level, option, value)
			}
			control(func(fd int) {
				before := optionsOf(fd)
				paced, err := watchSocket(fd, 180_000, refuse)
				after := optionsOf(fd)
				if refused.option == tcpRTOMax {
					if err != nil || paced || !strings.Contains(after, "SO_KEEPALIVE=1 ") {
						t.Errorf("where only the pace of retransmissions cannot be set: %v, paced %v, %s", err, paced, after)
					}
					return
				}
				if err == nil || after != before {
					t.Errorf("%v, and left: %s\nbefore: %s", err, after, before)
				}
			})
		})
	}
	t.Run("raised in vain", func(t *testing.T) {
		control, _ := accepted(t)
		control(func(fd int) {
			watchIt(t, fd)
			err := setPatience(fd, 190_000, func(fd, level, option, value int) error {
				if option == unix.TCP_USER_TIMEOUT {
					return unix.EINVAL
				}
				return setOption(fd, level, option, value)
			})
			if got := optionsOf(fd); err == nil || !strings.Contains(got, "SO_KEEPALIVE=0 ") {
				t.Errorf("%v, and the kernel asks on: %s", err, got)
			}
		})
	})
	t.Run("no counts of segments", func(t *testing.T) {
		a, b, err := pair()
		kit.Must(t, err)
		defer a.Close()
		defer b.Close()
		raw, err := a.(syscall.Conn).SyscallConn()
		kit.Must(t, err)
		kit.Must(t, raw.Control(func(fd uintptr) {
			before := optionsOf(int(fd))
			if _, err := watchSocket(int(fd), 180_000, setOption); err == nil || optionsOf(int(fd)) != before {
				t.Errorf("%v: %s", err, optionsOf(int(fd)))
			}
		}))
	})
}

// pair is a connection on which nothing was ever said, as where the kernel does not count.
func pair() (served, peer net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if peer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	served, err = l.Accept()
	return served, peer, err
}

func TestJudgeAfter(t *testing.T) {
	for _, c := range []struct {
		timeout int64
		idle    time.Duration
		want    int64
	}{
		{120_000, 120 * time.Second, 180_000},
		{10_000, 120 * time.Second, 180_000},
		{300_000, 120 * time.Second, 360_000},
		{120_000, 300 * time.Second, 360_000},
		{0, 0, 180_000},
		{-1, -time.Second, 180_000},
		{math.MinInt64, 0, 180_000},
		{math.MaxInt32 - 60_001, 0, math.MaxInt32 - 1},
		{math.MaxInt32 - 60_000, 0, math.MaxInt32},
		{math.MaxInt32, 0, math.MaxInt32},
		{math.MaxInt64, math.MaxInt64, math.MaxInt32},
	} {
		if got := judgeAfter(c.timeout, c.idle); got != c.want {
			t.Errorf("timeout %d, idle %v: %d, want %d", c.timeout, c.idle, got, c.want)
		}
	}
}

func TestUnwatchable(t *testing.T) {
	const here = "198.51.100.7:40000"
	proxied := func(c *Conn) { c.header.Store(&header{}) }
	noTCP := func(c *Conn) { c.wire.raw = nil }
	own := func() string {
		all, err := net.InterfaceAddrs()
		kit.Must(t, err)
		for _, a := range all {
			if ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP); ok && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
				return netip.AddrPortFrom(ip.Unmap(), 1).String()
			}
		}
		return "127.0.0.2:1" // a machine with nothing else: loopback stands for it
	}()
	for _, c := range []struct {
		from, advertised string
		change           func(*Conn)
		want             Unwatched
	}{
		{here, "198.51.100.7:10911", nil, Watched},
		{here, "[::ffff:198.51.100.7]:10911", nil, Watched},
		{"[2001:db8::7]:1", "[2001:DB8:0::7]:10911", nil, Watched},
		{here, "198.51.100.8:10911", nil, UnwatchedSource},
		{here, "broker-a.example:10911", nil, UnwatchedSource},
		{here, "198.51.100.7", nil, UnwatchedSource},
		{here, "", nil, UnwatchedSource},
		{"[fe80::7%eth0]:1", "[fe80::7]:10911", nil, UnwatchedSource},
		{here, "198.51.100.7:10911", proxied, UnwatchedProxied},
		{here, "198.51.100.7:10911", noTCP, UnwatchedPlatform},
		{"127.0.0.1:1", "127.0.0.1:10911", nil, UnwatchedLocal},
		{"[::1]:1", "[::1]:10911", nil, UnwatchedLocal},
		{"127.0.0.1:1", "198.51.100.7:10911", nil, UnwatchedLocal},
		{own, own, nil, UnwatchedLocal},
		{own, "198.51.100.7:10911", nil, UnwatchedSource},
	} {
		served, peer, err := pair()
		kit.Must(t, err)
		conn := bank(t, mb).newConn(served)
		conn.socketAddr = netip.MustParseAddrPort(c.from)
		if c.change != nil {
			c.change(conn)
		}
		if got := conn.unwatchable(c.advertised); got != c.want {
			t.Errorf("from %s, advertised %q: %v, want %v", c.from, c.advertised, got, c.want)
		}
		served.Close()
		peer.Close()
	}
}

// TestOnlyWhatIsWatchedIsSet compares every option of a broker's connection that nobody asked to watch, or that cannot be watched, with those
// of a socket that was only accepted.
func TestOnlyWhatIsWatchedIsSet(t *testing.T) {
	var want map[[2]int]int
	for range 2 { // what differs between two of them is no option
		control, _ := accepted(t)
		control(func(fd int) {
			all := allOptions(fd)
			if want == nil {
				want = all
			}
			maps.DeleteFunc(want, func(o [2]int, v int) bool { return all[o] != v })
		})
	}
	for _, o := range watchOptions {
		if _, ok := want[[2]int{o.level, o.option}]; !ok && o.option != tcpRTOMax {
			t.Fatalf("%s is not among the %d options that are compared", o.name, len(want))
		}
	}
	why := make(chan Unwatched, 1)
	conns := make(chan *Conn, 1)
	s := start(t, handlerFunc{serve: func(c *Conn, req *remoting.Request, _ *remoting.Response) {
		c.TrackWrites()
		if req.Code == 103 {
			why <- c.Watch(c.SocketAddr().String(), 120_000)
		}
		conns <- c
	}}, nil)
	p := dial(t, s)
	for i, code := range []int{904, 103} {
		p.Put(request(code, i+1, 0, ""))
		p.wantHeader(fmt.Sprintf(`"opaque":%d,`, i+1))
		c := <-conns
		kit.Must(t, c.wire.control(func(fd int) error {
			for o, v := range allOptions(fd) {
				if was, ok := want[o]; ok && v != was {
					t.Errorf("after code %d: option %v is %d, of a socket that was only accepted %d", code, o, v, was)
				}
			}
			return nil
		}))
		c.Probe()
	}
	if got := <-why; got != UnwatchedLocal {
		t.Errorf("a connection over loopback: %v", got)
	}
}

// allOptions are those that are a number, by level and option, without sizes that the kernel tunes by itself.
func allOptions(fd int) map[[2]int]int {
	all := map[[2]int]int{}
	for _, level := range []int{unix.SOL_SOCKET, unix.IPPROTO_TCP, unix.IPPROTO_IP} {
		for option := 1; option < 90; option++ {
			if v, err := unix.GetsockoptInt(fd, level, option); err == nil {
				all[[2]int{level, option}] = v
			}
		}
	}
	for _, tuned := range [][2]int{
		{unix.SOL_SOCKET, unix.SO_RCVBUF}, {unix.SOL_SOCKET, unix.SO_SNDBUF}, {unix.SOL_SOCKET, unix.SO_INCOMING_CPU},
		{unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID}, {unix.SOL_SOCKET, unix.SO_PEERNAME}, {unix.IPPROTO_TCP, unix.TCP_MAXSEG},
		{unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP}, {unix.IPPROTO_TCP, unix.TCP_QUICKACK}, {unix.IPPROTO_TCP, unix.TCP_INFO},
		{unix.IPPROTO_TCP, unix.TCP_CC_INFO}, {unix.IPPROTO_TCP, unix.TCP_TIMESTAMP},
	} {
		delete(all, tuned)
	}
	return all
}

// TestLook sees a probe answered that this kernel sent by itself: an ACK came, and no data.
func TestLook(t *testing.T) {
	t.Parallel()
	control, peer := accepted(t)
	look := func() (l Look) {
		control(func(fd int) {
			var ok bool
			if l, ok = lookAt(fd); !ok {
				t.Fatal("no TCP_INFO")
			}
		})
		return l
	}
	first := look()
	if first.DataIn != 1 || first.DataOut != 0 || first.Unacked != 0 || first.Closed {
		t.Errorf("after one byte: %+v", first)
	}
	_, err := peer.Write([]byte{0})
	kit.Must(t, err)
	kit.Until(t, "the second byte's segment", func() bool { return look().DataIn == 2 })
	control(func(fd int) { watchIt(t, fd) })
	var longest time.Duration
	kit.Until(t, "an answer after silence", func() bool {
		l := look()
		longest = max(longest, l.Heard)
		return l.Heard < longest
	})
	if l := look(); l.DataIn != 2 || l.DataOut != 0 || l.Closed {
		t.Errorf("after an answered probe: %+v", l)
	}
	if longest < time.Second {
		t.Errorf("heard again after %v of silence: nobody was silent", longest)
	}
	kit.Until(t, "two seconds of silence", func() bool { return look().Heard >= 1900*time.Millisecond })
	peer.(*net.TCPConn).SetLinger(0)
	peer.Close()
	kit.Until(t, "the reset", func() bool { return look().Closed })
}

// TestClosing: when the end of a connection is told it can still be looked at, once, whoever ended it and whether it has said anything.
func TestClosing(t *testing.T) {
	t.Parallel()
	type last struct {
		l  Look
		ok bool
	}
	told := make(chan last, 10)
	s := start(t, handlerFunc{serve: echo}, func(c *Config) {
		c.Closing = func(c *Conn) {
			l, ok := c.Look()
			told <- last{l, ok}
		}
	})
	for what, c := range map[string]struct {
		end   func(p *peer)
		reset bool
	}{
		"FIN":               {func(p *peer) { p.Close() }, false},
		"FIN, after a word": {func(p *peer) { p.Put(request(103, 1, 0, "")); p.Next(); p.Close() }, false},
		"RST":               {func(p *peer) { p.Conn.(*net.TCPConn).SetLinger(0); p.Close() }, true},
		"the node": {func(*peer) {
			for c := range s.Conns() {
				c.Close("test")
			}
		}, false},
	} {
		p := dial(t, s)
		only(t, s)
		c.end(p)
		if got := <-told; !got.ok || got.l.Closed != c.reset || got.l.Heard > patience {
			t.Errorf("%s: %+v", what, got)
		}
		kit.Until(t, "closed", func() bool { return s.ConnCount() == 0 })
	}
	if len(told) > 0 {
		t.Error("told more than once")
	}
}

// TestWatchingWakesNobody: probes and their answers, and looks, leave a connection that is parked as it is.
func TestWatchingWakesNobody(t *testing.T) {
	t.Parallel()
	conns := make(chan *Conn, 1)
	s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) { conns <- c }}, nil)
	p := dial(t, s)
	p.Put(request(103, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	c := <-conns
	kit.Must(t, c.wire.control(func(fd int) error { watchIt(t, fd); return nil }))
	c.patience.Store(180_000)
	kit.Until(t, "parked", func() bool { return c.state.Load() == parked })
	var longest time.Duration
	kit.Until(t, "an answer after silence", func() bool {
		l, ok := c.Look()
		if !ok || c.state.Load() != parked {
			t.Fatalf("a look %v, and the connection is in state %d", ok, c.state.Load())
		}
		longest = max(longest, l.Heard)
		return longest > time.Second && l.Heard < longest
	})
}

func BenchmarkLook(b *testing.B) {
	served, peer, err := pair()
	kit.Must(b, err)
	defer served.Close()
	defer peer.Close()
	var c Conn
	c.wire.init(served, new(atomic.Int64), clock.Now)
	for b.Loop() {
		if _, ok := c.Look(); !ok {
			b.Fatal("no reading")
		}
	}
}

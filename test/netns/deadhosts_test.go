//go:build linux

package netns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/connect"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// What Linux tells of a host that is watched, on links that are cut for real. The options and their order are tested in remoting/rpc,
// what is made of all this in vanish.

const deadHosts = "n. a host that is watched"

// watchedLine is a connection that a node watches, and its peer: a kernel with a socket, and nobody behind it.
type watchedLine struct {
	t           *testing.T
	net         *network
	here, there *host
	server      *rpc.Server
	conn        *rpc.Conn
	peer        *kit.Client
	socket      *net.TCPConn // peer's
	answers     chan int     // bytes of the next answer
	timeout     atomic.Int64 // the broker's own, in milliseconds
	closed      chan struct{}
}

func (w *watchedLine) Serve(c *rpc.Conn, _ *remoting.Request, resp *remoting.Response) {
	if w.conn == nil {
		w.conn = c
	}
	if why := c.Watch(w.there.IP+":10911", w.timeout.Load()); why != rpc.Watched {
		w.t.Errorf("not watched: %v", why)
	}
	resp.Body = make([]byte, <-w.answers)
}

func (w *watchedLine) Closed(*rpc.Conn) { close(w.closed) }

func newWatchedLine(t *testing.T) *watchedLine {
	t.Helper()
	n := newNetwork(t)
	w := &watchedLine{t: t, net: n, here: n.host("node"), there: n.host("broker"), answers: make(chan int, 1), closed: make(chan struct{})}
	w.timeout.Store(120_000)
	var addr string
	w.server, addr = serveAt(t, w.here, w)
	peer, err := w.there.dial(addr, kit.Patience)
	kit.Must(t, err)
	w.socket = peer.(*net.TCPConn)
	t.Cleanup(func() { peer.Close() })
	w.peer = kit.Over(t, peer)
	w.answers <- 0
	w.peer.Call(kit.Request{Code: 103})
	return w
}

// serveAt runs a server on a host.
func serveAt(t *testing.T, h *host, handler rpc.Handler) (server *rpc.Server, addr string) {
	t.Helper()
	cfg := rpc.DefaultConfig()
	cfg.Idle = func() time.Duration { return 0 } // nobody but the kernel may end a connection
	server, err := rpc.New(cfg, handler)
	kit.Must(t, err)
	var listener net.Listener
	h.within(func() {
		lc := net.ListenConfig{KeepAlive: -1}
		lc.SetMultipathTCP(false)
		listener, err = lc.Listen(t.Context(), "tcp4", net.JoinHostPort(h.IP, servePort))
	})
	kit.Must(t, err, server.Use(listener))
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), kit.Patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
	})
	return server, listener.Addr().String()
}

func (w *watchedLine) look() rpc.Look {
	w.t.Helper()
	l, ok := w.conn.Look()
	if !ok {
		w.t.Fatal("no reading of TCP_INFO")
	}
	return l
}

// until waits for a reading.
func (w *watchedLine) until(what string, holds func(l rpc.Look) bool) rpc.Look {
	w.t.Helper()
	var l rpc.Look
	kit.Await(w.t, kit.Patience, what, func() error {
		if l = w.look(); !holds(l) {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
	return l
}

// silent waits until so many transmissions wait for an answer, and the connection stands.
func (w *watchedLine) silent(transmissions int) rpc.Look {
	w.t.Helper()
	return w.until(fmt.Sprintf("%d transmissions without an answer", transmissions), func(l rpc.Look) bool {
		if l.Closed {
			w.t.Fatalf("the kernel has judged: %+v", l)
		}
		return int(l.Probes)+int(l.Retransmits) >= transmissions
	})
}

// alive waits for a sign of life.
func (w *watchedLine) alive() {
	w.t.Helper()
	w.until("a sign of life", func(l rpc.Look) bool {
		return !l.Closed && l.Heard < time.Second && l.Probes == 0 && l.Retransmits == 0
	})
}

// link switches the broker's port at the switch on or off.
func (w *watchedLine) link(state string) {
	w.t.Helper()
	w.there.cable(state)
}

// lasts is long enough for the kernel to have judged, had it been given TCP_KEEPCNT's default to judge by.
const lasts = 12

func TestWatchedHost(t *testing.T) {
	need(t, 0)
	scenario := func(name string, f func(t *testing.T, w *watchedLine)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newWatchedLine(t))
		})
	}
	scenario("an idle host answers every two seconds, without data", func(t *testing.T, w *watchedLine) {
		first := w.look()
		for range 3 {
			w.until("two seconds without a word", func(l rpc.Look) bool { return l.Heard > 1500*time.Millisecond })
			w.alive()
		}
		if l := w.look(); l.DataIn != first.DataIn || l.DataOut != first.DataOut {
			t.Errorf("at first %+v, now %+v", first, l)
		}
	})
	for name, cut := range map[string]func(w *watchedLine) (heal func()){
		"its port goes down": func(w *watchedLine) func() {
			w.link("down")
			return func() { w.link("up") }
		},
		"the node's own port goes down": func(w *watchedLine) func() {
			w.here.cable("down")
			return func() { w.here.cable("up") }
		},
		"what it sends is lost":     func(w *watchedLine) func() { return w.here.drop(w.there).heal },
		"what it is sent is lost":   func(w *watchedLine) func() { return w.there.drop(w.here).heal },
		"the node sends nothing":    func(w *watchedLine) func() { return w.output("-j", "DROP") },
		"a firewall answers for it": func(w *watchedLine) func() { return w.rejects("icmp-host-unreachable") },
	} {
		scenario(name, func(t *testing.T, w *watchedLine) {
			heal := cut(w)
			began := time.Now()
			l := w.silent(lasts)
			figures.took(deadHosts, name+": twelve probes in vain, after", time.Since(began))
			if l.Retransmits != 0 || l.Heard < 8*time.Second {
				t.Errorf("after twelve probes: %+v", l)
			}
			healed := time.Now()
			heal()
			w.alive()
			if now := w.look(); now.DataIn != l.DataIn || now.DataOut != l.DataOut {
				t.Errorf("data came or went: %+v, then %+v", l, now)
			}
			figures.took(deadHosts, name+": heard again, after", time.Since(healed))
			w.answers <- 0
			w.peer.Call(kit.Request{Code: 103}) // nothing was lost
		})
	}
	for name, loose := range map[string]string{"a firewall that forgot it picks it up": "1", "a firewall that forgot it drops it": "0"} {
		scenario(name, func(t *testing.T, w *watchedLine) {
			w.tracked()
			w.there.invalid()
			kit.Must(t, w.there.loose(loose))
			if err := w.there.forget(); err != nil {
				t.Skipf("SKIPPED, not proven on this machine: %v", err)
			}
			if loose == "1" {
				for range 2 {
					w.until("two seconds without a word", func(l rpc.Look) bool { return l.Heard > 1500*time.Millisecond })
					w.alive()
				}
				return
			}
			w.silent(lasts)
			fresh := &connects{t: t, net: w.net, here: w.here, there: w.there, dialer: connect.New(1), port: "10911"}
			fresh.is(w.there.IP, connect.Refused) // the host lives, and a new connection shows it
			kit.Must(t, w.there.loose("1"))
			w.alive()
		})
	}
	scenario("its address is taken away", func(t *testing.T, w *watchedLine) {
		w.there.vanish()
		w.silent(lasts)
	})
	scenario("asked at once", func(t *testing.T, w *watchedLine) {
		w.link("down")
		w.until("two seconds of silence", func(l rpc.Look) bool { return l.Heard > 2100*time.Millisecond })
		w.silent(1)
		began, was := time.Now(), w.look().Probes
		for n := range uint8(3) {
			w.conn.Probe()
			w.until("one more", func(l rpc.Look) bool { return l.Probes >= was+n+1 })
		}
		figures.took(deadHosts, "three probes asked for: sent, after", time.Since(began))
		w.link("up")
		w.alive()
	})
	scenario("data is unacknowledged", func(t *testing.T, w *watchedLine) {
		deaf := w.there.drop(w.here) // the answer never comes
		w.answers <- 100
		w.peer.Put(kit.Request{Code: 103}.Frame(2))
		w.until("the answer is sent again", func(l rpc.Look) bool { return l.Retransmits > 0 })
		w.link("down")
		began := time.Now()
		l := w.silent(18) // without TCP_USER_TIMEOUT, and retransmissions a second apart, the kernel judges after fifteen
		figures.took(deadHosts, "data unacknowledged: eighteen retransmissions in vain, after", time.Since(began))
		if l.Probes != 0 || l.Unacked == 0 {
			t.Errorf("probes beside retransmissions: %+v", l)
		}
		deaf.heal()
		w.link("up")
		w.alive()
	})
	scenario("it speaks, though it hears nothing", func(t *testing.T, w *watchedLine) {
		w.there.drop(w.here)
		w.silent(2)
		was := w.look()
		w.answers <- 0
		w.peer.Put(kit.Request{Code: 103}.Frame(3))
		l := w.until("its data", func(l rpc.Look) bool { return l.DataIn > was.DataIn })
		if l.Heard > was.Heard/2 {
			t.Errorf("data came, and it was heard of %v ago", l.Heard)
		}
	})
	scenario("it starts anew", func(t *testing.T, w *watchedLine) {
		w.link("down")
		w.silent(2)
		w.socket.SetLinger(0)
		w.socket.Close() // its reset finds no link
		w.silent(4)
		back := time.Now()
		w.link("up")
		select { // the next probe meets a kernel that knows nothing of the connection
		case <-w.closed:
		case <-time.After(kit.Patience):
			t.Fatalf("still open: %+v", w.look())
		}
		figures.took(deadHosts, "started anew: the connection is reset, after", time.Since(back))
		if _, ok := w.conn.Look(); ok {
			t.Error("a socket that is closed tells something")
		}
		if n := w.server.Stats().ProbeResets; n != 1 {
			t.Errorf("%d resets are counted as answers to a probe, want 1", n)
		}
		w.conn.Probe() // and can be asked
	})
	scenario("its process dies while the path is cut", func(t *testing.T, w *watchedLine) {
		w.link("down")
		w.silent(2)
		w.socket.Close() // its FIN finds no link
		w.silent(4)
		back := time.Now()
		w.link("up")
		select {
		case <-w.closed:
		case <-time.After(kit.Patience):
			t.Fatalf("still open: %+v", w.look())
		}
		figures.took(deadHosts, "its process died meanwhile: the connection is closed, after", time.Since(back))
		if n := w.server.Stats().ProbeResets; n != 0 {
			t.Errorf("%d resets are counted as answers to a probe", n)
		}
	})
	scenario("its process dies", func(t *testing.T, w *watchedLine) {
		w.socket.SetLinger(0)
		w.socket.Close()
		select {
		case <-w.closed:
		case <-time.After(kit.Patience):
			t.Fatalf("still open: %+v", w.look())
		}
		if n := w.server.Stats().ProbeResets; n != 0 {
			t.Errorf("%d resets are counted as answers to a probe", n)
		}
	})
	for name, unacked := range map[string]bool{"the kernel is never the judge": false, "nor with data unacknowledged": true} {
		scenario(name, func(t *testing.T, w *watchedLine) {
			if !long() {
				t.Skip("SKIPPED: set EPITAPH_NETNS=long to wait for TCP_USER_TIMEOUT, 180 s; make night-netns has it")
			}
			if unacked {
				w.there.drop(w.here)
				w.answers <- 100
				w.peer.Put(kit.Request{Code: 103}.Frame(2))
				w.until("the answer is sent again", func(l rpc.Look) bool { return l.Retransmits > 0 })
			}
			w.link("down")
			began := time.Now()
			for time.Since(began) < 170*time.Second {
				pass(t, time.Second)
				if l := w.look(); l.Closed {
					t.Fatalf("closed after %v: %+v", time.Since(began), l)
				}
			}
			select {
			case <-w.closed:
			case <-time.After(40 * time.Second):
				t.Errorf("still open after %v: %+v", time.Since(began), w.look())
			}
			figures.took(deadHosts, "TCP_USER_TIMEOUT of 180 s, "+name+": closed, after", time.Since(began))
		})
	}
	scenario("nor within 200 s where the broker's own timeout is 300 s", func(t *testing.T, w *watchedLine) {
		if !long() {
			t.Skip("SKIPPED: set EPITAPH_NETNS=long to cut a connection for 200 s; make night-netns has it")
		}
		kit.Must(t, w.socket.SetKeepAlive(false)) // Go's makes the peer's kernel close after 150 s
		w.timeout.Store(300_000)
		w.answers <- 0
		w.peer.Call(kit.Request{Code: 103}) // by which it grows
		w.link("down")
		for began := time.Now(); time.Since(began) < 200*time.Second; pass(t, time.Second) {
			if l := w.look(); l.Closed {
				t.Fatalf("closed after %v: %+v", time.Since(began), l)
			}
		}
		w.link("up")
		w.alive()
		w.answers <- 0
		w.peer.Call(kit.Request{Code: 103})
	})
}

// tracked makes the broker's machine keep track of connections.
func (w *watchedLine) tracked() {
	w.t.Helper()
	w.there.tracks()
	was := w.look() // it is picked up
	w.until("probed", func(l rpc.Look) bool { return l.Heard < was.Heard && l.Probes == 0 })
}

// output appends a rule about what the node sends to the broker.
func (w *watchedLine) output(more ...string) (heal func()) {
	r := rule{w.here, append([]string{"OUTPUT", "-d", w.there.IP, "-p", "tcp"}, more...)}
	r.apply("-A")
	return r.heal
}

// rejects makes the broker's firewall answer for it.
func (w *watchedLine) rejects(with string) (heal func()) {
	r := rule{w.there, []string{"INPUT", "-s", w.here.IP, "-p", "tcp", "-j", "REJECT", "--reject-with", with}}
	r.apply("-A")
	return r.heal
}

// connects tries new connections from one host to another.
type connects struct {
	t           *testing.T
	net         *network
	here, there *host
	dialer      *connect.Dialer
	port        string
}

func newConnects(t *testing.T) *connects {
	n := newNetwork(t)
	c := &connects{t: t, net: n, here: n.host("node"), there: n.host("broker"), dialer: connect.New(8), port: "10911"}
	for i, h := range []*host{c.here, c.there} {
		run(t, "ip", "-n", h.ns, "address", "add", fmt.Sprintf("fd77::%d/64", i+1), "dev", "eth0", "nodad")
	}
	return c
}

func (c *connects) listen(network, addr string) {
	c.t.Helper()
	var l net.Listener
	var err error
	c.there.within(func() { l, err = net.Listen(network, net.JoinHostPort(addr, c.port)) })
	kit.Must(c.t, err)
	c.t.Cleanup(func() { l.Close() })
}

func (c *connects) try(to string) (r connect.Result) {
	c.here.within(func() { r = c.dialer.Try(c.t.Context(), netip.MustParseAddrPort(net.JoinHostPort(to, c.port))) })
	return r
}

// is tries until it is so: the first try may find the address not yet resolved.
func (c *connects) is(to string, want connect.Outcome) {
	c.t.Helper()
	began := time.Now()
	kit.Await(c.t, kit.Patience, want.String(), func() error {
		began = time.Now()
		if r := c.try(to); r.Outcome != want {
			return fmt.Errorf("%v, %w", r.Outcome, r.Err)
		}
		return nil
	})
	c.t.Logf("%s after %v", want, time.Since(began).Round(100*time.Microsecond))
}

// gone tries, four times a second: nothing may be taken for life, nor for a fault of this machine, whatever the kernel makes of an
// address that nobody has.
func (c *connects) gone(d time.Duration) {
	c.t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	counts := map[string]int{}
	for range int(d / (250 * time.Millisecond)) {
		group.Go(func() {
			began := time.Now()
			r := c.try(c.there.IP)
			mu.Lock()
			defer mu.Unlock()
			counts[fmt.Sprint(r.Outcome, " ", time.Since(began).Round(100*time.Millisecond), " ", r.Err)]++
			if r.Life() || r.Outcome == connect.Failed {
				c.t.Errorf("%v, %v", r.Outcome, r.Err)
			}
		})
		pass(c.t, 250*time.Millisecond)
	}
	group.Wait()
	c.t.Log(counts)
}

func TestNewConnections(t *testing.T) {
	need(t, 0)
	scenario := func(name string, f func(t *testing.T, c *connects)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newConnects(t))
		})
	}
	scenario("a host that lives", func(t *testing.T, c *connects) {
		c.is(c.there.IP, connect.Refused)
		c.is("fd77::2", connect.Refused)
		c.listen("tcp4", c.there.IP)
		c.listen("tcp6", "fd77::2")
		c.is(c.there.IP, connect.Answered)
		c.is("fd77::2", connect.Answered)
	})
	scenario("a firewall that answers by ICMP", func(t *testing.T, c *connects) {
		c.listen("tcp4", c.there.IP)
		c.listen("tcp6", "fd77::2")
		c.is(c.there.IP, connect.Answered) // its address is resolved
		for _, with := range []string{"icmp-port-unreachable", "icmp-host-unreachable", "icmp-net-unreachable", "icmp-proto-unreachable", "icmp-admin-prohibited"} {
			r := rule{c.there, []string{"INPUT", "-p", "tcp", "-j", "REJECT", "--reject-with", with}}
			r.apply("-A")
			got := c.try(c.there.IP)
			t.Logf("%s: %v, %v", with, got.Outcome, got.Err)
			if got.Outcome != connect.ByICMP {
				t.Errorf("%s is taken for %v", with, got.Outcome)
			}
			r.heal()
		}
		rst := rule{c.there, []string{"INPUT", "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"}}
		rst.apply("-A")
		c.is(c.there.IP, connect.Refused)
		c.is("fd77::2", connect.Answered)
		if out, err := c.there.output("ip6tables", "-w", "-A", "INPUT", "-p", "tcp", "-j", "REJECT"); err != nil {
			t.Skipf("SKIPPED, ICMPv6 is not proven: ip6tables: %v\n%s", err, out)
		}
		c.is("fd77::2", connect.ByICMP)
	})
	scenario("nobody says anything", func(t *testing.T, c *connects) {
		c.is(c.there.IP, connect.Refused)
		lost := c.there.drop(c.here)
		c.is(c.there.IP, connect.Unanswered)
		lost.heal()
		c.is(c.there.IP, connect.Refused)
		lost = c.here.drop(c.there)
		c.is(c.there.IP, connect.Unanswered)
		lost.heal()
		own := rule{c.here, []string{"OUTPUT", "-p", "tcp", "-j", "DROP"}}
		own.apply("-A")
		got := c.try(c.there.IP)
		t.Logf("own OUTPUT dropped: %v, %v", got.Outcome, got.Err)
		if got.Life() {
			t.Errorf("own OUTPUT dropped: %v", got)
		}
		own.heal()
		own = rule{c.here, []string{"OUTPUT", "-p", "tcp", "-j", "REJECT"}}
		own.apply("-A")
		got = c.try(c.there.IP)
		t.Logf("own OUTPUT rejected: %v, %v", got.Outcome, got.Err)
		if got.Life() {
			t.Errorf("own OUTPUT rejected: %v", got)
		}
	})
	scenario("a host that is gone", func(t *testing.T, c *connects) {
		c.is(c.there.IP, connect.Refused)
		c.there.cable("down")
		c.gone(8 * time.Second)
		run(t, "ip", "-n", c.here.ns, "neighbor", "flush", "dev", "eth0")
		c.gone(8 * time.Second)
		c.there.cable("up")
		c.is(c.there.IP, connect.Refused)
		c.there.vanish()
		c.gone(8 * time.Second)
	})
	scenario("a fault of this machine", func(t *testing.T, c *connects) {
		c.is("192.0.2.1", connect.Failed) // no route
		c.is("2001:db8::1", connect.Failed)
		c.here.within(func() {
			if a, any := c.dialer.Canary(t.Context(), config.DefaultDeadHosts().Canary); any {
				t.Errorf("%v answers, where there is no way to it", a)
			}
		})
		c.is(c.there.IP, connect.Refused)
		run(t, "ip", "-n", c.here.ns, "route", "add", "unreachable", "10.77.9.0/24")
		run(t, "ip", "-n", c.here.ns, "route", "add", "prohibit", "10.77.8.0/24")
		run(t, "ip", "-n", c.here.ns, "route", "add", "blackhole", "10.77.7.0/24")
		for _, to := range []string{"10.77.9.1", "10.77.8.1", "10.77.7.1"} {
			r := c.try(to)
			t.Logf("%s: %v, %v", to, r.Outcome, r.Err)
			if r.Outcome != connect.Failed {
				t.Errorf("%s: %v, %v", to, r.Outcome, r.Err)
			}
		}
		run(t, "ip", "-n", c.here.ns, "link", "set", "eth0", "down")
		c.is(c.there.IP, connect.Failed)
		if r := c.try(c.there.IP); !errors.Is(r.Err, r.Err) || r.Life() {
			t.Errorf("%v", r)
		}
	})
	scenario("something answers for everybody", func(t *testing.T, c *connects) {
		run(t, "ip", "-n", c.here.ns, "route", "add", "default", "via", c.there.IP)
		run(t, "ip", "-n", c.there.ns, "address", "add", "192.0.2.1/32", "dev", "lo")
		c.is("192.0.2.1", connect.Refused)
		c.listen("tcp4", "192.0.2.1")
		c.is("192.0.2.1", connect.Answered)
		c.here.within(func() {
			if _, any := c.dialer.Canary(t.Context(), config.DefaultDeadHosts().Canary); !any {
				t.Error("the canary says that nobody answers")
			}
		})
	})
}

// desk takes registrations of real brokers, says yes to everything, and watches who registers.
type desk struct {
	t       *testing.T
	watched chan *rpc.Conn
	closed  chan *rpc.Conn
}

func (d *desk) Serve(c *rpc.Conn, req *remoting.Request, _ *remoting.Response) {
	if req.Code != remoting.RegisterBroker || c.Value() != nil {
		return
	}
	c.SetValue(true)
	addr, _ := req.Str("brokerAddr")
	timeout, _ := req.Int64("heartbeatTimeoutMillis")
	if why := c.Watch(addr, timeout); why != rpc.Watched {
		d.t.Errorf("%s from %s is not watched: %v", addr, c.SocketAddr(), why)
	}
	d.watched <- c
}

func (d *desk) Closed(c *rpc.Conn) {
	if c.Value() != nil {
		d.closed <- c
	}
}

// A real broker's connection is watched, its machine answers whatever its JVM does, and it answers new connections, without a word in its log
// that an operator would look into.
func TestWatchedBroker(t *testing.T) {
	need(t, weightBroker)
	for _, release := range []string{release5, release4} {
		t.Run(release, func(t *testing.T) { watchedBroker(t, release) })
	}
}

func watchedBroker(t *testing.T, release string) {
	n := newNetwork(t)
	w := &watchedLine{t: t, net: n, here: n.host("node"), there: n.host("broker")}
	d := &desk{t: t, watched: make(chan *rpc.Conn, 8), closed: make(chan *rpc.Conn, 8)}
	_, addr := serveAt(t, w.here, d)
	b := launch(t, w.there, release, "watched", &server{addr: addr})
	b.MustBoot(t)
	select {
	case w.conn = <-d.watched:
	case <-time.After(kit.Patience):
		t.Fatal("no registration")
	}
	answered := func(during string) {
		t.Helper()
		for range 2 {
			was := w.until("a second without a word, "+during, func(l rpc.Look) bool { return l.Heard > time.Second && l.Unacked == 0 })
			now := w.until("an answer, "+during, func(l rpc.Look) bool { return l.Heard < was.Heard })
			t.Logf("%s: %+v, then %+v", during, was, now)
		}
	}
	fresh := &connects{t: t, net: n, here: w.here, there: w.there, dialer: connect.New(8), port: strconv.Itoa(brokerPort)}
	answered("idle")
	before := b.logs(t)
	for range 5 {
		fresh.is(w.there.IP, connect.Answered)
	}
	kit.Must(t, b.Signal(syscall.SIGSTOP))
	answered("its JVM stopped")
	fresh.is(w.there.IP, connect.Answered)
	kit.Must(t, b.Signal(syscall.SIGCONT))
	answered("its JVM goes on")
	told := strings.TrimPrefix(b.logs(t), before)
	t.Logf("its log:\n%s", told)
	if strings.Contains(told, "exceptionCaught") {
		t.Error("it logs a fault of new connections, which are closed as any client's are")
	}
	w.link("down")
	w.silent(4)
	fresh.gone(time.Second)
	w.link("up")
	closed := false
	kit.Await(t, kit.Patience, "a word, or the FIN of a broker that waited in vain for an answer of ours", func() error {
		select {
		case <-d.closed:
			closed = true
		default:
		}
		if l, ok := w.conn.Look(); closed || ok && l.Heard < time.Second {
			return nil
		}
		return errors.New("nothing")
	})
	t.Logf("after the link was down: closed by the broker: %v", closed)
	b.Kill()
	if !closed {
		select {
		case <-d.closed:
		case <-time.After(kit.Patience):
			t.Fatalf("its process is gone, and the connection is open: %+v", w.look())
		}
	}
	fresh.is(w.there.IP, connect.Refused)
}

// logs is what the broker has written of itself.
func (b *broker) logs(t *testing.T) (text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.options.Dir, "logs", "rocketmqlogs", "*.log"))
	kit.Must(t, err)
	for _, f := range files {
		content, err := os.ReadFile(f)
		kit.Must(t, err)
		text += string(content)
	}
	return text + b.Output()
}

// Three nodes that observe, and brokers on six hosts. One host's link goes down: each node tells that it would evict that host's broker, and
// nothing else, and nothing changes. Then one node loses the path to another host alone: it is contradicted.
func TestObserved(t *testing.T) {
	need(t, 0)
	w := newWorldWith(t, []string{"--dead-hosts", "observe"}, "A", "B", "C")
	var hosts []*host
	for i := range 6 { // two of them may be silent at once
		h := w.host(fmt.Sprintf("broker%d", i))
		b := h.simulated(t, h.name)
		b.Register(t, addrs(w.servers())...)
		hosts = append(hosts, h)
	}
	pass(t, 32*time.Second) // no node votes before it has listened for half a minute
	hosts[0].cable("down")
	cutAt := time.Now()
	for _, n := range w.nodes {
		n.says(t, time.Minute, "broker would be evicted")
		figures.took(deadHosts, n.name+" would evict the broker of a host without a link, after", time.Since(cutAt))
	}
	a, other := w.nodes[0], hosts[1]
	rules := cut(a.host, other)
	a.says(t, time.Minute, "why=contradicted")
	heal(rules)
	for _, n := range w.nodes {
		if count := strings.Count(n.Output(), "broker would be evicted"); count != 1 {
			t.Errorf("%s would have evicted %d times:\n%s", n.name, count, n.Output())
		}
	}
}

// options are those of a connection that watching would change, by name; -1: this kernel has no such option.
func (n *epitaph) options(t *testing.T, peer netip.AddrPort) map[string]int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
	kit.Must(t, err)
	process, err := unix.PidfdOpen(n.PID(), 0)
	kit.Must(t, err)
	defer func() { _ = unix.Close(process) }()
	for _, one := range fds {
		theirs, err := strconv.Atoi(one.Name())
		kit.Must(t, err)
		fd, err := unix.PidfdGetfd(process, theirs, 0)
		if err != nil {
			continue // it is closed by now
		}
		values, is := optionsOf(fd, peer)
		_ = unix.Close(fd)
		if is {
			return values
		}
	}
	t.Fatalf("%s has no connection from %s", n.name, peer)
	return nil
}

func optionsOf(fd int, peer netip.AddrPort) (map[string]int, bool) {
	from, err := unix.Getpeername(fd)
	if err != nil {
		return nil, false
	}
	var addr netip.AddrPort
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		addr = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		addr = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	if addr != peer {
		return nil, false
	}
	values := map[string]int{}
	for name, at := range map[string][2]int{
		"SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, "TCP_KEEPIDLE": {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
		"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, "TCP_KEEPCNT": {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
		"TCP_USER_TIMEOUT": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, "TCP_RTO_MAX_MS": {unix.IPPROTO_TCP, 44},
		"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}, "SO_LINGER": {unix.SOL_SOCKET, unix.SO_LINGER},
	} {
		if values[name], err = unix.GetsockoptInt(fd, at[0], at[1]); err != nil {
			values[name] = -1
		}
	}
	return values, true
}

// answers takes connections to the broker's port of an address of the host, tells where each came from, and closes it.
func (h *host) answers(ip string, came func(from netip.Addr)) {
	h.t.Helper()
	var l net.Listener
	var err error
	h.within(func() { l, err = net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(brokerPort))) })
	kit.Must(h.t, err)
	h.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came(netip.MustParseAddrPort(c.RemoteAddr().String()).Addr())
			_ = c.Close()
		}
	}()
}

// Nobody who does not ask for it has it: a broker's connection at a node that gossips and does not watch, without the flag and with "off",
// has the options of one at a node without gossip, and its answers are the same bytes; that node opens no connection to the broker. A node that
// observes, beside them, does both, and answers with the same bytes.
func TestNotWatched(t *testing.T) {
	need(t, 0)
	w := newWorld(t, "plain", "off", "observe")
	alone := w.silent("alone")
	for _, n := range w.nodes[1:] {
		n.args = append(n.args, "--dead-hosts", n.name)
		n.crash()
	}
	h := w.host("broker")
	var came []netip.Addr
	var mu sync.Mutex
	h.answers(h.IP, func(from netip.Addr) {
		mu.Lock()
		defer mu.Unlock()
		came = append(came, from)
	})
	b := kit.NewBroker(t, "b", net.JoinHostPort(h.IP, strconv.Itoa(brokerPort)), "t")
	var options []map[string]int
	var answers []string
	for _, n := range append(slices.Clone(w.nodes), alone) {
		conn, err := h.dial(n.addr, kit.Patience)
		kit.Must(t, err)
		c := kit.Over(t, conn)
		var all []byte
		for _, r := range []kit.Request{
			b.Registration(), b.Heartbeat(), {Code: 105, Ext: map[string]string{"topic": "t"}}, {Code: 106}, {Code: 105, Ext: map[string]string{"topic": "none"}},
		} {
			all = append(all, c.Call(r).Raw()...)
		}
		answers = append(answers, string(all))
		options = append(options, n.options(t, netip.MustParseAddrPort(conn.LocalAddr().String())))
	}
	t.Logf("%v", options)
	for i, n := range w.nodes {
		if answers[i] != answers[3] {
			t.Errorf("%s answers %q, a node without gossip %q", n.name, answers[i], answers[3])
		}
	}
	for i, n := range w.nodes[:2] {
		if !maps.Equal(options[i], options[3]) {
			t.Errorf("%s: %v, a node without gossip: %v", n.name, options[i], options[3])
		}
	}
	if options[3]["SO_KEEPALIVE"] != 0 || options[2]["SO_KEEPALIVE"] != 1 || options[3]["TCP_USER_TIMEOUT"] != 0 || options[2]["TCP_USER_TIMEOUT"] != 180_000 {
		t.Errorf("without gossip %v, observed %v", options[3], options[2])
	}
	kit.Until(t, "a new connection of the node that observes", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(came) > 0
	})
	mu.Lock()
	defer mu.Unlock()
	for _, from := range came {
		if from.String() != w.nodes[2].host.IP {
			t.Errorf("a connection from %v", from)
		}
	}
}

// Three nodes with --dead-hosts on. The link of a released broker's host goes down for good, and that of another's for five seconds (as a machine
// that stands still; the last answer before that may be two seconds older): the one is gone at every node long before RocketMQ would notice, the
// other is never taken out, nor is anybody else. When the link is back, so is the broker: at A and B by the first sign of life of its kernel, at C,
// which is told not to put anything back, with its next REGISTER.
func TestVanished(t *testing.T) {
	need(t, 2*weightBroker)
	w := newWorldWith(t, []string{"--dead-hosts", "on"}, "A", "B", "C")
	waits := w.nodes[2]
	waits.args = append(waits.args, "--dead-host-restore=false")
	waits.crash()
	w.awaitMembers(3)
	for i := range 4 { // with fewer hosts that are heard nobody would be judged
		h := w.host(fmt.Sprintf("other%d", i))
		b := h.simulated(t, h.name)
		b.Register(t, addrs(w.servers())...)
		b.Keep(t, b.Registration, addrs(w.servers())...)
	}
	frozen := launch(t, w.host("frozen"), release5, "frozen", w.servers()...)
	dead := launch(t, w.host("dead"), release5, "dead", w.servers()...)
	var watches []*watch
	for _, n := range w.nodes {
		watch := n.watch(t, 100*time.Millisecond)
		watches = append(watches, watch)
		watch.listed(t, kit.Patience, dead.key)
		watch.listed(t, kit.Patience, frozen.key)
		watch.expect(frozen.key)
	}
	for _, n := range w.nodes {
		n.mayJudge(t, dead.options.Name)
		n.mayJudge(t, frozen.options.Name)
	}
	pass(t, 32*time.Second) // no node votes before it has listened for half a minute
	registered := func(n *epitaph) time.Time {
		var all api.Brokers
		kit.Must(t, n.getJSON("/v1/brokers", &all))
		for i := range all.Brokers {
			if all.Brokers[i].Broker == dead.options.Name {
				return all.Brokers[i].Registered
			}
		}
		t.Fatalf("%s does not list it", n.name)
		return time.Time{}
	}
	// Its process stands still with its machine: one that runs on asks something in vain, and closes its connection for that.
	before := registered(waits)
	kit.Until(t, "the next REGISTER of "+dead.options.Name, func() bool { return registered(waits).Sub(before) > time.Second })
	kit.Must(t, dead.Signal(syscall.SIGSTOP))
	dead.host.cable("down")
	cutAt := time.Now()
	frozen.host.cable("down")
	frozenAt := time.Now()
	pass(t, 5*time.Second)
	frozen.host.cable("up")
	stood := time.Since(frozenAt)
	for i, n := range w.nodes {
		at := watches[i].gone(t, kit.Patience, dead.key)
		figures.took(deadHosts, n.name+" has taken out the broker of a host without a link, after", at.Sub(cutAt))
	}
	t.Run("the host that stood still", func(t *testing.T) {
		if stood > 5800*time.Millisecond {
			t.Skipf("SKIPPED, not proven in this run: the links were changed so slowly that the host stood still for %v, which is nearly 6 s", stood)
		}
		for i, n := range w.nodes {
			kit.Until(t, n.name+" hears the host that stood still", func() bool {
				var v api.Vanished
				return n.getJSON("/v1/vanished?broker=frozen", &v) == nil && len(v.Hosts) == 1 && !v.Hosts[0].Silent
			})
			// A broker that registers in these seconds waits in vain, and closes its connection itself.
			t.Logf("%s did not list it for a while: %v", n.name, watches[i].missed())
			if evictions := n.metric(t, "epitaph_dead_host_evictions_total"); evictions != 1 {
				t.Errorf("%s has taken out %v brokers:\n%s", n.name, evictions, n.Output())
			}
		}
	})
	dead.host.cable("up")
	back := time.Now()
	var took []time.Duration
	for i, n := range w.nodes {
		by := "the first word of its kernel"
		if n == waits {
			kit.Must(t, dead.Signal(syscall.SIGCONT))
			by = "its next REGISTER"
		}
		took = append(took, watches[i].listed(t, kit.Patience, dead.key).Sub(back))
		figures.took(deadHosts, n.name+" has the broker back after its link, by "+by, took[i])
	}
	t.Run("the broker is put back", func(t *testing.T) {
		if away := back.Sub(cutAt); away > 100*time.Second {
			t.Skipf("SKIPPED, not proven in this run: its host was away for %v, and its registration's own time is 120 s", away)
		}
		for i, n := range w.nodes {
			want := 1.0
			if n == waits {
				want = 0
			} else if took[i] > 2*time.Second {
				t.Errorf("%s has the broker back after %v", n.name, took[i])
			}
			if got := n.metric(t, "epitaph_dead_host_restored_total"); got != want {
				t.Errorf("%s has put back %v brokers, want %v:\n%s", n.name, got, want, n.Output())
			}
		}
	})
}

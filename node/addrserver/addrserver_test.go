package addrserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// members are what a test says that gossip knows.
type members struct {
	mu  sync.Mutex
	all []gossip.Member
	met bool
}

func (m *members) set(met bool, all ...gossip.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all, m.met = all, met
}

func (m *members) get() addresses.Input {
	m.mu.Lock()
	defer m.mu.Unlock()
	return addresses.Input{Members: m.all, Met: m.met}
}

func member(name, addr string) gossip.Member {
	return gossip.Member{Peer: tombstone.Peer{Name: name, Boot: 1}, Addr: "127.0.0.1:7946", Self: name == "n1",
		Meta: gossip.Meta{Phase: gossip.PhaseReady, Serve: netip.MustParseAddrPort(addr), Witnessed: true}}
}

func settings(t *testing.T, m *members) Config {
	return Config{
		Listen: "127.0.0.1:0", Clients: "nsaddr", Brokers: "brokers", Keep: 5 * time.Minute, File: filepath.Join(t.TempDir(), "addresses.json"),
		Holder:  func() string { return "process 1" },
		Members: m.get, Client: rpc.DefaultClientConfig(), Clock: clock.Now, Logger: slog.New(slog.DiscardHandler),
	}
}

// start runs a server until the test ends.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s := New(cfg)
	kit.Must(t, s.Start(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(s *Server, path string) (status int, body string) {
	return kit.Get("http://" + s.Addr().String() + path)
}

// What clients of every kind send is answered, and nothing else is.
func TestRequests(t *testing.T) {
	m := &members{}
	m.set(true, member("n1", "127.0.0.1:9876"), func() gossip.Member { m := member("n2", "127.0.0.1:9877"); m.Phase = gossip.PhaseDraining; return m }())
	cfg := settings(t, m)
	cfg.Brokers = "nsaddr-all"
	s := start(t, cfg)
	kit.Until(t, "a list", func() bool { status, _ := get(s, "/rocketmq/nsaddr"); return status == 200 })
	const clients, brokers = "127.0.0.1:9876", "127.0.0.1:9876;127.0.0.1:9877"
	for _, c := range []struct {
		method, target, host string
		status               int
		body                 string
	}{
		{"GET", "/rocketmq/nsaddr", "", 200, clients},
		{"GET", "/rocketmq/nsaddr-UNIT?nofix=1", "", 200, clients},
		{"GET", "/rocketmq/nsaddr-UNIT?nofix=1&a=b&c=d", "", 200, clients},
		{"GET", "/rocketmq/nsaddr?a=b", "", 200, clients},
		{"GET", "/rocketmq/nsaddr-all", "", 200, brokers},
		{"GET", "/rocketmq/nsaddr-all-UNIT?nofix=1", "", 200, brokers},
		{"GET", "/rocketmq/nsaddr", "evil.example", 200, clients},
		{"GET", "http://evil.example/rocketmq/nsaddr", "evil.example", 200, clients},
		{"HEAD", "/rocketmq/nsaddr", "", 200, ""},
		{"HEAD", "/rocketmq/nsaddr-all", "", 200, ""},
		{"GET", "/rocketmq/nsaddr-", "", 404, ""},
		{"GET", "/rocketmq/nsaddrs", "", 404, ""},
		{"GET", "/rocketmq/nsaddr/", "", 404, ""},
		{"GET", "/rocketmq/nsaddr-a/b", "", 404, ""},
		{"GET", "//rocketmq/nsaddr", "", 404, ""},
		{"GET", "/rocketmq", "", 404, ""},
		{"GET", "/", "", 404, ""},
		{"GET", "/metrics", "", 404, ""},
		{"POST", "/rocketmq/nsaddr", "", 404, ""},
		{"DELETE", "/rocketmq/nsaddr", "", 404, ""},
		{"OPTIONS", "/rocketmq/nsaddr", "", 404, ""},
	} {
		status, header, body := raw(t, s, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", c.method, c.target, c.host))
		if status != c.status || status == 200 && (body != c.body || header.Get("Content-Type") != "text/plain") {
			t.Errorf("%s %s: %d %q %v, want %d %q", c.method, c.target, status, body, header, c.status, c.body)
		}
		if want := fmt.Sprint(len(clients)); c.method == "HEAD" && c.target == "/rocketmq/nsaddr" && header.Get("Content-Length") != want {
			t.Errorf("HEAD: %v, want a length of %s", header, want)
		}
		if header.Get("Connection") != "close" {
			t.Errorf("%s: a connection that stays is one too many: %v", c.target, header)
		}
	}
	// What rocketmq-client-cpp sends (sync_http_client.cpp).
	if status, _, body := raw(t, s, "GET /rocketmq/nsaddr HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: */*\r\nConnection: close\r\n\r\n"); status != 200 || body != clients {
		t.Errorf("HTTP/1.0: %d %q", status, body)
	}
	st := s.Status()
	if st.Requests[addresses.ClientsPath] < 7 || st.Requests[addresses.BrokersPath] != 3 || st.Requests[addresses.OtherPath] != 11 ||
		st.Changes != [...]uint64{1, 1} {
		t.Errorf("counted %v requests and %v changes", st.Requests, st.Changes)
	}
}

// raw sends a request as it is.
func raw(t *testing.T, s *Server, request string) (status int, header http.Header, body string) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	kit.Must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, request)
	kit.Must(t, err)
	answer, err := io.ReadAll(c)
	kit.Must(t, err)
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	header = http.Header{}
	lines := strings.Split(head, "\r\n")
	_, _ = fmt.Sscanf(lines[0][len("HTTP/1.x"):], "%d", &status)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
	}
	return status, header, body
}

// A client that asks as often as it can is answered, and no other one is kept waiting.
func TestManyRequests(t *testing.T) {
	m := &members{}
	m.set(true, member("n1", "127.0.0.1:9876"))
	s := start(t, settings(t, m))
	kit.Until(t, "a list", func() bool { status, _ := get(s, "/rocketmq/nsaddr"); return status == 200 })
	var eager sync.WaitGroup
	var asked atomic.Int64
	for range 8 {
		eager.Go(func() {
			for t.Context().Err() == nil && asked.Load() < 4000 {
				asked.Add(1)
				if status, body := get(s, "/rocketmq/nsaddr"); status != 200 || body != "127.0.0.1:9876" {
					t.Error(status, body)
					return
				}
			}
		})
	}
	for range 100 { // another one, meanwhile
		if status, body := get(s, "/rocketmq/brokers"); status != 200 || body != "127.0.0.1:9876" {
			t.Fatal(status, body)
		}
	}
	eager.Wait()
}

// Before a member was met there is no list, and clients keep what they have; after a restart it is that of the last run.
func TestRestart(t *testing.T) {
	m := &members{}
	cfg := settings(t, m)
	m.set(false, member("n1", "127.0.0.1:9876"))
	s := start(t, cfg)
	s.look()
	if status, _ := get(s, "/rocketmq/nsaddr"); status != http.StatusServiceUnavailable {
		t.Errorf("before a member was met: %d", status)
	}
	m.set(true, member("n1", "127.0.0.1:9876"), member("n2", "127.0.0.1:9877"))
	s.look()
	m.set(false, member("n1", "127.0.0.1:9876"))
	// Another node of this machine, perhaps of another cluster, has the same directory.
	var warned bytes.Buffer
	beside := cfg
	beside.Logger = slog.New(slog.NewTextHandler(&warned, nil))
	other := New(beside)
	kit.Must(t, other.Start(t.Context()))
	defer func() { kit.Must(t, other.Stop(context.WithoutCancel(t.Context()))) }()
	if status, body := get(other, "/rocketmq/nsaddr"); status != http.StatusServiceUnavailable {
		t.Errorf("the lists of another node are served: %d %s", status, body)
	}
	text, err := os.ReadFile(cfg.File)
	kit.Must(t, err)
	m.set(true, member("n1", "127.0.0.1:9999"))
	other.look()
	m.set(false, member("n1", "127.0.0.1:9876"))
	if after, err := os.ReadFile(cfg.File); err != nil || !bytes.Equal(after, text) || !strings.Contains(warned.String(), `holder="process 1"`) {
		t.Errorf("written over what another node keeps, or not told: %s %v\n%s", after, err, warned.String())
	}
	cfg.File = filepath.Join(t.TempDir(), "addresses.json")
	kit.Must(t, os.WriteFile(cfg.File, text, 0o600))
	again := start(t, cfg)
	again.look()
	for _, path := range []string{"nsaddr", "brokers"} {
		if status, body := get(again, "/rocketmq/"+path); status != 200 || body != "127.0.0.1:9876;127.0.0.1:9877" {
			t.Errorf("%s after a restart: %d %s", path, status, body)
		}
	}
	for text, good := range map[string]bool{
		`{"Clients":["127.0.0.1:1"],"Brokers":["127.0.0.1:1"],"Members":{"n1":"127.0.0.1:1"}}`: true,
		"": false, "{": false, "[]": false, `{"Clients":["n1:9876"]}`: false, `{"Clients":[""]}`: false, `{"Members":{"n1":"10.0.0.1:0"}}`: false,
		`{"Clients":["127.0.0.1:1"],"X":"` + strings.Repeat("x", maxKept) + `"}`: false,
	} {
		kit.Must(t, os.WriteFile(cfg.File, []byte(text), 0o600))
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		if s := New(cfg); (len(s.Status().Clients) == 1) != good || (log.Len() == 0) != good {
			t.Errorf("%.50s: %+v, %s", text, s.Status().View, log.String())
		}
	}
	// Where nothing can be written the lists are served all the same, the log says it once, and it is tried again.
	var log bytes.Buffer
	now, blocked := clock.Now(), cfg.File
	cfg.Clock = func() clock.Stamp { return now }
	cfg.Logger, cfg.File = slog.New(slog.NewTextHandler(&log, nil)), filepath.Join(cfg.File, "below", "a.json")
	unkept := New(cfg)
	for n := range 3 {
		m.set(true, member("n1", fmt.Sprint("127.0.0.1:", 9000+n)))
		unkept.look()
	}
	if unkept.Status().Clients.String() != "127.0.0.1:9002" || strings.Count(log.String(), "cannot be kept") != 1 {
		t.Errorf("%s: %s", unkept.Status().Clients, log.String())
	}
	kit.Must(t, os.Remove(blocked))
	kit.Must(t, os.MkdirAll(filepath.Dir(cfg.File), 0o700))
	for _, step := range []struct {
		after time.Duration
		kept  bool
	}{{keepAgain - 1, false}, {1, true}} {
		now = now.Add(step.after)
		unkept.look()
		if _, err := os.Stat(cfg.File); (err == nil) != step.kept {
			t.Errorf("%v later it is written: %v", step.after, err == nil)
		}
	}
}

// One line for each change, for who is left out and why, and for two nodes of one address.
func TestLog(t *testing.T) {
	m := &members{}
	cfg := settings(t, m)
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := New(cfg)
	said := func(what string, want ...string) {
		t.Helper()
		s.look()
		s.look()
		for _, part := range want {
			if strings.Count(log.String(), part) != 1 {
				t.Errorf("%s: want %q once:\n%s", what, part, log.String())
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines != len(want) {
			t.Errorf("%s: %d lines, want %d:\n%s", what, lines, len(want), log.String())
		}
		log.Reset()
	}
	three := []gossip.Member{member("n1", "10.0.0.1:1"), member("n2", "10.0.0.2:1"), member("n3", "10.0.0.3:1")}
	m.set(true, three...)
	said("the first lists", `list=clients now=10.0.0.1:1;10.0.0.2:1;10.0.0.3:1 before=""`, "list=brokers")
	three[2].Phase = gossip.PhaseDraining
	m.set(true, three...)
	said("a drain", "list=clients now=10.0.0.1:1;10.0.0.2:1 before=10.0.0.1:1;10.0.0.2:1;10.0.0.3:1")
	three[1].State, three[2].State = gossip.StateFailed, gossip.StateFailed
	m.set(true, three...)
	said("cut off", `level=WARN msg="address lists stay as they are, whatever is known" why="1 of 3 members are seen`)
	three[1].State, three[2].State = gossip.StateAlive, gossip.StateAlive
	three[1].Serve = three[0].Serve
	m.set(true, three...)
	said("one address of two", "address lists change again", `level=ERROR msg="several nodes are listed under one address`, "list=clients", "list=brokers")
	three[1].Serve = netip.MustParseAddrPort("127.0.0.1:1")
	m.set(true, three...)
	said("loopback", `level=WARN msg="a node is left out of an address list" member=n2 why="its address 127.0.0.1:1`)
}

// The port of the address server is taken.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer l.Close()
	cfg := settings(t, &members{})
	cfg.Listen = l.Addr().String()
	if err := New(cfg).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--address-server="+cfg.Listen) || !strings.Contains(err.Error(), "another program") {
		t.Error(err)
	}
}

// answering is a port at which any request is answered.
func answering(t *testing.T, mode rpc.TLSMode) netip.AddrPort {
	t.Helper()
	cfg := rpc.DefaultConfig()
	cfg.Addr, cfg.TLSMode = "127.0.0.1:0", mode
	var err error
	cfg.TLS, err = rpc.NewTLS(rpc.TLSSettings{TestMode: true}, cfg.Logger)
	kit.Must(t, err)
	s, err := rpc.New(cfg, refusing{})
	kit.Must(t, err)
	kit.Must(t, s.Listen(t.Context()))
	go func() { _ = s.Serve() }()
	t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
	return s.Addr().(*net.TCPAddr).AddrPort()
}

type refusing struct{}

func (refusing) Serve(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	resp.Fail(remoting.QueryNotFound, fmt.Sprint("code ", req.Code))
}
func (refusing) Closed(*rpc.Conn) {}

// Any NameServer answers, in plain text or by TLS alone; what is no NameServer does not, nor does what is silent.
func TestAsking(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	kit.Must(t, err)
	defer silent.Close()
	plain, secure := answering(t, rpc.Disabled), answering(t, rpc.Enforcing)
	a := newAsker(rpc.DefaultClientConfig())
	for _, round := range []string{"first", "second"} {
		for name, c := range map[string]struct {
			addr netip.AddrPort
			want bool
		}{
			"plain": {plain, true}, "TLS": {secure, true}, "nobody": {netip.MustParseAddrPort("127.0.0.1:1"), false},
		} {
			if got := a.answers(t.Context(), c.addr); got != c.want {
				t.Errorf("%s, %s time: answers %v", name, round, got)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if a.answers(ctx, silent.Addr().(*net.TCPAddr).AddrPort()) {
		t.Error("silence is no answer")
	}
}

// Names among the static addresses are looked up, and again; what cannot be looked up stays what it was.
func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &members{}
		m.set(true)
		cfg := settings(t, m)
		cfg.Static = []string{"java.example:9876", "127.0.0.1:1"}
		var mu sync.Mutex
		ip, fails := "10.0.0.1", error(nil)
		cfg.Resolve = func(context.Context, string, string) ([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr(ip)}, fails
		}
		s := New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.resolveAll(ctx)
		want := func(static string) {
			t.Helper()
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if got := fmt.Sprint(s.static); got != static || s.named {
				t.Errorf("%s, want %s", got, static)
			}
		}
		want("[127.0.0.1:1 10.0.0.1:9876]")
		set := func(to string, err error) {
			mu.Lock()
			defer mu.Unlock()
			ip, fails = to, err
		}
		set("10.0.0.2", nil)
		time.Sleep(resolveEvery) // virtual
		want("[127.0.0.1:1 10.0.0.2:9876]")
		set("10.0.0.3", errors.New("no such host"))
		time.Sleep(resolveEvery) // virtual
		want("[127.0.0.1:1 10.0.0.2:9876]")
	})
}

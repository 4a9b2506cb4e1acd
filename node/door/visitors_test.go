package door

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// health is the path that has room at any time.
const health = "/readyz"

// house is a door on loopback, with answers that are small, large, or come when the test lets them, and the lines of its log.
func house(t *testing.T, stall time.Duration) (addr string, log *kit.Log, letGo func()) {
	t.Helper()
	release, large := make(chan struct{}), make([]byte, 32<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "small") })
	mux.HandleFunc(health, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) })
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprintln(w, "later")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	log = &kit.Log{}
	d := open(t.Context(), l, &Door{always: health}, mux, stall, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { _ = d.Close(t.Context()) })
	return l.Addr().String(), log, func() { close(release) }
}

// guest is a connection from an address of loopback.
type guest struct {
	net.Conn
	r *bufio.Reader
}

func visit(t *testing.T, addr, from string) *guest {
	t.Helper()
	d := net.Dialer{Timeout: kit.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	kit.Must(t, err)
	t.Cleanup(func() { c.Close() })
	return &guest{c, bufio.NewReader(c)}
}

func (g *guest) ask(path string) {
	fmt.Fprintf(g, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
}

// status is that of the next answer, which is read to its end; 0: the connection is over.
func (g *guest) status() int {
	_ = g.SetReadDeadline(time.Now().Add(kit.Patience))
	resp, err := http.ReadResponse(g.r, nil)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

func want(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: status %d, want %d", what, got, want)
	}
}

func answer(t *testing.T, addr, from, path string) int {
	t.Helper()
	g := visit(t, addr, from)
	defer g.Close()
	g.ask(path)
	return g.status()
}

// However many do not read what they asked for, health is told at once, others are served, and those are cut. Nothing else is
// asked for until they are all being served: it would have the place of one of them, who would be refused.
func TestReadersThatDoNotRead(t *testing.T) {
	addr, log, _ := house(t, stallTime) // long enough for all that comes before they are cut
	read := func(from string) {
		const begins = "HTTP/1.1 200"
		for range atOnceEach {
			g := visit(t, addr, from)
			g.ask("/large")
			_ = g.SetReadDeadline(time.Now().Add(kit.Patience))
			if head, err := g.r.Peek(len(begins)); string(head) != begins {
				t.Fatalf("the answer of one who will not read begins with %q: %v", head, err)
			}
		}
		want(t, "none of that address is served any more", answer(t, addr, from, "/small"), http.StatusServiceUnavailable)
	}
	read("127.0.0.2")
	want(t, "another address", answer(t, addr, "127.0.0.1", "/small"), http.StatusOK)
	want(t, "health", answer(t, addr, "127.0.0.2", health), http.StatusOK)
	read("127.0.0.3")
	want(t, "all are taken", answer(t, addr, "127.0.0.1", "/small"), http.StatusServiceUnavailable)
	for _, from := range []string{"127.0.0.1", "127.0.0.3"} {
		want(t, "health", answer(t, addr, from, health), http.StatusOK)
	}
	kit.Await(t, writeTime/2, "those who do not read are cut", func() error {
		if !strings.Contains(log.String(), "did not read its answer") || answer(t, addr, "127.0.0.3", "/small") != http.StatusOK {
			return errors.New(log.String())
		}
		return nil
	})
}

// A reader who is slow and reads gets all of it.
func TestSlowReaderWhoReads(t *testing.T) {
	addr, _, _ := house(t, time.Second)
	g := visit(t, addr, "127.0.0.1")
	kit.Must(t, g.Conn.(*net.TCPConn).SetReadBuffer(64<<10))
	g.ask("/large")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 128<<10)
	for got := 0; got < 32<<20; {
		<-tick.C
		_ = g.SetReadDeadline(time.Now().Add(kit.Patience))
		n, err := g.Conn.Read(buf)
		if got += n; err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
	}
}

// Connections that are kept make room for whoever comes next, the oldest first, and never one that is being served.
func TestWhoeverComesNextFindsRoom(t *testing.T) {
	for name, source := range map[string]func(i int) string{
		"one address":    func(int) string { return "127.0.0.2" },
		"many addresses": func(i int) string { return fmt.Sprintf("127.0.1.%d", 1+i%20) },
	} {
		addr, log, letGo := house(t, time.Second)
		limit := conns
		if name == "one address" {
			limit = connsEach
		}
		all := make([]*guest, limit+limit/4)
		for i := range all {
			all[i] = visit(t, addr, source(i))
			if i == 0 {
				all[i].ask("/later")
				continue
			}
			all[i].ask(health)
			want(t, fmt.Sprint(name, " ", i), all[i].status(), http.StatusOK)
		}
		want(t, name+", one more", answer(t, addr, source(0), health), http.StatusOK)
		want(t, name+", another one", answer(t, addr, "127.0.0.1", health), http.StatusOK)
		all[1].ask(health)
		want(t, name+", the oldest", all[1].status(), 0)
		last := all[len(all)-1]
		last.ask(health)
		want(t, name+", the newest", last.status(), http.StatusOK)
		letGo()
		want(t, name+", one that was served", all[0].status(), http.StatusOK)
		log.Await(t, "too many connections")
	}
}

// Half a request is not being served: a thousand of them keep nobody out.
func TestHalfRequestsMakeRoom(t *testing.T) {
	addr, _, _ := house(t, time.Second)
	for i := range 300 {
		fmt.Fprint(visit(t, addr, fmt.Sprintf("127.0.2.%d", 1+i%10)), "GET /small HTTP/1.1\r\nHost:")
	}
	want(t, "health", answer(t, addr, "127.0.2.1", health), http.StatusOK)
}

// A door for many has no limit for one address, and answers all that it has at once. Beyond, the next one waits, until somebody
// has gone or has said nothing for a second.
func TestManyOfOneAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	all := make(chan struct{})
	var inside atomic.Int64
	d := OpenToMany(t.Context(), l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/together" {
			inside.Add(1)
			<-all
		}
		fmt.Fprintln(w, "small")
	}), slog.New(slog.DiscardHandler))
	letGo := sync.OnceFunc(func() { close(all) })
	t.Cleanup(func() { letGo(); _ = d.Close(t.Context()) })
	var guests []*guest
	for range conns {
		g := visit(t, l.Addr().String(), "127.0.0.1")
		g.ask("/together")
		guests = append(guests, g)
	}
	kit.Until(t, "all of them served at once", func() bool { return inside.Load() == conns })
	next := visit(t, l.Addr().String(), "127.0.0.1")
	next.ask("/")
	letGo()
	for i, g := range append(guests, next) {
		if status := g.status(); status != http.StatusOK {
			t.Fatalf("guest %d: %d", i, status)
		}
	}
	silent := visit(t, l.Addr().String(), "127.0.0.2")
	for range conns { // whoever says nothing is in nobody's way for longer than a second
		visit(t, l.Addr().String(), "127.0.0.2")
	}
	last := visit(t, l.Addr().String(), "127.0.0.1")
	last.ask("/")
	if status := last.status(); status != http.StatusOK {
		t.Errorf("behind those that say nothing: %d", status)
	}
	if status := silent.status(); status != 0 {
		t.Errorf("who said nothing: %d", status)
	}
}

// Where the source that has most has only connections that are being served, one of another source gives way, not the newcomer.
func TestSomebodyElseGivesWay(t *testing.T) {
	l := newVisitors(nil, false, stallTime, slog.New(slog.DiscardHandler))
	from := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	for i := range conns {
		v := &visitor{from: from(i % 30)} // nine of the first 16, eight of the others
		v.busy.Store(i%30 < 16)
		l.open = append(l.open, v)
	}
	next := &visitor{from: from(99)}
	if gone, ok := l.admit(next); gone == nil || gone == next || gone.busy.Load() || gone.from != from(16) || !ok {
		t.Errorf("%+v gave way", gone)
	}
}

// Of many that have come within a second none gives way; one that has said nothing for longer does, and the next has its place.
func TestTheShyAreNotClosedAtOnce(t *testing.T) {
	l := newVisitors(nil, true, stallTime, slog.New(slog.DiscardHandler))
	later := time.Now().Add(time.Hour)
	for range conns {
		l.open = append(l.open, &visitor{since: later})
	}
	next := &visitor{since: later}
	if gone, ok := l.admit(next); gone != nil || ok {
		t.Fatalf("%v gave way", gone)
	}
	old := l.open[conns/2]
	old.since = time.Now().Add(-shyTime)
	if gone, ok := l.admit(next); gone != old || !ok || len(l.open) != conns || l.open[conns-1] != next {
		t.Errorf("%v gave way", gone)
	}
}

func TestSourceOf(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::", "[::1]:5": "::",
	} {
		if got := sourceOf(from{net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text))}).String(); got != want {
			t.Errorf("%s counts as %s, want %s", text, got, want)
		}
	}
	if got := sourceOf(from{&net.UnixAddr{}}); got.IsValid() {
		t.Errorf("a Unix socket counts as %s", got)
	}
}

// from is a connection that has an address and nothing else.
type from struct{ addr net.Addr }

func (f from) RemoteAddr() net.Addr           { return f.addr }
func (from) LocalAddr() net.Addr              { return nil }
func (from) Read([]byte) (int, error)         { return 0, io.EOF }
func (from) Write([]byte) (int, error)        { return 0, io.EOF }
func (from) Close() error                     { return nil }
func (from) SetDeadline(time.Time) error      { return nil }
func (from) SetReadDeadline(time.Time) error  { return nil }
func (from) SetWriteDeadline(time.Time) error { return nil }

func TestLimits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	d := Open(t.Context(), l, health, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = d.Close(t.Context()) })
	for range atOnce {
		if ok, _ := d.enter(netip.Addr{}); !ok {
			t.Fatal("no place is left")
		}
	}
	want(t, "above the limit", answer(t, d.Addr().String(), "127.0.0.1", "/"), http.StatusServiceUnavailable)
	for range atOnce {
		d.leave(netip.Addr{})
	}
	g := visit(t, d.Addr().String(), "127.0.0.1")
	fmt.Fprintf(g, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", headerMax+8<<10))
	resp, err := http.ReadResponse(g.r, nil)
	kit.Must(t, err)
	_ = resp.Body.Close()
	want(t, "large header", resp.StatusCode, http.StatusRequestHeaderFieldsTooLarge)
}

// tired is a listener that fails before it lets somebody in.
type tired struct {
	net.Listener
	faults []error
}

func (l *tired) Accept() (net.Conn, error) {
	if len(l.faults) > 0 {
		err := l.faults[0]
		l.faults = l.faults[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

// An accept that fails is tried again, whatever the reason: net/http goes on by itself for want of files alone.
func TestAcceptFails(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	kit.Must(t, err)
	log := &kit.Log{}
	faults := []error{syscall.EMFILE, os.NewSyscallError("accept4", syscall.ENOBUFS), syscall.ENOMEM, syscall.EPERM, errors.New("another")}
	d := Open(t.Context(), &tired{l, faults}, "", http.NotFoundHandler(), slog.New(slog.NewTextHandler(log, nil)))
	if status, _ := kit.Get("http://" + l.Addr().String()); status != http.StatusNotFound {
		t.Errorf("not served: %d", status)
	}
	kit.Must(t, d.Close(t.Context()))
	if !strings.Contains(log.String(), `msg="http: accept failed" err="too many open files"`) {
		t.Errorf("not told: %s", log.String())
	}
}

// Package admin answers operators: what a node is and does, as JSON and as metrics, and whether it is ready, over HTTP
// (--http) and over a Unix socket (--socket). What changes something, and profiles, are on the socket alone: only its owner
// can open it, while behind a proxy or in a pod everybody comes from "this machine". It sees the node through View only, and
// changes nothing about brokers.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/node/departures"
	"github.com/epitaph-mq/epitaph/node/lockfile"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// Limits of each of the two listeners. Whoever asks is a scraper, a health check or a person: few, and with small requests.
const (
	conns          = 256              // open connections; beyond, the oldest that is not served is closed for the next
	connsEach      = 64               // of one address, likewise; a Unix socket has none
	atOnce         = 16               // requests handled at once, beside those for /readyz; more are answered with 503
	atOnceEach     = 8                // of one address, likewise
	headerMax      = 16 << 10         // bytes of a request's header
	profileSeconds = 60               // of a profile or trace at most
	bodyMax        = 4 << 10          // bytes of a request's body, which nobody reads
	headerTime     = 5 * time.Second  // for the header to come in
	readTime       = 10 * time.Second // for the whole request
	stallTime      = 5 * time.Second  // for the next 64 KiB of an answer to be taken
	writeTime      = 30 * time.Second // from the header's end to the answer's; pprof adds what it was asked to measure
	idleTime       = 30 * time.Second // between two requests of a connection
	stopTime       = 2 * time.Second  // for requests under way when the node stops
)

// readyPath is what orchestrators and balancers ask.
const readyPath = "/readyz"

// Identity is which node this is, and which program. Name and Cluster are empty when it gossips with nobody.
type Identity struct{ Release, Name, Cluster string }

// View is what the listener sees of a node.
type View interface {
	Ready() (ready bool, why string)
	Identity() Identity
	KVMissing() bool                             // routes alone are served
	Up() time.Duration                           // since the start
	Missing() (brokers int, ready time.Duration) // waited for now; how long it took until the node was ready, 0 before
	ReadyAfter() time.Duration                   // --ready-after
	Alone() bool                                 // it was given nodes to join, and none has lived for as long as it waits for them
	Connections() rpc.Stats
	Table() *routes.Table
	DroppedLines() uint64 // of the log, since the start
	Draining() Drain
	SetDrain(on bool) error              // lets clients go, or takes them again
	Addresses() (addresses.Status, bool) // false: the node has no address server
	Departures() *departures.Shell       // nil: the node gossips with nobody
}

// Server answers for one node, over HTTP and over a Unix socket.
type Server struct {
	addr    string // of HTTP, as configured; empty: off
	log     *slog.Logger
	view    View
	counts  *Counts
	metrics func() (*metrics, error) // made when it is first needed: without HTTP and gossip that is mostly never
	http    *Door                    // nil: off, or not started
	socket  *Door                    // nil: none
	lock    *lockfile.Lock
	path    string // of the socket
}

// New makes the server and binds nothing. addr (HOST:PORT) is that of HTTP, empty is off. counts is what the node feeds; it
// has times.
func New(addr string, view View, counts *Counts, log *slog.Logger) (*Server, error) {
	h := &Server{addr: addr, log: log, view: view, counts: counts}
	h.metrics = sync.OnceValues(func() (*metrics, error) { return newMetrics(counts, view.Identity()) })
	if addr != "" { // somebody will scrape
		if _, err := h.metrics(); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Start binds HTTP, if it is on, and serves at once: what is asked before the node serves is told that it is not ready.
func (h *Server) Start(ctx context.Context) error {
	if h.addr == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", h.addr)
	if err != nil {
		return fmt.Errorf("--http=%s: %w", h.addr, err)
	}
	h.http = Open(ctx, l, h.Handler(), h.log)
	return nil
}

// Stop lets requests under way finish, but waits for none that will not: a client that never ends its request, a long
// profile.
func (h *Server) Stop(ctx context.Context) error {
	err := errors.Join(h.http.Close(ctx), h.socket.Close(ctx))
	if h.lock != nil {
		h.lock.Release()
		h.lock = nil
	}
	return err
}

// Door is one listener with its limits.
type Door struct {
	server *http.Server
	bound  net.Listener
	served chan struct{}
	slots  chan struct{}

	mu   sync.Mutex         // guards the following field
	each map[netip.Addr]int // requests handled now, by the address that they come from
}

// Open serves what comes in at l.
func Open(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) *Door {
	return open(ctx, l, handler, stallTime, log)
}

func open(ctx context.Context, l net.Listener, handler http.Handler, stall time.Duration, log *slog.Logger) *Door {
	d := &Door{bound: l, served: make(chan struct{}), slots: make(chan struct{}, atOnce), each: make(map[netip.Addr]int)}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.server = &http.Server{
		Handler:           d.limited(handler),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerMax,
		ConnState:         notice,
		ConnContext:       meet,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	d.server.RegisterOnShutdown(cancel)
	go func() {
		defer close(d.served)
		defer cancel()
		if err := d.server.Serve(newVisitors(l, stall, log)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("listener for operators stopped", "addr", l.Addr(), "err", err)
		}
	}()
	return d
}

// EachAnew ends each connection with its answer, for callers that are many and ask seldom.
func (d *Door) EachAnew() { d.server.SetKeepAlivesEnabled(false) }

// Close lets requests under way finish, for a while. A door that was not opened (nil) is closed.
func (d *Door) Close(ctx context.Context) error {
	if d == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	err := d.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = d.server.Close()
	}
	<-d.served
	return err
}

// shortly bounds how long a profile may take: it holds one of the slots, and net/http/pprof puts the write timeout off.
func shortly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := r.URL.Query().Get("seconds"); text != "" {
			if n, err := strconv.ParseFloat(text, 64); err != nil || n < 0 || n > profileSeconds {
				http.Error(w, "seconds: want a number from 0 to "+strconv.Itoa(profileSeconds), http.StatusBadRequest)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// limited bounds requests at once and what a request may carry. Health and readiness have room at any time: whoever asks for
// them restarts a node that does not answer, or sends nobody to it any more.
func (d *Door) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := serving(r)
		if r.URL.Path != readyPath {
			if !d.enter(from) {
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many requests at once; ask again in a second", http.StatusServiceUnavailable)
				return
			}
			defer d.leave(from)
			runtime.Gosched() // a core is taken in turns, too, and health has none to wait for
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		next.ServeHTTP(w, r)
	})
}

func (d *Door) enter(from netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if from.IsValid() && d.each[from] >= atOnceEach {
		return false
	}
	select {
	case d.slots <- struct{}{}:
		d.each[from]++
		return true
	default:
		return false
	}
}

func (d *Door) leave(from netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	<-d.slots
	if d.each[from]--; d.each[from] == 0 {
		delete(d.each, from)
	}
}

// Handler is what HTTP answers: nothing that changes anything.
func (h *Server) Handler() http.Handler {
	mux := h.read()
	elsewhere := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not by HTTP, which only reads: on the Unix socket of the node (epitaph on its own machine, or curl --unix-socket)",
			http.StatusForbidden)
	}
	mux.HandleFunc("POST /v1/force-leave", elsewhere)
	mux.HandleFunc("POST /v1/drain", elsewhere)
	mux.HandleFunc("POST /v1/undrain", elsewhere)
	mux.HandleFunc("GET /debug/pprof/", elsewhere)
	return mux
}

// SocketHandler is what the Unix socket answers: everything.
func (h *Server) SocketHandler() http.Handler {
	mux := h.read()
	mux.HandleFunc("POST /v1/force-leave", h.forceLeave)
	mux.HandleFunc("POST /v1/drain", h.setDrain(true))
	mux.HandleFunc("POST /v1/undrain", h.setDrain(false))
	for path, handler := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.Handle("GET /debug/pprof/"+path, shortly(handler))
	}
	return mux
}

// read is what can be asked at both: it changes nothing.
func (h *Server) read() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, why := h.view.Ready()
		if ready {
			writeLine(w, http.StatusOK, why)
		} else {
			writeLine(w, http.StatusServiceUnavailable, why)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		m, err := h.metrics()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		m.sample(h.view)
		m.exposed.ServeHTTP(w, r)
	})
	h.routeAPI(mux)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeLine(w, http.StatusOK, "epitaph: /readyz /metrics /v1/members /v1/tombstones /v1/brokers "+
			"/v1/routes?topic=TOPIC /v1/conflicts /v1/diff /v1/load /v1/openapi.json")
	})
	return mux
}

func writeLine(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, line) // a client that left is no fault
}

// Addr is the bound address of HTTP; invalid where it is off, and before Start.
func (h *Server) Addr() netip.AddrPort {
	if h.http == nil {
		return netip.AddrPort{}
	}
	return h.http.Addr()
}

// Addr is the bound address; invalid when it is none of TCP.
func (d *Door) Addr() netip.AddrPort {
	addr, ok := d.bound.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := addr.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Package admin answers operators: what a node is and does, as JSON and as metrics, and whether it is ready, over HTTP
// (--http) and over a Unix socket (--socket). What changes something, what makes the node act towards others, and profiles, are on the socket alone: only its owner
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
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/node/departures"
	"github.com/epitaph-mq/epitaph/node/door"
	"github.com/epitaph-mq/epitaph/node/lockfile"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// profileSeconds is how long a profile or trace takes at most.
const profileSeconds = 60

// readyPath is what orchestrators and balancers ask, and what has room at any time: they restart a node that does not answer, or
// send nobody to it any more.
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
	SharedSources() int   // source addresses from which brokers of several hosts come
	DroppedLines() uint64 // of the log, since the start
	Draining() Drain
	Shares(*rpc.Stats) [ShareCount]Share // those are of now
	SetDrain(on bool) error              // lets clients go, or takes them again
	Addresses() (addresses.Status, bool) // false: the node has no address server
	Departures() *departures.Shell       // nil: the node gossips with nobody
	Vanished() *vanished.Shell           // likewise
}

// Server answers for one node, over HTTP and over a Unix socket.
type Server struct {
	addr    string // of HTTP, as configured; empty: off
	log     *slog.Logger
	view    View
	counts  *Counts
	metrics func() (*metrics, error) // made when it is first needed: without HTTP and gossip that is mostly never
	http    *door.Door               // nil: off, or not started
	reaches *rate.Limiter

	mu     sync.Mutex // guards the following fields
	socket *door.Door // nil: none
	lock   *lockfile.Lock
	path   string // of the socket
}

// New makes the server and binds nothing. addr (HOST:PORT) is that of HTTP, empty is off. counts is what the node feeds; it
// has times.
func New(addr string, view View, counts *Counts, log *slog.Logger) (*Server, error) {
	h := &Server{addr: addr, log: log, view: view, counts: counts, reaches: newReaches()}
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
	h.http = door.Open(ctx, l, readyPath, whenAsked(h.Handler), h.log)
	return nil
}

// whenAsked makes a handler at the first request: mostly nobody asks, and a mux works for each of its patterns.
func whenAsked(make func() http.Handler) http.Handler {
	made := sync.OnceValue(make)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { made().ServeHTTP(w, r) })
}

// Stop lets requests under way finish, but waits for none that will not: a client that never ends its request, a long
// profile.
func (h *Server) Stop(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := errors.Join(h.http.Close(ctx), h.socket.Close(ctx))
	if h.lock != nil {
		h.lock.Release()
		h.lock = nil
	}
	return err
}

// shortly bounds how long a profile may take: it holds one of the slots, and net/http/pprof puts the write timeout off.
func shortly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := r.URL.Query().Get("seconds"); text != "" {
			if n, err := strconv.ParseFloat(text, 64); err != nil || !(n >= 0 && n <= profileSeconds) {
				http.Error(w, "seconds: want a number from 0 to "+strconv.Itoa(profileSeconds), http.StatusBadRequest)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
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
	mux.HandleFunc("POST /v1/reach", elsewhere)
	mux.HandleFunc("POST /v1/vanished", elsewhere)
	mux.HandleFunc("POST /v1/safe-to-stop", elsewhere)
	mux.HandleFunc("GET /debug/pprof/", elsewhere)
	return mux
}

// SocketHandler is what the Unix socket answers: everything.
func (h *Server) SocketHandler() http.Handler {
	mux := h.read()
	mux.HandleFunc("POST /v1/force-leave", h.forceLeave)
	mux.HandleFunc("POST /v1/drain", h.setDrain(true))
	mux.HandleFunc("POST /v1/undrain", h.setDrain(false))
	mux.HandleFunc("POST /v1/reach", h.reach)
	mux.HandleFunc("POST /v1/vanished", h.pollVanished)
	mux.HandleFunc("POST /v1/safe-to-stop", func(w http.ResponseWriter, r *http.Request) { h.safeToStop(w, r, true) })
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
		writeLine(w, http.StatusOK, "epitaph: /readyz /metrics /v1/members /v1/tombstones /v1/vanished /v1/brokers "+
			"/v1/routes?topic=TOPIC /v1/conflicts /v1/addresses /v1/diff /v1/load /v1/openapi.json")
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

// Package admin is the HTTP listener for operators (--http): what a node is and does, as JSON and as metrics, its profiles,
// and whether it is ready. It sees the node through View only, and changes nothing about brokers.
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
	"time"

	"golang.org/x/net/netutil"

	"github.com/epitaph-mq/epitaph/node/departures"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// Limits of the HTTP listener. Whoever asks is a scraper, a health check or a person: few, and with small requests.
const (
	conns          = 256              // open connections; more wait in the listener's queue
	atOnce         = 16               // requests handled at once; more are answered with 503
	headerMax      = 16 << 10         // bytes of a request's header
	profileSeconds = 60               // of a profile or trace at most
	bodyMax        = 4 << 10          // bytes of a request's body, which nobody reads
	headerTime     = 5 * time.Second  // for the header to come in
	readTime       = 10 * time.Second // for the whole request
	writeTime      = 30 * time.Second // from the header's end to the answer's; pprof adds what it was asked to measure
	idleTime       = 30 * time.Second // between two requests of a connection
	stopTime       = 2 * time.Second  // for requests under way when the node stops
)

// Identity is which node this is, and which program. Name and Cluster are empty when it gossips with nobody.
type Identity struct{ Release, Name, Cluster string }

// View is what the listener sees of a node.
type View interface {
	Ready() (ready bool, why string)
	Identity() Identity
	Up() time.Duration                           // since the start
	Missing() (brokers int, ready time.Duration) // waited for now; how long it took until the node was ready, 0 before
	Connections() rpc.Stats
	Table() *routes.Table
	Departures() *departures.Shell // nil: the node gossips with nobody
}

// Server is the listener of one node.
type Server struct {
	addr    string // as configured
	log     *slog.Logger
	view    View
	counts  *Counts
	metrics *metrics
	server  *http.Server
	bound   net.Listener
	served  chan struct{}
	slots   chan struct{}
}

// New makes the listener for addr (HOST:PORT) and binds nothing. counts is what the node feeds; it has
// times.
func New(addr string, view View, counts *Counts, log *slog.Logger) (*Server, error) {
	m, err := newMetrics(counts, view.Identity())
	if err != nil {
		return nil, err
	}
	return &Server{
		addr: addr, log: log, view: view, counts: counts, metrics: m,
		served: make(chan struct{}), slots: make(chan struct{}, atOnce),
	}, nil
}

// Start binds and serves at once: what is asked before the node serves is told that it is not ready.
func (h *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", h.addr)
	if err != nil {
		return fmt.Errorf("--http=%s: %w", h.addr, err)
	}
	h.bound = l
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.server = &http.Server{
		Handler:           h.limited(h.Handler()),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerMax,
		ConnState:         notice,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	h.server.RegisterOnShutdown(cancel)
	go func() {
		defer close(h.served)
		defer cancel()
		if err := h.server.Serve(newSlowListener(netutil.LimitListener(l, conns), h.log)); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("http listener stopped", "err", err)
		}
	}()
	return nil
}

// Stop lets requests under way finish, but waits for none that will not: a client that never ends its request, a long
// profile.
func (h *Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = h.server.Close()
	}
	<-h.served
	return err
}

// local lets nobody through but this machine, or this container: what is behind it tells much, costs much, or changes lists of members.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "only from this machine, by a loopback address (in a container: from inside it)", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
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

// limited bounds requests at once and what a request may carry.
func (h *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
			r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests at once; ask again in a second", http.StatusServiceUnavailable)
		}
	})
}

// Handler is everything that can be asked.
func (h *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeLine(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, why := h.view.Ready()
		if ready {
			writeLine(w, http.StatusOK, why)
		} else {
			writeLine(w, http.StatusServiceUnavailable, why)
		}
	})
	mux.Handle("GET /metrics", h.metrics.handler(h.view))
	h.routeAPI(mux)
	mux.Handle("POST /v1/force-leave", local(h.forceLeave()))
	for path, handler := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.Handle("GET /debug/pprof/"+path, local(shortly(handler)))
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeLine(w, http.StatusOK, "epitaph: /healthz /readyz /metrics /v1/members /v1/tombstones /v1/brokers "+
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

// Addr is the bound address; invalid before Start.
func (h *Server) Addr() netip.AddrPort {
	if h.bound == nil {
		return netip.AddrPort{}
	}
	addr, ok := h.bound.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := addr.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

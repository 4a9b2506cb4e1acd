package node

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
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of the HTTP listener. Whoever asks is a scraper, a health check or a person: few, and with small requests.
const (
	httpConns      = 256              // open connections; more wait in the listener's queue
	httpAtOnce     = 16               // requests handled at once; more are answered with 503
	httpHeaderMax  = 16 << 10         // bytes of a request's header
	profileSeconds = 60               // of a profile or trace at most
	httpBodyMax    = 4 << 10          // bytes of a request's body, which nobody reads
	httpHeaderTime = 5 * time.Second  // for the header to come in
	httpReadTime   = 10 * time.Second // for the whole request
	httpWriteTime  = 30 * time.Second // from the header's end to the answer's; pprof adds what it was asked to measure
	httpIdleTime   = 30 * time.Second // between two requests of a connection
	httpStopTime   = 2 * time.Second  // for requests under way when the node stops
)

// phase is where a node stands between start and stop.
type phase int32

const (
	phaseStarting phase = iota
	phaseServing
	phaseDraining
	phaseStopping
)

// phases holds the present one. It never goes back.
type phases struct{ v atomic.Int32 }

func (p *phases) get() phase { return phase(p.v.Load()) }

func (p *phases) enter(next phase) {
	for {
		now := p.v.Load()
		if phase(now) >= next || p.v.CompareAndSwap(now, int32(next)) {
			return
		}
	}
}

// enter goes to the next phase and tells the other nodes.
func (n *Node) enter(next phase) {
	n.phase.enter(next)
	n.announce()
}

// httpServer is the read-only listener for operators (--http).
type httpServer struct {
	addr   string // as configured
	log    *slog.Logger
	server *http.Server
	bound  net.Listener
	served chan struct{}
	slots  chan struct{}
}

func newHTTP(addr string, log *slog.Logger) *httpServer {
	return &httpServer{addr: addr, log: log, served: make(chan struct{}), slots: make(chan struct{}, httpAtOnce)}
}

// start binds and serves at once: what is asked before the node serves is told that it is not ready.
func (h *httpServer) start(ctx context.Context, n *Node) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", h.addr)
	if err != nil {
		return fmt.Errorf("--http=%s: %w", h.addr, err)
	}
	h.bound = l
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.server = &http.Server{
		Handler:           h.limited(n.httpHandler()),
		ReadHeaderTimeout: httpHeaderTime,
		ReadTimeout:       httpReadTime,
		WriteTimeout:      httpWriteTime,
		IdleTimeout:       httpIdleTime,
		MaxHeaderBytes:    httpHeaderMax,
		ConnState:         notice,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	h.server.RegisterOnShutdown(cancel)
	go func() {
		defer close(h.served)
		defer cancel()
		if err := h.server.Serve(newSlowListener(netutil.LimitListener(l, httpConns), h.log)); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("http listener stopped", "err", err)
		}
	}()
	return nil
}

// stop lets requests under way finish, but waits for none that will not: a client that never ends its request, a long
// profile.
func (h *httpServer) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, httpStopTime)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = h.server.Close()
	}
	<-h.served
	return err
}

// local lets nobody through but this machine, or this container: what is behind it tells much, costs much, or forgets members.
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
func (h *httpServer) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
			r.Body = http.MaxBytesReader(w, r.Body, httpBodyMax)
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests at once; ask again in a second", http.StatusServiceUnavailable)
		}
	})
}

// httpHandler is everything that can be asked.
func (n *Node) httpHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeLine(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, why := n.Ready()
		if ready {
			writeLine(w, http.StatusOK, why)
		} else {
			writeLine(w, http.StatusServiceUnavailable, why)
		}
	})
	mux.Handle("GET /metrics", n.metrics.handler(n))
	n.routeAPI(mux)
	mux.Handle("POST /v1/force-leave", local(n.forceLeave()))
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

// Ready says whether clients should be sent here, and why (not): the node serves, does not drain, and holds the
// brokers that its peers hold; where no peer can tell, it has waited where needWaitForService asks for it.
func (n *Node) Ready() (ready bool, why string) {
	switch n.phase.get() {
	case phaseStarting:
		return false, "not ready: starting"
	case phaseDraining:
		return false, "not ready: draining"
	case phaseStopping:
		return false, "not ready: stopping"
	}
	o := n.runtime.Options()
	if elapsed, limit := n.elapsed(o); n.gate.waits() && elapsed < limit {
		return false, n.gate.why(elapsed, limit)
	}
	if o.NeedWaitForService && n.waiting(o) {
		return false, "not ready: brokers are given " + strconv.Itoa(int(o.WaitSecondsForService)) +
			" s from the start to register (needWaitForService, waitSecondsForService)"
	}
	return true, "ready"
}

// HTTPAddr is the bound address of --http; invalid when there is none.
func (n *Node) HTTPAddr() netip.AddrPort {
	if n.http == nil || n.http.bound == nil {
		return netip.AddrPort{}
	}
	addr, ok := n.http.bound.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := addr.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

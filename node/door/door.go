// Package door is a listener for HTTP that whoever reaches its port cannot shut for the others: connections and requests are
// bounded, of one address, too, whoever comes next finds room, and who does not read is cut off.
package door

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Limits of each door. Requests are small, and answered at once.
const (
	conns      = 256                   // open connections; beyond, the oldest that is not served is closed for the next
	connsEach  = 64                    // of one address, likewise; a Unix socket has none
	atOnce     = 16                    // requests handled at once, beside those for the path that always has room; more are answered with 503
	atOnceEach = 8                     // of one address, likewise
	crowd      = 4                     // requests handled at once from which on the next one waits
	breath     = 5 * time.Millisecond  // so long: who asks without end on many connections does not fill the core that routes need, nor
	refusal    = 50 * time.Millisecond // who is answered with 503
	headerMax  = 16 << 10              // bytes of a request's header
	bodyMax    = 4 << 10               // bytes of a request's body, which nobody reads
	headerTime = 5 * time.Second       // for the header to come in
	readTime   = 10 * time.Second      // for the whole request
	stallTime  = 5 * time.Second       // for the next 64 KiB of an answer to be taken
	writeTime  = 30 * time.Second      // from the header's end to the answer's; pprof adds what it was asked to measure
	idleTime   = 30 * time.Second      // between two requests of a connection
	stopTime   = 2 * time.Second       // for requests under way when the door is closed
	shyTime    = time.Second           // at a door for many: in which a new connection is not closed for the next
)

// Door is one listener with its limits.
type Door struct {
	server *http.Server
	bound  net.Listener
	served chan struct{}
	always string // path that needs no place
	many   bool   // see OpenToMany

	mu    sync.Mutex         // guards the following fields
	taken int                // places: requests handled now
	each  map[netip.Addr]int // of them, by the address that they come from
}

// Open serves what comes in at l. Requests for the path always have room at any time, unless it is empty.
func Open(ctx context.Context, l net.Listener, always string, handler http.Handler, log *slog.Logger) *Door {
	return open(ctx, l, &Door{always: always}, handler, stallTime, log)
}

// OpenToMany is Open for callers that are many, ask seldom and all at once, and may all come from one address, a balancer's. Each
// connection ends with its answer, no address has a limit of its own, all connections are served at once, and whoever finds none
// free waits for one, unless another has said nothing for a second.
func OpenToMany(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) *Door {
	d := open(ctx, l, &Door{many: true}, handler, stallTime, log)
	d.server.SetKeepAlivesEnabled(false)
	return d
}

func open(ctx context.Context, l net.Listener, d *Door, handler http.Handler, stall time.Duration, log *slog.Logger) *Door {
	d.bound, d.served, d.each = l, make(chan struct{}), make(map[netip.Addr]int)
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
		if err := d.server.Serve(newVisitors(l, d.many, stall, log)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("listener for operators stopped", "addr", l.Addr(), "err", err)
		}
	}()
	return d
}

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

// limited bounds requests at once and what a request may carry.
func (d *Door) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := serving(r)
		if r.URL.Path != d.always && !d.many {
			ok, crowded := d.enter(from)
			if !ok {
				rest(r, refusal)
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many requests at once; ask again in a second", http.StatusServiceUnavailable)
				return
			}
			defer d.leave(from)
			if crowded {
				rest(r, breath)
			}
			runtime.Gosched() // a core is taken in turns, too, and that path has none to wait for
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		next.ServeHTTP(w, r)
	})
}

// rest lets time pass, unless the request ends meanwhile.
func rest(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

func (d *Door) enter(from netip.Addr) (ok, crowded bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.taken == atOnce || from.IsValid() && d.each[from] >= atOnceEach {
		return false, true
	}
	d.taken++
	d.each[from]++
	return true, d.taken > crowd
}

func (d *Door) leave(from netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken--
	if d.each[from]--; d.each[from] == 0 {
		delete(d.each, from)
	}
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

package door

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// turn is how many requests of one connection are answered before others have the core, if they come without a pause.
const turn = 8

// writeStep is what one call to the socket may have: whoever reads at all takes it within stallTime.
const writeStep = 64 << 10

// Pauses after an accept that failed.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// visitors is a listener that always has room for whoever comes next, a health check above all: when there are too many
// connections, the oldest one that nothing is answered on gives way. It also ends those who do not read, and tells of clients
// whose request was never finished: net/http closes their connections without a word.
type visitors struct {
	net.Listener
	many  bool          // see OpenToMany
	stall time.Duration // without a byte taken
	left  chan struct{} // has one when a connection has gone
	log   *slog.Logger

	slow, full, stuck, failed rate.Sometimes // whoever reaches the port could fill the log otherwise

	mu   sync.Mutex // guards the following field
	open []*visitor // in the order they came
}

func newVisitors(l net.Listener, many bool, stall time.Duration, log *slog.Logger) *visitors {
	each := func() rate.Sometimes { return rate.Sometimes{First: 3, Interval: 10 * time.Second} }
	return &visitors{Listener: l, many: many, stall: stall, left: make(chan struct{}, 1), log: log, slow: each(), full: each(), stuck: each(), failed: each()}
}

// Accept waits for the next connection. Whatever else than its end keeps the listener from one passes: net/http would give up for good
// where memory for a socket is short.
func (l *visitors) Accept() (net.Conn, error) {
	pause := time.Duration(0)
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			pause = min(max(2*pause, acceptPauseMin), acceptPauseMax)
			l.failed.Do(func() { l.log.Warn("http: accept failed", "err", err, "retry_in", pause) })
			<-time.After(pause)
			continue
		}
		pause = 0
		v := &visitor{Conn: conn, all: l, from: sourceOf(conn), since: time.Now()}
		gone, ok := l.admit(v)
		for l.many && !ok {
			select {
			case <-l.left:
			case <-time.After(shyTime / 10):
			}
			gone, ok = l.admit(v)
		}
		if gone != nil {
			_ = gone.Conn.Close() // its goroutine finds out, and forgets it
			l.full.Do(func() {
				l.log.Warn("http: too many connections, the oldest that is not served is closed", "from", gone.RemoteAddr())
			})
		}
		if ok {
			return v, nil
		}
	}
}

// admit makes room for v: gone must be closed for it, which is v itself when everybody is being served.
func (l *visitors) admit(v *visitor) (gone *visitor, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.many {
		return l.admitOfMany(v)
	}
	count := make(map[netip.Addr]int)
	for _, o := range l.open {
		count[o.from]++
	}
	switch {
	case v.from.IsValid() && count[v.from] >= connsEach:
		gone = l.victim(func(o *visitor) int { return oneIf(o.from == v.from) })
	case len(l.open) >= conns:
		gone = l.victim(func(o *visitor) int { return count[o.from] })
	default:
		l.open = append(l.open, v)
		return nil, true
	}
	if gone == nil {
		return v, false
	}
	l.replace(gone, v)
	return gone, true
}

// admitOfMany is admit at a door for many, where v waits if nobody gives way. The caller holds mu.
func (l *visitors) admitOfMany(v *visitor) (gone *visitor, ok bool) {
	if len(l.open) < conns {
		l.open = append(l.open, v)
		return nil, true
	}
	if gone = l.victim(func(o *visitor) int { return oneIf(time.Since(o.since) >= shyTime) }); gone == nil {
		return nil, false
	}
	l.replace(gone, v)
	return gone, true
}

func (l *visitors) replace(gone, v *visitor) {
	l.open = append(slices.DeleteFunc(l.open, func(o *visitor) bool { return o == gone }), v)
}

func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
}

// victim is the oldest of those that rank highest: one that is not being served, or else one that takes nothing of its answer.
// Who ranks 0 is none. The caller holds mu.
func (l *visitors) victim(rank func(*visitor) int) (found *visitor) {
	best := 0
	for _, o := range l.open {
		r := 2 * rank(o)
		if !o.busy.Load() {
			r++
		} else if !o.stuck() {
			continue
		}
		if r > max(best, 1) {
			found, best = o, r
		}
	}
	return found
}

func (l *visitors) forget(v *visitor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(o *visitor) bool { return o == v })
	select {
	case l.left <- struct{}{}:
	default:
	}
}

// sourceOf is who counts as one: an address, of IPv6 the 64 bits that one machine mostly has to itself. Invalid: nobody can tell.
func sourceOf(conn net.Conn) netip.Addr {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := a.AddrPort().Addr().Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// visitor is one connection, and knows whether a request is under way on it.
type visitor struct {
	net.Conn
	all   *visitors
	from  netip.Addr
	since time.Time // it was accepted

	asked uint // requests; of the goroutine that serves the connection

	idle, busy, told atomic.Bool  // busy from the request's header on until the answer is out
	deadline         atomic.Int64 // of reading, Unix ns
	until            atomic.Int64 // of writing, likewise; 0: none
	writing          atomic.Int64 // since when, likewise; 0: not
}

type visitorKey struct{}

// meet is the server's ConnContext hook.
func meet(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, visitorKey{}, conn)
}

// serving takes note that a request of a visitor is answered, and tells where he comes from.
func serving(r *http.Request) (from netip.Addr) {
	if v, ok := r.Context().Value(visitorKey{}).(*visitor); ok {
		v.busy.Store(true)
		from = v.from
		if v.asked++; v.asked%turn == 0 {
			runtime.Gosched()
		}
	}
	return from
}

// notice is the server's ConnState hook.
func notice(conn net.Conn, state http.ConnState) {
	if v, ok := conn.(*visitor); ok {
		v.idle.Store(state == http.StateIdle)
		if state == http.StateIdle {
			v.busy.Store(false)
		}
	}
}

func (v *visitor) stuck() bool {
	since := v.writing.Load()
	return since != 0 && time.Since(time.Unix(0, since)) > v.all.stall/5
}

// Close ends the connection.
func (v *visitor) Close() error {
	v.all.forget(v)
	return v.Conn.Close()
}

// SetReadDeadline is also how net/http ends a read that it started beside a handler, with a time of decades ago.
func (v *visitor) SetReadDeadline(t time.Time) error {
	v.deadline.Store(t.UnixNano())
	return v.Conn.SetReadDeadline(t)
}

func (v *visitor) Read(b []byte) (int, error) {
	n, err := v.Conn.Read(b)
	meant := time.Since(time.Unix(0, v.deadline.Load())) < time.Hour
	if errors.Is(err, os.ErrDeadlineExceeded) && meant && !v.idle.Load() && v.told.CompareAndSwap(false, true) {
		v.all.slow.Do(func() {
			v.all.log.Warn("http: a client did not finish its request in time, its connection is closed", "from", v.RemoteAddr())
		})
	}
	return n, err
}

// SetWriteDeadline is when an answer must be out; each step of it has a time of its own.
func (v *visitor) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		v.until.Store(0)
	} else {
		v.until.Store(t.UnixNano())
	}
	return v.Conn.SetWriteDeadline(t)
}

func (v *visitor) Write(b []byte) (n int, err error) {
	defer v.writing.Store(0)
	for {
		now := time.Now()
		v.writing.Store(now.UnixNano())
		limit := now.Add(v.all.stall)
		if until := v.until.Load(); until != 0 && until < limit.UnixNano() {
			limit = time.Unix(0, until)
		}
		if err := v.Conn.SetWriteDeadline(limit); err != nil {
			return n, err
		}
		m, err := v.Conn.Write(b[n:min(len(b), n+writeStep)])
		n += m
		if errors.Is(err, os.ErrDeadlineExceeded) {
			v.all.stuck.Do(func() {
				v.all.log.Warn("http: a client did not read its answer, its connection is closed", "from", v.RemoteAddr())
			})
		}
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

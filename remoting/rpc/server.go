package rpc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = errors.New("rpc: server closed")

// Server accepts connections on one listener. Make one with New, then Listen, Serve, Shutdown.
type Server struct {
	cfg     Config
	handler Handler
	pools   [Pools]*pool
	buffers buffers
	account account
	crowd   crowd
	loops   sync.Pool // of *loop
	counts  counters
	logs    logLimits

	ticks  atomic.Int64 // the sweeper's time in steps of sweepEvery: cheap enough to read for each request
	looked atomic.Int64 // when Yield last looked for bytes, since began
	goAway atomic.Bool
	lastID atomic.Uint64

	began time.Time

	mu       sync.Mutex // guards the following fields
	listener net.Listener
	poller   *poller // nil: every connection has a goroutine; set by Serve before any is there
	conns    map[uint64]*Conn
	stalled  []stalled // parked, with bytes unread, for want of memory
	closed   bool

	open   atomic.Int64 // connections in conns
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup // open connections, the sweeper and what else runs in the background
}

// New checks the configuration. It does no I/O.
func New(cfg Config, h Handler) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if h == nil {
		return nil, errors.New("rpc: handler: must be set")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		ctx:     ctx,
		cancel:  cancel,
		cfg:     cfg,
		handler: h,
		logs:    newLogLimits(),
		began:   time.Now(),
		conns:   make(map[uint64]*Conn),
	}
	s.account.limit = cfg.Memory
	for i, size := range cfg.Pools {
		s.pools[i] = newPool(size)
	}
	return s, nil
}

// Listen binds Config.Addr, so that a port in use is known before anything else starts.
func (s *Server) Listen(ctx context.Context) error {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false) // tcpi_bytes_acked is that of one path
	if s.cfg.SocketReadBuffer > 0 {
		// Before listen(2), or the window scale of accepted sockets is already agreed.
		lc.Control = func(_, _ string, rc syscall.RawConn) error { return setReadBuffer(rc, s.cfg.SocketReadBuffer) }
	}
	l, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("Failed to bind to %s: %w", s.cfg.Addr, err) //nolint:staticcheck // the words of NettyRemotingServer
	}
	return s.Use(l)
}

// Use takes an existing listener in place of Listen: a socket handed in, or one in memory.
func (s *Server) Use(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(ErrClosed, l.Close())
	}
	if s.listener != nil {
		return errors.Join(errors.New("rpc: listening already"), l.Close())
	}
	s.listener = l
	return nil
}

// Addr is the bound address, or nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// GoAway switches the answer of a graceful stop on or off: a request whose version is above 475 gets code 1500
// "please go away" and is not handled; older ones are served (NettyRemotingAbstract).
func (s *Server) GoAway(on bool) { s.goAway.Store(on) }

// CloseConn ends a connection without waiting for it, unless something was read from it within the time silent (see
// Conn.Silence); zero closes it in any case. False: it is not closed, or there is none of that number.
func (s *Server) CloseConn(id uint64, silent time.Duration, reason string) bool {
	s.mu.Lock()
	c := s.conns[id]
	s.mu.Unlock()
	if c == nil || c.Silence() < silent {
		return false
	}
	c.Close(reason)
	return true
}

// ConnCount is the number of open connections.
func (s *Server) ConnCount() int { return int(s.open.Load()) }

// Conns ranges over the connections that were open when the range began, in no order.
func (s *Server) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range s.snapshot() {
			if !yield(c) {
				return
			}
		}
	}
}

func (s *Server) snapshot() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Conn, 0, len(s.conns))
	for _, c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Most is the source that has most of something.
type Most struct {
	Source netip.Addr // of an IPv6 address the network, 64 bits; invalid: nobody has any
	Has    int64
}

// Top says who has most connections, and who holds most of Config.Memory. It looks at all connections.
func (s *Server) Top() (conns, memory Most) {
	counts, sums := map[netip.Addr]int64{}, map[netip.Addr]int64{}
	for _, c := range s.snapshot() {
		counts[c.source()]++
		sums[c.source()] += c.held.Load()
	}
	return most(counts), most(sums)
}

func most(sums map[netip.Addr]int64) (m Most) {
	for source, n := range sums {
		if n > m.Has || n == m.Has && source.Less(m.Source) {
			m = Most{source, n}
		}
	}
	return m
}

// Stats are the counts so far.
func (s *Server) Stats() Stats {
	n := &s.counts
	st := Stats{
		Conns: s.open.Load(), Accepted: n.accepted.Load(), Refused: n.refused.Load(),
		Overloads: n.overloads.Load(), GoAways: n.goAways.Load(), Panics: n.panics.Load(), Responses: n.responses.Load(),
		Malformed: n.malformed.Load(), Idle: n.idle.Load(), TooSlow: n.tooSlow.Load(), NoBudget: n.noBudget.Load(),
		TLSFailed: n.tlsFailed.Load(), Stuck: n.stuck.Load(), Dropped: n.dropped.Load(), NoRoom: n.noRoom.Load(), ProbeResets: n.probeResets.Load(),
		Memory: s.account.used.Load(), MemoryLimit: s.account.limit, MaxConns: int64(s.cfg.MaxConns),
	}
	st.TLSSelfSigned, st.TLSExpires = s.cfg.TLS.state()
	// The lock keeps a connection from being counted both as open and as gone (see remove).
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Requests, st.BytesIn, st.BytesOut = n.closedRequests.Load(), n.closedBytesIn.Load(), n.closedBytesOut.Load()
	for _, c := range s.conns {
		st.Requests += c.wire.meter.requests.Load()
		st.BytesIn += c.wire.meter.bytesIn.Load()
		st.BytesOut += c.wire.meter.bytesOut.Load()
	}
	return st
}

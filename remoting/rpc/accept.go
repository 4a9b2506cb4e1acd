package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
)

// Pauses after an accept that failed, as when file descriptors ran out.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// logLimits let one line of each kind through in a while, whatever the peers do.
type logLimits struct{ accept, refused, panics, memory, stuck, tls, header rate.Sometimes }

func newLogLimits() logLimits {
	each := func() rate.Sometimes { return rate.Sometimes{First: 3, Interval: time.Second} }
	return logLimits{accept: each(), refused: each(), panics: each(), memory: each(), stuck: each(), tls: each(), header: rate.Sometimes{First: 1, Interval: time.Minute}}
}

// Serve accepts connections until Shutdown, then returns ErrClosed. Listen or Use must have succeeded.
func (s *Server) Serve() error {
	var err error
	s.mu.Lock()
	l := s.listener
	if s.closed || l == nil {
		s.mu.Unlock()
		if l == nil {
			return errors.New("rpc: serve: call Listen first")
		}
		return ErrClosed
	}
	if _, ok := l.(*net.TCPListener); ok {
		if s.poller, err = newPoller(s); err != nil {
			s.cfg.Logger.Warn("silent connections keep their goroutines", "err", err)
		} else {
			s.group.Go(s.poller.run)
		}
	}
	s.group.Go(s.sweep)
	if s.cfg.TLS != nil && s.cfg.TLSMode != Disabled {
		s.group.Go(func() { s.cfg.TLS.watch(s.ctx) })
	}
	s.mu.Unlock()
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.accept(nc)
			continue
		}
		if s.ctx.Err() != nil {
			return ErrClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		pause = min(max(2*pause, acceptPauseMin), acceptPauseMax)
		s.logs.accept.Do(func() { s.cfg.Logger.Warn("accept failed", "err", err, "retry_in", pause) })
		if !s.sleep(pause) {
			return ErrClosed
		}
	}
}

// sleep is false when the server was shut down meanwhile.
func (s *Server) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (s *Server) accept(nc net.Conn) {
	s.counts.accepted.Add(1)
	if tc, ok := nc.(*net.TCPConn); ok {
		if n := s.cfg.SocketReadBuffer; n > 0 {
			_ = tc.SetReadBuffer(n)
		}
		if n := s.cfg.SocketWriteBuffer; n > 0 {
			_ = tc.SetWriteBuffer(n)
		}
	}
	c := s.newConn(nc)
	if s.crowded() && !s.makeRoom(c) {
		s.counts.refused.Add(1)
		s.logs.refused.Do(func() {
			s.cfg.Logger.Warn("connection refused: too many", "remote", nc.RemoteAddr(), "limit", s.cfg.MaxConns)
		})
		_ = nc.Close()
		return
	}
	if !s.add(c) {
		_ = nc.Close()
		return
	}
	s.cfg.Logger.Debug("connection opened", "conn", c.id, "remote", c.socketAddr)
	if !c.park() {
		c.charge()
		go c.run(clock.Stamp{})
	}
}

func (s *Server) newConn(nc net.Conn) *Conn {
	c := &Conn{server: s, id: s.lastID.Add(1), accepted: s.cfg.Clock()}
	c.wire.init(nc, &s.ticks, s.cfg.Clock)
	c.wire.conn = c
	c.net, c.queries = &c.wire, uint32(c.id)
	c.socketAddr = addrPort(nc.RemoteAddr())
	if idle := s.cfg.Idle(); idle > 0 {
		c.idle = steps(idle)
	}
	if s.poller != nil && c.raw() {
		c.state.Store(active)
	}
	return c
}

func (s *Server) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c.id] = c
	s.open.Add(1)
	s.group.Add(1)
	return true
}

func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
	s.open.Add(-1)
	s.counts.closedRequests.Add(c.wire.meter.requests.Load())
	s.counts.closedBytesIn.Add(c.wire.meter.bytesIn.Load())
	s.counts.closedBytesOut.Add(c.wire.meter.bytesOut.Load())
}

func (c *Conn) end(err error) {
	s := c.server
	defer s.group.Done()
	c.leave()
	c.loop.r, c.loop.w = 0, 0
	c.release()
	c.wire.sample()
	c.lookBack(err)
	if s.cfg.Closing != nil {
		s.cfg.Closing(c)
	}
	_ = c.net.Close()
	if c.framed {
		s.handler.Closed(c)
	}
	s.putLoop(c)
	c.give(c.held.Load())
	s.remove(c)
	c.ended(err)
}

// read serves what comes until there is an end to it, or errSilent.
func (c *Conn) read() error {
	for {
		err := c.readOn()
		if errors.Is(err, errUpgrade) {
			err = c.upgrade()
		} else {
			err = c.silent(err)
		}
		if err != nil {
			return err
		}
	}
}

func (c *Conn) readOn() error {
	if c.raw() && !c.tls {
		return c.readRaw()
	}
	return c.readFrom(c.net)
}

func (c *Conn) upgrade() error {
	err := c.secure()
	if err != nil {
		c.server.counts.tlsFailed.Add(1)
		c.server.logs.tls.Do(func() {
			if old := signedWithSHA1(err); old != nil {
				c.server.cfg.Logger.Warn("tls failed: a certificate of the client is signed with SHA-1, which is not accepted: issue it anew with SHA-256",
					"remote", c.RemoteAddr(), "subject", old.Subject.String())
				return
			}
			c.server.cfg.Logger.Info("tls failed", "remote", c.RemoteAddr(), "err", err)
		})
	}
	return err
}

// ended counts and logs why the connection is over.
func (c *Conn) ended(err error) {
	s, reason := c.server, "closed by peer"
	var bad badInput
	switch why := c.closing.Load(); {
	case why != nil:
		reason = *why
	case errors.As(err, &bad):
		s.counts.malformed.Add(1)
		reason = bad.Error()
	case errors.Is(err, errNoRoom):
		s.counts.noRoom.Add(1)
		reason = err.Error()
	case errors.Is(err, errNoMemory):
		s.counts.noBudget.Add(1)
		reason = err.Error()
		s.logs.memory.Do(func() {
			s.cfg.Logger.Warn("connection closed: no memory for its frame", "remote", c.RemoteAddr(), "budget", s.cfg.Memory)
		})
	case err != nil && !errors.Is(err, io.EOF):
		reason = err.Error()
	}
	s.cfg.Logger.Debug("connection closed", "conn", c.id, "remote", c.RemoteAddr(), "reason", reason)
}

// Shutdown stops accepting, lets each connection finish the requests it has read, closes them all and waits. When ctx
// ends first, writes are cut short too and its error is returned. Safe to call more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	l, p := s.listener, s.poller
	s.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	if p != nil {
		p.close() // waits for it, and so without the lock
	}
	all := s.snapshot()
	for _, c := range all {
		c.stop("server stopped", net.Conn.SetReadDeadline)
	}
	gone := make(chan struct{})
	go func() { // ends with the last connection
		s.group.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	for _, c := range all {
		_ = c.wire.Conn.SetDeadline(past)
	}
	select {
	case <-gone:
		return nil
	case <-time.After(time.Second):
		return ctx.Err()
	}
}

// past is a deadline that ends whatever waits.
var past = time.Unix(1, 0)

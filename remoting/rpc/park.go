package rpc

import (
	"errors"
	"os"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// parkAfter is how many steps of silence end the service of a connection: one that polls in turn keeps its goroutine, one
// that polls every 30 s is parked by then.
const parkAfter = 2

// Who looks after a connection. Only a parked one is nobody's: whoever makes it active serves it.
const (
	unparkable int32 = iota // its goroutine, for as long as it is open
	active                  // its goroutine, until it is silent
	parked                  // the poller
)

// errSilent says that the sweeper found nothing to wait for in a goroutine.
var errSilent = errors.New("silent")

// run serves the connection until it is silent or over. woken is when the poller saw the bytes that woke it, if it did.
func (c *Conn) run(woken clock.Stamp) {
	c.loop = c.server.takeLoop(c)
	if c.wire.track.Load() != nil {
		c.loop.woken = woken
	}
	for {
		c.wire.behind() // what the peer did not take goes out as soon as it takes it
		err := c.read()
		if !errors.Is(err, errSilent) {
			if errors.Is(err, errClosing) && c.server.ctx.Err() != nil {
				c.answerRest()
			}
			c.end(err)
			return
		}
		c.release()
		c.server.putLoop(c)
		c.give(serving)
		if c.park() {
			return
		}
		c.charge()
		c.loop = c.server.takeLoop(c)
	}
}

const (
	// restWait is for how long a connection that is closed by a stop waits for bytes that are there already: TLS and sockets that
	// are not read by readRaw have no other way to look.
	restWait = 20 * time.Millisecond
	// restTime bounds how long a peer that does not cease to send is answered then.
	restTime = time.Second
)

// answerRest answers what had come in by the time that a stop closes the connection: a FIN between two requests costs the peer
// nothing, while a request that is there and never read makes it a reset, and fails. What is there of half a frame is lost.
func (c *Conn) answerRest() {
	began := time.Now()
	c.loop.rest = true
	if c.loop.in != nil && c.loop.r < c.loop.w && c.feed() != nil {
		return
	}
	rest := func(err error) bool { return errors.Is(err, errClosing) && time.Since(began) < restTime }
	if c.raw() && !c.tls {
		_ = c.wire.raw.Control(func(fd uintptr) {
			for err := errClosing; rest(err); {
				_, err = c.readOnce(int(fd))
			}
		})
		return
	}
	_ = c.wire.SetReadDeadline(began.Add(restWait))
	for err := errClosing; rest(err); {
		err = c.readOn()
	}
}

// park leaves the connection to the poller; whoever called it does not serve it. False: it must be served.
func (c *Conn) park() bool {
	if c.state.Load() == unparkable {
		return false
	}
	c.state.Store(parked) // before the poller is told: it may wake the connection at once
	err := c.server.poller.wait(c)
	switch {
	case err != nil:
		return !c.state.CompareAndSwap(parked, unparkable)
	case c.closing.Load() != nil: // whoever closes wakes what is parked, and may have come before it was
		return !c.state.CompareAndSwap(parked, active)
	}
	return true
}

// wake serves a parked connection again. Where there is no memory for that, it stays parked until the sweeper finds some: it
// has been told of its bytes, which wait in the socket.
func (c *Conn) wake(at clock.Stamp) {
	if !c.state.CompareAndSwap(parked, active) {
		return
	}
	switch {
	case c.closing.Load() != nil:
		c.charge()
	case !c.take(serving):
		c.state.Store(parked)
		c.server.stall(c, at)
		if c.closing.Load() == nil || !c.state.CompareAndSwap(parked, active) {
			return
		}
		c.charge()
	}
	go c.run(at)
}

// stalled is a parked connection of which bytes came, and when.
type stalled struct {
	conn *Conn
	at   clock.Stamp
}

func (s *Server) stall(c *Conn, at clock.Stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = append(s.stalled, stalled{c, at})
}

// wakeStalled tries again what had no memory, in the order in which it came.
func (s *Server) wakeStalled() {
	s.mu.Lock()
	all := s.stalled
	s.stalled = nil
	s.mu.Unlock()
	for _, w := range all {
		w.conn.wake(w.at)
	}
}

// silent turns the end of a read by its deadline into what it means: unless the connection is to be closed, the sweeper asks
// for it. It is not given while a frame has begun. Nil: read on.
func (c *Conn) silent(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.deaf {
		return err
	}
	_ = c.wire.SetReadDeadline(time.Time{})
	switch {
	case c.closing.Load() != nil: // looked at after the deadline was taken back: who closes sets it after closing
		return errClosing
	case c.loop.r == c.loop.w && c.state.Load() == active:
		return errSilent
	}
	return nil
}

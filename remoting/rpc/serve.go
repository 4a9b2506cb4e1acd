package rpc

import (
	"fmt"
	"runtime/debug"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
)

// Remarks (NettyRemotingAbstract).
const (
	overloadRemark = "[OVERLOAD]system busy, start flow control for a while"
	goAwayRemark   = "please go away"
)

// serve handles one frame, given without its length word, and appends its answer. An error means that the
// connection must be closed.
func (c *Conn) serve(frame []byte) error {
	l, s := c.loop, c.server
	if err := remoting.Decode(frame, &l.req); err != nil {
		return err
	}
	if l.req.IsResponse() {
		s.counts.responses.Add(1)
		return nil
	}
	l.pending++
	class := s.cfg.Class(&l.req)
	if !class.Changes && (l.req.IsOneway() || c.deaf) {
		return nil // nobody gets the answer
	}
	if s.cfg.Timed != nil {
		l.times.begin(&c.queries, l.req.Code)
	}
	l.resp.Reset()
	switch {
	case s.goAway.Load() && l.req.Version > mq.V5_3_1:
		s.counts.goAways.Add(1)
		l.resp.Fail(remoting.GoAway, goAwayRemark)
	case !c.enter(s.pools[class.Pool]):
		c.overloaded()
	case !class.Changes && !class.Short && c.wire.gone(): // while it waited, or before
		c.unheard()
		return nil
	default:
		c.handle()
	}
	if !class.Short {
		c.leave()
	}
	if l.req.IsOneway() || c.deaf {
		return nil
	}
	return c.answer()
}

func (c *Conn) overloaded() {
	c.server.counts.overloads.Add(1)
	c.loop.resp.Reset()
	c.loop.resp.Fail(remoting.SystemBusy, overloadRemark)
}

// Enter moves the request that is being handled to another pool, and waits for its turn there. False: there is no room, the
// answer says so, and the handler must do no more. Only valid in Serve.
func (c *Conn) Enter(p Pool) bool {
	if c.enter(c.server.pools[p]) {
		return true
	}
	c.overloaded()
	return false
}

// enter makes room for one request of a kind. Short requests of one kind that follow each other keep the room they have, a
// window of them, so that a pipelined batch enters once; it is given up before anything is written or waited for. Who has given
// it up waits behind all who wait: connections take turns.
func (c *Conn) enter(p *pool) bool {
	l := c.loop
	if l.holds == p {
		return true
	}
	c.leave()
	ok, wait := p.enter()
	if !ok {
		return false
	}
	l.holds = p
	if wait {
		// Not before the token is there: whoever entered is counted and must take its turn.
		<-p.turn
	}
	return true
}

func (c *Conn) leave() {
	if c.loop.holds != nil {
		c.loop.holds.leave()
		c.loop.holds = nil
	}
}

// handle runs the handler. A panic ends that request only.
func (c *Conn) handle() {
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
		}
	}()
	c.server.handler.Serve(c, &c.loop.req, &c.loop.resp)
}

func (c *Conn) panicked(p any) {
	s, l := c.server, c.loop
	s.counts.panics.Add(1)
	l.resp.Reset()
	l.resp.Fail(remoting.SystemError, fmt.Sprintf("internal error in request code %d: %v", l.req.Code, p))
	stack := debug.Stack()
	s.logs.panics.Do(func() {
		s.cfg.Logger.Error("handler panicked", "code", l.req.Code, "remote", c.RemoteAddr(), "panic", p, "stack", string(stack))
	})
}

// answer appends the response; a large body goes out at once.
func (c *Conn) answer() error {
	l, s := c.loop, c.server
	l.resp.Opaque = l.req.Opaque
	if l.out == nil {
		l.out = s.buffers.getOut()
	}
	if len(l.resp.Body) <= copyBody {
		l.out.b = remoting.AppendResponse(l.out.b, s.cfg.Serialize, &l.resp)
		return nil
	}
	l.out.b = remoting.AppendResponseHeader(l.out.b, s.cfg.Serialize, &l.resp, len(l.resp.Body))
	return c.flushBody(l.resp.Body)
}

package rpc

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
)

// Remarks (NettyRemotingAbstract).
const (
	overloadRemark = "[OVERLOAD]system busy, start flow control for a while"
	goAwayRemark   = "please go away"
	// noMemory is that of code 2 where the memory for requests is used up.
	noMemory = "[OVERLOAD]no memory for this request now, see --memory"
)

// serve handles one frame, given without its length word, and appends its answer. An error means that the
// connection must be closed.
func (c *Conn) serve(frame []byte) error {
	l, s := c.loop, c.server
	if n := fieldsOf(frame); n > 0 {
		if !c.take(n) {
			return errNoMemory
		}
		defer c.give(n)
	}
	if err := l.repeats.Decode(frame, &l.req); err != nil {
		return badInput{err}
	}
	if l.req.IsResponse() {
		s.counts.responses.Add(1)
		return nil
	}
	l.pending++
	class := s.cfg.Class(&l.req)
	if c.probation.Load() != 0 {
		if class.Pool != BrokerPool {
			return errNoRoom
		}
		c.probation.Store(0)
	}
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
	if l.charged > 0 {
		c.give(l.charged)
		l.charged = 0
	}
	if !class.Short {
		c.leave()
		s.yieldIfDue()
	}
	if l.req.IsOneway() || c.deaf {
		return nil
	}
	return c.answer()
}

// fieldsOf is what a header may become at most when it is decoded: six bytes are a field of 48, in a list that doubles. Of headers
// as they come it is nothing.
func fieldsOf(frame []byte) int64 {
	const usual, growth = 1 << 10, 16
	if len(frame) <= usual {
		return 0
	}
	n := int64(binary.BigEndian.Uint32(frame) & 0xFFFFFF)
	if n <= usual {
		return 0
	}
	return growth * min(n, int64(len(frame)))
}

func (c *Conn) overloaded() { c.Busy(overloadRemark) }

// Busy makes the answer code 2: the peer may ask again later. Only valid in Serve.
func (c *Conn) Busy(remark string) {
	c.server.counts.overloads.Add(1)
	c.loop.resp.Reset()
	c.loop.resp.Fail(remoting.SystemBusy, remark)
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
		l.out = c.answers()
	}
	size, large := headSize(&l.resp), len(l.resp.Body) > copyBody
	if !large {
		size += len(l.resp.Body)
	}
	if !c.widen(size) {
		// The answers before it may go, and leave their place.
		c.leave()
		if err := c.write(); err != nil {
			return err
		}
		if !c.widen(size) {
			c.busy()
			return nil
		}
	}
	if large {
		return c.answerLarge()
	}
	l.out.b = remoting.AppendResponse(l.out.b, s.cfg.Serialize, &l.resp)
	return nil
}

// answerLarge writes an answer with its body, which is charged until then.
func (c *Conn) answerLarge() error {
	l := c.loop
	n := int64(len(l.resp.Body))
	if !c.take(n) {
		c.busy()
		return nil
	}
	defer c.give(n)
	l.out.b = remoting.AppendResponseHeader(l.out.b, c.server.cfg.Serialize, &l.resp, len(l.resp.Body))
	return c.flushBody(l.resp.Body)
}

// busy answers code 2 in the place of an answer for which there is no memory.
func (c *Conn) busy() {
	l, s := c.loop, c.server
	c.Busy(noMemory)
	l.resp.Opaque = l.req.Opaque
	l.out.b = remoting.AppendResponse(l.out.b, s.cfg.Serialize, &l.resp)
}

// headSize is about what an answer takes in front of its body: more only where characters must be escaped.
func headSize(r *remoting.Response) int {
	n := 256 + len(r.Remark)
	for _, e := range r.Ext {
		n += 8 + len(e.Key) + len(e.Value)
	}
	return n
}

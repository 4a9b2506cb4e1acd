package rpc

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// account is the memory that what passes through may hold, in bytes: frames that are not complete, headers that are decoded,
// answers that nobody has read, goroutines of connections that speak. It is charged before it is taken, per connection.
//
// Up to three quarters of the limit nobody is asked who he is. Beyond them the budget is short: then connections that own
// a registration, and requests that are handled right now, may have all of it; nobody else gets much at once (a bulk), for whoever
// asks for little must not find all of it in large frames; of little, the source that holds most gets no more, unless nobody else
// holds any, and others have seven eighths. To make room the connection that holds most at that source is closed (DEV-19).
type account struct {
	limit int64
	used  atomic.Int64

	mu   sync.Mutex // guards the following fields
	view view
}

// view is who holds how much, made at most once in a step of the sweeper while the budget is short.
type view struct {
	at      int64
	top     netip.Addr // the source that holds most,
	most    int64      // and how much,
	alone   bool       // and whether nobody else holds any
	holders []holder   // its connections that own nothing, those that hold least first
	leaving int64      // held by those that were closed for others since at
}

type holder struct {
	conn *Conn
	held int64
}

// roomWait is how long a frame waits for memory before its connection is closed, looking again every roomStep. For courtesy, the
// first part of it, nobody is closed to make room for a connection that owns nothing: what others hold may be about to be given back,
// as when large registrations come at once after a restart.
const (
	roomWait = 10 * time.Second
	roomStep = 50 * time.Millisecond
	courtesy = time.Second
)

// bulk is from how many bytes on somebody asks for much: the last two buffers of a frame that is no small one, a long answer.
const bulk = freeBuffer

// ask is how somebody asks for memory while the budget is short.
type ask struct {
	served bool // for the request that is being handled: it ends by itself, and then gives all of it back
	waits  bool // nobody is to be closed for it yet
}

// take charges n bytes to the connection, before they are taken; it never waits. False: there is no memory for it now, and
// nothing is charged. Only for whoever serves the connection or wakes it. What is not given back is when the connection ends.
func (c *Conn) take(n int64) bool { return c.takeBy(n, ask{}) }

func (c *Conn) takeBy(n int64, by ask) bool {
	a := &c.server.account
	used := a.used.Add(n)
	add(&c.held, n)
	if used <= a.limit/4*3 || c.server.mayHave(c, n, used, by) {
		return true
	}
	c.give(n)
	return false
}

// give takes note that n bytes are given back.
func (c *Conn) give(n int64) {
	c.server.account.used.Add(-n)
	add(&c.held, -n)
}

// charge is take for serving, which cannot be refused.
func (c *Conn) charge() {
	c.server.account.used.Add(serving)
	add(&c.held, serving)
}

// Charge charges n bytes more to the request that is being handled, until it has been answered, and may wait for them: long for what
// a listed broker sends. False: there is no memory, the answer says so, and the handler must do no more. Only valid in Serve.
func (c *Conn) Charge(n int64) bool {
	ok := c.takeBy(n, ask{served: true, waits: true})
	if !ok {
		wait := courtesy
		if c.listed.Load() || c.server.cfg.Listed(c, &c.loop.req) {
			c.listed.Store(true)
			wait = roomWait
		}
		ok = c.patient(n, wait, true) == nil
	}
	if !ok {
		c.Busy(noMemory)
		return false
	}
	c.loop.charged += n
	return true
}

// await is take for a frame, which may wait. An error: the connection must be closed.
func (c *Conn) await(n int64) error {
	if c.takeBy(n, ask{waits: true}) {
		return nil
	}
	if !c.listed.Load() && c.vouched() {
		c.listed.Store(true)
	}
	return c.patient(n, roomWait, false)
}

// patient takes n bytes for somebody who is known by now, within a time of which the last look is one that closes others if it is
// courtesy or more.
func (c *Conn) patient(n int64, wait time.Duration, served bool) error {
	for waited := time.Duration(0); waited <= wait; waited += roomStep {
		if c.takeBy(n, ask{served: served, waits: waited < courtesy}) {
			return nil
		}
		if c.closing.Load() != nil || !c.server.sleep(roomStep) {
			return errClosing
		}
	}
	return errNoMemory
}

// owns says that the connection owns a registration, or that its present frame is a REGISTER of a broker that is listed.
func (c *Conn) owns() bool {
	if c.listed.Load() {
		return true
	}
	_, owns := c.server.cfg.Owner(c)
	return owns
}

// vouched says that the frame that has begun is what a listed broker sends: its header is there before its body.
func (c *Conn) vouched() bool {
	l := c.loop
	if l.in == nil || l.w-l.r < 8 {
		return false
	}
	frame := l.in.b[l.r+4 : l.w]
	n := 4 + int(binary.BigEndian.Uint32(frame)&0xFFFFFF)
	var req remoting.Request
	return n <= min(len(frame), freeBuffer) && remoting.Decode(frame[:n:n], &req) == nil && c.server.cfg.Listed(c, &req)
}

// mayHave says whether c may hold n bytes more while the budget is short; they are in used already.
func (s *Server) mayHave(c *Conn, n, used int64, by ask) bool {
	a := &s.account
	owns := c.owns()
	a.mu.Lock()
	defer a.mu.Unlock()
	v := &a.view
	if now := s.ticks.Load(); v.at != now || v.holders == nil {
		*v = s.look(now)
	}
	top := c.source() == v.top
	limit := a.limit / 8 * 7
	switch {
	case owns, by.served:
		limit = a.limit
	case n >= bulk, top && !v.alone:
		limit = a.limit / 4 * 3
	}
	if used <= limit {
		return true
	}
	if by.waits && !owns {
		return false
	}
	s.logs.memory.Do(func() {
		s.cfg.Logger.Warn("memory for requests is short: the source that holds most gives first",
			"source", v.top, "holds", v.most, "used", used-n, "limit", a.limit, "refused", c.RemoteAddr())
	})
	for used-v.leaving > limit && len(v.holders) > 0 {
		h := v.holders[len(v.holders)-1]
		if h.conn == c || !owns && top && h.held < 2*c.held.Load() {
			break // within a source those that hold little go on, and equals do not push each other out
		}
		v.holders = v.holders[:len(v.holders)-1]
		v.leaving += h.held
		s.counts.noBudget.Add(1)
		h.conn.Close("gives its memory to others")
	}
	return false
}

// look finds the source that holds most.
func (s *Server) look(now int64) view {
	v := view{at: now, holders: []holder{}}
	sums := map[netip.Addr]int64{}
	all := s.snapshot()
	for _, c := range all {
		if held := c.held.Load(); held > 0 {
			sums[c.source()] += held
		}
	}
	for source, held := range sums {
		if held > v.most || held == v.most && source.Less(v.top) {
			v.top, v.most = source, held
		}
	}
	v.alone = len(sums) == 1
	for _, c := range all {
		if held := c.held.Load(); held > 0 && c.closing.Load() == nil && c.source() == v.top {
			if !c.owns() {
				v.holders = append(v.holders, holder{c, held})
			}
		}
	}
	slices.SortFunc(v.holders, func(a, b holder) int { return cmp.Compare(a.held, b.held) })
	return v
}

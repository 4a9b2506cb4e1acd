package bench

import (
	"bytes"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// polls is the open loop: every client asks at its times, whatever became of its earlier queries. It is a queue, and
// the observer of a scene in which nothing else happens.
type polls struct {
	*crowd
	plan   []event
	next   int
	start  int64 // of the lap
	period int64 // between two laps; 0: one lap only
	number int64
}

func (c *crowd) newPolls(plan []event, start int64, period time.Duration) *polls {
	return &polls{crowd: c, plan: plan, start: start, period: int64(period), number: c.nextLap()}
}

func (p *polls) due() int64 {
	if p.next == len(p.plan) {
		if p.period == 0 {
			return never
		}
		p.next, p.start, p.number = 0, p.start+p.period, p.nextLap()
	}
	return p.start + int64(p.plan[p.next].at)*1000
}

func (p *polls) fire(now int64) {
	start, query := p.due(), p.plan[p.next].what
	p.next++
	m := int(query) / p.each
	p.meter.sent(start, now)
	if p.send(m, query, start, p.number) {
		return
	}
	p.meter.end(start) // this query has failed; the client is there again for the next
	if p.members[m].state == memberClosed {
		p.connect(m)
	}
}

func (p *polls) opened(int, int64) {}
func (p *polls) lost(int, int64)   {}

func (p *polls) landed(_ int, query uint32, start int64, a answer, now int64) {
	p.meter.landed(start, now, p.right(query, a))
}

// gathering opens the connections of all clients, so many at a time and in a second that no server turns one down because of it,
// and lets each ask once.
type gathering struct {
	*crowd
	at            int64 // when the next one may be opened
	next, waiting int
	ready         int
	answered      []bool // by client: it is ready
	failed        bool   // some were turned down: no more are opened
	number        int64
}

const (
	gatherAtOnce = 128
	// gatherRate is how many are opened in a second: for as long a node keeps some 20 KB for each that has spoken, and has a budget for that.
	gatherRate = 5000
)

func (g *gathering) due() int64 {
	if g.failed || g.next == g.size || g.waiting == gatherAtOnce {
		return never
	}
	return g.at
}

func (g *gathering) fire(now int64) {
	g.at = now + int64(time.Second)/gatherRate
	g.waiting++
	g.next++
	g.connect(g.next - 1)
}

func (g *gathering) opened(m int, now int64) { g.send(m, uint32(m*g.each), now, g.number) }

func (g *gathering) lost(m int, _ int64) {
	g.failed = true
	if !g.answered[m] {
		g.waiting--
	}
}

func (g *gathering) landed(m int, _ uint32, _ int64, _ answer, _ int64) {
	g.waiting--
	g.ready++
	g.answered[m] = true
}

func (g *gathering) over(int64) bool { return g.waiting == 0 && (g.failed || g.ready == g.size) }

// silents makes each silent connection anew once every turn, at a time of its own.
type silents struct {
	*crowd
	plan  []event
	next  int
	start int64 // of the turn
}

const (
	silentTurn = 120 * time.Second // how old a Java client of 5.0 to 5.2 lets such a connection grow
	silentRate = 2000              // how many a second are opened at first
)

func (s *silents) due() int64 {
	if s.next == len(s.plan) {
		s.next, s.start = 0, s.start+int64(silentTurn)
	}
	return s.start + int64(s.plan[s.next].at)*1000
}

func (s *silents) fire(int64) {
	m := s.size + int(s.plan[s.next].what)
	s.next++
	s.hangUp(m)
	s.connect(m)
}

// firstSilents opens them all; a connection that is refused is not opened before its turn.
type firstSilents struct {
	*crowd
	next  int
	start int64
}

func (s *firstSilents) due() int64 {
	if s.size+s.next < len(s.members) {
		return s.start + int64(time.Second)*int64(s.next)/silentRate
	}
	return never
}

func (s *firstSilents) fire(int64) {
	s.next++
	s.connect(s.size + s.next - 1)
}

// comeback brings every client back: it opens its connection at its time, and a second after each refusal, asks for its
// first topic, a second after each answer, until that names all its brokers, and then for all of its topics, one after the
// other, as Java clients do. Then it is served.
type comeback struct {
	*crowd
	plan   []event // when each client opens its connection
	next   int
	start  int64
	retry  []again // in order of time
	trying []bool  // the client is in it
	began  []int64 // by client: when it was to open its connection for the first time
	done   []bool  // it was served
	served []int64 // when the clients were, in order
	meter  *meter  // of clients, not of queries
	number int64
}

// again is a client's next try.
type again struct {
	at int64
	m  int
}

const comebackRetry = time.Second

func (c *crowd) newComeback(plan []event, start int64) *comeback {
	return &comeback{
		crowd: c, plan: plan, start: start, began: make([]int64, c.size), trying: make([]bool, c.size), done: make([]bool, c.size),
		served: make([]int64, 0, c.size), meter: newMeter(0, never), number: c.nextLap(),
	}
}

func (b *comeback) due() int64 {
	at := int64(never)
	if b.next < len(b.plan) {
		at = b.start + int64(b.plan[b.next].at)*1000
	}
	if len(b.retry) > 0 {
		at = min(at, b.retry[0].at)
	}
	return at
}

func (b *comeback) fire(now int64) {
	if len(b.retry) > 0 && b.retry[0].at == b.due() {
		m := b.retry[0].m
		b.retry = b.retry[1:]
		b.trying[m] = false
		b.try(m, now)
		return
	}
	start, m := b.due(), int(b.plan[b.next].what)
	b.next++
	b.began[m] = start
	b.meter.sent(start, now)
	b.try(m, now)
}

// try opens the connection, or asks again over the one that is open.
func (b *comeback) try(m int, now int64) {
	if !b.send(m, uint32(m*b.each), now, b.number) && b.members[m].state == memberClosed {
		b.connect(m)
	}
}

func (b *comeback) opened(m int, now int64) { b.try(m, now) }

func (b *comeback) lost(m int, now int64) {
	if b.began[m] > 0 && !b.done[m] {
		b.later(m, now)
	}
}

// later lets a client try again, from its first topic on.
func (b *comeback) later(m int, now int64) {
	if !b.trying[m] {
		b.trying[m] = true
		b.retry = append(b.retry, again{now + int64(comebackRetry), m})
	}
}

func (b *comeback) landed(m int, query uint32, _ int64, a answer, now int64) {
	switch {
	case b.done[m]:
	case !b.whole(a) || !b.right(query, a):
		b.later(m, now)
	case query == uint32((m+1)*b.each-1):
		b.done[m] = true
		b.served = append(b.served, now)
		b.meter.landed(b.began[m], now, true)
	default:
		b.send(m, query+1, now, b.number)
	}
}

// whole says that an answer names every broker of its topic.
func (b *comeback) whole(a answer) bool {
	return a.code == int(remoting.Success) && bytes.Count(a.body, []byte(`"brokerName":`)) == 2*b.expect.profile.Width
}

func (b *comeback) over(int64) bool { return len(b.served) == b.size }

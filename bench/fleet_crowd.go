package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/remoting"
)

const (
	lapBits  = 5 // what is left of an opaque beside the query
	lapMask  = 1<<lapBits - 1
	firesMax = 64 // how much is sent before answers are looked at again
	// sourcePorts is for how many connections one source address is used: the kernel has about 28,000 ports for each, and a
	// connection that was closed holds its port for a minute.
	sourcePorts = 4000
	// checkAnswers: the body of one answer in so many is compared with what it must be.
	checkAnswers = 64
)

// never is when nothing is due.
const never = math.MaxInt64

// A queue is things to be done in order of their times.
type queue interface {
	due() int64     // when the next one is, in nanoseconds of the crowd's clock; never: there is none
	fire(now int64) // does it
}

// A scene's observer hears what becomes of the connections and queries of the clients.
type observer interface {
	opened(m int, now int64)
	landed(m int, query uint32, start int64, a answer, now int64)
	lost(m int, now int64)
}

// readiness is a socket that can be read or written.
type readiness struct {
	id, gen     int32
	read, write bool
}

// member is one connection of a crowd.
type member struct {
	fd    int32
	gen   int32 // counts its connections: what is still said of an earlier one is not heard
	state memberState
	rest  []byte // the beginning of an answer
	out   []byte // what the socket had no room for
}

type memberState uint8

const (
	memberClosed memberState = iota
	memberOpening
	memberOpen
)

// crowd is the connections of a fleet, all driven by one thread: a query costs one write, one read, and its part of an
// epoll. Members from size on are the silent second connections.
type crowd struct {
	poll    *poller
	target  *net.TCPAddr
	sources []*net.TCPAddr // nil: as the system chooses
	base    time.Time
	members []member
	size    int // clients
	each    int
	topics  []uint32
	flights []int64 // by query: intended start << lapBits | lap; 0: not in flight
	lap     int64
	in, out []byte
	ask     frame
	reader  answerReader
	expect  *expectation
	fixed   bool // the server is the ceiling
	compare int  // answers until the next body is compared

	observer observer
	meter    *meter
	open     int   // connections of clients
	answers  int64 // all
	stale    int64 // answers to queries that had been given up
	silent   int   // silent connections that are open
	dropped  int   // silent connections that the server closed
	refused  int64 // connections that could not be made
	cut      int64 // connections that were lost
	trouble  error // what happened to the first of these
	progress func()
	shown    int64
}

// newCrowd makes a crowd of size clients, and room for second silent connections, none of which is open.
func newCrowd(addr string, size, each, second int, topics []uint32, expect *expectation) (*crowd, error) {
	target, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", addr, err)
	}
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	c := &crowd{
		poll: p, target: target, base: time.Now(), members: make([]member, size+second), size: size, each: each, topics: topics,
		flights: make([]int64, size*each), in: make([]byte, 256<<10), ask: routeFrame(topicPrefix), expect: expect,
		compare: checkAnswers, meter: newMeter(never, never),
	}
	if ip := target.IP.To4(); ip != nil && ip.IsLoopback() {
		c.sources = loopbacks(2 + (size+second)/sourcePorts)
	}
	return c, nil
}

// loopbacks are n addresses of this machine that only fleets use.
func loopbacks(n int) (all []*net.TCPAddr) {
	for i := 1; i <= n; i++ {
		all = append(all, &net.TCPAddr{IP: net.IPv4(127, byte(1+i>>16), byte(i>>8), byte(i))})
	}
	return all
}

// close ends all connections.
func (c *crowd) close() {
	for m := range c.members {
		c.hangUp(m)
	}
	c.poll.close()
}

// now is the time in nanoseconds since the crowd was made, never 0.
func (c *crowd) now() int64 { return int64(time.Since(c.base)) + 1 }

// run does what is due and reads what comes until over says so.
func (c *crowd) run(ctx context.Context, over func(now int64) bool, queues ...queue) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		now := c.now()
		if over(now) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if c.progress != nil && now-c.shown > int64(500*time.Millisecond) {
			c.shown = now
			c.progress()
		}
		ready, err := c.poll.wait(min(time.Duration(c.fire(queues)-c.now()), 10*time.Millisecond))
		if err != nil {
			return err
		}
		for _, r := range ready {
			c.handle(r)
		}
	}
}

// fire does some of what is due and returns when the next is.
func (c *crowd) fire(queues []queue) int64 {
	for range firesMax {
		at, first := int64(never), queue(nil)
		for _, q := range queues {
			if d := q.due(); d < at {
				at, first = d, q
			}
		}
		now := c.now()
		if first == nil || at > now {
			return at
		}
		first.fire(now)
	}
	return 0
}

// nextLap numbers a round of queries, so that late answers to an earlier one are told apart.
func (c *crowd) nextLap() int64 {
	c.lap = (c.lap + 1) & lapMask
	return c.lap
}

// connect begins to open the connection of a member, which is closed.
func (c *crowd) connect(m int) {
	var source *net.TCPAddr
	if len(c.sources) > 0 {
		source = c.sources[m%len(c.sources)]
	}
	fd, err := openSocket(c.target, source)
	one := &c.members[m]
	if err == nil {
		one.gen++
		one.fd, one.state = int32(fd), memberOpening
		if err = c.poll.watch(fd, true, int32(m), one.gen, true); err == nil {
			return
		}
	}
	c.lose(m, err)
}

// hangUp closes the connection of a member, if it has one; nobody hears of it.
func (c *crowd) hangUp(m int) {
	one := &c.members[m]
	if one.state == memberClosed {
		return
	}
	_ = unix.Close(int(one.fd)) // nothing is owed to it
	if one.state == memberOpen {
		c.count(m, -1)
	}
	one.state, one.rest, one.out = memberClosed, nil, nil
	one.gen++
	if m >= c.size {
		return
	}
	for q := range c.flights[m*c.each : (m+1)*c.each] {
		if flight := &c.flights[m*c.each+q]; *flight != 0 {
			c.meter.end(*flight >> lapBits)
			*flight = 0
		}
	}
}

func (c *crowd) count(m, n int) {
	if m < c.size {
		c.open += n
	} else {
		c.silent += n
	}
}

// lose books a connection that could not be made, or is gone.
func (c *crowd) lose(m int, err error) {
	made := c.members[m].state == memberOpen
	c.hangUp(m)
	if m >= c.size {
		c.dropped++ // a server may close a connection that says nothing
		return
	}
	if made {
		c.cut++
	} else {
		c.refused++
	}
	if c.trouble == nil {
		c.trouble = err
	}
	c.observer.lost(m, c.now())
}

// handle does what a ready socket is ready for.
func (c *crowd) handle(r readiness) {
	m := int(r.id)
	one := &c.members[m]
	if one.gen != r.gen || one.state == memberClosed {
		return
	}
	if one.state == memberOpening {
		c.established(m)
		return
	}
	if r.write {
		if err := c.flush(one, m); err != nil {
			c.lose(m, err)
			return
		}
	}
	if r.read {
		if err := c.receive(m); err != nil {
			c.lose(m, err)
		}
	}
}

func (c *crowd) established(m int) {
	one := &c.members[m]
	number, err := unix.GetsockoptInt(int(one.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && number != 0 {
		err = unix.Errno(number)
	}
	if err == nil {
		err = c.poll.watch(int(one.fd), false, int32(m), one.gen, false)
	}
	if err != nil {
		c.lose(m, fmt.Errorf("connect: %w", err))
		return
	}
	one.state = memberOpen
	c.count(m, 1)
	if m < c.size {
		c.observer.opened(m, c.now())
	}
}

// send asks the query of a member that was to be asked at start; false: it has no connection.
func (c *crowd) send(m int, query uint32, start, lap int64) bool {
	one := &c.members[m]
	if one.state != memberOpen {
		return false
	}
	c.flights[query] = start<<lapBits | lap
	c.out = c.ask.ask(c.out[:0], c.topics[query], uint32(lap)<<queryBits|query)
	if len(one.out) > 0 {
		one.out = append(one.out, c.out...)
		return true
	}
	n, err := unix.Write(int(one.fd), c.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.lose(m, fmt.Errorf("send: %w", err))
		return true
	}
	if n = max(n, 0); n < len(c.out) {
		one.out = append(one.out, c.out[n:]...)
		if err := c.poll.watch(int(one.fd), false, int32(m), one.gen, true); err != nil {
			c.lose(m, err)
		}
	}
	return true
}

// flush writes what the socket had no room for.
func (c *crowd) flush(one *member, m int) error {
	n, err := unix.Write(int(one.fd), one.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("send: %w", err)
	}
	if one.out = one.out[max(n, 0):]; len(one.out) > 0 {
		return nil
	}
	one.out = nil
	return c.poll.watch(int(one.fd), false, int32(m), one.gen, false)
}

// receive reads once and lands every complete answer.
func (c *crowd) receive(m int) error {
	one := &c.members[m]
	have := copy(c.in, one.rest)
	n, err := unix.Read(int(one.fd), c.in[have:])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case n == 0:
		return fmt.Errorf("the server closed the connection: %w", io.EOF)
	}
	buf, now, gen := c.in[:have+n], c.now(), one.gen
	for {
		a, size, need, err := c.reader.next(buf)
		if err == nil && need > len(c.in) {
			err = fmt.Errorf("an answer of %d bytes: %w", need, errNoNameServer)
		}
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		c.land(m, a, now)
		if one.gen != gen {
			return nil // what this answer led to has closed the connection
		}
		buf = buf[size:]
	}
	one.rest = nil
	if len(buf) > 0 {
		one.rest = bytes.Clone(buf)
	}
	return nil
}

// land books one answer. One that nobody waits for any more is only counted.
func (c *crowd) land(m int, a answer, now int64) {
	query := a.seq & (maxQueries - 1)
	if m >= c.size || int(query)/c.each != m {
		c.expect.note(fmt.Errorf("an answer to a request that was not asked: %s", a.header))
		c.meter.wrong++
		return
	}
	flight := c.flights[query]
	if flight == 0 || flight&lapMask != int64(a.seq>>queryBits) {
		c.stale++
		return
	}
	c.flights[query] = 0
	c.answers++
	c.observer.landed(m, query, flight>>lapBits, a, now)
}

// right says whether an answer is what must be answered; one body in some is compared.
func (c *crowd) right(query uint32, a answer) bool {
	if c.expect.partial && a.code == int(remoting.TopicNotExist) {
		return true
	}
	if a.code != int(remoting.Success) {
		c.expect.note(a.failure())
		return false
	}
	if c.compare--; c.compare > 0 {
		return true
	}
	c.compare = checkAnswers
	topic := c.topics[query]
	if c.fixed {
		topic = 0
	}
	return c.expect.right(topic, a.body)
}

package bench

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// The phases of a measurement.
const (
	phaseWarmup int32 = iota
	phaseMeasure
	phaseDone
)

// cell is one measurement: what all its connections share.
type cell struct {
	kind       Kind
	profile    Profile
	expect     *expectation
	fixed      bool // the server is the ceiling: every answer is the expected one of topic 0
	depth      int
	batches    bool // closed loop: the next requests wait for the last answer of those before
	checkEvery int
	changeEach int // Register, Mixed: see LoadConfig.ChangeEvery
	base       time.Time
	phase      atomic.Int32
	answered   atomic.Int64 // by all connections, added per batch: the watchdog looks at it
}

// now is the time in nanoseconds since the start of the cell, never 0.
func (c *cell) now() int64 { return int64(time.Since(c.base)) + 1 }

// tally counts what one connection saw while the cell was measured.
type tally struct {
	Answers  int64
	Compared int64
	Wrong    int64
}

// loadConn is one measured connection.
type loadConn struct {
	cell    *cell
	conn    net.Conn
	reader  answerReader
	in      []byte // read buffer; in[r:w] is not parsed yet
	r, w    int
	out     []byte
	flight  *flight
	rng     *rand.PCG
	ask     frame
	asked   int // requests so far, to place the writes of a mixed load
	body    *registerBody
	self    address
	hist    histogram
	tally   tally
	toCheck int
}

func newLoadConn(c *cell, conn net.Conn, index, slots int, seed uint64) *loadConn {
	prefix := topicPrefix
	if c.kind == Miss {
		prefix = missPrefix
	}
	lc := &loadConn{
		cell: c, conn: conn, in: make([]byte, 64<<10), flight: newFlight(slots),
		rng: rand.NewPCG(seed, uint64(index)), ask: routeFrame(prefix), hist: newHistogram(), toCheck: 1 + index%c.checkEvery,
	}
	if c.kind == Register || c.kind == Mixed {
		all := c.profile.addresses()
		lc.self = all[index%len(all)]
		lc.body = c.profile.newRegisterBody(lc.self.index, c.changeEach)
	}
	return lc
}

// request appends one more request to the out buffer; ok is false when too many are in flight.
func (lc *loadConn) request(start int64) (ok bool) {
	if lc.cell.kind == Register || lc.cell.kind == Mixed && lc.asked%writeEvery == writeEvery-1 {
		return lc.requestRegister(start)
	}
	topic := uint32(lc.rng.Uint64() >> 32 * uint64(lc.cell.profile.Topics) >> 32)
	asked := int32(topic)
	if lc.cell.kind == Miss {
		asked = askedMiss
	}
	seq, ok := lc.flight.takeOff(start, asked)
	if ok {
		lc.out = lc.ask.ask(lc.out, topic, seq)
		lc.asked++
	}
	return ok
}

func (lc *loadConn) requestRegister(start int64) bool {
	seq, ok := lc.flight.takeOff(start, askedRegister)
	if ok {
		if lc.cell.changeEach > 0 {
			lc.body.next()
		}
		lc.out = appendRegister(lc.out, lc.self, seq, lc.body.bytes)
		lc.asked++
	}
	return ok
}

// flush writes the out buffer.
func (lc *loadConn) flush() error {
	_, err := lc.conn.Write(lc.out)
	lc.out = lc.out[:0]
	return err
}

// receive reads once and lands every complete answer; it returns their number.
func (lc *loadConn) receive() (int, error) {
	n, err := lc.conn.Read(lc.in[lc.w:])
	if err != nil {
		return 0, err
	}
	lc.w += n
	now, measured := lc.cell.now(), lc.cell.phase.Load() == phaseMeasure
	landed := 0
	for {
		a, size, need, err := lc.reader.next(lc.in[lc.r:lc.w])
		if err != nil {
			return landed, err
		}
		if size == 0 {
			lc.makeRoom(need)
			break
		}
		lc.land(a, now, measured)
		lc.r += size
		landed++
	}
	lc.cell.answered.Add(int64(landed))
	return landed, nil
}

// makeRoom moves the unparsed rest to the front and grows the buffer until it can hold need bytes.
func (lc *loadConn) makeRoom(need int) {
	lc.w = copy(lc.in, lc.in[lc.r:lc.w])
	lc.r = 0
	if need > len(lc.in) {
		lc.in = append(lc.in, make([]byte, need-len(lc.in))...)
	}
}

// land books one answer: its latency, and whether it is right.
func (lc *loadConn) land(a answer, now int64, measured bool) {
	start, asked, ok := lc.flight.land(a.seq)
	if !ok {
		lc.tally.Wrong++
		lc.cell.expect.note(fmt.Errorf("an answer to a request that was not asked: %s", a.header))
		return
	}
	if measured {
		lc.tally.Answers++
		lc.hist.record(time.Duration(now - start))
	}
	if !lc.right(a, asked) {
		lc.tally.Wrong++
	}
}

func (lc *loadConn) right(a answer, asked int32) bool {
	want := int(remoting.Success)
	if asked == askedMiss && !lc.cell.fixed {
		want = int(remoting.TopicNotExist)
	}
	if a.code != want {
		lc.cell.expect.note(a.failure())
		return false
	}
	lc.toCheck--
	if asked < 0 || lc.toCheck > 0 {
		return true
	}
	lc.toCheck = lc.cell.checkEvery
	lc.tally.Compared++
	if lc.cell.fixed {
		asked = 0
	}
	return lc.cell.expect.right(uint32(asked), a.body)
}

// ended turns the error of a connection into nil when it only says that the measurement is over.
func (lc *loadConn) ended(err error) error {
	if err == nil || lc.cell.phase.Load() == phaseDone {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed the connection")
	}
	return fmt.Errorf("after %d answers: %w", lc.cell.answered.Load(), err)
}

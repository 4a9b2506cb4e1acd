package rpc

import (
	"sync/atomic"
	"time"
)

// Stats are counts since the server was made; Conns is the present number.
type Stats struct {
	Conns     int64
	Accepted  int64
	Refused   int64 // above MaxConns
	Requests  int64 // handled, answered with an overload or sent away; responses and bad frames do not count
	BytesIn   int64 // below TLS
	BytesOut  int64 // below TLS
	Overloads int64 // code 2
	GoAways   int64 // code 1500
	Panics    int64
	Responses int64 // frames with the response flag, ignored
	Malformed int64 // connections closed for bad first bytes or a bad frame
	Idle      int64 // connections closed by the idle rule
	TooSlow   int64 // connections closed by FrameTimeout or FirstTimeout
	NoBudget  int64 // connections closed because Memory was used up
	Stuck     int64 // connections closed because their peer took no answer
	NoRoom    int64 // connections closed because others needed their place
	Dropped   int64 // answers dropped because the peer, a broker, took none
	TLSFailed int64 // handshakes that failed or were not possible

	ProbeResets int64 // watched connections that were reset while a probe waited for an answer

	MaxConns            int64 // 0: no limit
	Memory, MemoryLimit int64 // bytes held by what passes through, and what it may hold

	TLSSelfSigned bool      // of the certificate that is served now
	TLSExpires    time.Time // likewise; zero: there is none, or a self-signed one
}

// counters are the rare ones, shared by all connections. What moves with every
// request is kept per connection (meter).
type counters struct {
	accepted, refused                             atomic.Int64
	overloads, goAways, panics, responses         atomic.Int64
	malformed, idle, tooSlow, noBudget, tlsFailed atomic.Int64
	noRoom, stuck, dropped, probeResets           atomic.Int64
	closedRequests, closedBytesIn, closedBytesOut atomic.Int64 // of connections that are gone
}

// meter is written by the goroutine that serves the connection and read by anyone.
type meter struct {
	ticks                       *atomic.Int64 // the sweeper's time
	read, written               atomic.Int64  // steps of the last byte of each kind; read begins with the connection
	requests, bytesIn, bytesOut atomic.Int64
	writing                     atomic.Int64 // step at which the write under way began, and 1 more; 0: there is none
}

func (m *meter) in(n int) {
	add(&m.bytesIn, int64(n))
	if n > 0 { // else a deadline ended the read
		m.touch(&m.read)
	}
}

func (m *meter) out(n int) {
	add(&m.bytesOut, int64(n))
	m.touch(&m.written)
}

func (m *meter) begin() { m.writing.Store(m.ticks.Load() + 1) }

func (m *meter) done() { m.writing.Store(0) }

// touch mostly loads only: a step is long, a store to memory that the sweeper reads is not free.
func (m *meter) touch(last *atomic.Int64) {
	if now := m.ticks.Load(); last.Load() != now {
		last.Store(now)
	}
}

// active is the step of the last byte read or written.
func (m *meter) active() int64 { return max(m.read.Load(), m.written.Load()) }

// add has one writer, so a load and a store do and cost no locked add.
func add(v *atomic.Int64, n int64) { v.Store(v.Load() + n) }

package admin

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/routes"
)

const (
	// MaxCodes is how many Codes there may be.
	MaxCodes = 32
	// OtherCode stands for every code that has no row of its own.
	OtherCode   = -1
	countShards = 16 // a power of two
)

// Code is a request code that is counted, or OtherCode.
type Code struct {
	Code int32
	Name string // of RocketMQ's RequestCode
}

// label is the code as a metric's label.
func (c Code) label() string {
	if c.Code == OtherCode {
		return c.Name
	}
	return strconv.Itoa(int(c.Code))
}

// Counts are what a node counts as it happens: plain atomics beside the work. Requests are counted by slot, which is an index
// of the codes, and in shards by connection, so that two cores at the same code seldom wait for one cache line.
type Counts struct {
	codes    []Code
	requests [countShards]struct {
		bySlot [MaxCodes]atomic.Uint64
		_      [64]byte
	}
	times     []times // by slot; none: nobody can ask
	events    [routes.EventKinds]atomic.Uint64
	conflicts conflicts
	notAdmin  atomic.Uint64
	noRoom    atomic.Uint64
}

// NewCounts counts those codes, at most MaxCodes. Times are kept if timed.
func NewCounts(codes []Code, timed bool) *Counts {
	c := &Counts{codes: codes}
	if timed {
		c.times = make([]times, len(codes))
	}
	return c
}

// TablesFull counts a registration that was refused for want of memory for the tables.
func (c *Counts) TablesFull() { c.noRoom.Add(1) }

// Request counts one request.
func (c *Counts) Request(conn uint64, slot uint8) { c.requests[conn%countShards].bySlot[slot].Add(1) }

// Timed counts how long a request took. It needs times.
func (c *Counts) Timed(slot uint8, took time.Duration) { c.times[slot].add(took) }

// Event counts one change of the tables, and remembers what contradicts another registration.
func (c *Counts) Event(e *routes.Event) {
	c.events[e.Kind].Add(1)
	if e.Kind.Conflict() {
		c.conflicts.add(e)
	}
}

// NotAdmin counts one request that was refused for it did not come from --admin-from.
func (c *Counts) NotAdmin() { c.notAdmin.Add(1) }

// Handled is how many requests of a slot were counted.
func (c *Counts) Handled(slot int) (sum uint64) {
	for i := range c.requests {
		sum += c.requests[i].bySlot[slot].Load()
	}
	return sum
}

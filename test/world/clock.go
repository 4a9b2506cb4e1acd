package world

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Clock is a machine's pair of clocks: it starts anywhere, drifts, and may be stopped.
type Clock struct {
	now   func() int64
	drift float64 // of the crystal

	mu    sync.Mutex // of changes
	state atomic.Pointer[clockState]
}

// clockState is how a pair of clocks runs. It is not changed but replaced, for clocks are read all the time.
type clockState struct {
	at        int64 // true time of the bases
	base      clock.Stamp
	slew      float64 // of CLOCK_BOOTTIME only
	stopped   Stopped
	raw, boot float64 // the rates
}

// Stopped says which of a machine's clocks stand still.
type Stopped int

// What may be wrong with a machine's clocks.
const (
	Runs   Stopped = iota
	Frozen         // neither counts: the virtual machine is paused
	Asleep         // only CLOCK_BOOTTIME counts: the machine is suspended
)

// NewClock is a pair of clocks of a machine in w that drift by at most share of 1,000 ppm.
func (w *World) NewClock(share float64) *Clock {
	raw, boot := 1+w.Rng.Int64N(1e15), 1+w.Rng.Int64N(1e15)
	c := &Clock{now: w.Time.Now, drift: (w.Rng.Float64()*2 - 1) * share / 1000}
	c.set(clockState{at: w.Time.Now(), base: clock.Stamp{Raw: raw, Boot: boot}})
	return c
}

func (c *Clock) set(s clockState) {
	crystal := 1 + c.drift
	switch s.stopped {
	case Frozen:
		s.raw, s.boot = 0, 0
	case Asleep:
		s.raw, s.boot = 0, crystal
	default:
		s.raw, s.boot = crystal, crystal*(1+s.slew)
	}
	c.state.Store(&s)
}

func (s *clockState) read(now int64) clock.Stamp {
	d := float64(now - s.at)
	return clock.Stamp{Raw: s.base.Raw + int64(d*s.raw), Boot: s.base.Boot + int64(d*s.boot)}
}

// Read reads both clocks.
func (c *Clock) Read() clock.Stamp { return c.state.Load().read(c.now()) }

// Creep is Read for a process with threads of its own, which here runs even when its machine is frozen: whoever waits by
// this clock must not spin for ever.
func (c *Clock) Creep() clock.Stamp {
	if c.Stopped() != Frozen {
		return c.Read()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := *c.state.Load()
	if s.stopped == Frozen {
		s.base = s.base.Add(time.Microsecond)
		c.set(s)
	}
	return s.read(c.now())
}

// change rebases the clocks before one of their rates changes.
func (c *Clock) change(set func(s *clockState)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, now := *c.state.Load(), c.now()
	s.base, s.at = s.read(now), now
	set(&s)
	c.set(s)
}

// Stop lets clocks stand still, or run again.
func (c *Clock) Stop(s Stopped) { c.change(func(state *clockState) { state.stopped = s }) }

// Slew lets CLOCK_BOOTTIME run faster by that many percent, -8 to 8.
func (c *Clock) Slew(percent int64) {
	c.change(func(s *clockState) { s.slew = float64(min(max(percent, -8), 8)) / 100 })
}

// Slewed says that CLOCK_BOOTTIME has a rate of its own.
func (c *Clock) Slewed() bool { return c.state.Load().slew != 0 }

// Stopped says which clocks stand still.
func (c *Clock) Stopped() Stopped { return c.state.Load().stopped }

// Wait is the true time until the clock's boot reading reaches due.
func (c *Clock) Wait(due clock.Stamp) time.Duration {
	s := c.state.Load()
	if s.boot == 0 {
		return time.Second
	}
	return time.Duration(max(0, float64(due.Boot-s.read(c.now()).Boot)/s.boot)) + 1
}

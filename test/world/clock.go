package world

import (
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Clock is a machine's pair of clocks: it starts anywhere, drifts, and may be stopped.
type Clock struct {
	mu      sync.Mutex // guards the following fields
	now     func() int64
	at      int64 // true time of the bases
	base    clock.Stamp
	drift   float64 // of the crystal
	slew    float64 // of CLOCK_BOOTTIME only
	stopped Stopped
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
	return &Clock{
		now: w.Time.Now, at: w.Time.Now(), base: clock.Stamp{Raw: raw, Boot: boot},
		drift: (w.Rng.Float64()*2 - 1) * share / 1000,
	}
}

func (c *Clock) rates() (raw, boot float64) {
	crystal := 1 + c.drift
	switch c.stopped {
	case Frozen:
		return 0, 0
	case Asleep:
		return 0, crystal
	}
	return crystal, crystal * (1 + c.slew)
}

func (c *Clock) read(now int64) clock.Stamp {
	raw, boot := c.rates()
	d := float64(now - c.at)
	return clock.Stamp{Raw: c.base.Raw + int64(d*raw), Boot: c.base.Boot + int64(d*boot)}
}

// Read reads both clocks.
func (c *Clock) Read() clock.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(c.now())
}

// Creep is Read for a process with threads of its own, which here runs even when its machine is frozen: whoever waits by
// this clock must not spin for ever.
func (c *Clock) Creep() clock.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped == Frozen {
		c.base.Raw += int64(time.Microsecond)
		c.base.Boot += int64(time.Microsecond)
	}
	return c.read(c.now())
}

// change rebases the clocks before one of their rates changes.
func (c *Clock) change(set func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.base = c.read(now)
	c.at = now
	set()
}

// Stop lets clocks stand still, or run again.
func (c *Clock) Stop(s Stopped) { c.change(func() { c.stopped = s }) }

// Slew lets CLOCK_BOOTTIME run faster by that many percent, -8 to 8.
func (c *Clock) Slew(percent int64) {
	c.change(func() { c.slew = float64(min(max(percent, -8), 8)) / 100 })
}

// Slewed says that CLOCK_BOOTTIME has a rate of its own.
func (c *Clock) Slewed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slew != 0
}

// Stopped says which clocks stand still.
func (c *Clock) Stopped() Stopped {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// Wait is the true time until the clock's boot reading reaches due.
func (c *Clock) Wait(due clock.Stamp) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, boot := c.rates()
	if boot == 0 {
		return time.Second
	}
	return time.Duration(max(0, float64(due.Boot-c.read(c.now()).Boot)/boot)) + 1
}

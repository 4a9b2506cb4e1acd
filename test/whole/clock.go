package whole

import (
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// machineClock is a machine's pair of clocks: it starts anywhere, drifts, and may be stopped.
type machineClock struct {
	mu        sync.Mutex // guards the following fields
	at        time.Time  // true time of the bases
	raw, boot int64      // readings at that time
	drift     float64    // of the crystal
	slew      float64    // of CLOCK_BOOTTIME only
	frozen    bool       // the virtual machine is paused: neither clock counts
	asleep    bool       // suspended: CLOCK_BOOTTIME counts
}

func (c *machineClock) rates() (raw, boot float64) {
	crystal := 1 + c.drift
	switch {
	case c.frozen:
		return 0, 0
	case c.asleep:
		return 0, crystal
	}
	return crystal, crystal * (1 + c.slew)
}

// Now reads both clocks.
func (c *machineClock) Now() clock.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen { // a real process would not run: one that waits by this clock must not spin for ever
		c.raw += int64(time.Microsecond)
		c.boot += int64(time.Microsecond)
	}
	return c.read()
}

func (c *machineClock) read() clock.Stamp {
	raw, boot := c.rates()
	d := float64(time.Since(c.at))
	return clock.Stamp{Raw: c.raw + int64(d*raw), Boot: c.boot + int64(d*boot)}
}

// change rebases the clock before one of its rates changes.
func (c *machineClock) change(set func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.read()
	c.at, c.raw, c.boot = time.Now(), s.Raw, s.Boot
	set()
}

// pause lets d of virtual time pass for this goroutine.
func pause(d time.Duration) { <-time.After(d) }

package tombstone

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// A frozen origin (its virtual machine was paused) understates its ages. It is found by comparing clocks twice:
// a probe ack says that the origin's clock showed R before our time a; a proof says that it showed P after our t0.
// So between R and P at least a..t0 went by, and an origin whose clock claims less has lost time.
//
// Time is lost when P.Age(R) < t0.Elapsed(a): both origin clocks too slow by more than both sides' drift. That alone
// leaves room: two clocks slewed by 8 % in opposite directions hide a freeze of a sixth of the time since the sample.
// So it is lost as well when CLOCK_MONOTONIC_RAW alone says so, which nothing slews. It stops while the machine sleeps,
// so an origin that slept is not believed for as long either, which errs towards keeping; and when this machine slept
// meanwhile, the first comparison remains. An upper bound of R's lateness is not needed, and none can be had: a slow
// probe only hides a freeze shorter than itself.

const (
	// lookBack is how old a sample may be. A tombstone is judged up to a TTL after U, and its L is older than U by as long as the broker was silent
	// and the origin stood still meanwhile: a TTL again, so the loss of one that stood still for up to eight minutes is seen to the end.
	lookBack    = 2 * TTL
	sampleSlot  = time.Minute                  // one best sample is kept for each slot, so memory does not grow with probes
	slots       = int(lookBack/sampleSlot) + 1 // so that all of it is always covered
	clockMemory = lookBack + sampleSlot        // a pair without samples for so long is dropped
	leeway      = time.Millisecond             // the two readings of one stamp are not taken at one moment
	maxLead     = 100 * 365 * 24 * time.Hour   // readings beyond are refused: sums of two must not overflow
)

// sample is one reading of a peer's clocks and our time when it arrived.
type sample struct{ theirs, ours clock.Stamp }

// lead orders samples: the one whose reading travelled fastest, by the clock that is never slewed, bounds best.
func (s sample) lead() int64 { return s.theirs.Raw - s.ours.Raw }

// samples are the best sample of each of the last slots of one (name, boot).
type samples struct {
	best [slots]sample
	last clock.Stamp // arrival of the newest sample
}

// clocks keeps the samples of every (name, boot), also after the member left.
type clocks struct{ by map[Peer]*samples }

// saw records that p's clock showed reading before now.
func (c *clocks) saw(p Peer, reading, now clock.Stamp) {
	if reading.IsZero() || !plausible(reading) {
		return
	}
	s := c.by[p]
	if s == nil {
		if len(c.by) >= maxClocks {
			c.dropOldest()
		}
		s = &samples{}
		c.by[p] = s
	}
	s.last = now
	slot := &s.best[int(now.Boot/int64(sampleSlot))%slots]
	fresh := sample{theirs: reading, ours: now}
	if slot.ours.IsZero() || now.Sub(slot.ours) >= sampleSlot || fresh.lead() > slot.lead() {
		*slot = fresh
	}
}

// lostTime says that p, whose clock showed reading after our asked, has lost time within lookBack.
func (c *clocks) lostTime(p Peer, reading, asked clock.Stamp) bool {
	if !plausible(reading) {
		return true
	}
	s := c.by[p]
	if s == nil {
		return false
	}
	for _, b := range s.best {
		since := asked.Sub(b.ours) // a sample newer than the question says nothing about the time before it
		if b.ours.IsZero() || since < 0 || since >= lookBack {
			continue
		}
		if slower(reading, b.theirs, asked, b.ours) || slower(raw(reading), raw(b.theirs), raw(asked), raw(b.ours)) {
			return true
		}
	}
	return false
}

// slower says that their clock claims less time than ours says has gone by at least.
func slower(theirs, theirThen, ours, ourThen clock.Stamp) bool {
	return theirs.Age(theirThen)+leeway < ours.Elapsed(ourThen)
}

// raw is the stamp by the clock that is never slewed alone.
func raw(s clock.Stamp) clock.Stamp { return clock.Stamp{Raw: s.Raw, Boot: s.Raw} }

// expire drops the lives that were not heard for clockMemory.
func (c *clocks) expire(now clock.Stamp) {
	for p, s := range c.by {
		if now.Sub(s.last) > clockMemory {
			delete(c.by, p)
		}
	}
}

func (c *clocks) dropOldest() {
	var oldest Peer
	found := false
	for p, s := range c.by {
		if !found || s.last.Boot < c.by[oldest].last.Boot {
			oldest, found = p, true
		}
	}
	delete(c.by, oldest)
}

func plausible(s clock.Stamp) bool {
	return min(s.Raw, s.Boot) >= 0 && max(s.Raw, s.Boot) < int64(maxLead)
}

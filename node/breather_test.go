package node

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBreather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queries uint64
		var p breather
		p.start(func() {}, func() uint64 { return queries })
		rested := func(work time.Duration) time.Duration {
			<-time.After(work)
			before := time.Now()
			p.yield()
			return time.Since(before)
		}
		for i, step := range []struct {
			work, rest time.Duration
			queries    uint64 // that come in during the work
		}{
			{work: workSlice},                                      // nobody waits
			{work: workSlice / 2, queries: 5},                      // too early to look
			{work: workSlice / 2, rest: workSlice},                 // both halves count, and so do their queries
			{work: 3 * workSlice, queries: 1, rest: 3 * workSlice}, // as long as it worked
			{work: 3 * workSlice},                                  // alone again
			{work: 2 * workSlice, queries: 1 << 40, rest: 2 * workSlice},
		} {
			queries += step.queries
			if got := rested(step.work); got != step.rest {
				t.Errorf("step %d: rested %v, want %v", i, got, step.rest)
			}
		}
	})
}

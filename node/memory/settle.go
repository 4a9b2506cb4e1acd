package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// settleEvery is how often it is looked whether memory can be given back to the system.
const settleEvery = 5 * time.Second

// settleTries is how often in a row it is given back before what is left is taken for what the program needs now: the first
// time may come while the peak lasts.
const settleTries = 3

// settler decides when: once much more was held for a while than before.
type settler struct {
	low   uint64 // what the program needs, as far as is known
	above int    // how often in a row much more was held
	tries int    // how often it was given back since
}

// due says whether to give memory back, when held bytes are taken from the system.
func (s *settler) due(held uint64) bool {
	s.low = min(s.low, held)
	if held < s.low+max(4<<20, s.low/2) {
		s.above, s.tries = 0, 0
		return false
	}
	s.above++
	return s.above >= 3
}

// gave says that it was given back, and what is held after it.
func (s *settler) gave(left uint64) {
	s.above = 0
	if s.tries++; s.tries == settleTries {
		*s = settler{low: left}
	}
}

// Settle gives memory back to the system that was taken for a peak and is not needed any more, until ctx ends: Go would keep it for
// minutes where nothing else is allocated. It is for the whole process.
func Settle(ctx context.Context) {
	ticker := time.NewTicker(settleEvery)
	defer ticker.Stop()
	s := settler{low: held()} // a peak may begin before the first look
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.due(held()) {
			debug.FreeOSMemory()
			s.gave(held())
		}
	}
}

// held is what Go's runtime has taken from the system and not given back.
func held() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

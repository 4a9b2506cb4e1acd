package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// settleEvery is how often it is looked whether memory can be given back to the system.
const settleEvery = 5 * time.Second

// settler decides when. What was held for a while longer than before is tried to be given back once; what is left after that is
// taken for what the program needs now.
type settler struct {
	low   uint64 // what was held after it was last given back, or at the start
	above int    // how often in a row much more was held
}

// due says whether to give memory back, when held bytes are taken from the system.
func (s *settler) due(held uint64) bool {
	if s.low == 0 || held < s.low {
		s.low = held
	}
	if held < s.low+max(4<<20, s.low/2) {
		s.above = 0
		return false
	}
	s.above++
	return s.above >= 3
}

// Settle gives memory back to the system that was taken for a peak and is not needed any more, until ctx ends: Go would keep it for
// minutes where nothing else is allocated. It is for the whole process.
func Settle(ctx context.Context) {
	ticker := time.NewTicker(settleEvery)
	defer ticker.Stop()
	var s settler
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.due(held()) {
			debug.FreeOSMemory()
			s = settler{low: held()}
		}
	}
}

// held is what Go's runtime has taken from the system and not given back.
func held() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

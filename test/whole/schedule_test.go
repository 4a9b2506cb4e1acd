package whole

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// number reads an environment variable.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number", name, s)
	}
	return n
}

// result is what a run was like.
type result struct {
	failures            []world.Failure
	tombstones, evicted int
	report              string
}

// maxNodes is how many machines a schedule gets here.
const maxNodes = 5

// run plays one schedule in a bubble of its own.
func run(t *testing.T, s world.Schedule) (r result) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: s.Nodes, seed: s.Seed, timeout: 10 * time.Minute, busy: 0.1})
		defer w.close()
		for _, op := range s.Ops {
			if w.apply(op); len(w.broken()) > 0 {
				break
			}
			w.check()
		}
		if len(w.broken()) == 0 {
			w.settle()
		}
		if len(w.broken()) == 0 && s.Seed%10 == 0 {
			w.outlive()
		}
		w.mu.Lock()
		r = result{failures: w.Failures, tombstones: len(w.Marks), evicted: w.Evicted}
		w.mu.Unlock()
		if len(r.failures) > 0 {
			r.report = w.report()
		}
	})
	return r
}

// play runs seeds on all cores until each says stop.
func play(t *testing.T, from, n uint64, each func(s world.Schedule, r result) (stop bool)) {
	var next atomic.Uint64
	var stop atomic.Bool
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !stop.Load() && !t.Failed() {
				i := next.Add(1) - 1
				if i >= n {
					return
				}
				s := world.Generate(from+i, world.NoResidual).Fold(maxNodes)
				r := run(t, s)
				mu.Lock()
				if each(s, r) {
					stop.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestNoScheduleBreaksAnInvariant(t *testing.T) {
	few := uint64(20)
	if testing.Short() {
		few = 4
	}
	n, from := number(t, "SCHEDULES", few), number(t, "SEED", 1)
	tombstones, evicted := 0, 0
	play(t, from, n, func(s world.Schedule, r result) bool {
		tombstones += r.tombstones
		evicted += r.evicted
		if len(r.failures) == 0 {
			return false
		}
		t.Errorf("seed %d: %v\nschedule, %d nodes:\n%v\nwhat happened:\n%s", s.Seed, r.failures, s.Nodes, s, r.report)
		return true
	})
	t.Logf("seeds %d to %d: %d tombstones, %d evictions", from, from+n-1, tombstones, evicted)
	if !t.Failed() && (tombstones < int(n)/4 || n > 20 && evicted < int(n)/20) {
		t.Errorf("%d tombstones and %d evictions in %d schedules: too few to show anything", tombstones, evicted, n)
	}
}

package sim

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// schedules is how many seeds a test plays: SCHEDULES, or few enough for an ordinary go test.
func schedules(t *testing.T, few int) int {
	s := os.Getenv("SCHEDULES")
	if s == "" {
		return few
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("SCHEDULES=%q: want a number of schedules", s)
	}
	return n
}

// long skips a test under -short, as in `make race`: a run of the simulation is one goroutine.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
}

// first is the first seed: SEED, so that a night can go on where the last one ended.
func first(t *testing.T) uint64 {
	s := os.Getenv("SEED")
	if s == "" {
		return 1
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		t.Fatalf("SEED=%q: want a number", s)
	}
	return n
}

// play runs n seeds on all cores and answers the first that fails, in no particular order among equals.
func play(from uint64, n int, flaw Flaw, residual world.Residual, each func(seed uint64, r Result) (stop bool)) {
	var next atomic.Uint64
	var stop atomic.Bool
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !stop.Load() {
				i := next.Add(1) - 1
				if i >= uint64(n) {
					return
				}
				r := Run(world.Generate(from+i, residual), flaw, residual, nil)
				mu.Lock()
				if each(from+i, r) {
					stop.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestNoScheduleBreaksAnInvariant(t *testing.T) {
	few := 2_000
	if testing.Short() {
		few = 100
	}
	n := schedules(t, few)
	from := first(t)
	tombstones, evicted, played := 0, 0, 0
	began := time.Now()
	play(from, n, NoFlaw, world.NoResidual, func(seed uint64, r Result) bool {
		if played++; played%25_000 == 0 {
			t.Logf("%d of %d schedules in %v, no invariant broken: %d tombstones, %d evictions", played, n,
				time.Since(began).Round(time.Second), tombstones, evicted)
		}
		tombstones += r.Tombstones
		evicted += r.Evicted
		if len(r.Failures) == 0 {
			return false
		}
		s := Shrink(world.Generate(seed, world.NoResidual), NoFlaw, world.NoResidual)
		Run(s, NoFlaw, world.NoResidual, t.Logf)
		t.Errorf("seed %d: INV-%d: %s\nshortest schedule, %d nodes:\n%v",
			seed, r.Failures[0].Invariant, r.Failures[0].Text, s.Nodes, s)
		return true
	})
	t.Logf("seeds %d to %d: %d tombstones, %d evictions", from, from+uint64(n)-1, tombstones, evicted)
	if tombstones < n/2 || evicted < n/20 {
		t.Errorf("%d tombstones and %d evictions in %d schedules: too few to show anything", tombstones, evicted, n)
	}
}

func TestEveryFlawIsFound(t *testing.T) {
	long(t)
	n := min(schedules(t, 20_000), 50_000) // what CI plays
	for flaw := NoFlaw + 1; flaw < flaws; flaw++ {
		t.Run(flaw.String(), func(t *testing.T) {
			var found uint64
			var failure world.Failure
			tried := 0
			play(first(t), n, flaw, world.NoResidual, func(seed uint64, r Result) bool {
				tried++
				if len(r.Failures) > 0 {
					found, failure = seed, r.Failures[0]
				}
				return found != 0
			})
			if found == 0 {
				t.Fatalf("not found in %d schedules", n)
			}
			t.Logf("found by seed %d after %d schedules: INV-%d: %s", found, tried, failure.Invariant, failure.Text)
		})
	}
}

func TestOnlyTheKnownCasesRemain(t *testing.T) {
	long(t)
	n := max(schedules(t, 20_000)/10, 2_000)
	for residual := world.NoResidual + 1; residual < world.Residuals; residual++ {
		t.Run(residual.String(), func(t *testing.T) {
			shown := 0
			play(first(t), n, NoFlaw, residual, func(seed uint64, r Result) bool {
				for _, f := range r.Failures {
					if !f.Flagged || f.Invariant != 1 && f.Invariant != 4 {
						t.Errorf("seed %d: INV-%d is broken without the case: %s", seed, f.Invariant, f.Text)
						return true
					}
					shown++
				}
				return false
			})
			if shown == 0 {
				t.Errorf("not shown in %d schedules", n)
			}
			t.Logf("%d wrong evictions in %d schedules", shown, n)
		})
	}
}

package whole

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// result is what a run was like.
type result struct {
	failures            []world.Failure
	tombstones, evicted int
	report              string

	vanished, farewells, deaths, putBack int // of World
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

func TestNoScheduleBreaksAnInvariant(t *testing.T) {
	few := 20
	if testing.Short() {
		few = 4
	}
	p := world.ReadPlan(t, few)
	tombstones, evicted, n := 0, 0, 0
	began := time.Now()
	played := world.Play(p, func(seed uint64) result {
		return run(t, world.Generate(seed, world.NoResidual).Fold(maxNodes))
	}, func(seed uint64, r result) bool {
		if n++; n%20 == 0 {
			t.Logf("%d schedules in %v, no invariant broken", n, time.Since(began).Round(time.Second))
		}
		tombstones += r.tombstones
		evicted += r.evicted
		if len(r.failures) == 0 {
			return t.Failed()
		}
		s := world.Generate(seed, world.NoResidual).Fold(maxNodes)
		t.Errorf("seed %d: %v\nschedule, %d nodes:\n%v\nwhat happened:\n%s", seed, r.failures, s.Nodes, s, r.report)
		p.Join(t, seed, "test/whole")
		return true
	})
	t.Logf("%v: %d tombstones, %d evictions", played, tombstones, evicted)
	if !t.Failed() && (tombstones < n/4 || n > 20 && evicted < n/20) {
		t.Errorf("%d tombstones and %d evictions in %d schedules: too few to show anything", tombstones, evicted, n)
	}
}

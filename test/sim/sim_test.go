package sim

import (
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// long skips a test under -short, as in `make race`: a run of the simulation is one goroutine.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: -short; make test has it")
	}
}

// play runs schedules on all cores until each says stop, in no particular order.
func play(p world.Plan, flaw Flaw, residual world.Residual, each func(seed uint64, r Result) (stop bool)) world.Played {
	return world.Play(p, func(seed uint64) Result {
		return Run(world.Generate(seed, residual), flaw, residual, nil)
	}, each)
}

func TestNoScheduleBreaksAnInvariant(t *testing.T) {
	few := 2_000
	if testing.Short() {
		few = 100
	}
	p := world.ReadPlan(t, few)
	tombstones, evicted, refuted, n := 0, 0, 0, 0
	began := time.Now()
	played := play(p, NoFlaw, world.NoResidual, func(seed uint64, r Result) bool {
		if n++; n%10_000 == 0 {
			t.Logf("%d schedules in %v, no invariant broken: %d tombstones, %d evictions", n,
				time.Since(began).Round(time.Second), tombstones, evicted)
		}
		tombstones += r.Tombstones
		evicted += r.Evicted
		refuted += r.Refuted
		if len(r.Failures) == 0 {
			return false
		}
		s := Shrink(world.Generate(seed, world.NoResidual), NoFlaw, world.NoResidual)
		Run(s, NoFlaw, world.NoResidual, t.Logf)
		t.Errorf("seed %d: %v\nshortest schedule, %d nodes:\n%v", seed, r.Failures[0], s.Nodes, s)
		p.Join(t, seed, "test/sim")
		return true
	})
	t.Logf("%v: %d tombstones, %d evictions, %d of them refuted", played, tombstones, evicted, refuted)
	if !t.Failed() && (tombstones < n/2 || evicted < n/20 || refuted < n/400) {
		t.Errorf("%d tombstones, %d evictions and %d refuted in %d schedules: too few to show anything", tombstones, evicted, refuted, n)
	}
}

func TestEveryFlawIsFound(t *testing.T) {
	long(t)
	p := fixed(t, 50_000)
	for flaw := NoFlaw + 1; flaw < flaws; flaw++ {
		t.Run(flaw.String(), func(t *testing.T) {
			var found uint64
			var failure world.Failure
			played := play(p, flaw, world.NoResidual, func(seed uint64, r Result) bool {
				if len(r.Failures) > 0 {
					found, failure = seed, r.Failures[0]
				}
				return found != 0
			})
			if found == 0 {
				t.Fatalf("not found in %d schedules", played.N)
			}
			t.Logf("found by seed %d after %d schedules: %v", found, played.N, failure)
		})
	}
}

// fixed are the first n of the fixed seeds only.
func fixed(t *testing.T, n int) world.Plan {
	t.Helper()
	return world.Plan{First: world.Number(t, "SEED", 1), Count: n}
}

// enough wrong evictions show a residual case, when not more schedules are asked for.
const enough = 10

func TestOnlyTheKnownCasesRemain(t *testing.T) {
	long(t)
	asked := int(world.Number(t, "SCHEDULES", 1)) / 25
	p := fixed(t, max(asked, 2_000))
	for residual := world.NoResidual + 1; residual < world.Residuals; residual++ {
		t.Run(residual.String(), func(t *testing.T) {
			shown := 0
			played := play(p, NoFlaw, residual, func(seed uint64, r Result) bool {
				for _, f := range r.Failures {
					if !f.Flagged || f.Invariant != 1 && f.Invariant != 4 {
						t.Errorf("seed %d is broken without the case: %v", seed, f)
						return true
					}
					shown++
				}
				return asked <= 2_000 && shown >= enough
			})
			if shown == 0 {
				t.Errorf("not shown in %d schedules", played.N)
			}
			t.Logf("%d wrong evictions in %d schedules", shown, played.N)
		})
	}
}

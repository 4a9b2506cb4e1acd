package sim

import (
	"slices"

	"github.com/epitaph-mq/epitaph/test/world"
)

// Result is what a run was like.
type Result struct {
	Failures   []world.Failure
	Tombstones int
	Evicted    int
	Refuted    int

	Vanished, HostsBack, PutBack, Farewells, Races, Deaths int // of World
}

// Run plays a schedule and settles.
func Run(s world.Schedule, flaw Flaw, residual world.Residual, log func(string, ...any)) Result {
	w := NewWorld(s.Nodes, s.Seed, flaw, residual)
	w.Log, w.Busy = log, 0.1
	for _, op := range s.Ops {
		w.Apply(op)
		if len(w.Failures) > 0 {
			break
		}
	}
	if len(w.Failures) == 0 && flaw == NoFlaw {
		w.Settle()
	}
	return Result{
		Failures: w.Failures, Tombstones: len(w.Marks), Evicted: w.Evicted, Refuted: w.Contradicted,
		Vanished: w.Vanished, HostsBack: w.HostsBack, PutBack: w.PutBack, Farewells: w.Farewells, Races: w.Races, Deaths: w.Deaths,
	}
}

// Shrink leaves out ops of a failing schedule as long as it breaks the same invariant: first large parts of it, then single ops.
func Shrink(s world.Schedule, flaw Flaw, residual world.Residual) world.Schedule {
	broken := func(ops []world.Op) int {
		f := Run(world.Schedule{Nodes: s.Nodes, Seed: s.Seed, Ops: ops}, flaw, residual, nil).Failures
		if len(f) == 0 {
			return 0
		}
		return f[0].Invariant
	}
	first := broken(s.Ops)
	fails := func(ops []world.Op) bool { return broken(ops) == first }
	for size := len(s.Ops) / 2; size > 0; {
		shorter := false
		for at := 0; at+size <= len(s.Ops); {
			ops := slices.Concat(s.Ops[:at], s.Ops[at+size:])
			if fails(ops) {
				s.Ops, shorter = ops, true
			} else {
				at += size
			}
		}
		if !shorter || size > 1 {
			size /= 2
		}
	}
	return s
}

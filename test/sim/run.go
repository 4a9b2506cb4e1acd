package sim

import (
	"slices"
	"strings"
)

// Result is what a run was like.
type Result struct {
	Failures   []Failure
	Tombstones int
	Evicted    int
}

// Run plays a schedule and settles.
func Run(s Schedule, flaw Flaw, residual Residual, log func(string, ...any)) Result {
	w := NewWorld(s.Nodes, s.Seed, flaw, residual)
	w.Log, w.busy = log, 0.1
	for _, op := range s.Ops {
		w.Apply(op)
		if len(w.Failures) > 0 {
			break
		}
	}
	if len(w.Failures) == 0 && flaw == NoFlaw {
		w.Settle()
	}
	return Result{Failures: w.Failures, Tombstones: len(w.marks), Evicted: w.evicted}
}

// Shrink leaves out ops of a failing schedule as long as it fails: first large parts of it, then single ops.
func Shrink(s Schedule, flaw Flaw, residual Residual) Schedule {
	fails := func(ops []Op) bool {
		return len(Run(Schedule{s.Nodes, s.Seed, ops}, flaw, residual, nil).Failures) > 0
	}
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

// Fold is the schedule for a world of fewer nodes: those beyond are the first ones again.
func (s Schedule) Fold(nodes int) Schedule {
	folded := Schedule{Nodes: min(s.Nodes, nodes), Seed: s.Seed}
	for _, op := range s.Ops {
		var named []int64
		for i, kind := range verbs[op.Verb].args {
			if kind == 'n' {
				op.Args[i] %= int64(folded.Nodes)
				named = append(named, op.Args[i])
			}
		}
		if len(named) == 2 && named[0] == named[1] {
			continue // between a node and itself
		}
		folded.Ops = append(folded.Ops, op)
	}
	return folded
}

// String is the schedule as a scenario.
func (s Schedule) String() string {
	var b strings.Builder
	for _, op := range s.Ops {
		b.WriteString(op.String() + "\n")
	}
	return b.String()
}

package world

import "strings"

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

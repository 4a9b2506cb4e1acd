package vanish

import (
	"os"
	"testing"
)

func full() bool { return os.Getenv("MODEL") == "full" }

// TestRule: no promise is broken in any world.
func TestRule(t *testing.T) {
	for nodes := 1; nodes <= maxNodes; nodes++ {
		if nodes > 2 && !full() {
			t.Log("SKIPPED: all worlds of three nodes take long: make night-vanish")
			continue
		}
		worlds, steps, evictions, broken := Model{Nodes: nodes}.Search(1 << 30)
		t.Logf("%d nodes: %d worlds, %d steps, %d evictions", nodes, worlds, steps, evictions)
		if broken != "" {
			t.Errorf("%d nodes: %s", nodes, broken)
		}
		if (evictions > 0) != (nodes > 1) {
			t.Errorf("%d nodes: %d evictions", nodes, evictions)
		}
	}
}

// TestOneFault: E2, while all nodes but one hear the host, nobody evicts, whatever fails at that one: its paths to the host and to the
// others, its clock, its life. With a quorum of whom it reaches, a node that is alone evicts.
func TestOneFault(t *testing.T) {
	for nodes := 1; nodes <= maxNodes; nodes++ {
		for one := 1; one <= nodes; one++ {
			worlds, steps, evictions, _ := Model{Nodes: nodes, One: one}.Search(1 << 30)
			t.Logf("%d nodes, node %d fails: %d worlds, %d steps", nodes, one-1, worlds, steps)
			if evictions > 0 || steps == 0 {
				t.Errorf("%d nodes, node %d fails: %d evictions in %d steps", nodes, one-1, evictions, steps)
			}
		}
	}
	for mut, nodes := range map[Mutation]int{QuorumOfReached: 3, QuorumOfOne: 1} {
		if _, _, evictions, _ := (Model{Nodes: nodes, Mut: mut, One: 1}).Search(1 << 30); evictions == 0 {
			t.Errorf("%s: one node's fault is not enough", names[mut])
		}
	}
}

// TestEachPartIsNeeded: with any part left out a promise is broken.
func TestEachPartIsNeeded(t *testing.T) {
	for mut := NoOwnSilence; mut < mutations; mut++ {
		worlds, broken := 0, ""
		least := 2
		if mut == QuorumOfOne {
			least = 1
		}
		for nodes := least; nodes <= maxNodes && broken == ""; nodes++ {
			worlds, _, _, broken = Model{Nodes: nodes, Mut: mut}.Search(1 << 30)
		}
		if broken == "" {
			t.Errorf("%s: nothing is broken in %d worlds", names[mut], worlds)
		} else {
			t.Logf("%s: %d worlds: %.80s", names[mut], worlds, broken)
		}
	}
}

package sim

import (
	"slices"
	"testing"
	"time"
)

// Scenario 27: a lost unregister is gone at every node within the goals, by true time and without the hosts' own delays.
func TestTimeUntilGoneEverywhere(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		nodes, runs int
		loss        float64
		p99         time.Duration
	}{
		{3, 300, 0, 5 * ms}, {5, 200, 0, 8 * ms}, {9, 200, 0, 10 * ms}, {33, 30, 0, 15 * ms}, {100, 10, 0, 25 * ms},
		{3, 300, 0.1, 40 * ms}, {9, 200, 0.1, 50 * ms},
		{3, 300, 0.3, 60 * ms}, {5, 300, 0.3, 70 * ms}, {9, 200, 0.3, 80 * ms}, {33, 30, 0.3, 110 * ms}, {100, 10, 0.3, 120 * ms},
	} {
		var took []time.Duration
		for seed := range c.runs {
			took = append(took, untilGone(t, c.nodes, uint64(seed), c.loss))
		}
		slices.Sort(took)
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		t.Logf("%3d nodes, %2.0f %% loss: p50 %v, p99 %v", c.nodes, 100*c.loss, p50.Round(ms/10), p99.Round(ms/10))
		if p99 > c.p99 {
			t.Errorf("%d nodes, loss %v: p99 %v, want at most %v", c.nodes, c.loss, p99, c.p99)
		}
	}
}

// untilGone is the time from the UNREGISTER at A until no node holds the broker.
func untilGone(t *testing.T, nodes int, seed uint64, loss float64) time.Duration {
	t.Helper()
	w := NewWorld(nodes, seed, NoFlaw, NoResidual)
	w.Apply(Op{"start", [4]int64{0, int64(v5), 1, 1}})
	for n := range nodes {
		w.Apply(Op{"register", [4]int64{0, int64(n), 1}})
	}
	w.Run(time.Second)
	w.Apply(Op{"register", [4]int64{0, 0, 1}})
	w.Run(time.Second)
	w.net.loss, w.net.slow = loss, 0
	w.Apply(Op{"unregister", [4]int64{0, 0, 1}})
	for len(w.marks) == 0 {
		w.Run(10 * time.Microsecond)
	}
	start := w.now
	held := func() bool {
		for _, n := range w.nodes {
			if _, held := n.table.Holds(brokerKey(1)); held {
				return true
			}
		}
		return false
	}
	for held() {
		w.Run(100 * time.Microsecond)
		if w.now-start > int64(10*time.Second) || len(w.Failures) > 0 {
			t.Fatalf("%d nodes, seed %d: still held, %v", nodes, seed, w.Failures)
		}
	}
	return time.Duration(w.now - start)
}

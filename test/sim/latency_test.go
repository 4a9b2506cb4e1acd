package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// S-27: a lost unregister is gone at every node within the goals, by true time and without the hosts' own delays.
func TestTimeUntilGoneEverywhere(t *testing.T) {
	long(t)
	const ms = time.Millisecond
	cells := cellsOf(t, "../world/testdata/27-loss.txt")
	if len(cells) < 15 {
		t.Fatalf("%d cells", len(cells))
	}
	for _, c := range cells {
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

// cell is one line of S-27.
type cell struct {
	nodes, runs int
	loss        float64
	p99         time.Duration
}

func cellsOf(t *testing.T, file string) (cells []cell) {
	t.Helper()
	steps := world.ScenarioOf(t, file)
	for _, st := range steps {
		var c cell
		var loss int
		var p99 string
		if n, _ := fmt.Sscanf(st.Text, "cell %d %d%% %d %s", &c.nodes, &loss, &c.runs, &p99); n != 4 {
			continue
		}
		c.loss = float64(loss) / 100
		var err error
		if c.p99, err = time.ParseDuration(p99); err != nil {
			t.Fatalf("line %d: %v", st.Line, err)
		}
		cells = append(cells, c)
	}
	return cells
}

// untilGone is the time from the UNREGISTER at A until no node holds the broker.
func untilGone(t *testing.T, nodes int, seed uint64, loss float64) time.Duration {
	t.Helper()
	w := NewWorld(nodes, seed, NoFlaw, world.NoResidual)
	w.Apply(world.Op{Verb: "start", Args: [4]int64{0, int64(world.V5), 1, 1}})
	for n := range nodes {
		w.Apply(world.Op{Verb: "register", Args: [4]int64{0, int64(n), 1}})
	}
	w.Run(time.Second)
	w.Apply(world.Op{Verb: "register", Args: [4]int64{0, 0, 1}})
	w.Run(time.Second)
	w.Net.Loss, w.Net.Slow = loss, 0
	w.Apply(world.Op{Verb: "unregister", Args: [4]int64{0, 0, 1}})
	for len(w.Marks) == 0 {
		w.Run(10 * time.Microsecond)
	}
	start := w.now
	held := func() bool {
		for _, n := range w.nodes {
			if n.table.Holds(world.BrokerKey(1)) {
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

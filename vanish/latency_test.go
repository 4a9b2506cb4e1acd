package vanish

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// TestUntilGone is V-1 of docs/spec/deadhosts.md where packets and streams among nodes are lost as those of hosts are, and a member is taken for dead
// now and then: twelve hosts vanish, one after the other. UNTIL_GONE is how many such runs there are of each setting.
func TestUntilGone(t *testing.T) {
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("UNTIL_GONE"), "1"))
	kit.Must(t, err)
	for _, c := range []struct {
		nodes int
		loss  float64
		most  time.Duration
	}{
		{3, 0, 9 * time.Second}, {3, 0.1, 9 * time.Second}, {3, 0.3, 9500 * ms},
		{9, 0, 9 * time.Second}, {9, 0.1, 9 * time.Second}, {9, 0.3, 9500 * ms},
		{33, 0.3, 9500 * ms},
	} {
		var took []time.Duration
		packets := 0
		for seed := range runs {
			all, sent := untilGone(t, uint64(seed), c.nodes, c.loss)
			took = append(took, all...)
			packets += sent
		}
		slices.Sort(took)
		n := len(took)
		t.Logf("%2d nodes, %2.0f %% loss: p50 %v, p99 %v, the slowest of %d %v; %d messages a host", c.nodes, 100*c.loss, took[n/2], took[n*99/100], n, took[n-1], packets/n)
		if p99 := took[n*99/100]; p99 > c.most {
			t.Errorf("%d nodes, %.0f %% loss: %v, want at most %v", c.nodes, 100*c.loss, p99, c.most)
		}
	}
}

// untilGone is how long it takes until each of twelve hosts is gone at every node, and how many messages that takes.
func untilGone(t *testing.T, seed uint64, nodes int, loss float64) (took []time.Duration, packets int) {
	t.Helper()
	w := newWorld(seed, nodes, 16, func(_ int, c *Config) { c.Brake = 1 })
	w.loss, w.hostLoss = loss, loss
	w.run(3 * time.Second)
	for _, n := range w.nodes {
		n.packets = 0
	}
	for h := range 12 {
		w.run(time.Duration(w.rng.IntN(2000)) * ms)
		if loss > 0.1 {
			w.miss(h%nodes, true)
		}
		began := w.now
		for w.die(h); w.gone(h) < nodes && w.now-began < 30*time.Second; {
			w.run(w.step)
		}
		w.miss(h%nodes, false)
		took = append(took, w.now-began)
	}
	w.clean(t)
	for _, n := range w.nodes {
		packets += n.packets
	}
	return took, packets
}

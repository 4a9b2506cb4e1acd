package vanish

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// schedules plays n random days from seed on: up to six faults at once of nodes, hosts, paths, firewalls and messages.
func schedules(t *testing.T, from uint64, n int) (evictions int) {
	t.Helper()
	for seed := from; seed < from+uint64(n); seed++ {
		r := rand.New(rand.NewPCG(seed, 2))
		nodes, hosts := 2+r.IntN(4), 3+r.IntN(4)
		if r.IntN(20) == 0 {
			nodes = 9
		}
		after := []time.Duration{6 * time.Second, 8 * time.Second, 8 * time.Second, 12 * time.Second}[r.IntN(4)]
		w := worldOf(after, seed, nodes, hosts)
		if r.IntN(2) == 0 {
			w.hears = w.replays(r)
		}
		if r.IntN(3) == 0 {
			w.loss = 0.1
			w.hostLoss = float64(r.IntN(4)) / 10
		}
		w.tellLate = r.IntN(2) == 0
		w.delay = []time.Duration{5 * ms, 50 * ms, 400 * ms}[r.IntN(3)]
		for range 1 + r.IntN(6) {
			w.fault(r)
			w.run(time.Duration(r.IntN(9000)) * ms)
		}
		w.run(7*time.Second + after)
		w.listed()
		evictions += w.total()
		for _, s := range w.wrong {
			t.Errorf("seed %d: %s", seed, s)
		}
	}
	return evictions
}

// replays doubles messages, and sends again what one node told another some time ago, as it was.
func (w *world) replays(r *rand.Rand) func(from, to int, m Message) []Message {
	kept := map[[2]int]Message{}
	return func(from, to int, m Message) []Message {
		way := [2]int{from, to}
		old := kept[way]
		if old == nil || r.IntN(20) == 0 {
			kept[way] = m
		}
		switch n := r.IntN(10); {
		case n == 0:
			return []Message{m, m}
		case n == 1 && old != nil:
			return []Message{old, m}
		case n == 2 && old != nil:
			return []Message{m, old}
		}
		return []Message{m}
	}
}

// fault lets one thing happen.
func (w *world) fault(r *rand.Rand) {
	i, j, h := r.IntN(len(w.nodes)), r.IntN(len(w.nodes)), r.IntN(len(w.hosts))
	up := r.IntN(3) == 0
	switch r.IntN(14) {
	case 0, 1:
		if w.hosts[h].up && !up {
			w.die(h)
		} else if !w.hosts[h].up {
			w.rise(h)
		}
	case 2, 3:
		w.cut(i, h, up)
	case 4:
		for h := range w.hosts {
			w.cut(i, h, up)
		}
	case 5:
		if i != j {
			w.part(i, j, up)
		}
	case 6:
		w.nodes[i].asleep = !w.nodes[i].asleep
	case 7:
		w.restart(i)
	case 8:
		w.links[i][h].flow = false
		if up {
			for i := range w.nodes {
				w.links[i][h].flow = false
			}
		}
	case 10:
		w.talk[i][j], w.talkAt[i][j] = up || i == j, w.now
	case 13:
		for i := range w.nodes {
			if up || i == j {
				w.closes(i, h)
			}
		}
	case 11:
		w.links[i][h].oneWay = !up
	case 12:
		w.miss(i, !w.nodes[i].missing)
	case 9:
		for i := range w.nodes {
			w.cut(i, h, false)
		}
		w.cut(j, h, true)
	}
}

// TestSchedules: whatever happens, nobody is evicted whom some node heard that can say so (V-13 of docs/spec/deadhosts.md).
func TestSchedules(t *testing.T) {
	n, from, began := 300, uint64(1), time.Now()
	if v := os.Getenv("VANISH_SCHEDULES"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		kit.Must(t, err)
		from, err = strconv.ParseUint(cmp.Or(os.Getenv("SEED"), "1"), 10, 63)
		kit.Must(t, err)
	}
	if e := schedules(t, from, n); n < 1 || e < n/10 {
		t.Error(fmt.Sprint("only ", e, " evictions"))
	} else {
		t.Logf("%d schedules in %v: the seeds %d to %d: %d evictions", n, time.Since(began).Round(time.Second), from, from+uint64(n)-1, e)
	}
}

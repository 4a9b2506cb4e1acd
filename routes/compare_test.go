package routes

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCompareChangesNothing registers the same bodies at two tables, one of which looks for what is new beforehand, while
// others write in between: both must end the same, and say the same.
func TestCompareChangesNothing(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		planned, plain := newTable(1<<20), newTable(1<<20)
		used := 0
		for step := range 25 {
			r := fleet(rnd.IntN(2), 0, 2*compareSlice+rnd.IntN(100), int64(rnd.IntN(3)))
			for range rnd.IntN(20) {
				r.Topics[rnd.IntN(len(r.Topics))].Read = int32(rnd.IntN(3))
			}
			if rnd.IntN(4) == 0 {
				r.Topics = append(r.Topics, Topic{Name: fmt.Appendf(nil, "new-%d", rnd.IntN(5))})
			}
			if rnd.IntN(4) == 0 { // the last of two keys counts
				first := rnd.IntN(len(r.Topics))
				twin := r.Topics[first]
				r.Topics[first].Read, twin.Read, twin.Key = 9, 8, []byte("another")
				r.Topics = append(r.Topics, twin)
			}
			between := writeOf(rnd)
			yields := 0
			r.Yield = func() {
				if yields++; yields == 1 {
					between(planned)
				}
			}
			other, same := *r, *r
			same.Yield = nil
			made := planned.compare(&same).made
			res1, eff1 := planned.Register(r)
			if made && yields > 0 { // Register has compared, too
				used++
			}
			if yields > 0 {
				between(plain)
			}
			plain.mu.Lock()
			res2, eff2 := plain.st.register(&other, comparison{}, plain.cfg.Clock())
			plain.mu.Unlock()
			if yields == 0 {
				between(planned)
				between(plain)
			}
			if d := cmp.Diff(res2, res1); d != "" {
				t.Fatalf("seed %d step %d: answer (-plain +planned):\n%s", seed, step, d)
			}
			if len(eff1.Events) != len(eff2.Events) {
				t.Fatalf("seed %d step %d: events %v, want %v", seed, step, eff1.Events, eff2.Events)
			}
			sameRoutes(t, fmt.Sprintf("seed %d step %d", seed, step), planned, plain)
		}
		if used == 0 {
			t.Errorf("seed %d: nothing was ever planned", seed)
		}
	}
}

// writeOf is a change that another connection makes, or none.
func writeOf(rnd *rand.Rand) func(*Table) {
	topic := fmt.Sprintf("tenant-prod-orders-%06d", rnd.IntN(2*compareSlice))
	switch rnd.IntN(6) {
	case 0:
		return func(t *Table) { t.DeleteTopic(topic, "") }
	case 1:
		return func(t *Table) { t.WipeWritePerm("broker-000") }
	case 2:
		return func(t *Table) {
			t.SetOptions(Options{DeleteUnlistedTopics: true})
		}
	case 3:
		return func(t *Table) { t.ConnLost(1) }
	default:
		return func(*Table) {}
	}
}

func sameRoutes(t *testing.T, when string, got, want *Table) {
	t.Helper()
	if d := cmp.Diff(want.Stats(), got.Stats(), cmp.FilterPath(func(p cmp.Path) bool {
		return p.String() == "CachedRoutes" || p.String() == "CachedBytes"
	}, cmp.Ignore())); d != "" {
		t.Fatalf("%s: sizes (-plain +planned):\n%s", when, d)
	}
	for _, topic := range want.Topics() {
		a, _ := want.RouteInfo([]byte(topic))
		b, _ := got.RouteInfo([]byte(topic))
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%s: route of %s (-plain +planned):\n%s", when, topic, cmp.Diff(a, b))
		}
	}
}

package order

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAsSlices: all three do what package slices does, to the order of equals where that is promised.
func TestAsSlices(t *testing.T) {
	type pair struct{ key, at int }
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 50 {
		given := make([]pair, n)
		for i := range given {
			given[i] = pair{r.IntN(5), i}
		}
		byKey := func(a, b pair) int { return cmp.Compare(a.key, b.key) }
		whole := func(a, b pair) int { return cmp.Or(byKey(a, b), cmp.Compare(b.at, a.at)) }
		want, got := slices.Clone(given), slices.Clone(given)
		slices.SortStableFunc(want, byKey)
		Stable(got, byKey)
		if !slices.Equal(got, want) {
			t.Fatalf("stable: %v, want %v", got, want)
		}
		slices.SortFunc(want, whole)
		By(got, whole)
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if got := Sorted(slices.Values(given), whole); !slices.Equal(got, want) {
			t.Fatalf("collected: %v, want %v", got, want)
		}
	}
}

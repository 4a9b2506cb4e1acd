package hold

import (
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

func at(d time.Duration) clock.Stamp { return clock.Stamp{Raw: int64(d) + 1, Boot: int64(d) + 1} }

// TestCounting: a refuted eviction counts within the window, and only since the scope was last on hold; at most max are remembered, the
// newest.
func TestCounting(t *testing.T) {
	h := New[int, string](3)
	counting := func(s string) []int { return slices.Collect(h.Counting(s)) }
	for i := range 4 {
		h.Refute(i, at(time.Duration(i)))
	}
	if got := counting("a"); !slices.Equal(got, []int{1, 2, 3}) || h.Counted() != 3 {
		t.Errorf("%v counting, %d counted", got, h.Counted())
	}
	h.Hold("a", at(3))
	h.Refute(4, at(4))
	if got := counting("a"); !slices.Equal(got, []int{4}) {
		t.Errorf("%v counting since the hold", got)
	}
	if got := counting("b"); !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("%v counting for another scope", got)
	}
	h.Refute(5, at(Window+3))
	if got := counting("b"); !slices.Equal(got, []int{3, 4, 5}) {
		t.Errorf("%v counting at the end of the window", got)
	}
	h.Refute(6, at(2*Window+4))
	if got := counting("b"); !slices.Equal(got, []int{6}) {
		t.Errorf("%v counting a window later", got)
	}
}

// TestHold: to the nanosecond; of its scope alone; and nothing is left of it.
func TestHold(t *testing.T) {
	h := New[int, string](3)
	shown := func(now time.Duration) (n int) {
		for s, until := range h.All(at(now)) {
			if n++; s != "a" || until != at(For) {
				t.Errorf("%s is on hold until %v", s, until)
			}
		}
		return n
	}
	if until := h.Hold("a", at(0)); until != at(For) {
		t.Errorf("until %v", until)
	}
	for now, want := range map[time.Duration]bool{0: true, For - 1: true, For: false} {
		if got := h.On("a", at(now)); got != want || h.On("b", at(now)) || (shown(now) == 1) != want {
			t.Errorf("after %v: on hold %v, %d shown", now, got, shown(now))
		}
	}
	if h.Sweep(at(For)); len(h.until) != 1 {
		t.Error("forgotten before it ends")
	}
	if h.Sweep(at(For + 1)); len(h.until) != 0 {
		t.Error("not forgotten")
	}
}

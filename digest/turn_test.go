package digest

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whenever nodes wish to be stopped, and whatever gets lost, doubled or late between them: one at a time may go.
func TestOneGoesAtATime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.SampledFrom([]int{2, 3, 5}).Draw(t, "nodes"))
		w.random = rapid.Uint64().Draw(t, "seed")
		w.run(3 * time.Second)
		w.loss, w.dup = rapid.SampledFrom([]int{0, 30, 80}).Draw(t, "loss"), rapid.SampledFrom([]int{0, 50}).Draw(t, "dup")
		w.delay = rapid.SampledFrom([]time.Duration{2 * time.Millisecond, 2 * time.Second}).Draw(t, "delay")
		wishing := map[int]bool{}
		for range 40 {
			if rapid.Bool().Draw(t, "changes") {
				i := rapid.IntRange(0, 4).Draw(t, "node") % len(w.nodes)
				wishing[i] = !wishing[i] && rapid.Bool().Draw(t, "wishes")
			}
			var may []string
			for i, n := range w.nodes {
				if wishing[i] {
					n.Wish(w.now)
					n.Turn(w.now)
				}
				if n.View(w.now).Turn {
					may = append(may, n.peer.Name)
				}
			}
			if len(may) > 1 {
				t.Fatalf("%v may go at the same time", may)
			}
			w.run(500 * time.Millisecond)
		}
	})
}

// asks is as safe-to-stop --wait does it, until one may go: its place, and who was named before the others.
func (w *world) asks(of ...int) (goes int, before []string) {
	for range 100 {
		for _, i := range of {
			w.nodes[i].Wish(w.now)
			may, names := w.nodes[i].Turn(w.now)
			if may {
				return i, before
			}
			before = names
		}
		w.run(100 * time.Millisecond)
	}
	return -1, before
}

// Who wishes at the same moment goes by name; the next one when the first has left, or was not stopped after all; a wish that is not
// renewed holds nobody up; and one of a former release is not waited for.
func TestTurns(t *testing.T) {
	w := newWorld(t, 3)
	w.run(3 * time.Second)
	if may, before := w.nodes[0].Turn(w.now); may || len(before) > 0 {
		t.Errorf("without a wish: %v %v", may, before)
	}
	began := w.now
	w.nodes[2].Wish(w.now)
	w.run(500 * time.Millisecond)
	first, _ := w.asks(2, 1)
	if took := w.now.Sub(began); first != 1 || took < wishWaits || took > 2*wishWaits+500*time.Millisecond {
		t.Fatalf("n%d goes first, after %v", first+1, took)
	}
	w.run(500 * time.Millisecond)
	if next, before := w.asks(0); next >= 0 || !slices.Equal(before, []string{"n2", "n3"}) && !slices.Equal(before, []string{"n2"}) {
		t.Errorf("n%d goes beside it; before: %v", next+1, before)
	}
	w.run(turnKeep)
	if next, _ := w.asks(0, 2); next != 0 {
		t.Errorf("n%d goes when the first one was not stopped", next+1)
	}
	w.nodes[0].down = true
	for _, n := range w.nodes[1:] {
		n.MemberLeft(w.nodes[0].peer)
	}
	w.nodes[1].Wish(w.now)
	w.run(wishKeep + 500*time.Millisecond)
	if next, _ := w.asks(2); next != 2 {
		t.Errorf("n%d goes when nobody else wishes any more", next+1)
	}

	w = newWorld(t, 2)
	w.nodes[1].former = true
	w.run(3 * time.Second)
	if next, _ := w.asks(0); next != 0 {
		t.Errorf("n%d goes beside one of a former release", next+1)
	}
}

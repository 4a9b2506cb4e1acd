package nonce

import (
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
)

func at(n int64) clock.Stamp { return clock.Stamp{Raw: n, Boot: n} }

// TestTake: each try has its own t0; an answer counts once, only for whom was asked, and never after the question is dropped.
func TestTake(t *testing.T) {
	numbers := []uint64{7, 7, 7, 9, 7}
	source := func() uint64 { n := numbers[0]; numbers = numbers[1:]; return n }
	is := func(want string) func(string) bool { return func(q string) bool { return q == want } }
	o := Of[string]()
	first, second := o.Ask(source, "a", at(1)), o.Ask(source, "a", at(2))
	if first != 7 || second != 9 {
		t.Fatalf("nonces %d and %d, want 7, and 9 because 7 is taken", first, second)
	}
	if _, _, ok := o.Take(8, is("a")); ok {
		t.Error("a nonce that nobody asked under is answered")
	}
	if q, open := o.Find(first); !open || q != "a" {
		t.Errorf("found %q, %v", q, open)
	}
	if _, open := o.Find(8); open {
		t.Error("found what nobody asked")
	}
	if _, _, ok := o.Take(first, is("b")); ok {
		t.Error("what does not fit counts")
	}
	if q, t0, ok := o.Take(first, is("a")); !ok || q != "a" || t0 != at(1) {
		t.Errorf("%q of %v, %v; want what was asked at 1", q, t0, ok)
	}
	if _, _, ok := o.Take(first, is("a")); ok {
		t.Error("a second copy counts")
	}
	if o.Drop(second); len(o) != 0 {
		t.Errorf("%d open", len(o))
	}
	if n := o.Ask(source, "c", at(3)); n != 7 {
		t.Errorf("nonce %d, want 7: it is free again", n)
	}
}

package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func routeSaid(brokers ...string) Facts {
	f := Facts{}
	for _, b := range brokers {
		f[Subject{Kind: KindTopic, Topic: "orders", Broker: b}] = "read 8 write 8 perm rw"
	}
	return f
}

// A disagreement lasts from the first differing answer to the first equal one, give or take a poll.
func TestRouteWatch(t *testing.T) {
	targets := []Target{{"n1:1", "n1:1"}, {"n2:1", "n2:1"}}
	w := NewRouteWatch("orders", targets)
	var got []string
	round := func(second float64, facts ...Facts) {
		at := noon.Add(time.Duration(second * float64(time.Second)))
		answers := make([]RouteAnswer, 2)
		for i, f := range facts {
			answers[i] = RouteAnswer{Asked: at, Facts: f}
			if f == nil {
				answers[i].Fault = errors.New("no answer")
			}
		}
		for _, e := range w.Saw(answers) {
			got = append(got, fmt.Sprintf("%v %s %s %s %v %v", second, e.Event, e.NameServer, e.What, e.Lasted, e.Give))
		}
	}
	both, one := routeSaid("a", "b"), routeSaid("a")
	round(0, both, both)
	round(1, both, both)
	round(2, one, both)
	round(3, one, both)
	round(4.5, one, one)
	round(5, one, nil)
	round(6, one, routeSaid())
	round(7, routeSaid(), routeSaid())
	wantLines(t, got,
		"0 agree  a (read 8 write 8 perm rw), b (read 8 write 8 perm rw) 0s 0s",
		"2 changed n1:1 b went (read 8 write 8 perm rw) 0s 0s",
		"2 disagree  n1:1 say: a (read 8 write 8 perm rw); n2:1 say: a (read 8 write 8 perm rw), b (read 8 write 8 perm rw) 0s 0s",
		"4.5 changed n2:1 b went (read 8 write 8 perm rw) 0s 0s",
		"4.5 agree  a (read 8 write 8 perm rw) 2.5s 1.5s",
		"5 silent n2:1 no answer 0s 0s",
		"6 answers n2:1 it answers again: nobody has orders 0s 0s",
		"6 disagree  n1:1 say: a (read 8 write 8 perm rw); n2:1 say: nobody has orders 0s 0s",
		"7 changed n1:1 a went (read 8 write 8 perm rw) 0s 0s",
		"7 agree  nobody has orders 1s 1s",
	)
	if w.Differ() || w.Silent() {
		t.Error("the last round is not what it was")
	}
	// What was asked more than 50 ms apart may have changed between: it neither begins nor ends a disagreement.
	at := noon.Add(8 * time.Second)
	if events := w.Saw([]RouteAnswer{{Asked: at, Facts: both}, {Asked: at.Add(51 * time.Millisecond), Facts: one}}); slices.ContainsFunc(events, func(e RouteEvent) bool { return e.Event == "disagree" }) {
		t.Errorf("%v", events)
	}
}

func TestRoundsAreAskedTogether(t *testing.T) {
	a, b := newFake(t, 513), newFake(t, 407)
	s := surveyOf(t, a, b)
	w := NewRouteWatch("orders", s.Targets)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var got []string
	kit.Must(t, s.Watch(ctx, w, 5*time.Millisecond, func(e RouteEvent) error {
		got = append(got, e.Event)
		switch len(got) {
		case 1:
			b.Change(func(f *fake) { delete(f.Topics["orders"], "b") })
		case 3:
			b.Change(func(f *fake) { f.Topics["orders"]["b"] = "8 8 6" })
		case 5:
			stop()
		}
		return nil
	}))
	wantLines(t, got, "agree", "changed", "disagree", "changed", "agree")
	for _, r := range append(a.Requests(), b.Requests()...) {
		if r.Code != 105 {
			t.Errorf("code %d was sent", r.Code)
		}
	}
}

package readiness

import (
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
)

var (
	born    = clock.Now()
	witness = digest.Catchup{Witnesses: []string{"n1"}, Held: 2, Missing: []digest.Missing{{Key: digest.Key{Name: "b"}, Holder: "n1"}}}
	rule    = Rule{Wait: 45 * time.Second}
)

func after(d time.Duration) clock.Stamp { return born.Add(d) }

func serving(peers bool) *Readiness {
	var r Readiness
	r.Start(born, peers)
	r.Enter(Serving)
	return &r
}

// The wait is capped, whatever the peers hold.
func TestWaitIsCapped(t *testing.T) {
	r := serving(true)
	steps := []struct {
		c      digest.Catchup
		joined bool
		up     time.Duration
		want   Stage
	}{
		{digest.Catchup{}, false, 0, Asking},
		{digest.Catchup{Undecided: []string{"n1"}}, true, time.Second, Asking},
		{witness, true, 2 * time.Second, Catching},
		{digest.Catchup{Undecided: []string{"n1"}, Witnesses: []string{"n1"}}, true, 3 * time.Second, Asking},
		{witness, true, rule.Wait - 1, Catching},
		{witness, true, rule.Wait, Caught},
		{digest.Catchup{}, true, rule.Wait + 1, Caught},
	}
	before := Asking
	for i, s := range steps {
		news, changed := r.Look(s.c, s.joined, after(s.up), rule)
		if r.Stage() != s.want || changed != (s.want != before) || changed && news.Stage != s.want {
			t.Fatalf("step %d: %d, want %d; %v %+v", i, r.Stage(), s.want, changed, news)
		}
		if s.want == Caught && changed && (news.Lacking != 1 || news.Most != 1 || news.Took != rule.Wait) {
			t.Errorf("news: %+v", news)
		}
		before = s.want
	}
	if !r.First(after(rule.Wait)) || r.First(after(rule.Wait+1)) {
		t.Error("not ready for the first time once")
	}
	if missing, took := r.Figures(); missing != 0 || took != rule.Wait {
		t.Errorf("%d missing, ready after %v", missing, took)
	}
	alone, whole := serving(true), serving(true)
	alone.Look(digest.Catchup{}, true, born, rule)
	whole.Look(digest.Catchup{Witnesses: []string{"n1"}, Held: 2}, true, after(time.Second), rule)
	if alone.Stage() != Alone || whole.Stage() != Caught {
		t.Errorf("alone: %d; nothing missing: %d", alone.Stage(), whole.Stage())
	}
}

// Who asks, when, and what is answered.
func TestReady(t *testing.T) {
	need := Rule{Need: true, Wait: rule.Wait}
	looked := func(c digest.Catchup) *Readiness {
		r := serving(true)
		r.Look(c, true, after(time.Second), rule)
		return r
	}
	phase := func(p Phase) *Readiness { r := serving(false); r.Enter(p); return r }
	for name, c := range map[string]struct {
		r                 *Readiness
		rule              Rule
		up                time.Duration
		why               string // how it begins
		withholds, closes bool   // routes; a client's connection, where that is asked for
	}{
		"starting":                  {new(Readiness), rule, 0, "not ready: starting", false, true},
		"without peers":             {serving(false), rule, 0, "ready", false, false},
		"the original waits":        {serving(false), need, rule.Wait - 1, "not ready: brokers are given 45 s", true, true},
		"the original has waited":   {serving(false), need, rule.Wait, "ready", false, false},
		"nobody was heard of":       {serving(true), rule, time.Second, "not ready: looking for other nodes", false, true},
		"a peer did not say":        {looked(digest.Catchup{Undecided: []string{"n1"}}), rule, time.Second, "not ready: waiting to hear what n1 holds", false, true},
		"brokers are missing":       {looked(witness), need, time.Second, "not ready: waiting for 1 of the 2 brokers that n1 holds: b id 0", true, true},
		"they are waited for until": {looked(witness), need, rule.Wait, "ready", false, false},
		"nothing is missing":        {looked(digest.Catchup{Witnesses: []string{"n1"}}), need, time.Second, "ready", false, false},
		"nobody can tell":           {looked(digest.Catchup{}), need, time.Second, "not ready: brokers are given 45 s", true, true},
		"draining":                  {phase(Draining), rule, time.Hour, "not ready: draining", false, false},
		"stopping":                  {phase(Stopping), rule, time.Hour, "not ready: stopping", false, false},
	} {
		if name == "starting" {
			c.r.Start(born, true)
		}
		ready, why := c.r.Ready(after(c.up), c.rule)
		if ready != (c.why == "ready") || !strings.HasPrefix(why, c.why) {
			t.Errorf("%s: %v, %q, want %q", name, ready, why, c.why)
		}
		if got := c.r.Withholds(after(c.up), c.rule, false); got != c.withholds {
			t.Errorf("%s: withholds %v", name, got)
		}
		if got := c.r.Withholds(after(c.up), c.rule, true); got != c.closes {
			t.Errorf("%s: withholds %v from a client that is to leave", name, got)
		}
	}
}

// A phase is never gone back to.
func TestPhases(t *testing.T) {
	r := serving(false)
	r.Enter(Stopping)
	r.Enter(Draining)
	if r.Phase() != Stopping {
		t.Errorf("phase %d", r.Phase())
	}
}

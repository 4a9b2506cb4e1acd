package readiness

import (
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
)

var (
	born = clock.Now()
	rule = Rule{Wait: 45 * time.Second, Period: 30 * time.Second, JoinWait: 50 * time.Second}

	lacks   = Peers{Joined: true, Reached: true, Catchup: digest.Catchup{Witnesses: []string{"n1"}, Held: 2, Missing: []digest.Missing{{Key: digest.Key{Name: "b"}, Holder: "n1"}}}}
	whole   = Peers{Joined: true, Reached: true, Catchup: digest.Catchup{Witnesses: []string{"n1"}, Held: 2}}
	mute    = Peers{Joined: true, Reached: true, Catchup: digest.Catchup{Undecided: []string{"n1"}}}
	nobody  = Peers{Joined: true, Reached: true}
	joining = Peers{Reached: true, Catchup: whole.Catchup}
	strayed = Peers{Joined: true, Trouble: "n1:7946: there is no such name"}
)

func after(d time.Duration) clock.Stamp { return born.Add(d) }

func serving(gossips bool) *Readiness {
	var r Readiness
	r.Start(born, gossips)
	r.Enter(Serving)
	return &r
}

// How a node comes to be ready, and when it becomes a witness.
func TestStages(t *testing.T) {
	type step struct {
		peers   Peers
		up      time.Duration
		want    Stage
		witness bool
	}
	const s = time.Second
	for name, steps := range map[string][]step{
		"a witness's brokers come": {
			{Peers{}, 0, Asking, false}, {mute, s, Asking, false}, {lacks, 2 * s, Catching, false}, {whole, 3 * s, Witnessed, true}, {lacks, 4 * s, Witnessed, true},
		},
		"they never come": {
			{lacks, s, Catching, false}, {lacks, 49 * s, Catching, false}, {lacks, 50 * s, Timed, true}, {lacks, 99 * s, Timed, true},
		},
		"they come later":        {{lacks, 50 * s, Timed, true}, {whole, 60 * s, Witnessed, true}},
		"no witness":             {{nobody, s, Listening, false}, {nobody, 30*s - 1, Listening, false}, {nobody, 30 * s, Timed, true}},
		"the witness goes":       {{lacks, s, Catching, false}, {nobody, 2 * s, Listening, false}, {nobody, 30 * s, Timed, true}},
		"a witness comes":        {{nobody, s, Listening, false}, {lacks, 2 * s, Catching, false}, {lacks, 31 * s, Catching, false}, {whole, 32 * s, Witnessed, true}},
		"nobody is reached":      {{Peers{}, s, Asking, false}, {strayed, 30 * s, Asking, false}, {strayed, 50 * s, Timed, true}},
		"reached late":           {{strayed, 40 * s, Asking, false}, {nobody, 41 * s, Timed, true}},
		"a member says nothing":  {{mute, 49 * s, Asking, false}, {mute, 50 * s, Timed, true}},
		"it has not joined yet":  {{joining, s, Asking, false}, {joining, 31 * s, Asking, false}, {whole, 32 * s, Witnessed, true}},
		"missing, then it knows": {{lacks, s, Catching, false}, {mute, 2 * s, Asking, false}, {lacks, 3 * s, Catching, false}},
	} {
		r, before := serving(true), Asking
		for i, step := range steps {
			news, changed := r.Look(step.peers, after(step.up), rule)
			if r.Stage() != step.want || changed != (step.want != before) || changed && (news.Stage != step.want || news.Before != before || news.Took != step.up) {
				t.Fatalf("%s, step %d: stage %d, want %d; %v %+v", name, i, r.Stage(), step.want, changed, news)
			}
			if got := r.Witness(after(step.up), rule); got != step.witness {
				t.Errorf("%s, step %d: a witness %v", name, i, got)
			}
			before = step.want
		}
	}
}

// A node that was ready before it has heard a whole period is a witness only then, or when it was witnessed.
func TestReadyEarlyIsNoWitness(t *testing.T) {
	hasty := rule
	hasty.JoinWait = time.Second
	r := serving(true)
	r.Look(lacks, after(time.Second), hasty)
	if ready, _ := r.Ready(after(time.Second), hasty); !ready || r.Witness(after(29*time.Second), hasty) || !r.Witness(after(30*time.Second), hasty) {
		t.Errorf("ready %v; a witness at 29 s %v, at 30 s %v", ready, r.Witness(after(29*time.Second), hasty), r.Witness(after(30*time.Second), hasty))
	}
	r.Look(whole, after(2*time.Second), hasty)
	if !r.Witness(after(2*time.Second), hasty) {
		t.Error("no witness, although witnessed")
	}
	r.Enter(Draining)
	if r.Witness(after(time.Hour), hasty) {
		t.Error("a witness that drains")
	}
}

// When looking again cannot change anything: a node that nobody could tell what there is may meet somebody later who can.
func TestSettled(t *testing.T) {
	for name, p := range map[string]Peers{"lacks": lacks, "strayed": strayed, "nobody": nobody} {
		r := serving(true)
		r.Look(p, after(50*time.Second), rule)
		if r.Settled() {
			t.Errorf("%s: settled although not witnessed", name)
		}
		if news, changed := r.Look(whole, after(2*time.Hour), rule); !changed || news.Before != Timed || !r.Settled() {
			t.Errorf("%s: not settled although witnessed: %+v", name, news)
		}
	}
	if !serving(false).Settled() {
		t.Error("not settled although there is nobody to look at")
	}
}

// Who asks, when, and what is answered.
func TestReady(t *testing.T) {
	need := rule
	need.Need = true
	looked := func(p Peers) *Readiness {
		r := serving(true)
		r.Look(p, after(time.Second), rule)
		return r
	}
	timed := func(p Peers) *Readiness {
		r := serving(true)
		r.Look(p, after(time.Minute), rule)
		return r
	}
	left := lacks
	left.LeftOut = []digest.Missing{{Key: digest.Key{Name: "ghost"}}}
	phase := func(p Phase) *Readiness { r := serving(false); r.Enter(p); return r }
	for name, c := range map[string]struct {
		r                 *Readiness
		rule              Rule
		up                time.Duration
		why               string // how it begins, ... and what it holds
		withholds, closes bool   // routes; a client's connection, where that is asked for
	}{
		"starting":                  {new(Readiness), rule, 0, "not ready: starting", false, true},
		"without gossip":            {serving(false), rule, 0, "ready", false, false},
		"the original waits":        {serving(false), need, rule.Wait - 1, "not ready: brokers are given 45 s", true, true},
		"the original has waited":   {serving(false), need, rule.Wait, "ready", false, false},
		"nobody was tried yet":      {serving(true), rule, time.Second, "not ready: looking for other nodes", false, true},
		"nobody was reached":        {looked(strayed), rule, time.Second, "not ready: no node of --join was reached: ...there is no such name...50s: --join-wait", false, true},
		"a peer did not say":        {looked(mute), rule, time.Second, "not ready: waiting to hear what n1 holds", false, true},
		"brokers are missing":       {looked(lacks), need, time.Second, "not ready: waiting for 1 of the 2 brokers that n1 holds: b id 0...50s: --join-wait", true, true},
		"one is left out":           {looked(left), rule, time.Second, "not ready: waiting for 1 of the 2 brokers...not for ghost id 0", false, true},
		"the original has had time": {looked(lacks), need, rule.Wait, "not ready: waiting for 1", false, true},
		"nothing is missing":        {looked(whole), need, time.Second, "ready", false, false},
		"nobody can tell":           {looked(nobody), rule, time.Second, "not ready: no other node knows...30s: --ready-after", false, true},
		"by time":                   {timed(lacks), rule, time.Minute, "ready", false, false},
		"by time, and told to wait": {timed(nobody), need, rule.Wait - 1, "not ready: brokers are given 45 s", true, true},
		"draining":                  {phase(Draining), rule, time.Hour, "not ready: draining", false, false},
		"stopping":                  {phase(Stopping), rule, time.Hour, "not ready: stopping", false, false},
	} {
		if name == "starting" {
			c.r.Start(born, true)
		}
		ready, why := c.r.Ready(after(c.up), c.rule)
		begins, holds, _ := strings.Cut(c.why, "...")
		holds, also, _ := strings.Cut(holds, "...")
		if ready != (c.why == "ready") || !strings.HasPrefix(why, begins) || !strings.Contains(why, holds) || !strings.Contains(why, also) {
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

// The figures, and that a node is ready for the first time once.
func TestFigures(t *testing.T) {
	r := serving(true)
	r.Look(lacks, after(time.Second), rule)
	if missing, took := r.Figures(); missing != 1 || took != 0 {
		t.Errorf("while it waits: %d missing, %v", missing, took)
	}
	news, _ := r.Look(whole, after(2*time.Second), rule)
	if news.Most != 1 || !r.First(after(2*time.Second)) || r.First(after(3*time.Second)) {
		t.Errorf("at most %d missing, or not ready for the first time once", news.Most)
	}
	if missing, took := r.Figures(); missing != 0 || took != 2*time.Second {
		t.Errorf("%d missing, ready after %v", missing, took)
	}
	r = serving(true)
	r.Look(lacks, after(rule.JoinWait), rule)
	if missing, _ := r.Figures(); missing != 0 {
		t.Errorf("ready by time, and waits for %d", missing)
	}
}

// A drain can be gone back on, as long as nothing has followed it.
func TestDrain(t *testing.T) {
	r := serving(false)
	r.Drain(true)
	if ready, why := r.Ready(born, rule); ready || why != "not ready: draining" || r.Witness(after(time.Hour), rule) || !r.Drains() {
		t.Errorf("while it drains: %v, %q", ready, why)
	}
	r.Drain(false)
	if ready, _ := r.Ready(born, rule); !ready || r.Drains() {
		t.Error("not ready although it drains no more")
	}
	r.Drain(true)
	r.Enter(Stopping)
	if _, why := r.Ready(born, rule); why != "not ready: stopping" || r.Drains() {
		t.Errorf("while it stops: %q", why)
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

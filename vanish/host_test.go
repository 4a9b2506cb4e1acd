package vanish

import (
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// day is a host under ticks, whose new connections come to an outcome some time after they began.
type day struct {
	*Host
	now     time.Duration
	since   clock.Stamp
	pending map[uint64]time.Duration
	outcome Tried
	after   time.Duration
	tried   []time.Duration // when
	probed  []time.Duration
}

func newDay(outcome Tried, after time.Duration) *day {
	return &day{Host: NewHost(TimesOf(8*time.Second), at(0)), since: at(0), pending: map[uint64]time.Duration{}, outcome: outcome, after: after}
}

// until ticks.
func (d *day) until(end time.Duration) {
	for ; d.now < end; d.now += Tick {
		for n, due := range d.pending {
			if d.now >= due {
				d.Tried(n, d.outcome, at(d.now))
				delete(d.pending, n)
			}
		}
		a := d.Ask(d.since, at(d.now))
		if a.Probe {
			d.probed = append(d.probed, d.now)
		}
		if a.Connect {
			d.tried = append(d.tried, d.now)
			d.pending[a.Try] = d.now + d.after
		}
	}
}

// lives ticks while the host goes on answering on its old connection.
func (d *day) lives(end time.Duration) {
	for d.now < end {
		d.Alive(at(d.now))
		d.until(d.now + Tick)
	}
}

func TestTimesKeepTheirRatio(t *testing.T) {
	for after, want := range map[time.Duration]Times{
		8 * time.Second: {8 * time.Second, 5 * time.Second, 3 * time.Second, 250 * ms},
		6 * time.Second: {6 * time.Second, 3750 * ms, 2250 * ms, 187500 * time.Microsecond},
		time.Minute:     {time.Minute, 37500 * ms, 22500 * ms, 1875 * ms},
	} {
		if got := TimesOf(after); got != want {
			t.Errorf("%v: %+v", after, got)
		}
	}
}

// TestNewConnectionsAreCalibrated: tried a second after the first REGISTER and every five minutes; one that is not answered again each second, up to
// thirty times.
func TestNewConnectionsAreCalibrated(t *testing.T) {
	d := newDay(Answered, Tick)
	d.lives(20 * time.Minute)
	if len(d.tried) != 4 || d.tried[0] != time.Second || d.tried[1]-d.tried[0] < 5*time.Minute {
		t.Errorf("tried at %v", d.tried)
	}
	if !d.AnswersConnections(at(d.now)) || len(d.probed) > 0 {
		t.Errorf("answered, probed at %v", d.probed)
	}
	last := d.tried[3] + Tick
	if d.AnswersConnections(at(last+10*time.Minute)) || !d.AnswersConnections(at(last+10*time.Minute-time.Second)) {
		t.Error("an answer does not hold for ten minutes")
	}
	for _, outcome := range []Tried{Unanswered, Failed} {
		d = newDay(outcome, time.Second)
		d.lives(7 * time.Minute)
		if n := len(d.tried); n != 2*triesInVain || d.tried[29] > 2*time.Minute || d.tried[30]-d.tried[29] < 5*time.Minute {
			t.Errorf("%v: tried %d times, at %v", outcome, n, d.tried)
		}
		if d.AnswersConnections(at(d.now)) || d.TriesInVain(at(d.now)) > 0 {
			t.Errorf("%v: answered %v, %d in vain while it lives", outcome, d.AnswersConnections(at(d.now)), d.TriesInVain(at(d.now)))
		}
		d.outcome = Answered
		d.lives(13 * time.Minute)
		if !d.AnswersConnections(at(d.now)) {
			t.Errorf("%v, then answered, and it is not known", outcome)
		}
	}
}

// TestEvictedHostIsAsked: in each silence as fast as any other, for another broker of it may be judged; then once a second, without an end.
func TestEvictedHostIsAsked(t *testing.T) {
	d := newDay(Unanswered, time.Second)
	d.lives(3 * time.Second)
	d.Evicted(true)
	d.until(7800 * ms)
	if n := d.TriesInVain(at(d.now)); n < 6 {
		t.Errorf("%d in vain after five seconds of silence", n)
	}
	d.until(time.Minute)
	probed, tried := len(d.probed), len(d.tried)
	d.until(2 * time.Minute)
	if p, c := len(d.probed)-probed, len(d.tried)-tried; p < 118 || p > 121 || c < 59 || c > 61 {
		t.Errorf("in a minute probed %d times, tried %d times", p, c)
	}
}

// TestSilentHostIsAsked: nothing before 3 s; then what the rule allows, and no more.
func TestSilentHostIsAsked(t *testing.T) {
	d := newDay(Unanswered, time.Second)
	d.lives(3 * time.Second) // its last word is at 2.75 s
	began := len(d.tried)
	d.until(5750 * ms)
	if len(d.probed) > 0 || len(d.tried) != began+2 { // two checks a second apart
		t.Errorf("before three seconds of silence: probed %v, tried %v", d.probed, d.tried)
	}
	d.until(7800 * ms)
	if n := d.TriesInVain(at(d.now)); n < 6 {
		t.Errorf("%d in vain after five seconds of silence", n)
	}
	d.until(time.Minute)
	for i := 1; i < len(d.probed); i++ {
		if gap := d.probed[i] - d.probed[i-1]; gap < 600*ms {
			t.Errorf("probed twice in %v", gap)
		}
	}
	if len(d.probed) != maxProbes {
		t.Errorf("probed %d times", len(d.probed))
	}
	inSecond := 0
	for _, at := range d.tried {
		if at >= 6*time.Second && at < 7*time.Second {
			inSecond++
		}
	}
	if inSecond != 4 || len(d.tried) > maxTries+1+triesInVain {
		t.Errorf("tried %d times in one second, %d in all", inSecond, len(d.tried))
	}

	d.Alive(at(d.now)) // and falls silent again
	before := len(d.probed)
	d.until(d.now + 8*time.Second)
	if len(d.probed)-before < 6 || d.TriesInVain(at(d.now)) < 6 {
		t.Errorf("in the second silence probed %d times, %d in vain", len(d.probed)-before, d.TriesInVain(at(d.now)))
	}
}

// TestAnswerEndsSilence: to a new connection, as on the old one.
func TestAnswerEndsSilence(t *testing.T) {
	d := newDay(Unanswered, time.Second)
	d.until(6 * time.Second)
	if d.TriesInVain(at(d.now)) < 6 {
		t.Fatal("nothing in vain")
	}
	d.outcome = Answered
	d.until(7 * time.Second)
	if s := d.Silence(d.since, at(d.now)); s > time.Second || d.TriesInVain(at(d.now)) > 0 {
		t.Errorf("silent for %v, %d in vain", s, d.TriesInVain(at(d.now)))
	}
}

// TestFaultsOfThisMachineAreNoEvidence: they are neither.
func TestFaultsOfThisMachineAreNoEvidence(t *testing.T) {
	d := newDay(Failed, 0)
	d.until(9 * time.Second)
	if n := d.TriesInVain(at(d.now)); n > 0 {
		t.Errorf("%d in vain", n)
	}
	if s := d.Silence(d.since, at(d.now)); s < 8*time.Second {
		t.Errorf("silent for %v: a fault of this machine is taken for life", s)
	}
}

// TestSilenceCountsFromTheLastGap: who was not listening heard nothing.
func TestSilenceCountsFromTheLastGap(t *testing.T) {
	d := newDay(Unanswered, time.Second)
	d.until(10 * time.Second)
	d.since = at(9 * time.Second)
	if s := d.Silence(d.since, at(d.now)); s > time.Second {
		t.Errorf("silent for %v, of which it listened for one second", s)
	}
}

// TestSignOfLifeVoidsWhatWasTriedBefore: also where the try is still under way, and an older sign changes nothing.
func TestSignOfLifeVoidsWhatWasTriedBefore(t *testing.T) {
	d := newDay(Unanswered, time.Minute)
	d.until(2 * time.Second)
	if d.TriesInVain(at(d.now)) != 1 {
		t.Fatalf("%d in vain, want the check after the first REGISTER", d.TriesInVain(at(d.now)))
	}
	d.Alive(at(2 * time.Second))
	d.Alive(at(time.Second))
	if n := d.TriesInVain(at(3 * time.Second)); n > 0 || d.Life() != at(2*time.Second) {
		t.Errorf("%d in vain after a sign of life at %v", n, d.Life())
	}
}

// TestFewConnectionsAtOnce: however long each takes.
func TestFewConnectionsAtOnce(t *testing.T) {
	d := newDay(Unanswered, time.Minute)
	for range 40 {
		d.until(d.now + time.Second)
		if len(d.pending) > triesOnce {
			t.Fatalf("%d under way", len(d.pending))
		}
	}
	if len(d.pending) != triesOnce {
		t.Errorf("%d under way, want %d", len(d.pending), triesOnce)
	}
}

// TestEvictedHostIsAskedOn: for as long as it is silent, by a new connection each second, and twice a second on the old one, for there it has to be heard to be put
// back.
func TestEvictedHostIsAskedOn(t *testing.T) {
	d := newDay(Unanswered, time.Second)
	d.until(8 * time.Second)
	d.Evicted(true)
	tried, probed := len(d.tried), len(d.probed)
	d.until(8*time.Second + 10*time.Minute)
	if n := len(d.tried) - tried; n < 590 || n > 610 {
		t.Errorf("tried %d times in ten minutes", n)
	}
	if n := len(d.probed) - probed; n < 1190 || n > 1210 {
		t.Errorf("probed %d times in ten minutes", n)
	}
	if len(d.Host.tries) > maxTries {
		t.Errorf("%d are remembered", len(d.Host.tries))
	}
}

func TestLookDue(t *testing.T) {
	d := newDay(Unanswered, time.Second)
	for _, c := range []struct {
		last, now time.Duration
		want      bool
	}{{250 * ms, 1000 * ms, false}, {250 * ms, 1250 * ms, true}, {1500 * ms, 1750 * ms, false}, {2000 * ms, 2250 * ms, true}} {
		if got := d.LookDue(at(c.last), d.since, at(c.now)); got != c.want {
			t.Errorf("looked at %v, now %v: %v", c.last, c.now, got)
		}
	}
	if !d.LookDue(clock.Stamp{}, d.since, at(0)) {
		t.Error("not due before the first look")
	}
}

package vanish

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
)

func at(d time.Duration) clock.Stamp {
	return clock.Stamp{Raw: int64(time.Hour + d), Boot: int64(2*time.Hour + d)}
}

const ms = time.Millisecond

// TestProbesThatAreAnswered: three ACKs that nothing but a probe can have drawn.
func TestProbesThatAreAnswered(t *testing.T) {
	idle := []Reading{{Heard: 1500 * ms}, {Heard: 500 * ms}, {Heard: 1500 * ms}, {Heard: 500 * ms}, {Heard: 1500 * ms}, {Heard: 500 * ms}}
	for what, c := range map[string]struct {
		change func(i int, r *Reading)
		want   bool
	}{
		"answered":                 {func(int, *Reading) {}, true},
		"two of three":             {func(i int, r *Reading) { r.Heard += time.Duration(i/5) * time.Second * 2 }, false},
		"data came with each":      {func(i int, r *Reading) { r.DataIn = uint32(i) }, false},
		"data went with each":      {func(i int, r *Reading) { r.DataOut = uint32(i) }, false},
		"data was unacknowledged":  {func(_ int, r *Reading) { r.Unacked = 1 }, false},
		"an ACK of data came late": {func(i int, r *Reading) { r.Unacked = uint32(i+1) % 2 }, false},
		"never a word":             {func(i int, r *Reading) { r.Heard = time.Duration(i+1) * time.Second }, false},
		"readings are a bit wrong": {func(i int, r *Reading) { r.Heard = time.Duration(i+1)*time.Second - 39*ms*time.Duration(i%2) }, false},
	} {
		var l Line
		for i, r := range idle {
			if l.Calibrated() {
				t.Errorf("%s: calibrated before the third answer", what)
			}
			c.change(i, &r)
			l.Look(r, at(time.Duration(i)*time.Second))
		}
		if l.Calibrated() != c.want {
			t.Errorf("%s: calibrated %v", what, !c.want)
		}
	}
}

// TestTransmissionsInVain: each counts from a second after the look that saw it, until a sign of life.
func TestTransmissionsInVain(t *testing.T) {
	var l Line
	look := func(d time.Duration, r Reading) { l.Look(r, at(d)) }
	want := func(d time.Duration, n int) {
		t.Helper()
		if got := l.Unanswered(at(d)); got != n {
			t.Errorf("at %v: %d unanswered, want %d", d, got, n)
		}
	}
	look(0, Reading{})
	look(2100*ms, Reading{Heard: 2100 * ms, Probes: 1})
	look(3100*ms, Reading{Heard: 3100 * ms, Probes: 3})
	want(3100*ms, 0) // the clocks may be off by a thousandth
	want(3200*ms, 1)
	want(4200*ms, 3)
	look(4200*ms, Reading{Heard: 4200 * ms, Probes: 3, Retransmits: 2})
	want(5300*ms, 5)
	look(5300*ms, Reading{Heard: 100 * ms})
	want(9000*ms, 0)
	look(9000*ms, Reading{Heard: 3800 * ms, Probes: 2})
	want(10100*ms, 2)
	look(10100*ms, Reading{Heard: 4900 * ms, Probes: 1}) // an ACK that its times do not tell, or one too many to count
	want(10200*ms, 0)
	want(12000*ms, 1)
	look(13000*ms, Reading{Heard: 7800 * ms, Probes: 255, Retransmits: 255})
	want(15000*ms, maxWaits)
}

// TestUnpacedRepeats: before Linux 6.15 each repeat of what is not acknowledged waits twice as long. On a path of some milliseconds there are enough of
// them for a vote and an eviction all the same, by looks a second apart.
func TestUnpacedRepeats(t *testing.T) {
	var l Line
	l.Look(Reading{Unacked: 1}, at(0))
	repeats := []time.Duration{400 * ms, 800 * ms, 1700 * ms, 3300 * ms, 6700 * ms} // as measured
	sent := 0
	for d := time.Second; d <= 8*time.Second; d += time.Second {
		for sent < len(repeats) && repeats[sent] <= d {
			sent++
		}
		l.Look(Reading{Heard: d, Retransmits: uint8(sent), Unacked: 1}, at(d))
		want := map[time.Duration]int{5 * time.Second: voteUnanswered, 8 * time.Second: evictUnanswered}[d]
		if got := l.Unanswered(at(d)); got < want {
			t.Errorf("after %v: %d unanswered, want %d", d, got, want)
		}
	}
}

// TestAttention: a look that comes late, or a clock that stood still, is a time in which nobody listened.
func TestAttention(t *testing.T) {
	for _, c := range []struct {
		raw, boot time.Duration
		gap       bool
	}{
		{250 * ms, 250 * ms, false},
		{750 * ms, 750 * ms, false},
		{751 * ms, 751 * ms, true},
		{751 * ms, 700 * ms, true},
		{700 * ms, 751 * ms, true},
		{250 * ms, 350 * ms, false},
		{250 * ms, 351 * ms, true}, // suspended
		{351 * ms, 250 * ms, true},
		{0, 0, false},
	} {
		var a Attention
		start := at(0)
		a.Looks(start, 250*ms)
		now := clock.Stamp{Raw: start.Raw + int64(c.raw), Boot: start.Boot + int64(c.boot)}
		if gap := a.Looks(now, 250*ms); gap != c.gap || a.Gaps() != map[bool]int{true: 1}[gap] {
			t.Errorf("%v and %v: gap %v, %d counted", c.raw, c.boot, gap, a.Gaps())
		}
		if want := map[bool]clock.Stamp{true: now, false: start}[c.gap]; a.Since() != want {
			t.Errorf("%v and %v: since %v, want %v", c.raw, c.boot, a.Since(), want)
		}
	}
}

// TestLineNeverTellsTooMuch: whatever a kernel goes through between looks, life is never told to be older than it was when it was looked at, and
// nothing counts as unanswered that was not sent a second ago, after the last word.
func TestLineNeverTellsTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Line
		var now, life time.Duration
		var sent []time.Duration // since the last word
		var r Reading
		answered := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.SampledFrom([]time.Duration{ms, 5 * ms, 39 * ms, 250 * ms, time.Second}).Draw(t, "time")
			event := rapid.SampledFrom([]string{"probe", "retransmit", "probe in vain", "answer", "data", "sends", "look", "look"}).Draw(t, "event")
			if now-life < 200*ms && (event == "retransmit" || event == "probe in vain") {
				event = "look" // no kernel is so impatient
			}
			switch event {
			case "probe in vain":
				r.Probes, sent = r.Probes+1, append(sent, now)
			case "probe":
				life, sent, r.Probes, r.Retransmits, r.Unacked = now, nil, 0, 0, 0
				answered++
			case "retransmit":
				r.Retransmits, r.Unacked, r.DataOut, sent = r.Retransmits+1, 1, r.DataOut+1, append(sent, now)
			case "answer":
				life, sent, r.Probes, r.Retransmits = now, nil, 0, 0
				if r.Unacked == 0 {
					answered++
				}
				r.Unacked = 0
			case "data":
				life, sent, r.Probes, r.Retransmits, r.DataIn = now, nil, 0, 0, r.DataIn+1
			case "sends":
				r.Unacked, r.DataOut = 1, r.DataOut+1
			case "look":
				r.Heard = max((now - life + time.Duration(rapid.IntRange(-2, 8).Draw(t, "error"))*ms).Truncate(ms), 0)
				before := l.life
				l.Look(r, at(now))
				if l.life.Before(before) {
					t.Fatalf("life at %v, then %v", before, l.life)
				}
				if told, ok := l.Life(); !ok || told.Sub(at(life)) < 0 || told.Sub(at(life)) > 80*ms {
					t.Fatalf("life at %v, told %v later", life, told.Sub(at(life)))
				}
				if l.Calibrated() && answered < calibrate {
					t.Fatalf("calibrated after %d probes were answered", answered)
				}
			}
			if l.at.IsZero() {
				continue
			}
			limit := 0
			for _, s := range sent {
				if now-s >= inVain {
					limit++
				}
			}
			// What came since the last look is not known yet.
			if l.at == at(now) && l.Unanswered(at(now)) > limit {
				t.Fatalf("%d unanswered, at most %d are", l.Unanswered(at(now)), limit)
			}
		}
	})
}

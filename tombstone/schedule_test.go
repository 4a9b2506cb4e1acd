package tombstone

import (
	"slices"
	"testing"
	"time"
)

func TestScheduleOfTries(t *testing.T) {
	const ms = time.Millisecond
	want := []time.Duration{0, 10 * ms, 20 * ms, 30 * ms, 40 * ms, 50 * ms, 60 * ms, 70 * ms, 80 * ms, 90 * ms, 100 * ms, 120 * ms, 160 * ms, 240 * ms}
	var s schedule
	var p pace
	var tries []time.Duration
	streams := 0
	for now := time.Duration(0); now < 3*time.Second; now += ms {
		if !s.isDue(&p, at(now)) {
			continue
		}
		packets, stream := s.step(at(now))
		if packets == 0 {
			if now != 240*ms+lastWait {
				t.Errorf("given up after %v", now)
			}
			break
		}
		if (len(tries) == 0) != (packets == 1) {
			t.Errorf("%d packets in try %d", packets, len(tries)+1)
		}
		tries = append(tries, now)
		if stream {
			streams++
			if now != 100*ms {
				t.Errorf("by stream after %v", now)
			}
		}
	}
	if !slices.Equal(tries, want) || streams != 1 {
		t.Errorf("tries at %v, want %v; %d by stream, want 1", tries, want, streams)
	}
}

// Answers that take long make the intervals longer, within bounds, and quick ones make them short again.
func TestIntervalsFollowAnswers(t *testing.T) {
	const ms = time.Millisecond
	var p pace
	say := func(times int, after time.Duration, lo, hi time.Duration) {
		t.Helper()
		for range times {
			p.answered(after)
		}
		if got := p.first(); got < lo || got > hi {
			t.Errorf("after answers of %v: %v, want %v to %v", after, got, lo, hi)
		}
	}
	say(0, 0, 10*ms, 10*ms)
	say(20, ms, 10*ms, 10*ms)
	say(3, 18*ms, 18*ms, 40*ms)
	say(60, 18*ms, 18*ms, 20*ms)
	say(9, time.Minute, 40*ms, 40*ms)
	say(200, ms, 10*ms, 10*ms)
}

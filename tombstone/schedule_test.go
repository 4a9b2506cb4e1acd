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
	var tries []time.Duration
	streams := 0
	for now := time.Duration(0); now < 3*time.Second; now += ms {
		if !s.isDue(at(now)) {
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

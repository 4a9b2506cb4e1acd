package clock

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// An age must never be too small and an elapsed time never too large, whatever the machine did between two readings: it
// slept (the raw clock stood still), the boot clock was slewed, and both crystals are wrong by less than Drift.
func TestBoundsHoldUnderSleepAndSlewing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		then := Stamp{Raw: rapid.Int64Range(1, 1<<50).Draw(t, "raw"), Boot: rapid.Int64Range(1, 1<<50).Draw(t, "boot")}
		awake := rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "awake ns")
		asleep := rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "asleep ns")
		crystal := rapid.Float64Range(-0.9, 0.9).Draw(t, "drift") * Drift
		slew := rapid.Float64Range(-0.08, 0.08).Draw(t, "slew")
		now := Stamp{
			Raw:  then.Raw + int64(float64(awake)*(1+crystal)),
			Boot: then.Boot + int64(float64(awake)*(1+slew)+float64(asleep)),
		}
		truth := time.Duration(awake + asleep)
		if asleep == 0 && slew <= 0 || asleep > 0 && slew >= 0 || slew == 0 {
			if age := now.Age(then); age < truth-time.Microsecond-time.Duration(float64(truth)*Drift) {
				t.Fatalf("age %v of something %v ago", age, truth)
			}
		}
		if elapsed := now.Elapsed(then); elapsed > truth+time.Microsecond {
			t.Fatalf("elapsed %v of %v", elapsed, truth)
		}
	})
}

func TestNowGoesForward(t *testing.T) {
	first := Now()
	if first.IsZero() {
		t.Fatal("no reading")
	}
	for deadline := time.Now().Add(5 * time.Second); !first.Before(Now()); {
		if time.Now().After(deadline) {
			t.Fatal("the clocks stand still")
		}
	}
	if s := first.Add(time.Second); s.Sub(first) != time.Second || !first.Before(s) || s.Before(first) {
		t.Fatal("Add, Sub and Before do not agree")
	}
}

// Package clock reads the two clocks that tombstones are compared by.
//
// A Stamp is a pair of readings: CLOCK_MONOTONIC_RAW is never slewed but stops while the machine sleeps;
// CLOCK_BOOTTIME counts sleep but may be slewed. Whoever needs an upper bound of an elapsed time takes the
// larger of the two differences, whoever needs a lower bound the smaller one, so that neither a suspended
// machine nor a slewed clock can make a bound untrue. Stamps of different processes must never be compared.
package clock

import "time"

// Drift is the part by which a crystal may be wrong: ages are stretched and elapsed times shrunk by it.
const Drift = 1.0 / 1000

// Stamp is one reading of both clocks, in nanoseconds since an arbitrary start of this machine.
// The zero Stamp means "no reading".
type Stamp struct {
	Raw  int64 // CLOCK_MONOTONIC_RAW
	Boot int64 // CLOCK_BOOTTIME
}

// IsZero says that s was never taken.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// Age is an upper bound of the time from then to s: the larger difference, stretched by Drift.
func (s Stamp) Age(then Stamp) time.Duration {
	d := max(s.Raw-then.Raw, s.Boot-then.Boot)
	return time.Duration(float64(d) * (1 + Drift))
}

// Elapsed is a lower bound of the time from then to s: the smaller difference, shrunk by Drift.
func (s Stamp) Elapsed(then Stamp) time.Duration {
	d := min(s.Raw-then.Raw, s.Boot-then.Boot)
	return time.Duration(float64(d) * (1 - Drift))
}

// Sub is the plain difference by the boot clock, for everything that is not a proof: expiry, display, metrics.
func (s Stamp) Sub(then Stamp) time.Duration { return time.Duration(s.Boot - then.Boot) }

// Add moves both readings by d.
func (s Stamp) Add(d time.Duration) Stamp {
	return Stamp{Raw: s.Raw + int64(d), Boot: s.Boot + int64(d)}
}

// Before says that s is surely earlier than t: by both readings.
func (s Stamp) Before(t Stamp) bool { return s.Raw < t.Raw && s.Boot < t.Boot }

// Package hold stops evictions for a while where several were found wrong: each refuted one counts within Window, and what has had
// enough of them is on hold For so long.
package hold

import (
	"iter"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Window and For must be alike: then what put something on hold no longer counts when the hold ends.
const (
	Window = 10 * time.Minute // a refuted eviction counts for so long
	For    = 10 * time.Minute // how long a hold lasts
)

// Holds counts refuted evictions R and knows which scopes S (a broker, a source, the node) are on hold. Make one with New.
type Holds[R any, S comparable] struct {
	max     int
	refuted []refutation[R]   // within Window as of the newest, oldest first
	until   map[S]clock.Stamp // kept for a moment longer than the hold, so that each refutation counts anew
}

type refutation[R any] struct {
	at   clock.Stamp
	what R
}

// New makes a Holds without any, that counts at most the newest max refuted evictions.
func New[R any, S comparable](max int) Holds[R, S] {
	return Holds[R, S]{max: max, until: map[S]clock.Stamp{}}
}

// Refute counts one refuted eviction.
func (h *Holds[R, S]) Refute(r R, now clock.Stamp) {
	h.refuted = slices.DeleteFunc(h.refuted, func(o refutation[R]) bool { return now.Sub(o.at) > Window })
	if len(h.refuted) >= h.max {
		h.refuted = slices.Delete(h.refuted, 0, 1)
	}
	h.refuted = append(h.refuted, refutation[R]{now, r})
}

// Counting are the refuted evictions that count for a scope: those since it was last on hold.
func (h *Holds[R, S]) Counting(s S) iter.Seq[R] {
	return func(yield func(R) bool) {
		until := h.until[s]
		for _, o := range h.refuted {
			if !until.IsZero() && until.Sub(o.at) >= For {
				continue
			}
			if !yield(o.what) {
				return
			}
		}
	}
}

// Hold puts a scope on hold, and says until when.
func (h *Holds[R, S]) Hold(s S, now clock.Stamp) clock.Stamp {
	h.until[s] = now.Add(For)
	return h.until[s]
}

// On says whether a scope is on hold.
func (h *Holds[R, S]) On(s S, now clock.Stamp) bool {
	until := h.until[s]
	return !until.IsZero() && now.Sub(until) < 0
}

// All are the scopes that are on hold, and until when, in any order.
func (h *Holds[R, S]) All(now clock.Stamp) iter.Seq2[S, clock.Stamp] {
	return func(yield func(S, clock.Stamp) bool) {
		for s, until := range h.until {
			if h.On(s, now) && !yield(s, until) {
				return
			}
		}
	}
}

// Sweep forgets holds that are over.
func (h *Holds[R, S]) Sweep(now clock.Stamp) {
	for s, until := range h.until {
		if now.Sub(until) > 0 {
			delete(h.until, s)
		}
	}
}

// Counted is how many refuted evictions are remembered.
func (h *Holds[R, S]) Counted() int { return len(h.refuted) }

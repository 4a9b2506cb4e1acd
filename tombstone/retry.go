package tombstone

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// restTime is after how long what was given up is tried again. A member may be listed here and yet hear nothing: it may take
// this node for dead for longer than it listens to the dead, or its path may be cut for less than memberlist notices.
const restTime = 2 * time.Second

// rest is what was given up with a member that is present.
type rest struct {
	since clock.Stamp // the first of what follows
	hints []uint64    // own tombstones
	pulls []*want     // its tombstones
}

func (r *rest) giveUp(now clock.Stamp, hints []uint64, pulls []*want) {
	if r.empty() {
		r.since = now
	}
	if len(r.hints)+len(hints) <= 2*MaxLive {
		r.hints = append(r.hints, hints...)
	}
	if len(r.pulls)+len(pulls) <= maxWanted {
		r.pulls = append(r.pulls, pulls...)
	}
}

func (r *rest) empty() bool { return len(r.hints)+len(r.pulls) == 0 }

// over says that it is time to try again.
func (r *rest) over(now clock.Stamp) bool { return !r.empty() && now.Sub(r.since) >= restTime }

// resume tries again what rests, as far as it still matters: own tombstones as long as they live, those of others for as
// long as one lives from when it was hinted first.
func (x *Exchange) resume(m *member, now clock.Stamp, out *Output) {
	r := m.rest
	if r.empty() {
		return
	}
	m.rest = rest{}
	for _, seq := range r.hints {
		if x.wantsHint(m, seq) {
			m.queue(seq)
		}
	}
	for _, w := range r.pulls {
		if _, known := x.recall(w.id); !known && now.Sub(w.since) < TTL {
			x.wish(m, w.id, w.since)
		}
	}
	x.flushHints(m, now, out)
	x.flushPulls(m, now, out)
}

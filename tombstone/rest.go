package tombstone

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// restTime is after how long what was given up is tried again. A member may be listed here and yet hear nothing, because
// it takes this node for dead for some seconds (probes are lost, too) and does not listen to the dead.
const restTime = 2 * time.Second

// rest is what was given up with a member that is present.
type rest struct {
	since clock.Stamp // the first of what follows
	hints []uint64    // own tombstones
	pulls []ID        // its tombstones
}

func (r *rest) giveUp(now clock.Stamp, hints []uint64, pulls []ID) {
	if len(r.hints)+len(r.pulls) == 0 {
		r.since = now
	}
	if len(r.hints)+len(hints) <= 2*MaxLive {
		r.hints = append(r.hints, hints...)
	}
	if len(r.pulls)+len(pulls) <= maxWanted {
		r.pulls = append(r.pulls, pulls...)
	}
}

// resume tries again what has rested for long enough, as far as it still matters. It ends with the tombstones' life: the
// origin answers a question about an older one that it knows nothing of it.
func (x *Exchange) resume(m *member, now clock.Stamp, out *Output) {
	r := m.rest
	if len(r.hints)+len(r.pulls) == 0 || now.Sub(r.since) < restTime {
		return
	}
	m.rest = rest{}
	for _, seq := range r.hints {
		if x.wantsHint(m, seq) {
			m.queue(seq)
		}
	}
	for _, id := range r.pulls {
		if _, known := x.recall(id); !known {
			x.wish(m, id)
		}
	}
	x.flushHints(m, now, out)
	x.flushPulls(m, now, out)
}

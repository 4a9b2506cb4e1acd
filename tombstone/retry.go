package tombstone

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// retryAfter is how long this node waits before it tries again what it has given up. A member may be listed here and yet hear
// nothing: it may take this node for dead for longer than it listens to the dead, or its path may be cut for a time that
// is too short for memberlist to notice.
const retryAfter = 2 * time.Second

// givenUp is what this node has given up with a member that is present, until it tries again.
type givenUp struct {
	since clock.Stamp // when the first of what follows was given up
	hints []uint64    // sequence numbers of own tombstones
	pulls []*pullID   // tombstones of the member
}

func (r *givenUp) add(now clock.Stamp, hints []uint64, pulls []*pullID) {
	if r.empty() {
		r.since = now
	}
	if len(r.hints)+len(hints) <= 2*maxLive {
		r.hints = append(r.hints, hints...)
	}
	if len(r.pulls)+len(pulls) <= maxWanted {
		r.pulls = append(r.pulls, pulls...)
	}
}

func (r *givenUp) empty() bool { return len(r.hints)+len(r.pulls) == 0 }

// due says that it is time to try again.
func (r *givenUp) due(now clock.Stamp) bool { return !r.empty() && now.Sub(r.since) >= retryAfter }

// retryGivenUp tries again what was given up with m and still matters: own tombstones as long as they live, and those of m for
// a TTL after this node was first told of them.
func (x *Exchange) retryGivenUp(m *member, now clock.Stamp, out *Output) {
	r := m.givenUp
	if r.empty() {
		return
	}
	m.givenUp = givenUp{}
	for _, seq := range r.hints {
		if x.needsHint(m, seq) {
			m.queueHint(seq)
		}
	}
	for _, w := range r.pulls {
		if _, known := x.reportAtOnce(w.id); !known && now.Sub(w.since) < TTL {
			x.queuePull(m, w.id, w.since)
		}
	}
	x.startHints(m, now, out)
	x.startPulls(m, now, out)
}

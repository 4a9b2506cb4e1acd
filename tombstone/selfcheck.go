package tombstone

import (
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// An eviction is refuted when the very connection that held the evicted registration registers that broker again,
// is still open refutedAfter later and has sent no UNREGISTER of it since: a departed process does not do that. A
// BrokerContainer that removes and adds an inner broker does, so one alone means little; maxRefuted within
// refutedWindow put evictions by tombstone on hold for holdFor.
const (
	refutedAfter  = 30 * time.Second
	refutedWindow = 10 * time.Minute
	maxRefuted    = 3
	holdFor       = 10 * time.Minute
)

// RefutedEviction is an eviction that turned out to be wrong, with the whole tombstone.
type RefutedEviction struct {
	Decision Decision
	Back     time.Duration // from the eviction to the REGISTER that brought the broker back
	Hold     bool          // this one put evictions on hold
}

// watched is an eviction whose connection may come back.
type watched struct {
	decision Decision
	back     clock.Stamp // first REGISTER after the eviction on the same connection; zero before
}

// selfCheck watches evictions, by connection and key (docs/spec/tombstones.md#self-check). The shell feeds it with the events
// of connections; a connection never comes back under its number.
type selfCheck struct {
	by    map[uint64]map[Key]*watched
	n     int           // watched in all, at most maxWatched
	times []clock.Stamp // of the last refuted evictions, oldest first, at most maxRefuted
	until clock.Stamp   // evictions are on hold before; zero when they never were
}

func newSelfCheck() selfCheck { return selfCheck{by: map[uint64]map[Key]*watched{}} }

// evicted starts to watch the connection that held the evicted registration.
func (r *selfCheck) evicted(d Decision) {
	conn := d.Verdict.Conn
	r.unwatch(conn, d.ID.Key)
	if r.n >= maxWatched {
		return
	}
	if r.by[conn] == nil {
		r.by[conn] = map[Key]*watched{}
	}
	r.by[conn][d.ID.Key] = &watched{decision: d}
	r.n++
}

// registered notes that the connection that held the evicted registration registered the broker again.
func (r *selfCheck) registered(conn uint64, k Key, who Identity, now clock.Stamp) {
	w := r.by[conn][k]
	if w != nil && w.back.IsZero() && w.decision.ID.Name == who.Name && w.decision.ID.BrokerID == who.BrokerID {
		w.back = now
	}
}

// unwatch ends a watch: the connection sent an UNREGISTER of k, or a newer eviction of it is watched.
func (r *selfCheck) unwatch(conn uint64, k Key) {
	if r.by[conn][k] == nil {
		return
	}
	delete(r.by[conn], k)
	r.n--
	if len(r.by[conn]) == 0 {
		delete(r.by, conn)
	}
}

func (r *selfCheck) closed(conn uint64) {
	r.n -= len(r.by[conn])
	delete(r.by, conn)
}

// holding says that this node evicts nothing by tombstone for the moment.
func (r *selfCheck) holding(now clock.Stamp) bool { return !r.until.IsZero() && now.Sub(r.until) < 0 }

// sweep returns the evictions that are refuted by now, oldest first, and ends the watch of those whose broker never came back.
func (r *selfCheck) sweep(now clock.Stamp) []RefutedEviction {
	var out []RefutedEviction
	for conn, keys := range r.by {
		for k, w := range keys {
			switch {
			case !w.back.IsZero() && now.Sub(w.back) >= refutedAfter:
				out = append(out, RefutedEviction{Decision: w.decision, Back: w.back.Sub(w.decision.At)})
				r.unwatch(conn, k)
			case w.back.IsZero() && now.Sub(w.decision.At) >= TTL:
				r.unwatch(conn, k)
			}
		}
	}
	slices.SortFunc(out, func(a, b RefutedEviction) int { return compareDecisions(a.Decision, b.Decision) })
	for i := range out {
		out[i].Hold = r.count(now)
	}
	return out
}

// count adds one refuted eviction and says whether it is the one that starts a hold.
func (r *selfCheck) count(now clock.Stamp) bool {
	r.times = append(r.times, now)
	r.times = r.times[max(0, len(r.times)-maxRefuted):]
	if len(r.times) < maxRefuted || now.Sub(r.times[0]) > refutedWindow || r.holding(now) {
		return false
	}
	r.until = now.Add(holdFor)
	r.times = nil
	return true
}

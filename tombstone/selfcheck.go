package tombstone

import (
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// An eviction is refuted when the very connection that held the evicted registration registers that broker again,
// is still open refuteAfter later and has sent no UNREGISTER of it since: a departed process does not do that. A
// BrokerContainer that removes and adds an inner broker does, so one alone means little; maxRefuted within
// refuteWindow put evictions by tombstone on hold for holdFor.
const (
	refuteAfter  = 30 * time.Second
	refuteWindow = 10 * time.Minute
	maxRefuted   = 3
	holdFor      = 10 * time.Minute
)

// Refutation is an eviction that turned out to be wrong, with the whole tombstone.
type Refutation struct {
	Decision Decision
	Back     time.Duration // from the eviction to the REGISTER that brought the broker back
	Hold     bool          // this one put evictions on hold
}

// watched is an eviction whose connection may come back.
type watched struct {
	decision Decision
	back     clock.Stamp // first REGISTER after the eviction on the same connection; zero before
}

// refutes watches evictions, by connection and key. It is fed by events from the connections; a connection never
// comes back under its number.
type refutes struct {
	by    map[uint64]map[Key]*watched
	n     int           // watched in all, at most maxWatched
	times []clock.Stamp // of the last refutations, oldest first, at most maxRefuted
	until clock.Stamp   // evictions are on hold before; zero when they never were
}

func newRefutes() refutes { return refutes{by: map[uint64]map[Key]*watched{}} }

// evicted starts to watch the connection that held the evicted registration.
func (r *refutes) evicted(d Decision) {
	conn := d.Verdict.Conn
	r.forget(conn, d.ID.Key)
	if r.n >= maxWatched {
		return
	}
	if r.by[conn] == nil {
		r.by[conn] = map[Key]*watched{}
	}
	r.by[conn][d.ID.Key] = &watched{decision: d}
	r.n++
}

// registered notes that a broker was registered again by the connection that held the evicted registration.
func (r *refutes) registered(conn uint64, k Key, who Identity, now clock.Stamp) {
	w := r.by[conn][k]
	if w != nil && w.back.IsZero() && w.decision.ID.Name == who.Name && w.decision.ID.BrokerID == who.BrokerID {
		w.back = now
	}
}

// forget stops to watch: the connection sent an UNREGISTER of k, or something newer is watched.
func (r *refutes) forget(conn uint64, k Key) {
	if r.by[conn][k] == nil {
		return
	}
	delete(r.by[conn], k)
	r.n--
	if len(r.by[conn]) == 0 {
		delete(r.by, conn)
	}
}

func (r *refutes) closed(conn uint64) {
	r.n -= len(r.by[conn])
	delete(r.by, conn)
}

// holding says that this node evicts nothing by tombstone for the moment.
func (r *refutes) holding(now clock.Stamp) bool { return !r.until.IsZero() && now.Sub(r.until) < 0 }

// sweep answers the evictions that are refuted by now, oldest first, and forgets those that were never taken back.
func (r *refutes) sweep(now clock.Stamp) []Refutation {
	var out []Refutation
	for conn, keys := range r.by {
		for k, w := range keys {
			switch {
			case !w.back.IsZero() && now.Sub(w.back) >= refuteAfter:
				out = append(out, Refutation{Decision: w.decision, Back: w.back.Sub(w.decision.At)})
				r.forget(conn, k)
			case w.back.IsZero() && now.Sub(w.decision.At) >= TTL:
				r.forget(conn, k)
			}
		}
	}
	slices.SortFunc(out, func(a, b Refutation) int { return compareDecisions(a.Decision, b.Decision) })
	for i := range out {
		out[i].Hold = r.count(now)
	}
	return out
}

// count adds one refutation and says whether it is the one that starts a hold.
func (r *refutes) count(now clock.Stamp) bool {
	r.times = append(r.times, now)
	r.times = r.times[max(0, len(r.times)-maxRefuted):]
	if len(r.times) < maxRefuted || now.Sub(r.times[0]) > refuteWindow || r.holding(now) {
		return false
	}
	r.until = now.Add(holdFor)
	r.times = nil
	return true
}

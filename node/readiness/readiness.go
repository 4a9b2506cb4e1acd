// Package readiness decides when a node may be sent clients: it serves, does not drain, and holds the brokers that its
// peers hold; where no peer can tell, it has waited as the original does. Everything that asks (/readyz, the word told to
// members, routes withheld from clients, metrics) asks here. Time is handed in; nothing is logged or sent.
package readiness

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
)

// Phase is where a node stands between start and stop. It never goes back.
type Phase int32

// The phases, in their order.
const (
	Starting Phase = iota
	Serving
	Draining
	Stopping
)

// Stage is where a node that (re)started stands with its peers.
type Stage int32

// The stages. The last two are never left.
const (
	Asking   Stage = iota // it does not know yet what its peers hold
	Catching              // it lacks brokers that a peer holds
	Alone                 // nobody can tell what there is: the original's rule alone applies
	Caught                // it holds what its peers hold, or waited for long enough
)

// Rule is the original's: no route is answered before the node has been there for Wait, if Need says so
// (needWaitForService, waitSecondsForService). Both change while the node runs. Wait also bounds how long peers' brokers
// are waited for.
type Rule struct {
	Need bool
	Wait time.Duration
}

// Readiness is that of one node. Start comes first; then its methods may be called from any goroutine.
type Readiness struct {
	started clock.Stamp
	phase   atomic.Int32
	stage   atomic.Int32

	mu      sync.Mutex // guards the following fields
	lacks   digest.Catchup
	took    time.Duration // until the node was ready; 0 before
	lacking int           // brokers missing when it was ready by time
	most    int           // brokers missing at the worst
}

// Start says when the node started, and whether there are peers that may know of brokers.
func (r *Readiness) Start(now clock.Stamp, peers bool) {
	r.started = now
	if !peers {
		r.stage.Store(int32(Alone))
	}
}

// Up is how long the node has been there.
func (r *Readiness) Up(now clock.Stamp) time.Duration { return now.Sub(r.started) }

// Enter goes to the next phase.
func (r *Readiness) Enter(next Phase) {
	for {
		now := r.phase.Load()
		if Phase(now) >= next || r.phase.CompareAndSwap(now, int32(next)) {
			return
		}
	}
}

// Phase is the present one.
func (r *Readiness) Phase() Phase { return Phase(r.phase.Load()) }

// Waits says that the node waits for its peers: to hear what they hold, or for the brokers that they hold.
func (r *Readiness) Waits() bool { return r.Stage() <= Catching }

// Stage is where the node stands with its peers.
func (r *Readiness) Stage() Stage { return Stage(r.stage.Load()) }

// News is what a look at the peers changed, with all that is worth telling of it.
type News struct {
	Stage   Stage
	Took    time.Duration // since the start
	Lacks   digest.Catchup
	Lacking int // Caught by time: so many brokers that peers hold are missing
	Most    int // brokers missing at the worst
}

// Look takes in what is known of the peers, and says whether that changes the stage. joined: who is no member by now does
// not answer.
func (r *Readiness) Look(c digest.Catchup, joined bool, now clock.Stamp, rule Rule) (news News, changed bool) {
	before, up := r.Stage(), r.Up(now)
	if before > Catching {
		return News{}, false
	}
	next := Catching
	switch {
	case !joined || len(c.Undecided) > 0:
		next = Asking
	case len(c.Witnesses) == 0:
		next = Alone
	case len(c.Missing) == 0:
		next = Caught
	}
	if next <= Catching && up >= rule.Wait {
		next = Caught
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lacks, r.most = c, max(r.most, len(c.Missing))
	if next > Catching {
		r.lacking = len(c.Missing)
	}
	r.stage.Store(int32(next))
	return News{Stage: next, Took: up, Lacks: c, Lacking: r.lacking, Most: r.most}, next != before
}

// Ready says whether clients should be sent here, and why (not).
func (r *Readiness) Ready(now clock.Stamp, rule Rule) (ready bool, why string) {
	switch r.Phase() {
	case Starting:
		return false, "not ready: starting"
	case Draining:
		return false, "not ready: draining"
	case Stopping:
		return false, "not ready: stopping"
	}
	if up := r.Up(now); r.Waits() && up < rule.Wait {
		return false, r.waitsFor(up, rule.Wait)
	}
	if rule.Need && r.early(now, rule) {
		return false, "not ready: brokers are given " + strconv.Itoa(int(rule.Wait.Seconds())) +
			" s from the start to register (needWaitForService, waitSecondsForService)"
	}
	return true, "ready"
}

// Withholds says that a client gets no route yet. closing: it would be sent away while the node waits for its peers, whatever
// the rule says.
func (r *Readiness) Withholds(now clock.Stamp, rule Rule, closing bool) bool {
	return (rule.Need || closing && r.Waits()) && r.early(now, rule)
}

// early says that the node has not yet been there for long enough, and does not know that it holds what its peers hold.
func (r *Readiness) early(now clock.Stamp, rule Rule) bool {
	return r.Up(now) < rule.Wait && r.Stage() != Caught
}

// First notes that the node is ready now, and says whether it was not before.
func (r *Readiness) First(now clock.Stamp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.took == 0
	if first {
		r.took = r.Up(now)
	}
	return first
}

// Figures are how many brokers are waited for now, and how long it took until the node was ready; 0: it never was.
func (r *Readiness) Figures() (missing int, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Waits() {
		missing = len(r.lacks.Missing)
	}
	return missing, r.took
}

// waitsFor says what is waited for.
func (r *Readiness) waitsFor(up, limit time.Duration) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	tail := fmt.Sprintf(" (%d s so far, at most %d: waitSecondsForService)", int(up.Seconds()), int(limit.Seconds()))
	switch n := len(r.lacks.Missing); {
	case n > 0:
		return fmt.Sprintf("not ready: waiting for %d of the %d brokers that %s holds: %s%s",
			n, max(n, r.lacks.Held), r.lacks.Missing[0].Holder, Names(r.lacks.Missing), tail)
	case len(r.lacks.Undecided) > 0:
		return "not ready: waiting to hear what " + strings.Join(firstOf(r.lacks.Undecided, 5), ", ") + " holds" + tail
	default:
		return "not ready: looking for other nodes (--join)" + tail
	}
}

// Names are the first of the missing brokers, for people.
func Names(missing []digest.Missing) string {
	var names []string
	for _, m := range missing {
		names = append(names, m.Name+" id "+strconv.FormatInt(m.ID, 10)+" at "+m.Addr)
	}
	return strings.Join(firstOf(names, 5), ", ")
}

// firstOf shortens a list for people.
func firstOf(names []string, most int) []string {
	if len(names) <= most {
		return names
	}
	return append(names[:most:most], fmt.Sprintf("%d more", len(names)-most))
}

// Package readiness decides when a node may be sent clients: it serves, does not drain, and holds the brokers that witnesses
// hold; where there is no witness, it has given brokers the time of one registration. Everything that asks (/readyz, the word
// told to members, routes withheld from clients, metrics) asks here. Time is handed in; nothing is logged or sent.
// The rules: docs/guarantees.md, "Ready".
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

// The stages. From Timed on the node is ready by them, and never goes back to one before.
const (
	Asking    Stage = iota // it does not know yet what its peers hold, or whether there are any
	Listening              // nobody can tell what there is: it gives brokers one registration period
	Catching               // it lacks brokers that a witness holds
	Timed                  // it has waited for long enough; it may be witnessed later
	Witnessed              // it held what its witnesses hold
	Single                 // it gossips with nobody: the original's rule alone applies
)

// Rule says for how long is waited. The first two are the original's (needWaitForService, waitSecondsForService): with Need no
// route is answered before the node has been there for Wait. They change while the node runs; the others do not.
type Rule struct {
	Need     bool
	Wait     time.Duration
	Period   time.Duration // between two registrations of a broker (--ready-after)
	JoinWait time.Duration // until the node is ready whatever its peers say or do not say (--join-wait)
}

// Peers is what is known of the other nodes.
type Peers struct {
	digest.Catchup
	Joined  bool   // who is no member by now does not answer
	Reached bool   // another member was met since the start, or none is looked for
	Trouble string // why none was reached, in words; may be empty
}

// Readiness is that of one node. Start comes first; then its methods may be called from any goroutine.
type Readiness struct {
	started clock.Stamp
	phase   atomic.Int32
	stage   atomic.Int32
	drained atomic.Bool // an operator, or a stop that is to come, lets clients go

	mu    sync.Mutex    // guards the following fields
	peers Peers         // at the last look
	took  time.Duration // until the node was ready; 0 before
	most  int           // brokers missing at the worst
}

// Start says when the node began to listen, and whether it gossips.
func (r *Readiness) Start(now clock.Stamp, gossips bool) {
	r.started = now
	if !gossips {
		r.stage.Store(int32(Single))
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

// Drain lets clients go, or takes them again: unlike a phase it can be gone back on.
func (r *Readiness) Drain(on bool) { r.drained.Store(on) }

// Drains says that the node serves on and clients are to go elsewhere.
func (r *Readiness) Drains() bool {
	return r.Phase() == Draining || r.Phase() == Serving && r.drained.Load()
}

// Waits says that the node is not ready by what it knows of its peers.
func (r *Readiness) Waits() bool { return r.Stage() < Timed }

// Stage is where the node stands with its peers.
func (r *Readiness) Stage() Stage { return Stage(r.stage.Load()) }

// Settled says that no look at the peers changes anything any more.
func (r *Readiness) Settled() bool { return r.Stage() >= Witnessed }

// News is what a look at the peers changed, with all that is worth telling of it.
type News struct {
	Before, Stage Stage
	Took          time.Duration // since the start
	Peers         Peers
	Most          int // brokers missing at the worst
}

// Look takes in what is known of the peers, and says whether that changes the stage.
func (r *Readiness) Look(p Peers, now clock.Stamp, rule Rule) (news News, changed bool) {
	before, up := r.Stage(), r.Up(now)
	next := before
	switch whole := p.settled() && len(p.Witnesses) > 0 && len(p.Missing) == 0; {
	case before >= Witnessed:
		return News{}, false
	case whole:
		next = Witnessed
	case before < Timed:
		next = p.stage(up, rule)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers, r.most = p, max(r.most, len(p.Missing))
	r.stage.Store(int32(next))
	return News{Before: before, Stage: next, Took: up, Peers: p, Most: r.most}, next != before
}

// settled says that it is known of every member what it holds.
func (p *Peers) settled() bool { return p.Joined && p.Reached && len(p.Undecided) == 0 }

// stage is that of a node that lacks something, or does not know whether it does.
func (p *Peers) stage(up time.Duration, rule Rule) Stage {
	switch {
	case up >= rule.JoinWait && (!p.settled() || len(p.Witnesses) > 0):
		return Timed
	case !p.settled():
		return Asking
	case len(p.Witnesses) > 0:
		return Catching
	case up >= rule.Period:
		return Timed
	}
	return Listening
}

// Witness says that other nodes may take what this one holds for what there is: it is ready, and was witnessed itself or has
// heard one registration period.
func (r *Readiness) Witness(now clock.Stamp, rule Rule) bool {
	ready, _ := r.Ready(now, rule)
	return ready && (r.Stage() == Witnessed || r.Up(now) >= rule.Period)
}

// Ready says whether clients should be sent here, and why (not).
func (r *Readiness) Ready(now clock.Stamp, rule Rule) (ready bool, why string) {
	switch r.Phase() {
	case Starting:
		return false, "not ready: starting"
	case Stopping:
		return false, "not ready: stopping"
	}
	if r.Drains() {
		return false, "not ready: draining"
	}
	if r.Waits() {
		return false, r.waitsFor(now, rule)
	}
	if r.early(now, rule) {
		return false, "not ready: brokers are given " + strconv.Itoa(int(rule.Wait.Seconds())) +
			" s from the start to register (needWaitForService, waitSecondsForService)"
	}
	return true, "ready"
}

// Withholds says that a client gets no route yet. closing: it is sent away while the node waits for its peers, whatever the
// original's rule says.
func (r *Readiness) Withholds(now clock.Stamp, rule Rule, closing bool) bool {
	return r.early(now, rule) || closing && r.Waits()
}

// early says that the original's rule is on, its time is not over, and the node does not know that it holds what its peers
// hold.
func (r *Readiness) early(now clock.Stamp, rule Rule) bool {
	return rule.Need && r.Up(now) < rule.Wait && r.Stage() != Witnessed
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
		missing = len(r.peers.Missing)
	}
	return missing, r.took
}

// waitsFor says what is waited for.
func (r *Readiness) waitsFor(now clock.Stamp, rule Rule) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, up := &r.peers, r.Up(now)
	within := func(limit time.Duration, flag string) string {
		return fmt.Sprintf(" (%d s so far, at most %v: %s)", int(up.Seconds()), limit, flag)
	}
	switch n := len(p.Missing); {
	case r.Stage() == Listening:
		return "not ready: no other node knows which brokers there are, so they are given one registration period" +
			within(rule.Period, "--ready-after")
	case n > 0:
		text := fmt.Sprintf("not ready: waiting for %d of the %d brokers that %s holds: %s", n, max(n, p.Held), p.Missing[0].Holder,
			Names(p.Missing, 5))
		if len(p.LeftOut) > 0 {
			text += "; not for " + Names(p.LeftOut, 5)
		}
		return text + within(rule.JoinWait, "--join-wait")
	case p.Joined && !p.Reached:
		return "not ready: no node of --join was reached: " + p.Trouble + within(rule.JoinWait, "--join-wait")
	case len(p.Undecided) > 0:
		return "not ready: waiting to hear what " + strings.Join(firstOf(p.Undecided, 5), ", ") + " holds" + within(rule.JoinWait, "--join-wait")
	default:
		return "not ready: looking for other nodes (--join)" + within(rule.JoinWait, "--join-wait")
	}
}

// Names are the first of the missing brokers, for people.
func Names(missing []digest.Missing, most int) string {
	var names []string
	for _, m := range missing {
		names = append(names, m.Name+" id "+strconv.FormatInt(m.ID, 10)+" at "+m.Addr)
	}
	return strings.Join(firstOf(names, most), ", ")
}

// firstOf shortens a list for people.
func firstOf(names []string, most int) []string {
	if len(names) <= most {
		return names
	}
	return append(names[:most:most], fmt.Sprintf("%d more", len(names)-most))
}

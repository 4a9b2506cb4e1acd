package tombstone

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Counters count since New. Arrays are indexed by their reason or outcome; Made[Made] counts the tombstones made.
type Counters struct {
	HintsSent, PullsSent, ProofsSent, DonesSent, StreamsSent                    uint64 // packets, of any path
	HintsReceived, PullsReceived, ProofsReceived, DonesReceived, MergesReceived uint64 // messages
	Made                                                                        [notMadeKinds]uint64
	LateProofs, Expired, Capped                                                 uint64           // own tombstones
	Decided                                                                     [outcomes]uint64 // here, on a proof
	LostTime                                                                    uint64           // proofs of a member that lost time
	Refuted                                                                     uint64           // evictions found wrong
	HintsUnanswered, PullsUnanswered                                            uint64           // ids given up
	HintsUnknownOrigin, WantedDropped, MembersRefused                           uint64
	RefusedMalformed, RefusedSender, RefusedOrigin, RefusedNonce                uint64 // messages by reason
}

// Counters returns a copy.
func (x *Exchange) Counters() Counters { return x.counters }

// send counts and puts out one packet.
func (x *Exchange) send(out *Output, p Packet) {
	switch p.Msg.(type) {
	case Hint:
		x.counters.HintsSent++
	case Pull:
		x.counters.PullsSent++
	case Proof:
		x.counters.ProofsSent++
	case Done:
		x.counters.DonesSent++
	}
	if p.Path == Stream {
		x.counters.StreamsSent++
	}
	out.Packets = append(out.Packets, p)
}

// Status is what `epitaph tombstones` shows.
type Status struct {
	At        clock.Stamp // when it was asked for
	Live      int         // own tombstones in all; Own may hold fewer
	Own       []OwnStatus
	Decisions []Decision // newest first
	Members   []MemberStatus
	Holds     []Hold // on evictions by tombstone, those of the whole node first
}

// OwnStatus is one tombstone of this node and what each member did with it.
type OwnStatus struct {
	ID      ID
	Age     time.Duration
	HasLife bool
	Reports []MemberReport
}

// MemberReport is what one member did with one tombstone.
type MemberReport struct {
	Member   string
	Boot     uint64
	Answered bool          // false: no answer (yet)
	Reported bool          // false: it asked for proof and has not said what it did
	Outcome  Outcome       // with Reported
	Revision uint8         // with late proof (1) or without
	After    time.Duration // from U to the answer, by this node's clock
}

// MemberStatus is one member and what waits for it.
type MemberStatus struct {
	Peer
	Up       bool
	Hints    int  // own tombstones waiting to be hinted, with those under way and those given up
	Pulls    int  // tombstones of its waiting to be asked for, with those under way and those given up
	ByStream bool // its last answer came only after a try by stream: UDP may be blocked
}

// Status returns at most limit tombstones and limit decisions, newest first.
func (x *Exchange) Status(limit int, now clock.Stamp) Status {
	s := Status{At: now, Live: len(x.own)}
	for _, o := range slices.Backward(x.byAge) {
		if len(s.Own) >= limit {
			break
		}
		s.Own = append(s.Own, o.status(now))
	}
	for _, r := range slices.Backward(x.history) {
		if len(s.Decisions) >= limit {
			break
		}
		s.Decisions = append(s.Decisions, x.decided[r])
	}
	for _, m := range x.order {
		ms := MemberStatus{
			Peer: m.Peer, Up: m.up, Hints: len(m.toHint) + len(m.givenUp.hints), Pulls: len(m.toPull) + len(m.givenUp.pulls),
			ByStream: m.byStream,
		}
		for _, b := range m.hints {
			ms.Hints += len(b.seqs)
		}
		for _, b := range m.pulls {
			ms.Pulls += len(b.ids)
		}
		s.Members = append(s.Members, ms)
	}
	s.Holds = x.check.held(now)
	return s
}

func (o *own) status(now clock.Stamp) OwnStatus {
	s := OwnStatus{ID: o.id, Age: now.Sub(o.u), HasLife: !o.life.IsZero()}
	for _, t := range o.progress {
		s.Reports = append(s.Reports, MemberReport{
			Member: t.m.Name, Boot: t.m.Boot, Answered: t.state != hinting, Reported: t.state == reported,
			Outcome: t.outcome, Revision: t.revision, After: t.after,
		})
	}
	return s
}

// Check verifies the limits and the relations between the parts. Tests call it after every step.
func (x *Exchange) Check(now clock.Stamp) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(x.own) > maxLive || len(x.own) != len(x.byAge) {
		fail("%d own tombstones, %d by age", len(x.own), len(x.byAge))
	}
	if !slices.IsSortedFunc(x.byAge, func(a, b *own) int { return int(a.u.Boot - b.u.Boot) }) {
		fail("own tombstones out of order")
	}
	live := 0
	for from, n := range x.live {
		if *n == 0 {
			fail("no own tombstones of %v, which is remembered", from)
		}
		live += *n
	}
	if live != len(x.own) {
		fail("%d own tombstones by source, %d in all", live, len(x.own))
	}
	if len(x.latest) > len(x.own) {
		fail("%d latest keys of %d tombstones", len(x.latest), len(x.own))
	}
	if len(x.history) > maxDecisions || len(x.history) != len(x.decided) {
		fail("%d decisions, %d in order", len(x.decided), len(x.history))
	}
	if len(x.order) > maxMembers || len(x.order) != len(x.members) {
		fail("%d members, %d in order", len(x.members), len(x.order))
	}
	if len(x.clocks.by) > maxClocks {
		fail("%d clocks", len(x.clocks.by))
	}
	watches := 0
	for _, l := range x.check.sources {
		watches += l.Len()
	}
	if x.check.n > maxWatched || x.check.n != watches || x.check.holds.Counted() > maxRefuted {
		fail("%d watched evictions, %d by source, %d refuted", x.check.n, watches, x.check.holds.Counted())
	}
	ids, nonces := 0, 0
	for _, m := range x.order {
		if len(m.hints) > maxWindow || len(m.pulls) > maxWindow {
			fail("windows of %d and %d to %s", len(m.hints), len(m.pulls), m.Name)
		}
		if len(m.toHint) > 2*maxLive || len(m.toPull) > maxWanted {
			fail("queues of %d and %d to %s", len(m.toHint), len(m.toPull), m.Name)
		}
		if len(m.hints)+len(m.pulls) > 0 && !m.busy {
			fail("%s has batches and is not busy", m.Name)
		}
		if !m.up && len(m.hints)+len(m.pulls)+len(m.toHint)+len(m.toPull) > 0 {
			fail("%s is gone and waited for", m.Name)
		}
		if len(m.givenUp.hints) > 2*maxLive || len(m.givenUp.pulls) > maxWanted {
			fail("%d hints and %d pulls of %s given up", len(m.givenUp.hints), len(m.givenUp.pulls), m.Name)
		}
		if !m.up && len(m.givenUp.hints)+len(m.givenUp.pulls) > 0 {
			fail("%s is gone, and something waits for it to be tried again", m.Name)
		}
		ids += len(m.toPull)
		for _, b := range m.pulls {
			ids += len(b.ids)
			nonces += len(b.nonces)
		}
	}
	if ids != len(x.asking) {
		fail("%d ids asked for, %d in batches and queues", len(x.asking), ids)
	}
	if len(x.tries) > nonces {
		fail("%d outstanding questions of %d nonces", len(x.tries), nonces)
	}
	for _, o := range x.byAge {
		if !x.swept.IsZero() && x.swept.Age(o.u) > TTL {
			fail("tombstone %d outlived its TTL", o.id.Seq)
		}
		if o.id.Origin != x.self || o.id.valid() != nil {
			fail("tombstone %d is malformed", o.id.Seq)
		}
	}
	return errors.Join(errs...)
}

package vanish

import (
	"math"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// What a vote and an eviction take beside silence.
const (
	voteUnanswered  = 3 // transmissions
	evictUnanswered = 4
	voteTries       = 6                      // new connections
	lateAnswer      = 500 * time.Millisecond // whoever looked last before that does not vote
)

// Why is a reason not to vote, or to keep.
type Why uint8

// Reasons. The numbers of those for an abstention are those of the messages.
const (
	Votes           Why = iota
	NotHeld             // no such registration here
	NotWatched          // its connection is not watched
	SwitchedOff         // this node judges nobody: switched off
	Young               // this node has not listened for long
	Draining            // it is stopping
	NotLooking          // it has not looked of late
	HeardOfLate         // its silence is not long enough
	Uncalibrated        // probes were never answered on the connection
	ConnectFiltered     // new connections were not answered within ten minutes
	AnsweredFor         // something answers for others
	TooLittle           // too little was asked in vain
	Braked              // too many hosts are silent here
	OnHold              // evictions were refuted
	TooMany             // more claims are silent than are judged
	TooFew              // too few members agree
	Contradicted        // somebody heard the host
	NotAnswered         // a member that may be able to speak has not answered
	MoreNodes           // there are more nodes than the operator said
	Younger             // under the tables' lock the claim was not as it was judged, or its connection showed life
	Heir                // its claim was taken, and another source's keeps the registration
	whys
)

var whyNames = [whys]string{
	"votes", "not_held", "not_watched", "off", "young", "draining", "not_looking", "heard", "not_calibrated", "connect_filtered",
	"answered_for", "too_little", "braked", "on_hold", "too_many", "too_few", "contradicted", "not_answered", "more_nodes", "younger", "heir",
}

// Name is the reason for programs.
func (w Why) Name() string {
	if w < whys {
		return whyNames[w]
	}
	return "other"
}

// Keeps are the reasons to keep a claim whose host has been silent for T.
func Keeps() []Why {
	return []Why{
		Young, Draining, NotLooking, Uncalibrated, ConnectFiltered, AnsweredFor, TooLittle, Braked, OnHold, TooMany, TooFew, Contradicted, NotAnswered,
		MoreNodes, Younger, Heir,
	}
}

// known is how many nodes there are as far as this one knows.
func (n *Node) known() int {
	if n.cfg.Nodes > 0 {
		return n.cfg.Nodes
	}
	return min(n.nodes, maxNodes)
}

// Quorum is how many nodes must agree, of so many, the deciding one counted.
func Quorum(nodes int) int { return max(2, nodes/2+1) }

// abstains says why this node does not vote about a claim, or Votes.
func (n *Node) abstains(k *claim, now clock.Stamp) Why {
	m := k.machine
	switch {
	case n.cfg.Mode == Off:
		return SwitchedOff
	case k.line == nil:
		return NotWatched
	case n.draining:
		return Draining
	case now.Elapsed(n.started) < young:
		return Young
	case now.Age(n.attention.last) > lateAnswer:
		return NotLooking
	case n.answered:
		return AnsweredFor
	case !k.line.Calibrated():
		return Uncalibrated
	case !m.AnswersConnections(now):
		return ConnectFiltered
	case m.Silence(n.attention.Since(), now) < n.times.Vote:
		return HeardOfLate
	case k.line.unansweredSince(m.Life(), now) < voteUnanswered || m.TriesInVain(now) < voteTries:
		return TooLittle
	case n.braked:
		return Braked
	case n.after.holding(k.Subject, now):
		return OnHold
	case n.suspects > maxSuspects:
		return TooMany
	}
	return Votes
}

// unansweredSince is as Unanswered, of what was sent after life that anything else showed.
func (l *line) unansweredSince(life, now clock.Stamp) (count int) {
	for _, w := range l.waits {
		if life.Before(w) && now.Elapsed(w) >= inVain {
			count++
		}
	}
	return count
}

// brake finds out whether too many hosts are silent here, or gone by this rule, for any to be judged: half of them, or all others. Then it may
// be this node that does not hear.
func (n *Node) brake(machines []*machine, now clock.Stamp) {
	gone := n.after.gone(now)
	silent, living := len(gone), 0
	for _, m := range machines {
		_, evicted := gone[m.source]
		switch {
		case evicted:
		case now.Age(m.Life()) <= n.times.Suspect:
			living++
		default:
			silent++
		}
	}
	limit := max(1, int(math.Floor(float64(silent+living-1)*n.cfg.Brake)))
	was := n.braked
	n.braked = silent > 0 && (living == 0 || silent > limit)
	switch {
	case n.braked && !was:
		n.out.Events = append(n.out.Events, Event{Kind: BrakeBegan, Hosts: silent + living, Quiet: silent})
	case was && !n.braked:
		n.out.Events = append(n.out.Events, Event{Kind: BrakeEnded})
	}
}

// judge decides about a claim that is held and asked about.
func (n *Node) judge(k *claim, now clock.Stamp) {
	silence := k.machine.Silence(n.attention.Since(), now)
	if silence < n.times.After {
		return
	}
	e := Eviction{
		Claim: k.Claim, After: n.times.After, Silence: silence,
		Unanswered: k.line.unansweredSince(k.machine.Life(), now), Connects: k.machine.TriesInVain(now),
	}
	why, by := n.decide(k, &e, now)
	if why != Votes {
		n.keep(k, why, by, silence)
		return
	}
	n.evict(k, now)
	n.out.Evict = append(n.out.Evict, e)
}

// keep tells that a claim is kept, once for each reason in one silence.
func (n *Node) keep(k *claim, why Why, by string, silence time.Duration) {
	if k.kept&(1<<why) == 0 {
		k.kept |= 1 << why
		n.out.Events = append(n.out.Events, Event{Kind: Kept, Claim: k.Claim, Why: why, By: by, Silence: silence})
	}
}

// decide is the rule at one moment (docs/spec/deadhosts.md#the-rule): Votes says evict. It fills in who agreed.
func (n *Node) decide(k *claim, e *Eviction, now clock.Stamp) (why Why, by string) {
	if why := n.abstains(k, now); why != Votes {
		return why, ""
	}
	if e.Unanswered < evictUnanswered {
		return TooLittle, ""
	}
	agree, late := 1, ""
	e.Nodes = n.known()
	for _, w := range k.asking {
		mute := w.mute(now)
		if n.younger(w.life.at, now) || n.younger(w.passedOn.at, now) || w.alive && !mute {
			return Contradicted, w.peer.Name
		}
		answered := !w.answered.IsZero()
		if n.cfg.Nodes == 0 && answered {
			e.Nodes = max(e.Nodes, w.nodes)
		}
		switch {
		case answered && w.silent && now.Age(w.answered) <= fresh:
			agree++
			e.Agreed = append(e.Agreed, w.peer.Name)
		case answered && now.Age(w.answered) <= current:
		case mute:
			e.Mute = append(e.Mute, w.peer.Name)
		default:
			late = w.peer.Name
		}
	}
	slices.Sort(e.Agreed)
	slices.Sort(e.Mute)
	e.Quorum = Quorum(e.Nodes)
	switch {
	case n.cfg.Nodes > 0 && len(n.members)+1 > n.cfg.Nodes:
		return MoreNodes, ""
	case late != "":
		return NotAnswered, late
	case agree < e.Quorum:
		return TooFew, ""
	}
	return Votes, ""
}

// younger says that life may be younger than D.
func (n *Node) younger(life, now clock.Stamp) bool {
	return !life.IsZero() && now.Elapsed(life) < n.times.Vote
}

// Stands is asked under the lock that evicts, with a reading made there: the claim is as it was judged, and its connection shows no life.
func (e *Eviction) Stands(held Claim, open bool, r Reading) bool {
	return open && held == e.Claim && r.Heard-lookError >= e.After
}

package vanish

import (
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Status is what a Node knows, and what it would say now. Nothing in it changes any more.
type Status struct {
	Mode        Mode
	After       time.Duration // T
	Nodes       int           // N, the dead ones counted
	Living      int           // of them, this one counted
	Quorum      int           // Q
	Braked      bool
	AnsweredFor bool
	Draining    bool
	HeldUntil   clock.Stamp // nobody is judged until then; zero: no such hold
	Lines       int         // watched connections
	Hosts       []HostStatus
	Counters
}

// HostStatus is what a Node knows of a source address.
type HostStatus struct {
	Source     netip.Addr
	Life       clock.Stamp   // the newest sign of life, or younger
	Silence    time.Duration // since then, while this node listened
	Silent     bool          // the others are asked
	LastAnswer clock.Stamp   // to a new connection; zero: none yet
	Connects   int           // new connections in vain, in this silence
	Claims     []ClaimStatus

	AnswersConnections bool // of late
}

// ClaimStatus is what a Node knows of a claim.
type ClaimStatus struct {
	Claim
	Watched    bool
	Calibrated bool // probes were answered on its connection
	Unanswered int  // transmissions in vain, in this silence
	Why        Why  // what it would say now: Votes is silent
	OnHold     bool
	EvictedAt  clock.Stamp // by this rule, and not refuted; zero: it is not
	Words      []WordStatus
}

// WordStatus is the newest that a member said of a claim.
type WordStatus struct {
	Member   string
	Answered clock.Stamp // when that was asked; zero: no answer yet
	Asks     int         // in vain since then
	Silent   bool
	Alive    bool // it told life younger than D
	Mute     bool // it cannot speak
	Holds    bool
	Why      Why         // why it does not vote; Votes: it says silent
	Life     clock.Stamp // its newest sign of life, or younger; zero: none
}

// Status copies what the Node knows. Hosts are in the order of their arrival.
func (n *Node) Status(now clock.Stamp) Status {
	s := Status{
		Mode: n.cfg.Mode, After: n.times.After, Nodes: n.known(), Living: len(n.members) + 1, Braked: n.braked, AnsweredFor: n.answered,
		Draining: n.draining, Lines: len(n.lines), Counters: n.counters,
	}
	s.Quorum = Quorum(s.Nodes)
	for held, until := range n.after.holds.All(now) {
		if held.all {
			s.HeldUntil = until
		}
	}
	at := map[*machine]int{}
	for _, k := range n.order {
		m := k.machine
		i, seen := at[m]
		if !seen {
			i = len(s.Hosts)
			at[m] = i
			s.Hosts = append(s.Hosts, HostStatus{
				Source: m.source, Life: m.Life(), Silence: m.Silence(n.attention.Since(), now), Silent: m.silent, LastAnswer: m.lastAnswer,
				Connects: m.TriesInVain(now), AnswersConnections: m.AnswersConnections(now),
			})
		}
		s.Hosts[i].Claims = append(s.Hosts[i].Claims, n.claimStatus(k, now))
	}
	return s
}

func (n *Node) claimStatus(k *claim, now clock.Stamp) ClaimStatus {
	s := ClaimStatus{Claim: k.Claim, Watched: k.line != nil, Why: n.abstains(k, now), OnHold: n.after.holding(k.Subject, now)}
	if k.line != nil {
		s.Calibrated, s.Unanswered = k.line.Calibrated(), k.line.unansweredSince(k.machine.Life(), now)
	}
	if k.evicted != nil {
		s.EvictedAt = k.evicted.at
	}
	for _, w := range k.asking {
		s.Words = append(s.Words, w.status(now))
	}
	return s
}

func (w *word) status(now clock.Stamp) WordStatus {
	return WordStatus{
		Member: w.peer.Name, Answered: w.answered, Asks: w.asks, Silent: w.silent, Alive: w.alive, Mute: w.mute(now), Holds: w.holds,
		Why: w.why, Life: w.life.at,
	}
}

// Poll is a question that nobody is judged by. Make one with Ask.
type Poll struct{ words []*word }

// Ask asks every member that lives about a subject, for an operator to read. What they say changes nothing here.
func (n *Node) Ask(s Subject, now clock.Stamp) (p Poll) {
	n.forgetQuestions(now) // nothing else does where the node judges nobody
	for _, to := range n.members {
		w := &word{peer: to}
		p.words = append(p.words, w)
		if !n.asking.AllowN(wall(now), 1) {
			n.counters.Limited++
			continue
		}
		w.asks, w.from = 1, now
		n.send(&question{to: to, asked: now, claims: []*claim{{Claim: Claim{Subject: s}}}, words: []*word{w}})
	}
	return p
}

// Done says that every member has answered.
func (p Poll) Done() bool {
	return !slices.ContainsFunc(p.words, func(w *word) bool { return w.answered.IsZero() })
}

// Words are the answers so far.
func (p Poll) Words(now clock.Stamp) (all []WordStatus) {
	for _, w := range p.words {
		all = append(all, w.status(now))
	}
	return all
}

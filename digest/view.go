package digest

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"

	"github.com/epitaph-mq/epitaph/order"
)

// For how long something may differ before it is called a divergence. A registration reaches all nodes within milliseconds,
// an update of a large broker within some hundred. With the time of comparing a divergence is to show within 2 s.
const (
	graceHeld    = 500 * time.Millisecond  // held here and not there
	graceServed  = time.Second             // the same data version, and something else is served
	graceVersion = 1300 * time.Millisecond // another data version
)

// PeerView is what is known of one living member.
type PeerView struct {
	Peer
	Heard    bool          // false: it says nothing, as a member of a version without digests
	Silent   bool          // it said nothing for some time: what is known of it is old
	HeardAgo time.Duration // since its last summary
	Age      time.Duration // of its process, at least
	Standing
	Count         int
	Skipped       int
	Compared      bool // what differs is known, as of some time in its life
	Partly        bool // it or this node has more than can be compared: what does not differ may differ all the same
	Comparing     bool // what differs now is not known yet
	KVDiffers     bool
	KVFor         time.Duration
	OptionsDiffer bool
	OptionsFor    time.Duration
	Differences   []Difference // sorted by key
	Turns         bool         // its release knows of wishes to be stopped
	Wishes        bool         // it is to be stopped
	Lets          bool         // it lets this node's wish go first
}

// Difference is a key about which a member and this node disagree.
type Difference struct {
	Key
	Here, There       Item
	HasHere, HasThere bool
	For               time.Duration
	Settled           bool // it is a divergence: it has lasted, and nobody concerned is still starting
}

// View is what this node knows of all members.
type View struct {
	Held    map[Key]Item // by this node; not to be changed
	Skipped int
	KV      bool       // this node holds KV values
	Turn    bool       // this node may go before all others that are to be stopped
	Peers   []PeerView // by name
}

// MaxCompared is how many brokers of a node are compared.
const MaxCompared = maxItems

// View says who differs from this node about what.
func (l *Ledger) View(now clock.Stamp) View {
	v := View{Held: l.own, Skipped: l.skipped(), KV: l.kv != 0, Turn: !l.wish.turn.IsZero()}
	for _, p := range l.sorted() {
		v.Peers = append(v.Peers, l.view(p, now))
	}
	return v
}

func (l *Ledger) view(p *peer, now clock.Stamp) PeerView {
	pv := PeerView{Peer: p.Peer, Silent: l.silent(p, now), Compared: p.compared, Comparing: !p.differs.IsZero()}
	pv.Partly = l.skipped() > 0 || p.last.Skipped > 0
	if p.heard {
		pv.Heard, pv.HeardAgo, pv.Age = true, now.Sub(p.at), p.last.Age+now.Elapsed(p.at)
		pv.Standing, pv.Count, pv.Skipped = p.last.Standing, int(p.last.Count), int(p.last.Skipped)
		pv.Turns, pv.Wishes, pv.Lets = p.last.Turns, p.last.Wish != 0, l.lets(p)
		if !p.kvSince.IsZero() {
			pv.KVDiffers, pv.KVFor = true, now.Sub(p.kvSince)
		}
		if !p.optionsSince.IsZero() {
			pv.OptionsDiffer, pv.OptionsFor = true, now.Sub(p.optionsSince)
		}
	}
	for k, d := range p.diffs {
		diff := Difference{Key: k, There: d.item, HasThere: d.has, For: now.Sub(d.since)}
		diff.Here, diff.HasHere = l.own[k]
		if diff.HasHere == diff.HasThere && (!diff.HasHere || diff.Here.same(&diff.There)) {
			continue // this node has changed since, and agrees now
		}
		diff.Settled = l.settled(p, &diff)
		pv.Differences = append(pv.Differences, diff)
	}
	order.By(pv.Differences, func(a, b Difference) int { return compareKeys(&a.Key, &b.Key) })
	return pv
}

func (l *Ledger) settled(p *peer, d *Difference) bool {
	switch {
	case !d.HasHere:
		return !l.standing.Waiting && d.For >= graceHeld
	case !d.HasThere:
		return !p.last.Waiting && d.For >= graceHeld
	case d.Here.Version == d.There.Version:
		return d.For >= graceServed
	default:
		return d.For >= graceVersion
	}
}

// Catchup is what a node that (re)started still lacks.
type Catchup struct {
	Undecided []string // members from which it is not known yet what they hold, or whether they are witnesses
	Witnesses []string // members that know what there is
	Held      int      // by the witness that holds most
	Missing   []Missing
	LeftOut   []Missing // not waited for: another witness lacks them, and see leftOut
}

// Missing is a broker address that a witness holds and this node does not.
type Missing struct {
	Key
	Holder string
	Lacks  string // a witness that lacks it, of one that is left out
}

// witness says that a member knows what there is, and can say so. One of a former release knows when it is ready and old.
func (p *peer) witness(now clock.Stamp) bool {
	return p.last.Ready && p.last.Skipped == 0 && (p.last.Witness || p.last.Former && p.last.Age+now.Elapsed(p.at) >= YoungAge)
}

// Catchup compares this node with those members that can know what there is. A member that says nothing is waited for
// until it is silent; one that is no witness is not.
func (l *Ledger) Catchup(now clock.Stamp) (c Catchup) {
	var witnesses []*peer
	missing := map[Key]bool{}
	for _, p := range l.sorted() {
		switch {
		case !p.heard:
			// UDP may be blocked: the first summary by stream must have had its time to be answered.
			if !l.silent(p, now) || p.streams < 2 {
				c.Undecided = append(c.Undecided, p.Name)
			}
			continue
		case !p.witness(now):
			continue
		}
		witnesses = append(witnesses, p)
		c.Witnesses = append(c.Witnesses, p.Name)
		c.Held = max(c.Held, int(p.last.Count))
		lacking := 0
		for k, d := range p.diffs {
			if _, here := l.own[k]; d.has && !here {
				missing[k] = true
				lacking++
			}
		}
		// It holds more than what is known: it was compared before it was told of the rest.
		if !p.compared || int(p.last.Count) > len(l.own)+lacking {
			c.Undecided = append(c.Undecided, p.Name)
		}
	}
	for k := range missing {
		if m, out := leftOut(k, witnesses); out {
			c.LeftOut = append(c.LeftOut, m)
		} else {
			c.Missing = append(c.Missing, m)
		}
	}
	for _, list := range [][]Missing{c.Missing, c.LeftOut} {
		order.By(list, func(a, b Missing) int { return compareKeys(&a.Key, &b.Key) })
	}
	return c
}

// leftOut says whether a broker that this node lacks is not waited for: another witness lacks it, and one alone holds it or
// all that do were told of it after this node's start. Else one entry that somebody made up would hold back every restart.
// What a witness lacks is known when it was compared as it is now.
func leftOut(k Key, witnesses []*peer) (m Missing, out bool) {
	m.Key = k
	holders, early := 0, 0
	for _, p := range witnesses {
		switch d := p.diffs[k]; {
		case d != nil && d.has:
			if holders++; holders == 1 {
				m.Holder = p.Name
			}
			if !d.late {
				early++
			}
		case p.compared && p.differs.IsZero():
			m.Lacks = p.Name
		}
	}
	return m, m.Lacks != "" && (holders == 1 || early == 0)
}

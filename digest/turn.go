package digest

import (
	"cmp"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// For how long a wish to be stopped holds.
const (
	wishKeep  = 5 * time.Second // without being asked again
	turnKeep  = time.Minute     // from when the node may go: by then it drains, or was not stopped after all
	wishWaits = time.Second     // for wishes of the same moment, of which the lowest name is to go first
)

// wish is a node's wish to be stopped. It may go when every other living member has let it go first, by the wish's number, and whoever
// has a wish of its own lets only lower names go first, and nobody once it may go itself. So of several that wish, whatever gets lost,
// one goes at a time (Ricart and Agrawala's algorithm; what is overtaken on the way does not count).
type wish struct {
	number uint64 // 0: none
	since  clock.Stamp
	asked  clock.Stamp // the last time
	turn   clock.Stamp // since when it may go; zero: not yet
}

// Wish says, again and again, that this node is to be stopped.
func (l *Ledger) Wish(now clock.Stamp) {
	l.forgetWish(now)
	if l.wish.number == 0 {
		l.wish = wish{number: l.cfg.Random() | 1, since: now}
		l.tellSoon(now)
	}
	l.wish.asked = now
}

// Turn says whether this node, which has a wish, may go before all others; from then on none of them may, for turnKeep. Before that:
// who has not let it go, and at first nobody, for those of the same moment are heard first.
func (l *Ledger) Turn(now clock.Stamp) (may bool, before []string) {
	l.forgetWish(now)
	if l.wish.number == 0 {
		return false, nil
	}
	if l.wish.turn.IsZero() {
		for _, p := range l.sorted() {
			if !l.lets(p) {
				before = append(before, p.Name)
			}
		}
		if len(before) > 0 || now.Sub(l.wish.since) < wishWaits {
			return false, before
		}
	}
	l.wish.turn = now
	return true, nil
}

func (l *Ledger) forgetWish(now clock.Stamp) {
	w := &l.wish
	if w.number != 0 && (w.turn.IsZero() && now.Sub(w.asked) > wishKeep || !w.turn.IsZero() && now.Sub(w.turn) > turnKeep) {
		*w = wish{}
		l.tellSoon(now)
	}
}

// lets says that a member lets this node go first. One of a former release knows nothing of wishes.
func (l *Ledger) lets(p *peer) bool {
	return p.heard && (!p.last.Turns || p.last.Yields == l.wish.number && l.wish.number != 0)
}

// yields is the number of p's wish, if p may go before this node.
func (l *Ledger) yields(p *peer) uint64 {
	if l.wish.number != 0 && (!l.wish.turn.IsZero() || cmp.Or(cmp.Compare(p.Name, l.cfg.Self.Name), cmp.Compare(p.Boot, l.cfg.Self.Boot)) > 0) {
		return 0
	}
	return p.last.Wish
}

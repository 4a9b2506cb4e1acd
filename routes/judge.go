package routes

import (
	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// judge has the rule (tombstone.Decide) look at the claim that the tombstone's source has on a key and, where it says so, takes
// that away: whatever shows, and whatever others claim. Unless another source inherits, the registration goes with the side
// effects of an UNREGISTER. The connection stays open: other brokers may share it. Its owner stays remembered: its own
// UNREGISTER may still come here, and then makes a tombstone of this node's own. What is set aside is judged alike, and is not put back when it
// left.
func (s *state) judge(
	key tombstone.Key, id tombstone.Identity, lo tombstone.Bounds, now clock.Stamp,
) (v tombstone.Verdict, eff Effects) {
	e, aside := s.visible(key), s.asideAt(key)
	if aside >= 0 {
		e = s.asides[aside].e
	}
	if e == nil {
		return v, eff
	}
	c := e.claimOf(mq.Source{Addr: id.RemoteIP.Unmap()})
	if c == nil {
		c = e.shown() // of another source: kept
	}
	v = tombstone.Decide(c.entry(), id, lo, now)
	if aside >= 0 && v.Outcome == tombstone.Evicted { // it is not listed, and is not put back any more
		s.void(key, c.name)
		return tombstone.Verdict{}, eff
	}
	switch v.Outcome {
	case tombstone.Evicted:
		s.remember(key, c, now)
		name, brokerID := c.name, c.id
		if !s.outlives(e, c, now, &eff) {
			s.remove(key, name, brokerID, BrokerEvicted, &eff)
			return v, eff
		}
		v.Outcome = tombstone.KeptOtherClaim
	case tombstone.CameBack:
		return v, eff
	}
	e.kept, e.keptAt = v, now
	s.edition++
	return v, eff
}

// heldBy says that a key is claimed by who.
func (s *state) heldBy(key tombstone.Key, who *tombstone.Identity) bool {
	e := s.visible(key)
	if e == nil {
		return false
	}
	for i := range e.claims {
		if c := &e.claims[i]; c.identity() == *who {
			return true
		}
	}
	return false
}

// holders lists who claims a key, whoever shows first.
func (s *state) holders(key tombstone.Key) (list []tombstone.Identity) {
	if e := s.visible(key); e != nil {
		for i := range e.claims {
			list = append(list, e.claims[i].identity())
		}
	}
	return list
}

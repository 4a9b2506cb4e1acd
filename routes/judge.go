package routes

import (
	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// judge has the rule (tombstone.Decide) look at the registration of a key and, where it says so, evicts it with the side
// effects of an UNREGISTER. The connection stays open: other brokers may share it. Its owner stays remembered: its own
// UNREGISTER may still come here, and then makes a tombstone of this node's own.
func (s *state) judge(
	key tombstone.Key, id tombstone.Identity, lo tombstone.Bounds, now clock.Stamp,
) (v tombstone.Verdict, eff Effects) {
	e := s.visible(key)
	if e == nil {
		return v, eff
	}
	v = tombstone.Decide(e.entry(), id, lo, now)
	switch v.Outcome {
	case tombstone.Evicted:
	case tombstone.CameBack:
		return v, eff
	default:
		e.kept, e.keptAt = v, now
		s.edition++
		return v, eff
	}
	s.forget(key)
	s.remembered[key] = &remembered{Identity: e.identity(), owner: e.owner, lateProof: e.lateProof(), since: now}
	s.conn(e.owner.ID).remembered[key] = struct{}{}
	s.remove(key, e.broker.name, e.id, BrokerEvicted, &eff)
	return v, eff
}

// entry is what the rule looks at.
func (e *live) entry() tombstone.Entry {
	entry := tombstone.Entry{Identity: e.identity(), LastRegister: e.lastRegister}
	if e.owner != nil {
		entry.FirstByte, entry.Conn = e.owner.FirstByte, e.owner.ID
	}
	return entry
}

func (s *state) holds(key tombstone.Key) (tombstone.Identity, bool) {
	e := s.visible(key)
	if e == nil {
		return tombstone.Identity{}, false
	}
	return e.identity(), true
}

package routes

import "slices"

// counts is what a registration did to the topic table, and what it did not.
type counts struct {
	added, changed, erased, leftOut int
	noRoom                          bool // some was left out for want of memory
}

// leaveOut takes note that n of what it brought found no room in memory.
func (c *counts) leaveOut(n int) { c.leftOut, c.noRoom = c.leftOut+n, true }

// applyTopics puts a registration's topics and mappings into T and M. Only a master speaks for the topics of its broker, or
// the prime slave; with enableActingMaster nobody may write to the prime slave's. anew says that all are to be applied;
// else only topics that are missing are, and no mappings. again says that the last one of this broker found no room for all: then
// mappings are applied, too.
func (s *state) applyTopics(b *broker, r *Registration, known comparison, anew, again bool) (c counts) {
	prime := b.prime(r)
	if !r.HasTopics || r.ID != MasterID && !prime {
		return c
	}
	if s.opts.DeleteUnlistedTopics && len(r.Mappings) == 0 {
		c.erased = s.eraseUnlisted(b, r)
	}
	wipe := prime && b.acting
	if known.made && known.changes == s.changes {
		for _, i := range known.differ {
			s.applyTopic(b, &r.Topics[i], r.Limit, anew, wipe, &c)
		}
	} else {
		for i := range r.Topics {
			s.applyTopic(b, &r.Topics[i], r.Limit, anew, wipe, &c)
		}
	}
	if anew || again {
		for i := range r.Mappings {
			s.putMapping(b, &r.Mappings[i], r.Limit, &c)
		}
	}
	return c
}

// applyTopic puts one topic of a registration into T; wipe takes its write permission away.
func (s *state) applyTopic(b *broker, rt *Topic, limit int64, anew, wipe bool, c *counts) {
	if rt.Name == nil {
		return
	}
	t := s.lookup(rt.Name)
	if limit > 0 && !s.fits(limit, int64(s.growthBy(t, b, len(rt.Name)))) {
		c.leaveOut(1)
		return
	}
	if t == nil {
		t = s.addTopic(string(rt.Name))
	} else if !anew {
		if _, known := t.find(b.index); known {
			return
		}
	}
	q := rt.Queue
	if wipe {
		q.Perm = wipeWrite(q.Perm)
	}
	switch s.put(t, b, q) {
	case added:
		c.added++
	case changed:
		c.changed++
	case unchanged:
	}
}

// prime says that a 5.x slave has the smallest id of its broker: it then speaks for the topics (isPrimeSlave).
func (b *broker) prime(r *Registration) bool {
	return r.Acting != Absent && r.ID != MasterID && b.members[0].id == r.ID
}

// eraseUnlisted removes the entries of topics that the registration does not name (deleteTopicWithBrokerRegistration).
func (s *state) eraseUnlisted(b *broker, r *Registration) int {
	listed := make(map[string]struct{}, len(r.Topics))
	for i := range r.Topics {
		key := r.Topics[i].Key
		if key == nil {
			key = r.Topics[i].Name
		}
		listed[string(key)] = struct{}{}
	}
	n := 0
	for _, id := range slices.Clone(b.topics) {
		t := s.topics[id]
		if _, ok := listed[t.name]; !ok {
			i, _ := t.find(b.index)
			s.erase(t, i)
			n++
		}
	}
	return n
}

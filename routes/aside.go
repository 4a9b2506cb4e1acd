package routes

import (
	"cmp"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// What is set aside of vanished hosts, at most.
const (
	asideTime = 10 * time.Minute
	maxAsides = 64
	// DefaultAsideBytes is the budget for it that fits some brokers of 100,000 topics each.
	DefaultAsideBytes = 64_000_000
)

// aside is a registration that its host's silence took, as it was before, with what ended with it. It is put back when that host is heard again
// on the connection that owned it, unless anybody has touched its key or its broker name since (docs/spec/deadhosts.md#afterwards).
type aside struct {
	at       clock.Stamp
	b        *broker
	e        *live  // with its claim
	id       int64  // of the member
	last     bool   // the broker name ended with it
	erased   uint64 // broker.erased
	offers   []offer
	mappings []mapped // with last
	size     int64    // by which the tables would grow at most
}

// offer is what a broker offered for a topic.
type offer struct {
	topic string
	Queue
}

// mapped is a mapping and its topic.
type mapped struct {
	topic string
	given
}

func (a *aside) source() mq.Source { return a.e.shown().source() }

// over says that its time, or the registration's own, has run out.
func (a *aside) over(now clock.Stamp) bool {
	return now.Sub(a.at) > asideTime || a.e.silent(now)
}

// asideOf copies what ends with a registration, before it does; nil: it is not kept. Simple ones are: one source claims it and
// inherited it from nobody, one address under one name goes, and with the last address of a name no superseded one.
func (s *state) asideOf(e *live, now clock.Stamp) *aside {
	b := e.broker
	last := len(b.members) == 1
	if s.asideBudget == 0 || len(e.claims) != 1 || e.inherited || len(e.backs) != 1 || e.backs[0] != b || last && len(b.lives) != 1 {
		return nil
	}
	a := &aside{at: now, b: b, e: e, id: b.members[b.byAddr(e.key.Addr)].id, last: last, erased: b.erased, size: int64(e.bytes())}
	for _, id := range b.topics {
		t := s.topics[id]
		i, _ := t.find(b.index)
		a.offers = append(a.offers, offer{t.name, s.settings[t.entries[i].setting].Queue})
		a.size += int64(t.size() + sizeOfEntry)
	}
	if last {
		s.copyName(a)
	}
	if a.size > s.asideBudget {
		return nil
	}
	return a
}

// copyName copies what ends with the last address of a broker name.
func (s *state) copyName(a *aside) {
	b := a.b
	a.size += int64(sizeOfBroker + len(b.name))
	for _, c := range b.clusters {
		a.size += int64(sizeOfPlace + 2*len(c))
	}
	for topic := range b.mapped {
		for _, g := range s.mappings[topic] {
			if g.from == b {
				a.mappings = append(a.mappings, mapped{topic, g})
				a.size += int64(g.bytes() + len(topic))
			}
		}
	}
}

// setAside keeps a copy whose registration has ended, in the place of the oldest where there are too many.
func (s *state) setAside(a *aside, c claim) {
	a.e.claims = []claim{c}
	for len(s.asides) >= maxAsides || s.asideBytes+a.size > s.asideBudget {
		s.dropAside(0)
	}
	s.asides = append(s.asides, a)
	s.asideBytes += a.size
}

func (s *state) dropAside(i int) {
	s.asideBytes -= s.asides[i].size
	s.asides = slices.Delete(s.asides, i, i+1)
}

// voidWhere gives up what is set aside, and all else of the same broker names: each of those is what the next one was taken from.
func (s *state) voidWhere(is func(a *aside) bool) {
	for _, a := range slices.Clone(s.asides) {
		if is(a) {
			s.asides = slices.DeleteFunc(s.asides, func(o *aside) bool {
				if o.b == a.b {
					s.asideBytes -= o.size
				}
				return o.b == a.b
			})
		}
	}
}

// void gives up what is set aside of a key and of a broker name: somebody has touched them, whatever came of it.
func (s *state) void(key tombstone.Key, name string) {
	if len(s.asides) > 0 {
		s.voidWhere(func(a *aside) bool { return a.e.key == key || a.b.name == name })
	}
}

// voidBacks gives up what is set aside of all names under which a registration keeps an address alive: it ends, and so they are not what that
// was taken from.
func (s *state) voidBacks(e *live) {
	for _, b := range e.backs {
		s.void(e.key, b.name)
	}
}

// voidTopic gives up what is set aside of brokers that offered a topic.
func (s *state) voidTopic(name string) {
	s.voidWhere(func(a *aside) bool {
		return slices.ContainsFunc(a.offers, func(o offer) bool { return o.topic == name })
	})
}

// asideAt is where what is set aside of a key stands; -1: nothing is.
func (s *state) asideAt(key tombstone.Key) int {
	return slices.IndexFunc(s.asides, func(a *aside) bool { return a.e.key == key })
}

// Restoration is a claim that its host's silence took, and whose host is heard again.
type Restoration struct {
	tombstone.Key
	tombstone.Identity
	Owner uint64 // the connection that it is heard on
	// Alive says that the connection is open and has shown life since the claim was taken, by a look made at this moment, under the table's
	// lock. It must not call the Table.
	Alive func() bool
}

// Restored is what became of that.
type Restored uint8

// The outcomes.
const (
	NothingAside Restored = iota // nothing of it is kept, or not any more: the broker is back with its next REGISTER
	NotYet                       // its host is not heard by that look, or another of its name, taken later, has to be back first
	PutBack                      // it is listed as before
)

// restore puts back what the silence of a host took, all as it was: the registration goes on as if it had not been away, and with it the time
// since its last heartbeat.
func (s *state) restore(r *Restoration, now clock.Stamp) (done Restored, eff Effects) {
	i := s.asideAt(r.Key)
	if i < 0 {
		return NothingAside, eff
	}
	a := s.asides[i]
	if c := a.e.shown(); c.identity() != r.Identity || c.owner.ID != r.Owner || a.over(now) {
		return NothingAside, eff
	}
	if slices.ContainsFunc(s.asides[i+1:], func(o *aside) bool { return o.b == a.b }) || !r.Alive() {
		return NotYet, eff
	}
	s.dropAside(i)
	s.putBack(a, &eff)
	return PutBack, eff
}

func (s *state) putBack(a *aside, eff *Effects) {
	b, e := a.b, a.e
	s.forget(claimKey{e.key, a.source()})
	if a.last {
		s.byName[b.name] = b
		s.addBroker(b)
		clusters := b.clusters
		b.clusters = nil
		for _, c := range clusters {
			s.joinCluster(b, c)
		}
	}
	minChanged := b.wouldLead(a.id)
	s.lives[e.key] = e
	b.lives[e] = struct{}{}
	s.charge(b, e.bytes())
	s.conn(e.shown().owner.ID).lives[e] = struct{}{}
	s.setMember(b, a.id, e.key.Addr, e)
	for _, o := range a.offers {
		t, known := s.names.Load(o.topic)
		if !known {
			t = s.addTopic(o.topic)
		}
		s.put(t, b, o.Queue)
	}
	for i := range a.mappings {
		s.putBackMapping(&a.mappings[i], e)
	}
	b.erased = a.erased
	if len(e.filters) > 0 {
		s.filtersChanged()
	}
	s.touch(b)
	eff.Events = append(eff.Events, e.event(BrokerRestored))
	if minChanged && s.opts.NotifyMinBrokerID {
		eff.Notify = append(eff.Notify, b.notification(Opt{}, e.ha))
	}
}

// putBackMapping gives a mapping its place again. Where its topic has as many as it may by now, the next REGISTER is read again.
func (s *state) putBackMapping(m *mapped, e *live) {
	list := s.mappings[m.topic]
	if len(list) >= topicMappings {
		e.short, e.print = true, Fingerprint{}
		return
	}
	s.charge(m.from, m.bytes()+len(m.topic))
	at, _ := slices.BinarySearchFunc(list, m.count, func(g given, count uint64) int { return cmp.Compare(g.count, count) })
	s.mappings[m.topic] = slices.Insert(list, at, m.given)
	if m.from.mapped == nil {
		m.from.mapped = map[string]struct{}{}
	}
	m.from.mapped[m.topic] = struct{}{}
	s.mappingChanged(m.topic)
}

// Restore puts back what Vanish took from a claim, if that is kept, its key and its broker name were not touched since, and its host is heard: all
// is compared, the connection looked at and the tables changed under one hold of the lock.
func (t *Table) Restore(r *Restoration) (Restored, Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.restore(r, t.cfg.Clock())
}

// SetAside says that a registration of that key is kept, to be put back: tombstones judge it.
func (t *Table) SetAside(key tombstone.Key) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.asideAt(key) >= 0
}

// checkAsides is invariant 18.
func checkAsides(s *state) error {
	var bytes int64
	for i, a := range s.asides {
		bytes += a.size
		if _, listed := s.lives[a.e.key]; listed || len(a.e.claims) != 1 || len(a.e.backs) > 0 || s.asideAt(a.e.key) != i {
			return broken(18, "%v is set aside", a.e.key)
		}
		later := slices.ContainsFunc(s.asides[i+1:], func(o *aside) bool { return o.b == a.b })
		if b := s.byName[a.b.name]; !later && (a.last && b != nil || !a.last && b != a.b) {
			return broken(18, "%v is set aside, and its broker name is another's", a.e.key)
		}
	}
	if bytes != s.asideBytes || bytes > s.asideBudget || len(s.asides) > maxAsides {
		return broken(18, "%d set aside, %d bytes, counted %d", len(s.asides), bytes, s.asideBytes)
	}
	return nil
}

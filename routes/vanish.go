package routes

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Vanished is a claim whose host has vanished, as it was judged (docs/spec/deadhosts.md#the-rule): it is taken only as that.
type Vanished struct {
	tombstone.Key
	tombstone.Identity
	Owner   uint64        // the connection that is silent
	Silence time.Duration // that an eviction takes: no REGISTER of the claim may have been handled within it
	// Still says that the connection is open and shows no life, by a look made at this moment, under the table's lock. It must not
	// call the Table.
	Still func() bool
}

// Taken is what became of a claim whose host has vanished.
type Taken uint8

// The outcomes.
const (
	NotTaken  Taken = iota // it is not as it was judged any more, or its host is heard: nothing has changed
	Inherited              // it is gone, and another source's keeps the registration
	TakenOut               // it is gone, and the registration with it
)

// vanish takes the claim of a vanished host away, as the loss of its owner would: the registration goes with every address that it keeps
// alive, unless another source inherits. The connection stays open and goes on being watched: what it says next shows whether that was
// right, and then the registration is put back (restore). Its owner stays remembered, as after a tombstone's eviction.
func (s *state) vanish(v *Vanished, now clock.Stamp) (taken Taken, eff Effects) {
	e := s.visible(v.Key)
	if e == nil {
		return NotTaken, eff
	}
	c := e.claimOf(mq.Source{Addr: v.RemoteIP})
	if c == nil || c.identity() != v.Identity || c.owner.ID != v.Owner || now.Elapsed(c.lastRegister) < v.Silence || !v.Still() {
		return NotTaken, eff
	}
	s.remember(v.Key, c, now)
	if s.outlives(e, c, now, &eff) {
		return Inherited, eff
	}
	a, taking := s.asideOf(e, now), *c
	if a == nil {
		s.voidBacks(e)
	}
	s.lose(e, BrokerVanished, &eff)
	if a != nil {
		s.setAside(a, taking)
	}
	return TakenOut, eff
}

// remember keeps in mind who owned a claim that is taken away while its connection is open: its own UNREGISTER may still come.
func (s *state) remember(key tombstone.Key, c *claim, now clock.Stamp) {
	k := claimKey{key, c.source()}
	s.forget(k)
	s.remembered[k] = &remembered{Identity: c.identity(), owner: c.owner, lateProof: c.lateProof(), since: now}
	s.conn(c.owner.ID).remembered[k] = struct{}{}
}

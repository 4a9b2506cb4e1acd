package routes

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// unregister applies an UNREGISTER and says what it means for tombstones.
func (s *state) unregister(u *Unregistration, now clock.Stamp) (left Left, eff Effects) {
	key := tombstone.Key{Cluster: u.Cluster, Addr: u.Addr}
	if u.OwnOnly && !s.touchesOwn(key, u) {
		left.NotOwn = true
		return left, eff
	}
	if owner := s.youngerOwner(key, u); owner != nil {
		ev := owner.event(UnregisterIgnored)
		ev.Conn, ev.Remote, ev.Source = u.Conn, netip.AddrPort{}, mq.Source{} // it is told of who sent it
		eff.Events = append(eff.Events, ev)
		left.Leaving = LeavingOlderConn
		return left, eff
	}
	left = s.leaving(key, u, now)
	s.remove(key, u.Name, u.ID, BrokerUnregistered, &eff)
	return left, eff
}

// touchesOwn says that an UNREGISTER touches something, and nothing that its source does not own: neither the registration of
// its key, nor the address under its broker name, nor another broker of that name.
func (s *state) touchesOwn(key tombstone.Key, u *Unregistration) bool {
	e, b := s.visible(key), s.byName[u.Name]
	if e != nil && !e.ownedBy(u.Source) || b != nil && !s.ownsBroker(u.Source, b) {
		return false
	}
	if b != nil {
		if i := b.byAddr(u.Addr); i >= 0 {
			return b.members[i].live.ownedBy(u.Source)
		}
	}
	return e != nil
}

// ownedBy says that the source's connection owns the registration. Who has no address owns nothing that way.
func (e *live) ownedBy(source mq.Source) bool {
	return e.owner != nil && e.owner.Source == source && source.Addr.IsValid()
}

func (s *state) ownsBroker(source mq.Source, b *broker) bool {
	for e := range b.lives {
		if !e.hidden && e.ownedBy(source) {
			return true
		}
	}
	return false
}

// youngerOwner finds a registration that the UNREGISTER would touch and that belongs to a connection accepted later: a
// predecessor's late frame must not remove its successor (docs/spec/nameserver.md#dev-11).
func (s *state) youngerOwner(key tombstone.Key, u *Unregistration) *live {
	if u.Conn == 0 {
		return nil
	}
	younger := func(e *live) bool { return e != nil && e.owner != nil && e.owner.ID > u.Conn }
	if e := s.visible(key); younger(e) {
		return e
	}
	if b := s.byName[u.Name]; b != nil {
		if i := b.byAddr(u.Addr); i >= 0 && younger(b.members[i].live) {
			return b.members[i].live
		}
	}
	return nil
}

// leaving says what an UNREGISTER that is not ignored means for tombstones. One is made only when the UNREGISTER came on
// the owner (or on the remembered owner of an evicted registration), names it exactly, and the connection can prove life.
func (s *state) leaving(key tombstone.Key, u *Unregistration, now clock.Stamp) Left {
	var (
		owner *Conn
		id    tombstone.Identity
		late  bool
		since clock.Stamp
	)
	if e := s.visible(key); e != nil {
		owner, id, late, since = e.owner, e.identity(), e.lateProof(), e.since
		if owner == nil || owner.ID != u.Conn {
			return Left{Leaving: LeavingOtherConn}
		}
	} else if rem := s.remembered[key]; rem != nil && rem.owner.ID == u.Conn && now.Sub(rem.since) <= s.ttl {
		owner, id, late = rem.owner, rem.Identity, rem.lateProof
	} else {
		return Left{Leaving: LeavingUnknown}
	}
	switch {
	case id.Name != u.Name:
		return Left{Leaving: LeavingOtherName}
	case id.BrokerID != u.ID:
		return Left{Leaving: LeavingOtherID}
	case !owner.CanProve:
		return Left{Leaving: LeavingNoProof}
	}
	s.forget(key)
	return Left{Leaving: LeavingProven, Departure: tombstone.Departure{
		Key: key, Identity: id, Unregistered: u.At, LateProof: late, Conn: owner.ID, Since: since,
	}}
}

// remove takes a registration away as RouteInfoManager.unRegisterBroker does for (cluster, address, name, id).
func (s *state) remove(key tombstone.Key, name string, id int64, why EventKind, eff *Effects) {
	e, b := s.visible(key), s.byName[name]
	if e != nil {
		eff.Events = append(eff.Events, e.event(why))
	} else if b != nil && b.byAddr(key.Addr) >= 0 {
		eff.Events = append(eff.Events, Event{Kind: why, Cluster: key.Cluster, Name: name, Addr: key.Addr, ID: id})
	}
	if b != nil {
		s.leaveBroker(b, key.Addr, id, eff)
	}
	if e != nil && s.lives[key] == e {
		s.takeAway(e)
	}
}

// leaveBroker takes an address out of a broker name. What follows: with its last address the name goes, everywhere. With
// enableActingMaster, nobody may write to a broker without master, and those that stay are notified when the smallest
// id left. id is the one that was unregistered, whether or not the address stood there.
func (s *state) leaveBroker(b *broker, addr string, id int64, eff *Effects) {
	minChanged := b.members[0].id == id
	if i := b.byAddr(addr); i >= 0 {
		s.removeMember(b, i)
		if len(b.members) == 0 {
			s.removeBroker(b)
			return
		}
		s.touch(b)
	}
	if b.acting && b.masterless() {
		s.setPerms(b, wipeWrite)
	}
	if minChanged && b.acting && s.opts.NotifyMinBrokerID {
		eff.Notify = append(eff.Notify, b.notification(mq.Some(addr), Opt{}))
	}
}

// removeBroker removes a name without members: its entries, its places in all clusters, its superseded registrations.
func (s *state) removeBroker(b *broker) {
	s.eraseBroker(b)
	s.forgetMappings(b)
	for _, cluster := range b.clusters {
		set := s.clusters[cluster]
		delete(set, b)
		if len(set) == 0 {
			delete(s.clusters, cluster)
		}
	}
	for e := range b.lives {
		if len(e.backs) == 0 {
			s.dropLive(e)
			continue
		}
		// One address under two names, and the newer name is gone: what remains is an older one's.
		older := slices.MinFunc(e.backs, func(a, b *broker) int { return cmp.Compare(a.name, b.name) })
		e.setBroker(older)
		e.id = older.members[older.byAddr(e.key.Addr)].id
	}
	delete(s.byName, b.name)
	s.freeBroker(b)
}

// lose ends a registration with every address it keeps alive.
func (s *state) lose(e *live, why EventKind, eff *Effects) {
	eff.Events = append(eff.Events, e.event(why))
	byName := func(a, b *broker) int { return cmp.Compare(a.name, b.name) }
	for _, b := range slices.SortedFunc(slices.Values(e.backs), byName) {
		s.leaveBroker(b, e.key.Addr, b.members[b.byAddr(e.key.Addr)].id, eff)
	}
	if s.lives[e.key] == e {
		s.dropLive(e)
	}
}

// connLost removes what a connection owns, oldest registration first.
func (s *state) connLost(conn uint64) (eff Effects) {
	refs := s.conns[conn]
	if refs == nil {
		return eff
	}
	for key := range refs.remembered {
		s.forget(key)
	}
	for _, e := range byGeneration(refs.lives) {
		if s.lives[e.key] == e {
			s.lose(e, BrokerLost, &eff)
		}
	}
	return eff
}

// expire removes what gave no sign of life for its timeout, and says which connections to close for it.
func (s *state) expire(now clock.Stamp) (eff Effects) {
	for key, rem := range s.remembered {
		if now.Sub(rem.since) > s.ttl {
			s.forget(key)
		}
	}
	due := map[*live]struct{}{}
	for _, e := range s.lives {
		if now.Sub(e.lastSeen) > e.timeout {
			due[e] = struct{}{}
		}
	}
	var expired []expiry
	for _, e := range byGeneration(due) {
		if s.lives[e.key] != e {
			continue
		}
		if e.owner != nil {
			expired = append(expired, expiry{conn: e.owner.ID, timeout: e.timeout, superseded: len(e.backs) == 0})
		}
		s.lose(e, BrokerExpired, &eff)
	}
	eff.Close = s.closings(expired)
	return eff
}

// expiry is an expired registration that had an owner.
type expiry struct {
	conn       uint64
	timeout    time.Duration
	superseded bool
}

// closings says what becomes of the connections of registrations that have all been removed. What still lives on a connection
// is evicted when it is closed, and so is kept where the connection has been heard within the timeout. A superseded
// registration tells nothing about a connection on which another lives: it may be that of the broker that displaced it.
func (s *state) closings(expired []expiry) (list []Closing) {
	for _, e := range expired {
		c := Closing{Conn: e.conn}
		if refs := s.conns[e.conn]; refs != nil && len(refs.lives) > 0 {
			if e.superseded {
				continue
			}
			c.Silent = e.timeout
		}
		if i := slices.IndexFunc(list, func(o Closing) bool { return o.Conn == c.Conn }); i >= 0 {
			list[i].Silent = min(list[i].Silent, c.Silent)
		} else {
			list = append(list, c)
		}
	}
	return list
}

// byGeneration makes the order of removals the order of registrations.
func byGeneration(set map[*live]struct{}) []*live {
	list := make([]*live, 0, len(set))
	for e := range set {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *live) int { return cmp.Compare(a.gen, b.gen) })
	return list
}

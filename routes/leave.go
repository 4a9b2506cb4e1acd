package routes

import (
	"cmp"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// unregister applies an UNREGISTER and says what it means for tombstones.
func (s *state) unregister(u *Unregistration, now clock.Stamp) (left Left, eff Effects) {
	key := tombstone.Key{Cluster: u.Cluster, Addr: u.Addr}
	s.void(key, u.Name)
	if u.OwnOnly && !s.touchesOwn(key, u) {
		left.NotOwn = true
		return left, eff
	}
	if younger := s.ofYounger(key, u); younger != nil {
		ev := younger.event(UnregisterIgnored)
		ev.by(u.Conn)
		eff.Events = append(eff.Events, ev)
		left.Leaving = LeavingOlderConn
		return left, eff
	}
	left = s.leaving(key, u, now)
	if u.OwnOnly && s.endOwn(key, u, now, &eff) {
		return left, eff
	}
	s.remove(key, u.Name, u.ID, BrokerUnregistered, &eff)
	return left, eff
}

// touched are the registrations that an UNREGISTER would touch: that of its key, and the one on which the address stands under
// its broker name.
func (s *state) touched(key tombstone.Key, u *Unregistration) (all []*live) {
	if e := s.visible(key); e != nil {
		all = append(all, e)
	}
	if b := s.byName[u.Name]; b != nil {
		if i := b.byAddr(u.Addr); i >= 0 && !slices.Contains(all, b.members[i].live) {
			all = append(all, b.members[i].live)
		}
	}
	return all
}

// touchesOwn says that an UNREGISTER touches something, and nothing that its source does not claim: neither the registration of
// its key, nor the address under its broker name, nor another broker of that name.
func (s *state) touchesOwn(key tombstone.Key, u *Unregistration) bool {
	all := s.touched(key, u)
	if b := s.byName[u.Name]; len(all) == 0 || b != nil && !s.claimsBroker(u.Conn.Source, b) {
		return false
	}
	return !slices.ContainsFunc(all, func(e *live) bool { return !e.claimedBy(u.Conn.Source) })
}

// claimedBy says that the source has a claim. Who has no address has none that way.
func (e *live) claimedBy(source mq.Source) bool {
	return source.Addr.IsValid() && e.claimOf(source) != nil
}

func (s *state) claimsBroker(source mq.Source, b *broker) bool {
	for e := range b.lives {
		if !e.hidden && e.claimedBy(source) {
			return true
		}
	}
	return false
}

// endOwn ends the claims of the sender on what its UNREGISTER touches, as the loss of their owners would, and says that something
// of it goes on. If nothing does, nothing is done: then it is an UNREGISTER like any other.
func (s *state) endOwn(key tombstone.Key, u *Unregistration, now clock.Stamp, eff *Effects) (goesOn bool) {
	var over []*live
	for _, e := range s.touched(key, u) {
		if s.outlives(e, e.claimOf(u.Conn.Source), now, eff) {
			goesOn = true
		} else {
			over = append(over, e)
		}
	}
	if !goesOn {
		return false
	}
	for _, e := range over {
		if s.lives[e.key] == e {
			s.lose(e, BrokerUnregistered, eff)
		}
	}
	return true
}

// ofYounger finds a registration that the UNREGISTER would touch and that a connection of the same source claims which was
// accepted later: a predecessor's late frame must not remove its successor (docs/spec/nameserver.md#dev-11). Connections of
// other sources have no order.
func (s *state) ofYounger(key tombstone.Key, u *Unregistration) *live {
	younger := func(e *live) bool {
		c := e.claimOf(u.Conn.Source)
		return c != nil && u.Conn.ordered() && c.owner.ID > u.Conn.ID
	}
	all := s.touched(key, u)
	if i := slices.IndexFunc(all, younger); i >= 0 {
		return all[i]
	}
	return nil
}

// leaving says what an UNREGISTER that is not ignored means for tombstones. One is made only when the UNREGISTER came on
// the owner of its source's claim (or on the remembered owner of one that was taken), names that exactly, whoever
// shows, and the connection can prove life.
func (s *state) leaving(key tombstone.Key, u *Unregistration, now clock.Stamp) Left {
	var (
		id    tombstone.Identity
		late  bool
		since clock.Stamp
		k     = claimKey{key, u.Conn.Source}
		e     = s.visible(key)
		own   *claim
	)
	if e != nil {
		own = e.ownedBy(u.Conn.ID)
	}
	switch rem := s.remembered[k]; {
	case own != nil:
		id, late, since = own.identity(), own.lateProof(), own.since
	case rem != nil && rem.owner.ID == u.Conn.ID && now.Sub(rem.since) <= s.ttl:
		id, late = rem.Identity, rem.lateProof
	case e != nil:
		return Left{Leaving: LeavingOtherConn}
	default:
		return Left{Leaving: LeavingUnknown}
	}
	switch {
	case id.Name != u.Name:
		return Left{Leaving: LeavingOtherName}
	case id.BrokerID != u.ID:
		return Left{Leaving: LeavingOtherID}
	case !u.Conn.CanProve || !u.Conn.ordered():
		return Left{Leaving: LeavingNoProof}
	}
	s.forget(k)
	return Left{Leaving: LeavingProven, Departure: tombstone.Departure{
		Key: key, Identity: id, Unregistered: u.At, LateProof: late, Conn: u.Conn.ID, Since: since,
	}}
}

// remove takes a registration away as RouteInfoManager.unRegisterBroker does for (cluster, address, name, id).
func (s *state) remove(key tombstone.Key, name string, id int64, why EventKind, eff *Effects) {
	s.void(key, name)
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
		s.charge(b, -(sizeOfPlace + 2*len(cluster)))
	}
	for e := range b.lives {
		if len(e.backs) == 0 {
			s.dropLive(e)
			continue
		}
		// One address under two names, and the newer name is gone: what remains is an older one's.
		older := slices.MinFunc(e.backs, func(a, b *broker) int { return cmp.Compare(a.name, b.name) })
		s.setBroker(e, older)
		e.id = older.members[older.byAddr(e.key.Addr)].id
		for i := range e.claims {
			if c := &e.claims[i]; c.name == b.name {
				c.name, c.id = older.name, e.id
			}
		}
	}
	delete(s.byName, b.name)
	s.freeBroker(b)
}

// lose ends a registration with every address it keeps alive.
func (s *state) lose(e *live, why EventKind, eff *Effects) {
	eff.Events = append(eff.Events, e.event(why))
	byName := func(a, b *broker) int { return cmp.Compare(a.name, b.name) }
	if why != BrokerVanished { // that can be undone, the last first
		s.voidBacks(e)
	}
	for _, b := range slices.SortedFunc(slices.Values(e.backs), byName) {
		s.leaveBroker(b, e.key.Addr, b.members[b.byAddr(e.key.Addr)].id, eff)
	}
	if s.lives[e.key] == e {
		s.dropLive(e)
	}
}

// connLost ends what a connection owns, oldest registration first.
func (s *state) connLost(conn uint64, now clock.Stamp) (eff Effects) {
	s.voidWhere(func(a *aside) bool { return a.e.shown().owner.ID == conn })
	refs := s.conns[conn]
	if refs == nil {
		return eff
	}
	for key := range refs.remembered {
		s.forget(key)
	}
	for _, e := range byGeneration(refs.lives) {
		if s.lives[e.key] == e && !s.outlives(e, e.ownedBy(conn), now, &eff) {
			s.lose(e, BrokerLost, &eff)
		}
	}
	return eff
}

// expire removes what gave no sign of life for its timeout, and says which connections to close for it. It also ends what was
// inherited and has not been registered since: no connection is closed for that.
func (s *state) expire(now clock.Stamp) (eff Effects) {
	s.voidWhere(func(a *aside) bool { return a.over(now) })
	for key, rem := range s.remembered {
		if now.Sub(rem.since) > s.ttl {
			s.forget(key)
		}
	}
	due := map[*live]struct{}{}
	for _, e := range s.lives {
		if e.silent(now) || e.lapsed(now) {
			due[e] = struct{}{}
		}
	}
	var expired []expiry
	for _, e := range byGeneration(due) {
		if s.lives[e.key] != e {
			continue
		}
		why := BrokerLost
		if e.silent(now) {
			why = BrokerExpired
			expired = append(expired, expiry{conn: e.shown().owner.ID, timeout: e.timeout, superseded: len(e.backs) == 0})
		}
		s.lose(e, why, &eff)
	}
	eff.Close = s.closings(expired)
	return eff
}

// silent says that a registration gave no sign of life for its timeout.
func (e *live) silent(now clock.Stamp) bool { return now.Sub(e.lastSeen) > e.timeout }

// expiry is an expired registration, with the connection whose claim it showed.
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

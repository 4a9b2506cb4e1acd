package routes

import (
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

func (r *Registration) key() tombstone.Key { return tombstone.Key{Cluster: r.Cluster, Addr: r.Addr} }

// single says that the body could be an incremental registration.
func (r *Registration) single() bool { return r.HasTopics && len(r.Topics) == 1 }

// register applies a registration. The numbers in comments are the steps of contract 3.2.
func (s *state) register(r *Registration, now clock.Stamp) (res RegisterResult, eff Effects) {
	b := s.byName[r.Name]
	if s.refuses(b, r) {
		eff.Events = append(eff.Events, r.event(RegisterRefused))
		res.Refused = true
		return res, eff
	}
	first := b == nil // 2
	if first {
		b = &broker{name: r.Name, cluster: r.Cluster, lives: map[*live]struct{}{}}
	} else if !slices.Contains(b.clusters, r.Cluster) {
		eff.Events = append(eff.Events, r.conflict(ConflictClusters, b.cluster))
	}
	s.joinCluster(b, r.Cluster)                                   // 1
	changedA := b.describe(r)                                     // 3
	minChanged := b.wouldLead(r.ID)                               // 4
	if i := b.byAddr(r.Addr); i >= 0 && b.members[i].id != r.ID { // 5
		eff.Events = append(eff.Events, r.moved(b.members[i].id))
		s.removeMember(b, i)
		changedA = true
	}
	res.Dropped = s.dropped(b, r, &eff)               // 6, 7
	res.Refused = !res.Dropped && b.tooEarly(r, &eff) // 8
	if res.Dropped || res.Refused {
		if changedA {
			s.touch(b)
		}
		return res, eff
	}
	if first {
		s.byName[r.Name] = b
		s.addBroker(b)
	}
	e, known := s.admit(b, r, now, &eff)
	old, had := s.setMember(b, r.ID, r.Addr, e) // 9
	if had && old.addr != r.Addr && r.ID == MasterID {
		eff.Events = append(eff.Events, r.conflict(ConflictMasterAddress, old.addr))
	}
	changedA = changedA || !had || old.addr != r.Addr
	first = first || !had || old.addr == ""
	anew := first || !known || e.data != r.DataVersion
	counts := s.applyTopics(b, r, anew) // 10, 11
	s.setFilters(e, r)                  // 13
	s.accept(e, r, b)
	s.renew(e, r, now, known) // 12
	if changedA {
		s.touch(b)
	}
	s.tell(e, known, counts, &eff)
	s.askMaster(b, r, &res)                     // 14
	if minChanged && s.opts.NotifyMinBrokerID { // 15
		eff.Notify = append(eff.Notify, b.notification(Opt{}, r.HAAddr))
	}
	return res, eff
}

// refuses says that a single topic comes before the first full registration of a broker that would be left without
// an address: nothing of it is applied, not even a place in its cluster (contract 3.2 step 8, Appendix B 5).
func (s *state) refuses(b *broker, r *Registration) bool {
	if !r.single() {
		return false
	}
	if b == nil {
		return true
	}
	return len(b.members) == 1 && b.members[0].addr == r.Addr && b.members[0].id != r.ID
}

// describe sets what every registration of a broker name overwrites, and says whether that changed anything.
func (b *broker) describe(r *Registration) bool {
	acting := r.Acting == True
	if b.acting == acting && b.zone == r.Zone {
		return false
	}
	b.acting, b.zone = acting, r.Zone
	return true
}

// wouldLead says that an id is below the smallest one, which for a broker without members counts as 0.
func (b *broker) wouldLead(id int64) bool {
	if len(b.members) == 0 {
		return id < 0
	}
	return id < b.members[0].id
}

// tooEarly says that a single topic comes for an id that has no address yet: it must not be taken for all its topics.
func (b *broker) tooEarly(r *Registration, eff *Effects) bool {
	if _, had := b.byID(r.ID); had || len(b.members) == 0 || !r.single() {
		return false
	}
	eff.Events = append(eff.Events, r.event(RegisterRefused))
	return true
}

// dropped says that the address registered under this id has a greater state version: the newcomer's own registration
// is taken away, everything else stays.
func (s *state) dropped(b *broker, r *Registration, eff *Effects) bool {
	i, had := b.byID(r.ID)
	if !had || b.members[i].addr == r.Addr {
		return false
	}
	holder := s.visible(tombstone.Key{Cluster: r.Cluster, Addr: b.members[i].addr})
	if holder == nil || holder.data.StateVersion <= r.DataVersion.StateVersion {
		return false
	}
	if e := s.visible(r.key()); e != nil {
		s.takeAway(e)
	}
	eff.Events = append(eff.Events, r.conflict(RegisterDropped, b.members[i].addr))
	return true
}

// admit finds or makes the registration of the key; known says that the original's live table had it.
func (s *state) admit(b *broker, r *Registration, now clock.Stamp, eff *Effects) (e *live, known bool) {
	s.forget(r.key())
	e = s.lives[r.key()]
	if e == nil {
		if loopbackFromElsewhere(r) {
			eff.Events = append(eff.Events, r.event(ConflictLoopback))
		}
		return s.addLive(r.key(), b, now), false
	}
	if e.broker != b {
		if !e.hidden {
			eff.Events = append(eff.Events, r.conflict(ConflictNames, e.broker.name))
		}
		e.setBroker(b)
	}
	return e, !e.hidden
}

// setFilters is step 13.
func (s *state) setFilters(e *live, r *Registration) {
	if !r.Filters.Valid || slices.Equal(e.filters, r.Filters.Servers) {
		return
	}
	e.filters = slices.Clone(r.Filters.Servers)
	s.filtersChanged()
}

// filtersChanged makes all routes anew: which ones show an address is not indexed, for hardly anybody has filter servers.
func (s *state) filtersChanged() { s.cache.epoch.Add(1) }

// accept remembers the body, so that the same one need not be read again: see registerUnchanged.
func (s *state) accept(e *live, r *Registration, b *broker) {
	if e.data != r.DataVersion {
		s.edition++
	}
	e.data = r.DataVersion
	e.print = r.Print
	if r.FreshVersion {
		e.print = Fingerprint{}
	}
	e.complete = r.HasTopics && (r.ID == MasterID || b.prime(r))
	e.erasedAt = b.erased
}

// renew is step 12 without the body, and the ownership rule (tombstones.md section 2). known says that the registration
// was there before; one that is not begins anew with the connection of this request, whatever connections were before.
func (s *state) renew(e *live, r *Registration, now clock.Stamp, known bool) {
	s.gen++
	e.gen = s.gen
	e.id = r.ID
	e.ha = r.HAAddr
	e.timeout = timeout(r.Timeout)
	e.lastSeen, e.lastRegister = now, now
	if !known {
		e.hidden = false
		e.since = now
		e.kept, e.keptAt = tombstone.Verdict{}, clock.Stamp{}
		s.edition++
	}
	if known && e.owner != nil && (r.Conn == nil || r.Conn.ID < e.owner.ID) {
		return // the owner stays, and so does what tells how it will leave
	}
	s.setOwner(e, r.Conn)
	e.version, e.language = r.Version, r.Language
}

// timeout is heartbeatTimeoutMillis; what does not fit lasts for ever, or not at all.
func timeout(ms Opt64) time.Duration {
	const limit = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case !ms.Valid:
		return DefaultTimeout
	case ms.N > limit:
		return math.MaxInt64
	case ms.N < -limit:
		return math.MinInt64
	}
	return time.Duration(ms.N) * time.Millisecond
}

// tell reports what a registration changed.
func (s *state) tell(e *live, known bool, c counts, eff *Effects) {
	if !known {
		ev := e.event(BrokerRegistered)
		ev.Added, ev.Changed, ev.Erased = c.added, c.changed, c.erased
		eff.Events = append(eff.Events, ev)
		return
	}
	if c != (counts{}) {
		ev := e.event(TopicsChanged)
		ev.Added, ev.Changed, ev.Erased = c.added, c.changed, c.erased
		eff.Events = append(eff.Events, ev)
	}
}

// askMaster is step 14.
func (s *state) askMaster(b *broker, r *Registration, res *RegisterResult) {
	if r.ID == MasterID {
		return
	}
	i, had := b.byID(MasterID)
	if !had {
		return
	}
	addr := b.members[i].addr
	if e := s.visible(tombstone.Key{Cluster: r.Cluster, Addr: addr}); e != nil {
		res.HasMaster, res.MasterAddr, res.HAAddr = true, addr, e.ha
	}
}

// notification is contract 3.9: after an unregistration it goes to all members, after a registration to all but the new
// minimum, unless that is the only one.
func (b *broker) notification(offline, ha Opt) Notification {
	n := Notification{
		Broker: b.name, MinID: b.members[0].id, MinAddr: b.members[0].addr, Offline: offline, HA: ha,
	}
	for i, m := range b.members {
		if i > 0 || offline.Valid || len(b.members) == 1 {
			n.Receivers = append(n.Receivers, m.addr)
		}
	}
	return n
}

func (r *Registration) event(kind EventKind) Event {
	ev := Event{Kind: kind, Cluster: r.Cluster, Name: r.Name, Addr: r.Addr, ID: r.ID}
	if r.Conn != nil {
		ev.Conn, ev.Remote = r.Conn.ID, r.Conn.Remote
	}
	return ev
}

func (r *Registration) conflict(kind EventKind, old string) Event {
	ev := r.event(kind)
	ev.Old = old
	return ev
}

func (r *Registration) moved(from int64) Event {
	ev := r.event(BrokerMoved)
	ev.OldID = from
	return ev
}

// loopbackFromElsewhere says that a broker advertises an address at which only its own host can reach it.
func loopbackFromElsewhere(r *Registration) bool {
	if r.Conn == nil || !r.Conn.Remote.IsValid() || r.Conn.Remote.Addr().Unmap().IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

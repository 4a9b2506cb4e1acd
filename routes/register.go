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

// single says that the body may be an incremental registration: that has exactly one topic.
func (r *Registration) single() bool { return r.HasTopics && len(r.Topics) == 1 }

// register applies a registration, step by step as RouteInfoManager.registerBroker does
// (docs/spec/nameserver.md#registration). known is what a comparison with T has found, if one was made.
//
// A registration that is dropped or refused half-way keeps what was done before: its place in the cluster's set, the
// broker's new description, and that the address has left its former id.
func (s *state) register(r *Registration, known comparison, now clock.Stamp) (res RegisterResult, eff Effects) {
	s.void(r.key(), r.Name)
	b := s.byName[r.Name]
	if s.noRoom(r) {
		res.NoRoom = true
		return res, eff
	}
	if leavesNoAddress(b, r) {
		eff.Events = append(eff.Events, r.event(RegisterRefused))
		res.Refused = true
		return res, eff
	}
	// A broker name that is new gets its place in A only when its address stands (below): until then nobody sees it.
	first := b == nil
	if first {
		b = &broker{name: r.Name, cluster: r.Cluster, lives: map[*live]struct{}{}}
	} else if !slices.Contains(b.clusters, r.Cluster) {
		eff.Events = append(eff.Events, r.conflict(ConflictClusters, b.cluster))
	}
	s.joinCluster(b, r.Cluster)
	changedA := b.describe(r)
	// This compares with the ids before the registration, its own former one included.
	minChanged := b.wouldLead(r.ID)
	// An address stands under one id only: a broker whose role changed leaves its old id.
	if i := b.byAddr(r.Addr); i >= 0 && b.members[i].id != r.ID {
		eff.Events = append(eff.Events, r.moved(b.members[i].id))
		s.removeMember(b, i)
		changedA = true
	}
	res.Dropped = s.dropped(b, r, &eff)
	res.Refused = !res.Dropped && b.tooEarly(r, &eff)
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
	e, listed := s.admit(b, r, now, &eff)
	old, had := s.setMember(b, r.ID, r.Addr, e)
	if had && old.addr != r.Addr && r.ID == MasterID {
		eff.Events = append(eff.Events, r.conflict(ConflictMasterAddress, old.addr))
	}
	changedA = changedA || !had || old.addr != r.Addr
	// With the data version that is stored already, only missing topics are added: a write permission that an operator has
	// wiped stays wiped. The stored version is replaced after this (accept).
	first = first || !had || old.addr == ""
	anew := first || !listed || e.data != r.DataVersion
	counts := s.applyTopics(b, r, known, anew, e.short)
	s.setFilters(e, r, &counts)
	s.accept(e, r, b, counts.noRoom)
	s.renew(e, r, now, listed, &eff)
	if changedA {
		s.touch(b)
	}
	s.tell(e, listed, counts, &eff)
	s.askMaster(b, r, &res)
	if minChanged && s.opts.NotifyMinBrokerID {
		eff.Notify = append(eff.Notify, b.notification(Opt{}, r.HAAddr))
	}
	return res, eff
}

// leavesNoAddress says that a single topic comes before the first full registration of a broker name that has no other
// address: it is refused (see tooEarly), and the name would be left without any. Here, other than in the original, nothing
// of it is applied, not even its place in the cluster (docs/spec/nameserver.md#dev-5).
func leavesNoAddress(b *broker, r *Registration) bool {
	if !r.single() {
		return false
	}
	if b == nil {
		return true
	}
	return len(b.members) == 1 && b.members[0].addr == r.Addr && b.members[0].id != r.ID
}

// describe sets what every registration of a broker name overwrites, a slave's too, and says whether that changed anything.
func (b *broker) describe(r *Registration) bool {
	acting := r.Acting == True
	if b.acting == acting && b.zone == r.Zone {
		return false
	}
	b.acting, b.zone = acting, r.Zone
	return true
}

// wouldLead says that an id is below the smallest one. That counts as 0 where there is none, so a broker name's very first
// member changes no minimum.
func (b *broker) wouldLead(id int64) bool {
	if len(b.members) == 0 {
		return id < 0
	}
	return id < b.members[0].id
}

// tooEarly says that a single topic comes for an id that has no address yet. It is refused, for it would be taken for all
// the topics of that broker.
func (b *broker) tooEarly(r *Registration, eff *Effects) bool {
	if _, had := b.byID(r.ID); had || len(b.members) == 0 || !r.single() {
		return false
	}
	eff.Events = append(eff.Events, r.event(RegisterRefused))
	return true
}

// dropped says that another address stands under this id and has a greater state version. The newcomer's own live entry
// is taken away then, if it has one. With equal state versions the newcomer takes the id.
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

// admit finds or makes the live entry of the key; listed says that it was in the live table already.
func (s *state) admit(b *broker, r *Registration, now clock.Stamp, eff *Effects) (e *live, listed bool) {
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
		s.setBroker(e, b)
	}
	return e, !e.hidden
}

// setFilters stores the filter servers of a registration: an empty list removes them, none at all leaves them.
func (s *state) setFilters(e *live, r *Registration, c *counts) {
	if !r.Filters.Valid || slices.Equal(e.filters, r.Filters.Servers) {
		return
	}
	grows := sizeOfTexts(r.Filters.Servers) - sizeOfTexts(e.filters)
	if grows > 0 && !s.fits(r.Limit, int64(grows)) {
		c.leaveOut(len(r.Filters.Servers))
		return
	}
	s.charge(e.broker, grows)
	e.filters = slices.Clone(r.Filters.Servers)
	s.filtersChanged()
}

// filtersChanged makes all routes anew: which ones show an address is not indexed, for hardly anybody has filter servers.
func (s *state) filtersChanged() { s.cache.epoch.Add(1) }

// accept stores the data version, whatever it was before, and remembers the body, so that the same one need not be read
// again (see registerUnchanged). short says that it found no room for all: the next one is read again.
func (s *state) accept(e *live, r *Registration, b *broker, short bool) {
	if e.data != r.DataVersion {
		s.edition++
	}
	e.data = r.DataVersion
	e.print = r.Print
	e.short = short
	if r.FreshVersion || short {
		e.print = Fingerprint{}
	}
	e.complete = r.HasTopics && (r.ID == MasterID || b.prime(r))
	e.erasedAt = b.erased
}

// renew refreshes what the live entry says beside the body, and the claim of the connection's source (claimed). An entry that
// was not listed before begins anew.
func (s *state) renew(e *live, r *Registration, now clock.Stamp, listed bool, eff *Effects) {
	s.gen++
	e.gen = s.gen
	e.id = r.ID
	e.ha = r.HAAddr
	e.timeout = timeout(r.Timeout)
	if listed {
		s.longestGap = max(s.longestGap, now.Sub(e.shown().lastRegister))
	}
	e.lastSeen = now
	if !e.keptAt.IsZero() { // the departure was before it was judged, so the broker has come back
		e.kept, e.keptAt = tombstone.Verdict{}, clock.Stamp{}
		s.edition++
	}
	if !listed {
		e.hidden = false
		e.since = now
		s.edition++
	}
	s.claimed(e, r, now, listed, eff)
}

// timeout is heartbeatTimeoutMillis; what does not fit lasts for ever, or not at all.
func timeout(ms Opt64) time.Duration {
	const limit = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case !ms.Valid:
		return defaultTimeout
	case ms.N > limit:
		return math.MaxInt64
	case ms.N < -limit:
		return math.MinInt64
	}
	return time.Duration(ms.N) * time.Millisecond
}

// tell reports what a registration changed.
func (s *state) tell(e *live, listed bool, c counts, eff *Effects) {
	if c.leftOut > 0 {
		ev := e.event(RegisterCut)
		ev.LeftOut = c.leftOut
		eff.Events = append(eff.Events, ev)
	}
	if !listed {
		ev := e.event(BrokerRegistered)
		ev.Added, ev.Changed, ev.Erased = c.added, c.changed, c.erased
		eff.Events = append(eff.Events, ev)
		return
	}
	if c.added+c.changed+c.erased > 0 {
		ev := e.event(TopicsChanged)
		ev.Added, ev.Changed, ev.Erased = c.added, c.changed, c.erased
		eff.Events = append(eff.Events, ev)
	}
}

// askMaster tells a slave the address of its master and the HA address that the master registered in the same cluster.
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

// notification tells members that the smallest id of their broker is another one (docs/spec/nameserver.md#min-broker-id).
// After an unregistration (offline) it goes to all members, after a registration to all but the new minimum, unless
// that is the only one.
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
	ev.by(r.Conn)
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
	if !r.Conn.Source.Addr.IsValid() || r.Conn.Source.Addr.IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

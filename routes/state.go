package routes

import (
	"slices"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// state is the routing tables as plain data. Its methods take events and a now and return effects; they take no lock,
// read no clock and write no log. names alone may be read without the table's lock: see Table.Route.
type state struct {
	opts Options
	ttl  time.Duration
	gen  uint64 // the newest registration's generation

	longestGap time.Duration // see Stats

	topicTable
	byName   map[string]*broker              // A
	clusters map[string]map[*broker]struct{} // C
	lives    map[tombstone.Key]*live         // L and F
	mappings map[string][]given              // M, each list in the order in which they were given
	given    uint64                          // how many were, ever

	conns      map[uint64]*connRefs
	remembered map[claimKey]*remembered

	asides      []*aside // oldest first
	asideBytes  int64
	asideBudget int64 // 0: nothing is set aside
}

// broker is an entry of A. Its index names it in topic entries.
type broker struct {
	index    uint32
	name     string
	cluster  string   // of its first registrant, for ever
	clusters []string // whose sets name it
	members  []member // sorted by id
	zone     Opt
	acting   bool
	tally    tally    // of its entries
	topics   []uint32 // ids of the topics that have an entry of this broker; entry.pos points back
	erased   uint64   // how many of its entries were ever removed: a registration's proof that none is missing
	lives    map[*live]struct{}
	size     int64               // bytes, see size.go
	mapped   map[string]struct{} // topics of M that have a mapping from this broker
}

// given is a mapping, and the broker that gave it by a registration: with that one it goes (docs/spec/nameserver.md#dev-21).
type given struct {
	BrokerMapping
	from  *broker
	size  int    // bytes of Info
	count uint64 // state.given, when it was
}

// member is one address of a broker, kept alive by the registration it was last made by.
type member struct {
	id   int64
	addr string
	live *live
}

// live is an entry of L and, with filters, of F.
//
// It is hidden when an UNREGISTER under one broker name removed it while it keeps a member of another name alive: to every
// question about L it is gone, as in the original, but its connection and its timeout still end that member.
// It is superseded when it keeps no member alive: its address was displaced.
type live struct {
	key    tombstone.Key
	broker *broker // of the last registration
	id     int64
	hidden bool
	backs  []*broker

	claims    []claim // one for each source that registered it, the one that registered last first; at least one
	inherited bool    // the claim that showed is gone, and nobody has registered since

	gen      uint64
	since    clock.Stamp
	lastSeen clock.Stamp
	timeout  time.Duration
	ha       Opt
	data     DataVersion
	filters  []string

	print    Fingerprint // of the last accepted body
	short    bool        // it found no room for all of that body
	complete bool        // that body's topics were all in T when broker.erased was erasedAt
	erasedAt uint64

	kept   tombstone.Verdict
	keptAt clock.Stamp
}

// connRefs is what depends on one connection.
type connRefs struct {
	lives      map[*live]struct{} // it owns a claim of each
	remembered map[claimKey]struct{}
}

// claimKey names a claim.
type claimKey struct {
	tombstone.Key
	source mq.Source
}

// remembered is the owner of a claim that a tombstone or its host's silence took: its own UNREGISTER may still come.
type remembered struct {
	tombstone.Identity
	owner     *Conn
	lateProof bool
	since     clock.Stamp
}

func newState(opts Options, ttl time.Duration, cacheBytes int64) *state {
	s := &state{
		opts:       opts,
		ttl:        ttl,
		byName:     map[string]*broker{},
		clusters:   map[string]map[*broker]struct{}{},
		lives:      map[tombstone.Key]*live{},
		mappings:   map[string][]given{},
		conns:      map[uint64]*connRefs{},
		remembered: map[claimKey]*remembered{},
	}
	s.names = xsync.NewMap[string, *topic]()
	s.settingOf = map[Queue]uint32{}
	s.cache.budget = cacheBytes
	return s
}

func (s *state) setOptions(o Options) {
	s.opts = o
	s.cache.epoch.Add(1)
}

// visible is the registration of a key as the original's live table would have it.
func (s *state) visible(key tombstone.Key) *live {
	if e := s.lives[key]; e != nil && !e.hidden {
		return e
	}
	return nil
}

// joinCluster puts a broker into a cluster's set; a broker name never leaves a set while it exists.
func (s *state) joinCluster(b *broker, cluster string) {
	if slices.Contains(b.clusters, cluster) {
		return
	}
	b.clusters = append(b.clusters, cluster)
	set := s.clusters[cluster]
	if set == nil {
		set = map[*broker]struct{}{}
		s.clusters[cluster] = set
	}
	set[b] = struct{}{}
	s.charge(b, sizeOfPlace+2*len(cluster))
}

// byID returns the place of the member with an id, or where it would stand.
func (b *broker) byID(id int64) (int, bool) {
	return slices.BinarySearchFunc(b.members, id, func(m member, id int64) int {
		switch {
		case m.id < id:
			return -1
		case m.id > id:
			return 1
		}
		return 0
	})
}

// byAddr returns the place of the member with an address, or -1.
func (b *broker) byAddr(addr string) int {
	return slices.IndexFunc(b.members, func(m member) bool { return m.addr == addr })
}

// masterless says that a broker's smallest id is above a master's (RouteInfoManager.isNoMasterExists).
func (b *broker) masterless() bool { return b.members[0].id > MasterID }

// setMember puts an address under an id, kept alive by e, and returns the member that stood there.
func (s *state) setMember(b *broker, id int64, addr string, e *live) (old member, had bool) {
	i, had := b.byID(id)
	if had {
		old = b.members[i]
	} else {
		b.members = slices.Insert(b.members, i, member{})
	}
	b.members[i] = member{id: id, addr: addr, live: e}
	if !had || old != b.members[i] {
		s.edition++
	}
	if !had || old.live != e {
		e.backs = append(e.backs, b)
		if had {
			s.unback(old.live, b)
		}
	}
	return old, had
}

func (s *state) removeMember(b *broker, i int) {
	e := b.members[i].live
	b.members = slices.Delete(b.members, i, i+1)
	s.edition++
	s.unback(e, b)
}

// unback ends that e keeps a member of b alive.
func (s *state) unback(e *live, b *broker) {
	if i := slices.Index(e.backs, b); i >= 0 {
		e.backs = slices.Delete(e.backs, i, i+1)
	}
	if e.hidden && len(e.backs) == 0 {
		s.dropLive(e)
	}
}

// addLive makes an empty registration of a key, not yet owned by anybody.
func (s *state) addLive(key tombstone.Key, b *broker, now clock.Stamp) *live {
	e := &live{key: key, broker: b, since: now}
	s.charge(b, e.bytes())
	s.lives[key] = e
	b.lives[e] = struct{}{}
	return e
}

// dropLive removes a registration that keeps nothing alive.
func (s *state) dropLive(e *live) {
	s.charge(e.broker, -e.bytes())
	delete(s.lives, e.key)
	delete(e.broker.lives, e)
	s.endClaims(e)
	if len(e.filters) > 0 {
		s.filtersChanged()
	}
}

// takeAway removes a registration from the live table, as far as that can be seen.
func (s *state) takeAway(e *live) {
	if len(e.backs) == 0 {
		s.dropLive(e)
		return
	}
	e.hidden = true
	if len(e.filters) > 0 {
		s.charge(e.broker, -sizeOfTexts(e.filters))
		e.filters = nil
		s.filtersChanged()
	}
}

// setBroker makes b the latest name of a registration.
func (s *state) setBroker(e *live, b *broker) {
	s.charge(e.broker, -e.bytes())
	s.charge(b, e.bytes())
	delete(e.broker.lives, e)
	e.broker = b
	b.lives[e] = struct{}{}
}

func (s *state) conn(id uint64) *connRefs {
	refs := s.conns[id]
	if refs == nil {
		refs = &connRefs{lives: map[*live]struct{}{}, remembered: map[claimKey]struct{}{}}
		s.conns[id] = refs
	}
	return refs
}

func (s *state) dropConn(id uint64) {
	if refs := s.conns[id]; refs != nil && len(refs.lives) == 0 && len(refs.remembered) == 0 {
		delete(s.conns, id)
	}
}

// forget ends the memory of the owner of a claim that was taken.
func (s *state) forget(key claimKey) {
	rem := s.remembered[key]
	if rem == nil {
		return
	}
	delete(s.remembered, key)
	if refs := s.conns[rem.owner.ID]; refs != nil {
		delete(refs.remembered, key)
		s.dropConn(rem.owner.ID)
	}
}

// event starts an event about a registration.
func (e *live) event(kind EventKind) Event {
	ev := Event{
		Kind: kind, Cluster: e.key.Cluster, Name: e.broker.name, Addr: e.key.Addr, ID: e.id, Generation: e.gen,
	}
	ev.by(e.shown().owner)
	return ev
}

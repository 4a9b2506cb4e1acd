package routes

import (
	"cmp"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// route makes the route of a topic (RouteInfoManager.pickupTopicRouteData), without the order configuration. What it returns
// shares nothing with the tables that ever changes.
func (s *state) route(t *topic) *Route {
	r := &Route{
		Topic:   t.name,
		Queues:  make([]BrokerQueue, len(t.entries)),
		Brokers: make([]Broker, len(t.entries)),
	}
	acting := s.opts.SupportActingMaster && !strings.HasPrefix(t.name, mq.SyncMemberPrefix)
	byName := slices.Clone(t.entries)
	slices.SortFunc(byName, func(a, b entry) int { return cmp.Compare(s.brokers[a.broker].name, s.brokers[b.broker].name) })
	for i, e := range byName {
		b := s.brokers[e.broker]
		q := s.settings[e.setting].Queue
		r.Queues[i] = BrokerQueue{Broker: b.name, Queue: q}
		r.Brokers[i] = b.export()
		s.addFilters(r, b)
		if acting && b.acting && q.Perm&PermWrite == 0 {
			actAsMaster(r.Brokers[i].Members)
		}
	}
	r.Mappings, r.HasMappings = s.mappingsOf(t.name)
	return r
}

// export copies a broker.
func (b *broker) export() Broker {
	out := Broker{Cluster: b.cluster, Name: b.name, Zone: b.zone, Acting: b.acting}
	out.Members = b.exportMembers()
	return out
}

func (b *broker) exportMembers() []Member {
	list := make([]Member, len(b.members))
	for i, m := range b.members {
		list[i] = Member{ID: m.id, Addr: m.addr}
	}
	return list
}

// addFilters adds the filter servers of a broker's addresses. They are looked up under the broker's own cluster.
func (s *state) addFilters(r *Route, b *broker) {
	for _, m := range b.members {
		e := s.lives[tombstone.Key{Cluster: b.cluster, Addr: m.addr}]
		if e == nil || len(e.filters) == 0 {
			continue
		}
		at := func(f FilterServers) bool { return f.Addr == m.addr }
		if i := slices.IndexFunc(r.Filters, at); i >= 0 {
			r.Filters[i].Servers = e.filters
		} else {
			r.Filters = append(r.Filters, FilterServers{Addr: m.addr, Servers: e.filters})
		}
	}
}

// actAsMaster shows the smallest id as a master where there is none.
func actAsMaster(members []Member) {
	for _, m := range members {
		if m.ID == MasterID {
			return
		}
	}
	members[0].ID = MasterID
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
}

// InZone returns the route without the brokers of other zones (ZoneRouteRPCHook): a broker stays when its zone is this one
// in any case of letters, or when it has no master. Its queues and filter servers go with it. r is not changed.
func (r *Route) InZone(zone string) *Route {
	out := *r
	gone := map[string]bool{}
	out.Brokers = keep(r.Brokers, func(b *Broker) bool {
		at := func(m Member) bool { return m.ID == MasterID }
		stays := !slices.ContainsFunc(b.Members, at) || b.Zone.Valid && strings.EqualFold(b.Zone.S, zone)
		gone[b.Name] = !stays
		return stays
	})
	out.Queues = keep(r.Queues, func(q *BrokerQueue) bool { return !gone[q.Broker] })
	goneAddrs := map[string]bool{}
	for i := range r.Brokers {
		for _, m := range r.Brokers[i].Members {
			if gone[r.Brokers[i].Name] {
				goneAddrs[m.Addr] = true
			}
		}
	}
	out.Filters = keep(r.Filters, func(f *FilterServers) bool { return !goneAddrs[f.Addr] })
	return &out
}

// keep returns those elements that f wants.
func keep[E any](list []E, f func(*E) bool) []E {
	var out []E
	for i := range list {
		if f(&list[i]) {
			out = append(out, list[i])
		}
	}
	return out
}

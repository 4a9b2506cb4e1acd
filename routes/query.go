package routes

import (
	"cmp"
	"maps"
	"slices"

	"github.com/epitaph-mq/epitaph/mq"
)

func (s *state) clusterInfo() ClusterInfo {
	var info ClusterInfo
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		info.Brokers = append(info.Brokers, s.byName[name].export())
	}
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		c := Cluster{Name: name}
		for b := range s.clusters[name] {
			c.Brokers = append(c.Brokers, b.name)
		}
		slices.Sort(c.Brokers)
		info.Clusters = append(info.Clusters, c)
	}
	return info
}

func (s *state) memberGroup(name string) []Member {
	if b := s.byName[name]; b != nil {
		return b.exportMembers()
	}
	return nil
}

func (s *state) allTopics() []string {
	return s.topicsWhere(func(*topic) bool { return true })
}

func (s *state) topicsWhere(f func(*topic) bool) []string {
	list := make([]string, 0, len(s.topics)-len(s.freeTopics))
	for _, t := range s.topics {
		if t != nil && f(t) {
			list = append(list, t.name)
		}
	}
	return list
}

func (s *state) topicsOfCluster(cluster string) []string {
	set := s.clusters[cluster]
	if len(set) == 0 {
		return nil
	}
	return s.topicsWhere(func(t *topic) bool {
		return slices.ContainsFunc(t.entries, func(e entry) bool {
			_, in := set[s.brokers[e.broker]]
			return in
		})
	})
}

// topicsOfKind looks at the flag of one broker's entry, as the original does: which one is not defined.
func (s *state) topicsOfKind(kind TopicKind) []string {
	const unit, unitSub = 1, 2
	return s.topicsWhere(func(t *topic) bool {
		flag := s.settings[t.entries[0].setting].SysFlag
		switch kind {
		case UnitTopics:
			return flag&unit != 0
		case UnitSubscribed:
			return flag&unitSub != 0
		case UnitSubscribedNonUnits:
			return flag&unitSub != 0 && flag&unit == 0
		}
		return false
	})
}

func (s *state) systemTopics() (names []string, addr Opt) {
	set := map[string]struct{}{}
	for cluster, brokers := range s.clusters {
		set[cluster] = struct{}{}
		for b := range brokers {
			set[b.name] = struct{}{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		addr = mq.Some(s.byName[name].members[0].addr)
		break
	}
	return slices.Sorted(maps.Keys(set)), addr
}

func (s *state) registrations() []Record {
	shown := make([]*live, 0, len(s.lives))
	for _, e := range s.lives {
		if !e.hidden {
			shown = append(shown, e)
		}
	}
	slices.SortFunc(shown, func(a, b *live) int {
		return cmp.Or(
			cmp.Compare(a.key.Cluster, b.key.Cluster), cmp.Compare(a.broker.name, b.broker.name),
			cmp.Compare(a.id, b.id), cmp.Compare(a.key.Addr, b.key.Addr),
		)
	})
	list := make([]Record, len(shown))
	for i, e := range shown {
		c := e.shown()
		list[i] = Record{
			Cluster: e.key.Cluster, Name: e.broker.name, Addr: e.key.Addr, ID: e.id,
			Generation: e.gen, Version: c.version, Language: c.language, DataVersion: e.data,
			Since: e.since, LastRegister: c.lastRegister, LastSeen: e.lastSeen, Timeout: e.timeout,
			Topics: len(e.broker.topics), Superseded: len(e.backs) == 0, Owner: c.owner,
			Kept: e.kept, KeptAt: e.keptAt,
		}
	}
	return list
}

func (s *state) stats() Stats {
	st := Stats{
		Topics: len(s.topics) - len(s.freeTopics), Brokers: len(s.byName),
		Registrations: len(s.lives), Clusters: len(s.clusters),
		CachedRoutes: s.cache.count.Load(), CachedBytes: s.cache.bytes.Load(), Bytes: s.size,
		LongestGap: s.longestGap,
	}
	for _, b := range s.byName {
		st.Queues += len(b.topics)
	}
	return st
}

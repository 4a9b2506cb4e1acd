package routes

import (
	"fmt"
	"slices"
)

// Check says which invariant of the package comment does not hold. It looks at everything: for tests.
func (t *Table) Check() error {
	t.mu.Lock() // also keeps readers from caching meanwhile
	defer t.mu.Unlock()
	return checkInvariants(t.st)
}

func checkInvariants(s *state) error {
	for _, check := range []func(*state) error{
		checkBrokers, checkClusters, checkMembers, checkLives, checkClaims, checkConns, checkTopics, checkReverse, checkSettings, checkCache, checkTallies, checkMappings, checkSizes, checkAsides,
	} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

func broken(number int, format string, args ...any) error {
	return fmt.Errorf("invariant %d: %s", number, fmt.Sprintf(format, args...))
}

func checkBrokers(s *state) error {
	used := 0
	for i, b := range s.brokers {
		if b == nil {
			continue
		}
		used++
		if b.index != uint32(i) || s.byName[b.name] != b {
			return broken(1, "broker %q is not where its index or its name says", b.name)
		}
		if len(b.members) == 0 {
			return broken(1, "broker %q has no member", b.name)
		}
		addrs := map[string]bool{}
		for j, m := range b.members {
			if j > 0 && b.members[j-1].id >= m.id || addrs[m.addr] {
				return broken(1, "broker %q: members %v", b.name, b.exportMembers())
			}
			addrs[m.addr] = true
		}
	}
	if used != len(s.byName) {
		return broken(1, "%d brokers have an index, %d a name", used, len(s.byName))
	}
	return nil
}

func checkClusters(s *state) error {
	places := 0
	for _, b := range s.byName {
		if len(b.clusters) == 0 || !slices.Contains(b.clusters, b.cluster) {
			return broken(2, "broker %q is in clusters %v, not in its own %q", b.name, b.clusters, b.cluster)
		}
		for _, c := range b.clusters {
			if _, in := s.clusters[c][b]; !in {
				return broken(2, "cluster %q does not name broker %q", c, b.name)
			}
			places++
		}
	}
	for c, set := range s.clusters {
		if len(set) == 0 {
			return broken(2, "cluster %q is empty", c)
		}
		places -= len(set)
	}
	if places != 0 {
		return broken(2, "clusters and brokers differ by %d places", places)
	}
	return nil
}

func checkMembers(s *state) error {
	backed := 0
	for _, b := range s.byName {
		for _, m := range b.members {
			if m.live == nil || s.lives[m.live.key] != m.live || m.live.key.Addr != m.addr {
				return broken(3, "member %d %q of %q stands on no registration", m.id, m.addr, b.name)
			}
			if !slices.Contains(m.live.backs, b) {
				return broken(3, "registration %v does not know that it keeps %q alive", m.live.key, b.name)
			}
			backed++
		}
	}
	for _, e := range s.lives {
		backed -= len(e.backs)
	}
	if backed != 0 {
		return broken(3, "members and backs differ by %d", backed)
	}
	return nil
}

func checkLives(s *state) error {
	gens, listed := map[uint64]bool{}, 0
	for key, e := range s.lives {
		if e.key != key || s.byName[e.broker.name] != e.broker {
			return broken(4, "registration %v belongs to no broker", key)
		}
		if _, in := e.broker.lives[e]; !in {
			return broken(4, "broker %q does not list registration %v", e.broker.name, key)
		}
		if _, in := s.clusters[key.Cluster][e.broker]; !in {
			return broken(4, "cluster of %v does not name broker %q", key, e.broker.name)
		}
		if e.hidden && (len(e.backs) == 0 || len(e.filters) > 0) {
			return broken(5, "hidden registration %v", key)
		}
		if e.gen == 0 || e.gen > s.gen || gens[e.gen] {
			return broken(11, "generation %d of %v", e.gen, key)
		}
		gens[e.gen] = true
	}
	for _, b := range s.byName {
		listed += len(b.lives)
	}
	if listed != len(s.lives) {
		return broken(4, "%d registrations, %d listed by brokers", len(s.lives), listed)
	}
	return nil
}

func checkConns(s *state) error {
	owned, kept := 0, 0
	for id, refs := range s.conns {
		if len(refs.lives)+len(refs.remembered) == 0 {
			return broken(6, "connection %d is listed for nothing", id)
		}
		for e := range refs.lives {
			if e.ownedBy(id) == nil || s.lives[e.key] != e {
				return broken(6, "connection %d owns no claim on %v", id, e.key)
			}
		}
		owned += len(refs.lives)
		kept += len(refs.remembered)
	}
	for _, e := range s.lives {
		owned -= len(e.claims)
	}
	if owned != 0 {
		return broken(6, "connections and claims differ by %d", owned)
	}
	return checkRemembered(s, kept)
}

func checkRemembered(s *state, kept int) error {
	for key, rem := range s.remembered {
		if e := s.visible(key.Key); e != nil && e.claimOf(key.source) != nil {
			return broken(12, "owner of %v is remembered although its source claims that", key)
		}
		if refs := s.conns[rem.owner.ID]; refs == nil || !has(refs.remembered, key) {
			return broken(12, "owner of %v is not listed under connection %d", key, rem.owner.ID)
		}
	}
	if kept != len(s.remembered) {
		return broken(12, "%d owners remembered, %d listed", len(s.remembered), kept)
	}
	return nil
}

func checkClaims(s *state) error {
	for key, e := range s.lives {
		if len(e.claims) == 0 || len(e.claims) > maxClaims {
			return broken(16, "%d claims on %v", len(e.claims), key)
		}
		for i := range e.claims {
			c := &e.claims[i]
			if e.claimOf(c.source()) != c {
				return broken(16, "two claims of %v on %v", c.source(), key)
			}
			if i > 0 && e.claims[i-1].lastRegister.Before(c.lastRegister) {
				return broken(16, "claims on %v are out of order", key)
			}
		}
	}
	return nil
}

func has(set map[claimKey]struct{}, key claimKey) bool {
	_, in := set[key]
	return in
}

func checkTopics(s *state) error {
	n := 0
	for i, t := range s.topics {
		if t == nil {
			continue
		}
		n++
		if len(t.entries) == 0 || t.id != uint32(i) {
			return broken(7, "topic %q has %d entries and id %d at %d", t.name, len(t.entries), t.id, i)
		}
		for j, e := range t.entries {
			if j > 0 && t.entries[j-1].broker >= e.broker {
				return broken(7, "topic %q: entries out of order", t.name)
			}
			if int(e.broker) >= len(s.brokers) || s.brokers[e.broker] == nil {
				return broken(7, "topic %q names a broker that is gone", t.name)
			}
		}
		if got, _ := s.names.Load(t.name); got != t {
			return broken(9, "topic %q is not found by its name", t.name)
		}
	}
	if n != s.names.Size() || n != len(s.topics)-len(s.freeTopics) {
		return broken(9, "%d topics, %d names, %d free", n, s.names.Size(), len(s.freeTopics))
	}
	return nil
}

func checkReverse(s *state) error {
	listed, entries := 0, 0
	for _, b := range s.byName {
		for pos, id := range b.topics {
			t := s.topics[id]
			i, ok := t.find(b.index)
			if !ok || t.entries[i].pos != uint32(pos) {
				return broken(8, "broker %q lists topic %q at %d", b.name, t.name, pos)
			}
		}
		listed += len(b.topics)
	}
	for _, t := range s.topics {
		if t != nil {
			entries += len(t.entries)
		}
	}
	if listed != entries {
		return broken(8, "%d entries, %d listed by brokers", entries, listed)
	}
	return nil
}

func checkTallies(s *state) error {
	for _, b := range s.byName {
		var want tally
		for _, id := range b.topics {
			t := s.topics[id]
			i, _ := t.find(b.index)
			want.add(t.name, s.settings[t.entries[i].setting].Queue)
		}
		if b.tally != want {
			return broken(14, "broker %q: tally %+v, its entries sum up to %+v", b.name, b.tally, want)
		}
	}
	return nil
}

func checkMappings(s *state) error {
	type gave struct {
		from  *broker
		topic string
	}
	seen := map[gave]bool{}
	for topic, list := range s.mappings {
		if len(list) == 0 || len(list) > topicMappings {
			return broken(15, "topic %q has %d mappings", topic, len(list))
		}
		for i, g := range list {
			if s.byName[g.from.name] != g.from {
				return broken(15, "a mapping of %q is of broker %q, which is gone", topic, g.from.name)
			}
			if _, listed := g.from.mapped[topic]; !listed {
				return broken(15, "broker %q does not know of its mapping of %q", g.from.name, topic)
			}
			if slices.ContainsFunc(list[:i], func(o given) bool { return o.from == g.from && o.Broker == g.Broker }) {
				return broken(15, "broker %q gave two mappings of %q as %q", g.from.name, topic, g.Broker)
			}
			seen[gave{g.from, topic}] = true
		}
	}
	listed := 0
	for _, b := range s.byName {
		listed += len(b.mapped)
	}
	if listed != len(seen) {
		return broken(15, "%d topics are listed as mapped, %d are", listed, len(seen))
	}
	return nil
}

func checkSettings(s *state) error {
	uses := make([]uint32, len(s.settings))
	for _, t := range s.topics {
		if t == nil {
			continue
		}
		for _, e := range t.entries {
			uses[e.setting]++
		}
	}
	live := 0
	for n, q := range s.settings {
		if q.uses != uses[n] {
			return broken(10, "setting %+v is used %d times, counted %d", q.Queue, uses[n], q.uses)
		}
		if q.uses > 0 {
			live++
			if got, ok := s.settingOf[q.Queue]; !ok || got != uint32(n) {
				return broken(10, "setting %+v is not found", q.Queue)
			}
		}
	}
	if live != len(s.settingOf) || live != len(s.settings)-len(s.freeSettings) {
		return broken(10, "%d settings in use, %d known", live, len(s.settingOf))
	}
	return nil
}

func checkCache(s *state) error {
	var bytes, count int64
	for _, t := range s.topics {
		if t == nil {
			continue
		}
		for v := range t.cache {
			if e := t.cache[v].Load(); e != nil {
				bytes += e.size()
				count++
			}
		}
	}
	if bytes != s.cache.bytes.Load() || count != s.cache.count.Load() || bytes > s.cache.budget {
		return broken(13, "%d routes of %d bytes, counted %d of %d, budget %d",
			count, bytes, s.cache.count.Load(), s.cache.bytes.Load(), s.cache.budget)
	}
	return nil
}

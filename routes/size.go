package routes

import (
	"net/netip"
	"slices"
)

// What the tables take, in bytes, is estimated as they change: by numbers that TestSizesAreNotTooSmall compares with the heap.
// Texts count beside them. Encoded routes have a budget of their own.
const (
	sizeOfTopic   = 160 // with its places in the index and the lists
	sizeOfEntry   = 24
	sizeOfSetting = 96
	sizeOfBroker  = 640
	sizeOfLive    = 1280 // with its owners, and what is known of their connections
	sizeOfPlace   = 128  // in a cluster's set
	sizeOfMapping = 200  // beside Mapping.Size
	sizeOfText    = 32   // of a list
)

// charge takes note that the tables have grown by n bytes for a broker.
func (tt *topicTable) charge(b *broker, n int) {
	b.size += int64(n)
	tt.size += int64(n)
}

// A topic is on the account of one of its brokers: the one that made it, and when that leaves, another.
func (t *topic) size() int { return sizeOfTopic + len(t.name) }

func (e *live) bytes() int {
	return sizeOfLive + len(e.key.Cluster) + len(e.key.Addr) + sizeOfTexts(e.filters)
}

func sizeOfTexts(list []string) (n int) {
	for _, s := range list {
		n += sizeOfText + len(s)
	}
	return n
}

func (g *given) bytes() int { return sizeOfMapping + len(g.Broker) + g.size }

// growth is about how much the tables would grow at most by a registration of an address that is not there.
func (s *state) growth(r *Registration) (n int64) {
	n = sizeOfBroker + sizeOfLive + 2*sizeOfPlace + int64(len(r.Name)+4*len(r.Cluster)+len(r.Addr)+sizeOfTexts(r.Filters.Servers))
	if !r.HasTopics || r.ID != MasterID && r.Acting == Absent {
		return n
	}
	b := s.byName[r.Name]
	for i := range r.Topics {
		if rt := &r.Topics[i]; rt.Name != nil {
			n += int64(s.growthBy(s.lookup(rt.Name), b, len(rt.Name)))
		}
	}
	for i := range r.Mappings {
		n += int64(sizeOfMapping + len(r.Mappings[i].Broker) + r.Mappings[i].Size)
	}
	return n
}

// growthBy is how much the tables grow when a broker offers a topic; t and b are nil where there is none yet, name is the
// length of the topic's name. Distinct queue settings are few, and count when they are there.
func (tt *topicTable) growthBy(t *topic, b *broker, name int) int {
	if t == nil {
		return sizeOfTopic + name + sizeOfEntry
	}
	if b != nil {
		if _, known := t.find(b.index); known {
			return 0
		}
	}
	return sizeOfEntry
}

// fits says that there is room for n bytes more: what is set aside gives way. A limit of 0 is none.
func (s *state) fits(limit, n int64) bool {
	for limit > 0 && len(s.asides) > 0 && s.size+s.asideBytes+n > limit {
		s.dropAside(0)
	}
	return limit == 0 || s.size+n <= limit
}

// noRoom says that a registration cannot be taken for want of memory. That of an address that its broker has is taken always:
// of what it brings, what finds no room is left out (docs/spec/nameserver.md#dev-22).
func (s *state) noRoom(r *Registration) bool {
	if r.Limit == 0 {
		return false
	}
	if b := s.byName[r.Name]; b != nil && b.byAddr(r.Addr) >= 0 && s.visible(r.key()) != nil {
		return false
	}
	return !s.fits(r.Limit, s.growth(r))
}

// held shares what each broker takes among the sources of its registrations.
func (s *state) held() map[netip.Addr]int64 {
	sums := map[netip.Addr]int64{}
	for _, b := range s.byName {
		for e := range b.lives {
			sums[e.shown().source().Network()] += b.size / int64(len(b.lives))
		}
	}
	return sums
}

// checkSizes is invariant 17.
func checkSizes(s *state) error {
	all := int64(len(s.settingOf) * sizeOfSetting)
	want := map[*broker]int{}
	for _, b := range s.byName {
		want[b] += sizeOfBroker + len(b.name) + len(b.topics)*sizeOfEntry
		for _, c := range b.clusters {
			want[b] += sizeOfPlace + 2*len(c)
		}
	}
	for _, e := range s.lives {
		want[e.broker] += e.bytes()
	}
	for _, t := range s.topics {
		if t == nil {
			continue
		}
		if !slices.ContainsFunc(t.entries, func(e entry) bool { return e.broker == t.payer }) {
			return broken(17, "topic %q is on the account of a broker that does not offer it", t.name)
		}
		want[s.brokers[t.payer]] += t.size()
	}
	for topic, list := range s.mappings {
		for i := range list {
			want[list[i].from] += list[i].bytes() + len(topic)
		}
	}
	for b, n := range want {
		if b.size != int64(n) {
			return broken(17, "broker %q takes %d bytes, counted %d", b.name, n, b.size)
		}
		all += int64(n)
	}
	if s.size != all {
		return broken(17, "the tables take %d bytes, counted %d", all, s.size)
	}
	return nil
}

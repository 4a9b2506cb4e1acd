package routes

import (
	"slices"
	"sort"
)

// topicMappings is how many mappings one topic has at most: one for each of its brokers is what brokers give.
const topicMappings = 1024

// putMapping makes b the giver of a mapping; its former one of the same name goes. It is left out where the topic has as many as it may,
// or there is no room.
func (s *state) putMapping(b *broker, m *Mapping, limit int64, c *counts) {
	list := s.mappings[m.Topic]
	s.given++
	g := given{BrokerMapping{Broker: m.Broker, Info: m.Info}, b, m.Size, s.given}
	grows := g.bytes() + len(m.Topic)
	i := slices.IndexFunc(list, func(o given) bool { return o.from == b && o.Broker == m.Broker })
	if i >= 0 {
		grows = g.bytes() - list[i].bytes()
	}
	switch {
	case i < 0 && len(list) >= topicMappings:
		c.leftOut++
		return
	case grows > 0 && !s.fits(limit, int64(grows)):
		c.leaveOut(1)
		return
	case i >= 0:
		list = slices.Delete(list, i, i+1)
	}
	s.charge(b, grows)
	s.mappings[m.Topic] = append(list, g)
	if b.mapped == nil {
		b.mapped = map[string]struct{}{}
	}
	b.mapped[m.Topic] = struct{}{}
	s.mappingChanged(m.Topic)
}

// forgetMappings removes what a broker gave; what others gave of the same names is seen again.
func (s *state) forgetMappings(b *broker) {
	for topic := range b.mapped {
		left := slices.DeleteFunc(s.mappings[topic], func(g given) bool {
			if g.from == b {
				s.charge(b, -(g.bytes() + len(topic)))
			}
			return g.from == b
		})
		if s.mappings[topic] = left; len(left) == 0 {
			delete(s.mappings, topic)
		}
		s.mappingChanged(topic)
	}
	b.mapped = nil
}

func (s *state) mappingChanged(topic string) {
	if t, ok := s.names.Load(topic); ok {
		s.invalidate(t)
	}
}

// mappingsOf are the mappings of a topic by name, of each name the one that was given last. known says that there is one.
func (s *state) mappingsOf(topic string) (list []BrokerMapping, known bool) {
	all, known := s.mappings[topic]
	for _, g := range all {
		i := sort.Search(len(list), func(i int) bool { return list[i].Broker >= g.Broker })
		if i == len(list) || list[i].Broker != g.Broker {
			list = slices.Insert(list, i, g.BrokerMapping)
		} else {
			list[i] = g.BrokerMapping
		}
	}
	return list, known
}

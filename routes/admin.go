package routes

import (
	"strings"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

func (s *state) heartbeat(key tombstone.Key, now clock.Stamp) bool {
	e := s.visible(key)
	if e != nil {
		e.lastSeen = now
	}
	return e != nil
}

func (s *state) queryDataVersion(
	key tombstone.Key, v *DataVersion, now clock.Stamp,
) (stored DataVersion, known, changed bool) {
	e := s.visible(key)
	if e == nil {
		return DataVersion{}, false, true
	}
	e.lastSeen = now
	return e.data, true, v == nil || *v != e.data || e.short
}

// writePerm changes the permission of every queue setting of a broker: wiping clears the write bit, adding sets exactly
// read and write, whatever other bits were there.
func (s *state) writePerm(name string, add bool) (n int, eff Effects) {
	s.void(tombstone.Key{}, name)
	b := s.byName[name]
	if b == nil {
		return 0, eff
	}
	kind, to := WritePermWiped, wipeWrite
	if add {
		kind, to = WritePermAdded, func(int32) int32 { return PermRead | PermWrite }
	}
	ev := Event{Kind: kind, Cluster: b.cluster, Name: name, Changed: s.setPerms(b, to)}
	eff.Events = append(eff.Events, ev)
	return len(b.topics), eff
}

func (s *state) deleteTopic(name, cluster string) (eff Effects) {
	s.voidTopic(name)
	t, ok := s.names.Load(name)
	if !ok {
		return eff
	}
	before := len(t.entries)
	if cluster == "" {
		s.eraseTopic(t)
	} else {
		for i := before - 1; i >= 0; i-- {
			if _, in := s.clusters[cluster][s.brokers[t.entries[i].broker]]; in {
				s.erase(t, i)
			}
		}
	}
	if n := before - len(t.entries); n > 0 {
		eff.Events = append(eff.Events, Event{Kind: TopicDeleted, Cluster: cluster, Topic: name, Erased: n})
	}
	return eff
}

// registerTopics applies entries in order up to the first unknown broker. Of a topic that is new all brokers must be known,
// else nothing is stored; nor where there is no room for all.
func (s *state) registerTopics(name string, queues []TopicQueue, limit int64) (eff Effects, room bool) {
	for i := range queues {
		s.void(tombstone.Key{}, queues[i].Broker.S)
	}
	t, known := s.names.Load(name)
	if !known {
		for i := range queues {
			if s.byOpt(queues[i].Broker) == nil {
				return eff, true
			}
		}
	}
	grows := 0
	for i := range queues {
		if b := s.byOpt(queues[i].Broker); b != nil {
			grows += s.growthBy(t, b, len(name))
		}
	}
	if !s.fits(limit, int64(grows)) {
		return eff, false
	}
	ev := Event{Kind: TopicRegistered, Topic: name}
	for i := range queues {
		b := s.byOpt(queues[i].Broker)
		if b == nil {
			break
		}
		if t == nil {
			t = s.addTopic(strings.Clone(name))
		}
		switch s.put(t, b, queues[i].Queue) {
		case added:
			ev.Added++
		case changed:
			ev.Changed++
		case unchanged:
		}
	}
	if ev.Added+ev.Changed > 0 {
		eff.Events = append(eff.Events, ev)
	}
	return eff, true
}

func (s *state) byOpt(name Opt) *broker {
	if !name.Valid {
		return nil
	}
	return s.byName[name.S]
}

package routes

import (
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
)

// What is served decides the hash: not the order in which it came about, and nothing but it.
func TestServingTellsApart(t *testing.T) {
	now := clock.Stamp{Raw: 1, Boot: 1}
	made := func(change func(*state, *Registration)) Serving {
		s := newState(Options{}, 0, 0)
		r := Registration{
			Cluster: "C", Name: "b", Addr: "x", Conn: &Conn{ID: 1}, HasTopics: true,
			Topics: []Topic{{Name: []byte("t0"), Queue: Queue{4, 4, 6, 0}}, {Name: []byte("t1"), Queue: Queue{8, 8, 6, 0}}, {Name: []byte("t2"), Queue: Queue{1, 1, 6, 0}}},
		}
		if change != nil {
			change(s, &r)
		}
		s.register(&r, comparison{}, now)
		list := s.serving()
		if len(list) != 1 {
			t.Fatalf("%d addresses served", len(list))
		}
		return list[0]
	}
	plain := made(nil)
	same := map[string]func(*state, *Registration){
		"another order": func(_ *state, r *Registration) { r.Topics[0], r.Topics[1] = r.Topics[1], r.Topics[0] },
		"other brokers and topics before": func(s *state, r *Registration) {
			s.register(&Registration{Cluster: "C", Name: "a", Addr: "y", Conn: r.Conn, HasTopics: true, Topics: r.Topics}, comparison{}, now)
			s.unregister(&Unregistration{Cluster: "C", Name: "a", Addr: "y", Conn: r.Conn}, now)
		},
		"a topic that came and went": func(s *state, r *Registration) {
			s.register(r, comparison{}, now)
			s.registerTopics("t9", []TopicQueue{{Broker: mq.Some("b"), Queue: Queue{1, 1, 6, 0}}}, 0)
			s.deleteTopic("t9", "")
		},
		"write permission wiped and given back": func(s *state, r *Registration) {
			s.register(r, comparison{}, now)
			s.writePerm("b", false)
			s.writePerm("b", true)
		},
	}
	for name, change := range same {
		if got := made(change); got != plain {
			t.Errorf("%s: %+v, want %+v", name, got, plain)
		}
	}
	other := map[string]func(*state, *Registration){
		"queues":     func(_ *state, r *Registration) { r.Topics[0].Read = 5 },
		"permission": func(_ *state, r *Registration) { r.Topics[0].Perm = 4 },
		"flag":       func(_ *state, r *Registration) { r.Topics[1].SysFlag = 1 },
		"settings swapped": func(_ *state, r *Registration) {
			r.Topics[0].Queue, r.Topics[1].Queue = r.Topics[1].Queue, r.Topics[0].Queue
		},
		"one topic less": func(_ *state, r *Registration) { r.Topics = r.Topics[:2] },
		"zone":           func(_ *state, r *Registration) { r.Zone = mq.Some("z") },
		"acting master":  func(_ *state, r *Registration) { r.Acting = True },
	}
	seen := map[uint64]string{plain.Hash: "plain"}
	for name, change := range other {
		got := made(change)
		if before, twice := seen[got.Hash]; twice {
			t.Errorf("%s has the hash of %s", name, before)
		}
		seen[got.Hash] = name
	}
	if wiped := made(func(_ *state, r *Registration) { r.Topics[0].Perm = 4 }); plain.Writable != 3 || wiped.Writable != 2 {
		t.Errorf("writable: %d, with one wiped %d", plain.Writable, wiped.Writable)
	}
}

// The list is for every node the same function: a change of it is a change of what nodes say to each other.
func TestQueueHashIsFixed(t *testing.T) {
	const want = 0x8180f6456e949a40
	if got := queueHash("TopicTest", Queue{8, 8, 6, 0}); got != want {
		t.Errorf("queueHash is %#x now: nodes of different releases would never agree", got)
	}
}

package routes

import (
	"fmt"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
)

// Brokers that come, give mappings and go leave nothing behind, and one topic has no more than its limit.
func TestMappingsEndWithTheirBrokers(t *testing.T) {
	s, now := newState(Options{}, 0, 1<<20), clock.Stamp{Raw: 1, Boot: 1}
	version := int64(0)
	give := func(conn uint64, name string, names ...string) (leftOut int) {
		version++
		r := &Registration{
			Cluster: "C", Name: name, Addr: name + ":1", Version: 500, Conn: &Conn{ID: conn, FirstByte: now},
			HasTopics: true, Topics: []Topic{{Name: []byte("A")}, {Name: []byte("B")}}, DataVersion: DataVersion{Counter: version},
		}
		for _, n := range names {
			r.Mappings = append(r.Mappings, Mapping{Topic: "A", Broker: n, Info: conn}, Mapping{Topic: "not served", Broker: n, Info: conn})
		}
		_, eff := s.register(r, comparison{}, now)
		for _, e := range eff.Events {
			leftOut += e.LeftOut
		}
		return leftOut
	}
	give(1, "stays", "stays")
	for i := range topicMappings - 1 {
		if left := give(2, "goes", fmt.Sprint(i)); left != 0 {
			t.Fatalf("%d mappings of %d are left out", left, i+2)
		}
	}
	if left := give(3, "late", "one more"); left != 2 {
		t.Errorf("%d mappings beyond the limit are left out, want 2", left)
	}
	if left := give(4, "goes", "0"); left != 0 { // in the place of its former one
		t.Errorf("%d left out", left)
	}
	if list, _ := s.mappingsOf("A"); len(list) != topicMappings {
		t.Errorf("%d mappings, want %d", len(list), topicMappings)
	}
	s.connLost(2, now)
	s.connLost(3, now)
	s.connLost(4, now)
	list, known := s.mappingsOf("A")
	if !known || len(s.mappings) != 2 || !slices.Equal(list, []BrokerMapping{{Broker: "stays", Info: uint64(1)}}) {
		t.Errorf("left are %v of %d topics", list, len(s.mappings))
	}
	s.connLost(1, now)
	if _, known := s.mappingsOf("A"); known || len(s.mappings) != 0 {
		t.Errorf("%d topics have mappings although no broker is left", len(s.mappings))
	}
}

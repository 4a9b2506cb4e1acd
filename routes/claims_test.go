package routes

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// An UNREGISTER of who is no admin, for an address that stands in two clusters under one broker name, of which another source
// claims one, too: each claim ends as with the loss of its owner.
func TestOwnClaimsEndEachByItself(t *testing.T) {
	now := clock.Stamp{Raw: 1, Boot: 1}
	conn := func(id uint64, ip string) *Conn {
		return &Conn{ID: id, FirstByte: now, CanProve: true, Source: mq.Source{Addr: netip.MustParseAddr(ip)}}
	}
	broker, other := conn(1, "10.9.9.9"), conn(2, "10.0.0.66")
	left := func(shared string, ends func(s *state)) (claims []tombstone.Identity) {
		s := newState(Options{}, 0, 1<<20)
		register := func(cluster string, c *Conn) {
			s.register(&Registration{Cluster: cluster, Name: "b", Addr: "a:1", Version: 500, Conn: c}, comparison{}, now)
		}
		register(shared, other)
		register("C1", broker)
		register("C2", broker)
		ends(s)
		if err := checkInvariants(s); err != nil {
			t.Error(err)
		}
		return append(s.holders(tombstone.Key{Cluster: "C1", Addr: "a:1"}), s.holders(tombstone.Key{Cluster: "C2", Addr: "a:1"})...)
	}
	for shared, stay := range map[string]int{"C1": 0, "C2": 1} { // the name goes with C2's, which has its address
		got := left(shared, func(s *state) {
			s.unregister(&Unregistration{Cluster: "C1", Addr: "a:1", Name: "b", Conn: broker, OwnOnly: true}, now)
		})
		if want := left(shared, func(s *state) { s.connLost(broker.ID, now) }); len(want) != stay || !slices.Equal(got, want) {
			t.Errorf("%s shared: left %v, after a lost connection %v", shared, got, want)
		}
	}
}

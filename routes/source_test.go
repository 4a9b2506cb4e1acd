package routes

import (
	"net/netip"
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// What a connection counts as is what its registrations are compared with; a source apart is no machine, whatever its header said.
func TestIdentityIsOfTheSource(t *testing.T) {
	addr, said := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddrPort("10.0.0.2:4000")
	for _, c := range []struct {
		source mq.Source
		want   netip.Addr
	}{{mq.Source{Addr: addr}, addr}, {mq.Source{Addr: addr, Apart: true}, netip.Addr{}}} {
		now := clock.Stamp{Raw: 1, Boot: 1}
		s := newState(Options{}, 0, 1<<20)
		r := &Registration{Cluster: "C", Name: "b", Addr: "a:1", Version: 500, Conn: &Conn{ID: 1, FirstByte: now, Source: c.source, Remote: said}}
		s.register(r, comparison{}, now)
		if id := s.holders(tombstone.Key{Cluster: "C", Addr: "a:1"})[0]; id.RemoteIP != c.want {
			t.Errorf("registered by %v: %v, want %v", c.source, id.RemoteIP, c.want)
		}
	}
}

package tombstone

import (
	"net/netip"
	"testing"
	"time"
)

func TestLimitsOnMaking(t *testing.T) {
	m := newMaking()
	count := func(from, n int, now time.Duration) (made int) {
		for range n {
			if m.allow(netip.AddrFrom4([4]byte{10, 0, 0, byte(from)}), at(now)) == Made {
				made++
			}
		}
		return made
	}
	if got := count(1, 2_000, 0); got != burstPerIP {
		t.Errorf("%d at once from one address, want %d", got, burstPerIP)
	}
	if got := count(1, 2_000, time.Second); got != ratePerIP {
		t.Errorf("%d in the next second, want %d", got, ratePerIP)
	}
	if got := count(2, 2_000, time.Second); got != burstPerIP {
		t.Errorf("%d from another address, want %d", got, burstPerIP)
	}
	total := 0
	for i := 3; i < 10; i++ {
		total += count(i, 2_000, time.Second)
	}
	if want := burstPerNode - burstPerIP - ratePerIP; total != want {
		t.Errorf("%d more at this node, want %d", total, want)
	}
	if got := count(20, 2_000, 2*time.Second); got != ratePerNode {
		t.Errorf("%d at this node in the next second, want %d", got, ratePerNode)
	}
}

func TestSourcesAreBounded(t *testing.T) {
	m := newMaking()
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range maxSources {
		m.allow(address(i), at(time.Duration(i)*time.Millisecond))
	}
	now := at(maxSources * time.Millisecond)
	if len(m.sources) != maxSources || m.allow(address(maxSources), now) != Made {
		t.Fatalf("%d sources, then %v", len(m.sources), m.allow(address(maxSources), now))
	}
	if n := len(m.sources); n > maxSources/100 {
		t.Errorf("%d sources remembered although their buckets are full again", n)
	}
}

package tombstone

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

func TestLimitsOnMaking(t *testing.T) {
	m := newMaking()
	count := func(from, n int, now time.Duration) (made int) {
		for range n {
			if m.allow(netip.AddrFrom4([4]byte{10, 0, 0, byte(from)}), false, at(now)) == Made {
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
	// What is kept gives each source that found no more a few.
	if least, most := burstPerNode-burstPerIP-ratePerIP, burstPerNode-burstPerIP-ratePerIP+7*burstFew; total < least || total > most {
		t.Errorf("%d more at this node, want %d to %d", total, least, most)
	}
	if got := count(20, 2_000, 2*time.Second); got != ratePerNode {
		t.Errorf("%d at this node in the next second, want %d", got, ratePerNode)
	}
}

// However many tombstones some sources make, brokers that were known for long are told of, and so are the few of a source that
// makes few.
func TestOthersHaveTheirShare(t *testing.T) {
	m := newMaking()
	v4 := func(a, b byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, a, b}) }
	refused := map[string]int{}
	for now := range 60 { // seconds
		for range 200 {
			for i := range byte(40) { // 8,000 a second
				m.allow(v4(1, i), now > 30 && i%2 == 0, at(time.Duration(now)*time.Second))
			}
		}
		for i := range byte(100) {
			if m.allow(v4(2, i), true, at(time.Duration(now)*time.Second)) != Made {
				refused["known for long"]++
			}
		}
		if now%3 == 0 {
			if m.allow(v4(3, byte(now)), false, at(time.Duration(now)*time.Second)) != Made {
				refused["one that makes few"]++
			}
		}
	}
	if len(refused) > 0 {
		t.Error(refused)
	}
}

// What is kept gives a source so much, and not one more: more of it to brokers that were known for long.
func TestShareOfASource(t *testing.T) {
	for name, c := range map[string]struct {
		long        bool
		burst, rate int
	}{"known for long": {true, burstLong, rateLong}, "others": {false, burstFew, rateFew}} {
		m := newMaking()
		for now, want := range []int{c.burst, c.rate} {
			stamp := at(time.Duration(now) * time.Second)
			then := time.Unix(0, stamp.Boot)
			m.node.AllowN(then, int(m.node.TokensAt(then))) // others have all that is not kept
			for i := range want + 1 {
				why := m.allow(netip.AddrFrom4([4]byte{10, 0, 0, 1}), c.long, stamp)
				if (why == Made) != (i < want) || why != Made && why != NodeLimit {
					t.Errorf("%s, second %d: number %d: %v", name, now, i+1, why)
				}
			}
		}
	}
}

// What is kept has a limit, however many sources have a share of it.
func TestWhatIsKeptIsBounded(t *testing.T) {
	m, made := newMaking(), 0
	for i := range byte(100) {
		for range burstPerIP {
			if m.allow(netip.AddrFrom4([4]byte{10, 0, 0, i}), true, at(0)) == Made {
				made++
			}
		}
	}
	if made != 2*burstPerNode {
		t.Errorf("%d at once, want %d", made, 2*burstPerNode)
	}
}

// Sources are remembered up to a limit, and those forgotten of which nothing needs to be remembered.
func TestSourcesAreBounded(t *testing.T) {
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for name, limiter := range map[string]func(*source) *rate.Limiter{
		"all": func(s *source) *rate.Limiter { return s.all }, "long": func(s *source) *rate.Limiter { return s.long },
		"few": func(s *source) *rate.Limiter { return s.few },
	} {
		m := newMaking()
		for i := range maxSources {
			s := newSource()
			limiter(s).AllowN(time.Unix(0, at(0).Boot), 1)
			m.sources[sourceOf(address(i))] = s
		}
		if why := m.allow(address(maxSources), false, at(0)); why != SourceLimit || len(m.sources) != maxSources {
			t.Errorf("%s: one source more: %v, %d remembered", name, why, len(m.sources))
		}
		if why := m.allow(address(maxSources), false, at(time.Second)); why != Made || len(m.sources) != 1 {
			t.Errorf("%s: when their buckets are full again: %v, %d remembered", name, why, len(m.sources))
		}
	}
}

// All addresses of an IPv6 host are one source, however an IPv4 address is written.
func TestSourcesOfTombstones(t *testing.T) {
	m := newMaking()
	for _, c := range []struct{ one, other string }{
		{"2001:db8::1", "2001:db8::ffff:0:0:1"}, {"192.0.2.1", "::ffff:192.0.2.1"}, {"fe80::1%eth0", "fe80::2"},
	} {
		for range burstPerIP {
			if why := m.allow(netip.MustParseAddr(c.one), false, at(0)); why != Made {
				t.Fatal(c.one, why)
			}
		}
		if why := m.allow(netip.MustParseAddr(c.other), false, at(0)); why != SourceLimit {
			t.Errorf("%s after %s: %v", c.other, c.one, why)
		}
	}
	if why := m.allow(netip.MustParseAddr("2001:db8:0:1::1"), false, at(0)); why != Made {
		t.Errorf("another /64: %v", why)
	}
}

// When there is no room for another tombstone, those of sources with many go first, the oldest first; neither those of others nor
// those of brokers that were known for long.
func TestWhichTombstoneGoesFirst(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{})
	make := func(i int, from byte, long bool) uint64 {
		d := departure(i, time.Hour, 0)
		d.RemoteIP = netip.AddrFrom4([4]byte{10, 0, 0, from})
		if long {
			d.Since = at(time.Hour - KnownLong)
		} else {
			d.Since = at(time.Hour - KnownLong + 1)
		}
		id, _ := mustMake(t, a, d, time.Hour)
		return id.Seq
	}
	if d := departure(0, time.Hour, 0); d.long() {
		t.Error("a broker of which nobody knows since when it was there is known for long")
	}
	few := make(0, 1, false)
	long := make(1, 2, true)
	first := make(2, 2, false)
	for i := range maxFew {
		make(3+i, 2, false)
	}
	a.makeRoom()
	if a.own[few] == nil || a.own[long] == nil || a.own[first] != nil {
		t.Errorf("of a source with many the oldest stays: %v, one with few %v, long %v", a.own[first] != nil, a.own[few] != nil, a.own[long] != nil)
	}
	a.makeRoom()
	if n := len(a.own); n != maxFew+1 || a.own[few] == nil || a.own[long] == nil {
		t.Errorf("%d are left, one of a source with few %v, long %v", n, a.own[few] != nil, a.own[long] != nil)
	}
	a.makeRoom() // no source has many
	if a.own[few] != nil || a.own[long] == nil {
		t.Error("nothing but few and long ones is left, and the oldest stays")
	}
	checked(t, time.Hour, a)
}

package tombstone

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the network loses, repeats and reorders, two members end with the tables that the rule asks for, and what
// comes after the end changes nothing.
func TestAnyOrderEndsInTheSameTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables, want := fakeTables{}, fakeTables{}
		const u, life = 100 * time.Second, 90 * time.Second
		brokers := rapid.IntRange(1, 30).Draw(t, "brokers")
		gone := map[int]bool{}
		for i := range brokers {
			first := rapid.SampledFrom([]time.Duration{10 * time.Second, 95 * time.Second}).Draw(t, "first byte")
			last := max(first, rapid.SampledFrom([]time.Duration{20 * time.Second, 110 * time.Second}).Draw(t, "last register"))
			tables[keyOf(i)] = entry(i, first, last)
			gone[i] = rapid.Bool().Draw(t, "unregistered at A")
			if !gone[i] || first >= life || last >= u {
				want[keyOf(i)] = tables[keyOf(i)]
			}
		}
		a := newRapidExchange(t, peerA, fakeTables{}, peerC)
		c := newRapidExchange(t, peerC, tables, peerA)
		now := 120 * time.Second
		var wire []Packet
		for i := range brokers {
			if gone[i] {
				_, _, out := a.Made(departure(i, u, life), at(now))
				wire = append(wire, out.Packets...)
			}
		}
		deliver := func(i int, keep bool) {
			p := wire[i]
			if !keep {
				wire[i] = wire[len(wire)-1]
				wire = wire[:len(wire)-1]
			}
			x := map[Peer]*Exchange{peerA: a, peerC: c}[p.To]
			wire = append(wire, x.Receive(p.Msg, at(now)).Packets...)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps of chaos") {
			now += time.Duration(rapid.IntRange(0, 30).Draw(t, "ms")) * ms
			wire = append(wire, append(a.Tick(at(now)).Packets, c.Tick(at(now)).Packets...)...)
			if len(wire) == 0 {
				continue
			}
			i := rapid.IntRange(0, len(wire)-1).Draw(t, "packet")
			switch rapid.IntRange(0, 3).Draw(t, "what happens to it") {
			case 0: // lost
				wire = append(wire[:i], wire[i+1:]...)
			case 1:
				deliver(i, true)
			default:
				deliver(i, false)
			}
			if err := c.Check(at(now)); err != nil {
				t.Fatal(err)
			}
		}
		settle := func() {
			for range 2_000 {
				now += ms
				wire = append(wire, append(a.Tick(at(now)).Packets, c.Tick(at(now)).Packets...)...)
				for len(wire) > 0 {
					deliver(0, false)
				}
			}
		}
		wire = append(wire, c.Merge(Hint{From: peerA, IDs: a.LocalIDs(MaxMerge, at(now))}, at(now)).Packets...)
		settle()
		if !maps.Equal(tables, want) {
			t.Fatalf("%d registrations left, want %d", len(tables), len(want))
		}
		for i := range brokers {
			tables[keyOf(i)] = entry(i, now, now) // everybody is back
			want[keyOf(i)] = tables[keyOf(i)]
		}
		wire = append(wire, c.Merge(Hint{From: peerA, IDs: a.LocalIDs(MaxMerge, at(now))}, at(now)).Packets...)
		settle()
		if !maps.Equal(tables, want) {
			t.Fatal("a repetition took a later registration")
		}
	})
}

func newRapidExchange(t *rapid.T, self Peer, tables Tables, other Peer) *Exchange {
	n := uint64(0)
	x, err := New(Config{Self: self, Nonce: func() uint64 { n++; return n }}, tables)
	if err != nil {
		t.Fatal(err)
	}
	x.MemberUp(other, at(0))
	return x
}

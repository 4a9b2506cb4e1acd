package tombstone

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/test/kit"
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
				_, _, out := a.Departed(departure(i, u, life), at(now))
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
			kit.Must(t, c.Check(at(now)))
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
	kit.Must(t, err)
	x.MemberUp(other, at(0))
	return x
}

// holdsAll is a table that holds every key and evicts nothing: every id that is hinted is asked for.
type holdsAll struct{}

func (holdsAll) Holds(Key) bool                  { return true }
func (holdsAll) Judge(ID, Bounds) (Verdict, any) { return Verdict{Outcome: KeptNoLife}, nil }

// Whatever an exchange is told, its queues keep their caps, no tombstone is told or proved beyond its TTL, and no source makes
// more of them than its bucket gives.
func TestCapsLimitsAndTTL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newRapidExchange(t, peerA, holdsAll{}, peerB)
		now, seq, broker := time.Hour, uint64(0), 0
		born := map[uint64]time.Duration{} // U of the tombstones made
		tokens := map[byte]float64{}       // of the model's buckets, by the last byte of the source
		node := float64(burstPerNode)
		filled := now
		fill := func() {
			gone := (now - filled).Seconds()
			for ip := range tokens {
				tokens[ip] = min(tokens[ip]+gone*ratePerIP, burstPerIP)
			}
			node, filled = min(node+gone*ratePerNode, burstPerNode), now
		}
		leave := func(n int, ip byte) {
			for range n {
				fill()
				broker++
				d := departure(broker, now-time.Duration(rapid.IntRange(0, 3).Draw(t, "age in s"))*time.Second, 0)
				d.RemoteIP = netip.AddrFrom4([4]byte{10, 0, 0, ip})
				if _, ok := tokens[ip]; !ok {
					tokens[ip] = burstPerIP
				}
				id, why, _ := x.Departed(d, at(now))
				if may := tokens[ip] >= 1.001 && node >= 1.001; why == Made && (tokens[ip] < 0.999 || node < 0.999) || why != Made && may {
					t.Fatalf("%v with %v tokens of the source and %v of the node", why, tokens[ip], node)
				}
				if why == Made {
					tokens[ip]--
					node--
					born[id.Seq] = d.Unregistered.Sub(at(0))
				}
			}
		}
		for range rapid.IntRange(5, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				leave(rapid.SampledFrom([]int{1, 90, 1500}).Draw(t, "departures"), byte(rapid.IntRange(1, 2).Draw(t, "source")))
			case 1: // a push/pull of many
				h := Hint{From: peerB}
				for range rapid.SampledFrom([]int{1, 500, 3000}).Draw(t, "ids") {
					seq++
					h.IDs = append(h.IDs, ID{Key: keyOf(int(seq)), Identity: who(int(seq)), Origin: peerB, Seq: seq})
				}
				x.Merge(h, at(now))
			case 2:
				now += time.Duration(rapid.SampledFrom([]int{1, 30, 400, 601}).Draw(t, "s")) * time.Second
				if rapid.Bool().Draw(t, "tick") {
					x.Tick(at(now))
				}
			case 3:
				now += time.Duration(rapid.IntRange(1, 50).Draw(t, "ms")) * ms
				for _, p := range to[Pull](x.Tick(at(now)), peerB) {
					x.Receive(proofFor(p, peerB, 0, time.Second, at(now)), at(now))
				}
			case 4:
				x.MemberLeft(peerB, at(now))
			case 5:
				x.MemberUp(peerB, at(now))
			}
			kit.Must(t, x.Check(at(now)))
			for _, id := range x.LocalIDs(MaxMerge, at(now)) {
				if age := now - born[id.Seq]; age > TTL {
					t.Fatalf("tombstone %d is told after %v", id.Seq, age)
				}
			}
			if m := x.members[peerB]; m != nil && m.up && seq > 0 && len(born) > 0 {
				ask := Pull{From: peerB, Nonce: 1, IDs: []ID{{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}}}
				ask.IDs[0].RemoteIP = netip.AddrFrom4([4]byte{10, 0, 0, 1})
				for _, p := range to[Proof](x.Receive(ask, at(now)), peerB) {
					if p.Answers[0].Known && now-born[1] > TTL {
						t.Fatalf("proved after %v", now-born[1])
					}
				}
			}
		}
	})
}

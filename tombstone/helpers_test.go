package tombstone

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// fakeTables is the smallest thing that holds registrations.
type fakeTables map[Key]Entry

func (f fakeTables) Holds(k Key) bool { _, ok := f[k]; return ok }

// Judge has no clock: to it, every answer comes the moment it was asked for. What it returns as effects is the address.
func (f fakeTables) Judge(id ID, b Bounds) (v Verdict, effects any) {
	e, ok := f[id.Key]
	if !ok {
		return v, nil
	}
	v = Decide(e, id.Identity, b, b.Asked)
	if v.Outcome == Evicted {
		delete(f, id.Key)
	}
	return v, id.Addr
}

var (
	peerA = Peer{Name: "A", Boot: 11}
	peerB = Peer{Name: "B", Boot: 22}
	peerC = Peer{Name: "C", Boot: 33}
	start = clock.Stamp{Raw: 1e15, Boot: 2e15}
	ip    = netip.MustParseAddr("10.0.0.1")
)

func at(d time.Duration) clock.Stamp { return start.Add(d) }

func keyOf(i int) Key { return Key{"cluster", fmt.Sprintf("10.0.0.%d:10911", i)} }

func who(i int) Identity { return Identity{Name: fmt.Sprintf("broker-%d", i), RemoteIP: ip} }

// newExchange answers an exchange of self that knows the others, with nonces 1, 2, 3, ...
func newExchange(t testing.TB, self Peer, tables Tables, others ...Peer) *Exchange {
	t.Helper()
	n := uint64(0)
	x, err := New(Config{Self: self, Nonce: func() uint64 { n++; return n }}, tables)
	kit.Must(t, err)
	for _, p := range others {
		x.MemberUp(p, at(0))
	}
	return x
}

// departure of broker i at u, last proven alive at life (0: never).
func departure(i int, u, life time.Duration) Departure {
	d := Departure{Key: keyOf(i), Identity: who(i), Unregistered: at(u), LateProof: true, Conn: 7}
	if life > 0 {
		d.Life = at(life)
	}
	return d
}

// entry of broker i whose connection's first byte came at first and whose last REGISTER at last.
func entry(i int, first, last time.Duration) Entry {
	return Entry{Identity: who(i), FirstByte: at(first), LastRegister: at(last), Conn: 9}
}

func mustMake(t testing.TB, x *Exchange, d Departure, now time.Duration) (ID, Output) {
	t.Helper()
	id, why, out := x.Departed(d, at(now))
	if why != Made {
		t.Fatalf("not made: %v", why)
	}
	return id, out
}

func checked(t testing.TB, now time.Duration, xs ...*Exchange) {
	t.Helper()
	for _, x := range xs {
		if err := x.Check(at(now)); err != nil {
			t.Fatalf("%s after %v: %v", x.self.Name, now, err)
		}
	}
}

// to answers the messages of one kind to a member.
func to[M Message](out Output, p Peer) []M {
	var ms []M
	for _, packet := range out.Packets {
		if m, ok := packet.Msg.(M); ok && packet.To == p && packet.Path == Datagram {
			ms = append(ms, m)
		}
	}
	return ms
}

// proofFor answers a pull the way an origin does that stamped L and U these ages ago.
func proofFor(p Pull, from Peer, life, u time.Duration, clockNow clock.Stamp) Proof {
	proof := Proof{From: from, Clock: clockNow, Nonce: p.Nonce}
	for _, id := range p.IDs {
		proof.Answers = append(proof.Answers, Answer{Seq: id.Seq, Known: true, HasLife: life > 0, Life: life, Unregistered: u})
	}
	return proof
}

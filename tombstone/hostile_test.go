package tombstone

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Messages of any content, from anybody, at any time neither break the exchange nor evict anything: no question of
// this node's was answered.
func TestAnyMessageIsHarmless(t *testing.T) {
	peer := rapid.SampledFrom([]Peer{peerA, peerB, peerC, {}, {Name: "A"}})
	number := rapid.OneOf(rapid.Uint64Range(0, 12), rapid.Uint64())
	revision := rapid.Uint8Range(0, 3)
	age := rapid.OneOf(rapid.Int64Range(-5, 1e12), rapid.Int64())
	drawID := func(t *rapid.T) ID {
		return ID{
			Key: keyOf(rapid.IntRange(0, 5).Draw(t, "key")), Identity: who(rapid.IntRange(0, 5).Draw(t, "who")),
			Origin: peer.Draw(t, "origin"), Seq: number.Draw(t, "seq"), Revision: revision.Draw(t, "revision"),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		tables := fakeTables{}
		for i := range 4 {
			tables[keyOf(i)] = entry(i, 0, 0)
		}
		c, err := New(Config{Self: peerC, Nonce: func() uint64 { return rapid.Uint64Min(1<<32).Draw(t, "nonce") }}, tables)
		kit.Must(t, err)
		c.MemberUp(peerA, at(0))
		c.MemberUp(peerB, at(0))
		c.Departed(departure(5, 0, 0), at(0))
		now := time.Hour
		for range rapid.IntRange(1, 50).Draw(t, "messages") {
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * ms
			from := peer.Draw(t, "from")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				c.Receive(Hint{From: from, IDs: rapid.SliceOfN(rapid.Custom(drawID), 0, 9).Draw(t, "ids")}, at(now))
			case 1:
				c.Receive(Pull{From: from, Nonce: number.Draw(t, "nonce"), IDs: rapid.SliceOfN(rapid.Custom(drawID), 0, 9).Draw(t, "ids")}, at(now))
			case 2:
				reading := clock.Stamp{Raw: age.Draw(t, "raw"), Boot: age.Draw(t, "boot")}
				c.Receive(Proof{From: from, Clock: reading, Nonce: number.Draw(t, "nonce") % (1 << 32), Answers: []Answer{{
					Seq: number.Draw(t, "seq"), Known: true, HasLife: true, Revision: revision.Draw(t, "revision"),
					Life: time.Duration(age.Draw(t, "life")), Unregistered: time.Duration(age.Draw(t, "u")),
				}}}, at(now))
				c.ProbeAck(from, reading, at(now))
			case 3:
				c.Receive(Done{From: from, Boot: rapid.SampledFrom([]uint64{peerC.Boot, 0}).Draw(t, "boot"), Reports: []Report{{
					Seq: number.Draw(t, "seq"), Revision: revision.Draw(t, "revision"), Outcome: Outcome(rapid.Uint8().Draw(t, "outcome")),
				}}}, at(now))
			case 4:
				c.Merge(Hint{From: from, IDs: rapid.SliceOfN(rapid.Custom(drawID), 0, 40).Draw(t, "ids")}, at(now))
			default:
				c.Tick(at(now))
			}
			kit.Must(t, c.Check(at(now)))
			if len(tables) != 4 {
				t.Fatal("evicted without an answer to a question")
			}
			c.Status(10, at(now))
		}
	})
}

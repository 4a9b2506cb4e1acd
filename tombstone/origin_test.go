package tombstone

import (
	"testing"
	"time"
)

// What a member did with a tombstone is told once: what it says of the same tombstone later, at a push/pull, tells of other
// things that happened since.
func TestStoryOfAMemberStays(t *testing.T) {
	for _, c := range []struct{ first, then, want Outcome }{
		{SawItself, NotHeld, SawItself},
		{SawItself, CameBack, SawItself},
		{NotHeld, CameBack, NotHeld},
		{NotHeld, KeptYoungerConn, NotHeld}, // of a former release, or of a successor that registered before U was stamped
		{Evicted, NotHeld, Evicted},
		{Evicted, CameBack, Evicted},
		{CameBack, NotHeld, CameBack},
		{CameBack, KeptYoungerConn, CameBack},
		{CameBack, Evicted, Evicted}, // within the margins of the first answer
		{KeptYoungerConn, NotHeld, KeptYoungerConn},
		{KeptHolding, NotHeld, KeptHolding},
		{KeptHolding, Evicted, Evicted},
		{KeptNoLife, Evicted, Evicted},
		{KeptYoungerConn, CameBack, CameBack},
	} {
		a := newExchange(t, peerA, fakeTables{}, peerB)
		id, _ := mustMake(t, a, departure(1, time.Second, time.Second), time.Second)
		say := func(o Outcome, now time.Duration) {
			a.Receive(Done{From: peerB, Boot: peerA.Boot, Reports: []Report{{Seq: id.Seq, Outcome: o}}}, at(now))
		}
		first := time.Second + time.Millisecond
		if c.first == SawItself {
			theirs := id
			theirs.Origin = peerB
			a.Receive(Hint{From: peerB, IDs: []ID{theirs}}, at(first))
		} else {
			say(c.first, first)
		}
		say(c.then, 10*time.Second)
		r := a.Status(1, at(10*time.Second)).Own[0].Reports[0]
		if r.Outcome != c.want || (r.After == time.Millisecond) != (c.want == c.first) {
			t.Errorf("%v, then %v: %v after %v, want %v", c.first, c.then, r.Outcome, r.After, c.want)
		}
		checked(t, 10*time.Second, a)
	}
}

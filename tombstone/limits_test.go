package tombstone

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What was given up with one member is kept for another try up to the size of the queues that it came from.
func TestWhatIsGivenUpIsBounded(t *testing.T) {
	var g givenUp
	g.add(at(0), make([]uint64, 2*maxLive), make([]*pullID, maxWanted))
	if len(g.hints) != 2*maxLive || len(g.pulls) != maxWanted {
		t.Errorf("%d hints and %d pulls, want as many as may wait", len(g.hints), len(g.pulls))
	}
	g.add(at(time.Second), []uint64{1}, []*pullID{{}})
	if len(g.hints) != 2*maxLive || len(g.pulls) != maxWanted || g.since != at(0) {
		t.Errorf("%d hints and %d pulls since %v", len(g.hints), len(g.pulls), g.since)
	}
}

// Of the tombstones that wait for a mute member the newest stay.
func TestHintsForAMuteMemberAreBounded(t *testing.T) {
	m := &member{}
	for seq := range uint64(5 * maxLive) {
		m.queueHint(seq)
		if len(m.toHint) > 2*maxLive {
			t.Fatalf("%d wait", len(m.toHint))
		}
	}
	if newest := m.toHint[len(m.toHint)-1]; newest != 5*maxLive-1 || len(m.toHint) < maxLive {
		t.Errorf("%d wait, the newest %d", len(m.toHint), newest)
	}
}

// A push/pull brings ids of registrations that are not held: of so many the origin is told at once, of the rest by the next.
func TestReportsForAPushPullAreBounded(t *testing.T) {
	for _, n := range []int{maxMergeReports, maxMergeReports + 10} {
		c := newExchange(t, peerC, fakeTables{}, peerA)
		h := Hint{From: peerA}
		for i := range n {
			h.IDs = append(h.IDs, ID{Key: keyOf(i), Identity: who(i), Origin: peerA, Seq: uint64(i) + 1})
		}
		reports := 0
		for _, d := range to[Done](c.Merge(h, at(0)), peerA) {
			reports += len(d.Reports)
		}
		if reports != maxMergeReports {
			t.Errorf("%d reports about %d ids, want %d", reports, n, maxMergeReports)
		}
	}
}

// As many members as the limit says are told and asked; one more is refused, and is none.
func TestMembersAreBounded(t *testing.T) {
	x := newExchange(t, peerA, fakeTables{})
	for i := range maxMembers {
		x.MemberUp(Peer{Name: fmt.Sprint("m", i), Boot: 5}, at(0))
	}
	if x.up != maxMembers || x.Counters().MembersRefused != 0 {
		t.Fatalf("%d members, %d refused", x.up, x.Counters().MembersRefused)
	}
	x.MemberUp(peerB, at(0))
	x.Receive(Hint{From: peerB, IDs: []ID{{Key: keyOf(1), Identity: who(1), Origin: peerB, Seq: 1}}}, at(0))
	if c := x.Counters(); x.up != maxMembers || c.MembersRefused != 1 || c.RefusedSender != 1 {
		t.Errorf("%d members: %+v", x.up, c)
	}
	checked(t, 0, x)
}

// An answer to one of two ids leaves the question open, but not for a second answer under the same nonce.
func TestNonceCountsOnceForTheWholeBatch(t *testing.T) {
	tables := fakeTables{keyOf(1): entry(1, 0, 0), keyOf(2): entry(2, 0, 0)}
	c := newExchange(t, peerC, tables, peerA)
	now := 60 * time.Second
	var ids []ID
	for i := range 2 {
		ids = append(ids, ID{Key: keyOf(i + 1), Identity: who(i + 1), Origin: peerA, Seq: uint64(i) + 1})
	}
	pull := to[Pull](c.Receive(Hint{From: peerA, IDs: ids}, at(now)), peerA)[0]
	both := proofFor(pull, peerA, 10*time.Second, 9*time.Second, at(now))
	first, second := both, both
	first.Answers, second.Answers = both.Answers[:1], both.Answers[1:]
	if n := len(c.Receive(first, at(now+ms)).Decisions); n != 1 {
		t.Fatalf("%d decisions on the first answer", n)
	}
	if n := len(c.Receive(second, at(now+2*ms)).Decisions); n != 0 || c.Counters().RefusedNonce != 1 {
		t.Errorf("%d decisions on a second answer to one question", n)
	}
	checked(t, now, c)
}

// How long an answer by stream takes says nothing about the pace of packets.
func TestStreamsSetNoPace(t *testing.T) {
	tables := fakeTables{keyOf(1): entry(1, 0, 0)}
	c := newExchange(t, peerC, tables, peerA)
	now := 60 * time.Second
	c.Receive(Hint{From: peerA, IDs: []ID{{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}}}, at(now))
	for {
		now += ms
		for _, p := range c.Tick(at(now)).Packets {
			pull, is := p.Msg.(Pull)
			if !is || p.Path != Stream {
				continue
			}
			c.Receive(proofFor(pull, peerA, 10*time.Second, 9*time.Second, at(now)), at(now+300*ms))
			if c.pace.known || c.Counters().Decided[Evicted] != 1 {
				t.Errorf("the pace is %+v after an answer by stream", c.pace)
			}
			return
		}
		if now > 70*time.Second {
			t.Fatal("nothing went by stream")
		}
	}
}

// A member that is gone is not answered, whatever it still says, and is answered when it is back.
func TestMemberThatIsGoneIsNotAnswered(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	id, _ := mustMake(t, a, departure(1, 0, 0), 0)
	ask := func() int {
		return len(to[Proof](a.Receive(Pull{From: peerB, Nonce: 1, IDs: []ID{id}}, at(ms)), peerB))
	}
	a.MemberLeft(peerB, at(ms))
	if ask() != 0 || a.Counters().RefusedSender != 1 {
		t.Error("a member that is gone is answered, or not counted")
	}
	a.MemberUp(peerB, at(ms))
	if ask() != 1 {
		t.Error("a member that is back is not answered")
	}
}

// A message holds as many ids as it may and no more, both ways, and each is valid.
func TestMessagesAreFull(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	a.MemberLeft(peerB, at(0))
	tables := fakeTables{}
	for i := range maxBatch + 1 {
		d := departure(i, time.Second, 0)
		d.Key, d.Name = Key{"c", fmt.Sprint(i)}, "b" // so short that their number is the limit, not their bytes
		mustMake(t, a, d, time.Second)
		tables[d.Key] = entry(i, 0, 0)
	}
	b := newExchange(t, peerB, tables, peerA)
	var sizes []int
	for _, h := range to[Hint](a.MemberUp(peerB, at(time.Second)), peerB) {
		sizes = append(sizes, len(h.IDs))
		if err := h.Valid(); err != nil {
			t.Error(err)
		}
		for _, p := range to[Pull](b.Receive(h, at(time.Second)), peerA) {
			if err := p.Valid(); err != nil || len(p.IDs) != len(h.IDs) {
				t.Errorf("a pull of %d ids after a hint of %d: %v", len(p.IDs), len(h.IDs), err)
			}
		}
	}
	if !slices.Equal(sizes, []int{maxBatch, 1}) {
		t.Errorf("hints of %v ids", sizes)
	}
}

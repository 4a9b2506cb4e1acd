package tombstone

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestHintPullProofDone(t *testing.T) {
	tables := fakeTables{keyOf(1): entry(1, 10*time.Second, 20*time.Second)}
	a := newExchange(t, peerA, fakeTables{}, peerB, peerC)
	c := newExchange(t, peerC, tables, peerA, peerB)
	now := 60 * time.Second
	id, out := mustMake(t, a, departure(1, now, 50*time.Second), now)
	if len(to[Hint](out, peerB)) != 1 || len(to[Hint](out, peerC)) != 1 {
		t.Fatalf("hints %+v, want one to each member at once", out.Packets)
	}
	out = c.Receive(to[Hint](out, peerC)[0], at(now))
	pulls := to[Pull](out, peerA)
	if len(pulls) != 1 || len(out.Packets) != 1 {
		t.Fatalf("%+v, want one pull", out.Packets)
	}
	out = a.Receive(pulls[0], at(now))
	proof := to[Proof](out, peerC)[0]
	out = c.Receive(proof, at(now+ms))
	if len(out.Decisions) != 1 || out.Decisions[0].Verdict.Outcome != Evicted || tables.Holds(keyOf(1)) {
		t.Fatalf("%+v, want an eviction", out.Decisions)
	}
	a.Receive(to[Done](out, peerA)[0], at(now+2*ms))
	reports := a.Status(10, at(now)).Own[0].Reports
	want := MemberReport{Member: "C", Boot: peerC.Boot, Answered: true, Reported: true, Outcome: Evicted, After: 2 * ms}
	if !slices.Contains(reports, want) {
		t.Errorf("reports %+v, want %+v", reports, want)
	}
	for now := now; now < 70*time.Second; now += ms {
		if hints := to[Hint](a.Tick(at(now)), peerC); len(hints) > 0 {
			t.Fatalf("hinted again after the report: %+v", hints)
		}
	}
	out = c.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now))
	if d := to[Done](out, peerA); len(d) != 1 || d[0].Reports[0].Outcome != Evicted {
		t.Errorf("a repeated hint is answered by %+v, want the same report", out.Packets)
	}
	checked(t, now, a, c)
}

// What the tables say beside a verdict comes out with that very decision, and only once.
func TestEffectsComeWithTheirDecision(t *testing.T) {
	tables := fakeTables{}
	var ids []ID
	for i := range 3 {
		tables[keyOf(i)] = entry(i, 10*time.Second, 20*time.Second)
		ids = append(ids, ID{Key: keyOf(i), Identity: who(i), Origin: peerA, Seq: uint64(i) + 1})
	}
	c := newExchange(t, peerC, tables, peerA)
	now := 60 * time.Second
	pull := to[Pull](c.Receive(Hint{From: peerA, IDs: ids}, at(now)), peerA)[0]
	proof := proofFor(pull, peerA, 10*time.Second, 9*time.Second, at(now))
	proof.Answers[1].Known = false // the tables are not asked
	decisions := c.Receive(proof, at(now+ms)).Decisions
	if len(decisions) != 3 {
		t.Fatalf("%d decisions, want 3", len(decisions))
	}
	for i, d := range decisions {
		if want := any(d.ID.Addr); i == 1 && d.Effects != nil || i != 1 && d.Effects != want {
			t.Errorf("decision %d on %s has the effects %v", i, d.ID.Addr, d.Effects)
		}
	}
	for _, d := range c.Status(10, at(now+ms)).Decisions {
		if d.Effects != nil {
			t.Errorf("the kept decision on %s still has the effects %v", d.ID.Addr, d.Effects)
		}
	}
}

func TestHintsEndWithTheTries(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	_, out := mustMake(t, a, departure(1, time.Second, 0), time.Second)
	datagrams, streams := len(to[Hint](out, peerB)), 0
	now := time.Second
	for ; a.Counters().HintsUnanswered == 0 && now < 10*time.Second; now += ms {
		for _, p := range a.Tick(at(now)).Packets {
			if p.Path == Stream {
				streams++
			} else {
				datagrams++
			}
		}
	}
	if datagrams != 1+2*(maxTries-1) || streams != 1 {
		t.Errorf("%d datagrams and %d streams, want %d and 1", datagrams, streams, 1+2*(maxTries-1))
	}
	if n := a.Counters().HintsUnanswered; n != 1 {
		t.Errorf("%d unanswered", n)
	}
	a.MemberLeft(peerB, at(10*time.Second))
	checked(t, 10*time.Second, a)
	if out := a.MemberUp(peerB, at(11*time.Second)); len(to[Hint](out, peerB)) != 1 {
		t.Error("a member that comes back is not hinted")
	}
}

// A member that takes the origin for dead hears no hint, and one whose questions are lost hears no proof, although both are
// listed as living. When that ends the broker is gone within seconds: nobody waits for a push/pull.
func TestWhatWasGivenUpIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		lost func(Message) bool
		dead bool
	}{
		{"the member takes the origin for dead", func(Message) bool { return false }, true},
		{"proofs are lost", func(m Message) bool { _, is := m.(Proof); return is }, false},
	} {
		tables := fakeTables{keyOf(1): entry(1, time.Second, 20*time.Second)}
		a, c := newExchange(t, peerA, fakeTables{}, peerC), newExchange(t, peerC, tables, peerA)
		now := 100 * time.Second
		if test.dead {
			c.MemberLeft(peerA, at(now))
		}
		_, out := mustMake(t, a, departure(1, now, now-time.Second), now)
		wire := out.Packets
		healed := now + 20*time.Second
		for gone := false; !gone; now += 5 * ms {
			if now == healed {
				c.MemberUp(peerA, at(now))
			}
			wire = append(wire, append(a.Tick(at(now)).Packets, c.Tick(at(now)).Packets...)...)
			for len(wire) > 0 {
				p := wire[0]
				wire = wire[1:]
				if now < healed && test.lost(p.Msg) {
					continue
				}
				wire = append(wire, map[Peer]*Exchange{peerA: a, peerC: c}[p.To].Receive(p.Msg, at(now)).Packets...)
			}
			checked(t, now, a, c)
			if gone = len(tables) == 0; gone && now < healed {
				t.Fatalf("%s: evicted by what must not arrive", test.name)
			}
			if now > healed+6*time.Second {
				t.Fatalf("%s: still listed 6 s after it hears again", test.name)
			}
		}
		if st := a.Status(1, at(now)); st.Own[0].Reports[0].Outcome != Evicted {
			t.Errorf("%s: the origin knows %+v", test.name, st.Own[0].Reports)
		}
	}
}

// A member that is listed anew, although it never was given up, is told at once.
func TestMemberListedAnewIsToldAtOnce(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerC)
	mustMake(t, a, departure(1, 0, 0), 0)
	now := time.Duration(0)
	for ; a.Counters().HintsUnanswered == 0; now += 5 * ms {
		a.Tick(at(now))
	}
	if out := a.MemberUp(peerC, at(now)); len(to[Hint](out, peerC)) != 1 {
		t.Errorf("told %v", out.Packets)
	}
	if out := a.MemberUp(peerC, at(now)); len(out.Packets) > 0 {
		t.Errorf("told again: %v", out.Packets)
	}
	checked(t, now, a)
}

func TestWindowsNewestFirst(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB, peerC)
	var first Output
	for i := range 100 {
		_, out := mustMake(t, a, departure(i, time.Second, 0), time.Second)
		first.Packets = append(first.Packets, out.Packets...)
		checked(t, time.Second, a)
	}
	if n := len(to[Hint](first, peerB)); n != maxWindow {
		t.Fatalf("%d batches outstanding, want %d", n, maxWindow)
	}
	for _, h := range to[Hint](first, peerC) { // C answers, B is mute
		done := Done{From: peerC, Boot: peerA.Boot, Reports: []Report{{Seq: h.IDs[0].Seq, Outcome: NotHeld}}}
		out := a.Receive(done, at(2*time.Second))
		if len(to[Hint](out, peerB)) > 0 {
			t.Error("B's window moved")
		}
		if hints := to[Hint](out, peerC); len(hints) > 0 && hints[0].IDs[0].Seq > 100 {
			t.Errorf("next batch %+v", hints)
		}
	}
	newest := a.members[peerC].hints[0].seqs
	if len(newest) != maxBatch || newest[0] != 100 {
		t.Errorf("next batch %v, want %d ids from the newest on", newest, maxBatch)
	}
}

func TestProofCountsOnce(t *testing.T) {
	f := func(what string, want int, change func(p *Proof, pull Pull)) {
		t.Helper()
		tables := fakeTables{keyOf(1): entry(1, 10*time.Second, 20*time.Second)}
		c := newExchange(t, peerC, tables, peerA, peerB)
		now := 60 * time.Second
		id := ID{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}
		pull := to[Pull](c.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now)), peerA)[0]
		proof := proofFor(pull, peerA, 10*time.Second, 9*time.Second, at(now))
		change(&proof, pull)
		n := len(c.Receive(proof, at(now+ms)).Decisions) + len(c.Receive(proof, at(now+2*ms)).Decisions)
		if n != want || tables.Holds(keyOf(1)) != (want == 0) {
			t.Errorf("%s: %d decisions, want %d", what, n, want)
		}
		checked(t, now, c)
	}
	f("twice", 1, func(*Proof, Pull) {})
	f("unknown nonce", 0, func(p *Proof, _ Pull) { p.Nonce += 1000 })
	f("another member", 0, func(p *Proof, _ Pull) { p.From = peerB })
	f("another boot", 0, func(p *Proof, _ Pull) { p.From.Boot++ })
	f("another tombstone", 0, func(p *Proof, _ Pull) { p.Answers[0].Seq++ })
	f("negative age", 0, func(p *Proof, _ Pull) { p.Answers[0].Life = -1 })
	f("too many answers", 0, func(p *Proof, _ Pull) { p.Answers = make([]Answer, maxBatch+1) })
}

// An answer to an earlier try counts with the t0 of that try, and every try has its own nonce.
func TestEachTryHasItsOwnT0(t *testing.T) {
	tables := fakeTables{keyOf(1): entry(1, 50*time.Second, 50*time.Second)}
	c := newExchange(t, peerC, tables, peerA)
	now := 60 * time.Second
	id := ID{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}
	pulls := to[Pull](c.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now)), peerA)
	for range 5 {
		now += 10 * ms
		pulls = append(pulls, to[Pull](c.Tick(at(now)), peerA)[0])
	}
	for i, p := range pulls {
		for _, o := range pulls[:i] {
			if p.Nonce == o.Nonce {
				t.Fatal("a nonce is used twice")
			}
		}
	}
	// By the first question's t0 L is at 49.98 s, before the connection; by the last one's it would be after it.
	proof := proofFor(pulls[0], peerA, 10*time.Second+20*ms, 9*time.Second, at(0))
	d := c.Receive(proof, at(now)).Decisions[0]
	if d.Verdict.Outcome != KeptYoungerConn {
		t.Errorf("%+v, want the first question's t0 to count", d.Verdict)
	}
}

func TestTTL(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	id, _ := mustMake(t, a, departure(1, 0, 0), 0)
	known := func(now time.Duration) bool {
		out := a.Receive(Pull{From: peerB, Nonce: 1, IDs: []ID{id}}, at(now))
		return to[Proof](out, peerB)[0].Answers[0].Known
	}
	last := TTL - TTL/1000 - ms // an age is an upper bound, so it ends a little early
	if !known(last) || known(TTL) {
		t.Errorf("known at %v: %v, at %v: %v", last, known(last), TTL, known(TTL))
	}
	if len(a.LocalIDs(MaxMerge, at(TTL))) != 0 {
		t.Error("told after the TTL")
	}
	a.Tick(at(TTL + time.Second))
	if len(a.own) != 0 || a.Counters().Expired != 1 {
		t.Errorf("%d live after the TTL", len(a.own))
	}
	if _, why, _ := a.Departed(departure(2, 0, 0), at(TTL+time.Second)); why != TooOld {
		t.Errorf("made of an UNREGISTER older than the TTL: %v", why)
	}
}

func TestCapDropsTheOldestU(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{})
	now := time.Duration(0)
	made := 0
	for made < maxLive+10 {
		now += 10 * ms
		d := departure(made, now, 0)
		if made == 5 {
			d.Unregistered = at(0) // handled late: the oldest U of all
		}
		if _, why, _ := a.Departed(d, at(now)); why == Made {
			made++
		}
		if now > TTL/2 {
			a.making = newMaking() // the limits would not let so many live at once from one address
			now = TTL / 2
		}
	}
	if len(a.own) != maxLive || a.Counters().Capped != 10 {
		t.Fatalf("%d live, %d dropped", len(a.own), a.Counters().Capped)
	}
	if a.own[6] != nil || a.own[11] == nil || a.own[1] != nil {
		t.Error("want those with the oldest U dropped")
	}
	checked(t, now, a)
}

func TestUnknownIsUnknown(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	id, _ := mustMake(t, a, departure(1, 0, 0), 0)
	f := func(what string, want bool, change func(*ID)) {
		t.Helper()
		id := id
		change(&id)
		out := a.Receive(Pull{From: peerB, Nonce: 1, IDs: []ID{id}}, at(ms))
		got := len(out.Packets) > 0 && to[Proof](out, peerB)[0].Answers[0].Known
		if got != want {
			t.Errorf("%s: known %v", what, got)
		}
	}
	f("as made", true, func(*ID) {})
	f("other revision", true, func(id *ID) { id.Revision = 1 })
	f("other boot", false, func(id *ID) { id.Origin.Boot++ })
	f("other sequence number", false, func(id *ID) { id.Seq++ })
	f("other broker name", false, func(id *ID) { id.Name = "x" })
	f("other key", false, func(id *ID) { id.Addr = "x" })
	if len(a.Receive(Pull{From: peerC, Nonce: 1, IDs: []ID{id}}, at(ms)).Packets) != 0 {
		t.Error("answers one who is no member")
	}
}

func TestLateProof(t *testing.T) {
	tables := fakeTables{keyOf(1): entry(1, 59*time.Second, 59*time.Second)}
	a := newExchange(t, peerA, fakeTables{}, peerB, peerC)
	c := newExchange(t, peerC, tables, peerA)
	now := 60 * time.Second
	id, out := mustMake(t, a, departure(1, now, 50*time.Second), now)
	a.Receive(Done{From: peerB, Boot: peerA.Boot, Reports: []Report{{Seq: id.Seq, Outcome: NotHeld}}}, at(now))
	pull := to[Pull](c.Receive(to[Hint](out, peerC)[0], at(now)), peerA)[0]
	out = c.Receive(to[Proof](a.Receive(pull, at(now)), peerC)[0], at(now))
	if out.Decisions[0].Verdict.Outcome != KeptYoungerConn {
		t.Fatalf("%+v", out.Decisions)
	}
	a.Receive(to[Done](out, peerA)[0], at(now))
	out = a.LateProof(id, at(now+ms), at(now+2*ms))
	if len(to[Hint](out, peerC)) != 1 || len(to[Hint](out, peerB)) != 0 {
		t.Fatalf("%+v, want a hint to who kept it only", out.Packets)
	}
	pull = to[Pull](c.Receive(to[Hint](out, peerC)[0], at(now+100*ms)), peerA)[0]
	out = c.Receive(to[Proof](a.Receive(pull, at(now+100*ms)), peerC)[0], at(now+100*ms))
	if out.Decisions[0].Verdict.Outcome != Evicted || out.Decisions[0].ID.Revision != 1 {
		t.Errorf("%+v, want an eviction by late proof", out.Decisions)
	}
	checked(t, now, a, c)
	d := departure(2, now, 0)
	d.LateProof = false
	id, _ = mustMake(t, a, d, now)
	if a.LateProof(id, at(now+ms), at(now+ms)); a.own[id.Seq].id.Revision != 0 || !a.own[id.Seq].life.IsZero() {
		t.Error("late proof of a broker that gives none")
	}
}

func TestMemberThatSawItItselfIsNotTold(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	for i := range maxWindow {
		mustMake(t, a, departure(i+10, 0, 0), 0) // fills the window
	}
	id, out := mustMake(t, a, departure(1, 0, 0), 0)
	if len(out.Packets) != 0 {
		t.Fatal("the window is not full")
	}
	theirs := id
	theirs.Origin = peerB
	a.Receive(Hint{From: peerB, IDs: []ID{theirs}}, at(ms))
	for now := ms; now < 5*time.Second; now += 10 * ms {
		for _, h := range to[Hint](a.Tick(at(now)), peerB) {
			if slices.ContainsFunc(h.IDs, func(i ID) bool { return i.Key == id.Key }) {
				t.Fatal("told of a departure that it had hinted itself")
			}
		}
	}
}

// A member's hint of an earlier departure, repeated when the path between the two healed, does not end the hints of a later one.
func TestHintOfAnEarlierDepartureEndsNothing(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	mustMake(t, a, departure(1, 100*time.Second, 0), 100*time.Second)
	now := 100*time.Second + freshFor
	earlier := ID{Key: keyOf(1), Identity: who(1), Origin: peerB, Seq: 1}
	a.Receive(Hint{From: peerB, IDs: []ID{earlier}}, at(now))
	if out := a.Tick(at(now)); len(to[Hint](out, peerB)) == 0 {
		t.Error("B is not told of the later departure")
	}
	checked(t, now, a)
}

// A member that goes on hinting, or one whose proofs never arrive, is not asked for longer than a tombstone lives.
func TestQuestionsEndWithTheTombstonesLife(t *testing.T) {
	c := newExchange(t, peerC, fakeTables{keyOf(1): entry(1, 0, 0)}, peerA)
	c.Receive(Hint{From: peerA, IDs: []ID{{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}}}, at(0))
	last := time.Duration(0)
	for now := time.Duration(0); now < 2*TTL; now += 100 * ms {
		if out := c.Tick(at(now)); len(to[Pull](out, peerA)) > 0 {
			last = now
		}
	}
	if last < TTL-5*time.Second || last > TTL+5*time.Second {
		t.Errorf("asked until %v", last)
	}
	checked(t, 2*TTL, c)
}

func TestLongNamesStayLocal(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	d := departure(1, 0, 0)
	id := ID{Key: d.Key, Identity: d.Identity, Origin: peerA}
	d.Name += strings.Repeat("x", maxID-id.Size())
	if _, why, out := a.Departed(d, at(0)); why != Made || len(out.Packets) != 1 {
		t.Errorf("an id of %d bytes: %v", maxID, why)
	}
	d.Name += "x"
	if _, why, _ := a.Departed(d, at(0)); why != TooLong {
		t.Errorf("an id of %d bytes: %v", maxID+1, why)
	}
	d = departure(1, 0, 0)
	d.Unregistered = at(0).Add(-time.Duration(at(0).Raw))
	d.Unregistered.Boot = 0
	if _, why, _ := a.Departed(d, at(0)); why != NoStamp {
		t.Errorf("without a stamp: %v", why)
	}
}

func TestManyMembersAreToldByGossip(t *testing.T) {
	f := func(members, wantDirect, wantQueued int) {
		t.Helper()
		a := newExchange(t, peerA, fakeTables{})
		for i := range members {
			a.MemberUp(Peer{Name: fmt.Sprint("m", i), Boot: 1}, at(0))
		}
		_, out := mustMake(t, a, departure(1, 0, 0), 0)
		direct, queued := 0, 0
		for _, p := range out.Packets {
			if p.Path == Queue {
				queued++
			} else {
				direct++
			}
		}
		if direct != wantDirect || queued != wantQueued {
			t.Errorf("%d members: %d direct and %d queued, want %d and %d", members, direct, queued, wantDirect, wantQueued)
		}
	}
	f(128, 128, 0)
	f(129, 11+16, 1)
	f(400, 20+16, 1)
}

func TestMembersComeAndGo(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{keyOf(1): entry(1, 0, 0)}, peerA, peerB)
	if a.up != 1 {
		t.Error("a node is no member of its own")
	}
	id := ID{Key: keyOf(1), Identity: who(1), Origin: peerB, Seq: 1}
	a.Receive(Hint{From: peerB, IDs: []ID{id}}, at(0))
	mustMake(t, a, departure(2, 0, 0), 0)
	a.MemberLeft(peerB, at(time.Second))
	checked(t, time.Second, a)
	if out := a.Receive(Hint{From: peerB, IDs: []ID{id}}, at(time.Second)); len(out.Packets) > 0 {
		t.Error("answers one who is gone")
	}
	a.Tick(at(TTL + 2*time.Second))
	if len(a.members) != 0 {
		t.Error("a member is remembered for longer than the TTL")
	}
	for i := range maxMembers + 1 {
		a.MemberUp(Peer{Name: "m", Boot: uint64(i)}, at(TTL))
	}
	if len(a.order) != maxMembers || a.Counters().MembersRefused != 1 {
		t.Errorf("%d members", len(a.order))
	}
	checked(t, TTL, a)
}

func TestQueuesAreBounded(t *testing.T) {
	tables := fakeTables{}
	for i := range 256 {
		tables[keyOf(i)] = entry(i, 0, 0)
	}
	c := newExchange(t, peerC, tables, peerA)
	seq := uint64(0)
	for range maxWanted / 64 * 2 {
		var h Hint
		h.From = peerA
		for range 64 {
			seq++
			h.IDs = append(h.IDs, ID{Key: keyOf(int(seq) % 256), Identity: who(1), Origin: peerA, Seq: seq})
		}
		c.Merge(h, at(0))
	}
	m := c.members[peerA]
	if len(m.toPull) != maxWanted || len(m.pulls) != maxWindow || c.Counters().WantedDropped == 0 {
		t.Errorf("%d toPull, %d pulls under way", len(m.toPull), len(m.pulls))
	}
	if m.toPull[len(m.toPull)-1].id.Seq != seq {
		t.Error("the newest is not on top")
	}
	checked(t, 0, c)
	for i := range maxDecisions + 10 {
		c.keep(Decision{ID: ID{Key: keyOf(i), Origin: peerA, Seq: uint64(i) + 1}, At: at(0)})
	}
	checked(t, 0, c)
}

func TestPushPullFitsItsSize(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{})
	var size int
	for i := range 50 {
		id, _ := mustMake(t, a, departure(i, 0, 0), 0)
		size += id.Size()
	}
	if n := len(a.LocalIDs(size, at(0))); n != 50 {
		t.Errorf("%d ids, want all", n)
	}
	ids := a.LocalIDs(size/2, at(0))
	if len(ids) < 20 || len(ids) > 25 || ids[0].Seq != 50 {
		t.Errorf("%d ids from %d on, want half of them, newest first", len(ids), ids[0].Seq)
	}
}

// A member that answered only after a try by stream is shown as such until a probe, which goes by UDP, has come through.
func TestProbesClearWhatStreamsShowed(t *testing.T) {
	x := newExchange(t, peerA, fakeTables{}, peerB)
	byStream := func() bool { return x.Status(0, at(0)).Members[0].ByStream }
	id, _ := mustMake(t, x, departure(1, time.Second, 0), time.Second)
	now := time.Second
	for streamed := false; !streamed; now += 10 * ms {
		for _, p := range x.Tick(at(now)).Packets {
			streamed = streamed || p.Path == Stream
		}
		if now > 2*time.Second {
			t.Fatal("nothing went by stream")
		}
	}
	x.Receive(Done{From: peerB, Boot: peerA.Boot, Reports: []Report{{Seq: id.Seq, Outcome: NotHeld}}}, at(now))
	if !byStream() {
		t.Error("answered after a try by stream, and not shown")
	}
	x.ProbeAck(peerB, at(now), at(now))
	if byStream() {
		t.Error("a probe came through, and the member is shown as reached by stream only")
	}
}

// The answer to the last of several tries counts with the t0 of that one: with lost packets the question has waited for nothing.
func TestLastTryHasTheNewestT0(t *testing.T) {
	tables := fakeTables{keyOf(1): entry(1, 50*time.Second, 50*time.Second)}
	c := newExchange(t, peerC, tables, peerA)
	now := 60 * time.Second
	id := ID{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}
	pull := to[Pull](c.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now)), peerA)[0]
	for range 5 {
		now += 10 * ms
		pull = to[Pull](c.Tick(at(now)), peerA)[0]
	}
	// By this question's t0 L is at 50.03 s, after the connection's first byte; by the first one's it would be before it.
	proof := proofFor(pull, peerA, now-50*time.Second-30*ms, 9*time.Second, at(now))
	if d := c.Receive(proof, at(now+ms)).Decisions[0]; d.Verdict.Outcome != Evicted {
		t.Errorf("%+v, want the last question's t0 to count", d.Verdict)
	}
}

// What was kept only because the question took long is asked again when it is hinted again; what was kept for good is not.
func TestKeptByASlowQuestionIsAskedAgain(t *testing.T) {
	for _, test := range []struct {
		what     string
		took     time.Duration
		life, u  time.Duration // ages in the answer; the registration is 10 s old when it is asked for
		outcome  Outcome
		askAgain bool
	}{
		{"younger, by less than the way", 500 * ms, 10*time.Second + 400*ms, 9 * time.Second, KeptYoungerConn, true},
		{"younger, by more", 500 * ms, 11 * time.Second, 9 * time.Second, KeptYoungerConn, false},
		{"came back, by less than the way", 500 * ms, 9 * time.Second, 10*time.Second + 400*ms, CameBack, true},
		{"came back, by more", 500 * ms, 9 * time.Second, 11 * time.Second, CameBack, false},
		{"a quick question", ms, 10*time.Second + 400*ms, 9 * time.Second, KeptYoungerConn, false},
	} {
		now := 60 * time.Second
		tables := fakeTables{keyOf(1): entry(1, now-10*time.Second, now-10*time.Second)}
		c := newExchange(t, peerC, tables, peerA)
		id := ID{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}
		pull := to[Pull](c.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now)), peerA)[0]
		d := c.Receive(proofFor(pull, peerA, test.life, test.u, at(now)), at(now+test.took)).Decisions[0]
		if d.Verdict.Outcome != test.outcome || d.Final == test.askAgain {
			t.Errorf("%s: %v, final %v", test.what, d.Verdict.Outcome, d.Final)
		}
		out := c.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now+time.Second))
		if asked := len(to[Pull](out, peerA)) > 0; asked != test.askAgain || asked == (len(to[Done](out, peerA)) > 0) {
			t.Errorf("%s: asked again %v: %+v", test.what, asked, out.Packets)
		}
		checked(t, now+time.Second, c)
	}
}

// The slack of a verdict is all that another question could change: its way, the rounding and stretching of the ages, a
// millisecond for the clocks. At the bound it is final, within it is not.
func TestFinalToTheMillisecond(t *testing.T) {
	b := Bounds{Asked: at(0), Life: 10 * time.Second, HasLife: true, Unregistered: 5 * time.Second}
	now := at(300 * ms)
	slack := -(now.Age(b.Asked) + 150*ms + ms)
	for _, test := range []struct {
		v    Verdict
		want bool
	}{
		{Verdict{Outcome: KeptYoungerConn, LifeMargin: slack - 1}, true},
		{Verdict{Outcome: KeptYoungerConn, LifeMargin: slack}, false},
		{Verdict{Outcome: CameBack, RegisterMargin: slack - 1}, true},
		{Verdict{Outcome: CameBack, RegisterMargin: slack}, false},
		{Verdict{Outcome: KeptName}, true},
		{Verdict{Outcome: KeptNoLife}, true},
		{Verdict{Outcome: Evicted}, true},
	} {
		if got := final(test.v, b, now); got != test.want {
			t.Errorf("%+v: final %v", test.v, got)
		}
	}
}

// A DONE that was on its way when the origin restarted says nothing about the tombstones of the new life, whose sequence
// numbers begin again.
func TestDoneForAnotherBootEndsNothing(t *testing.T) {
	a := newExchange(t, peerA, fakeTables{}, peerB)
	now := time.Second
	id, _ := mustMake(t, a, departure(1, now, 0), now)
	for n, boot := range []uint64{peerA.Boot + 1, peerA.Boot - 1, 0} {
		a.Receive(Done{From: peerB, Boot: boot, Reports: []Report{{Seq: id.Seq, Outcome: Evicted}}}, at(now))
		if r := a.Status(1, at(now)).Own[0].Reports[0]; r.Reported || r.Answered {
			t.Fatalf("a report for boot %d is believed: %+v", boot, r)
		}
		if got := a.Counters().RefusedOrigin; boot != 0 && got != uint64(n+1) {
			t.Errorf("%d refused, want %d", got, n+1)
		}
	}
	if hints := to[Hint](a.Tick(at(now+firstInterval)), peerB); len(hints) == 0 {
		t.Error("the member is not hinted any more")
	}
}

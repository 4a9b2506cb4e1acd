package tombstone

import (
	"testing"
	"time"
)

// evictOne lets x evict broker i of connection 9 and answers the decision.
func evictOne(t *testing.T, x *Exchange, tables fakeTables, i int, now time.Duration) Decision {
	t.Helper()
	tables[keyOf(i)] = entry(i, now-100*time.Second, now-100*time.Second)
	id := ID{Key: keyOf(i), Identity: who(i), Origin: peerA, Seq: uint64(i) + 1}
	out := x.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now))
	pull := to[Pull](out, peerA)[0]
	out = x.Receive(proofFor(pull, peerA, 10*time.Second, 9*time.Second, at(now)), at(now))
	return out.Decisions[0]
}

func TestRefutedEvictions(t *testing.T) {
	type events func(x *Exchange, now time.Duration)
	back := func(x *Exchange, now time.Duration) { x.Registered(9, keyOf(0), who(0), at(now)) }
	f := func(what string, want int, after events) {
		t.Helper()
		tables := fakeTables{}
		x := newExchange(t, peerC, tables, peerA)
		if d := evictOne(t, x, tables, 0, time.Hour); d.Verdict.Outcome != Evicted {
			t.Fatalf("%s: %v", what, d.Verdict.Outcome)
		}
		after(x, time.Hour+time.Second)
		if n := len(x.Tick(at(time.Hour + 30*time.Second)).Refuted); n != 0 {
			t.Errorf("%s: refuted too early", what)
		}
		if n := len(x.Tick(at(time.Hour + 32*time.Second)).Refuted); n != want {
			t.Errorf("%s: %d refuted, want %d", what, n, want)
		}
		if n := len(x.Tick(at(time.Hour + 64*time.Second)).Refuted); n != 0 || x.Counters().Refuted != uint64(want) {
			t.Errorf("%s: refuted again", what)
		}
	}
	f("the same connection registers again", 1, back)
	f("another connection registers", 0, func(x *Exchange, now time.Duration) { x.Registered(10, keyOf(0), who(0), at(now)) })
	f("another broker registers on it", 0, func(x *Exchange, now time.Duration) { x.Registered(9, keyOf(1), who(1), at(now)) })
	f("another name registers on it", 0, func(x *Exchange, now time.Duration) { x.Registered(9, keyOf(0), who(1), at(now)) })
	f("it unregisters afterwards", 0, func(x *Exchange, now time.Duration) {
		back(x, now)
		x.Unregistered(9, keyOf(0))
	})
	f("it closes", 0, func(x *Exchange, now time.Duration) {
		back(x, now)
		x.Closed(9)
	})
	f("nothing comes", 0, func(*Exchange, time.Duration) {})
}

func TestThreeRefutedEvictionsHoldTheRest(t *testing.T) {
	tables := fakeTables{}
	x := newExchange(t, peerC, tables, peerA)
	now := time.Hour
	for i := range maxRefuted {
		evictOne(t, x, tables, i, now)
		x.Registered(9, keyOf(i), who(i), at(now+time.Second))
		now += time.Minute
		out := x.Tick(at(now))
		if len(out.Refuted) != 1 || out.Refuted[0].Hold != (i == maxRefuted-1) {
			t.Fatalf("round %d: %+v", i, out.Refuted)
		}
	}
	if d := evictOne(t, x, tables, 10, now+time.Second); d.Verdict.Outcome != KeptHolding || d.Final {
		t.Errorf("on hold: %v", d.Verdict.Outcome)
	}
	if x.Status(1, at(now)).HeldUntil != at(now+holdFor) {
		t.Error("the hold is not shown")
	}
	if d := evictOne(t, x, tables, 11, now+holdFor); d.Verdict.Outcome != Evicted {
		t.Errorf("after the hold: %v", d.Verdict.Outcome)
	}
	checked(t, now, x)
}

func TestRefutedEvictionsFarApartHoldNothing(t *testing.T) {
	tables := fakeTables{}
	x := newExchange(t, peerC, tables, peerA)
	now := time.Hour
	for i := range 2 * maxRefuted {
		evictOne(t, x, tables, i, now)
		x.Registered(9, keyOf(i), who(i), at(now+time.Second))
		now += refutedWindow/2 + time.Minute
		if out := x.Tick(at(now)); len(out.Refuted) != 1 || out.Refuted[0].Hold {
			t.Fatalf("round %d: %+v", i, out.Refuted)
		}
	}
}

func TestWatchedEvictionsAreBounded(t *testing.T) {
	r := newSelfCheck()
	for i := range maxWatched + 5 {
		r.evicted(Decision{ID: ID{Key: keyOf(i)}, Verdict: Verdict{Conn: uint64(i % 100)}, At: at(0)})
	}
	if r.n != maxWatched {
		t.Fatalf("%d watched, want %d", r.n, maxWatched)
	}
	r.sweep(at(TTL))
	if r.n != 0 || len(r.by) != 0 {
		t.Errorf("%d watched after the TTL", r.n)
	}
}

// However many connections close with evictions that were watched, the next eviction is watched. So it is after as many
// UNREGISTERs, and after as many newer evictions of the same registration.
func TestWatchesAreGivenBack(t *testing.T) {
	ends := map[string]func(r *selfCheck, conn uint64, k Key){
		"closed":       func(r *selfCheck, conn uint64, _ Key) { r.closed(conn) },
		"unregistered": func(r *selfCheck, conn uint64, k Key) { r.unwatch(conn, k) },
		"again":        func(*selfCheck, uint64, Key) {},
	}
	for name, end := range ends {
		r := newSelfCheck()
		for i := range maxWatched + 5 {
			conn := uint64(i)
			if name == "again" {
				conn = 1
			}
			for k := range 2 {
				r.evicted(Decision{ID: ID{Key: keyOf(k)}, Verdict: Verdict{Conn: conn}, At: at(0)})
				if name == "unregistered" {
					end(&r, conn, keyOf(k))
				}
			}
			end(&r, conn, keyOf(0))
		}
		if want := len(r.by) * 2; r.n != want || want > 2 {
			t.Errorf("%s: %d watched on %d connections", name, r.n, len(r.by))
		}
		r.evicted(Decision{ID: ID{Key: keyOf(9), Identity: who(9)}, Verdict: Verdict{Conn: 9}, At: at(0)})
		r.registered(9, keyOf(9), who(9), at(time.Second))
		if got := r.sweep(at(time.Second + refutedAfter)); len(got) != 1 {
			t.Errorf("%s: %d refuted, want that one", name, len(got))
		}
	}
}

// Brokers register about every 30 s, which is as long as the self-check waits: what counts is the first REGISTER.
func TestRegisteringAgainAndAgainIsRefuted(t *testing.T) {
	tables := fakeTables{}
	x := newExchange(t, peerC, tables, peerA)
	now := time.Hour
	evictOne(t, x, tables, 0, now)
	refuted := 0
	for range 3 {
		for range 29 {
			now += time.Second
			refuted += len(x.Tick(at(now)).Refuted)
		}
		x.Registered(9, keyOf(0), who(0), at(now))
	}
	if refuted != 1 {
		t.Errorf("%d refuted, want the one", refuted)
	}
}

// The bounds of the self-check to the nanosecond: how long a broker must be back, how near three must be, how long a hold
// lasts; and that a hold begins to count anew.
func TestBoundsOfTheSelfCheck(t *testing.T) {
	watch := func(r *selfCheck, i int, now time.Duration) {
		r.evicted(Decision{ID: ID{Key: keyOf(i), Identity: who(i)}, Verdict: Verdict{Conn: 9}, At: at(now)})
		r.registered(9, keyOf(i), who(i), at(now))
	}
	r := newSelfCheck()
	watch(&r, 0, 0)
	if n := len(r.sweep(at(refutedAfter - 1))); n != 0 {
		t.Errorf("%d refuted a nanosecond early", n)
	}
	if n := len(r.sweep(at(refutedAfter))); n != 1 {
		t.Errorf("%d refuted in time", n)
	}
	for _, test := range []struct {
		apart time.Duration // first and third
		hold  bool
	}{{refutedWindow, true}, {refutedWindow + 1, false}} {
		r := newSelfCheck()
		r.count(at(0))
		r.count(at(time.Second))
		if got := r.count(at(test.apart)); got != test.hold {
			t.Errorf("three within %v: hold %v", test.apart, got)
		}
		end := test.apart + holdFor
		if test.hold && (!r.holding(at(end-1)) || r.holding(at(end))) {
			t.Errorf("the hold does not end after %v", holdFor)
		}
		for i := range maxRefuted {
			if test.hold && r.count(at(end)) != (i == maxRefuted-1) {
				t.Error("a hold does not begin to count anew")
			}
		}
	}
}

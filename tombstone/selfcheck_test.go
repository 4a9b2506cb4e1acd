package tombstone

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/hold"
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

// refute lets x evict broker i, as of a source address, and has that refuted: it is back on its connection and stays.
func refute(t *testing.T, x *Exchange, tables fakeTables, i int, source string, now time.Duration) (RefutedEviction, time.Duration) {
	t.Helper()
	if v := evictAs(t, x, tables, i, source, now).Verdict.Outcome; v != Evicted {
		t.Fatalf("broker %d of %s: %v", i, source, v)
	}
	x.Registered(9, keyOf(i), who(i), at(now+time.Second))
	now += time.Second + refutedAfter
	out := x.Tick(at(now))
	if len(out.Refuted) != 1 {
		t.Fatalf("broker %d of %s: %d refuted, want it", i, source, len(out.Refuted))
	}
	checked(t, now, x)
	return out.Refuted[0], now
}

// evictAs lets x judge a tombstone of broker i of a source address, whose registration is older than the departure.
func evictAs(t *testing.T, x *Exchange, tables fakeTables, i int, source string, now time.Duration) Decision {
	t.Helper()
	id := ID{Key: keyOf(i), Identity: who(i), Origin: peerA, Seq: uint64(now)}
	id.RemoteIP = netip.MustParseAddr(source)
	e := entry(i, now-100*time.Second, now-100*time.Second)
	e.RemoteIP = id.RemoteIP
	tables[id.Key] = e
	out := x.Receive(Hint{From: peerA, IDs: []ID{id}}, at(now))
	out = x.Receive(proofFor(to[Pull](out, peerA)[0], peerA, 10*time.Second, 9*time.Second, at(now)), at(now))
	return out.Decisions[0]
}

func kinds(holds []Hold) (names []string) {
	for _, h := range holds {
		names = append(names, h.Kind.Name())
	}
	return names
}

// What is put on hold is what the refuted evictions have in common: two of one broker and source hold that pair, three of
// one source that source, and only those of three sources everybody. Everything else is evicted as before.
func TestRefutedEvictionsHoldWhatTheyHaveInCommon(t *testing.T) {
	type refuted struct {
		broker int
		source string
	}
	for name, test := range map[string]struct {
		refuted []refuted
		holds   []string  // started by the last
		kept    []refuted // on hold afterwards
		evicted []refuted
	}{
		"one": {
			refuted: []refuted{{0, "10.0.0.1"}},
			evicted: []refuted{{0, "10.0.0.1"}},
		},
		"one broker twice": {
			refuted: []refuted{{0, "10.0.0.1"}, {0, "10.0.0.1"}}, holds: []string{"broker"},
			kept: []refuted{{0, "10.0.0.1"}}, evicted: []refuted{{0, "10.0.0.2"}, {1, "10.0.0.1"}},
		},
		"one broker of two sources": {
			refuted: []refuted{{0, "10.0.0.1"}, {0, "10.0.0.2"}},
			evicted: []refuted{{0, "10.0.0.1"}, {0, "10.0.0.2"}},
		},
		"three brokers of one source": {
			refuted: []refuted{{0, "10.0.0.1"}, {1, "10.0.0.1"}, {2, "10.0.0.1"}}, holds: []string{"source"},
			kept: []refuted{{0, "10.0.0.1"}, {7, "10.0.0.1"}}, evicted: []refuted{{0, "10.0.0.2"}},
		},
		"three brokers of two sources": {
			refuted: []refuted{{0, "10.0.0.1"}, {1, "10.0.0.1"}, {2, "10.0.0.2"}},
			evicted: []refuted{{0, "10.0.0.1"}, {2, "10.0.0.2"}},
		},
		"three sources": {
			refuted: []refuted{{0, "10.0.0.1"}, {1, "10.0.0.2"}, {2, "10.0.0.3"}}, holds: []string{"node"},
			kept: []refuted{{0, "10.0.0.1"}, {7, "10.0.0.9"}},
		},
		"three sources of one broker": {
			refuted: []refuted{{0, "10.0.0.1"}, {0, "10.0.0.2"}, {0, "10.0.0.3"}}, holds: []string{"node"},
			kept: []refuted{{0, "10.0.0.1"}, {7, "10.0.0.9"}},
		},
		"three addresses of one IPv6 host": {
			refuted: []refuted{{0, "fd00::1"}, {1, "fd00::2"}, {2, "fd00::3"}}, holds: []string{"source"},
			kept: []refuted{{7, "fd00::ffff"}}, evicted: []refuted{{7, "fd00:0:0:1::1"}, {7, "10.0.0.1"}},
		},
		"one broker of two addresses of one IPv6 host": {
			refuted: []refuted{{0, "fd00::1"}, {0, "fd00::2"}},
			evicted: []refuted{{0, "fd00::1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tables := fakeTables{}
			x := newExchange(t, peerC, tables, peerA)
			now := time.Hour
			var last RefutedEviction
			for i, r := range test.refuted {
				if len(last.Holds) > 0 {
					t.Fatalf("on hold after %d: %v", i, kinds(last.Holds))
				}
				last, now = refute(t, x, tables, r.broker, r.source, now)
			}
			if !slices.Equal(kinds(last.Holds), test.holds) || !slices.Equal(x.Status(1, at(now)).Holds, last.Holds) {
				t.Errorf("%v on hold, want %v; shown: %v", kinds(last.Holds), test.holds, x.Status(1, at(now)).Holds)
			}
			for _, r := range test.kept {
				now++
				if d := evictAs(t, x, tables, r.broker, r.source, now); d.Verdict.Outcome != KeptHolding || d.Final {
					t.Errorf("broker %d of %s: %v", r.broker, r.source, d.Verdict.Outcome)
				}
			}
			for _, r := range test.evicted {
				now++
				if d := evictAs(t, x, tables, r.broker, r.source, now); d.Verdict.Outcome != Evicted {
					t.Errorf("broker %d of %s: %v", r.broker, r.source, d.Verdict.Outcome)
				}
			}
			now += hold.For
			x.Tick(at(now))
			if d := evictAs(t, x, tables, 0, "10.0.0.1", now); d.Verdict.Outcome != Evicted || x.Status(1, at(now)).Holds != nil {
				t.Errorf("after the hold: %v, %v", d.Verdict.Outcome, x.Status(1, at(now)).Holds)
			}
		})
	}
}

// Who evicts a living broker again and again, sooner than its connection has proven that this was wrong, throws away no proof.
func TestEvictedAgainBeforeItIsRefuted(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Second, 20 * time.Second, 29 * time.Second, 31 * time.Second} {
		tables := fakeTables{}
		x := newExchange(t, peerC, tables, peerA)
		evicted, rounds := 0, int(10*time.Minute/every)
		for round := range rounds {
			now := time.Hour + time.Duration(round)*every
			x.Tick(at(now))
			if evictAs(t, x, tables, 0, "10.0.0.1", now).Verdict.Outcome == Evicted {
				evicted++
			}
			x.Registered(9, keyOf(0), who(0), at(now+time.Second))
			checked(t, now, x)
		}
		if limit := int(2*(refutedAfter+every)/every) + 1; evicted > limit || x.Counters().Refuted < refutedOfKey {
			t.Errorf("every %v: evicted %d times in ten minutes, want at most %d; %d refuted", every, evicted, limit, x.Counters().Refuted)
		}
	}
}

// sharedTables have a second source that registers what the first one leaves.
type sharedTables struct{ fakeTables }

func (s sharedTables) Judge(id ID, b Bounds) (v Verdict, effects any) {
	e := s.fakeTables[id.Key]
	if v, effects = s.fakeTables.Judge(id, b); v.Outcome == Evicted {
		s.fakeTables[id.Key] = e
		v.Outcome = KeptOtherClaim
	}
	return v, effects
}

// A claim that a tombstone took is watched although the registration stayed. The decision is final.
func TestTakenClaimsAreWatched(t *testing.T) {
	tables := fakeTables{}
	x := newExchange(t, peerC, sharedTables{tables}, peerA)
	if d := evictAs(t, x, tables, 0, "10.0.0.1", time.Hour); d.Verdict.Outcome != KeptOtherClaim || !d.Final {
		t.Fatalf("%v, final %v", d.Verdict.Outcome, d.Final)
	}
	x.Registered(9, keyOf(0), who(0), at(time.Hour+time.Second))
	if out := x.Tick(at(time.Hour + time.Second + refutedAfter)); len(out.Refuted) != 1 {
		t.Errorf("%d refuted, want it", len(out.Refuted))
	}
	checked(t, time.Hour+time.Minute, x)
}

func TestRefutedEvictionsFarApartHoldNothing(t *testing.T) {
	tables := fakeTables{}
	x := newExchange(t, peerC, tables, peerA)
	now := time.Hour
	for i := range 2 * refutedOfOne {
		var r RefutedEviction
		if r, now = refute(t, x, tables, i, "10.0.0.1", now); len(r.Holds) > 0 {
			t.Fatalf("round %d: %v", i, kinds(r.Holds))
		}
		now += hold.Window / 2
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
	if r.n != 0 || len(r.by) != 0 || len(r.sources) != 0 {
		t.Errorf("%d watched after the TTL", r.n)
	}
}

// Whatever a stranger has evicted of his own, the eviction of another source's broker is watched.
func TestNobodyPushesOutTheWatchesOfOthers(t *testing.T) {
	r := newSelfCheck()
	watch := func(i int, ip string) {
		d := Decision{ID: ID{Key: keyOf(i), Identity: who(i)}, Verdict: Verdict{Conn: uint64(i)}, At: at(0)}
		d.ID.RemoteIP = netip.MustParseAddr(ip)
		r.evicted(d)
	}
	watch(0, "10.0.0.2")
	for i := range maxWatched + 5 {
		watch(i+1, "10.0.0.1")
	}
	watch(maxWatched+10, "10.0.0.3")
	for _, conn := range []uint64{0, maxWatched + 10, maxWatched + 5} {
		r.registered(conn, keyOf(int(conn)), who(int(conn)), at(0))
	}
	if got := r.sweep(at(refutedAfter)); len(got) != 3 {
		t.Errorf("%d refuted, want both of the others and his newest", len(got))
	}
}

func TestCountedRefutationsAreBounded(t *testing.T) {
	r := newSelfCheck()
	for i := range maxRefuted + 5 {
		r.count(ID{Key: keyOf(i)}, at(time.Duration(i)))
	}
	if got := r.holds.Counted(); got != maxRefuted {
		t.Errorf("%d counted", got)
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

// What is on hold is not put on hold again before that ends, and then it is forgotten.
func TestHoldsEnd(t *testing.T) {
	r, started := newSelfCheck(), 0
	for i := range 3 * refutedOfOne {
		started += len(r.count(ID{Key: keyOf(0), Identity: who(0)}, at(time.Duration(i)*time.Second)))
	}
	if got := kinds(r.held(at(3 * refutedOfOne * time.Second))); started != 2 || !slices.Equal(got, []string{"source", "broker"}) {
		t.Errorf("%d holds, %v", started, got)
	}
	if r.sweep(at(refutedOfOne*time.Second + hold.For)); r.held(at(0)) != nil {
		t.Errorf("%d holds are left", len(r.held(at(0))))
	}
}

// The bounds of the self-check to the nanosecond: how long a broker must be back, how near two must be, how long a hold
// lasts; and that a hold begins to count anew.
func TestBoundsOfTheSelfCheck(t *testing.T) {
	id := ID{Key: keyOf(0), Identity: who(0)}
	r := newSelfCheck()
	r.evicted(Decision{ID: id, Verdict: Verdict{Conn: 9}, At: at(0)})
	r.registered(9, id.Key, id.Identity, at(0))
	if n := len(r.sweep(at(refutedAfter - 1))); n != 0 {
		t.Errorf("%d refuted a nanosecond early", n)
	}
	if n := len(r.sweep(at(refutedAfter))); n != 1 {
		t.Errorf("%d refuted in time", n)
	}
	for _, test := range []struct {
		apart time.Duration
		hold  bool
	}{{hold.Window, true}, {hold.Window + 1, false}} {
		r := newSelfCheck()
		r.count(id, at(0))
		if got := len(r.count(id, at(test.apart))) > 0; got != test.hold {
			t.Errorf("two within %v: hold %v", test.apart, got)
		}
		if !test.hold {
			continue
		}
		end := test.apart + hold.For
		if r.sweep(at(end - 1)); !r.holding(id, at(end-1)) || r.holding(id, at(end)) {
			t.Errorf("the hold does not end after %v", hold.For)
		}
		for i := range refutedOfKey {
			r.sweep(at(end))
			if got := r.count(id, at(end)); len(got) > 0 != (i == refutedOfKey-1) {
				t.Errorf("a hold does not begin to count anew: %v", got)
			}
		}
	}
}

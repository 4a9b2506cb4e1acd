package routes

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// V-18 of docs/spec/deadhosts.md. TestRestored plays random histories in two worlds. In one of them brokers' hosts vanish and are heard again, in the
// other they never do.

// worlds are the tables of both.
type worlds struct {
	with, without *state
	now           clock.Stamp
	conns         []*Conn
	last          uint64
	bodies        []Registration
	gone          []ghost // what a silence took and nobody has touched, oldest first
	apart         bool    // a REGISTER was compared with one that is out of one world only
	restored      int
	stayedOut     int
	inVain        int // not kept though nobody had to have touched it
}

// ghost is a registration that is out of one world only.
type ghost struct {
	Restoration
	voided bool // somebody has touched it
	unsure bool // or its broker name's other members changed
}

func (w *worlds) begin() {
	w.apart = false
	w.with, w.without = newState(Options{}, time.Hour, 1<<20), newState(Options{}, time.Hour, 1<<20)
	w.with.asideBudget = DefaultAsideBytes
}

func (w *worlds) both(f func(s *state)) {
	f(w.with)
	f(w.without)
}

// touched marks what must not be put back any more.
func (w *worlds) touched(key tombstone.Key, name string) {
	for i := range w.gone {
		if g := &w.gone[i]; g.Key == key || g.Name == name {
			g.voided = true
		}
	}
}

func (w *worlds) accept() *Conn {
	w.last++
	c := &Conn{ID: w.last, FirstByte: w.now, CanProve: true, Source: mq.Source{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(w.last % 3)})}}
	w.conns = append(w.conns, c)
	return c
}

func (w *worlds) register(t *rapid.T) {
	r := pick(t, w.bodies, "body")
	r.Cluster, r.Name, r.Addr, r.ID = pick(t, someClusters, "cluster"), pick(t, someNames, "name"), pick(t, someAddrs, "addr"), pick(t, someIDs, "id")
	r.HAAddr, r.Acting, r.Conn = mq.Some("ha"+r.Addr), pick(t, []Tri{Absent, False, True, True}, "acting"), pick(t, w.conns, "conn")
	r.Timeout = pick(t, []Opt64{{}, {N: 1500, Valid: true}}, "timeout")
	w.touched(r.key(), r.Name)
	for _, m := range w.without.memberGroup(r.Name) { // the state version of an address is looked up by its cluster, whatever it is called there
		w.apart = w.apart || slices.ContainsFunc(w.gone, func(g ghost) bool { return g.Addr == m.Addr && g.Name != r.Name })
	}
	w.both(func(s *state) {
		again := r
		if _, _, ok := s.registerUnchanged(&again, w.now); !ok {
			s.register(&again, comparison{}, w.now)
		}
	})
}

func (w *worlds) unregister(t *rapid.T) {
	u := Unregistration{
		Cluster: pick(t, someClusters, "cluster"), Name: pick(t, someNames, "name"), Addr: pick(t, someAddrs, "addr"), ID: pick(t, someIDs, "id"),
		Conn: pick(t, w.conns, "conn"), OwnOnly: rapid.IntRange(0, 3).Draw(t, "own only") == 0, At: w.now,
	}
	w.touched(tombstone.Key{Cluster: u.Cluster, Addr: u.Addr}, u.Name)
	w.both(func(s *state) { s.unregister(&u, w.now) })
}

func (w *worlds) connLost(t *rapid.T) {
	i := rapid.IntRange(0, len(w.conns)-1).Draw(t, "conn")
	id := w.conns[i].ID
	w.conns = slices.Delete(w.conns, i, i+1)
	w.accept()
	for i := range w.gone {
		g := &w.gone[i]
		g.unsure, g.voided = true, g.voided || g.Owner == id
	}
	w.both(func(s *state) { s.connLost(id, w.now) })
}

func (w *worlds) expire(t *rapid.T) {
	w.now = w.now.Add(pick(t, []time.Duration{time.Second, time.Second, 30 * time.Second, 59 * time.Second, 121 * time.Second}, "later"))
	for i := range w.gone {
		w.gone[i].unsure = true
	}
	w.both(func(s *state) { s.expire(w.now) })
}

func (w *worlds) judge(t *rapid.T) {
	key := tombstone.Key{Cluster: pick(t, someClusters, "cluster"), Addr: pick(t, someAddrs, "addr")}
	held := w.without.holders(key)
	if len(held) == 0 {
		return
	}
	id := pick(t, held, "id")
	lo := tombstone.Bounds{
		Asked: w.now, HasLife: true, Life: time.Duration(rapid.IntRange(0, 50).Draw(t, "L")) * time.Millisecond,
		Unregistered: time.Duration(rapid.IntRange(0, 20).Draw(t, "U")) * time.Millisecond,
	}
	v, _ := w.without.judge(key, id, lo, w.now)
	for i := range w.gone {
		g := &w.gone[i]
		g.voided = g.voided || v.Outcome == tombstone.Evicted && g.Key == key
		g.unsure = g.unsure || g.Name == id.Name // if that other one was listed, or kept
	}
	w.with.judge(key, id, lo, w.now)
}

func (w *worlds) admin(t *rapid.T) {
	switch name, topic := pick(t, someNames, "name"), pick(t, someTopics, "topic"); rapid.IntRange(0, 2).Draw(t, "admin") {
	case 0:
		w.touched(tombstone.Key{}, name)
		w.both(func(s *state) { s.writePerm(name, topic == "t0") })
	case 1:
		for i := range w.gone {
			if g := &w.gone[i]; slices.ContainsFunc(topicsOf(w.without, g.Name), func(one string) bool { return one == topic }) {
				w.touched(g.Key, g.Name)
			}
		}
		cluster := pick(t, []string{"", "", "C1", "C2"}, "cluster")
		w.both(func(s *state) { s.deleteTopic(topic, cluster) })
	case 2:
		queues := []TopicQueue{{Broker: mq.Some(name), Queue: drawQueue(t)}}
		w.touched(tombstone.Key{}, name)
		w.both(func(s *state) { s.registerTopics(topic, queues, 0) })
	}
}

func topicsOf(s *state, name string) (list []string) {
	if b := s.byName[name]; b != nil {
		for _, id := range b.topics {
			list = append(list, s.topics[id].name)
		}
	}
	return list
}

func (w *worlds) vanish(t *rapid.T) {
	all := w.with.registrations()
	if len(all) == 0 {
		return
	}
	r := pick(t, all, "registration")
	key := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
	c := w.with.visible(key).shown()
	v := Vanished{Key: key, Identity: c.identity(), Owner: c.owner.ID, Still: func() bool { return true }}
	g := ghost{Restoration: Restoration{Key: key, Identity: c.identity(), Owner: c.owner.ID, Alive: func() bool { return true }}}
	if taken, _ := w.with.vanish(&v, w.now); taken == Inherited {
		w.without.vanish(&v, w.now) // what an heir keeps is not put back
	} else if taken == TakenOut {
		w.gone = append(w.gone, g)
	}
}

// heard puts back what can be, until both worlds are alike: then everything is as in the one where no host vanished.
func (w *worlds) heard(t *rapid.T) {
	out := false
	for i := len(w.gone) - 1; i >= 0; i-- { // of one broker name, the last first
		g := &w.gone[i]
		done, _ := w.with.restore(&g.Restoration, w.now)
		switch {
		case done == PutBack && g.voided:
			t.Fatalf("%v is put back, though it was touched", g.Key)
		case done == NotYet:
			t.Fatalf("%v waits for nobody", g.Key)
		case done == PutBack:
			w.restored++
			continue
		case !g.voided && !g.unsure:
			w.inVain++
		default:
			w.stayedOut++
		}
		out = true
	}
	w.gone = nil
	if err := checkInvariants(w.with); err != nil {
		t.Fatal(err)
	}
	if out || w.apart { // the worlds have parted
		w.begin()
		return
	}
	equal(t, "what is listed", listed(w.with), listed(w.without))
}

// listed is all that anybody can ask of the tables, and what the next steps go by.
func listed(s *state) (all []string) {
	say := func(what string, v any) { all = append(all, fmt.Sprintf("%s: %+v", what, v)) }
	say("106", s.clusterInfo())
	for _, name := range slices.Sorted(slices.Values(s.allTopics())) {
		r := s.route(s.lookup([]byte(name)))
		slices.SortFunc(r.Filters, func(a, b FilterServers) int { return compareStrings(a.Addr, b.Addr) })
		say("105 "+name, *r)
	}
	for _, r := range s.registrations() {
		owner := r.Owner.ID
		r.Owner = nil
		say("registration", r)
		e := s.lives[tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}]
		say("its own", []any{owner, e.ha, e.inherited, e.short, e.print, e.complete, e.broker.erased - e.erasedAt, e.filters, s.holders(e.key)})
	}
	say("serving", s.serving())
	say("bytes", s.size)
	for _, b := range s.byName {
		for e := range b.lives {
			if e.hidden {
				say("hidden", e.key)
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestRestored(t *testing.T) {
	restored, stayedOut, inVain := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := &worlds{now: clock.Stamp{Raw: 1e9, Boot: 1e9}}
		w.begin()
		for range 5 {
			w.accept()
		}
		for i := range rapid.IntRange(2, 5).Draw(t, "bodies") {
			w.bodies = append(w.bodies, drawBody(t, uint64(i)))
		}
		step := func(f func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				w.now = w.now.Add(time.Millisecond)
				f(t)
				if err := checkInvariants(w.with); err != nil {
					t.Fatal(err)
				}
			}
		}
		happens := []func(*rapid.T){w.register, w.register, w.unregister, w.connLost, w.expire, w.judge, w.admin, w.vanish}
		t.Repeat(map[string]func(*rapid.T){
			"register": step(w.register), "unregister": step(w.unregister), "connLost": step(w.connLost), "expire": step(w.expire), "judge": step(w.judge),
			"admin": step(w.admin), "": func(t *rapid.T) {
				for range 3 {
					step(w.register)(t)
				}
				step(w.vanish)(t)
				for range rapid.IntRange(0, 3).Draw(t, "meanwhile") {
					step(pick(t, happens, "happens"))(t)
				}
				step(w.heard)(t)
			},
		})
		restored, stayedOut, inVain = restored+w.restored, stayedOut+w.stayedOut, inVain+w.inVain
	})
	t.Logf("%d put back, %d were touched, %d were not kept", restored, stayedOut, inVain)
	if restored < 20 || stayedOut < 20 {
		t.Error("hardly anything was tested")
	}
}

// TestRestoreRacesWithRegister: a host is heard again, and its broker registers or unregisters at that moment. Whatever comes first, what it said last
// stands.
func TestRestoreRacesWithRegister(t *testing.T) {
	rounds := 100_000
	if testing.Short() {
		rounds = 5_000
	}
	table := newTable(1 << 16)
	table.st.asideBudget = DefaultAsideBytes
	var now atomic.Int64
	now.Store(int64(time.Hour))
	read := func() clock.Stamp { v := now.Add(1); return clock.Stamp{Raw: v, Boot: v} }
	table.cfg.Clock = read
	var done [PutBack + 1]int
	for i := range rounds {
		r := incarnation(uint64(i+1), read())
		table.Register(r)
		now.Add(10)
		key := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
		who := tombstone.Identity{Name: r.Name, BrokerID: r.ID, RemoteIP: r.Conn.Source.Addr}
		if taken, _ := table.Vanish(&Vanished{Key: key, Identity: who, Owner: r.Conn.ID, Still: func() bool { return true }}); taken != TakenOut {
			t.Fatalf("round %d: %v", i, taken)
		}
		leaves := i%2 == 0
		var wg sync.WaitGroup
		start := make(chan struct{})
		wg.Go(func() {
			<-start
			if leaves {
				table.Unregister(&Unregistration{Cluster: r.Cluster, Addr: r.Addr, Name: r.Name, ID: r.ID, Conn: r.Conn, At: read()})
			} else {
				table.Register(r)
			}
		})
		wg.Go(func() {
			<-start
			got, _ := table.Restore(&Restoration{Key: key, Identity: who, Owner: r.Conn.ID, Alive: func() bool { return true }})
			done[got]++
		})
		close(start)
		wg.Wait()
		if listed := table.Holds(key); listed == leaves {
			t.Fatalf("round %d: left %v, listed %v", i, leaves, listed)
		}
		table.ConnLost(r.Conn.ID)
	}
	kit.Must(t, table.Check())
	if done[NothingAside] == 0 || done[PutBack] == 0 {
		t.Fatalf("nothing raced: %v", done)
	}
}

// TestAsidesAreBounded: 64 registrations at most, the oldest gives way; so many bytes; and where the tables may not grow, room is made of them.
func TestAsidesAreBounded(t *testing.T) {
	vanish := func(table *Table, r *Registration) (key tombstone.Key, back func() Restored) {
		table.Register(r)
		key = tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
		who := tombstone.Identity{Name: r.Name, BrokerID: r.ID, RemoteIP: r.Conn.Source.Addr}
		if taken, _ := table.Vanish(&Vanished{Key: key, Identity: who, Owner: r.Conn.ID, Still: func() bool { return true }}); taken != TakenOut {
			t.Fatal(taken)
		}
		return key, func() Restored {
			done, _ := table.Restore(&Restoration{Key: key, Identity: who, Owner: r.Conn.ID, Alive: func() bool { return true }})
			return done
		}
	}
	table := newTable(0)
	table.st.asideBudget = DefaultAsideBytes
	var keys []tombstone.Key
	var back []func() Restored
	for i := range maxAsides + 1 {
		key, f := vanish(table, fleet(i, 10*i, 10, 1))
		keys, back = append(keys, key), append(back, f)
	}
	kit.Must(t, table.Check())
	if table.SetAside(keys[0]) || back[0]() != NothingAside {
		t.Error("more are kept than may be")
	}
	if back[1]() != PutBack || back[maxAsides]() != PutBack {
		t.Error("fewer are kept than may be")
	}

	table = newTable(0)
	table.st.asideBudget = 10_000
	key, _ := vanish(table, fleet(0, 0, 10, 1))
	large, f := vanish(table, fleet(1, 10, 100, 1))
	if table.SetAside(large) || f() != NothingAside || !table.SetAside(key) {
		t.Error("one that is too large takes the place of others, or is kept")
	}
	other, _ := vanish(table, fleet(2, 200, 20, 1))
	if table.SetAside(key) || !table.SetAside(other) {
		t.Error("the oldest does not give way to the newest")
	}
	kit.Must(t, table.Check())

	table = newTable(0)
	table.st.asideBudget = DefaultAsideBytes
	key, _ = vanish(table, fleet(0, 0, 10, 1))
	next := fleet(1, 10, 10, 1)
	next.Limit = 7_000
	if res, _ := table.Register(next); res.NoRoom || table.SetAside(key) || table.Size() > next.Limit {
		t.Errorf("no room is made: %+v, %d bytes", res, table.Size())
	}
	table = newTable(0)
	if key, f = vanish(table, fleet(0, 0, 10, 1)); table.SetAside(key) || f() != NothingAside {
		t.Error("something is kept without a budget")
	}
	kit.Must(t, table.Check())
}

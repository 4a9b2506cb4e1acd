package routes

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// TestEvictionRacesWithRegister is scenario 26 of the tombstone protocol: evictions, unregisters of a predecessor and lost
// connections race with registrations. Each round a new incarnation registers on its own connection, while
// others try to remove its predecessor with everything that was true of it. Whatever the order, the new one stays.
func TestEvictionRacesWithRegister(t *testing.T) {
	rounds := 1_000_000 // of an eviction that races a REGISTER, beside two other kinds of removal; some minutes under the race detector
	if testing.Short() {
		rounds = 5_000
	} else if v := os.Getenv("ROUNDS"); v != "" {
		n, err := strconv.Atoi(v)
		kit.Must(t, err)
		rounds = n
	}
	table := newTable(1 << 16)
	var now atomic.Int64
	now.Store(int64(time.Hour))
	read := func() clock.Stamp { v := now.Add(1); return clock.Stamp{Raw: v, Boot: v} }
	table.cfg.Clock = read
	key := tombstone.Key{Cluster: "C", Addr: "10.0.0.0:10911"}
	previous := incarnation(1, read())
	table.Register(previous)
	var evicted atomic.Int64
	for i := range rounds {
		old := previous
		id := tombstone.Identity{Name: old.Name, BrokerID: old.ID, RemoteIP: old.Conn.Source.Addr}
		asked := read()                          // the old process has left before this moment
		next := incarnation(uint64(i+2), read()) // its successor's first byte comes after it
		lo := tombstone.Bounds{Asked: asked, HasLife: true, Life: 1, Unregistered: 1}
		var wg sync.WaitGroup
		start := make(chan struct{})
		race := func(f func()) {
			wg.Go(func() {
				<-start
				f()
			})
		}
		race(func() { table.Register(next) })
		race(func() {
			if v, _ := table.Judge(key, id, lo); v.Outcome == tombstone.Evicted {
				evicted.Add(1)
			}
		})
		race(func() {
			table.Unregister(&Unregistration{Cluster: "C", Addr: key.Addr, Name: old.Name, Conn: old.Conn, At: asked})
		})
		race(func() { table.ConnLost(old.Conn.ID) })
		race(func() { table.Route([]byte("tenant-prod-orders-000000"), false) })
		close(start)
		wg.Wait()
		records := table.Registrations()
		if len(records) != 1 || records[0].Owner.ID != next.Conn.ID {
			t.Fatalf("round %d: the successor is gone: %+v", i, records)
		}
		if _, ok := table.Route([]byte("tenant-prod-orders-000000"), false); !ok {
			t.Fatalf("round %d: the successor's topics are gone", i)
		}
		previous = next
	}
	kit.Must(t, table.Check())
	if evicted.Load() == 0 {
		t.Fatal("no eviction ever came first: nothing raced")
	}
	t.Logf("%d of %d predecessors were evicted before their successor registered", evicted.Load(), rounds)
}

func incarnation(conn uint64, firstByte clock.Stamp) *Registration {
	r := fleet(0, 0, 2, 1)
	c := *r.Conn
	c.ID, c.FirstByte = conn, firstByte
	r.Conn = &c
	return r
}

// TestStampIsReadUnderTheLock: a registration that waits for the lock is as young as the moment it was applied, so that
// no tombstone from the time of its waiting can reach it (docs/spec/tombstones.md#the-rule).
func TestStampIsReadUnderTheLock(t *testing.T) {
	table := newTable(0)
	waited := false
	table.cfg.Clock = func() clock.Stamp {
		if table.mu.TryRLock() {
			table.mu.RUnlock()
			t.Fatal("the clock was read without the lock")
		}
		waited = true
		return clock.Stamp{Raw: 1, Boot: 1}
	}
	table.Register(fleet(0, 0, 2, 1))
	table.Judge(tombstone.Key{Cluster: "C", Addr: "10.0.0.0:10911"}, tombstone.Identity{}, tombstone.Bounds{})
	if !waited {
		t.Fatal("the clock was not read")
	}
}

// TestVanishRacesWithRegister (V-14 of docs/spec/deadhosts.md): a silent host is judged while it registers again, on the same connection or a new
// one. Whichever comes first under the lock, it is registered afterwards: a REGISTER that came first is younger than the silence.
func TestVanishRacesWithRegister(t *testing.T) {
	rounds := 200_000
	if testing.Short() {
		rounds = 5_000
	}
	const silence = 1000
	table := newTable(1 << 16)
	var now atomic.Int64
	now.Store(int64(time.Hour))
	read := func() clock.Stamp { v := now.Add(1); return clock.Stamp{Raw: v, Boot: v} }
	table.cfg.Clock = read
	last := incarnation(1, read())
	table.Register(last)
	var taken [TakenOut + 1]int
	for i := range rounds {
		now.Add(2 * silence)
		v := &Vanished{
			Key:      tombstone.Key{Cluster: last.Cluster, Addr: last.Addr},
			Identity: tombstone.Identity{Name: last.Name, BrokerID: last.ID, RemoteIP: last.Conn.Source.Addr},
			Owner:    last.Conn.ID, Silence: silence, Still: func() bool { return true },
		}
		next := last
		if i%2 == 0 {
			next = incarnation(uint64(i+2), read())
		}
		var wg sync.WaitGroup
		start := make(chan struct{})
		wg.Go(func() {
			<-start
			table.Register(next)
		})
		wg.Go(func() {
			<-start
			got, _ := table.Vanish(v)
			taken[got]++
		})
		close(start)
		wg.Wait()
		if records := table.Registrations(); len(records) != 1 || records[0].Owner.ID != next.Conn.ID {
			t.Fatalf("round %d: the broker that registered again is gone: %+v", i, records)
		}
		last = next
	}
	kit.Must(t, table.Check())
	if taken[NotTaken] == 0 || taken[TakenOut] == 0 {
		t.Fatalf("nothing raced: %v", taken)
	}
}

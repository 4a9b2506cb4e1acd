package routes

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// plain is an Encoder whose bytes tell everything a route has.
func plain(dst []byte, r *Route, standard bool) []byte {
	dst = fmt.Appendf(dst, "%v %v", standard, r.Order)
	for _, q := range r.Queues {
		dst = fmt.Appendf(dst, " %+v", q)
	}
	for _, b := range r.Brokers {
		dst = fmt.Appendf(dst, " %+v", b)
	}
	return fmt.Appendf(dst, " %v %v", r.Filters, r.Mappings)
}

// ticking is a clock that counts its readings.
func ticking() func() clock.Stamp {
	var n atomic.Int64
	return func() clock.Stamp { v := n.Add(1) + 1e9; return clock.Stamp{Raw: v, Boot: v} }
}

func newTable(cacheBytes int64) *Table {
	return New(Config{Clock: ticking(), Encode: plain, CacheBytes: cacheBytes, TombstoneTTL: 10 * time.Minute})
}

// fleet makes the registration of broker number i, as a master, with topics [from, from+n).
func fleet(i, from, n int, version int64) *Registration {
	r := &Registration{
		Cluster: "C", Name: fmt.Sprintf("broker-%03d", i), Addr: fmt.Sprintf("10.0.%d.%d:10911", i/250, i%250), Acting: True,
		Conn: &Conn{ID: uint64(i + 1), FirstByte: clock.Stamp{Raw: 1, Boot: 1}, CanProve: true,
			Source: mq.Source{Addr: netip.MustParseAddr("10.9.9.9")}},
		HasTopics: true, DataVersion: DataVersion{Counter: version}, Version: 500,
		Print: Fingerprint{Length: 1, Hash: uint64(version)<<32 + uint64(i), Valid: true},
	}
	for k := range n {
		r.Topics = append(r.Topics, Topic{
			Name:  fmt.Appendf(nil, "tenant-prod-orders-%06d", from+k),
			Queue: Queue{Read: 8, Write: 8, Perm: 6},
		})
	}
	return r
}

func TestCachedRouteTakesNoAllocation(t *testing.T) {
	table := newTable(1 << 20)
	table.Register(fleet(0, 0, 10, 1))
	topic := []byte("tenant-prod-orders-000003")
	first, ok := table.Route(topic, false)
	if !ok {
		t.Fatal("no route")
	}
	if n := testing.AllocsPerRun(1000, func() {
		body, _ := table.Route(topic, false)
		if &body[0] != &first[0] {
			t.Fatal("the route was made again")
		}
	}); n != 0 {
		t.Fatalf("%v allocations for a cached route", n)
	}
	if n := testing.AllocsPerRun(1000, func() { table.Route([]byte("tenant-prod-orders-none"), false) }); n != 0 {
		t.Fatalf("%v allocations for an unknown topic", n)
	}
}

// TestCachedRouteFollowsEveryChange asks for a route after each kind of change and compares with one freshly made.
func TestCachedRouteFollowsEveryChange(t *testing.T) {
	order := "o:1"
	table := New(Config{
		Clock: ticking(), Encode: plain, CacheBytes: 1 << 20, TombstoneTTL: time.Minute,
		OrderConf: func(string) (string, bool) { return order, true },
	})
	topic := []byte("tenant-prod-orders-000000")
	slave := fleet(0, 0, 3, 1)
	slave.ID, slave.Addr, slave.Conn = 1, "10.0.9.9:10911", &Conn{ID: 900}
	zoned := fleet(0, 0, 3, 1)
	zoned.Zone = mq.Some("z")
	filtered := fleet(0, 0, 3, 2)
	filtered.Filters = Filters{Valid: true, Servers: []string{"f"}}
	elsewhere := fleet(0, 0, 3, 2)
	elsewhere.Cluster, elsewhere.Conn = "C2", &Conn{ID: 901}
	mapped := fleet(1, 0, 3, 1)
	mapped.Mappings = []Mapping{{Topic: string(topic), Broker: "m", Info: 1}}
	remapped := fleet(1, 0, 3, 2)
	remapped.Mappings = []Mapping{{Topic: string(topic), Broker: "m", Info: 2}}
	foreign := fleet(2, 5, 2, 1)
	foreign.Mappings = []Mapping{{Topic: string(topic), Broker: "f", Info: 3}}
	steps := []struct {
		name string
		do   func()
	}{
		{"register", func() { table.Register(fleet(0, 0, 3, 1)) }},
		{"second broker, mappings", func() { table.Register(mapped) }},
		{"mapping only", func() { table.Register(remapped) }},
		{"mapping of a broker without the topic", func() { table.Register(foreign) }},
		{"that broker lost", func() { table.ConnLost(3) }},
		{"slave", func() { table.Register(slave) }},
		{"zone", func() { table.Register(zoned) }},
		{"zone, unparsed", func() {
			if _, _, ok := table.RegisterUnchanged(fleet(0, 0, 0, 1)); !ok {
				t.Fatal("not taken as unchanged")
			}
		}},
		{"filter servers", func() { table.Register(filtered) }},
		{"superseded registration with filter servers lost", func() {
			table.Register(elsewhere)
			table.ConnLost(1)
		}},
		{"217", func() {
			table.RegisterTopics(string(topic), []TopicQueue{{Broker: mq.Some("broker-001"), Queue: Queue{Perm: 1}}}, 0)
		}},
		{"wipe", func() { table.WipeWritePerm("broker-001") }},
		{"order", func() { order = "o:2"; table.InvalidateAll() }},
		{"master lost", func() { table.ConnLost(901) }},
		{"acting master", func() { table.SetOptions(Options{SupportActingMaster: true}) }},
		{"216", func() { table.DeleteTopic(string(topic), "C") }},
	}
	last := []byte{}
	for _, step := range steps {
		step.do()
		for _, standard := range []bool{false, true} {
			body, ok := table.Route(topic, standard)
			again, _ := table.Route(topic, standard)
			if !bytes.Equal(body, again) {
				t.Fatalf("%s: two answers", step.name)
			}
			r, found := table.RouteInfo(topic)
			if ok != found || found && !bytes.Equal(body, plain(nil, r, standard)) {
				t.Fatalf("%s: %s", step.name, body)
			}
			if ok && bytes.Equal(body, last) {
				t.Fatalf("%s: changed nothing: the step does not test anything", step.name)
			}
			last = body
		}
		kit.Must(t, table.Check())
	}
}

// TestRouteNeverChangesUnderItsReader: a route is read without the lock, so nothing in it may be written again.
func TestRouteNeverChangesUnderItsReader(t *testing.T) {
	table := newTable(0)
	topic := []byte("tenant-prod-orders-000000")
	var held []*Route
	var was []string
	for i := range 8 {
		r := fleet(i%2, 0, 2, int64(i+1))
		r.ID, r.Addr = int64(i/4), fmt.Sprintf("a%d", i)
		r.Mappings = []Mapping{{Topic: string(topic), Broker: fmt.Sprintf("m%d", 9-i), Info: i}}
		r.Filters = Filters{Valid: true, Servers: []string{fmt.Sprint("f", i)}}
		table.Register(r)
		r.Filters.Servers[0] = "changed by the caller"
		table.WipeWritePerm("broker-000")
		now, _ := table.RouteInfo(topic)
		held, was = append(held, now), append(was, string(plain(nil, now, false)))
	}
	table.ConnLost(1)
	for i, r := range held {
		if got := string(plain(nil, r, false)); got != was[i] {
			t.Errorf("route %d was\n%s\nand is\n%s", i, was[i], got)
		}
	}
}

// TestStaleBytesAreNeverKept changes the tables while a route is being encoded: what was made may be answered, for it was
// true when it was asked for, but whoever asks afterwards must see the change.
func TestStaleBytesAreNeverKept(t *testing.T) {
	topic := []byte("tenant-prod-orders-000000")
	changes := map[string]func(*Table){
		"register":   func(table *Table) { table.Register(versioned(0, 2, 2)) },
		"broker":     func(table *Table) { table.Register(fleet(1, 0, 2, 1)) },
		"wipe":       func(table *Table) { table.WipeWritePerm("broker-000") },
		"gone, back": func(table *Table) { table.ConnLost(1); table.Register(versioned(0, 2, 3)) },
		"order":      func(table *Table) { table.InvalidateAll() },
		"gone":       func(table *Table) { table.DeleteTopic(string(topic), "") },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			order, once := "o:1", true
			var table *Table
			table = New(Config{
				Clock: ticking(), CacheBytes: 1 << 20, TombstoneTTL: time.Minute,
				OrderConf: func(string) (string, bool) { return order, true },
				Encode: func(dst []byte, r *Route, standard bool) []byte {
					if once {
						once = false
						order = "o:2"
						change(table)
					}
					return plain(dst, r, standard)
				},
			})
			table.Register(fleet(0, 0, 2, 1))
			before, _ := table.Route(topic, false)
			after, ok := table.Route(topic, false)
			r, found := table.RouteInfo(topic)
			if ok != found || ok && !bytes.Equal(after, plain(nil, r, false)) {
				t.Fatalf("kept: %s", after)
			}
			if bytes.Equal(before, after) {
				t.Fatal("the change changed nothing")
			}
			kit.Must(t, table.Check())
		})
	}
}

// The order configuration may change in the very moment in which a route is made from it: after it was read for the route, and
// before the route is kept. Whoever asks afterwards sees the new one.
func TestOrderThatChangesWhileItIsRead(t *testing.T) {
	order, once := "o:1", true
	var table *Table
	table = New(Config{
		Clock: ticking(), CacheBytes: 1 << 20, TombstoneTTL: time.Minute, Encode: plain,
		OrderConf: func(string) (string, bool) {
			read := order
			if once {
				once, order = false, "o:2"
				table.InvalidateAll()
			}
			return read, true
		},
	})
	table.Register(fleet(0, 0, 2, 1))
	topic := []byte("tenant-prod-orders-000000")
	for i, want := range []string{"o:1", "o:2", "o:2"} {
		if body, _ := table.Route(topic, false); !bytes.Contains(body, []byte(want)) {
			t.Errorf("question %d: %s, want %s", i+1, body, want)
		}
	}
	kit.Must(t, table.Check())
}

func TestCacheKeepsItsBudget(t *testing.T) {
	const budget = 20_000
	table := newTable(budget)
	table.Register(fleet(0, 0, 1000, 1))
	for round := range 3 {
		for i := range 1000 {
			if _, ok := table.Route(fmt.Appendf(nil, "tenant-prod-orders-%06d", i), round == 1); !ok {
				t.Fatal("no route")
			}
		}
		st := table.Stats()
		if st.CachedBytes > budget || st.CachedRoutes < 10 {
			t.Fatalf("%d routes of %d bytes", st.CachedRoutes, st.CachedBytes)
		}
		kit.Must(t, table.Check())
	}
	// A route that is read all the time stays, whatever else is read once.
	hot := []byte("tenant-prod-orders-000500")
	body, _ := table.Route(hot, false)
	made := 0
	for i := range 1000 {
		table.Route(fmt.Appendf(nil, "tenant-prod-orders-%06d", i), false)
		if again, _ := table.Route(hot, false); &again[0] != &body[0] {
			made++
			body = again
		}
	}
	if made > 1 {
		t.Fatalf("a hot route was evicted %d times", made)
	}
}

// A route for which there is no room is answered and not kept, and takes nothing from the budget.
func TestNoRoomTakesNothing(t *testing.T) {
	table := newTable(1 << 20)
	table.Register(fleet(0, 0, 300, 1))
	read := func(i int) {
		if _, ok := table.Route(fmt.Appendf(nil, "tenant-prod-orders-%06d", i), false); !ok {
			t.Fatal("no route")
		}
	}
	for i := range 400 {
		read(i % 200) // each twice: they are in use
	}
	full := table.Stats()
	table.st.cache.budget = full.CachedBytes
	read(250)
	if now := table.Stats(); now.CachedBytes != full.CachedBytes || now.CachedRoutes != full.CachedRoutes {
		t.Errorf("%d routes of %d bytes, want %d of %d as before", now.CachedRoutes, now.CachedBytes, full.CachedRoutes, full.CachedBytes)
	}
	kit.Must(t, table.Check())
}

// TestRoutesUnderChurn has readers compare what they get with what may be true, while writers change everything: each
// broker's topics carry the version of its last registration in the queue numbers, which only grow.
func TestRoutesUnderChurn(t *testing.T) {
	const brokers, topics = 4, 50
	rounds := 1000
	if testing.Short() {
		rounds = 200
	}
	table := newTable(40_000) // too small for all: evictions too
	var floor [brokers]atomic.Int64
	for b := range brokers {
		table.Register(versioned(b, topics, 1))
		floor[b].Store(1)
	}
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for b := range brokers {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(b)))
			for v := int64(2); v < int64(rounds); v++ {
				table.Register(versioned(b, topics, v))
				floor[b].Store(v) // whoever asks from now on must see it
				switch rnd.IntN(20) {
				case 0:
					table.InvalidateAll()
				case 1:
					table.SetOptions(Options{SupportActingMaster: v%2 == 0})
				case 2:
					table.Register(fleet(brokers+b, 0, topics, v)) // a broker that comes and goes
					table.ConnLost(uint64(brokers + b + 1))
				}
			}
		})
	}
	for i := range 4 {
		readers.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(i)))
			for !done.Load() {
				checkOneRoute(t, table, &floor, fmt.Appendf(nil, "tenant-prod-orders-%06d", rnd.IntN(topics)), rnd.IntN(2) == 0)
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	for i := range topics {
		topic := fmt.Appendf(nil, "tenant-prod-orders-%06d", i)
		for _, standard := range []bool{false, true} {
			body, _ := table.Route(topic, standard)
			r, _ := table.RouteInfo(topic)
			if want := plain(nil, r, standard); !bytes.Equal(body, want) {
				t.Fatalf("stale: %s\nwant %s", body, want)
			}
		}
	}
	kit.Must(t, table.Check())
}

func versioned(b, topics int, v int64) *Registration {
	r := fleet(b, 0, topics, v)
	for i := range r.Topics {
		r.Topics[i].Read = int32(v)
	}
	return r
}

func checkOneRoute(t *testing.T, table *Table, floor *[4]atomic.Int64, topic []byte, standard bool) {
	var least [4]int64
	for b := range least {
		least[b] = floor[b].Load()
	}
	body, ok := table.Route(topic, standard)
	if !ok {
		t.Errorf("no route of %s", topic)
		return
	}
	for b, v := range least {
		var got int64
		at := bytes.Index(body, fmt.Appendf(nil, "{Broker:broker-%03d Queue:{Read:", b))
		if at < 0 {
			t.Errorf("no broker %d in %s", b, body)
			return
		}
		if _, err := fmt.Sscanf(string(body[at:]), "{Broker:"+fmt.Sprintf("broker-%03d", b)+" Queue:{Read:%d", &got); err != nil || got < v {
			t.Errorf("broker %d: read version %d after %d was registered (%v)", b, got, v, err)
		}
	}
}

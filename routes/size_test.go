package routes

import (
	"fmt"
	"runtime"
	"testing"
)

// A fleet as in docs/performance.md: 100 brokers, each a master and a slave, and 100,000 topics on ten brokers each.
const (
	fleetBrokers = 100
	fleetTopics  = 100_000
	fleetWidth   = 10
)

// fill registers the fleet: topic k stands on the ten brokers of its group of ten.
func fill(table *Table) {
	groups := fleetBrokers / fleetWidth
	for b := range fleetBrokers {
		per := fleetTopics / groups
		master := fleet(b, b/fleetWidth*per, per, 1)
		table.Register(master)
		slave := fleet(b, 0, 0, 1)
		slave.ID, slave.Addr = 1, "s"+slave.Addr
		slave.Conn = &Conn{ID: uint64(1000 + b)}
		table.Register(slave)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSizeOfAFleet guards the memory goal: the tables alone, without cached routes.
func TestSizeOfAFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short; fills a million queue entries; make test has it")
	}
	before := heap()
	table := newTable(0)
	fill(table)
	used := heap() - before
	st := table.Stats()
	t.Logf("%d topics, %d queues, %d registrations: %.1f MB of live heap", st.Topics, st.Queues, st.Registrations, float64(used)/1e6)
	if st.Topics != fleetTopics || st.Queues != fleetTopics*fleetWidth || st.Registrations != 2*fleetBrokers {
		t.Fatalf("%+v", st)
	}
	const goal = 45_000_000
	if used > goal {
		t.Errorf("%d bytes of live heap, goal %d", used, goal)
	}
	if said := uint64(st.Bytes); said < used || said > 2*used {
		t.Errorf("%d bytes, said to be %d", used, said)
	}
	for i := range fleetTopics {
		if _, ok := table.Route(fmt.Appendf(nil, "tenant-prod-orders-%06d", i), false); !ok {
			t.Fatal("no route")
		}
	}
	runtime.KeepAlive(table)
}

func filled(b *testing.B) *Table {
	table := newTable(DefaultCacheBytes)
	fill(table)
	b.ResetTimer()
	return table
}

func BenchmarkRouteHit(b *testing.B) {
	table := filled(b)
	topic := []byte("tenant-prod-orders-000003")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			table.Route(topic, false)
		}
	})
}

// BenchmarkRouteMiss makes a route of ten brokers each time, with an Encoder that does nothing.
func BenchmarkRouteMiss(b *testing.B) {
	table := filled(b)
	table.cfg.Encode = func(dst []byte, _ *Route, _ bool) []byte { return append(dst, "1234567890"...) }
	topic := []byte("tenant-prod-orders-000003")
	b.ReportAllocs()
	for b.Loop() {
		table.InvalidateAll()
		table.Route(topic, false)
	}
}

// BenchmarkRegisterNewContent is a registration of 10,000 topics that all have changed.
func BenchmarkRegisterNewContent(b *testing.B) {
	table := filled(b)
	var regs [2]*Registration
	for i := range regs {
		regs[i] = fleet(0, 0, 10_000, int64(2+i))
		for k := range regs[i].Topics {
			regs[i].Topics[k].Read = int32(9 + i)
		}
	}
	i := 0
	for b.Loop() {
		i++
		regs[i%2].DataVersion.Counter = int64(i + 10)
		table.Register(regs[i%2])
	}
}

// BenchmarkRegisterSameContent is a registration of 10,000 topics under a new data version, none of which has changed.
func BenchmarkRegisterSameContent(b *testing.B) {
	table := filled(b)
	r := fleet(0, 0, 10_000, 2)
	for b.Loop() {
		r.DataVersion.Counter++
		table.Register(r)
	}
}

func BenchmarkRegisterUnchanged(b *testing.B) {
	table := filled(b)
	r := fleet(0, 0, 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := table.RegisterUnchanged(r); !ok {
			b.Fatal("not taken as unchanged")
		}
	}
}

// BenchmarkUnregisterAndReturn removes a broker of 10,000 topics among 100,000, and brings it back.
func BenchmarkUnregisterAndReturn(b *testing.B) {
	table := filled(b)
	master, slave := fleet(0, 0, 10_000, 1), fleet(0, 0, 0, 1)
	slave.ID, slave.Addr = 1, "s"+slave.Addr
	table.Unregister(&Unregistration{Cluster: "C", Addr: slave.Addr, Name: slave.Name, ID: 1, Conn: slave.Conn})
	u := &Unregistration{Cluster: "C", Addr: master.Addr, Name: master.Name, Conn: master.Conn}
	for b.Loop() {
		table.Unregister(u)
		b.StopTimer()
		table.Register(master)
		b.StartTimer()
	}
}

package routes

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestSizesAreNotTooSmall compares what the tables are said to take with the heap: no less, and no more than twice as much.
// TestSizeOfAFleet does so of many brokers with the same topics.
func TestSizesAreNotTooSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short; fills tables of many kinds; make test has it")
	}
	conn := func(i int) *Conn { return &Conn{ID: uint64(i + 1)} }
	for name, fill := range map[string]func(*Table){
		"topics of their own": func(table *Table) {
			for b := range 10 {
				r := fleet(b, b*3000, 3000, 1)
				table.Register(r)
			}
		},
		"brokers": func(table *Table) {
			for b := range 5_000 {
				r := fleet(b, 0, 0, 1)
				r.Conn = conn(b)
				table.Register(r)
			}
		},
		"clusters": func(table *Table) {
			for b := range 5_000 {
				r := fleet(b%10, 0, 0, 1)
				r.Conn, r.Cluster, r.Addr = conn(b), fmt.Sprint("cluster", b), fmt.Sprint("a", b)
				r.ID = int64(b)
				table.Register(r)
			}
		},
		"settings": func(table *Table) {
			r := fleet(0, 0, 30_000, 1)
			for i := range r.Topics {
				r.Topics[i].Read = int32(i)
			}
			table.Register(r)
		},
		"filters": func(table *Table) {
			for b := range 100 {
				r := fleet(b, 0, 0, 1)
				r.Filters.Valid = true
				for i := range 1000 {
					r.Filters.Servers = append(r.Filters.Servers, fmt.Sprint(strings.Repeat("f", 50), i))
				}
				table.Register(r)
			}
		},
		"mappings": func(table *Table) {
			for b := range 10 {
				r := fleet(b, 0, 2, 1)
				for i := range 5000 {
					r.Mappings = append(r.Mappings, Mapping{Topic: fmt.Sprint("topic", b, "-", i), Broker: r.Name})
				}
				table.Register(r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			table := newTable(0)
			fill(table)
			used, said := int64(heap()-before), table.Stats().Bytes
			t.Logf("%s: %.1f MB, said to be %.1f", name, float64(used)/1e6, float64(said)/1e6)
			if said < used || said > 2*used {
				t.Errorf("%d bytes, said to be %d", used, said)
			}
			runtime.KeepAlive(table)
		})
	}
}

package routes

import (
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
)

// A connection owns since its first REGISTER, however often it repeats it: of connections that must give room the youngest
// goes first, and every broker registers again and again.
func TestOwnedSince(t *testing.T) {
	now := clock.Stamp{Raw: 1, Boot: 1}
	table := New(Config{Clock: func() clock.Stamp { return now }})
	r := Registration{
		Cluster: "C", Name: "b", Addr: "x", Conn: &Conn{ID: 1}, HasTopics: true,
		Topics: []Topic{{Name: []byte("t0"), Queue: Queue{4, 4, 6, 0}}, {Name: []byte("t1"), Queue: Queue{8, 8, 6, 0}}},
	}
	first := now
	for range 3 {
		table.Register(&r)
		if since, owns := table.Owned(1); !owns || since != first {
			t.Errorf("owned since %v, %t, want %v", since, owns, first)
		}
		now.Raw, now.Boot = now.Raw+30e9, now.Boot+30e9
		r.DataVersion.Counter++
	}
	if _, owns := table.Owned(2); owns {
		t.Error("a connection owns that has registered nothing")
	}
}

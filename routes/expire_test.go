package routes

import (
	"net/netip"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// What is as old as its timeout lives, and a moment later it does not. An owner that was evicted is remembered as long as a
// tombstone lives, and then costs no memory.
func TestBoundsOfExpiry(t *testing.T) {
	start := clock.Stamp{Raw: int64(time.Hour), Boot: int64(time.Hour)}
	ttl := 10 * time.Minute
	s := newState(Options{}, ttl, 1<<20)
	register := func(now clock.Stamp) *Registration {
		r := &Registration{
			Cluster: "C", Name: "b", Addr: "a:1", Version: 500, Timeout: Opt64{N: 90_000, Valid: true},
			Conn: &Conn{ID: 1, FirstByte: now, CanProve: true, Source: mq.Source{Addr: netip.MustParseAddr("10.9.9.9")}},
		}
		s.register(r, comparison{}, now)
		return r
	}
	register(start)
	for _, test := range []struct {
		after time.Duration
		lives bool
	}{{90 * time.Second, true}, {90*time.Second + 1, false}} {
		s.expire(start.Add(test.after))
		if _, lives := s.holds(tombstone.Key{Cluster: "C", Addr: "a:1"}); lives != test.lives {
			t.Errorf("after %v: lives %v", test.after, lives)
		}
	}

	r := register(start)
	evicted := start.Add(10 * time.Second)
	v, _ := s.judge(tombstone.Key{Cluster: "C", Addr: "a:1"}, tombstone.Identity{Name: "b", RemoteIP: r.Conn.Source.Addr},
		tombstone.Bounds{Asked: evicted, HasLife: true, Life: time.Second, Unregistered: time.Second}, evicted)
	if v.Outcome != tombstone.Evicted {
		t.Fatal(v)
	}
	for _, test := range []struct {
		after time.Duration
		n     int
	}{{ttl, 1}, {ttl + 1, 0}} {
		s.expire(evicted.Add(test.after))
		if len(s.remembered) != test.n {
			t.Errorf("%v after the eviction %d owners are remembered", test.after, len(s.remembered))
		}
	}
	if err := checkInvariants(s); err != nil {
		t.Error(err)
	}
}

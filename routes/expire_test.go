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
		if lives := s.visible(tombstone.Key{Cluster: "C", Addr: "a:1"}) != nil; lives != test.lives {
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

// An heir is a claim whose last REGISTER is as old as the window, and not one that is a moment older; and it lasts as long.
func TestBoundsOfTheWindow(t *testing.T) {
	start := clock.Stamp{Raw: int64(time.Hour), Boot: int64(time.Hour)}
	key := tombstone.Key{Cluster: "C", Addr: "a:1"}
	for name, test := range map[string]struct {
		lost, end time.Duration // when the owner that shows is lost, and when the scan runs; after the heir's last REGISTER
		inherits  bool
		lives     bool // after the scan
	}{
		"within":           {window, window, true, true},
		"too old":          {window + 1, window + 1, false, false},
		"lasts the window": {time.Second, window, true, true},
		"and no longer":    {time.Second, window + 1, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(Options{}, 10*time.Minute, 1<<20)
			for i, ip := range []string{"10.9.9.9", "10.0.0.66"} {
				c := &Conn{ID: uint64(i + 1), FirstByte: start, CanProve: true, Source: mq.Source{Addr: netip.MustParseAddr(ip)}}
				s.register(&Registration{Cluster: "C", Name: "b", Addr: "a:1", Version: 500, Conn: c}, comparison{}, start.Add(time.Duration(i)))
			}
			s.connLost(2, start.Add(test.lost))
			if got := s.visible(key) != nil; got != test.inherits {
				t.Fatalf("inherits: %v", got)
			}
			eff := s.expire(start.Add(test.end))
			if got := s.visible(key) != nil; got != test.lives || len(eff.Close) > 0 {
				t.Errorf("lives: %v, closed: %v", got, eff.Close)
			}
		})
	}
}

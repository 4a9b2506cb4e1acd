package tombstone

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
)

func newClocks() clocks { return clocks{by: map[Peer]*samples{}} }

// A healthy member is never taken for frozen, however late probes and proofs are.
func TestHealthyMemberLosesNoTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, c := drawMachine(t, "A"), drawMachine(t, "C")
		a.sleeps, a.wakes = 0, 0 // an origin that slept is not believed, on purpose
		cs := newClocks()
		now := 0.0
		for range rapid.IntRange(1, 40).Draw(t, "probes") {
			read := now + rapid.Float64Range(0, 30).Draw(t, "gap")
			now = read + rapid.Float64Range(0, 3).Draw(t, "way back")
			cs.saw(peerA, a.stamp(read), c.stamp(now))
			asked := now + rapid.Float64Range(-5, 5).Draw(t, "asked")
			showed := max(0, asked) + rapid.Float64Range(0, 5).Draw(t, "way there")
			if cs.lostTime(peerA, a.stamp(showed), c.stamp(max(0, asked))) {
				t.Fatalf("lost time at %v", asked)
			}
		}
	})
}

// A freeze is noticed when a reading was exchanged within a minute before it, whatever drifts.
func TestFreezeIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		driftA := rapid.Float64Range(-0.0009, 0.0009).Draw(t, "drift A")
		driftC := rapid.Float64Range(-0.0009, 0.0009).Draw(t, "drift C")
		slew := rapid.Float64Range(-0.08, 0.08).Draw(t, "slew of A")
		frozen := rapid.Float64Range(1.5, 120).Draw(t, "frozen for")
		a := func(s float64) clock.Stamp {
			return clock.Stamp{Raw: int64((1e5 + s*(1+driftA)) * 1e9), Boot: int64((3e5 + s*(1+driftA)*(1+slew)) * 1e9)}
		}
		c := func(s float64) clock.Stamp {
			return clock.Stamp{Raw: int64((2e5 + s*(1+driftC)) * 1e9), Boot: int64((1e5 + s*(1+driftC)) * 1e9)}
		}
		cs := newClocks()
		now := 0.0
		for range rapid.IntRange(1, 20).Draw(t, "probes before") {
			now += rapid.Float64Range(0.5, 10).Draw(t, "gap")
			cs.saw(peerA, a(now), c(now+rapid.Float64Range(0, 0.5).Draw(t, "way back")))
		}
		asked := now + rapid.Float64Range(0, 60).Draw(t, "later") + frozen
		for range rapid.IntRange(0, 5).Draw(t, "probes after") {
			cs.saw(peerA, a(asked-frozen), c(asked))
		}
		if !cs.lostTime(peerA, a(asked+0.01-frozen), c(asked+0.001)) {
			t.Fatalf("a freeze of %v s went unnoticed", frozen)
		}
	})
}

// A tombstone that was made when its origin thawed is judged for a TTL, and its L is from before.
func TestLostTimeIsKnownToTheEnd(t *testing.T) {
	cs := newClocks()
	cs.saw(peerA, at(0), at(0))
	lost := func(asked time.Duration) bool { return cs.lostTime(peerA, at(asked-time.Minute), at(asked)) }
	if !lost(2*time.Minute) || !lost(2*TTL-time.Second) || lost(2*TTL+time.Second) {
		t.Error("want a minute lost to be noticed for two TTLs and no longer")
	}
	if cs.lostTime(Peer{Name: "A", Boot: 12}, at(0), at(time.Minute)) {
		t.Error("another boot of the same name has another clock")
	}
	cs.expire(at(clockMemory + time.Second))
	if len(cs.by) != 0 {
		t.Error("not forgotten")
	}
}

func TestClocksAreBounded(t *testing.T) {
	cs := newClocks()
	for i := range maxClocks + 10 {
		cs.saw(Peer{Name: "A", Boot: uint64(i)}, at(0), at(time.Duration(i)*time.Millisecond))
	}
	if len(cs.by) != maxClocks {
		t.Errorf("%d pairs, want %d", len(cs.by), maxClocks)
	}
	if cs.by[Peer{Name: "A", Boot: 0}] != nil || cs.by[Peer{Name: "A", Boot: maxClocks + 9}] == nil {
		t.Error("want the oldest to be dropped")
	}
	cs.saw(peerB, clock.Stamp{Raw: 1 << 62, Boot: 1}, at(0))
	if cs.by[peerB] != nil || !cs.lostTime(peerB, clock.Stamp{Raw: -1, Boot: 1}, at(0)) {
		t.Error("want an impossible reading to be refused")
	}
}

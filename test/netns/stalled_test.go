//go:build linux

package netns

import (
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What running nodes make of those facts, where a mistake would evict a live broker.
func TestStalledPaths(t *testing.T) {
	need(t, 0)
	w := newWorld(t, "A", "B", "C")
	a, c := w.nodes[0], w.nodes[2]
	watches := watchAll(t, w.servers()...)
	stays := func(t *testing.T, b *simBroker, outcome string) {
		t.Helper()
		d := c.decided(t, b.Name, outcome)
		if here, _, err := watches[2].state(b.key()); err != nil || !here {
			t.Errorf("C lost the successor %s: %s, %+v", b.key(), d.Why, err)
		}
		t.Logf("C: %s", d.Why)
	}

	t.Run("REGISTER and UNREGISTER stall on the way to A, the successor is at C (12, 31)", func(t *testing.T) {
		b := newSimBroker(w.host("sim1"), "stalled-frames", 20000)
		kit.Must(t, b.register(a.server))
		stall := a.host.drop(b.host)
		kit.Must(t, b.write(a.server, b.Registration()), b.write(a.server, b.Departure()))
		b.Close()
		pass(t, time.Second)
		kit.Must(t, b.register(c.server)) // another process, which begins after the first has ended
		watches[2].listed(t, kit.Patience, b.key())
		stall.heal()
		watches[0].gone(t, kit.Patience, b.key())
		stays(t, b, "kept_younger_connection")
	})
	t.Run("the same, and A never had an answer acknowledged", func(t *testing.T) {
		b := newSimBroker(w.host("sim2"), "stalled-first", 20000)
		_, err := b.Conn(a.addr)
		kit.Must(t, err)
		stall := a.host.drop(b.host)
		kit.Must(t, b.write(a.server, b.Registration()), b.write(a.server, b.Departure()))
		b.Close()
		kit.Must(t, b.register(c.server))
		watches[2].listed(t, kit.Patience, b.key())
		stall.heal()
		stays(t, b, "kept_no_proof_of_life")
	})
	t.Run("answers of A stall on the way to the broker: in flight is no proof", func(t *testing.T) {
		b := newSimBroker(w.host("sim3"), "stalled-answers", 20000)
		kit.Must(t, b.register(a.server))
		pass(t, 50*time.Millisecond)
		kit.Must(t, b.register(c.server)) // younger than the one answer that A knows to have arrived
		watches[2].listed(t, kit.Patience, b.key())
		stall := b.host.drop(a.host)
		kit.Must(t, b.write(a.server, b.Registration())) // answered, and the answer is lost
		pass(t, 100*time.Millisecond)
		kit.Must(t, b.write(a.server, b.Departure()))
		watches[0].gone(t, kit.Patience, b.key())
		stays(t, b, "kept_younger_connection")
		stall.heal()
	})
	t.Run("the same with a path that works: the second answer is proof", func(t *testing.T) {
		b := newSimBroker(w.host("sim4"), "working-answers", 20000)
		b.Version = kit.Version4 // no late proof
		kit.Must(t, b.register(a.server))
		pass(t, 50*time.Millisecond)
		kit.Must(t, b.register(c.server), b.vanish(c.server))
		watches[2].listed(t, kit.Patience, b.key())
		kit.Ages(t)
		kit.Must(t, b.register(a.server))
		kit.Ages(t)
		kit.Must(t, b.unregister(a.server))
		c.decided(t, b.Name, "evicted")
	})
}

//go:build linux

package netns

import (
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// A partition of 60 s, in the short form 25 s, around an UNREGISTER: C is cut from its members and from the broker, so the others take it for
// dead and it takes them for dead. Healed, it is gone as soon as one has rejoined the other and asked.
func TestPartition(t *testing.T) {
	need(t, weightBroker)
	lasts := 25 * time.Second
	if long() {
		lasts = time.Minute
	}
	scenario := "d. partition of " + inWords(lasts) + " around the UNREGISTER"
	w := newWorld(t, "A", "B", "C")
	a, c := w.nodes[0], w.nodes[2]
	watches := watchAll(t, w.servers()...)
	b := launch(t, w.host("broker"), release5, "partition", w.servers()...)
	b.MustBoot(t)
	for _, one := range watches {
		one.listed(t, kit.Patience, b.key)
	}
	// Ages are stretched by a thousandth, 60 ms in a minute: what registered less than that before the departure is rightly kept
	// then, and on a slow machine the broker may have reached a node only now.
	pass(t, 2*time.Second)
	rules := append(cut(w.nodes[0].host, c.host), cut(w.nodes[1].host, c.host)...)
	cut(b.host, c.host)
	began := time.Now()
	b.Term()
	goneAt(t, watches[:2], b.key)
	kit.Await(t, kit.Patience, "C alone", func() error { return c.sees(1) })
	kit.Await(t, kit.Patience, "A without C", func() error { return a.sees(2) })
	pass(t, lasts-time.Since(began))
	if here, _, err := watches[2].state(b.key); err != nil || !here {
		t.Fatalf("C lost the broker during the partition: %v", err)
	}
	healed := time.Now() // some of the rules may go long before the last on a busy machine
	heal(rules)
	left := watches[2].gone(t, 2*time.Minute, b.key)
	figures.took(scenario, "C: gone, after the heal (rejoin every 15 s)", left.Sub(healed))
	d := c.decided(t, b.Name, "evicted")
	age := time.Duration(d.AgeMS * float64(time.Millisecond))
	figures.add(scenario, "age of the departure at that eviction", inWords(age))
	// Of A and B each makes a tombstone of the UNREGISTER that it got, and on a busy machine that is seconds apart.
	if least := healed.Sub(w.nodes[slices.IndexFunc(w.nodes, func(n *epitaph) bool { return n.name == d.Origin })].own(t, b.Name).Left); age < least {
		t.Errorf("evicted by a departure of %s, which was at least %s ago", age, least)
	}
	w.awaitMembers(3)
}

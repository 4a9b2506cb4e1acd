//go:build linux

package netns

import (
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// S-28 and S-29: brokers that started seconds ago stop, and C saw them later than A and B did, so C's connections
// are younger than any answer that was acknowledged before. A Java 5.x broker unregisters while it still holds its port
// and its stores: the acknowledged answer to the UNREGISTER itself is proof, and C evicts. A 4.x broker does it at its
// end: C keeps, and says why.
func TestLateProof(t *testing.T) {
	need(t, 2*weightBroker)
	const scenario = "h. brokers that started seconds ago; C saw them last"
	w := newWorld(t, "A", "B", "C")
	c := w.nodes[2]
	watches := watchAll(t, w.servers()...)
	stop := func(version, name string) (b *broker, term time.Time) {
		h := w.host(name)
		stalled := c.host.drop(h)
		b = launch(t, h, version, name, w.servers()...)
		for _, one := range watches[:2] {
			one.listed(t, 3*time.Minute, b.key)
		}
		stalled.heal()
		watches[2].listed(t, kit.Patience, b.key)
		b.MustBoot(t)
		cut(h, c.host)
		term = time.Now()
		b.Term()
		return b, term
	}
	five, _ := stop(release5, "late-five")
	gone := goneAt(t, watches, five.key)
	figures.took(scenario, "5.5.0: gone at C, after the first of A and B", gone[2].Sub(earliest(gone[:2])))
	origin := firstOrigin(t, w.nodes[:2], five.Name)
	evictionShown(t, origin, c, five.Name)
	if d := c.decided(t, five.Name, "evicted"); d.Revision != 1 {
		t.Log("NOT PROVEN in this run: the machine was so slow that the broker registered again before it stopped, " +
			"and the late proof was not needed (TestPromises has it with a simulated broker)")
	}

	four, term := stop(release4, "late-four")
	goneAt(t, watches[:2], four.key)
	var d api.Decision
	kit.Await(t, kit.Patience, "C decides about "+four.Name, func() error {
		all, err := c.decisions(four.Name)
		if err == nil {
			d = all[len(all)-1] // the first: what comes after an eviction is held by nobody
		}
		return err
	})
	if d.LifeMargin == nil || (d.Outcome == "evicted") != (*d.LifeMargin > 0) || d.Revision != 0 {
		t.Fatalf("decided against the comparison, or with a late proof of a 4.x broker: %+v", d)
	}
	if d.Outcome == "evicted" {
		t.Log("NOT PROVEN in this run: the machine was so slow that the broker registered again before it stopped")
		return
	}
	if d.Outcome != "kept_younger_connection" {
		t.Errorf("decided %s", d.Outcome)
	}
	if here, _, err := watches[2].state(four.key); err != nil || !here {
		t.Errorf("C lost the 4.9.7 broker: %v", err)
	}
	t.Logf("epitaph tombstones at C:\n%s", c.command(t, "tombstones"))
	figures.add(scenario, "4.9.7: C keeps", d.Why+", by "+inWords(time.Duration(-*d.LifeMargin*float64(time.Millisecond))))
	if long() {
		left := watches[2].gone(t, 4*time.Minute, four.key)
		figures.took(scenario, "4.9.7: gone at C by RocketMQ's rule, after SIGTERM", left.Sub(term))
	}
}

//go:build linux

package netns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// UDP is blocked between the nodes while TCP works, as firewalls do: streams carry what packets do not, and the gauge
// says so.
func TestNoUDP(t *testing.T) {
	need(t, weightBroker)
	const scenario = "f. UDP blocked among the nodes"
	w := newWorld(t, "A", "B", "C")
	for _, to := range w.nodes {
		for _, from := range w.nodes {
			if to != from {
				to.host.drop(from.host, "-p", "udp")
			}
		}
	}
	a, c := w.nodes[0], w.nodes[2]
	watches := watchAll(t, w.servers()...)
	b := launch(t, w.host("broker"), release5, "noudp", w.servers()...)
	b.MustBoot(t)
	for _, one := range watches {
		one.listed(t, kit.Patience, b.key)
	}
	w.awaitMembers(3)
	cut(b.host, c.host)
	b.Term()
	gone := goneAt(t, watches, b.key)
	took := gone[2].Sub(earliest(gone[:2]))
	figures.took(scenario, "C: gone, after the first of A and B", took)
	if took > 5*time.Second { // under a second, where the machine has time; a push/pull every ten seconds would do without
		t.Errorf("gone at C %v later: no stream told it", took)
	}
	c.decided(t, b.Name, "evicted")
	origin := firstOrigin(t, w.nodes[:2], b.Name)
	kit.Await(t, kit.Patience, "the gauge says that members are reached by TCP only", func() error {
		if n := origin.metric(t, "epitaph_gossip_members_only_tcp"); n < 1 {
			return fmt.Errorf("epitaph_gossip_members_only_tcp is %v at %s", n, origin.name)
		}
		return nil
	})
	if out := origin.command(t, "members"); !strings.Contains(out, "tcp") {
		t.Errorf("epitaph members does not say tcp:\n%s", out)
	}
	if other := a.metric(t, "epitaph_gossip_members"); other != 3 {
		t.Errorf("membership did not last without UDP: A sees %v members", other)
	}
	// A further departure, while everybody is known to be reached by streams only.
	sim := newSimBroker(w.host("sim"), "noudp-sim", 20001)
	kit.Must(t, sim.registerAll(w.servers()))
	for _, one := range watches {
		one.listed(t, kit.Patience, sim.key())
	}
	kit.Ages(t)
	kit.Must(t, sim.vanish(c.server))
	kit.Must(t, sim.unregister(a.server))
	left := time.Now()
	figures.took(scenario, "a second departure: gone at C, after the UNREGISTER was answered", watches[2].gone(t, kit.Patience, sim.key()).Sub(left))
}

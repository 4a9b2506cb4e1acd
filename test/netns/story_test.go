//go:build linux

package netns

import (
	"errors"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// The story that the project began with: the path from the broker to C is cut before the broker's SIGTERM, so C hears
// neither the UNREGISTER nor the end of the connection. D is in the same place, but gossips with nobody.
func TestStory(t *testing.T) {
	need(t, weightBroker)
	const scenario = "a. path to C cut before SIGTERM"
	w := newWorld(t, "A", "B", "C")
	a, c, d := w.nodes[0], w.nodes[2], w.silent("D")
	watches := watchAll(t, append(w.servers(), d.server)...)
	b := launch(t, w.host("broker"), release5, "story", append(w.servers(), d.server)...)
	b.MustBoot(t)
	for _, one := range watches {
		one.listed(t, kit.Patience, b.key)
	}
	cut(b.host, c.host)
	cut(b.host, d.host)
	term := time.Now()
	b.Term()
	gone := goneAt(t, watches[:3], b.key)
	first := earliest(gone[:2])
	figures.took(scenario, "A or B: first without it, after SIGTERM", first.Sub(term))
	figures.took(scenario, "C: gone, after the first of A and B", gone[2].Sub(first))
	if here, _, err := watches[3].state(b.key); err != nil || !here {
		t.Errorf("D, which gossips with nobody and heard nothing, does not list the broker (%v): what made it go at C may not be gossip", err)
	}
	evictionShown(t, firstOrigin(t, w.nodes[:2], b.Name), c, b.Name)
	t.Logf("epitaph tombstones at A:\n%s", a.command(t, "tombstones"))
	t.Logf("epitaph tombstones at C:\n%s", c.command(t, "tombstones"))
	t.Logf("epitaph members at C:\n%s", c.command(t, "members"))
	if here, _, err := watches[3].state(b.key); err != nil || !here {
		t.Errorf("D lost the broker meanwhile: %v", err)
	}
	figures.add(scenario, "D, without gossip", "still lists it "+inWords(time.Since(term))+" after SIGTERM")
	if long() {
		left := watches[3].gone(t, 4*time.Minute, b.key)
		figures.took(scenario, "D, without gossip: gone, after SIGTERM", left.Sub(term))
	}
}

// servers are the nodes as brokers see them.
func (w *world) servers() []*server {
	all := make([]*server, len(w.nodes))
	for i, n := range w.nodes {
		all[i] = n.server
	}
	return all
}

func watchAll(t testing.TB, servers ...*server) []*watch {
	all := make([]*watch, len(servers))
	for i, s := range servers {
		all[i] = s.watch(t, lookEvery())
	}
	return all
}

func goneAt(t testing.TB, watches []*watch, key string) []time.Time {
	t.Helper()
	all := make([]time.Time, len(watches))
	for i, w := range watches {
		all[i] = w.gone(t, kit.Patience, key)
	}
	return all
}

func earliest(all []time.Time) time.Time {
	first := all[0]
	for _, at := range all[1:] {
		if at.Before(first) {
			first = at
		}
	}
	return first
}

// firstOrigin is the node whose tombstone of a broker the others judged by.
func firstOrigin(t testing.TB, nodes []*epitaph, broker string) *epitaph {
	t.Helper()
	var found *epitaph
	kit.Await(t, kit.Patience, "an origin of "+broker, func() error {
		var err error
		for _, n := range nodes {
			r, e := n.report(broker, "C")
			if e == nil && r.Outcome == "evicted" {
				found = n
				return nil
			}
			if err = e; e == nil {
				err = errors.New(n.name + " knows no eviction at C")
			}
		}
		return err
	})
	return found
}

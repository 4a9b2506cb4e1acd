//go:build linux

package netns

import (
	"fmt"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Real brokers are stopped and started again at once, again and again, while the nodes lose 30 % of each other's packets;
// every other time C hears nothing of the stop. After each start every node lists the broker, and goes on listing it
// until the next stop.
func TestRestarts(t *testing.T) {
	need(t, 2*weightBroker)
	const scenario = "c. restarts within a second, 30 % loss among the nodes"
	w := newWorld(t, "A", "B", "C")
	lossy(w)
	rounds := 2
	if long() {
		rounds = 30
	}
	watches := watchAll(t, w.servers()...)
	for _, version := range []string{release5, release4} {
		h := w.host("broker-" + version[:1])
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := restarts{watches: watches, c: w.nodes[2], b: launch(t, h, version, "restarts-"+version, w.servers()...)}
			r.b.started(t, r.watches)
			for i := range rounds {
				r.again(t, i%2 == 0)
			}
			for _, one := range watches {
				one.release(r.b.key)
			}
			figures.add(scenario, "broker "+version+": restarts; longest between exit and start",
				fmt.Sprintf("%d; %s", rounds, inWords(r.longest)))
			if deaf := (rounds + 1) / 2; len(r.lost) < deaf {
				figures.add(scenario, "broker "+version+": C did not hear it, and kept it until its successor came (no late proof for 4.x)",
					fmt.Sprintf("%d of %d", deaf-len(r.lost), deaf))
			}
			figures.spread(scenario, "broker "+version+": C did not hear it; gone there after the first of A and B", r.lost)
		})
	}
	t.Cleanup(func() { // after both
		allListed(t, watches)
		w.noneRefuted(t)
	})
}

type restarts struct {
	watches []*watch
	c       *epitaph
	b       *broker
	longest time.Duration // between exit and start
	lost    []time.Duration
}

// started waits until the broker says that it runs, which it does after its first registration, and all list it.
func (b *broker) started(t *testing.T, watches []*watch) {
	t.Helper()
	b.MustBoot(t)
	for _, one := range watches {
		one.listed(t, kit.Patience, b.key)
		one.expect(b.key)
	}
}

func (r *restarts) again(t *testing.T, deaf bool) {
	t.Helper()
	for _, one := range r.watches {
		one.release(r.b.key)
	}
	var rules []rule
	if deaf {
		rules = cut(r.b.host, r.c.host)
	}
	r.b.Term()
	// A Java 5.x broker that started seconds ago still has the late proof; of a 4.x one C may know nothing for sure.
	if deaf && r.b.options.Version == release5 {
		gone := goneAt(t, r.watches, r.b.key)
		r.lost = append(r.lost, max(gone[2].Sub(earliest(gone[:2])), 0))
	}
	if _, err := r.b.Wait(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	exit := time.Now()
	if deaf && r.b.options.Version == release4 {
		if here, since, err := r.watches[2].state(r.b.key); err == nil && !here {
			first := earliest(goneAt(t, r.watches[:2], r.b.key))
			r.lost = append(r.lost, max(since.Sub(first), 0))
		}
		exit = time.Now()
	}
	heal(rules)
	r.b.launch(t)
	r.longest = max(r.longest, time.Since(exit))
	r.b.started(t, r.watches)
}

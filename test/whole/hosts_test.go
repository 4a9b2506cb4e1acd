package whole

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	nodeconfig "github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/world"
)

// runHosts plays one schedule of dead hosts beside tombstones in a bubble of its own.
func runHosts(t *testing.T, s world.Schedule) (r result) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config{nodes: s.Nodes, seed: s.Seed, timeout: 10 * time.Minute, busy: 0.1, hosts: slices.Repeat([]nodeconfig.DeadHostMode{nodeconfig.DeadHostsOn}, s.Nodes)}
		for _, op := range s.Ops {
			if op.Verb == "dead-hosts" {
				cfg.hosts[op.Args[0]] = []nodeconfig.DeadHostMode{nodeconfig.DeadHostsOff, nodeconfig.DeadHostsObserve, nodeconfig.DeadHostsOn}[op.Args[1]]
			}
		}
		w := newWorld(t, cfg)
		defer w.close()
		w.sleep(30 * time.Second) // no node is young
		for _, op := range s.Ops {
			if w.apply(op); len(w.broken()) > 0 {
				break
			}
			w.check()
		}
		if len(w.broken()) == 0 {
			w.settle()
		}
		if len(w.broken()) == 0 {
			w.lastDeath()
		}
		w.mu.Lock()
		r = result{
			failures: w.Failures, tombstones: len(w.Marks), evicted: w.Evicted, vanished: w.vanished, farewells: w.farewells, deaths: w.deaths, putBack: w.putBack,
		}
		w.mu.Unlock()
		if len(r.failures) > 0 {
			r.report = w.report()
		}
	})
	return r
}

// TestNoScheduleOfDeadHostsBreaksAnInvariant plays schedules in which nodes judge dead hosts beside tombstones: a twentieth of what
// TestNoScheduleBreaksAnInvariant plays, or as many as HOST_SCHEDULES says.
func TestNoScheduleOfDeadHostsBreaksAnInvariant(t *testing.T) {
	few := max(world.ReadPlan(t, 20).Count/20, 4)
	p := world.Plan{First: world.Number(t, "SEED", 1), Count: int(world.Number(t, "HOST_SCHEDULES", uint64(few)))}
	vanished, farewells, deaths, putBack, tombstones := 0, 0, 0, 0, 0
	played := world.Play(p, func(seed uint64) result {
		return runHosts(t, world.GenerateHosts(seed).Fold(3))
	}, func(seed uint64, r result) bool {
		vanished += r.vanished
		farewells += r.farewells
		putBack += r.putBack
		deaths += r.deaths
		tombstones += r.tombstones
		if len(r.failures) == 0 {
			return t.Failed()
		}
		s := world.GenerateHosts(seed).Fold(3)
		t.Errorf("seed %d: %v\nschedule, %d nodes:\n%v\nwhat happened:\n%s", seed, r.failures, s.Nodes, s, r.report)
		return true
	})
	t.Logf("%v: %d evictions of hosts, %d tombstones after one, %d put back, %d deaths timed, %d tombstones", played, vanished, farewells, putBack, deaths, tombstones)
	if n := played.N; !t.Failed() && (n >= 5 && (vanished < n || deaths < n/2) || n >= 50 && (putBack < n/10 || farewells < n/20)) {
		t.Error("too few to show anything")
	}
}

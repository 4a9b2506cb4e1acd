package sim

import (
	"testing"

	"github.com/epitaph-mq/epitaph/test/world"
)

// TestNoScheduleOfDeadHostsBreaksAnInvariant plays schedules in which nodes judge dead hosts beside tombstones: a fortieth of what
// TestNoScheduleBreaksAnInvariant plays, or as many as HOST_SCHEDULES says.
func TestNoScheduleOfDeadHostsBreaksAnInvariant(t *testing.T) {
	few := max(world.ReadPlan(t, 2_000).Count/40, 120)
	if testing.Short() {
		few = 20
	}
	p := fixed(t, int(world.Number(t, "HOST_SCHEDULES", uint64(few))))
	var all Result
	played := world.Play(p, func(seed uint64) Result {
		return Run(world.GenerateHosts(seed), NoFlaw, world.NoResidual, nil)
	}, func(seed uint64, r Result) bool {
		all.add(r)
		if len(r.Failures) == 0 {
			return false
		}
		s := Shrink(world.GenerateHosts(seed), NoFlaw, world.NoResidual)
		Run(s, NoFlaw, world.NoResidual, t.Logf)
		t.Errorf("seed %d: %v\nshortest schedule, %d nodes:\n%v", seed, r.Failures[0], s.Nodes, s)
		t.Logf("once more: HOST_SCHEDULES=1 SEED=%d go test -count=1 -v -run TestNoScheduleOfDeadHosts ./test/sim", seed)
		return true
	})
	t.Logf("%v: %d evictions of hosts, %d of them refuted, %d put back, %d deaths timed, %d tombstones after an eviction, %d races with one; "+
		"%d tombstones, %d evictions by them", played, all.Vanished, all.HostsBack, all.PutBack, all.Deaths, all.Farewells, all.Races, all.Tombstones, all.Evicted)
	if n := played.N; !t.Failed() && n >= 100 && (all.Vanished < n || all.HostsBack < n/20 || all.PutBack < n/50 || all.Deaths < n || all.Farewells < n/50 || all.Races < n/100) {
		t.Error("too few to show anything")
	}
}

func (r *Result) add(o Result) {
	r.Tombstones += o.Tombstones
	r.Evicted += o.Evicted
	r.Refuted += o.Refuted
	r.Vanished += o.Vanished
	r.HostsBack += o.HostsBack
	r.PutBack += o.PutBack
	r.Farewells += o.Farewells
	r.Races += o.Races
	r.Deaths += o.Deaths
}

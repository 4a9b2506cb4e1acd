package compose

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// boxes are the brokers that the scenarios share: two that the nodes see by addresses of their own, two that share the bridge's.
type boxes struct {
	e          *engine
	v          *vigil
	a, b, p, q *box
	began      time.Time
}

// testBoxes: released brokers in containers, with what an engine does to them. Who leaves is mostly unheard by one node, and who lives is
// listed by all of them all the while.
func (e *engine) testBoxes(t *testing.T) {
	brokerStandIn(t, e)
	s := &boxes{e: e, v: watchNodes(t), began: time.Now()}
	s.a, s.b = e.startBox(t, "box-a", release5, ownNetwork), e.startBox(t, "box-b", release4, ownNetwork)
	s.p, s.q = e.startBox(t, "box-p", release5, elsewhere), e.startBox(t, "box-q", release5, elsewhere)
	s.v.arrived(t, s.a, s.b, s.p, s.q)
	s.lap(t, "four brokers are listed")
	s.sources(t)
	kit.Ages(t)
	s.swapped(t)
	for i, one := range services {
		kit.Await(t, patience, one+" says that hosts share a source", func() error { return isNow(series(i, "epitaph_shared_sources"), "1") })
	}
	s.lap(t, "all say that brokers share a source")
	s.killed(t)
	if os.Getenv(wanted) == "long" {
		s.a.start(t)
		s.q.start(t)
		s.v.arrived(t, s.a, s.b, s.p, s.q)
		s.lap(t, "four again")
		s.sharing(t)
		s.nodeFrozen(t)
		s.recreated(t)
		s.frozen(t)
		s.shortGrace(t)
	}
	s.v.noneMissed(t)
	for i, one := range services {
		if refuted := series(i, "epitaph_tombstone_refuted_total"); refuted != "0" {
			t.Errorf("%s: %s evictions refuted", one, refuted)
		}
	}
}

func (s *boxes) lap(t *testing.T, what string) {
	t.Helper()
	t.Logf("%5.1f s: %s", time.Since(s.began).Seconds(), what)
}

// sources: a container on the nodes' network comes by its own address, whoever comes by published ports by the bridge's.
func (s *boxes) sources(t *testing.T) {
	gateway := strings.TrimSpace(s.e.run(t, "docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", ownNetwork))
	for one, want := range map[*box]string{s.a: s.a.address(t), s.b: s.b.address(t), s.p: gateway, s.q: gateway} {
		for i := range services {
			if got, _ := one.source(t, i); got != want {
				t.Errorf("%s comes to %s from %s, want %s", one.name, services[i], got, want)
			}
		}
	}
}

// unheardOfMembers keeps the deaf node and the others from hearing each other.
func (s *boxes) unheardOfMembers(t *testing.T) (heal func()) {
	t.Helper()
	const address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
	return s.e.unheard(t, s.e.inspect(t, "ns1", address), s.e.inspect(t, "ns2", address))
}

// swapped: one broker leaves, and the deaf node is told by its members alone. Two more leave while it does not hear these, either. One is
// back at once with the address it had, the other one and the first are back each with the other's; then it learns who left.
func (s *boxes) swapped(t *testing.T) {
	old := map[*box]string{s.a: s.a.address(t), s.b: s.b.address(t)}
	heal := s.e.unheard(t, old[s.a], old[s.b])
	left := time.Now()
	s.v.leaves(s.a)
	var stopping sync.WaitGroup
	stopping.Go(func() { s.e.stopped(t, s.a) })
	s.goneByTombstone(t, s.a, left)

	members := s.unheardOfMembers(t)
	left = time.Now()
	s.v.leaves(s.b, s.p)
	stopping.Go(func() { s.e.stopped(t, s.b) })
	s.p.unheard(t)
	s.e.run(t, "docker", "restart", "-t", "60", s.p.name)
	stopping.Wait()
	heal()
	s.b.start(t)
	s.a.start(t)
	if s.a.address(t) != old[s.b] || s.b.address(t) != old[s.a] {
		t.Errorf("the engine did not swap the addresses %s and %s: %s, %s", old[s.a], old[s.b], s.a.key, s.b.key)
	}
	s.v.arrived(t, s.a, s.b, s.p)
	s.lap(t, "they are back")
	members()
	s.kept(t, s.b, left)
	s.kept(t, s.p, left)
	awaitMembers(t)
}

// goneByTombstone: it leaves everywhere, the deaf node by what the others tell.
func (s *boxes) goneByTombstone(t *testing.T, one *box, left time.Time) {
	t.Helper()
	gone := s.v.turned(t, one.key, false)
	if all := decided(t, one, left); !slices.ContainsFunc(all, evicted) {
		t.Errorf("%s decided %+v", services[deaf], all)
	}
	after := gone[deaf].Sub(slices.MinFunc(gone[:], time.Time.Compare))
	s.lap(t, fmt.Sprintf("%s is gone at %s %v after it was at the first", one.name, services[deaf], after.Round(time.Millisecond)))
}

// kept: the deaf node learns of a departure when its successor is there.
func (s *boxes) kept(t *testing.T, one *box, left time.Time) {
	t.Helper()
	all := decided(t, one, left)
	s.lap(t, fmt.Sprintf("%s decided on %s at %s: %s", services[deaf], one.name, all[0].Addr, all[0].Why))
	if slices.ContainsFunc(all, evicted) {
		t.Errorf("%s decided %+v", services[deaf], all)
	}
}

// killed: SIGKILL closes a broker's connections, and it is gone; one that is frozen meanwhile stays, for its connections do.
func (s *boxes) killed(t *testing.T) {
	s.e.run(t, "docker", "pause", s.b.name)
	for _, one := range []*box{s.a, s.q} {
		s.v.leaves(one)
		began := time.Now()
		s.e.run(t, "docker", "kill", one.name)
		gone := s.v.turned(t, one.key, false)
		took := slices.MaxFunc(gone[:], time.Time.Compare).Sub(began)
		s.lap(t, fmt.Sprintf("%s is gone everywhere %v after docker kill", one.name, took.Round(time.Millisecond)))
	}
	s.e.run(t, "docker", "unpause", s.b.name)
}

// sharing: of two that share a source one leaves, which the deaf node is told by its members, and is back. The engine's proxy, which did not hear its
// end, goes on holding its old connection, until the successor's kernel answers that it knows nothing of it.
func (s *boxes) sharing(t *testing.T) {
	kit.Ages(t)
	_, port := s.p.source(t, deaf)
	s.p.unheard(t)
	left := time.Now()
	s.v.leaves(s.p)
	s.e.stopped(t, s.p)
	s.goneByTombstone(t, s.p, left)
	s.p.start(t)
	s.v.arrived(t, s.p)
	kit.Await(t, 5*time.Minute, services[deaf]+" loses the old connection", func() error {
		number, err := strconv.ParseUint(port, 10, 16)
		kit.Must(t, err)
		for _, file := range []string{"tcp", "tcp6"} {
			table, err := os.ReadFile("/proc/" + s.e.inspect(t, services[deaf], "{{.State.Pid}}") + "/net/" + file)
			kit.Must(t, err)
			if strings.Contains(string(table), fmt.Sprintf(":%04X 01 ", number)) {
				return errors.New("it stands")
			}
		}
		return nil
	})
	s.lap(t, "its old connection is closed")
}

// nodeFrozen: a node stands still while two brokers leave and are back. What they said meanwhile waits in its kernel, so it reads their
// departures when their successors have long been listed by the others, and before it hears of these. The engine's proxy is between it and one of
// them, and acknowledges what a process that has ended cannot.
func (s *boxes) nodeFrozen(t *testing.T) {
	kit.Ages(t)
	heard := departures(deaf)
	s.e.compose(t, "pause", services[deaf])
	heal := s.e.lost(t, s.e.inspect(t, services[deaf], "{{.State.Pid}}"), []string{"INPUT", "-p", "tcp", "--syn", "--dport", "9876"})
	s.v.leaves(s.a, s.b, s.p, s.q) // b and q lose their patience with it, and their connections
	s.v.arrivedAt(t, others, s.b, s.q)
	var restarting sync.WaitGroup
	for _, one := range []*box{s.a, s.p} {
		restarting.Go(func() {
			s.e.run(t, "docker", "restart", "-t", "60", one.name)
			one.located(t)
		})
	}
	restarting.Wait()
	s.lap(t, "two were restarted while a node stood still")
	s.v.arrivedAt(t, others, s.a, s.p)
	s.e.compose(t, "unpause", services[deaf])
	thawed := time.Now()
	awaitMembers(t)
	kit.Await(t, patience, services[deaf]+" has read both departures", func() error {
		if now := departures(deaf); now < heard+2 {
			return fmt.Errorf("%v, and %v before", now, heard)
		}
		return nil
	})
	kit.Await(t, patience, "its members have judged what it made of them", func() error {
		var told api.Tombstones
		if err := kit.GetJSON(httpOf(deaf)+"/v1/tombstones", &told); err != nil {
			return err
		}
		for _, own := range told.Own {
			if own.Left.Before(thawed.Add(-time.Second)) {
				continue
			}
			for _, r := range own.Reports {
				if r.State != "reported" {
					return fmt.Errorf("%s on %s: %s", r.Member, own.Broker, r.State)
				}
				t.Logf("%s on %s: %s (%s)", r.Member, own.Broker, r.Outcome, r.Why)
			}
		}
		return nil
	})
	s.lap(t, "it has told what it made of them")
	heal()
	s.v.arrived(t, s.a, s.b, s.p, s.q)
	s.lap(t, "it lists four again")
}

// recreated: a container is removed, and another one of the same name and address is there when the deaf node learns of the departure.
func (s *boxes) recreated(t *testing.T) {
	kit.Ages(t)
	old := s.a.key
	heal, members := s.e.unheard(t, s.a.address(t)), s.unheardOfMembers(t)
	left := time.Now()
	s.v.leaves(s.a)
	s.e.stopped(t, s.a)
	s.e.run(t, "docker", "rm", "-v", s.a.name)
	heal()
	s.a = s.e.startBox(t, s.a.name, release5, ownNetwork)
	if s.a.key != old {
		t.Errorf("the engine gave it %s, and not what was free, %s", s.a.key, old)
	}
	s.v.arrived(t, s.a)
	members()
	s.kept(t, s.a, left)
	awaitMembers(t)
}

// frozen: a container that is paused for longer than the heartbeat timeout expires, as in RocketMQ, and comes back by itself.
func (s *boxes) frozen(t *testing.T) {
	s.v.leaves(s.b)
	began := time.Now()
	s.e.run(t, "docker", "pause", s.b.name)
	gone := s.v.turned(t, s.b.key, false)
	for i, at := range gone {
		if took := at.Sub(began); took < 85*time.Second || took > 140*time.Second { // 120 s after a REGISTER, which came up to 30 s before, and a scan
			t.Errorf("gone at %s %v after docker pause", services[i], took)
		}
	}
	s.lap(t, fmt.Sprintf("gone %v after docker pause", gone[deaf].Sub(began).Round(time.Second)))
	s.e.run(t, "docker", "unpause", s.b.name)
	s.v.arrived(t, s.b)
	s.lap(t, "back after docker unpause")
}

// shortGrace: docker stop waits for 10 s, which is less than a 5.5.0 takes; but it unregisters first.
func (s *boxes) shortGrace(t *testing.T) {
	kit.Ages(t)
	heal := s.e.unheard(t, s.a.address(t))
	defer heal()
	left := time.Now()
	s.v.leaves(s.a)
	s.e.run(t, "docker", "stop", s.a.name)
	s.goneByTombstone(t, s.a, left)
	t.Logf("exit code after docker stop: %s", s.a.fact(t, "{{.State.ExitCode}}"))
}

package whole

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/world"
)

// do takes steps as a scenario writes them.
func (w *World) do(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		op, err := world.ParseOp(line)
		kit.Must(t, err)
		w.apply(op)
	}
}

// depart has broker n register at A and at B and unregister at A only, and says whether B drops it within a second.
func (w *World) depart(t *testing.T, n string) bool {
	t.Helper()
	w.do(t, "start p"+n+" v5 host"+n+" b"+n, "register p"+n+" A b"+n, "register p"+n+" B b"+n, "wait 100ms",
		"stall host"+n+" B", "unregister p"+n+" A b"+n)
	held := func() bool {
		for _, r := range w.machine[1].current().node.Table().Registrations() {
			if r.Cluster == "b"+n {
				return true
			}
		}
		return false
	}
	return w.await(time.Second, func() bool { return !held() })
}

// Keys are rotated in three steps, node by node, while brokers leave all the time: no departure is missed, and no message
// is refused.
func TestKeysRotateWithoutLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 2, seed: 1})
		defer w.close()
		key := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(s, 32))) + "\n" }
		before, err := os.ReadFile(w.keys)
		kit.Must(t, err)
		// Both nodes read files of their own from here on.
		for _, m := range w.machine {
			m.keys = filepath.Join(w.dir, m.name()+".keys")
			kit.Must(t, os.WriteFile(m.keys, before, 0o600))
			m.stop(false)
			w.sleep(10 * time.Second)
			m.start()
		}
		w.await(time.Minute, w.allKnowAll)
		old, fresh, n := string(before), key("n"), 0
		leave := func() {
			n++
			if !w.depart(t, string(rune('0'+n/10))+string(rune('0'+n%10))) {
				t.Errorf("departure %d was missed", n)
			}
		}
		for _, content := range []string{old + fresh, fresh + old, fresh} {
			for i, m := range w.machine {
				kit.Must(t, os.WriteFile(m.keys, []byte(content), 0o600))
				kit.Must(t, os.Chtimes(m.keys, time.Time{}, time.Now().Add(time.Duration(n)*time.Hour)))
				leave() // the file is not read yet
				if i == 0 {
					if err := m.current().node.ReloadKeys(); err != nil { // as on SIGHUP
						t.Fatal(err)
					}
				}
				leave()
				w.sleep(3 * time.Second) // the other one looks every two seconds
				leave()
			}
		}
		for _, m := range w.machine {
			if c := m.current().node.Gossip().Counts(); c.RefusedKey > 0 || c.KeysRefused > 0 {
				t.Errorf("%s refused %d messages for their key, and %d files", m.name(), c.RefusedKey, c.KeysRefused)
			}
		}
		if broken := w.broken(); len(broken) > 0 {
			t.Error(broken)
		}
		// The old key is worth nothing any more.
		w.machine[1].stop(false)
		w.sleep(10 * time.Second)
		kit.Must(t, os.WriteFile(w.machine[1].keys, before, 0o600))
		w.machine[1].start()
		w.sleep(time.Minute)
		if members := w.machine[0].current().node.Gossip().Members(); len(members) > 1 {
			t.Errorf("a node with the old key is a member: %v", members)
		}
		if c := w.machine[0].current().node.Gossip().Counts(); c.RefusedKey == 0 {
			t.Error("nothing was refused for its key")
		}
	})
}

// Two living nodes with one name for more than 15 s: both say so, and tombstones go on. When one leaves, it is over.
func TestNamesakesAreReportedByBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 3, seed: 1})
		defer w.close()
		c := w.machine[2]
		c.stop(false)
		w.sleep(10 * time.Second)
		c.alias = "A"
		c.start()
		w.sleep(13 * time.Second)
		told := func() (by int) {
			for _, m := range w.machine {
				if l := m.current(); l != nil && l.node.Gossip().Counts().Namesake {
					by++
				}
			}
			return by
		}
		if n := told(); n > 0 {
			t.Errorf("%d nodes complain within 13 s: a restart looks like that", n)
		}
		w.sleep(10 * time.Second)
		w.mu.Lock()
		lines := w.lines["another living node has this node's name: give one of the two another --name"]
		w.mu.Unlock()
		if n := told(); n != 2 || lines != 2 {
			t.Errorf("%d nodes complain in %d lines, want both in one each", n, lines)
		}
		if !w.depart(t, "1") {
			t.Error("a departure was missed meanwhile")
		}
		c.stop(false)
		w.sleep(10 * time.Second)
		if n := told(); n > 0 {
			t.Errorf("%d nodes complain after one has left", n)
		}
	})
}

// A node that was killed is back under its name with another address within seconds, although nobody has noticed yet
// that its former life is over; one that stops in order is gone at the others at once.
func TestReplacedNodeIsBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 3, seed: 1})
		defer w.close()
		a, b, c := w.machine[0], w.machine[1], w.machine[2]
		c.stop(false)
		gone := func() bool {
			for _, m := range a.current().node.Gossip().Members() {
				if m.Name == "C" {
					return false
				}
			}
			return true
		}
		if !w.await(3*time.Second, gone) {
			t.Error("C left in order, and A lists it 3 s later")
		}
		w.sleep(10 * time.Second)
		b.stop(true) // killed
		c.alias = "B"
		c.start()
		back := func() bool {
			for _, m := range a.current().node.Gossip().Members() {
				if m.Name == "B" && strings.HasPrefix(m.Addr, c.ip().String()+":") {
					return true
				}
			}
			return false
		}
		if !w.await(3*time.Second, back) {
			t.Error("B is not back at its new address after 3 s")
		}
		w.sleep(100 * time.Millisecond)
		w.do(t, "start p1 v5 host1 b1", "register p1 A b1", "register p1 C b1", "wait 1s", "stall host1 C",
			"unregister p1 A b1", "wait 1s")
		if held := c.current().node.Table().Registrations(); len(held) > 0 {
			t.Errorf("the new B still holds %v", held)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := w.lines["another living node has this node's name: give one of the two another --name"]; n > 0 {
			t.Error("its former life was taken for a namesake")
		}
	})
}

// Members that have just taken each other for dead, because a path was cut or probes were lost, are told of departures all
// the same: memberlist needs up to some seconds until it lists them again.
func TestMissingMembersAreTold(t *testing.T) {
	// By memberlist's dice it may list them again within the few milliseconds that the departure takes: then play it again.
	for seed := range uint64(5) {
		shown := false
		synctest.Test(t, func(t *testing.T) { shown = missingIsTold(t, seed) })
		if shown || t.Failed() {
			return
		}
	}
	t.Error("they were listed again before the departure was told, five times: this shows nothing")
}

// missingIsTold says whether both were still missing when the departure had been told.
func missingIsTold(t *testing.T, seed uint64) bool {
	w := newWorld(t, config{nodes: 2, seed: seed})
	defer w.close()
	a, b := w.machine[0], w.machine[1]
	w.do(t, "start p1 v5 host1 b1", "register p1 A b1", "register p1 B b1", "wait 100ms", "stall host1 B", "cut A B")
	failed := func(m *machine) bool { return len(m.current().node.Gossip().Members()) == 1 }
	if !w.await(20*time.Second, func() bool { return failed(a) && failed(b) }) {
		t.Fatal("nobody was taken for dead")
	}
	w.do(t, "join A B", "unregister p1 A b1")
	if !w.await(20*time.Millisecond, func() bool { return len(b.current().node.Table().Registrations()) == 0 }) {
		t.Errorf("B holds %v 20 ms later", b.current().node.Table().Registrations())
	}
	if !failed(a) || !failed(b) {
		return false
	}
	// A member that stays missing is given up.
	w.do(t, "cut A B")
	for _, m := range []*machine{a, b} {
		if !w.await(time.Minute, func() bool {
			s := m.current().node.Gossip().Status(0)
			return len(s.Members) == 1 && !s.Members[0].Up
		}) {
			t.Errorf("%s waits for the missing one for ever", m.name())
		}
	}
	return true
}

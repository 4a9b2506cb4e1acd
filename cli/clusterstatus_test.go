package cli

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// sampleAnswers are those of three nodes that are well.
func sampleAnswers() *nodeAnswers {
	member := func(name string, self bool) api.Member {
		return api.Member{Name: name, Self: self, State: "alive", Phase: "ready", Ready: true, Release: "v1.2.0", Addr: "10.0.0." + name[1:] + ":7946",
			NameServer: "10.0.0." + name[1:] + ":9876", HTTP: "10.0.0." + name[1:] + ":9886"}
	}
	load := memberLoad{load: api.Load{At: noon, Ready: true, Registrations: 12, Topics: 340}, asked: noon.Add(-5 * time.Millisecond), came: noon.Add(5 * time.Millisecond)}
	return &nodeAnswers{
		members: api.Members{Gossip: true, Node: "n1", Cluster: "orders", Keys: []string{"0123456789ab"}, Members: []api.Member{member("n1", true), member("n2", false), member("n3", false)}},
		diff:    api.Diff{Gossip: true, Agree: true, Complete: true, Nodes: []api.DiffNode{{Name: "n1", Compared: true, Brokers: 12}, {Name: "n2", Compared: true, Brokers: 12}, {Name: "n3", Compared: true, Brokers: 11}}},
		loads:   map[string]memberLoad{"": load, "10.0.0.2:9886": load, "10.0.0.3:9886": load},
	}
}

// Each thing that is wrong makes a problem, what could not be asked is missing, and all else is a note.
func TestStatusJudges(t *testing.T) {
	until := noon.Add(time.Minute)
	for name, c := range map[string]struct {
		change                   func(a *nodeAnswers)
		problem, missing, noting string // parts; empty: there is none
	}{
		"well": {func(*nodeAnswers) {}, "", "", ""},
		"not ready": {func(a *nodeAnswers) {
			l := a.loads["10.0.0.2:9886"]
			l.load.Ready, l.load.Why = false, "waits for 2 brokers"
			a.loads["10.0.0.2:9886"] = l
		}, "n2 is not ready: waits for 2 brokers", "", ""},
		"not ready, and without HTTP": {func(a *nodeAnswers) {
			a.members.Members[1].HTTP, a.members.Members[1].Ready, a.members.Members[1].Phase = "", false, "waiting"
		}, "n2 is not ready: waiting", "", ""},
		"without HTTP":    {func(a *nodeAnswers) { a.members.Members[1].HTTP = "" }, "", "", ""},
		"failed":          {func(a *nodeAnswers) { a.members.Members[2].State = "failed" }, "n3 failed", "", ""},
		"left":            {func(a *nodeAnswers) { a.members.Members[2].State = "left" }, "", "", ""},
		"does not answer": {func(a *nodeAnswers) { a.loads["10.0.0.3:9886"] = memberLoad{err: errors.New("timeout")} }, "", "n3: timeout", ""},
		"differ": {func(a *nodeAnswers) {
			a.diff.Agree = false
			a.diff.Brokers = []api.DiffBroker{{Broker: "b", Why: "why"}}
		}, "1 difference", "", ""},
		"not compared": {func(a *nodeAnswers) { a.diff.Nodes[1].Compared, a.diff.Nodes[1].Why = false, "it says nothing" }, "", "n2 is not compared", ""},
		"conflict": {func(a *nodeAnswers) {
			a.conflicts = api.Conflicts{Total: 2, Conflicts: []api.Conflict{{At: before(time.Minute), Broker: "b", Kind: "one_name_two_clusters"}}}
		}, "two clusters", "", ""},
		"old conflict": {func(a *nodeAnswers) {
			a.conflicts = api.Conflicts{Total: 2, Conflicts: []api.Conflict{{At: before(time.Hour), Broker: "b"}}}
		}, "", "", "contradicting"},
		"hold":              {func(a *nodeAnswers) { a.tombstones.HeldUntil = &until }, "", "", "on hold"},
		"hold that is over": {func(a *nodeAnswers) { over := before(time.Second); a.tombstones.HeldUntil = &over }, "", "", ""},
		"no key":            {func(a *nodeAnswers) { a.members.Keys = nil }, "", "", "NOT encrypted"},
		"UDP":               {func(a *nodeAnswers) { a.members.Members[1].OnlyTCP = true }, "", "", "UDP"},
		"KV store":          {func(a *nodeAnswers) { a.members.Members[1].KV = "missing" }, "without its KV store", "", ""},
		"shared source": {func(a *nodeAnswers) {
			l := a.loads["10.0.0.2:9886"]
			l.load.SharedSources = 1
			a.loads["10.0.0.2:9886"] = l
		}, "", "", "n2 sees brokers of several hosts come from 1 source address"},
		"nobody gossips":           {func(a *nodeAnswers) { a.members.Gossip = false }, "", "", "gossips with nobody"},
		"nobody gossips, KV store": {func(a *nodeAnswers) { a.members.Gossip, a.members.KV = false, "missing" }, "without its KV store", "", "gossips with nobody"},
		"clocks 5 s apart": {func(a *nodeAnswers) {
			l := a.loads["10.0.0.2:9886"]
			l.load.At = noon.Add(5 * time.Second)
			a.loads["10.0.0.2:9886"] = l
		}, "clock of n2", "", ""},
		"clocks nearly": {func(a *nodeAnswers) {
			l := a.loads["10.0.0.2:9886"]
			l.load.At = noon.Add(4 * time.Second)
			a.loads["10.0.0.2:9886"] = l
		}, "", "", ""},
		"this machine's own": {func(a *nodeAnswers) {
			for k, l := range a.loads {
				l.load.At = noon.Add(time.Hour)
				a.loads[k] = l
			}
		}, "", "", ""},
	} {
		a := sampleAnswers()
		c.change(a)
		s := statusOf(a, noon)
		for what, got := range map[string][2]string{
			"problems": {strings.Join(s.Problems, "; "), c.problem}, "missing": {strings.Join(s.Missing, "; "), c.missing}, "notes": {strings.Join(s.Notes, "; "), c.noting},
		} {
			if (got[1] == "") != (got[0] == "") || !strings.Contains(got[0], got[1]) {
				t.Errorf("%s: %s are %q, want %q", name, what, got[0], got[1])
			}
		}
	}
}

func TestStatusScreen(t *testing.T) {
	a := sampleAnswers()
	until := noon.Add(90 * time.Second)
	a.tombstones.HeldUntil = &until
	a.members.Members[2].State, a.members.Members[2].GoneMS = "failed", 120_000
	a.diff.Agree = false
	a.diff.Brokers = []api.DiffBroker{{Broker: "broker-a", Addr: "10.0.0.9:10911", LastsMS: 12_000, Why: "it is registered at n1 and not at n2"}}
	a.loads["10.0.0.2:9886"] = memberLoad{err: errors.New("no node answers at 10.0.0.2:9886")}
	got := shown(t, func(v *view) error { return v.status(statusOf(a, noon)) })
	golden(t, "status", got)
	fits(t, got)
}

// Members whose listener is on a loopback of their own are not asked there: this machine's would answer.
func TestStatusAsksNoStranger(t *testing.T) {
	for _, c := range []struct {
		gossip, addr string
		want         bool
	}{
		{"10.0.0.2:7946", "10.0.0.2:9886", true}, {"10.0.0.2:7946", "127.0.0.1:9886", false}, {"127.0.0.1:7946", "127.0.0.1:9886", true},
		{"10.0.0.2:7946", "[::1]:9886", false}, {"10.0.0.2:7946", "", false}, {"10.0.0.2:7946", "ns2:9886", true},
	} {
		if got := reachedAt(&api.Member{Addr: c.gossip}, c.addr); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestStatusOfServers(t *testing.T) {
	a, b := kit.NewFake(t, 513, compares...), kit.NewFake(t, 407, compares...)
	status, out, errs := run("status", "-n", a.Addr+","+b.Addr)
	if status != 0 || !kit.ContainsAll(out+errs, "2 NameServers, 2 ready", "they agree", "4.9.7", "asking 2 NameServers", "nothing is changed") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	b.Change(func(f *kit.Fake) { delete(f.Brokers, "c/b/0") })
	status, out, errs = run("status", "--json", "-n", a.Addr+","+b.Addr)
	var c clusterStatus
	if err := json.Unmarshal([]byte(out), &c); err != nil || status != 1 || c.Agree || len(c.Differences) != 1 || *c.Members[1].Brokers != 2 {
		t.Errorf("status %d, %v\n%s%s", status, err, out, errs)
	}
	status, out, errs = run("status", "-n", a.Addr+","+kit.Loopback(kit.FreePort(t)))
	if status != 3 || !kit.ContainsAll(out+errs, "silent", "nothing listens", "nobody to compare with") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	for _, r := range append(a.Requests(), b.Requests()...) {
		if !slices.Contains([]int{106, 219, 319}, r.Code) {
			t.Errorf("code %d was sent", r.Code)
		}
	}
}

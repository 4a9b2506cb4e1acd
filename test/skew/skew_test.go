// Package skew runs the program as it was and the program as it is in one cluster: nodes are upgraded one at a time.
//
// The commits of former ones stand in the file "previous": the landed state before this one, moved on with each, and one that
// sends no digests. They are built from the history of this repository; where that is missing (a shallow clone, an archive)
// everything here is skipped, saying so.
package skew

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const patience = 2 * time.Minute

// former is a program as it was.
type former struct {
	commit  string
	digests bool // it sends and understands them
	binary  string
}

// formers are the commits in the file.
func formers(t *testing.T) (all []former) {
	t.Helper()
	text, err := os.ReadFile("previous")
	kit.Must(t, err)
	for line := range strings.Lines(string(text)) {
		commit, remark, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, former{commit: commit, digests: remark != "without digests"})
	}
	if len(all) == 0 {
		t.Fatal("the file previous names no commit")
	}
	return all
}

// build makes the former program from the history.
func (f *former) build(t *testing.T) {
	t.Helper()
	f.binary = kit.BuildCommit(t, f.commit)
}

func TestSkew(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short; the former programs have to be built; make test has it")
	}
	now := kit.Binary(t)
	for _, f := range formers(t) {
		t.Run(f.commit, func(t *testing.T) {
			f.build(t)
			t.Run("Upgrade", func(t *testing.T) { upgrade(t, &f, now) })
			t.Run("Downgrade", func(t *testing.T) { downgrade(t, f.binary, now) })
		})
	}
}

// One cluster of two versions: what either of them is told reaches the other, nobody panics, and what one does not
// understand it counts and ignores. Then the node of the former version is upgraded in place and keeps its KV store.
func upgrade(t *testing.T, f *former, now string) {
	before := f.binary
	keys := filepath.Join(t.TempDir(), "keys")
	if out, err := exec.Command(before, "keygen", keys).CombinedOutput(); err != nil {
		t.Fatalf("keygen: %v: %s", err, out)
	}
	data := t.TempDir()
	old, seed := kit.Gossiping(t, before, "old", data, "", "--gossip-key-file", keys)
	young, _ := kit.Gossiping(t, now, "young", t.TempDir(), seed, "--gossip-key-file", keys)
	third, _ := kit.Gossiping(t, now, "third", t.TempDir(), seed, "--gossip-key-file", keys)
	all := []*kit.Node{old, young, third}
	kit.AwaitMembers(t, all...)

	departs(t, "old-tells", old, young, third)
	departs(t, "young-tells", young, old, third)

	if f.digests {
		compare(t, all...)
	}

	kv := map[string]string{"namespace": "skew", "key": "of the old", "value": "kept"}
	if a, err := kit.Ask(old.Addr, kit.Request{Code: 100, Ext: kv}); a.Failed(err) != nil {
		t.Fatalf("put: %v", a.Failed(err))
	}
	healthy(t, all...)
	switch refused := old.Metric(`epitaph_gossip_refused_total{reason="type"}`); {
	case f.digests && refused > 0:
		t.Errorf("the former program does not know %v messages", refused)
	case !f.digests && refused == 0:
		t.Error("the former program counts no message that it does not know, though the newer one sends digests")
	}
	if status := old.Stop(t); status != 0 {
		t.Errorf("the former program stopped with %d: %s", status, old.Output())
	}
	// The same name, data directory and key file, the newer program.
	upgraded, _ := kit.Gossiping(t, now, "old", data, strings.Join([]string{young.GossipAddr(t), third.GossipAddr(t)}, ","), "--gossip-key-file", keys)
	kit.AwaitMembers(t, upgraded, young, third)
	a, err := kit.Ask(upgraded.Addr, kit.Request{Code: 101, Ext: map[string]string{"namespace": "skew", "key": "of the old"}})
	if a.Failed(err) != nil || a.ExtFields["value"] != "kept" {
		t.Errorf("the KV store was not taken over: %+v, %v", a, err)
	}
	departs(t, "upgraded-tells", upgraded, young, third)
	healthy(t, upgraded, young, third)
}

// compare has a broker at one node only, which every node must name, and then at all, which must agree.
func compare(t *testing.T, all ...*kit.Node) {
	t.Helper()
	type diff struct {
		Agree   bool
		Total   int
		Nodes   []struct{ Compared bool }
		Brokers []struct{ Broker string }
	}
	await := func(what string, right func(*diff) bool) {
		t.Helper()
		for _, p := range all {
			kit.Await(t, patience, what+" at "+p.Name, func() error {
				var d diff
				p.JSON(t, "/v1/diff", &d)
				whole := len(d.Nodes) == len(all) && !slices.ContainsFunc(d.Nodes, func(n struct{ Compared bool }) bool { return !n.Compared })
				if !whole || !right(&d) {
					return fmt.Errorf("%+v", d)
				}
				return nil
			})
		}
	}
	b := kit.NewBroker(t, "one-sided", "192.0.2.9:10911", "one-sided-topic")
	b.Register(t, all[0].Addr)
	await("the broker that one node has", func(d *diff) bool { return !d.Agree && d.Total == 1 && d.Brokers[0].Broker == "one-sided" })
	for _, p := range all[1:] {
		b.Register(t, p.Addr)
	}
	await("agreement", func(d *diff) bool { return d.Agree && d.Total == 0 })
	for _, p := range all {
		b.Unregister(t, p.Addr)
	}
	await("agreement after it left", func(d *diff) bool { return d.Agree && d.Total == 0 })
}

// A downgrade is as good: the former program starts on the data directory of the newer one and gossips with it.
func downgrade(t *testing.T, before, now string) {
	data := t.TempDir()
	first, _ := kit.Gossiping(t, now, "first", data, "")
	kv := map[string]string{"namespace": "skew", "key": "of the new", "value": "kept"}
	if a, err := kit.Ask(first.Addr, kit.Request{Code: 100, Ext: kv}); a.Failed(err) != nil {
		t.Fatalf("put: %v", a.Failed(err))
	}
	if status := first.Stop(t); status != 0 {
		t.Errorf("stopped with %d: %s", status, first.Output())
	}
	other, seed := kit.Gossiping(t, now, "other", t.TempDir(), "")
	again, _ := kit.Gossiping(t, before, "first", data, seed)
	kit.AwaitMembers(t, again, other)
	a, err := kit.Ask(again.Addr, kit.Request{Code: 101, Ext: map[string]string{"namespace": "skew", "key": "of the new"}})
	if a.Failed(err) != nil || a.ExtFields["value"] != "kept" {
		t.Errorf("the KV store was not taken over: %+v, %v", a, err)
	}
	departs(t, "after-downgrade", other, again)
	healthy(t, again, other)
}

// departs registers a broker everywhere and unregisters it at one node only: its tombstone evicts at the others, where
// the connections stay open.
func departs(t *testing.T, name string, at *kit.Node, others ...*kit.Node) {
	t.Helper()
	b := kit.NewBroker(t, name, "192.0.2.1:10911", "topic-"+name)
	defer b.Close()
	everywhere := append([]*kit.Node{at}, others...)
	for _, p := range everywhere {
		b.Register(t, p.Addr)
	}
	for _, p := range everywhere {
		kit.AwaitServes(t, patience, p.Addr, "topic-"+name, b.Addr, true)
	}
	evicted := make([]float64, len(others))
	for i, p := range others {
		evicted[i] = p.Metric(`epitaph_tombstone_decisions_total{outcome="evicted"}`)
	}
	b.Unregister(t, at.Addr)
	for i, p := range others {
		took := kit.AwaitServes(t, patience, p.Addr, "topic-"+name, b.Addr, false)
		t.Logf("%s, told to %s: gone at %s after %v", name, at.Name, p.Name, took.Round(time.Millisecond))
		if got := p.Metric(`epitaph_tombstone_decisions_total{outcome="evicted"}`); got != evicted[i]+1 {
			t.Errorf("%s has evicted %v by tombstone, want %v", p.Name, got, evicted[i]+1)
		}
	}
	b.Register(t, others[0].Addr) // a registration always wins
	kit.AwaitServes(t, patience, others[0].Addr, "topic-"+name, b.Addr, true)
}

// healthy looks for panics and for messages that were refused as broken. Types and versions that a node does not know
// are counted apart, and are no fault.
func healthy(t *testing.T, all ...*kit.Node) {
	t.Helper()
	for _, p := range all {
		// A node that is started beside one that cannot tell what it holds waits for it a while.
		p.AwaitReady(t)
		for _, series := range []string{
			"epitaph_panics_total", "epitaph_tombstone_refuted_total", `epitaph_gossip_refused_total{reason="malformed"}`,
			`epitaph_gossip_refused_total{reason="format"}`, `epitaph_gossip_refused_total{reason="size"}`,
		} {
			if got := p.Metric(series); got != 0 {
				t.Errorf("%s: %s is %v", p.Name, series, got)
			}
		}
		t.Logf("%s: not understood and ignored: %v of unknown type, %v of another version", p.Name,
			p.Metric(`epitaph_gossip_refused_total{reason="type"}`), p.Metric(`epitaph_gossip_refused_total{reason="version"}`))
		if out := p.Output(); strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") {
			t.Errorf("%s panicked: %s", p.Name, out)
		}
	}
}

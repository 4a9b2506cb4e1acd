//go:build linux

package netns

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// withoutHosts is a commit of before nodes asked each other about silent hosts.
const withoutHosts = "d241e99"

// versions is a cluster of three nodes that are replaced one by one, and six hosts with a broker each.
type versions struct {
	*world
	former  string
	mode    map[*epitaph]string // of --dead-hosts; the empty one is of the former program
	hosts   []*host
	brokers []*kit.Broker
}

// becomes stops a node in order and starts it as a program and mode: the former program for none.
func (v *versions) becomes(n *epitaph, mode string) {
	v.t.Helper()
	v.evictedNobody(n)
	n.Term()
	if _, err := n.Wait(kit.Patience); err != nil {
		v.t.Fatal(err)
	}
	if i := slices.Index(n.args, "--dead-hosts"); i >= 0 {
		n.args = slices.Delete(n.args, i, i+2)
	}
	n.binary, v.mode[n] = v.former, mode
	if mode != "" {
		n.binary, n.args = "", append(n.args, "--dead-hosts", mode)
	}
	n.run()
	v.awaitMembers(3)
	for _, b := range v.brokers { // they see that their connection is closed
		b.HangUp(n.addr)
		b.Register(v.t, addrs(v.servers())...)
	}
}

// judging waits until every node that judges may judge every host, and no node is young.
func (v *versions) judging() {
	v.t.Helper()
	for _, n := range v.nodes {
		if v.mode[n] == "" || v.mode[n] == "off" {
			continue
		}
		n.mayJudgeAll(v.t, kit.Patience, len(v.hosts))
	}
	pass(v.t, 32*time.Second)
}

// counted is one of a node's counts of evictions; nothing where the program has none.
func (v *versions) counted(n *epitaph, series string) float64 {
	v.t.Helper()
	if v.mode[n] == "" {
		return 0
	}
	return n.metric(v.t, series)
}

const (
	taken     = "epitaph_dead_host_evictions_total"
	wouldTake = "epitaph_dead_host_would_evict_total"
)

// evictedNobody checks what a node has done in this life where its own test did not say that it was right.
func (v *versions) evictedNobody(n *epitaph) {
	v.t.Helper()
	if v.mode[n] != "on" && v.counted(n, taken) > 0 {
		v.t.Errorf("%s is %q, and has taken out %v brokers:\n%s", n.name, v.mode[n], v.counted(n, taken), n.Output())
	}
	if out := n.Output(); strings.Contains(out, "panic") {
		v.t.Errorf("%s:\n%s", n.name, out)
	}
}

// lists says whether a node serves the broker of a host.
func (v *versions) lists(n *epitaph, host int) bool {
	v.t.Helper()
	conn, err := n.host.dial(n.addr, kit.Patience)
	kit.Must(v.t, err)
	defer conn.Close()
	a, err := kit.Over(v.t, conn).TryCall(kit.ClusterInfo, kit.Patience)
	all, err := a.Brokers(err)
	kit.Must(v.t, err)
	return len(all[v.brokers[host].Name]) > 0
}

// listed checks that every node serves the brokers of all hosts but some.
func (v *versions) listed(but ...int) {
	v.t.Helper()
	for _, n := range v.nodes {
		for i := range v.hosts {
			if !slices.Contains(but, i) && !v.lists(n, i) {
				v.t.Errorf("%s, %q, does not list the broker of host %d, which lives\n%s", n.name, v.mode[n], i, n.Output())
			}
		}
	}
}

// without lets a host have no link for so long, and says who lists its broker at the end of that.
func (v *versions) without(host int, d time.Duration, want ...bool) {
	v.t.Helper()
	v.hosts[host].cable("down")
	pass(v.t, d)
	for i, n := range v.nodes {
		if got := v.lists(n, host); got != want[i] {
			v.t.Errorf("%s, %q, lists the broker of a host without a link for %v: %v\n%s", n.name, v.mode[n], d, got, n.Output())
		}
	}
	v.listed(host)
}

// back gives a host its link again, and waits until some nodes have its broker back.
func (v *versions) back(host int, nodes ...*epitaph) {
	v.t.Helper()
	v.hosts[host].cable("up")
	for _, n := range nodes {
		kit.Until(v.t, n.name+" has it back", func() bool { return v.lists(n, host) })
	}
}

// TestVersions: a cluster of a former program, which knows nothing of hosts, is replaced node by node by one that
// judges, with every mix of modes, and back. A former node says nothing and counts: a majority of all nodes must agree without it. What it is asked
// it counts as unknown and goes on. Nobody is taken out whose host a node hears that can say so, and those that do not judge take nobody out.
func TestVersions(t *testing.T) {
	if !long() {
		t.Skip("SKIPPED: set EPITAPH_NETNS=long to replace three nodes by a former program and back, in every mix of modes; make night-netns has it")
	}
	need(t, 0)
	v := &versions{former: kit.BuildCommit(t, withoutHosts), mode: map[*epitaph]string{}}
	v.world = newWorld(t, "A", "B", "C")
	a, b, c := v.nodes[0], v.nodes[1], v.nodes[2]
	for i := range 6 {
		h := v.host("broker" + strconv.Itoa(i))
		one := h.simulated(t, h.name)
		v.hosts, v.brokers = append(v.hosts, h), append(v.brokers, one)
	}
	for _, n := range v.nodes {
		v.mode[n] = "off"
	}
	const away = 12 * time.Second
	for _, n := range v.nodes {
		v.becomes(n, "")
	}

	v.becomes(a, "on")
	v.judging()
	v.without(0, away, true, true, true) // one of three never agrees with itself
	a.says(t, 30*time.Second, "why=too_few")
	v.back(0)

	v.becomes(b, "on")
	v.judging()
	v.without(0, away, false, false, true) // two of three agree, without the former one
	if unknown := c.metric(t, `epitaph_gossip_refused_total{reason="type"}`); unknown == 0 {
		t.Error("the former program was asked nothing, or counts nothing")
	}
	var all api.Vanished
	kit.Must(t, a.getJSON("/v1/vanished?broker="+v.brokers[0].Name, &all))
	if all.Nodes != 3 || all.Quorum != 2 || len(all.Decisions) == 0 || !slices.Equal(all.Decisions[0].Mute, []string{"C"}) || !slices.Equal(all.Decisions[0].Agreed, []string{"B"}) {
		t.Errorf("A says %+v", all)
	}
	t.Logf("C counts %v questions that it does not know", c.metric(t, `epitaph_gossip_refused_total{reason="type"}`))
	v.back(0, a, b)

	v.becomes(c, "off")
	v.judging()
	rules := slices.Concat(cut(a.host, v.hosts[1]), cut(b.host, v.hosts[1]))
	for began := time.Now(); time.Since(began) < away; pass(t, time.Second) {
		v.brokers[1].Register(t, c.addr) // a node that is off asks for nothing, and tells of what it is told all the same
	}
	for _, n := range v.nodes {
		if !v.lists(n, 1) {
			t.Errorf("%s does not list a broker whose host C hears\n%s", n.name, n.Output())
		}
	}
	a.says(t, 30*time.Second, "why=contradicted")
	heal(rules)

	v.becomes(c, "observe")
	v.judging()
	v.without(2, away, false, false, true) // it agrees, and only tells
	c.says(t, 30*time.Second, "broker would be evicted")
	if v.counted(c, wouldTake) != 1 {
		t.Errorf("C would have taken out %v", v.counted(c, wouldTake))
	}
	v.back(2, a, b)
	for _, n := range []*epitaph{a, b} {
		if got := v.counted(n, taken); got != 2 {
			t.Errorf("%s has taken out %v brokers, want two whose hosts had no link\n%s", n.name, got, n.Output())
		}
	}

	for _, n := range v.nodes { // and back
		v.becomes(n, "")
		pass(t, 3*time.Second)
		v.listed()
	}
}

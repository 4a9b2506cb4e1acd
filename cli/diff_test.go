package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func sampleDiff() *api.Diff {
	version := func(counter int64) *api.DataVersion {
		return &api.DataVersion{Timestamp: 1700000000000, Counter: counter}
	}
	return &api.Diff{
		Gossip: true, Node: "n1", Cluster: "orders", Settling: 1, Total: 3,
		Nodes: []api.DiffNode{
			{Name: "n1", Self: true, Compared: true, Brokers: 4}, {Name: "n2", Compared: true, Brokers: 4},
			{Name: "n3", Compared: true, Waiting: true, Brokers: 1, Skipped: 2},
			{Name: "n4", Why: "it says nothing: its version has no digests"},
		},
		Brokers: []api.DiffBroker{
			{
				Cluster: "DefaultCluster", Broker: "broker-a", Addr: "10.0.0.9:10911", LastsMS: 12_300, Reason: "missed_unregister",
				Why: "missed unregister: n1 handled it 12 s ago; n2 kept: connection younger than the proof of life",
				Nodes: []api.DiffHolding{
					{Node: "n1"}, {Node: "n2", Held: true, DataVersion: version(3), Topics: 120, Writable: 120, Hash: "00000000000000aa"},
				},
			},
			{
				Cluster: "DefaultCluster", Broker: "broker-b", ID: 1, Addr: "broker-b-1.brokers.production.svc:10911", LastsMS: 3_600_000,
				Reason: "older_data_version", Why: "older data version at n2: the broker's last update has not reached it",
				Nodes: []api.DiffHolding{
					{Node: "n1", Held: true, DataVersion: version(8), Topics: 1, Writable: 1, Hash: "00000000000000ab"},
					{Node: "n2", Held: true, DataVersion: version(7), Topics: 2, Writable: 2, Hash: "00000000000000ac"},
				},
			},
		},
		Drifts: []api.Drift{
			{What: "configuration", Node: "n2", LastsMS: 90_000, Names: api.Names{Differ: []string{"enableTopicList"}}},
			{What: "kv", Node: "n2", LastsMS: 4_000, Names: api.Names{Error: "n2 does not answer: context deadline exceeded"}},
		},
		Topics: []api.DiffTopics{
			{Node: "n2", Broker: "broker-b", Names: api.Names{OnlyThere: []string{"orders-created"}, Differ: []string{"orders-paid"}}},
			{Node: "n3", Broker: "broker-b"},
		},
	}
}

// The exit status is the answer: 0 they agree, 1 they do not, 2 asked wrongly.
func TestDiffExitStatus(t *testing.T) {
	body := func(d *api.Diff) string {
		b, err := json.Marshal(d)
		kit.Must(t, err)
		return string(b)
	}
	differ, agree := answering(t, 200, body(sampleDiff())), answering(t, 200, body(&api.Diff{
		Gossip: true, Agree: true, Complete: true, Node: "n1", Cluster: "c",
		Nodes: []api.DiffNode{{Name: "n1", Self: true, Compared: true}, {Name: "n2", Compared: true}},
	}))
	lost := answering(t, 200, body(&api.Diff{
		Gossip: true, Agree: true, Node: "n1", Cluster: "c",
		Nodes: []api.DiffNode{{Name: "n1", Self: true, Compared: true}, {Name: "n2", Why: "it was lost 5 s ago"}},
	}))
	for _, c := range []struct {
		args      string
		status    int
		out, errs string
	}{
		{"diff -a " + differ, 1, "they DIFFER", "the nodes differ"},
		{"diff --json -a " + differ, 1, `"reason": "missed_unregister"`, "the nodes differ"},
		{"diff -a " + agree, 0, "2 nodes compared, they agree", ""},
		{"diff -a " + lost, 1, "n2 is not compared: it was lost 5 s ago.", "not all nodes could be compared"},
		{"diff -a " + answering(t, 200, body(&api.Diff{Agree: true})), 1, "", "not all nodes could be compared"},
		{"diff --json -a " + agree, 0, `"agree": true`, ""},
		{"diff surplus", 2, "", "takes no argument"},
		{"diff --limit 0", 2, "", "want a number above 0"},
		{"diff -a " + answering(t, 404, "404 page not found\n"), 1, "", "answers 404"},
	} {
		status, out, errs := run(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", c.args, status, out, errs)
		}
	}
}

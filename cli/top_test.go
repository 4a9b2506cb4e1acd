package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func sampleTop() *topHistory {
	then := api.Load{UpMS: 60_000, Accepted: 10, Requests: []api.Requests{
		{Code: 105, Name: "GET_ROUTEINFO_BY_TOPIC", Count: 1_000_000, Timed: 100, Times: []api.Time{{Below: 50, Count: 100}}},
		{Code: 103, Name: "REGISTER_BROKER", Count: 100, Timed: 100, Times: []api.Time{{Below: 900, Count: 100}}},
	}}
	now := api.Load{
		UpMS: 61_000, Ready: true, Why: "ready", Connections: 1234, Accepted: 12, Brokers: 4, Registrations: 8, Topics: 120,
		ReceivedBytes: 1_500_000, SentBytes: 90_000_000, Overloads: 3, Requests: []api.Requests{
			{Code: 103, Name: "REGISTER_BROKER", Count: 102, Timed: 102, Times: []api.Time{{Below: 900, Count: 100}, {Below: 12_000, Count: 2}}},
			{Code: 105, Name: "GET_ROUTEINFO_BY_TOPIC", Count: 1_064_000, Timed: 1100, Times: []api.Time{
				{Below: 10, Count: 500}, {Below: 50, Count: 590}, {Below: 2_000, Count: 10},
			}},
			{Code: -1, Name: "other", Count: 7, Times: []api.Time{}},
		},
	}
	h := &topHistory{}
	h.add(&then)
	h.add(&now)
	return h
}

func us(v float64) *float64 { return &v }

func TestTopFigures(t *testing.T) {
	f := sampleTop().figures()
	want := []topRequest{
		{Code: 105, Name: "GET_ROUTEINFO_BY_TOPIC", Rate: 64_000, Count: 1_064_000, Timed: 1000, P50: us(10), P99: us(50)},
		{Code: -1, Name: "other", Rate: 7, Count: 7},
		{Code: 103, Name: "REGISTER_BROKER", Rate: 2, Count: 102, Timed: 2, P50: us(12_000), P99: us(12_000)},
	}
	if diff := cmp.Diff(want, f.Codes); diff != "" {
		t.Error(diff)
	}
	if f.Seconds != 1 || f.AcceptedPS != 2 {
		t.Errorf("%+v", f)
	}
	b, err := json.Marshal(f)
	if err != nil || strings.Contains(string(b), `"requests"`) || !strings.Contains(string(b), `"p99_us":50`) {
		t.Errorf("%v %s", err, b)
	}
	h := sampleTop()
	for range 3 * topWindow {
		h.add(&h.loads[len(h.loads)-1])
	}
	if len(h.loads) != topWindow+1 {
		t.Errorf("%d answers kept", len(h.loads))
	}
	h.add(&api.Load{UpMS: 10})
	if f := h.figures(); len(h.loads) != 1 || f.AcceptedPS != 0 || len(f.Codes) != 0 {
		t.Errorf("after a restart of the node: %+v", f)
	}
	if lines := h.lines("x:1", errors.New("gone")); !strings.Contains(lines[1], "no answer") {
		t.Errorf("%q", lines)
	}
}

// A node that runs is asked by the commands that came later.
func TestMoreCommandsAskANode(t *testing.T) {
	data := t.TempDir()
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", data, "--http", "127.0.0.1:0",
		"--gossip", "127.0.0.1:0", "--cluster", "c", "--name", "n1")
	defer s.stop(t, syscall.SIGTERM)
	if status, _, errs := run("brokers", "-n", s.addr); status != command.OK {
		t.Fatal(errs)
	}
	for _, c := range []struct {
		args   string
		status int
		out    string
		errs   string
	}{
		{"conflicts -a " + s.http, command.OK, "No conflicts since this node started.", ""},
		{"conflicts --json -a " + s.http, command.OK, `"total": 0`, ""},
		{"top --once -a " + s.http, command.OK, "GET_BROKER_CLUSTER_INFO", ""},
		{"top --json -a " + s.http, command.OK, `"per_second"`, ""},
		{"force-leave --data " + data + " n2", command.Failed, "", "no failed member has the name"},
		{"force-leave n1 --data " + data, command.Failed, "", "this node itself"},
		{"force-leave -a " + s.http + " n1", command.Failed, "", "answers 403: not by HTTP, which only reads: on the Unix socket of the node (epitaph on its own machine, or curl"},
		{"force-leave -a " + s.http, command.Usage, "", "force-leave takes one MEMBER"},
		{"top -a " + answering(t, 404, "404 page not found\n"), command.Failed, "", "answers 404"},
		{"conflicts -a " + answering(t, 200, `{"total":1,"conflicts":[{"kind":"loopback_address"}]}`), command.Failed, "set brokerIP1", ""},
	} {
		status, out, errs := run(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", c.args, status, out, errs)
		}
		if strings.Contains(c.args, "--json") && !json.Valid([]byte(out)) {
			t.Errorf("%s: no JSON: %s", c.args, out)
		}
	}
}

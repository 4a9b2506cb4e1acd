package admin

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	hashicorp "github.com/hashicorp/go-metrics"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// scrape asks for /metrics: the value of each series.
func scrape(t *testing.T, h *Server) map[string]float64 {
	t.Helper()
	_, body := get(t, h, "/metrics")
	values := map[string]float64{}
	for line := range strings.Lines(body) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil && !strings.HasPrefix(line, "#") {
			values[name] = value
		}
	}
	return values
}

// What go-metrics passes on are 32-bit floats; counters stay exact all the same.
func TestCountersAreExact(t *testing.T) {
	h := start(t)
	m, err := h.metrics()
	kit.Must(t, err)
	at := slices.IndexFunc(m.series, func(s series) bool { return s.name == "received_bytes_total" })
	var sum uint64
	for _, now := range []uint64{1, 1<<24 + 1, 1<<40 + 12345, 1<<52 + 7} {
		m.series[at].read = func(*reading) uint64 { return now }
		sum = now
		values := scrape(t, h)
		if got := values["epitaph_received_bytes_total"]; got != float64(sum) {
			t.Errorf("%v, want %d", got, sum)
		}
	}
	m.series[at].read = func(*reading) uint64 { return 5 } // a counter never goes back
	if values := scrape(t, h); values["epitaph_received_bytes_total"] != float64(sum) {
		t.Error("went back")
	}
}

// The names for programs cover every kind and are distinct.
func TestNamesForPrograms(t *testing.T) {
	var events, outcomes []string
	for k := range routes.EventKinds {
		events = append(events, routes.EventKind(k).Name())
	}
	for o := tombstone.NotHeld; o <= tombstone.SawItself; o++ {
		outcomes = append(outcomes, o.Name())
	}
	for _, names := range [][]string{events, outcomes, leavingNames[:]} {
		seen := map[string]bool{}
		for i, name := range names {
			if name == "" || seen[name] {
				t.Errorf("%d of %v is empty or there twice", i, names)
			}
			seen[name] = true
		}
	}
	if len(leavingNames) != int(routes.LeavingNoProof)+1 {
		t.Error("a kind has no name")
	}
	if later := tombstone.KeptOtherClaim + 1; later.Name() != "other" || later.String() != tombstone.Outcome(200).String() {
		t.Error("an outcome of this version has no name")
	}
}

// A node that cannot be told apart gets nothing of others, and a stopped one nothing more.
func TestBridgeRoutesByMember(t *testing.T) {
	h := start(t)
	detach, err := h.Attach("me~1")
	kit.Must(t, err)
	add := func(member string) {
		memberlistBridge.IncrCounterWithLabels([]string{"memberlist", "tcp", "accept"}, 1,
			[]hashicorp.Label{{Name: gossip.MetricLabel, Value: member}})
	}
	add("me~1")
	add("other~1")
	memberlistBridge.IncrCounterWithLabels([]string{"memberlist", "tcp", "accept"}, 1, nil)
	detach()
	add("me~1")
	if v := scrape(t, h); v["epitaph_memberlist_tcp_accept_total"] != 1 {
		t.Errorf("%v accepts, want 1", v["epitaph_memberlist_tcp_accept_total"])
	}
}

func BenchmarkCountRequest(b *testing.B) {
	c := NewCounts([]Code{{Code: 105}}, false)
	var conns atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		id := conns.Add(1)
		for pb.Next() {
			c.Request(id, 0)
		}
	})
}

package node

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// scrape asks for /metrics without a socket: the value of each series, and the kind of each name.
func scrape(t *testing.T, n *Node) (values map[string]float64, kinds map[string]string) {
	t.Helper()
	rec := httptest.NewRecorder()
	n.admin.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", rec.Code, rec.Body)
	}
	values, kinds = map[string]float64{}, map[string]string{}
	lines := bufio.NewScanner(rec.Body)
	for lines.Scan() {
		line := lines.Text()
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, what, _ := strings.Cut(kind, " ")
			kinds[name] = what
		} else if !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			v, err := strconv.ParseFloat(line[i+1:], 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			values[line[:i]] = v
		}
	}
	return values, kinds
}

// docs/metrics.md lists every series of ours, with its kind and its labels, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/metrics.md")
	kit.Must(t, err)
	documented := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `(epitaph_[A-Za-z0-9_]+)` \\| (\\w+) \\| ([^|]*) \\| [^|]+ \\|$")
	value := regexp.MustCompile("`([a-z0-9_]+)`")
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		labels := []string{}
		name, list, _ := strings.Cut(m[3], ":")
		for _, v := range value.FindAllStringSubmatch(list, -1) {
			labels = append(labels, strings.TrimSpace(name)+"="+v[1])
		}
		slices.Sort(labels)
		documented[m[1]] = m[2] + " " + strings.Join(labels, " ")
	}
	values, kinds := scrape(t, startNode(t, withHTTP))
	exposed := map[string]string{}
	for name, kind := range kinds {
		if !strings.HasPrefix(name, "epitaph_") {
			continue
		}
		labels := []string{}
		for line := range values {
			if strings.HasSuffix(name, "_info") {
				continue // its labels are of this build and node
			}
			if rest, ok := strings.CutPrefix(line, name+"{"); ok && kind != "summary" {
				first, _, _ := strings.Cut(strings.TrimSuffix(rest, "}"), ",") // others than the first are in words
				labels = append(labels, strings.ReplaceAll(first, `"`, ""))
			}
		}
		slices.Sort(labels)
		exposed[name] = kind + " " + strings.Join(labels, " ")
	}
	if diff := cmp.Diff(exposed, documented); diff != "" {
		t.Errorf("exposed (-) and documented (+) differ:\n%s", diff)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	n := startNode(t, withHTTP)
	var clients sync.WaitGroup
	for range 4 {
		c := dial(t, n)
		clients.Go(func() {
			for range 100 {
				ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "none"}, "")
			}
		})
	}
	clients.Wait()
	c := dial(t, n)
	ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	ask(t, c, 9999, nil, "")
	ask(t, c, remoting.NotifyMinBrokerIDChange, nil, "")
	for range 2 { // a scrape changes nothing
		got, _ := scrape(t, n)
		for name, want := range map[string]float64{
			`epitaph_requests_total{code="105"}`: 400, `epitaph_requests_total{code="103"}`: 1,
			`epitaph_requests_total{code="other"}`: 2, `epitaph_requests_total{code="104"}`: 0,
			"epitaph_connections": 5, "epitaph_connections_accepted_total": 5, "epitaph_topics": 2, "epitaph_queue_settings": 2,
			"epitaph_registrations": 1, `epitaph_events_total{event="broker_registered"}`: 1, "epitaph_ready": 1,
			"epitaph_gossip_members": 0,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	}
}

// memberlist's own series arrive, each at the node that they are about, although all nodes share one global.
func TestMemberlistSeriesArrive(t *testing.T) {
	nodes := startClusterWith(t, 3, withHTTP)
	for _, n := range nodes {
		kit.Until(t, "memberlist's series", func() bool {
			v, _ := scrape(t, n)
			return v["epitaph_memberlist_udp_sent_total"] > 0 && v["epitaph_memberlist_udp_received_total"] > 0 &&
				v["epitaph_memberlist_msg_alive_total"] >= 2 && v["epitaph_memberlist_gossip_seconds_count"] > 0 && v["epitaph_gossip_members"] == 3
		})
	}
	// What arrives is what is there from the start, and nothing more.
	names := func(n *Node) (all []string) {
		v, _ := scrape(t, n)
		for line := range v {
			if strings.HasPrefix(line, "epitaph_memberlist_") && !strings.Contains(line, "quantile") &&
				!strings.HasSuffix(line, "_sum") {
				all = append(all, line)
			}
		}
		slices.Sort(all)
		return all
	}
	if diff := cmp.Diff(names(startNode(t, withHTTP)), names(nodes[0])); diff != "" {
		t.Errorf("memberlist's series at the start (-) and later (+):\n%s", diff)
	}
}

// The seed's story in figures: counted at the origin and at who evicted, with the age.
func TestTombstonesAreCounted(t *testing.T) {
	nodes := startClusterWith(t, 2, withHTTP)
	conns := registerAt(t, brokerHeader("0"), nodes[1], nodes[0])
	ask(t, conns[1], remoting.UnregisterBroker, brokerHeader("0"), "")
	kit.Until(t, "the eviction, reported", func() bool {
		v, _ := scrape(t, nodes[1])
		var own api.Tombstones
		getJSON(t, nodes[0], "/v1/tombstones", &own)
		return v[`epitaph_tombstone_decisions_total{outcome="evicted"}`] == 1 &&
			v["epitaph_tombstone_eviction_age_seconds_count"] == 1 &&
			len(own.Own) == 1 && len(own.Own[0].Reports) == 1 && own.Own[0].Reports[0].State == "reported"
	})
	v, _ := scrape(t, nodes[0])
	for name, want := range map[string]float64{
		"epitaph_tombstones": 1, "epitaph_tombstones_made_total": 1, `epitaph_departures_total{meaning="tombstone"}`: 1,
	} {
		if v[name] != want {
			t.Errorf("%s is %v, want %v", name, v[name], want)
		}
	}
	var own, other api.Tombstones
	getJSON(t, nodes[0], "/v1/tombstones", &own)
	getJSON(t, nodes[1], "/v1/tombstones", &other)
	report := own.Own[0].Reports[0]
	if report.Member != "n2" || report.Outcome != "evicted" || *report.AfterMS <= 0 || own.Own[0].Origin != "n1" {
		t.Errorf("report: %+v", report)
	}
	if len(other.Decisions) == 0 || other.Decisions[0].Outcome != "evicted" || *other.Decisions[0].LifeMargin <= 0 ||
		*other.Decisions[0].RegisterMargin <= 0 || other.Decisions[0].Broker != "b0" {
		t.Errorf("decision: %+v", other.Decisions)
	}
	var m api.Members
	getJSON(t, nodes[0], "/v1/members", &m)
	if len(m.Members) != 2 || !m.Members[0].Self || m.Members[0].Name != "n1" || m.Members[1].Name != "n2" || m.Cluster == "" {
		t.Errorf("members: %+v", m)
	}
}

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// dashboardVersion is what the dashboard's client library (5.3.3) sends.
const dashboardVersion = 479

// replayed is one request of the dashboard.
type replayed struct {
	what string
	code int
	ext  map[string]string
}

// dashboardRequests are the requests of its services (cluster, topic, system topic and route pages, deletion of a
// topic), then those that only its admin wrapper knows. Each later one also shows the effect of those before it.
func dashboardRequests() []replayed {
	topic := func(name string) map[string]string { return map[string]string{"topic": name} }
	kv := func(key, value string) map[string]string {
		return map[string]string{"namespace": "ORDER_TOPIC_CONFIG", "key": key, "value": value}
	}
	broker := map[string]string{"brokerName": "broker-a"}
	return []replayed{
		{"cluster page", codeCluster, nil},
		{"topic page", codeTopics, nil},
		{"topic page, system topics", 304, nil},
		{"route page", codeRoute, topic("page-1")},
		{"route page, standard JSON", codeRoute, map[string]string{"topic": "page-1", "acceptStandardJsonOnly": "true"}},
		{"route page, system topic", codeRoute, topic("TBW102")},
		{"route page, no such topic", codeRoute, topic("no-such-topic")},
		{"delete in a cluster that is not there", 216, map[string]string{"topic": "page-2", "clusterName": "nowhere"}},
		{"delete", 216, map[string]string{"topic": "page-2", "clusterName": "DefaultCluster"}},
		{"topic page after deletion", codeTopics, nil},
		{"route page after deletion", codeRoute, topic("page-2")},
		{"put order configuration", 100, kv("page-1", "broker-a:4")},
		{"get it", 101, kv("page-1", "")},
		{"get what is not there", 101, kv("other", "")},
		{"list", 219, map[string]string{"namespace": "ORDER_TOPIC_CONFIG"}},
		{"list what is not there", 219, map[string]string{"namespace": "nowhere"}},
		{"delete it", 102, kv("page-1", "")},
		{"list after deletion", 219, map[string]string{"namespace": "ORDER_TOPIC_CONFIG"}},
		{"topics of the cluster", 224, map[string]string{"cluster": "DefaultCluster"}},
		{"topics of no cluster", 224, map[string]string{"cluster": "nowhere"}},
		{"wipe write permission", 205, broker},
		{"route without write permission", codeRoute, topic("page-1")},
		{"add write permission", 327, broker},
		{"route with write permission", codeRoute, topic("page-1")},
		{"wipe of no broker", 205, map[string]string{"brokerName": "nobody"}},
	}
}

// Row 160: the dashboard's requests get the same answers as from the Java name server 5.5.0, with a real master and
// slave registered at both.
func TestDashboard(t *testing.T) {
	needLong(t)
	need(t, 3)
	ns := startNameServer(t, target(), nil)
	reference := startNameServer(t, targetJava, nil)
	both := []string{ns.Addr, reference.Addr}
	var brokers []*java.Broker
	for id := range 2 {
		brokers = append(brokers, java.LaunchBroker(t, java.BrokerOptions{
			Version: "5.5.0", NameServers: strings.Join(both, ";"), Name: "broker-a", ID: id,
			// No registration may come between two requests of the replay and undo their effect.
			Properties: map[string]string{"registerNameServerPeriod": "60000", "traceTopicEnable": "false"},
		}))
	}
	for _, b := range brokers {
		b.MustBoot(t)
	}
	for _, name := range []string{"page-1", "page-2"} {
		createTopic(t, brokers[0].Addr, name, 4)
	}
	for _, addr := range both {
		kit.Await(t, reregister, "master and slave registered", hasMembers(addr, "broker-a", entry(0, brokers[0].Addr), entry(1, brokers[1].Addr)))
		for _, name := range []string{"page-1", "page-2"} {
			kit.Await(t, reregister, "topic registered", hasTopic(addr, name, "broker-a"))
		}
	}
	kit.Await(t, reregister, "both know the same topics", func() error {
		a, errA := topics(both[0])
		b, errB := topics(both[1])
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if !slices.Equal(a, b) {
			return fmt.Errorf("%v, %v", a, b)
		}
		return nil
	})
	for _, r := range dashboardRequests() {
		got, want := replay(t, ns.Addr, r), replay(t, reference.Addr, r)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (code %d): -java +%s\n%s", r.what, r.code, ns.kind, diff)
		}
	}
	checkDashboardSaw(t, ns.Addr)
}

// replay sends one request and returns header and body as text, lists in an order of their own sorted: the original
// takes the order of topic lists and of brokers from hash maps.
func replay(t *testing.T, addr string, r replayed) [2]string {
	t.Helper()
	a, err := kit.Ask(addr, kit.Request{Code: r.code, Version: dashboardVersion, Ext: r.ext})
	if err != nil {
		t.Fatalf("%s (code %d) at %s: %v", r.what, r.code, addr, err)
	}
	if len(a.Body) == 0 {
		return [2]string{a.Header, ""}
	}
	var v any
	standard := kit.Standard(a.Body)
	if err := json.Unmarshal(standard, &v); err != nil {
		t.Fatalf("%s (code %d) at %s: body is no JSON: %v\n%s", r.what, r.code, addr, err, a.Body)
	}
	if len(a.Body) != len(standard) { // the dialect is part of the answer
		v = map[string]any{"unquoted keys": v}
	}
	text, err := json.MarshalIndent(kit.SortLists(v), "", " ")
	kit.Must(t, err)
	return [2]string{a.Header, string(text)}
}

// checkDashboardSaw makes sure that the replay compared answers of substance.
func checkDashboardSaw(t *testing.T, addr string) {
	t.Helper()
	kit.Await(t, soon, "topic of the replay", hasTopic(addr, "page-1", "broker-a"))
	if err := lacksTopic(addr, "page-2"); err != nil {
		t.Error(err)
	}
}

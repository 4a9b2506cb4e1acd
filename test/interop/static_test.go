package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Row 163: a static topic made by mqadmin updateStaticTopic: routes carry the queue mapping of both brokers, in both
// dialects, and the client sends to and reads from its logical queues.
func TestStaticTopic(t *testing.T) {
	need(t, 3)
	ns := startNameServer(t, target(), nil)
	names := []string{"broker-a", "broker-b"}
	var brokers []*java.Broker
	for _, name := range names {
		brokers = append(brokers, java.LaunchBroker(t, java.BrokerOptions{Version: "5.5.0", NameServers: ns.Addr, Name: name}))
	}
	for _, b := range brokers {
		b.MustBoot(t)
	}
	kit.Await(t, reregister, "brokers registered", hasTopic(ns.Addr, "TBW102", names...))

	output := java.Admin(t, "5.5.0", "updateStaticTopic", "-n", ns.Addr, "-t", "static", "-qn", "8", "-c", "DefaultCluster")
	kit.Await(t, soon, "mapping of both brokers in the route", func() error {
		r, err := routeOf(ns.Addr, "static")
		if err != nil {
			return fmt.Errorf("%w; mqadmin printed: %s", err, output)
		}
		for _, name := range names {
			if len(r.TopicQueueMappingByBroker[name]) == 0 {
				return fmt.Errorf("no mapping of %s: %v", name, r.TopicQueueMappingByBroker)
			}
		}
		return nil
	})
	old, err := kit.Ask(ns.Addr, kit.Request{Code: codeRoute, Version: 317, Ext: map[string]string{"topic": "static"}})
	if old.Failed(err) != nil || !strings.Contains(string(old.Body), `"topicQueueMappingByBroker":{`) {
		t.Errorf("route in the default dialect: %v, %v", err, old)
	}

	client := startPeer(t, "5.5.0", java.ClientOptions{Endpoint: ns.Addr, Topic: "static", Group: "static-group", Count: messages(), Every: 5 * time.Millisecond})
	kit.Await(t, 5*time.Minute, "client receives all it sent", delivered(client, messages()))
	for id, broker := range client.Events().Received {
		if !strings.HasPrefix(broker, "__syslo__") {
			t.Fatalf("message %s came from %q, not from a logical queue", id, broker)
		}
	}
}

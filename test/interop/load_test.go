package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// oldRegisterLimit is how long a 4.9 broker waits for the answer to a registration; a 5.x broker waits 24 s.
const oldRegisterLimit = 6 * time.Second

// Row 165: brokers with 50,000 topics each register several megabytes again and again, and every registration is
// answered within the 6 seconds that a 4.9 broker waits. The short form has a fifth of them, registered twice.
func TestManyTopics(t *testing.T) {
	need(t, 2)
	count, rounds := 10000, 2
	if long() {
		count, rounds = 50000, 3
	}
	ns := startNameServer(t, target(), nil)
	relays := map[string]*kit.Relay{}
	var brokers []*java.Broker
	for _, version := range []string{"5.5.0", "4.9.7"} {
		relay, dir, name := kit.StartRelay(t, ns.Addr), t.TempDir(), "broker-"+version
		relays[name] = relay
		topics := make([]string, count)
		for i := range topics {
			topics[i] = loadTopic(name, i)
		}
		writeTopics(t, dir, topics, 8)
		brokers = append(brokers, java.LaunchBroker(t, java.BrokerOptions{
			Version: version, NameServers: relay.Addr, Name: name, Dir: dir,
			Properties: map[string]string{"registerNameServerPeriod": "10000"},
		}))
	}
	for _, b := range brokers {
		b.MustBoot(t)
		kit.Await(t, reregister, "last topic registered", hasTopic(ns.Addr, loadTopic(b.Name, count-1), b.Name))
	}
	all, err := topics(ns.Addr)
	if err != nil || len(all) < count*len(brokers) {
		t.Errorf("%d topics listed, want at least %d: %v", len(all), count*len(brokers), err)
	}
	for name, relay := range relays {
		kit.Await(t, 5*time.Minute, "registers again and again", func() error {
			answered := 0
			for _, r := range relay.Seen(codeRegister) {
				if r.Size > count*20 && r.Took > 0 {
					answered++
				}
			}
			if answered < rounds {
				return fmt.Errorf("%s: %d large registrations answered", name, answered)
			}
			return nil
		})
		for _, r := range relay.Seen(codeRegister) {
			t.Logf("%s: registration of %d bytes answered after %s", name, r.Size, r.Took)
			if r.Took > oldRegisterLimit {
				t.Errorf("%s: a registration of %d bytes took %s", name, r.Size, r.Took)
			}
		}
	}
}

func loadTopic(broker string, i int) string {
	return fmt.Sprintf("load-%s-%05d", strings.ReplaceAll(broker, ".", "-"), i)
}

// writeTopics writes the topic file that a broker loads when it starts.
func writeTopics(t *testing.T, dir string, topics []string, queues int) {
	t.Helper()
	table := map[string]any{}
	for _, name := range topics {
		table[name] = map[string]any{
			"topicName": name, "readQueueNums": queues, "writeQueueNums": queues, "perm": 6,
			"topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": false,
		}
	}
	text, err := json.Marshal(map[string]any{
		"dataVersion":      map[string]any{"timestamp": time.Now().UnixMilli(), "counter": len(topics)},
		"topicConfigTable": table,
	})
	config := filepath.Join(dir, "store", "config")
	if err == nil {
		err = os.MkdirAll(config, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(config, "topics.json"), text, 0o644)
	}
	if err != nil {
		t.Fatalf("write topics: %v", err)
	}
}

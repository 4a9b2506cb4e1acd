package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Row 161: when the controller makes the slave of a killed master the new master, the route follows, and producer
// and consumer go on.
func TestControllerFailover(t *testing.T) {
	need(t, 4)
	ns := startNameServer(t, target(), nil)
	controller := java.StartController(t, "5.5.0")
	var brokers []*java.Broker
	for range 2 {
		brokers = append(brokers, java.LaunchBroker(t, java.BrokerOptions{
			Version: "5.5.0", NameServers: ns.Addr, Name: "broker-a",
			Properties: map[string]string{
				"enableControllerMode": "true", "controllerAddr": controller.Addr, "allAckInSyncStateSet": "true",
				"brokerId": "-1", "brokerRole": "SLAVE",
			},
		}))
	}
	failOver(t, ns.Addr, brokers)
}

// Row 161: the same for a Raft group of three brokers (DLedger commit log).
func TestDLedgerFailover(t *testing.T) {
	needLong(t)
	need(t, 4)
	ns := startNameServer(t, target(), nil)
	const members = 3
	var ports [members]int
	var peers []string
	for i := range ports {
		ports[i] = kit.PortBlock(t) + 2
		peers = append(peers, fmt.Sprintf("n%d-127.0.0.1:%d", i, ports[i]+3))
	}
	var brokers []*java.Broker
	for i := range members {
		brokers = append(brokers, java.LaunchBroker(t, java.BrokerOptions{
			Version: "5.5.0", NameServers: ns.Addr, Name: "broker-a", Port: ports[i],
			Properties: map[string]string{
				"enableDLegerCommitLog": "true", "dLegerGroup": "broker-a", "dLegerSelfId": fmt.Sprint("n", i),
				"dLegerPeers": strings.Join(peers, ";"),
			},
		}))
	}
	failOver(t, ns.Addr, brokers)
}

// failOver waits for the group, kills its master under a running client, and wants another member to take its place.
func failOver(t *testing.T, addr string, brokers []*java.Broker) {
	t.Helper()
	var old *java.Broker
	kit.Await(t, 3*time.Minute, "group complete", func() error {
		list, err := members(addr, "broker-a")
		if err != nil {
			return err
		}
		if old = masterOf(list, brokers); old == nil || len(list) != len(brokers) {
			return fmt.Errorf("members: %v", list)
		}
		return nil
	})
	createTopic(t, old.Addr, "failover", 4)
	kit.Await(t, soon, "topic visible", hasTopic(addr, "failover", "broker-a"))
	for _, b := range brokers {
		kit.Await(t, 5*time.Minute, "topic copied to "+b.Addr, hasTopicConfig(b.Addr, "failover"))
	}
	client := startPeer(t, "5.5.0", java.ClientOptions{Endpoint: addr, Topic: "failover", Group: "failover-group", Count: -1, Every: 50 * time.Millisecond})
	kit.Await(t, 3*time.Minute, "sends and receives", received(client, 50))

	old.Kill()
	var next *java.Broker
	took := kit.Await(t, 5*time.Minute, "another master", func() error {
		r, err := routeOf(addr, "failover")
		if err != nil {
			return err
		}
		list := r.addrs("broker-a")
		if next = masterOf(list, brokers); next == nil || next == old || r.perm("broker-a") != 6 {
			return fmt.Errorf("route: %v, permission %d", list, r.perm("broker-a"))
		}
		return nil
	})
	t.Logf("route shows the new master %s after the kill of the old", took)
	before := len(client.Events().Sent)
	kit.Await(t, 3*time.Minute, "sends to the new master", func() error {
		if n := len(client.Events().Sent); n < before+50 {
			return fmt.Errorf("%d sends succeeded since", n-before)
		}
		return nil
	})
	sent := client.Events()
	kit.Await(t, 5*time.Minute, "every acknowledged message is received", func() error {
		sent.Received = client.Events().Received
		if missing := sent.Missing(); missing != "" {
			return errors.New(missing)
		}
		return nil
	})
	kit.Await(t, 30*time.Second, "old master not shown", func() error {
		list, err := members(addr, "broker-a")
		if err == nil && slices.ContainsFunc(list, func(e string) bool { return strings.HasSuffix(e, "="+old.Addr) }) {
			err = fmt.Errorf("members: %v", list)
		}
		return err
	})
}

// masterOf is the broker at id 0, nil for none.
func masterOf(entries []string, brokers []*java.Broker) *java.Broker {
	for _, b := range brokers {
		if slices.Contains(entries, entry(0, b.Addr)) {
			return b
		}
	}
	return nil
}

package interop

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var firstSend = regexp.MustCompile(`^OK 0 `)

// Row 157: the Java client of releases on both sides of the change of JSON dialect (4.9.4) and rocketmq-client-go
// send to a topic that does not exist yet, and receive all of it.
// Row 156: the topic is visible within a second of the first send.
// Row 62: rocketmq-client-go reads the default dialect.
func TestClients(t *testing.T) {
	need(t, 4)
	ns := startNameServer(t, target(), nil)
	java.StartBroker(t, java.BrokerOptions{Version: "5.5.0", NameServers: ns.Addr, Name: "broker-a"})
	kit.Await(t, reregister, "broker registered", hasTopic(ns.Addr, "TBW102", "broker-a"))

	options := func(topic string) java.ClientOptions {
		return java.ClientOptions{Endpoint: ns.Addr, Topic: topic, Group: "group-" + topic, Count: messages(), Every: 5 * time.Millisecond}
	}
	clients := map[string]*java.Client{"go": startGoClient(t, options("go"))}
	versions := []string{"5.5.0", "4.9.3"}
	if long() {
		versions = append(versions, "4.9.4")
	}
	for _, version := range versions {
		topic := "java-" + regexp.MustCompile(`\D`).ReplaceAllString(version, "-")
		clients[topic] = startPeer(t, version, options(topic))
	}
	for topic, client := range clients {
		if _, err := client.Line(firstSend, time.Minute); err != nil {
			t.Fatalf("%s: %v", topic, err)
		}
		took := kit.Await(t, soon, "auto-created topic visible", hasTopic(ns.Addr, topic, "broker-a"))
		t.Logf("topic %s visible %s after its first send was seen", topic, took)
	}
	for topic, client := range clients {
		kit.Await(t, 5*time.Minute, topic+" receives all it sent", delivered(client, messages()))
	}
}

// messages is how many messages a client sends.
func messages() int {
	if long() {
		return 5000
	}
	return 200
}

// startPeer compiles Peer.java against the client of a release and runs it.
func startPeer(t *testing.T, version string, o java.ClientOptions) *java.Client {
	t.Helper()
	lib := java.Jars(t, "rocketmq-client", version)
	return java.StartClient(t, "Peer", java.Compile(t, java.Source("Peer.java"), lib), lib, o)
}

// startGoClient builds the client of the nested module goclient and runs it.
func startGoClient(t *testing.T, o java.ClientOptions) *java.Client {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "goclient")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "goclient"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build goclient: %v\n%s", err, out)
	}
	return java.NewClient(kit.Start(t, exec.Command(binary, o.Args()...)))
}

// delivered is nil when a client sent count messages without a failure and received every one.
func delivered(client *java.Client, count int) func() error {
	return func() error {
		e := client.Events()
		for id, text := range e.Failed {
			return fmt.Errorf("send of %s failed: %s", id, text)
		}
		if len(e.Sent) != count {
			return fmt.Errorf("%d of %d sent", len(e.Sent), count)
		}
		if missing := e.Missing(); missing != "" {
			return errors.New(missing)
		}
		return nil
	}
}

// createTopic makes a topic on a broker, as mqadmin does. The broker registers it by itself.
func createTopic(t *testing.T, broker, topic string, queues int) {
	t.Helper()
	n := fmt.Sprint(queues)
	a, err := call(broker, codeCreateTopic, map[string]string{
		"topic": topic, "defaultTopic": "TBW102", "readQueueNums": n, "writeQueueNums": n, "perm": "6",
		"topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
	})
	if err := a.Failed(err); err != nil {
		t.Fatalf("create topic %s on %s: %v", topic, broker, err)
	}
}

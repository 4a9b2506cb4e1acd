package interop

import (
	"fmt"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Row 158: the proxy 5.5.0 in cluster mode finds its brokers through the name server and serves a gRPC client
// (rocketmq-client-java) and a remoting client that takes the proxy for its name server.
func TestProxy(t *testing.T) {
	need(t, 4)
	ns := startNameServer(t, target(), nil)
	broker := java.StartBroker(t, java.BrokerOptions{Version: "5.5.0", NameServers: ns.Addr, Name: "broker-a"})
	kit.Await(t, reregister, "broker registered", hasTopic(ns.Addr, "TBW102", "broker-a"))
	proxy := java.StartProxy(t, "5.5.0", found(ns))

	createTopic(t, broker.Addr, "over-grpc", 1)
	kit.Await(t, soon, "created topic visible", hasTopic(ns.Addr, "over-grpc", "broker-a"))
	createTopic(t, broker.Addr, "over-remoting", 4)
	kit.Await(t, soon, "created topic visible", hasTopic(ns.Addr, "over-remoting", "broker-a"))

	remoting := startPeer(t, "5.5.0",
		java.ClientOptions{Endpoint: proxy.Remoting, Topic: "over-remoting", Group: "remoting-group", Count: messages()})
	grpc := startGRPC(t, proxy.GRPC)
	kit.Await(t, 5*time.Minute, "gRPC client receives all it sent", delivered(grpc, messages()))
	kit.Await(t, 5*time.Minute, "remoting client receives all it sent", delivered(remoting, messages()))
}

// found are the settings by which a proxy finds ns: by its address server, where it has one.
func found(ns *nameServer) map[string]any {
	if ns.kind == targetJava {
		return map[string]any{"namesrvAddr": ns.Addr}
	}
	return map[string]any{"namesrvDomain": ns.list(), "namesrvDomainSubgroup": "nsaddr"}
}

// startGRPC runs the gRPC client until it sends. On a busy machine it fails to start, or waits for ever for an answer that
// came too late, so it has three tries.
func startGRPC(t *testing.T, proxy string) *java.Client {
	t.Helper()
	lib := java.Jars(t, "rocketmq-client-java", "5.0.8")
	classes := java.Compile(t, java.Source("Grpc.java"), lib)
	for try := 1; ; try++ {
		client := java.StartClient(t, "Grpc", classes, lib, java.ClientOptions{
			Endpoint: proxy, Topic: "over-grpc", Group: fmt.Sprint("grpc-group-", try), Count: messages(),
		})
		_, err := client.Line(firstSend, time.Minute)
		switch {
		case err == nil:
			return client
		case try == 3:
			t.Fatalf("the gRPC client does not start: %v", err)
		}
		t.Logf("the gRPC client is started again: %v", err)
		client.Kill()
	}
}

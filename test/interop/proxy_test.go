package interop

import (
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
	proxy := java.StartProxy(t, "5.5.0", ns.Addr)

	createTopic(t, broker.Addr, "over-grpc", 1)
	kit.Await(t, soon, "created topic visible", hasTopic(ns.Addr, "over-grpc", "broker-a"))
	createTopic(t, broker.Addr, "over-remoting", 4)
	kit.Await(t, soon, "created topic visible", hasTopic(ns.Addr, "over-remoting", "broker-a"))

	lib := java.Jars(t, "rocketmq-client-java", "5.0.8")
	grpc := java.StartClient(t, "Grpc", java.Compile(t, java.Source("Grpc.java"), lib), lib,
		java.ClientOptions{Endpoint: proxy.GRPC, Topic: "over-grpc", Group: "grpc-group", Count: messages()})
	remoting := startPeer(t, "5.5.0",
		java.ClientOptions{Endpoint: proxy.Remoting, Topic: "over-remoting", Group: "remoting-group", Count: messages()})
	kit.Await(t, 5*time.Minute, "gRPC client receives all it sent", delivered(grpc, messages()))
	kit.Await(t, 5*time.Minute, "remoting client receives all it sent", delivered(remoting, messages()))
}

package node

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// startNode runs a node on a free port with its files in a directory of the test's own.
func startNode(t *testing.T, change func(*config.Config)) *Node {
	t.Helper()
	return startNodeTo(t, slog.DiscardHandler, change)
}

// startNodeTo starts a node that logs there.
func startNodeTo(t *testing.T, log slog.Handler, change func(*config.Config)) *Node {
	t.Helper()
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.Options.BindAddress, cfg.Options.ListenPort = "127.0.0.1", 0
	cfg.ReadyAfter = 0 // a test that is about it says so
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg, slog.New(log))
	kit.Must(t, err)
	kit.Launch(t, n)
	return n
}

func dial(t *testing.T, n *Node) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial(t.Context(), n.Addr().String(), rpc.DefaultClientConfig())
	kit.Must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func ask(t *testing.T, c *rpc.Client, code int32, ext map[string]string, body string) *remoting.Command {
	t.Helper()
	req := &remoting.Command{Code: code, Version: remoting.Version, Ext: ext}
	if body != "" {
		req.Body = []byte(body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	answer, err := c.Invoke(ctx, req)
	if err != nil {
		t.Fatalf("code %d: %v", code, err)
	}
	return answer
}

func brokerHeader(id string) map[string]string {
	return map[string]string{
		"brokerName": "b0", "brokerAddr": "1.1.1.1:10911", "clusterName": "C1", "haServerAddr": "1.1.1.1:10912",
		"brokerId": id, "enableActingMaster": "false",
	}
}

var twoTopics = string(kit.RegisterBody("TA", "TB"))

func TestRegisterRouteUnregister(t *testing.T) {
	n := startNode(t, nil)
	c := dial(t, n)
	if a := ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics); a.Code != 0 {
		t.Fatalf("register: %d %s", a.Code, a.Remark)
	}
	for range 2 { // made, then from the cache
		a := ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, "")
		want := `{"brokerDatas":[{"brokerAddrs":{"0":"1.1.1.1:10911"},"brokerName":"b0","cluster":"C1",` +
			`"enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"b0","perm":6,` +
			`"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}`
		if a.Code != 0 || string(a.Body) != want {
			t.Fatalf("route: %d %s\n%s", a.Code, a.Remark, a.Body)
		}
	}
	if a := ask(t, c, remoting.UnregisterBroker, brokerHeader("0"), ""); a.Code != 0 {
		t.Fatalf("unregister: %d %s", a.Code, a.Remark)
	}
	a := ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, "")
	if a.Code != remoting.TopicNotExist || !strings.Contains(a.Remark, "for the topic: TA\n") {
		t.Fatalf("route after unregister: %d %q", a.Code, a.Remark)
	}
}

func TestLostConnectionRemovesBroker(t *testing.T) {
	n := startNode(t, nil)
	broker, client := dial(t, n), dial(t, n)
	ask(t, broker, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	kit.Must(t, broker.Close())
	kit.Until(t, "that it is gone", func() bool {
		a := ask(t, client, remoting.GetBrokerClusterInfo, nil, "")
		return string(a.Body) == `{"brokerAddrTable":{},"clusterAddrTable":{}}`
	})
}

// TestStopLosesNoBroker: the node closes the connections itself, so nobody has left.
func TestStopLosesNoBroker(t *testing.T) {
	n := startNode(t, nil)
	ask(t, dial(t, n), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.server.ConnCount() != 0 || registrations(n) != 1 {
		t.Fatalf("%d connections, %d brokers after the stop; want 0 and 1", n.server.ConnCount(), registrations(n))
	}
}

// TestPseudoTopicIsServedWhileNotReady (DEV-15): a broker in compatible mode reads its member group from it, and takes any error for
// an empty group.
func TestPseudoTopicIsServedWhileNotReady(t *testing.T) {
	n := startNode(t, func(cfg *config.Config) { cfg.Options.NeedWaitForService = true })
	c := dial(t, n)
	body := strings.ReplaceAll(twoTopics, "TB", "rmq_sys_SYNC_BROKER_MEMBER_b0")
	if a := ask(t, c, remoting.RegisterBroker, brokerHeader("0"), body); a.Code != 0 {
		t.Fatalf("register: %d %s", a.Code, a.Remark)
	}
	a := ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, "")
	if a.Code != remoting.SystemError || a.Remark != "name server not ready" {
		t.Errorf("any other topic: %d %q", a.Code, a.Remark)
	}
	a = ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "rmq_sys_SYNC_BROKER_MEMBER_b0"}, "")
	if a.Code != remoting.Success || !strings.Contains(string(a.Body), `"0":"1.1.1.1:10911"`) {
		t.Errorf("the pseudo-topic: %d %q %s", a.Code, a.Remark, a.Body)
	}
	if a = ask(t, c, remoting.GetRouteInfoByTopic, nil, ""); a.Code != remoting.SystemError {
		t.Errorf("no topic: %d %q", a.Code, a.Remark)
	}
}

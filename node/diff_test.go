package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/gossip/impair"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func diffOf(t *testing.T, n *Node, query string) (v api.Diff) {
	t.Helper()
	status, body := get(t, n, "/v1/diff"+query)
	if status != 200 {
		t.Fatalf("/v1/diff: %d %s", status, body)
	}
	kit.Must(t, json.Unmarshal([]byte(body), &v))
	return v
}

// agreed says that n has compared everybody and found no difference, not even a recent one, and that nobody waits: a node that a
// broker does not come to before it is ready waits for it for --join-wait, and what it lacks is no divergence so long.
func agreed(t *testing.T, n *Node) bool {
	v := diffOf(t, n, "")
	for _, o := range v.Nodes {
		if !o.Compared || o.Waiting {
			return false
		}
	}
	return v.Agree && v.Settling == 0 && len(v.Nodes) == 3
}

func awaitAgreement(t *testing.T, nodes []*Node) {
	t.Helper()
	for _, n := range nodes {
		kit.Until(t, "agreement at "+n.Gossip().Self().Name, func() bool { return agreed(t, n) })
	}
}

func awaitReason(t *testing.T, n *Node, reason, words string, lacking ...string) api.Diff {
	t.Helper()
	var v api.Diff
	kit.Until(t, reason+" at "+n.Gossip().Self().Name, func() bool {
		v = diffOf(t, n, "")
		if len(v.Brokers) != 1 || v.Agree || v.Brokers[0].Reason != reason || !strings.Contains(v.Brokers[0].Why, words) {
			return false
		}
		var lack []string
		for _, h := range v.Brokers[0].Nodes {
			if !h.Held {
				lack = append(lack, h.Node)
			}
		}
		slices.Sort(lack)
		return len(v.Brokers[0].Nodes) == 3 && slices.Equal(lack, lacking)
	})
	return v
}

func TestDivergenceShowsAndClears(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64 // of the clock that all three nodes share
	nodes := startClusterWith(t, 3, func(c *config.Config) {
		withHTTP(c)
		c.Clock = func() clock.Stamp { return clock.Now().Add(time.Duration(ahead.Load())) }
	})
	awaitAgreement(t, nodes)
	c1, c2, c3 := dial(t, nodes[0]), dial(t, nodes[1]), dial(t, nodes[2])
	ask(t, c1, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	ask(t, c2, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	for _, n := range nodes {
		awaitReason(t, n, "starting", "n3 started", "n3")
	}
	// Once they are older than a registration's period, and younger than its timeout.
	ahead.Store(int64(digest.YoungAge + time.Second))
	for _, n := range nodes {
		awaitReason(t, n, "no_connection", "registers at n1, n2 and not at n3", "n3")
	}
	ask(t, c3, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	awaitAgreement(t, nodes)

	// One node forgets a permission.
	ask(t, c2, remoting.WipeWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	for _, n := range nodes {
		awaitReason(t, n, "write_permission", "at n2 only")
	}
	ask(t, c2, remoting.AddWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	// TB had permission 0 at the broker, and has 6 at n2 now: that is another queue setting.
	ask(t, c1, remoting.AddWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	ask(t, c3, remoting.AddWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	awaitAgreement(t, nodes)

	// An update reaches two of three.
	update := strings.Replace(twoTopics, `"counter":1`, `"counter":2`, 1)
	for _, c := range []*rpc.Client{c1, c3} {
		ask(t, c, remoting.RegisterBroker, brokerHeader("0"), update)
	}
	for _, n := range nodes {
		awaitReason(t, n, "older_data_version", "at n2")
	}
	ask(t, c2, remoting.RegisterBroker, brokerHeader("0"), update)
	for _, n := range nodes {
		kit.Until(t, "agreement on the broker", func() bool { return len(diffOf(t, n, "").Brokers) == 0 })
	}

	// A topic is deleted at one node; which one is told on demand.
	awaitAgreement(t, nodes)
	ask(t, c3, remoting.DeleteTopicInNamesrv, map[string]string{"topic": "TA"}, "")
	for i, n := range nodes {
		awaitReason(t, n, "topics", "at n3 only")
		v := diffOf(t, n, "?broker=b0")
		for _, other := range v.Topics {
			want := api.Names{}
			switch {
			case i == 2:
				want.OnlyThere = []string{"TA"}
			case other.Node == "n3":
				want.OnlyHere = []string{"TA"}
			}
			if fmt.Sprint(other.Names) != fmt.Sprint(want) {
				t.Errorf("%s about %s: %+v, want %+v", v.Node, other.Node, other.Names, want)
			}
		}
	}
	ask(t, c3, remoting.RegisterTopicInNamesrv, map[string]string{"topic": "TA"},
		`{"queueDatas":[{"brokerName":"b0","perm":6,"readQueueNums":4,"writeQueueNums":4,"topicSysFlag":0}]}`)
	awaitAgreement(t, nodes)
}

// A member that was lost is not passed over: nobody can say that all nodes agree.
func TestDiffNamesWhoIsNotCompared(t *testing.T) {
	t.Parallel()
	var network impair.Network
	nodes := startClusterWith(t, 2, func(c *config.Config) {
		withHTTP(c)
		transport, err := network.Listen("127.0.0.1", 1)
		kit.Must(t, err)
		c.Gossip.Transport, c.Gossip.Bind = transport, transport.Addr()
	})
	kit.Until(t, "a whole answer", func() bool { v := diffOf(t, nodes[0], ""); return v.Agree && v.Complete && len(v.Nodes) == 2 })
	if alone := startClusterWith(t, 1, withHTTP); diffOf(t, alone[0], "").Complete {
		t.Error("whole, though there is nobody to compare with")
	}
	if status, body := get(t, nodes[0], "/v1/diff?broker=typo"); status != http.StatusNotFound || !strings.Contains(body, "typo") {
		t.Errorf("a broker that nobody holds: %d %s", status, body)
	}
	network.Partition(map[string]int{nodes[1].Gossip().Addr(): 1})
	kit.Until(t, "the lost one", func() bool {
		v := diffOf(t, nodes[0], "")
		return v.Agree && !v.Complete && len(v.Nodes) == 2 && v.Nodes[1].Name == "n2" && strings.Contains(v.Nodes[1].Why, "lost")
	})
}

// Every change is one line at every node that sees it, and what is over is one.
func TestDivergenceIsLoggedOnce(t *testing.T) {
	t.Parallel()
	book := &kit.Log{}
	start := func(log slog.Handler, name string, seeds ...string) *Node {
		return startNodeTo(t, log, func(c *config.Config) {
			g := gossip.DefaultConfig()
			g.Bind, g.Cluster, g.Name, g.Seeds = "127.0.0.1:0", t.Name(), name, seeds
			c.Gossip = &g
		})
	}
	n1 := start(slog.NewTextHandler(book, nil), "n1")
	n2 := start(slog.DiscardHandler, "n2", n1.Gossip().Addr())
	for _, n := range []*Node{n1, n2} { // see agreed
		kit.Until(t, "readiness", func() bool { ready, _ := n.Ready(); return ready })
	}
	c1, c2 := dial(t, n1), dial(t, n2)
	var lines []string
	until := func(words ...string) { lines = append(lines, book.Await(t, words...)...) }

	ask(t, c1, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	until("nodes differ about a broker", "broker=b0", "held_by=n1", "reason=starting", "n2 started")
	ask(t, c2, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	until("nodes agree about a broker again", "broker=b0")
	ask(t, c2, remoting.WipeWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	until("nodes differ about a broker", "held_by=n1,n2", "reason=write_permission", "write permission wiped")
	ask(t, c2, remoting.PutKVConfig, map[string]string{"namespace": "ns", "key": "k", "value": "v"}, "")
	until("nodes differ in their store or options", "what=kv", "node=n2")
	ask(t, c1, remoting.PutKVConfig, map[string]string{"namespace": "ns", "key": "k", "value": "v"}, "")
	until("nodes agree in their store or options again", "what=kv", "node=n2")
	ask(t, c1, remoting.WipeWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	until("nodes agree about a broker again", "broker=b0")
	count := func(words string) (n int) {
		for _, line := range lines {
			if strings.Contains(line, words) {
				n++
			}
		}
		return n
	}
	if about, drift, over := count("nodes differ about"), count("nodes differ in"), count("again"); about != 2 || drift != 1 || over != 3 {
		t.Errorf("%d, %d and %d lines, want 2, 1 and 3:\n%s", about, drift, over, strings.Join(lines, "\n"))
	}
}

// A tombstone that was kept is named with its reason, also by a node that is not its origin.
func TestKeptTombstoneIsNamed(t *testing.T) {
	nodes := startClusterWith(t, 3, withHTTP)
	register := func(n *Node) *rpc.Client {
		c := dial(t, n)
		req := &remoting.Command{Code: remoting.RegisterBroker, Version: 407, Ext: brokerHeader("0"), Body: []byte(twoTopics)}
		if a, err := c.Invoke(t.Context(), req); err != nil || a.Code != 0 {
			t.Fatalf("register: %v %v", a, err)
		}
		return c
	}
	old := register(nodes[0]) // a 4.x broker gives no late proof, so the younger connections keep it
	other := register(nodes[1])
	register(nodes[2])
	kit.Ages(t)
	ask(t, old, remoting.UnregisterBroker, brokerHeader("0"), "")
	ask(t, other, remoting.UnregisterBroker, brokerHeader("0"), "")
	for _, n := range nodes {
		v := awaitReason(t, n, "missed_unregister", "n3 kept: ", "n1", "n2")
		if kept := v.Brokers[0].Nodes; !slices.ContainsFunc(kept, func(h api.DiffHolding) bool {
			return h.Node == "n3" && strings.HasPrefix(h.Kept, "kept_")
		}) {
			t.Errorf("%+v", kept)
		}
	}
}

func TestDriftIsNamed(t *testing.T) {
	t.Parallel()
	nodes := startClusterWith(t, 3, withHTTP)
	awaitAgreement(t, nodes)
	c := dial(t, nodes[1])
	ask(t, c, remoting.PutKVConfig, map[string]string{"namespace": "ORDER_TOPIC_CONFIG", "key": "TA", "value": "b0:4"}, "")
	ask(t, c, remoting.UpdateNamesrvConfig, nil, "enableTopicList=false\n")
	named := func(n *Node, node string) bool {
		found := 0
		for _, d := range diffOf(t, n, "").Drifts {
			names := fmt.Sprint(d.OnlyHere, d.OnlyThere, d.Differ)
			if d.Node == node && (d.What == "kv" && strings.Contains(names, "ORDER_TOPIC_CONFIG/TA") ||
				d.What == "configuration" && strings.Contains(names, "enableTopicList")) {
				found++
			}
		}
		return found == 2
	}
	kit.Until(t, "n1 to name what differs at n2", func() bool { return named(nodes[0], "n2") })
	kit.Until(t, "n2 to name what differs from n1 and n3", func() bool { return named(nodes[1], "n1") && named(nodes[1], "n3") })
	if v := diffOf(t, nodes[0], ""); v.Agree || len(v.Brokers) != 0 {
		t.Errorf("%+v", v)
	}
}

// Isolation: whatever digests say, the answers of a node are those of the registrations it got itself.
func TestDigestsNeverAlterAnAnswer(t *testing.T) {
	t.Parallel()
	nodes := startClusterWith(t, 3, withHTTP)
	awaitAgreement(t, nodes)
	clients := []*rpc.Client{dial(t, nodes[0]), dial(t, nodes[1]), dial(t, nodes[2])}
	answers := func() (all []string) {
		for _, c := range clients {
			for _, topic := range []string{"TA", "TB"} {
				a := ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": topic}, "")
				all = append(all, fmt.Sprint(a.Code, string(a.Body)))
			}
			all = append(all, string(ask(t, c, remoting.GetBrokerClusterInfo, nil, "").Body))
		}
		return all
	}
	ask(t, dial(t, nodes[0]), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	before := answers()
	awaitReason(t, nodes[2], "starting", "n", "n2", "n3")
	versions := []uint64{}
	for _, n := range nodes {
		_, version, _ := n.Table().Serving(0)
		versions = append(versions, version)
		diffOf(t, n, "?broker=b0")
	}
	sent, _ := nodes[2].Gossip().DigestCounts()
	kit.Until(t, "some more summaries", func() bool {
		now, _ := nodes[2].Gossip().DigestCounts()
		return now.SummariesReceived > sent.SummariesReceived+4
	})
	if after := answers(); !slices.Equal(before, after) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
	for i, n := range nodes {
		if _, version, _ := n.Table().Serving(0); version != versions[i] {
			t.Errorf("the tables of %s changed", n.Gossip().Self().Name)
		}
	}
}

// aged is a clock that can be turned forward, for nodes that are to be older than they are.
type aged struct{ by atomic.Int64 }

func (a *aged) now() clock.Stamp { return clock.Now().Add(time.Duration(a.by.Load())) }

// DEV-15: a node that restarts beside others is ready when it holds what they hold, and not before.
func TestRestartedNodeWaitsForItsBrokers(t *testing.T) {
	t.Parallel()
	nodes := startClusterWith(t, 2, withHTTP)
	var brokers []*rpc.Client
	for _, n := range nodes {
		c := dial(t, n)
		ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
		brokers = append(brokers, c)
	}
	back := startNode(t, func(c *config.Config) {
		withHTTP(c)
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), "n3"
		g.Seeds = []string{nodes[0].Gossip().Addr()}
		c.Gossip = &g
		c.Options.NeedWaitForService = true
		c.CloseClientsUntilReady, c.ReadyAfter = true, config.DefaultReadyAfter
	})
	kit.Until(t, "n3 to know what it lacks", func() bool {
		status, why := get(t, back, "/readyz")
		return status == 503 && strings.Contains(why, "waiting for 1 of the 1 brokers") && strings.Contains(why, "b0 id 0 at 1.1.1.1:10911")
	})
	kit.Until(t, "the others to see it waiting", func() bool {
		v := diffOf(t, nodes[0], "")
		return len(v.Nodes) == 3 && v.Nodes[2].Waiting && v.Settling == 1 && v.Agree
	})
	client, broker := dial(t, back), dial(t, back)
	// The pseudo-topic is served; what it is asked for is what a broker asks, so nothing is closed.
	for range 2 {
		if a := ask(t, client, remoting.GetRouteInfoByTopic, map[string]string{"topic": mq.SyncMemberPrefix + "b0"}, ""); a.Code != remoting.TopicNotExist {
			t.Errorf("pseudo-topic: %d %s", a.Code, a.Remark)
		}
	}
	if a := ask(t, client, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, ""); a.Code != remoting.SystemError ||
		a.Remark != "name server not ready" {
		t.Errorf("while not ready: %d %s", a.Code, a.Remark)
	}
	kit.Until(t, "the client's connection to be closed", func() bool {
		_, err := client.Invoke(t.Context(), &remoting.Command{Code: remoting.GetBrokerClusterInfo, Version: remoting.Version})
		return err != nil
	})
	// Another broker registers: its connection is a broker's, and stays.
	other := brokerHeader("0")
	other["brokerName"], other["brokerAddr"] = "b9", "1.1.1.9:10911"
	ask(t, broker, remoting.RegisterBroker, other, twoTopics)
	for range 3 {
		if a := ask(t, broker, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, ""); a.Code != remoting.SystemError {
			t.Errorf("a broker while not ready: %d %s", a.Code, a.Remark)
		}
	}
	ask(t, broker, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	kit.Until(t, "n3 to be ready", func() bool { status, _ := get(t, back, "/readyz"); return status == 200 })
	if a := ask(t, dial(t, back), remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, ""); a.Code != remoting.Success {
		t.Errorf("when ready: %d %s", a.Code, a.Remark)
	}
	if stage := back.ready.Stage(); stage != readiness.Witnessed {
		t.Errorf("stage %d", stage)
	}
	_ = brokers
}

// After a restart of all nobody knows which brokers there are: each gives them one period. Clients have nowhere better to go
// meanwhile, and are not sent away.
func TestFullRestartGivesBrokersOnePeriod(t *testing.T) {
	t.Parallel()
	var old aged
	nodes := startClusterWith(t, 3, func(c *config.Config) {
		withHTTP(c)
		c.Clock, c.ReadyAfter, c.CloseClientsUntilReady = old.now, config.DefaultReadyAfter, true
	})
	ask(t, dial(t, nodes[0]), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	for _, n := range nodes {
		kit.Until(t, "one period to be given", func() bool {
			status, why := get(t, n, "/readyz")
			return status == 503 && strings.Contains(why, "--ready-after")
		})
	}
	client := dial(t, nodes[0])
	for range 2 {
		if a := ask(t, client, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, ""); a.Code != remoting.Success {
			t.Errorf("a client where no other node is ready: %d %s", a.Code, a.Remark)
		}
	}
	old.by.Store(int64(config.DefaultReadyAfter))
	for _, n := range nodes {
		kit.Until(t, "readiness", func() bool { status, _ := get(t, n, "/readyz"); return status == 200 })
	}
}

// Where the original's rule decides, the others hear when the wait is over, and the figure is the whole wait.
func TestOthersHearWhenTheWaitIsOver(t *testing.T) {
	t.Parallel()
	var old aged
	nodes := startClusterWith(t, 2, func(c *config.Config) {
		withHTTP(c)
		c.Clock, c.Options.NeedWaitForService = old.now, true
	})
	seen := func(ready bool) func() bool {
		return func() bool {
			for _, n := range nodes {
				var m api.Members
				getJSON(t, n, "/v1/members", &m)
				if len(m.Members) != 2 || m.Members[0].Ready != ready || m.Members[1].Ready != ready {
					return false
				}
			}
			return true
		}
	}
	kit.Until(t, "both waiting", seen(false))
	if v, _ := scrape(t, nodes[0]); v["epitaph_ready_after_seconds"] != 0 {
		t.Errorf("ready after %v s while it waits", v["epitaph_ready_after_seconds"])
	}
	old.by.Store(int64(nodes[0].runtime.Options().WaitSecondsForService) * int64(time.Second))
	kit.Until(t, "both ready", seen(true))
	if v, _ := scrape(t, nodes[0]); v["epitaph_ready_after_seconds"] < 45 {
		t.Errorf("ready after %v s", v["epitaph_ready_after_seconds"])
	}
}

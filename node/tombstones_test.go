package node

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// startCluster runs n nodes that gossip on loopback.
func startCluster(t *testing.T, n int) []*Node {
	t.Helper()
	return startClusterWith(t, n, func(*config.Config) {})
}

func startClusterWith(t *testing.T, n int, change func(*config.Config)) []*Node {
	t.Helper()
	var nodes []*Node
	for i := range n {
		nodes = append(nodes, startNode(t, func(c *config.Config) {
			g := gossip.DefaultConfig()
			g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), fmt.Sprintf("n%d", i+1)
			if i > 0 {
				g.Seeds = []string{nodes[0].Gossip().Addr()}
			}
			c.Gossip = &g
			change(c)
		}))
	}
	for _, node := range nodes {
		kit.Until(t, "all members", func() bool { return len(node.Gossip().Members()) == n })
	}
	return nodes
}

func registrations(n *Node) int { return n.Table().Stats().Registrations }

// registerAt registers a broker on connections of its own, in the order of the nodes, and leaves them open.
func registerAt(t *testing.T, header map[string]string, nodes ...*Node) (conns []*rpc.Client) {
	t.Helper()
	for _, n := range nodes {
		c := dial(t, n)
		if a := ask(t, c, remoting.RegisterBroker, header, twoTopics); a.Code != 0 {
			t.Fatalf("register: %d %s", a.Code, a.Remark)
		}
		conns = append(conns, c)
	}
	kit.Ages(t)
	return conns
}

// The seed's story: the UNREGISTER reaches A only. At B and C the broker's connection stays open and silent, so that
// nothing but the tombstone can remove it. A's connection is the youngest, so its REGISTER's answer proves life after
// the others' first bytes.
func TestUnregisterAtOneNodeIsGoneAtAll(t *testing.T) {
	nodes := startCluster(t, 3)
	conns := registerAt(t, brokerHeader("0"), nodes[1], nodes[2], nodes[0])
	ask(t, conns[2], remoting.UnregisterBroker, brokerHeader("0"), "")
	for _, n := range nodes {
		kit.Until(t, "no registration", func() bool { return registrations(n) == 0 })
	}
}

// S-28: C saw the broker later than A did, so only the acknowledged answer of the UNREGISTER itself proves that
// the departing process still lived then.
func TestLateProofEvictsYoungerConnection(t *testing.T) {
	nodes := startCluster(t, 2)
	conns := registerAt(t, brokerHeader("0"), nodes[0], nodes[1])
	ask(t, conns[0], remoting.UnregisterBroker, brokerHeader("0"), "")
	kit.Until(t, "eviction by late proof", func() bool { return registrations(nodes[1]) == 0 })
}

// A registration that came after the departure is never evicted, and a broker on a 4.x version gets no late proof
// (S-29): the younger connection keeps its registration.
func TestYoungerConnectionIsKept(t *testing.T) {
	nodes := startCluster(t, 2)
	old := dial(t, nodes[0])
	register := func(c *rpc.Client) {
		req := &remoting.Command{
			Code: remoting.RegisterBroker, Version: 407, Ext: brokerHeader("0"), Body: []byte(twoTopics),
		}
		if a, err := c.Invoke(t.Context(), req); err != nil || a.Code != 0 {
			t.Fatalf("register: %v %v", a, err)
		}
	}
	register(old)
	register(dial(t, nodes[1]))
	ask(t, old, remoting.UnregisterBroker, brokerHeader("0"), "")
	kit.Until(t, "the report of the other node", func() bool {
		s := nodes[0].Gossip().Status(1)
		return len(s.Own) == 1 && len(s.Own[0].Reports) == 1 && s.Own[0].Reports[0].Reported
	})
	if registrations(nodes[1]) != 1 {
		t.Fatalf("evicted, although its connection is younger than the proof of life: %+v",
			nodes[0].Gossip().Status(1).Own[0])
	}
}

// Each node tells the others where it stands and where it is reached.
func TestMembersKnowEachOther(t *testing.T) {
	t.Parallel()
	nodes := startClusterWith(t, 3, func(c *config.Config) { c.HTTP, c.Release = "127.0.0.1:0", "v0.9" })
	for _, n := range nodes {
		for _, other := range nodes {
			kit.Until(t, "the description of "+other.Gossip().Self().Name, func() bool {
				for _, m := range n.Gossip().Members() {
					if m.Peer == other.Gossip().Self() {
						return m.Ready && m.Release == "v0.9" && m.NameServer == other.Addr().String() &&
							m.HTTP == other.HTTPAddr().String()
					}
				}
				return false
			})
		}
	}
	if v := admin.Members(view{nodes[0]}); v.Members[1].Phase != "ready" || v.Members[1].State != "alive" || v.Members[1].AgeMS <= 0 {
		t.Errorf("%+v", v.Members[1])
	}
}

// What a node last said of itself is what it is, whoever noticed the changes in whatever order.
func TestLastAnnouncementIsTrue(t *testing.T) {
	t.Parallel()
	n := startCluster(t, 1)[0]
	for i := range 500 {
		var group sync.WaitGroup
		for range 50 {
			group.Go(n.announce)
		}
		group.Go(func() {
			if err := n.runtime.Update(fmt.Appendf(nil, "needWaitForService=%t", i%2 == 0), config.Caller{}); err != nil {
				t.Error(err)
			}
			n.announce()
		})
		group.Wait()
		kit.Until(t, "the truth", func() bool {
			ready, _ := n.Ready()
			return n.Gossip().Members()[0].Ready == ready
		})
	}
}

// What was true between two looks, and announced, is not believed for ever.
func TestAnnouncementOfAMoment(t *testing.T) {
	t.Parallel()
	n := startCluster(t, 1)[0]
	for range 3 {
		kit.Until(t, "it is believed", func() bool {
			n.Gossip().Announce(gossip.Meta{Phase: gossip.PhaseWaiting})
			return !n.Gossip().Members()[0].Ready
		})
		kit.Until(t, "the truth", func() bool { return n.Gossip().Members()[0].Ready })
	}
}

// A connection is as old as its first byte, not as its accept: a proxy in front of the node may open one early. Its broker was
// not in use when the other node's acknowledged answer proved life.
func TestConnectionIsAsOldAsItsFirstByte(t *testing.T) {
	nodes := startCluster(t, 2)
	register := func(c *rpc.Client) { // of a release without a late proof
		t.Helper()
		req := &remoting.Command{Code: remoting.RegisterBroker, Version: 407, Ext: brokerHeader("0"), Body: []byte(twoTopics)}
		if a, err := c.Invoke(t.Context(), req); err != nil || a.Code != 0 {
			t.Fatalf("register: %v %v", a, err)
		}
		kit.Ages(t)
	}
	early := dial(t, nodes[1])
	kit.Ages(t)
	old := dial(t, nodes[0])
	register(old)
	register(early)
	ask(t, old, remoting.UnregisterBroker, brokerHeader("0"), "")
	kit.Until(t, "the report of the other node", func() bool {
		s := nodes[0].Gossip().Status(1)
		return len(s.Own) == 1 && len(s.Own[0].Reports) == 1 && s.Own[0].Reports[0].Reported
	})
	if r := nodes[0].Gossip().Status(1).Own[0].Reports[0]; r.Outcome != tombstone.KeptYoungerConn || registrations(nodes[1]) != 1 {
		t.Errorf("%v, with %d registrations left", r.Outcome, registrations(nodes[1]))
	}
}

// The self-check hears what the evicted broker's connection does: one that registers it again and stays refutes the eviction;
// one that unregisters it afterwards, as a container does that removes and adds a broker, or that closes does not.
func TestSelfCheckHearsOfConnections(t *testing.T) {
	for name, test := range map[string]struct {
		then    func(t *testing.T, header map[string]string, c *rpc.Client)
		refuted uint64 // beside one that is refuted in any case
	}{
		"stays": {func(*testing.T, map[string]string, *rpc.Client) {}, 1},
		"unregisters": {func(t *testing.T, header map[string]string, c *rpc.Client) {
			ask(t, c, remoting.UnregisterBroker, header, "")
		}, 0},
		"closes": {func(_ *testing.T, _ map[string]string, c *rpc.Client) { c.Close() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var old aged
			nodes := startClusterWith(t, 2, func(c *config.Config) { c.Clock = old.now })
			a, c := nodes[0], nodes[1]
			var headers []map[string]string
			var back []*rpc.Client
			for i := range 2 {
				header := brokerHeader("0")
				header["brokerName"], header["brokerAddr"] = fmt.Sprint("b", i), fmt.Sprintf("1.1.1.%d:10911", i)
				conns := registerAt(t, header, c, a)
				ask(t, conns[1], remoting.UnregisterBroker, header, "")
				kit.Until(t, "eviction", func() bool { return registrations(c) == i })
				ask(t, conns[0], remoting.RegisterBroker, header, twoTopics)
				headers, back = append(headers, header), append(back, conns[0])
			}
			test.then(t, headers[0], back[0])
			kit.Until(t, "its end", func() bool { return registrations(c) == 1+int(test.refuted) })
			old.by.Store(int64(31 * time.Second))
			kit.Until(t, "the self-check", func() bool { return c.Gossip().Counters().Refuted > 0 })
			if got := c.Gossip().Counters().Refuted; got != 1+test.refuted {
				t.Errorf("%d evictions are refuted, want %d", got, 1+test.refuted)
			}
		})
	}
}

package node

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// lockedBuffer takes lines of several nodes.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Every change of the tables is made to happen, at a node that gossips, and its line has the fields that it had.
func TestLogFields(t *testing.T) {
	var (
		log   lockedBuffer
		old   aged
		nodes []*Node
	)
	for _, name := range []string{"n1", "n2"} {
		nodes = append(nodes, startNodeTo(t, slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: LogAttr}), func(c *config.Config) {
			g := gossip.DefaultConfig()
			g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), name
			if len(nodes) > 0 {
				g.Seeds = []string{nodes[0].Gossip().Addr()}
			}
			c.Gossip, c.Clock = &g, old.now
			proxyFromHere(c)
		}))
	}
	n := nodes[0]
	first, second := dial(t, n), dial(t, n)
	register := func(c *rpc.Client, cluster, name, addr, id, topics string) {
		t.Helper()
		ext := brokerHeader(id)
		ext["clusterName"], ext["brokerName"], ext["brokerAddr"] = cluster, name, addr
		ask(t, c, remoting.RegisterBroker, ext, topics)
	}
	unregister := func(c *rpc.Client, name, addr string) {
		t.Helper()
		ext := brokerHeader("0")
		ext["brokerName"], ext["brokerAddr"] = name, addr
		ask(t, c, remoting.UnregisterBroker, ext, "")
	}
	stateVersion := func(v string) string { return strings.Replace(twoTopics, `"stateVersion":0`, `"stateVersion":`+v, 1) }
	update := strings.NewReplacer(`"counter":1`, `"counter":2`, "TB", "TC").Replace(twoTopics)
	single := string(kit.RegisterBody("TA"))

	register(first, "C1", "b0", "10.0.0.1:1", "0", twoTopics)
	register(first, "C1", "b0", "10.0.0.1:1", "0", update)
	register(first, "C1", "b0", "10.0.0.1:1", "1", update)
	ask(t, first, remoting.WipeWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	ask(t, first, remoting.AddWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	ask(t, first, remoting.DeleteTopicInNamesrv, map[string]string{"topic": "TA", "clusterName": "C1"}, "")
	ask(t, first, remoting.RegisterTopicInNamesrv, map[string]string{"topic": "TA"},
		`{"queueDatas":[{"brokerName":"b0","perm":6,"readQueueNums":4,"writeQueueNums":4,"topicSysFlag":0}]}`)
	ask(t, first, remoting.PutKVConfig, map[string]string{"namespace": "N", "key": "k", "value": "v"}, "")
	ask(t, first, remoting.UpdateNamesrvConfig, nil, "orderMessageEnable=true")
	register(first, "C1", "cut", "10.0.0.10:1", "0", strings.Replace(twoTopics, "TB", strings.Repeat("T", body.MaxName+1), 2))
	register(first, "C1", "refused", "10.0.0.2:1", "0", single)
	register(first, "C1", "dropped", "10.0.0.3:1", "0", stateVersion("5"))
	register(first, "C1", "dropped", "10.0.0.3:2", "0", stateVersion("1"))
	register(first, "C1", "ignored", "10.0.0.4:1", "0", twoTopics)
	register(second, "C1", "ignored", "10.0.0.4:1", "0", twoTopics)
	unregister(first, "ignored", "10.0.0.4:1")
	unregister(second, "ignored", "10.0.0.4:1")
	register(first, "C1", "foreign", "10.0.0.11:1", "0", twoTopics)
	unregister(second, "foreign", "10.0.0.11:1")
	// The five conflicts.
	register(first, "C1", "k0", "10.0.0.5:1", "0", twoTopics)
	register(second, "C1", "k1", "10.0.0.5:1", "0", twoTopics)
	register(first, "C1", "m0", "10.0.0.6:1", "0", twoTopics)
	register(second, "C2", "m0", "10.0.0.6:2", "1", twoTopics)
	register(first, "C1", "a0", "10.0.0.7:1", "0", twoTopics)
	register(second, "C1", "a0", "10.0.0.7:2", "0", twoTopics)
	elsewhere := dialBehind(t, n, "10.9.9.9")
	register(elsewhere, "C1", "l0", "127.0.0.1:2", "0", twoTopics)
	register(first, "C1", "two", "10.0.0.12:1", "0", twoTopics)
	register(elsewhere, "C1", "two", "10.0.0.12:1", "0", twoTopics)
	// Whoever leaves: one that is evicted elsewhere, one whose connection is lost, one whose host vanishes, one that is silent.
	header := brokerHeader("0")
	header["brokerName"], header["brokerAddr"] = "e0", "10.0.0.8:1"
	conns := registerAt(t, header, nodes[1], nodes[0])
	ask(t, conns[1], remoting.UnregisterBroker, header, "")
	kit.Until(t, "the eviction", func() bool { return strings.Contains(log.String(), routes.BrokerEvicted.String()) })
	lost := dial(t, n)
	register(lost, "C1", "lost", "10.0.0.9:1", "0", twoTopics)
	lost.Close()
	kit.Until(t, "the loss", func() bool { return strings.Contains(log.String(), routes.BrokerLost.String()) })
	vanishes := dial(t, n)
	register(vanishes, "C1", "vanished", "10.0.0.13:1", "0", twoTopics)
	owner := slices.IndexFunc(n.table.Registrations(), func(r routes.Record) bool { return r.Name == "vanished" })
	taken, eff := n.table.Vanish(&routes.Vanished{
		Key:      tombstone.Key{Cluster: "C1", Addr: "10.0.0.13:1"},
		Identity: tombstone.Identity{Name: "vanished", RemoteIP: netip.MustParseAddr("127.0.0.1")},
		Owner:    n.table.Registrations()[owner].Owner.ID, Still: func() bool { return true },
	})
	if n.vanishedEvicted(8*time.Second, eff); taken != routes.TakenOut {
		t.Errorf("the broker of a vanished host is not taken out: %v", taken)
	}
	eff.Events[0].Kind = routes.BrokerRestored // as the tables tell it, of the same
	n.apply(eff)
	old.by.Store(int64(10 * time.Minute))
	n.apply(n.table.Expire())

	// What else comes without a cause here, such as what the nodes differ in meanwhile, comes or not as time goes.
	told := []string{"tombstone made", "tombstone judged", "connection opened", "connection closed", "kv config changed", "configuration changed"}
	for kind := range routes.EventKinds {
		told = append(told, routes.EventKind(kind).String())
	}
	var lines strings.Builder
	for _, message := range told {
		before := lines.Len()
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, `"msg":"`+message+`"`) {
				lines.WriteString(line)
			}
		}
		if lines.Len() == before {
			t.Errorf("%q was not seen: let it happen here", message)
		}
	}
	kit.Listed(t, "testdata/log_fields.txt", kit.LogFields(t, lines.String()))
	for line := range strings.Lines(lines.String()) {
		if strings.Contains(line, `config changed"`) || strings.Contains(line, `"msg":"configuration changed"`) {
			if caller := `"remote":"` + first.LocalAddr().String() + `"`; !strings.Contains(line, caller) {
				t.Errorf("want the caller, %s: %s", caller, line)
			}
		}
	}
}

func TestLogFieldsOfReadiness(t *testing.T) {
	var log bytes.Buffer
	n := &Node{log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: LogAttr}))}
	reached := readiness.Peers{Joined: true, Reached: true}
	lacks, mute, without := reached, reached, reached
	lacks.Witnesses, lacks.Missing = []string{"n2"}, []digest.Missing{{Holder: "n2"}}
	mute.Undecided = []string{"n2"}
	without.Witnesses, without.LeftOut = []string{"n2", "n3"}, []digest.Missing{{Holder: "n2", Lacks: "n3"}}
	for _, news := range []readiness.News{
		{Stage: readiness.Asking}, // of this nothing is said
		{Stage: readiness.Catching, Peers: lacks},
		{Stage: readiness.Listening, Peers: reached},
		{Stage: readiness.Timed, Peers: lacks},
		{Stage: readiness.Timed, Peers: mute},
		{Stage: readiness.Timed, Peers: readiness.Peers{Trouble: "n1:7946: nothing listens there"}},
		{Stage: readiness.Timed, Peers: reached},
		{Stage: readiness.Witnessed, Peers: without},
		{Stage: readiness.Witnessed, Before: readiness.Timed, Peers: reached, Most: 1},
		{Stage: readiness.Witnessed, Before: readiness.Timed, Peers: reached},
	} {
		n.tellReadiness(&news, readiness.Rule{})
	}
	if lines := bytes.Count(log.Bytes(), []byte("\n")); lines != 10 {
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
	kit.Listed(t, "testdata/log_fields_readiness.txt", kit.LogFields(t, log.String()))
}

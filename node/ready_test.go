package node

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// gossiping makes a node gossip at bind with seeds.
func gossiping(t *testing.T, name, bind string, seeds ...string) func(*config.Config) {
	return func(c *config.Config) {
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name, g.Seeds = bind, t.Name(), name, seeds
		c.Gossip, c.HTTP = &g, "127.0.0.1:0"
	}
}

// With --join and nobody reached a node is ready after --join-wait, says why it is alone, and is called so until it meets one.
func TestNodeThatReachesNobody(t *testing.T) {
	t.Parallel()
	var old aged
	var lines kit.Log
	there := kit.Loopback(kit.FreePort(t))
	n := startNodeTo(t, slog.NewTextHandler(&lines, nil), func(c *config.Config) {
		gossiping(t, "n1", "127.0.0.1:0", there)(c)
		c.Clock = old.now
	})
	kit.Until(t, "the cause", func() bool {
		status, why := get(t, n, "/readyz")
		return status == 503 && strings.Contains(why, there+": nothing listens there") && strings.Contains(why, "--join-wait")
	})
	if v, _ := scrape(t, n); v["epitaph_gossip_alone"] != 0 || v["epitaph_ready"] != 0 {
		t.Errorf("alone already: %v, ready: %v", v["epitaph_gossip_alone"], v["epitaph_ready"])
	}
	old.by.Store(int64(config.DefaultJoinWait))
	kit.Until(t, "readiness", func() bool { status, _ := get(t, n, "/readyz"); return status == 200 })
	if v, _ := scrape(t, n); v["epitaph_gossip_alone"] != 1 {
		t.Errorf("not alone: %v", v["epitaph_gossip_alone"])
	}
	lines.Await(t, "level=WARN", "ready by time, and alone", "nothing listens there")
	startNode(t, gossiping(t, "n2", there))
	kit.Until(t, "company", func() bool { v, _ := scrape(t, n); return v["epitaph_gossip_alone"] == 0 })
}

// Brokers of a witness that never come hold a node back for --join-wait; they are named once, and told of when they come.
func TestBrokersThatComeLate(t *testing.T) {
	t.Parallel()
	var old aged
	var lines kit.Log
	first := startNode(t, gossiping(t, "n1", "127.0.0.1:0"))
	ask(t, dial(t, first), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	kit.Until(t, "a witness", func() bool { return first.standing().Witness && first.Gossip().Members()[0].Ready })
	n := startNodeTo(t, slog.NewTextHandler(&lines, nil), func(c *config.Config) {
		gossiping(t, "n2", "127.0.0.1:0", first.Gossip().Addr())(c)
		c.Clock, c.ReadyAfter = old.now, config.DefaultReadyAfter // a busy machine may take its time until they meet
	})
	lines.Await(t, "not ready: other nodes hold brokers that this one lacks")
	old.by.Store(int64(config.DefaultJoinWait))
	lines.Await(t, "level=WARN", "ready by time: brokers that other nodes hold did not register here", "b0 id 0 at 1.1.1.1:10911")
	kit.Until(t, "readiness", func() bool { status, _ := get(t, n, "/readyz"); return status == 200 })
	ask(t, dial(t, n), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	lines.Await(t, "brokers that were missing when this node was ready by time have come")
	if text := lines.String(); strings.Count(text, "level=WARN msg=\"ready by time") != 1 {
		t.Errorf("told more than once:\n%s", text)
	}
}

// The longest gap between two REGISTERs of one broker is told beside --ready-after, and logged when it is longer.
func TestLongestGapIsTold(t *testing.T) {
	t.Parallel()
	var old aged
	var lines kit.Log
	n := startNodeTo(t, slog.NewTextHandler(&lines, nil), func(c *config.Config) {
		gossiping(t, "n1", "127.0.0.1:0")(c)
		c.Clock, c.ReadyAfter, c.Options.ScanNotActiveBrokerInterval = old.now, 30*time.Second, 3_600_000
	})
	broker := dial(t, n)
	seconds := 0
	register := func(later int) {
		seconds += later
		old.by.Store(int64(seconds) * int64(time.Second))
		ask(t, broker, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	}
	shown := func() (gap, period float64) {
		v, _ := scrape(t, n)
		return v["epitaph_registration_longest_gap_seconds"], v["epitaph_registration_period_seconds"]
	}
	for _, later := range []int{0, 31, 12} {
		register(later)
	}
	if gap, period := shown(); gap < 31 || gap > 36 || period != 30 {
		t.Errorf("the longest gap is %v s, beside %v s", gap, period)
	}
	told := n.tellGap(n.readyAfter)
	register(60)
	told = n.tellGap(told)
	n.tellGap(told)
	if text := lines.String(); strings.Count(text, "than --ready-after") != 1 || !strings.Contains(text, "longest_gap=1m0") {
		t.Errorf("told:\n%s", text)
	}
}

// All ports are bound before anybody is told: a node whose start fails for one that is taken was never a member.
func TestAllPortsAreBoundBeforeAnybodyIsTold(t *testing.T) {
	t.Parallel()
	var lines kit.Log
	other := startNodeTo(t, slog.NewTextHandler(&lines, nil), gossiping(t, "n1", "127.0.0.1:0"))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer taken.Close()
	for flag, take := range map[string]func(c *config.Config){
		"--listen": func(c *config.Config) { c.Options.ListenPort = int32(taken.Addr().(*net.TCPAddr).Port) },
		"--http":   func(c *config.Config) { c.HTTP = taken.Addr().String() },
		"--gossip": func(c *config.Config) { c.Gossip.Bind = taken.Addr().String() },
	} {
		cfg := config.Default(config.System{UserHome: t.TempDir()})
		cfg.Options.BindAddress, cfg.Options.ListenPort = "127.0.0.1", 0
		gossiping(t, "n2", "127.0.0.1:0", other.Gossip().Addr())(&cfg)
		take(&cfg)
		n, err := New(cfg, slog.New(slog.DiscardHandler))
		kit.Must(t, err)
		if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s is taken: %v", flag, err)
		}
		kit.Must(t, n.Stop(t.Context()))
	}
	if all := other.Gossip().AllMembers(); len(all) != 1 || strings.Contains(lines.String(), "member joined") {
		t.Errorf("told of it: %+v\n%s", all, lines.String())
	}
}

// One entry that somebody made up at one node holds no restart back: another witness lacks it, and the log says who was left out.
func TestMadeUpEntryHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	var lines kit.Log
	nodes := startClusterWith(t, 2, withHTTP)
	for _, n := range nodes {
		kit.Until(t, "a witness", func() bool { return n.standing().Witness })
	}
	ghost := brokerHeader("0")
	ghost["brokerName"], ghost["brokerAddr"] = "ghost", "6.6.6.6:10911"
	for i, n := range nodes {
		c := dial(t, n)
		ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
		if i == 0 {
			ask(t, c, remoting.RegisterBroker, ghost, twoTopics)
		}
	}
	back := startNodeTo(t, slog.NewTextHandler(&lines, nil), gossiping(t, "n3", "127.0.0.1:0", nodes[0].Gossip().Addr()))
	kit.Until(t, "b0 to be waited for, and the ghost not", func() bool {
		_, why := get(t, back, "/readyz")
		return strings.Contains(why, "waiting for 1 of the 2 brokers") && strings.Contains(why, "not for ghost id 0 at 6.6.6.6:10911")
	})
	ask(t, dial(t, back), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	kit.Until(t, "readiness", func() bool { status, _ := get(t, back, "/readyz"); return status == 200 })
	lines.Await(t, "level=WARN", "brokers were left out", "ghost id 0 at 6.6.6.6:10911", "held_by=n1", "lacked_by=n2")
}

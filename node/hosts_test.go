package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/played"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// TestWhoObserves: a node judges, tells, or takes out, as it was told to; by default it does none of them.
func TestWhoObserves(t *testing.T) {
	for mode, want := range map[config.DeadHostMode]vanish.Mode{
		config.DefaultDeadHosts().Mode: vanish.Off, config.DeadHostsObserve: vanish.Observe, config.DeadHostsOn: vanish.On,
	} {
		n := startNodeTo(t, slog.DiscardHandler, func(c *config.Config) {
			g := gossip.DefaultConfig()
			g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), string(mode)
			c.Gossip, c.DeadHosts.Mode = &g, mode
		})
		if got := n.vanished.Status().Mode; got != want {
			t.Errorf("%s: %v, want %v", mode, got, want)
		}
	}
}

// TestWhoPutsBack: a node that takes out sets aside, unless told otherwise; and asks for a tombstone of what it has set aside, which ends that.
func TestWhoPutsBack(t *testing.T) {
	for what, c := range map[string]struct {
		change func(d *config.DeadHosts)
		want   bool
	}{
		"on":               {func(d *config.DeadHosts) { d.Mode = config.DeadHostsOn }, true},
		"on, =false":       {func(d *config.DeadHosts) { d.Mode, d.Restore = config.DeadHostsOn, false }, false},
		"who observes":     {func(d *config.DeadHosts) { d.Mode = config.DeadHostsObserve }, false},
		"who does nothing": {func(*config.DeadHosts) {}, false},
	} {
		n := startNodeTo(t, slog.DiscardHandler, func(c2 *config.Config) {
			g := gossip.DefaultConfig()
			g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), "n1"
			c2.Gossip = &g
			c.change(&c2.DeadHosts)
		})
		ask(t, dial(t, n), remoting.RegisterBroker, brokerHeader("0"), "")
		r := n.table.Registrations()[0]
		key := tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}
		who := n.table.Holders(key)[0]
		n.table.Vanish(&routes.Vanished{Key: key, Identity: who, Owner: r.Owner.ID, Still: func() bool { return true }})
		if n.table.Holds(key) || n.table.SetAside(key) != c.want || n.depart.Holds(key) != c.want {
			t.Errorf("%s: listed %v, set aside %v, tombstones are asked for: %v", what, n.table.Holds(key), n.table.SetAside(key), n.depart.Holds(key))
		}
		v, _ := n.depart.Judge(tombstone.ID{Key: key, Identity: who}, tombstone.Bounds{Asked: n.clock(), Life: 1, HasLife: true})
		if n.depart.Holds(key) || v.Outcome != tombstone.NotHeld {
			t.Errorf("%s: its tombstone has come: %v", what, v.Outcome)
		}
	}
}

// TestNotJudgedAreCounted: whichever broker is asked about, all registrations whose hosts may not be judged are counted by their reasons.
func TestNotJudgedAreCounted(t *testing.T) {
	n := startNodeTo(t, slog.DiscardHandler, func(c *config.Config) {
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), "n1"
		c.Gossip, c.DeadHosts.Mode, c.HTTP = &g, config.DeadHostsObserve, "127.0.0.1:0"
	})
	c := dial(t, n)
	for _, broker := range []string{"a", "b"} {
		ext := brokerHeader("0")
		ext["brokerName"], ext["brokerAddr"] = broker, "127.0.0.1:1091"+broker
		ask(t, c, remoting.RegisterBroker, ext, "")
	}
	for _, query := range []string{"", "?broker=a", "?broker=b"} {
		var v api.Vanished
		kit.Must(t, json.Unmarshal(asked(n.admin.Handler(), http.MethodGet, "/v1/vanished"+query).Body.Bytes(), &v))
		if !slices.Equal(v.NotJudged, []api.NotJudged{{Reason: "local", Registrations: 2}}) {
			t.Errorf("%q: %+v", query, v.NotJudged)
		}
	}
}

// lastLooks notes looks at connections.
type lastLooks struct {
	*played.At
	open chan bool // whether the kernel could still be asked
}

type lastLook struct {
	vanished.Conn
	*lastLooks
}

func (l *lastLooks) Conn(c vanished.Conn) vanished.Conn { return lastLook{c, l} }

func (l lastLook) Look() (rpc.Look, bool) {
	look, ok := l.Conn.Look()
	l.open <- ok
	return look, ok
}

// TestLastWord: a connection from a broker's machine is looked at once more before it is closed, and nobody else's, also by a node that only answers.
func TestLastWord(t *testing.T) {
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.Options.BindAddress, cfg.Options.ListenPort, cfg.ReadyAfter = "127.0.0.1", 0, 0
	g := gossip.DefaultConfig()
	g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), "n1"
	cfg.Gossip = &g
	n, err := New(cfg, slog.New(slog.DiscardHandler))
	kit.Must(t, err)
	l := &lastLooks{At: new(played.Hosts).At("n1"), open: make(chan bool, 10)}
	n.Play(l)
	kit.Launch(t, n)
	ends := func(c *rpc.Client) {
		c.Close()
		kit.Until(t, "closed", func() bool { return n.server.ConnCount() == 0 })
	}
	c := dial(t, n)
	ask(t, c, remoting.GetBrokerClusterInfo, nil, "")
	ends(c)
	if len(l.open) > 0 {
		t.Error("a connection of a machine without brokers was looked at")
	}
	c = dial(t, n)
	ask(t, c, remoting.RegisterBroker, brokerHeader("0"), "")
	ends(c)
	if len(l.open) != 1 || !<-l.open {
		t.Error("a broker's connection was not looked at before it was closed")
	}
}

// TestVanishedIsTold: hosts are played, all else is real. What two of three nodes took out and the third, which only observes, still holds is told as that at
// all three, and not in the 3 s in which each judges for itself.
func TestVanishedIsTold(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64 // of the clock that the nodes share: a young one judges nobody
	var hosts played.Hosts
	var nodes []*Node
	var seeds []string
	for i := range 3 {
		cfg := config.Default(config.System{UserHome: t.TempDir()})
		cfg.Options.BindAddress, cfg.Options.ListenPort, cfg.ReadyAfter, cfg.HTTP = "127.0.0.1", 0, 0, "127.0.0.1:0"
		cfg.Clock = func() clock.Stamp { return clock.Now().Add(time.Duration(ahead.Load())) }
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name, g.Seeds = "127.0.0.1:0", t.Name(), fmt.Sprintf("n%d", i+1), slices.Clone(seeds)
		cfg.Gossip, cfg.DeadHosts.Mode = &g, config.DeadHostsOn
		if i == 2 {
			cfg.DeadHosts.Mode = config.DeadHostsObserve
		}
		n, err := New(cfg, slog.New(slog.DiscardHandler))
		kit.Must(t, err)
		n.Play(hosts.At(g.Name))
		kit.Launch(t, n)
		nodes, seeds = append(nodes, n), append(seeds, n.Gossip().Addr())
	}
	for _, n := range nodes {
		kit.Until(t, "all members", func() bool { return len(n.Gossip().Members()) == 3 })
	}
	ahead.Store(int64(31 * time.Second))
	for i := range 4 {
		header := maps.Clone(brokerHeader("0"))
		header["brokerName"], header["brokerAddr"] = fmt.Sprintf("b%d", i), fmt.Sprintf("10.1.1.%d:10911", i+1)
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 77, 1, byte(i+1))}}
		for _, n := range nodes {
			conn, err := d.DialContext(t.Context(), "tcp", n.Addr().String())
			if err != nil {
				t.Skipf("SKIPPED, not proven on this machine: no connection comes from a loopback address of its own: %v", err)
			}
			c := rpc.NewClient(conn, rpc.DefaultClientConfig())
			t.Cleanup(func() { c.Close() })
			ask(t, c, remoting.RegisterBroker, header, twoTopics)
		}
	}
	kit.Until(t, "every host to be judged", func() bool {
		judged := 0
		for _, n := range nodes {
			s := n.Vanished()
			for _, h := range s.Hosts {
				if h.Claims[0].Why == vanish.HeardOfLate {
					judged++
				}
			}
		}
		return judged == 12
	})
	// One node's fault first.
	hosts.Silence("n1", netip.MustParseAddr("10.1.1.2"))
	kit.Until(t, "n1 to be contradicted", func() bool {
		d := nodes[0].Vanished().Decisions
		return len(d) > 0 && d[0].Kind == vanished.Kept && d[0].Why == vanish.Contradicted && d[0].Claim.Name == "b1"
	})
	hosts.Heal("n1", netip.MustParseAddr("10.1.1.2"))
	hosts.Silence("", netip.MustParseAddr("10.1.1.1"))
	kit.Until(t, "n1 and n2 to take b0 out", func() bool { return registrations(nodes[0]) == 3 && registrations(nodes[1]) == 3 })
	took := time.Now()
	for i, want := range []string{"n1 took the broker out", "n2 took the broker out", "which has not taken the broker out as n1, n2 may have"} {
		kit.Until(t, "the reason at "+nodes[i].Gossip().Self().Name, func() bool {
			v := diffOf(t, nodes[i], "")
			if len(v.Brokers) == 0 {
				return false
			}
			if b := v.Brokers[0]; b.Reason != "vanished" || !strings.Contains(b.Why, want) || b.Broker != "b0" || b.LastsMS < 3_000 {
				t.Fatalf("%s after %v: %+v", nodes[i].Gossip().Self().Name, time.Since(took), b)
			}
			return true
		})
	}
	if registrations(nodes[2]) != 4 {
		t.Error("who observes has taken a broker out")
	}
}

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
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

// nodesClock is a clock that nodes share. It may be put ahead, and stand still.
type nodesClock struct {
	mu     sync.Mutex
	ahead  time.Duration
	stands clock.Stamp // zero: it goes
}

func (c *nodesClock) now() clock.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stands.IsZero() {
		return c.stands
	}
	return clock.Now().Add(c.ahead)
}

// put puts it ahead.
func (c *nodesClock) put(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// stand stops it, and goOn has it go on from there.
func (c *nodesClock) stand() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stands = clock.Now().Add(c.ahead)
}

func (c *nodesClock) goOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead -= clock.Now().Add(c.ahead).Sub(c.stands)
	c.stands = clock.Stamp{}
}

// judging are nodes of those modes, of which the first watch so many hosts that are played, each with a broker b0, b1, ... at 10.1.1.1, 10.1.1.2, ...; all else
// is real. They may judge all of them.
func judging(t *testing.T, hosts *played.Hosts, now *nodesClock, brokers, watch int, modes ...config.DeadHostMode) (nodes []*Node) {
	t.Helper()
	var seeds []string
	for i, mode := range modes {
		cfg := config.Default(config.System{UserHome: t.TempDir()})
		cfg.Options.BindAddress, cfg.Options.ListenPort, cfg.ReadyAfter, cfg.HTTP = "127.0.0.1", 0, 0, "127.0.0.1:0"
		cfg.Clock = now.now
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name, g.Seeds = "127.0.0.1:0", t.Name(), fmt.Sprintf("n%d", i+1), slices.Clone(seeds)
		cfg.Gossip, cfg.DeadHosts.Mode = &g, mode
		n, err := New(cfg, slog.New(slog.DiscardHandler))
		kit.Must(t, err)
		n.Play(hosts.At(g.Name))
		kit.Launch(t, n)
		nodes, seeds = append(nodes, n), append(seeds, n.Gossip().Addr())
	}
	for _, n := range nodes {
		kit.Until(t, "all members", func() bool { return len(n.Gossip().Members()) == len(modes) })
	}
	now.put(31 * time.Second) // a young node judges nobody
	for i := range brokers {
		header := maps.Clone(brokerHeader("0"))
		header["brokerName"], header["brokerAddr"] = fmt.Sprintf("b%d", i), fmt.Sprintf("10.1.1.%d:10911", i+1)
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 77, 1, byte(i+1))}}
		for _, n := range nodes[:watch] {
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
		for _, n := range nodes[:watch] {
			s := n.Vanished()
			for _, h := range s.Hosts {
				if h.Claims[0].Why == vanish.HeardOfLate {
					judged++
				}
			}
		}
		return judged == brokers*watch
	})
	return nodes
}

// TestVanishedIsTold: hosts are played, all else is real. What two of three nodes took out and the third, which only observes, still holds is told as that at
// all three, and not in the 3 s in which each judges for itself.
func TestVanishedIsTold(t *testing.T) {
	t.Parallel()
	var hosts played.Hosts
	nodes := judging(t, &hosts, new(nodesClock), 4, 3, config.DeadHostsOn, config.DeadHostsOn, config.DeadHostsObserve)
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

// stranger is one of ten thousand brokers that nobody holds.
func stranger(i int) vanish.Subject {
	i %= 10_000
	ip := netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
	return vanish.Subject{Cluster: "C1", Addr: ip.String() + ":10911", Name: fmt.Sprint("stranger", i), Source: ip}
}

// about is a question about six of them.
func about(from vanish.Peer, i int) vanish.Query {
	q := vanish.Query{From: from, Nonce: uint64(i), Nodes: 4}
	for k := range vanish.MaxSubjects {
		q.Subjects = append(q.Subjects, stranger(i*vanish.MaxSubjects+k))
	}
	return q
}

// TestFlood: a member asks about ten thousand brokers without end, answers what nobody asked, and tells of life that nobody asked for. Three others answer it as often
// as they may, and each other as ever; nobody takes a member for dead, and a host that vanishes is gone at all three, which must agree of four.
func TestFlood(t *testing.T) {
	t.Parallel()
	var hosts played.Hosts
	now := new(nodesClock)
	nodes := judging(t, &hosts, now, 4, 3, config.DeadHostsOn, config.DeadHostsOn, config.DeadHostsOn, config.DeadHostsOff)
	floods, nodes := nodes[3].Gossip(), nodes[:3]
	met := func() (text string) { // when each saw each of the others first: a member that is taken for dead and comes back is another
		for _, n := range nodes {
			for _, m := range n.Gossip().Members() {
				text += fmt.Sprintf("%s sees %s since %v\n", n.Gossip().Self().Name, m.Name, m.Since)
			}
		}
		return text
	}
	before := met()
	answers := func(n *Node, member string) bool {
		_, all, err := n.vanished.Poll(t.Context(), "b1")
		kit.Must(t, err)
		return slices.ContainsFunc(all[0].Claims[0].Words, func(w vanish.WordStatus) bool { return w.Member == member && !w.Answered.IsZero() })
	}

	// With a clock that stands still a second's answers are soon used up, however slow this machine is.
	now.stand()
	const mayAsk, mayAnswer, grant = 2000, 4000, 100 // for what the others may have asked meanwhile
	victim, sent := nodes[0], 0
	already := int(victim.Vanished().Counts.Sent["view"])
	kit.Until(t, "more questions than a node may answer", func() bool {
		for range 500 {
			sent++
			floods.Tell(victim.Gossip().Self(), about(floods.Self(), sent), false)
		}
		return victim.Vanished().Counts.Got["query"] > mayAnswer+1000
	})
	s := victim.Vanished()
	t.Logf("of %d questions %d came in and %d were answered", sent, s.Counts.Got["query"], s.Counts.Sent["view"])
	if n := int(s.Counts.Sent["view"]) - already; n < mayAsk-grant || n > mayAsk+grant || s.Limited == 0 {
		t.Errorf("%d answers, want %d; %d held back", n, mayAsk, s.Limited)
	}
	kit.Until(t, "another member's question is answered", func() bool { return answers(nodes[1], "n1") })
	now.goOn()

	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for _, n := range nodes {
		flood.Go(func() {
			got := func() uint64 {
				c := n.Vanished().Counts
				return c.Got["query"] + c.Got["view"] + c.Got["alive"] + c.Dropped
			}
			every := time.NewTicker(10 * time.Millisecond)
			defer every.Stop()
			// As much as the node reads, however slow this machine is: what overflows its socket is lost, and the others' answers with it.
			const burst, patience = 40, 20 // messages of each kind, ticks
			for i, read, waited := 0, uint64(0), 0; ctx.Err() == nil; <-every.C {
				if waited++; got() < read && waited < patience {
					continue
				}
				read, waited = got()+3*burst, 0
				for range burst {
					i++
					for _, m := range []vanish.Message{
						about(floods.Self(), i),
						vanish.View{From: floods.Self(), Nonce: uint64(i), Nodes: 4, Answers: []vanish.Answer{{Life: vanish.Never, PassedOn: vanish.Never}}},
						vanish.Alive{From: floods.Self(), News: []vanish.News{{Subject: stranger(i)}}},
					} {
						floods.Tell(n.Gossip().Self(), m, false)
					}
				}
			}
		})
	}
	t.Cleanup(func() { stop(); flood.Wait() })
	hosts.Silence("", netip.MustParseAddr("10.1.1.1"))
	began := time.Now()
	for _, n := range nodes {
		kit.Until(t, "b0 is gone at "+n.Gossip().Self().Name, func() bool { return registrations(n) == 3 })
	}
	t.Logf("gone at all three %v after its host vanished", time.Since(began).Round(100*time.Millisecond))
	for i, n := range nodes {
		other := nodes[(i+1)%3].Gossip().Self().Name
		kit.Until(t, n.Gossip().Self().Name+" is answered by "+other, func() bool { return answers(n, other) })
	}
	stop()
	flood.Wait()
	for _, n := range nodes {
		s := n.Vanished()
		t.Logf("%s: got %v, sent %v, held back %d, dropped %d", n.Gossip().Self().Name, s.Counts.Got, s.Counts.Sent, s.Limited, s.Counts.Dropped)
		if s.Counts.Evicted != 1 || s.RefusedNonce == 0 || registrations(n) != 3 {
			t.Errorf("%s: %+v", n.Gossip().Self().Name, s.Counts)
		}
	}
	if after := met(); after != before {
		t.Errorf("before the flood:\n%s\nafter it:\n%s", before, after)
	}
}

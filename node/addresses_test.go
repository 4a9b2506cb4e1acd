package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// listing makes a node one of a cluster on loopback, with an address server.
func listing(name string, seeds ...string) func(*config.Config) {
	return func(c *config.Config) {
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name, g.Seeds = "127.0.0.1:0", "addresses", name, seeds
		c.Gossip, c.HTTP, c.Addresses.Server = &g, "127.0.0.1:0", "127.0.0.1:0"
	}
}

// listed is what a node's address server answers.
func listed(n *Node, list string) string {
	_, body := kit.Get(fmt.Sprintf("http://%s/rocketmq/%s", n.addrs.Addr(), list))
	return body
}

// bodyOf is the list of some nodes.
func bodyOf(nodes ...*Node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Addr().String())
	}
	slices.Sort(all)
	return strings.Join(all, ";")
}

// Every node lists all that are ready and witnessed, whatever was first, and one that stops is gone at the others at once.
func TestAddressServersAgree(t *testing.T) {
	t.Parallel()
	first := startNode(t, listing("n1"))
	second := startNode(t, listing("n2", first.Gossip().Addr()))
	third := startNode(t, listing("n3", first.Gossip().Addr()))
	all := []*Node{first, second, third}
	for _, n := range all {
		for _, list := range []string{"nsaddr", "brokers"} {
			kit.Until(t, "all are listed", func() bool { return listed(n, list) == bodyOf(all...) })
		}
	}
	for _, want := range []string{`epitaph_address_list_size{list="clients"} 3`, `epitaph_address_list_size{list="brokers"} 3`, "epitaph_address_lists_still 0"} {
		if _, body := get(t, first, "/metrics"); !strings.Contains(body, want) {
			t.Errorf("metrics without %s", want)
		}
	}
	kit.Must(t, third.Stop(context.WithoutCancel(t.Context())))
	for _, n := range all[:2] {
		kit.Until(t, "who stopped is gone", func() bool {
			return listed(n, "nsaddr") == bodyOf(first, second) && listed(n, "brokers") == bodyOf(first, second)
		})
	}
}

// Which address a node is listed under.
func TestServeAddress(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		host   string // empty: none
	}{
		"where it listens":              {func(*config.Config) {}, "127.0.0.1"},
		"everywhere, without gossip":    {func(c *config.Config) { c.Options.BindAddress = "0.0.0.0" }, ""},
		"everywhere, with gossip":       {func(c *config.Config) { listing("n1")(c); c.Options.BindAddress = "0.0.0.0" }, "127.0.0.1"},
		"IPv6":                          {func(c *config.Config) { c.Options.BindAddress = "::1" }, ""},
		"IPv6 that is wanted":           {func(c *config.Config) { c.Options.BindAddress, c.Addresses.IPv6 = "::1", true }, "::1"},
		"somewhere else":                {func(c *config.Config) { c.Addresses.Advertise = "10.0.0.1:9" }, "10.0.0.1"},
		"somewhere else, by its name":   {func(c *config.Config) { c.Addresses.Advertise = "localhost:9" }, "127.0.0.1"},
		"a name that nobody knows":      {func(c *config.Config) { c.Addresses.Advertise = "epitaph.invalid:9" }, ""},
		"IPv6 elsewhere, by its number": {func(c *config.Config) { c.Addresses.Advertise = "[2001:db8::1]:9" }, ""},
	} {
		n := startNode(t, func(cfg *config.Config) { c.change(cfg) })
		if c.host == "" {
			if a := n.serveAddr(); a.IsValid() {
				t.Errorf("%s: %v", name, a)
			}
			continue
		}
		kit.Until(t, name, func() bool { return n.serveAddr().Addr() == netip.MustParseAddr(c.host) })
	}
}

// A node knows its address before it tells anybody of itself: one that starts again does not leave the lists for a moment. DNS that
// does not answer holds nobody up for long.
func TestServeAddressAtTheStart(t *testing.T) {
	starts := func(look func(ctx context.Context, n *Node) ([]netip.Addr, error)) *Node {
		cfg := config.Default(config.System{UserHome: t.TempDir()})
		listing("n1")(&cfg)
		cfg.Options.BindAddress, cfg.Options.ListenPort, cfg.Addresses.Advertise = "127.0.0.1", 0, "ns1.example:9"
		n, err := New(cfg, slog.New(slog.DiscardHandler))
		kit.Must(t, err)
		n.resolve = func(ctx context.Context, _, _ string) ([]netip.Addr, error) { return look(ctx, n) }
		kit.Must(t, n.Start(t.Context()))
		t.Cleanup(func() { kit.Must(t, n.Stop(context.WithoutCancel(t.Context()))) })
		return n
	}
	before := make(chan bool, 9)
	n := starts(func(_ context.Context, n *Node) ([]netip.Addr, error) {
		before <- n.Gossip().Addr() == ""
		return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
	})
	if !<-before || n.serveAddr() != netip.MustParseAddrPort("10.0.0.1:9") {
		t.Errorf("it is told as %v, and only later", n.serveAddr())
	}
	n = starts(func(ctx context.Context, _ *Node) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if n.serveAddr().IsValid() {
		t.Error("an address that nobody knows")
	}
}

// A port that is taken keeps the node from starting, and nothing of it stays.
func TestAddressPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer l.Close()
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.Options.BindAddress, cfg.Options.ListenPort, cfg.Addresses.Server = "127.0.0.1", 0, l.Addr().String()
	n, err := New(cfg, slog.New(slog.DiscardHandler))
	kit.Must(t, err)
	if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--address-server=") {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", n.Addr().String()); err == nil {
		t.Error("it serves")
	}
}

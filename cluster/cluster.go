package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/memory"
	"github.com/epitaph-mq/epitaph/node/played"
)

// Name is the gossip cluster that the nodes of one process form.
const Name = "local"

// Cluster is several nodes of this process. Make it with New, then Start, then Stop.
type Cluster struct {
	cfg   Config
	names []string
	nodes []*node.Node // those that started, in order
	demo  *demo        // nil: none asked for, or not started
	hosts played.Hosts // of the demo brokers
}

// New checks the configuration. It binds nothing.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg}
	for i := range cfg.Nodes {
		c.names = append(c.names, "n"+strconv.Itoa(i+1))
	}
	return c, nil
}

// Start starts the nodes one after the other, each with all earlier ones as seeds, then the demo brokers. When one
// fails, those that had started are stopped again.
func (c *Cluster) Start(ctx context.Context) error {
	var seeds []string
	for i, name := range c.names {
		cfg, err := c.nodeConfig(i, seeds)
		if err != nil {
			return errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
		}
		n, err := node.New(cfg, c.cfg.Logger.With("node", name))
		if err == nil {
			if c.playsHosts() {
				n.Play(c.hosts.At(name))
			}
			err = n.Start(ctx)
		}
		if err != nil {
			return errors.Join(explain(name, err), c.Stop(context.WithoutCancel(ctx)))
		}
		c.nodes = append(c.nodes, n)
		seeds = append(seeds, n.Gossip().Addr())
	}
	if c.cfg.DemoBrokers > 0 {
		c.demo = startDemo(c.cfg.DemoBrokers, c.names, c.addrs(), &c.hosts, c.cfg.Logger.With("component", "demo"))
	}
	return nil
}

// playsHosts says that hosts of demo brokers vanish, and the nodes find it out together.
func (c *Cluster) playsHosts() bool { return c.cfg.DemoBrokers > 0 && c.cfg.Nodes > 1 }

func (c *Cluster) nodeConfig(i int, seeds []string) (config.Config, error) {
	cfg := config.Default(c.cfg.System)
	dir := filepath.Join(c.cfg.Data, c.names[i])
	cfg.UseDataDir(dir)
	cfg.SocketDir = dir
	host, port, err := splitAddr(c.cfg.Listen)
	if err != nil {
		return cfg, err
	}
	if host == "" {
		host = "0.0.0.0"
	}
	cfg.Release, cfg.DroppedLines = c.cfg.Release, c.cfg.DroppedLines
	cfg.Memory = memory.Plan(memory.Find(0))
	cfg.ReadyAfter = 0 // whoever tries it wants to see it at once
	http := 0
	if port != 0 {
		http = port + i + httpAbove
	}
	cfg.Options.BindAddress, cfg.Options.ListenPort = host, int32(nth(port, i))
	cfg.HTTP = net.JoinHostPort(httpHost(host), strconv.Itoa(http))
	host, port, err = splitAddr(c.cfg.Gossip)
	if err != nil {
		return cfg, err
	}
	g := gossip.DefaultConfig()
	g.Bind, g.Seeds = net.JoinHostPort(host, strconv.Itoa(nth(port, i))), seeds
	g.Cluster, g.Name = Name, c.names[i]
	cfg.Gossip = &g
	if c.playsHosts() {
		cfg.DeadHosts.Mode = config.DeadHostsOn
	}
	return cfg, nil
}

// explain adds the remedy to why a node did not start.
func explain(name string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("node %s: %w: another program has this port, perhaps a NameServer that still runs; stop it, or "+
			"choose other ports, such as --listen 127.0.0.1:19876", name, err)
	}
	return fmt.Errorf("node %s: %w", name, err)
}

// Stop lets the demo brokers leave, then stops the nodes, the last first. It may be called again.
func (c *Cluster) Stop(ctx context.Context) error {
	c.demo.stop()
	c.demo = nil
	var errs []error
	for i := len(c.nodes) - 1; i >= 0; i-- {
		if err := c.nodes[i].Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", c.names[i], err))
		}
	}
	c.nodes = nil
	return errors.Join(errs...)
}

// Drain drains all nodes at once; see node.Node.
func (c *Cluster) Drain(ctx context.Context) {
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(func() { n.Drain(ctx) })
	}
	all.Wait()
}

// Reload does nothing: the nodes have no files of an operator, and gossip on loopback has no keys.
func (c *Cluster) Reload(*config.Config) error { return nil }

// Addr is where the first node listens; only between Start and Stop, as all that follows.
func (c *Cluster) Addr() netip.AddrPort { return c.nodes[0].Addr() }

// HTTPAddr is where the first node's HTTP listens.
func (c *Cluster) HTTPAddr() netip.AddrPort { return c.nodes[0].HTTPAddr() }

// Socket is the first node's.
func (c *Cluster) Socket() string { return c.nodes[0].Socket() }

// KVFault is the first node's.
func (c *Cluster) KVFault() error { return c.nodes[0].KVFault() }

// OptionsFault is the first node's.
func (c *Cluster) OptionsFault() error { return c.nodes[0].OptionsFault() }

// Ready says whether all nodes are ready, and else why the first that is not is not.
func (c *Cluster) Ready() (ready bool, why string) {
	for i, n := range c.nodes {
		if ready, why = n.Ready(); !ready {
			return false, c.names[i] + ": " + why
		}
	}
	return ready, why
}

// Nodes are the nodes in order.
func (c *Cluster) Nodes() []*node.Node { return c.nodes }

// Names are their names, in order.
func (c *Cluster) Names() []string { return c.names }

// addrs are addresses that the nodes can be reached at from this process.
func (c *Cluster) addrs() []string {
	var all []string
	for _, n := range c.nodes {
		addr := n.Addr()
		if addr.Addr().IsUnspecified() {
			addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
		}
		all = append(all, addr.String())
	}
	return all
}

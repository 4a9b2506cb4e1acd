package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/gossip/impair"
	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const (
	gossipCluster = "bench"
	seedNodes     = 3                // how many nodes every node has as seeds
	formLimit     = 60 * time.Second // until every node knows every other one
	manyNodes     = 16
	atOnce        = 16 // nodes that are started, registered at and stopped at the same time
	// settleBrokers lets connections grow older than any round trip: only then can a departure judge them.
	settleBrokers = 250 * time.Millisecond
)

// field is the nodes of one setting, in this process or elsewhere.
type field struct {
	nodes   []fieldNode
	net     *impair.Network // between the nodes; nil where they do not gossip, or run elsewhere
	profile Profile
	dir     string
	change  func(node int, c *config.Config)
	play    func(node int) node.HostPlay
}

type fieldNode struct {
	addr      string            // where brokers and clients connect
	node      *node.Node        // nil: it runs elsewhere
	transport *impair.Transport // nil: it does not gossip, or runs elsewhere
	evicted   chan struct{}     // has one when it has evicted since the last look; nil: it does not gossip, or runs elsewhere
}

// convergeProfile gives every broker topics of its own, so that a topic is gone with its broker.
func convergeProfile(brokers int) Profile {
	return Profile{Name: "convergence", Brokers: brokers, Topics: 2 * brokers, Width: 1}
}

// targetField is NameServers that already run. Each must answer like one.
func targetField(ctx context.Context, targets []string, brokers int) (*field, error) {
	f := &field{profile: convergeProfile(brokers)}
	var errs []error
	for _, addr := range targets {
		c, err := dialCaller(ctx, addr)
		if err == nil {
			err = c.probe()
			c.conn.Close()
		}
		errs = append(errs, err)
		f.nodes = append(f.nodes, fieldNode{addr: addr})
	}
	return f, errors.Join(errs...)
}

// startField starts n nodes of this process on loopback and waits until each knows all others.
func startField(ctx context.Context, n, brokers int, gossips bool, seed uint64) (*field, error) {
	return startFieldWith(ctx, n, brokers, gossips, seed, func(int, *config.Config) {}, nil)
}

// startFieldWith is startField of nodes whose configuration is changed first, and which hear of hosts as play says; nil: as their kernel does.
func startFieldWith(
	ctx context.Context, n, brokers int, gossips bool, seed uint64, change func(node int, c *config.Config), play func(node int) node.HostPlay,
) (f *field, err error) {
	f = &field{nodes: make([]fieldNode, n), profile: convergeProfile(brokers), change: change, play: play}
	if f.dir, err = os.MkdirTemp("", "epitaph-convergence-"); err != nil {
		return nil, fmt.Errorf("make a directory for the nodes: %w", err)
	}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	if gossips {
		f.net = &impair.Network{}
		for i := range f.nodes {
			if f.nodes[i].transport, err = f.net.Listen("127.0.0.1", seed+uint64(i)); err != nil {
				return nil, err
			}
		}
	}
	group, starting := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range f.nodes {
		group.Go(func() error { return f.startNode(starting, i) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := f.awaitMembers(ctx); err != nil {
		return nil, err
	}
	if gossips && n >= manyNodes {
		err = pause(ctx, idleSettle) // many joins are told on for a while
	}
	return f, err
}

func (f *field) startNode(ctx context.Context, i int) error {
	cfg := config.Default(config.System{UserHome: f.dir})
	cfg.UseDataDir(filepath.Join(f.dir, fmt.Sprint(i)))
	cfg.Options.BindAddress, cfg.Options.ListenPort = "127.0.0.1", 0
	if t := f.nodes[i].transport; t != nil {
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name, g.Transport = t.Addr(), gossipCluster, fmt.Sprintf("n%d", i+1), t
		evicted := make(chan struct{}, 1)
		f.nodes[i].evicted = evicted
		g.OnDecision = func(d tombstone.Decision) {
			if d.Verdict.Outcome == tombstone.Evicted {
				select {
				case evicted <- struct{}{}:
				default:
				}
			}
		}
		for j := range min(seedNodes, len(f.nodes)) {
			if j != i {
				g.Seeds = append(g.Seeds, f.nodes[j].transport.Addr())
			}
		}
		cfg.Gossip = &g
	}
	f.change(i, &cfg)
	n, err := node.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if f.play != nil {
		n.Play(f.play(i))
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	f.nodes[i].node, f.nodes[i].addr = n, n.Addr().String()
	return nil
}

// awaitMembers waits until every node knows every other one.
func (f *field) awaitMembers(ctx context.Context) error {
	if f.net == nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, formLimit, fmt.Errorf("the nodes did not find each other within %v; ask for fewer nodes or less loss", formLimit))
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for i := 0; i < len(f.nodes); {
		if len(f.nodes[i].node.Gossip().Members()) == len(f.nodes) {
			i++
			continue
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// stop ends the nodes of this process.
func (f *field) stop() {
	if f.net != nil {
		f.net.Hinder(0, 0)
		f.net.Partition(nil)
	}
	var group errgroup.Group
	group.SetLimit(4 * atOnce) // each waits until the others have heard that it leaves
	for _, n := range f.nodes {
		if n.node == nil {
			if n.transport != nil {
				_ = n.transport.Shutdown() // never started
			}
			continue
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
			defer cancel()
			return n.node.Stop(ctx)
		})
	}
	_ = group.Wait() // the run is over: nothing depends on an orderly end
	os.RemoveAll(f.dir)
}

// broker is one broker process: a connection to every node.
type broker struct {
	address
	conns []*caller // by node
}

func (b *broker) close() {
	for _, c := range b.conns {
		if c != nil {
			c.conn.Close()
		}
	}
}

// unregister leaves one node.
func (b *broker) unregister(node int) error {
	a, err := b.conns[node].call(callTimeout, func(out []byte, seq uint32) []byte { return appendUnregister(out, b.address, seq) })
	if err == nil && a.code != 0 {
		err = fmt.Errorf("unregister %s: %w", b.broker, a.failure())
	}
	return err
}

// register announces all brokers of the profile at every node, each over connections of its own, lets them settle, and
// announces them again: a broker that runs does so every 30 s, so that its connections are older than its last proof of life.
func (f *field) register(ctx context.Context) ([]*broker, error) {
	all := make([]*broker, f.profile.Brokers)
	for b := range all {
		all[b] = &broker{address: f.profile.addressesOf(b)[0], conns: make([]*caller, len(f.nodes))}
	}
	group, dialling := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, n := range f.nodes {
		group.Go(func() error {
			for _, b := range all {
				c, err := dialCaller(dialling, n.addr)
				if err != nil {
					return err
				}
				b.conns[i] = c
				if err := c.register(b.address, f.profile.newRegisterBody(b.index, 0).bytes); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if err == nil {
		err = pause(ctx, settleBrokers)
	}
	if err == nil {
		err = f.registerAgain(all)
	}
	if err != nil {
		closeBrokers(all)
		return nil, err
	}
	return all, nil
}

func (f *field) registerAgain(all []*broker) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range f.nodes {
		group.Go(func() error {
			for _, b := range all {
				if err := b.conns[i].register(b.address, f.profile.newRegisterBody(b.index, 0).bytes); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func closeBrokers(all []*broker) {
	for _, b := range all {
		b.close()
	}
}

// registrations answers how many registrations all nodes of this process hold.
func (f *field) registrations() (n int) {
	for _, m := range f.nodes {
		if m.node != nil {
			n += m.node.Table().Stats().Registrations
		}
	}
	return n
}

// awaitEmpty waits until the nodes have noticed that the brokers' connections are closed, so that the next ones begin anew.
func (f *field) awaitEmpty(ctx context.Context) error {
	for began := time.Now(); f.registrations() > 0 && time.Since(began) < formLimit; {
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pause lets d pass, less when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sum adds up a count of every node of this process that gossips.
func (f *field) sum(count func(*gossip.Gossip) uint64) (n uint64) {
	for _, m := range f.nodes {
		if m.node != nil && m.node.Gossip() != nil {
			n += count(m.node.Gossip())
		}
	}
	return n
}

// callers is a pool of asking connections to one node.
type callers struct {
	mu   sync.Mutex
	free []*caller
}

func (p *callers) take(ctx context.Context, addr string) (*caller, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return dialCaller(ctx, addr)
}

func (p *callers) give(c *caller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
}

func (p *callers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.free {
		c.conn.Close()
	}
	p.free = nil
}

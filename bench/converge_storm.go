package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const (
	stormConns  = 32
	stormSample = 100 * time.Millisecond
	idleSettle  = 3 * time.Second // until joins are over
	// What a datagram and a stream cost beside their content: IP and UDP; SYN, FIN and acknowledgements of a short stream.
	datagramHead, streamHead = 28, 10 * 52
)

// IdleResult is the traffic of nodes that have nothing to say, by node.
type IdleResult struct {
	Nodes       int     `json:"nodes"`
	Seconds     float64 `json:"seconds"`
	PacketsEach float64 `json:"packets_per_s_and_node"`
	BytesEach   float64 `json:"bytes_per_s_and_node"` // sent, with the headers of IP, UDP and TCP
}

// idle measures nodes that know each other and nothing else.
func (r *convergence) idle(ctx context.Context, f *field) error {
	r.progress.Step("%d nodes with nothing to say, for %v", len(f.nodes), r.config.Idle)
	if err := pause(ctx, idleSettle); err != nil {
		return err
	}
	i, err := f.traffic(ctx, r.config.Idle)
	if err != nil {
		return err
	}
	r.report.Idle = append(r.report.Idle, i)
	r.progress.Step("  %.1f packets and %.0f bytes a second from each node", i.PacketsEach, i.BytesEach)
	return nil
}

// traffic measures for d what the nodes send each other.
func (f *field) traffic(ctx context.Context, d time.Duration) (*IdleResult, error) {
	before, began := f.net.Traffic(), time.Now()
	if err := pause(ctx, d); err != nil {
		return nil, err
	}
	t, took := f.net.Traffic().Since(before), time.Since(began).Seconds()
	each := took * float64(len(f.nodes))
	bytes := t.PacketBytes + datagramHead*t.Packets + t.StreamBytes + streamHead*t.Streams
	return &IdleResult{
		Nodes: len(f.nodes), Seconds: took,
		PacketsEach: float64(t.Packets) / each, BytesEach: float64(bytes) / each,
	}, nil
}

// StormResult is one storm of UNREGISTERs at one node.
type StormResult struct {
	Nodes       int     `json:"nodes"`
	Sources     int     `json:"source_addresses"`
	Wanted      int     `json:"wanted_per_s"`
	Seconds     float64 `json:"seconds"`
	Handled     int64   `json:"unregistered"` // answered with success; each was registered before
	PerSecond   float64 `json:"unregistered_per_s"`
	Made        uint64  `json:"tombstones_made"`
	SourceLimit uint64  `json:"not_made_source_limit"`
	NodeLimit   uint64  `json:"not_made_node_limit"`
	BytesEach   float64 `json:"bytes_per_tombstone_and_member"`
	LiveMax     int     `json:"tombstones_max"`
	HintsMax    int     `json:"hints_waiting_max"` // of one member at one node
	PullsMax    int     `json:"pulls_waiting_max"`
	InboxFull   uint64  `json:"messages_dropped_inbox_full"`
	RSSBefore   float64 `json:"rss_before_mb"` // of this whole process: all nodes, brokers and clients
	RSSMax      float64 `json:"rss_max_mb"`
	RSSAfter    float64 `json:"rss_after_mb"`
	MembersGone uint64  `json:"members_taken_for_dead"`

	Beside *SettingResult `json:"departures_beside,omitempty"`
}

// storm lets brokers register and leave at one node as fast as asked: from one source address while other brokers leave
// as well, then from many, which meets the limit of the node.
func (r *convergence) storm(ctx context.Context, n int) error {
	for _, sources := range []int{1, stormConns} {
		if err := r.stormFrom(ctx, n, sources); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

func (r *convergence) stormFrom(ctx context.Context, n, sources int) error {
	c := r.config
	f, err := startField(ctx, n, c.Brokers, true, c.Seed)
	if err != nil {
		return err
	}
	defer f.stop()
	r.progress.Step("%d nodes, %d UNREGISTERs a second for %v from %d source address(es)", n, c.Storm, c.StormTime, sources)
	res := &StormResult{Nodes: n, Sources: sources, Wanted: c.Storm, RSSBefore: ownRSS()}
	r.report.Storms = append(r.report.Storms, res)
	sent, bytes, gone := stormCounts(f)
	blowing, still := context.WithTimeout(ctx, c.StormTime)
	defer still()
	var group errgroup.Group
	var handled atomic.Int64
	began := time.Now()
	for i := range stormConns {
		group.Go(func() error { return blow(blowing, f.nodes[0].addr, i, sources, c.Storm, &handled) })
	}
	group.Go(func() error { res.sample(blowing, f); return nil })
	if sources == 1 {
		s := newSetting(f, MissAllButOne, c.Timeout, c.Seed, r.progress)
		res.Beside = s.SettingResult
		all := plan(c.Seed, MissAllButOne, n, c.Brokers, MaxTrials)
		group.Go(func() error {
			if err := s.run(blowing, all); err != nil {
				return fmt.Errorf("departures beside the storm: %w", err)
			}
			return nil
		})
	}
	err = group.Wait()
	res.Seconds, res.Handled = time.Since(began).Seconds(), handled.Load()
	res.PerSecond = float64(res.Handled) / res.Seconds
	res.finish(f, sent, bytes, gone)
	r.progress.Step("  %.0f a second handled, %d tombstones made, %d refused by the source's and %d by the node's limit",
		res.PerSecond, res.Made, res.SourceLimit, res.NodeLimit)
	return err
}

func stormCounts(f *field) (made, bytes, gone uint64) {
	return f.sum(func(g *gossip.Gossip) uint64 { return g.Counters().Made[tombstone.Made] }),
		f.sum(func(g *gossip.Gossip) uint64 { return g.Counts().SentBytes }),
		f.sum(func(g *gossip.Gossip) uint64 { return g.Counts().MembersLost })
}

func (res *StormResult) finish(f *field, made, bytes, gone uint64) {
	made2, bytes2, gone2 := stormCounts(f)
	res.Made, res.MembersGone = made2-made, gone2-gone
	if res.Made > 0 {
		res.BytesEach = float64(bytes2-bytes) / float64(res.Made) / float64(res.Nodes-1)
	}
	res.SourceLimit = f.sum(func(g *gossip.Gossip) uint64 { return g.Counters().Made[tombstone.SourceLimit] })
	res.NodeLimit = f.sum(func(g *gossip.Gossip) uint64 { return g.Counters().Made[tombstone.NodeLimit] })
	res.InboxFull = f.sum(func(g *gossip.Gossip) uint64 { return g.Counts().InboxFull })
	res.RSSAfter = ownRSS()
}

// sample looks at queues and memory until ctx ends.
func (res *StormResult) sample(ctx context.Context, f *field) {
	for pause(ctx, stormSample) == nil {
		res.RSSMax = max(res.RSSMax, ownRSS())
		for _, n := range f.nodes {
			s := n.node.Gossip().Status(0)
			res.LiveMax = max(res.LiveMax, s.Live)
			for _, m := range s.Members {
				res.HintsMax, res.PullsMax = max(res.HintsMax, m.Hints), max(res.PullsMax, m.Pulls)
			}
		}
	}
}

// blow registers and unregisters one broker over one connection, at its share of the rate.
func blow(ctx context.Context, addr string, i, sources, perSecond int, handled *atomic.Int64) error {
	p := convergeProfile(MaxBrokers + stormConns)
	self := p.addressesOf(MaxBrokers + i)[0]
	body := p.newRegisterBody(self.index, 0)
	// Sources of their own, so that the limit for one address is not that of the brokers that leave beside.
	c, err := dialFrom(ctx, net.IPv4(127, 0, 0, byte(2+i%sources)), addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	gap := time.Second * stormConns / time.Duration(perSecond)
	for next := time.Now(); ; next = next.Add(gap) {
		if wait := time.Until(next); wait > 0 && pause(ctx, wait) != nil || ctx.Err() != nil {
			return nil
		}
		if err := c.register(self, body.bytes); err != nil {
			return err
		}
		a, err := c.call(callTimeout, func(out []byte, seq uint32) []byte { return appendUnregister(out, self, seq) })
		if err != nil {
			return err
		}
		if a.code != 0 {
			return fmt.Errorf("unregister during the storm: %w", a.failure())
		}
		handled.Add(1)
	}
}

// dialFrom connects from one of the loopback addresses; where the system has only one, from that.
func dialFrom(ctx context.Context, ip net.IP, addr string) (*caller, error) {
	d := net.Dialer{Timeout: dialTimeout, LocalAddr: &net.TCPAddr{IP: ip}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return dialCaller(ctx, addr)
	}
	if err != nil {
		return nil, err
	}
	return &caller{addr: addr, conn: conn, in: make([]byte, 4096)}, nil
}

// ownRSS is the resident memory of this process in MB; 0 where it is not known.
func ownRSS() float64 {
	rss, err := readRSS(os.Getpid())
	if err != nil {
		return 0
	}
	return float64(rss) / (1 << 20)
}

package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const (
	// lateProofWait is how long the acknowledgement of an UNREGISTER's answer is waited for: on a busy connection it may
	// be delayed by 40 ms (docs/spec/tombstones.md#late-proof).
	lateProofWait = 100 * time.Millisecond
	// lateProofsAtOnce bounds how many are waited for; without one, a tombstone is only less often able to evict.
	lateProofsAtOnce = 4096
)

// leavings counts UNREGISTERs by what they mean for tombstones.
type leavings [routes.LeavingNoProof + 1]atomic.Uint64

// departures is what a node does beside its tables when brokers leave: it tells the others, and judges by what they tell.
// It is the tombstone.Tables of the node's exchange.
type departures struct {
	table    *routes.Table
	apply    func(routes.Effects)
	clock    func() clock.Stamp
	log      *slog.Logger
	gossip   *gossip.Gossip
	cluster  string
	metrics  *metrics // nil: nobody can ask
	detach   func()   // memberlist's series from metrics
	leavings leavings
	waiting  chan struct{} // slots for late proofs
	ctx      context.Context
	cancel   context.CancelFunc
	group    sync.WaitGroup
	also     func(tombstone.Decision) // told after this; nil: nobody
	unmade   rate.Sometimes           // limits the log of departures that made no tombstone; the counts have them all
	tooLong  sync.Once                // a name that no message can carry is told of once: its broker leaves again and again
}

var _ tombstone.Tables = (*departures)(nil)

func newDepartures(table *routes.Table, apply func(routes.Effects), cfg gossip.Config, m *metrics) (*departures, error) {
	d := &departures{
		table: table, apply: apply, clock: cfg.Clock, log: cfg.Logger, cluster: cfg.Cluster, metrics: m, detach: func() {},
		waiting: make(chan struct{}, lateProofsAtOnce),
	}
	d.unmade = rate.Sometimes{First: 10, Interval: time.Second}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.also = cfg.OnDecision
	cfg.OnDecision, cfg.OnRefuted = d.decided, d.refuted
	var err error
	d.gossip, err = gossip.New(cfg, d)
	return d, err
}

func (d *departures) start() error {
	if d.metrics != nil {
		var err error
		if d.detach, err = memberlistBridge.attach(d.gossip.MemberName(), d.metrics.sink); err != nil {
			return err
		}
	}
	return d.gossip.Start()
}

func (d *departures) stop(ctx context.Context) error {
	d.cancel()
	d.group.Wait() // each ends within lateProofWait
	defer d.detach()
	return d.gossip.Stop(ctx)
}

// announce tells the other nodes where this one stands and where it is reached.
func (n *Node) announce() {
	if n.depart == nil {
		return
	}
	// Whoever announces last must have looked last.
	n.announcing.Lock()
	defer n.announcing.Unlock()
	g := n.depart.gossip
	m := gossip.Meta{Phase: gossip.PhaseStarting}
	switch n.phase.get() {
	case phaseStarting:
	case phaseServing:
		m.Phase = gossip.PhaseReady
		if ready, _ := n.Ready(); !ready {
			m.Phase = gossip.PhaseWaiting
		}
	case phaseDraining:
		m.Phase = gossip.PhaseDraining
	case phaseStopping:
		m.Phase = gossip.PhaseStopping
	}
	where := func(a netip.AddrPort) string {
		if !a.IsValid() {
			return ""
		}
		return net.JoinHostPort(g.HostFor(a.Addr().String()), strconv.Itoa(int(a.Port())))
	}
	if m.Phase != gossip.PhaseStarting { // gossip has started, so this node knows by what address it is reached
		m.NameServer, m.HTTP = where(n.Addr()), where(n.HTTPAddr())
	}
	g.Announce(m)
}

// Holds says whether a registration of k exists here.
func (d *departures) Holds(k tombstone.Key) bool {
	_, ok := d.table.Holds(k)
	return ok
}

// Judge evicts where the rule says so. What an eviction demands outside of the tables comes to decided.
func (d *departures) Judge(id tombstone.ID, b tombstone.Bounds) (v tombstone.Verdict, effects any) {
	return d.table.Judge(id.Key, id.Identity, b)
}

// decided carries out what an eviction demands, and writes one line for each decision. The exchange's lock is not held.
func (d *departures) decided(dec tombstone.Decision) {
	if eff, judged := dec.Effects.(routes.Effects); judged {
		d.apply(eff)
	}
	d.metrics.evicted(&dec)
	level := slog.LevelInfo
	if dec.Verdict.Outcome == tombstone.NotHeld {
		level = slog.LevelDebug // the usual case: this node heard the UNREGISTER itself
	}
	if ctx := context.Background(); d.log.Enabled(ctx, level) {
		d.log.Log(ctx, level, "tombstone judged", append(tombstoneAttrs(dec.ID),
			"outcome", dec.Verdict.Outcome.String(),
			"life_margin", dec.Verdict.LifeMargin, "register_margin", dec.Verdict.RegisterMargin,
			"age", dec.Verdict.Age)...)
	}
	if d.also != nil {
		d.also(dec)
	}
}

// refuted tells of an eviction that was wrong, as far as can be known.
func (d *departures) refuted(r tombstone.Refutation) {
	attrs := append(tombstoneAttrs(r.Decision.ID),
		"life_margin", r.Decision.Verdict.LifeMargin, "register_margin", r.Decision.Verdict.RegisterMargin,
		"age", r.Decision.Verdict.Age, "back_after", r.Back)
	d.log.Warn("eviction by tombstone refuted: the broker went on registering on the same connection", attrs...)
	if r.Hold {
		d.log.Error("evictions by tombstone are on hold for ten minutes: three were refuted within ten minutes; " +
			"look for brokers that share one address")
	}
}

func tombstoneAttrs(id tombstone.ID) []any {
	return []any{
		"cluster", id.Cluster, "broker", id.Name, "id", id.BrokerID, "addr", id.Addr, "remote", id.RemoteIP,
		"origin", id.Origin.Name, "boot", fmt.Sprintf("%016x", id.Origin.Boot), "seq", id.Seq, "revision", id.Revision,
	}
}

// left is told of every UNREGISTER that was handled, before its answer is written.
func (d *departures) left(c *rpc.Conn, u *routes.Unregistration, left *routes.Left, oneway bool) {
	d.leavings[left.Leaving].Add(1)
	d.gossip.Unregistered(u.Conn, tombstone.Key{Cluster: u.Cluster, Addr: u.Addr})
	if left.Leaving != routes.LeavingProven {
		return
	}
	dep := left.Departure
	if life, ok := c.Life(dep.Unregistered); ok {
		dep.Life = life
	}
	// Whatever is acknowledged of what is written from here on is the answer to the UNREGISTER.
	since := d.clock()
	id, why, made := d.gossip.Made(dep)
	if !made {
		d.notMade(dep, why)
		return
	}
	d.log.Info("tombstone made", append(tombstoneAttrs(id), "life_known", !dep.Life.IsZero())...)
	if dep.LateProof && !oneway {
		c.AfterFlush(func() { d.awaitLateProof(c, id, since) })
	}
}

// notMade tells of a departure that stays local.
func (d *departures) notMade(dep tombstone.Departure, why tombstone.NotMade) {
	if why == tombstone.TooLong {
		d.tooLong.Do(func() {
			d.log.Warn("departure not told to the other nodes: its names are too long for a message; "+
				"epitaph_tombstones_not_made_total counts those that follow", "cluster", dep.Cluster, "broker", dep.Name,
				"addr", dep.Addr)
		})
		return
	}
	d.unmade.Do(func() {
		d.log.Warn("departure not told to the other nodes", "broker", dep.Name, "addr", dep.Addr, "why", why.String())
	})
}

// awaitLateProof raises the tombstone's proof of life when the answer to its UNREGISTER is acknowledged in time.
func (d *departures) awaitLateProof(c *rpc.Conn, id tombstone.ID, since clock.Stamp) {
	select {
	case d.waiting <- struct{}{}:
	default:
		return
	}
	d.group.Go(func() {
		defer func() { <-d.waiting }()
		ctx, cancel := context.WithTimeout(d.ctx, lateProofWait)
		defer cancel()
		if life, ok := c.LateLife(ctx, since); ok {
			d.gossip.LateProof(id, life)
		}
	})
}

// Package departures is what a node does beside its tables when brokers leave: it tells the other nodes, and judges by what
// they tell. The protocol is package tombstone, its transport package gossip; this is the shell between them, the
// connections and the tables.
package departures

import (
	"context"
	"fmt"
	"log/slog"
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

// Shell is the tombstone.Tables of a node's exchange, and carries out what its decisions demand.
type Shell struct {
	gossip  *gossip.Gossip
	cluster string
	table   *routes.Table
	apply   func(routes.Effects)
	clock   func() clock.Stamp
	log     *slog.Logger
	also    func(tombstone.Decision)        // told after this; nil: nobody
	alsoOf  func(tombstone.RefutedEviction) // likewise
	left    [routes.LeavingNoProof + 1]atomic.Uint64
	waiting chan struct{} // slots for late proofs
	ctx     context.Context
	cancel  context.CancelFunc
	group   sync.WaitGroup
	unmade  rate.Sometimes // limits the log of departures that made no tombstone; the counts have them all
	tooLong sync.Once      // a name that no message can carry is told of once: its broker leaves again and again
}

var _ tombstone.Tables = (*Shell)(nil)

// New joins nobody yet. apply carries out what evictions demand outside of the tables.
func New(table *routes.Table, apply func(routes.Effects), cfg gossip.Config) (*Shell, error) {
	d := &Shell{
		table: table, apply: apply, clock: cfg.Clock, log: cfg.Logger, cluster: cfg.Cluster, also: cfg.OnDecision,
		alsoOf:  cfg.OnRefutedEviction,
		waiting: make(chan struct{}, lateProofsAtOnce),
		unmade:  rate.Sometimes{First: 10, Interval: time.Second},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	cfg.OnDecision, cfg.OnRefutedEviction = d.decided, d.refuted
	var err error
	d.gossip, err = gossip.New(cfg, d)
	return d, err
}

// Gossip is the node's membership.
func (d *Shell) Gossip() *gossip.Gossip { return d.gossip }

// Cluster is the name that all members have in common.
func (d *Shell) Cluster() string { return d.cluster }

// Count is how many UNREGISTERs meant that for tombstones.
func (d *Shell) Count(l routes.Leaving) uint64 { return d.left[l].Load() }

// Stop leaves the others.
func (d *Shell) Stop(ctx context.Context) error {
	d.cancel()
	d.group.Wait() // each ends within lateProofWait
	return d.gossip.Stop(ctx)
}

// Holds says whether a registration of k exists here, or is set aside to be put back.
func (d *Shell) Holds(k tombstone.Key) bool {
	return d.table.Holds(k) || d.table.SetAside(k)
}

// Judge evicts where the rule says so. What an eviction demands outside of the tables comes to decided.
func (d *Shell) Judge(id tombstone.ID, b tombstone.Bounds) (v tombstone.Verdict, effects any) {
	return d.table.Judge(id.Key, id.Identity, b)
}

// decided carries out what an eviction demands, and writes one line for each decision. The exchange's lock is not held.
func (d *Shell) decided(dec tombstone.Decision) {
	if eff, judged := dec.Effects.(routes.Effects); judged {
		d.apply(eff)
	}
	level := slog.LevelInfo
	if dec.Verdict.Outcome == tombstone.NotHeld {
		level = slog.LevelDebug // the usual case: this node heard the UNREGISTER itself
	}
	if ctx := context.Background(); d.log.Enabled(ctx, level) {
		d.log.Log(ctx, level, "tombstone judged", append(tombstoneAttrs(dec.ID),
			"outcome", dec.Verdict.Outcome.Name(), "why", dec.Verdict.Outcome.String(),
			"life_margin", dec.Verdict.LifeMargin, "register_margin", dec.Verdict.RegisterMargin,
			"age", dec.Verdict.Age)...)
	}
	if d.also != nil {
		d.also(dec)
	}
}

// refuted tells of an eviction that was wrong, as far as can be known.
func (d *Shell) refuted(r tombstone.RefutedEviction) {
	v := &r.Decision.Verdict
	d.log.Warn("eviction by tombstone refuted: the broker went on registering on the same connection", append(tombstoneAttrs(r.Decision.ID),
		"life_margin", v.LifeMargin, "register_margin", v.RegisterMargin, "age", v.Age, "back_after", r.Back)...)
	for _, h := range r.Holds {
		d.onHold(h)
	}
	if d.alsoOf != nil {
		d.alsoOf(r)
	}
}

// onHold tells what this node evicts no more for a while.
func (d *Shell) onHold(h tombstone.Hold) {
	switch h.Kind {
	case tombstone.HoldKey:
		d.log.Warn("evictions of one broker by tombstones of one source are on hold for ten minutes: two were refuted within ten minutes",
			"cluster", h.Key.Cluster, "addr", h.Key.Addr, "source", h.Source)
	case tombstone.HoldSource:
		d.log.Warn("evictions by tombstones of one source are on hold for ten minutes: three were refuted within ten minutes; "+
			"look for brokers that share one address", "source", h.Source)
	default:
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

// Unregistered is told of every UNREGISTER that was handled, before its answer is written.
func (d *Shell) Unregistered(c *rpc.Conn, u *routes.Unregistration, left *routes.Left, oneway bool) {
	d.left[left.Leaving].Add(1)
	d.gossip.Unregistered(c.ID(), tombstone.Key{Cluster: u.Cluster, Addr: u.Addr})
	if left.Leaving != routes.LeavingProven {
		return
	}
	dep := left.Departure
	if life, ok := c.Life(dep.Unregistered); ok {
		dep.Life = life
	}
	// Whatever is acknowledged of what is written from here on is the answer to the UNREGISTER.
	since := d.clock()
	id, why, made := d.gossip.Departed(dep)
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
func (d *Shell) notMade(dep tombstone.Departure, why tombstone.NotMade) {
	if why == tombstone.TooLong {
		d.tooLong.Do(func() {
			d.log.Warn("departure not told to the other nodes: its names are too long for a message; "+
				"epitaph_tombstones_not_made_total counts those that follow", "cluster", dep.Cluster, "broker", dep.Name,
				"addr", dep.Addr, "reason", why.Name(), "why", why.String())
		})
		return
	}
	d.unmade.Do(func() {
		d.log.Warn("departure not told to the other nodes", "cluster", dep.Cluster, "broker", dep.Name,
			"addr", dep.Addr, "reason", why.Name(), "why", why.String())
	})
}

// Registered is told of every REGISTER that named its broker.
func (d *Shell) Registered(c *rpc.Conn, r *routes.Registration) {
	d.gossip.Registered(c.ID(), tombstone.Key{Cluster: r.Cluster, Addr: r.Addr},
		tombstone.Identity{Name: r.Name, BrokerID: r.ID, RemoteIP: c.Source().Machine()})
}

// awaitLateProof raises the tombstone's proof of life when the answer to its UNREGISTER is acknowledged in time.
func (d *Shell) awaitLateProof(c *rpc.Conn, id tombstone.ID, since clock.Stamp) {
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

package node

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/readiness"
)

// lookEvery is how often a node that waits looks at its peers again.
const lookEvery = 100 * time.Millisecond

func ruleOf(o *config.Options) readiness.Rule {
	return readiness.Rule{Need: o.NeedWaitForService, Wait: time.Duration(o.WaitSecondsForService) * time.Second}
}

// Ready says whether clients should be sent here, and why (not).
func (n *Node) Ready() (ready bool, why string) {
	return n.ready.Ready(n.clock(), ruleOf(n.runtime.Options()))
}

// enter goes to the next phase and tells the other nodes.
func (n *Node) enter(next readiness.Phase) {
	n.ready.Enter(next)
	n.announce()
}

// announce tells the other nodes where this one stands and where it is reached.
func (n *Node) announce() {
	if n.depart == nil {
		return
	}
	// Whoever announces last must have looked last.
	n.announcing.Lock()
	defer n.announcing.Unlock()
	var m gossip.Meta
	switch n.ready.Phase() {
	case readiness.Starting:
		m.Phase = gossip.PhaseStarting
	case readiness.Serving:
		m.Phase = gossip.PhaseReady
		if ready, _ := n.Ready(); !ready {
			m.Phase = gossip.PhaseWaiting
		}
	case readiness.Draining:
		m.Phase = gossip.PhaseDraining
	case readiness.Stopping:
		m.Phase = gossip.PhaseStopping
	}
	g := n.Gossip()
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

// watchReadiness looks at the peers until it is known what they hold, and tells them whenever the node becomes ready or
// ceases to be: where the original's rule decides, that is later, and its options change while it runs.
func (n *Node) watchReadiness(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	alone, said := false, false
	for {
		now, rule := n.clock(), ruleOf(n.runtime.Options())
		if n.ready.Waits() {
			g := n.Gossip()
			if news, changed := n.ready.Look(g.Catchup(), g.Joined(), now, rule); changed {
				n.tellReadiness(&news)
				alone = news.Stage == readiness.Alone
			}
		}
		ready, _ := n.ready.Ready(now, rule)
		if ready && n.ready.First(now) && alone {
			n.log.Info("ready", "took", n.ready.Up(now))
		}
		if ready != said {
			n.announce()
			said = ready
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (n *Node) tellReadiness(news *readiness.News) {
	lacks := &news.Lacks
	switch {
	case news.Stage == readiness.Asking:
	case news.Stage == readiness.Catching:
		n.log.Info("not ready: other nodes hold brokers that this one lacks", "missing", len(lacks.Missing),
			"held", lacks.Held, "by", strings.Join(lacks.Witnesses, ","), "first", readiness.Names(lacks.Missing))
	case news.Stage == readiness.Alone:
		n.log.Info("no other node can tell which brokers there are: needWaitForService alone decides", "took", news.Took)
	case news.Lacking > 0:
		n.log.Warn("ready by time: brokers that other nodes hold did not register here", "took", news.Took,
			"missing", news.Lacking, "first", readiness.Names(lacks.Missing))
	case len(lacks.Undecided) > 0:
		n.log.Warn("ready by time: other nodes did not say what they hold", "took", news.Took,
			"members", strings.Join(lacks.Undecided, ","))
	default:
		n.log.Info("ready: every broker that other nodes hold is here", "took", news.Took, "missing_at_most", news.Most,
			"held", lacks.Held)
	}
}

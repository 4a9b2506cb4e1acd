package node

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/readiness"
)

// lookEvery is how often a node that waits looks at its peers again.
const lookEvery = 100 * time.Millisecond

// rule is the one in force: the options of the original change while the node runs.
func (n *Node) rule() readiness.Rule {
	o := n.runtime.Options()
	return readiness.Rule{
		Need: o.NeedWaitForService, Wait: time.Duration(o.WaitSecondsForService) * time.Second,
		Period: n.readyAfter, JoinWait: n.joinWait,
	}
}

// Ready says whether clients should be sent here, and why (not).
func (n *Node) Ready() (ready bool, why string) {
	ready, why = n.ready.Ready(n.clock(), n.rule())
	if d := n.Draining(); d.On && n.ready.Drains() {
		why += d.String()
	}
	if n.kv.Missing() != nil {
		why += "; kv: missing"
	}
	return ready, why
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
	n.Gossip().Announce(n.meta())
}

// meta is what this node says of itself now.
func (n *Node) meta() (m gossip.Meta) {
	switch phase := n.ready.Phase(); {
	case phase == readiness.Starting:
		m.Phase = gossip.PhaseStarting
	case phase == readiness.Stopping:
		m.Phase = gossip.PhaseStopping
	case n.ready.Drains():
		m.Phase = gossip.PhaseDraining
	default:
		m.Phase = gossip.PhaseReady
		if ready, _ := n.Ready(); !ready {
			m.Phase = gossip.PhaseWaiting
		}
	}
	where := func(a netip.AddrPort) string {
		host := a.Addr().String()
		switch {
		case !a.IsValid():
			return ""
		case n.depart != nil:
			host = n.Gossip().HostFor(host)
		}
		return net.JoinHostPort(host, strconv.Itoa(int(a.Port())))
	}
	if m.Phase != gossip.PhaseStarting { // gossip has started, so this node knows by what address it is reached
		m.NameServer, m.HTTP, m.Serve = where(n.Addr()), where(n.HTTPAddr()), n.serveAddr()
	}
	m.KVMissing, m.Witnessed = n.kv.Missing() != nil, n.ready.Stage() >= readiness.Witnessed
	return m
}

// watchReadiness looks at the peers until nothing can change any more, and tells them whenever the node becomes ready or
// ceases to be: where the original's rule decides, that is later, and its options change while it runs.
func (n *Node) watchReadiness(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		now, rule, told := n.clock(), n.rule(), false
		if !n.ready.Settled() {
			if news, changed := n.ready.Look(n.peers(), now, rule); changed {
				n.tellReadiness(&news, rule)
				told = true
			}
		}
		ready, _ := n.ready.Ready(now, rule)
		if ready && n.ready.First(now) && !told {
			n.log.Info("ready", "took", n.ready.Up(now))
		}
		n.announce() // always: what was announced between two looks may be over
		if n.closing {
			n.elsewhere.Store(!ready && n.readyElsewhere())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// peers is what is known of the other nodes now.
func (n *Node) peers() readiness.Peers {
	g := n.Gossip()
	p := readiness.Peers{Catchup: g.Catchup(), Joined: g.Joined(), Reached: g.Reached()}
	if !p.Reached {
		p.Trouble = g.Trouble()
	}
	return p
}

// readyElsewhere says that clients have somewhere better to go: another member is ready.
func (n *Node) readyElsewhere() bool {
	return slices.ContainsFunc(n.Gossip().Members(), func(m gossip.Member) bool { return !m.Self && m.Ready })
}

// mostNames bounds a line that names brokers.
const mostNames = 100

func (n *Node) tellReadiness(news *readiness.News, rule readiness.Rule) {
	p := &news.Peers
	switch {
	case news.Stage == readiness.Asking:
	case news.Stage == readiness.Catching:
		n.log.Info("not ready: other nodes hold brokers that this one lacks", "missing", len(p.Missing),
			"held", p.Held, "by", strings.Join(p.Witnesses, ","), "first", readiness.Names(p.Missing, 5))
	case news.Stage == readiness.Listening:
		n.log.Info("not ready: no other node knows which brokers there are, so they are given one registration period (--ready-after)",
			"period", rule.Period)
	case news.Stage == readiness.Witnessed:
		what := "ready: every broker that other nodes hold is here"
		switch {
		case news.Before == readiness.Timed && news.Most == 0:
			what = "ready by time before, and this node holds what other nodes hold"
		case news.Before == readiness.Timed:
			what = "brokers that were missing when this node was ready by time have come: it holds what other nodes hold"
		}
		n.log.Info(what, "took", news.Took, "missing_at_most", news.Most, "held", p.Held)
	case !p.Reached:
		n.log.Warn("ready by time, and alone: no node of --join was reached (--join-wait)", "took", news.Took, "cause", p.Trouble)
	case len(p.Missing) > 0:
		n.log.Warn("ready by time: brokers that other nodes hold did not register here", "took", news.Took,
			"missing", len(p.Missing), "first", readiness.Names(p.Missing, mostNames))
	case len(p.Undecided) > 0:
		n.log.Warn("ready by time: other nodes did not say what they hold", "took", news.Took,
			"members", strings.Join(p.Undecided, ","))
	default:
		n.log.Info("ready by time: brokers were given one registration period (--ready-after)", "took", news.Took)
	}
	if news.Stage >= readiness.Timed && len(p.LeftOut) > 0 {
		n.log.Warn("brokers were left out: one witness alone holds them, or they registered there after this node's start, and "+
			"another witness lacks them", "left_out", len(p.LeftOut), "brokers", readiness.Names(p.LeftOut, mostNames),
			"held_by", p.LeftOut[0].Holder, "lacked_by", p.LeftOut[0].Lacks)
	}
}

// tellGap says when brokers register less often than --ready-after reckons with. told is the gap that was told last, or what
// is expected; the answer is that of the next call.
func (n *Node) tellGap(told time.Duration) time.Duration {
	gap := n.table.Stats().LongestGap
	if n.depart == nil || told == 0 || gap < told+told/4 { // a broker that is late now and then is none that registers less often
		return told
	}
	n.log.Warn("a broker let more time pass between two REGISTERs than --ready-after: if brokers do so as a rule, raise it, or a "+
		"node that finds no other says ready before it has heard them all", "longest_gap", gap, "ready_after", n.readyAfter)
	return gap
}

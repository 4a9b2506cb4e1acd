package node

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/node/config"
)

// stage is where a node that (re)started stands with its peers.
type stage int32

const (
	stageAsking   stage = iota // it does not know yet what its peers hold
	stageCatching              // it lacks brokers that a peer holds
	stageAlone                 // nobody can tell what there is: the original's rule applies, for good
	stageCaught                // it holds what its peers hold; this is never taken back
)

// gate decides when a node that (re)started is ready: it must hold the brokers that its peers hold, or have waited for
// waitSecondsForService. Without gossip there is no gate but the original's (stageAlone).
type gate struct {
	stage atomic.Int32

	mu      sync.Mutex // guards the following fields
	lacks   digest.Catchup
	took    time.Duration // until the node was ready; 0 before
	lacking int           // brokers missing when it was opened by time
	most    int           // brokers missing at the worst
}

func (g *gate) at() stage { return stage(g.stage.Load()) }

// waits says that the node waits for its peers.
func (g *gate) waits() bool { return g.at() <= stageCatching }

// step looks at what is known and says whether that decides it.
func (g *gate) step(c digest.Catchup, joined bool, elapsed, limit time.Duration) (next stage) {
	next = g.at()
	switch {
	case next > stageCatching:
		return next
	case !joined || len(c.Undecided) > 0:
		next = stageAsking
	case len(c.Witnesses) == 0:
		next = stageAlone
	case len(c.Missing) == 0:
		next = stageCaught
	default:
		next = stageCatching
	}
	if next <= stageCatching && elapsed >= limit {
		next = stageCaught
	}
	g.mu.Lock()
	g.lacks, g.most = c, max(g.most, len(c.Missing))
	if next > stageCatching {
		g.lacking = len(c.Missing)
	}
	g.mu.Unlock()
	g.stage.Store(int32(next))
	return next
}

// ready notes when the node was ready for the first time.
func (g *gate) ready(elapsed time.Duration) (first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if first = g.took == 0; first {
		g.took = elapsed
	}
	return first
}

// figures are how many brokers are waited for now, and how long it took until the node was ready.
func (g *gate) figures() (missing int, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waits() {
		missing = len(g.lacks.Missing)
	}
	return missing, g.took
}

// why says what is waited for.
func (g *gate) why(elapsed, limit time.Duration) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	tail := fmt.Sprintf(" (%d s so far, at most %d: waitSecondsForService)", int(elapsed.Seconds()), int(limit.Seconds()))
	switch n := len(g.lacks.Missing); {
	case n > 0:
		return fmt.Sprintf("not ready: waiting for %d of the %d brokers that %s holds: %s%s",
			n, max(n, g.lacks.Held), g.lacks.Missing[0].Holder, missingText(g.lacks.Missing), tail)
	case len(g.lacks.Undecided) > 0:
		return "not ready: waiting to hear what " + strings.Join(firstOf(g.lacks.Undecided, 5), ", ") + " holds" + tail
	default:
		return "not ready: looking for other nodes (--join)" + tail
	}
}

func missingText(missing []digest.Missing) string {
	var names []string
	for _, m := range missing {
		names = append(names, m.Name+" id "+strconv.FormatInt(m.ID, 10)+" at "+m.Addr)
	}
	return strings.Join(firstOf(names, 5), ", ")
}

// firstOf shortens a list for people.
func firstOf(names []string, most int) []string {
	if len(names) <= most {
		return names
	}
	return append(names[:most:most], fmt.Sprintf("%d more", len(names)-most))
}

// elapsed is how long the node has been there, and limit for how long it may wait.
func (n *Node) elapsed(o *config.Options) (elapsed, limit time.Duration) {
	return n.clock().Sub(n.started), time.Duration(o.WaitSecondsForService) * time.Second
}

// gateEvery is how often a node that waits looks again.
const gateEvery = 100 * time.Millisecond

// watchGate looks at the peers until it is decided, and tells them whenever the node becomes ready or ceases to be: where the
// original's rule decides, that is later, and its options change while it runs.
func (n *Node) watchGate(ctx context.Context) {
	ticker := time.NewTicker(gateEvery)
	defer ticker.Stop()
	told, said := stageAsking, false
	for {
		elapsed, limit := n.elapsed(n.runtime.Options())
		if told <= stageCatching {
			g := n.depart.gossip
			if next := n.gate.step(g.Catchup(), g.Joined(), elapsed, limit); next != told {
				n.tellGate(next, elapsed)
				told = next
			}
		}
		ready, _ := n.Ready()
		if ready && n.gate.ready(elapsed) && told == stageAlone {
			n.log.Info("ready", "took", elapsed)
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

func (n *Node) tellGate(next stage, took time.Duration) {
	n.gate.mu.Lock()
	lacks, lacking, most := n.gate.lacks, n.gate.lacking, n.gate.most
	n.gate.mu.Unlock()
	switch {
	case next == stageCatching:
		n.log.Info("not ready: other nodes hold brokers that this one lacks", "missing", len(lacks.Missing),
			"held", lacks.Held, "by", strings.Join(lacks.Witnesses, ","), "first", missingText(lacks.Missing))
	case next == stageAlone:
		n.log.Info("no other node can tell which brokers there are: needWaitForService alone decides", "took", took)
	case lacking > 0:
		n.log.Warn("ready by time: brokers that other nodes hold did not register here", "took", took,
			"missing", lacking, "first", missingText(lacks.Missing))
	case len(lacks.Undecided) > 0:
		n.log.Warn("ready by time: other nodes did not say what they hold", "took", took,
			"members", strings.Join(lacks.Undecided, ","))
	default:
		n.log.Info("ready: every broker that other nodes hold is here", "took", took, "missing_at_most", most, "held", lacks.Held)
	}
}

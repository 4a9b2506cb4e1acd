package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// verbs are what ops do to the nodes and their network, beside what they do to the world.
var verbs = map[string]func(w *World, a [4]int64){
	"wait":       func(w *World, a [4]int64) { w.Run(time.Duration(a[0])) },
	"cut":        func(w *World, a [4]int64) { w.between(a); w.suspect(w.nodes[a[0]], w.nodes[a[1]]) },
	"join":       func(w *World, a [4]int64) { w.between(a); w.rejoin(w.nodes[a[0]], w.nodes[a[1]], 15*time.Second) },
	"replay":     func(w *World, _ [4]int64) { w.replay(1) },
	"replay-all": func(w *World, _ [4]int64) { w.replay(world.Replayable) },
	"freeze":     (*World).opFreeze,
	"suspend":    (*World).opSuspend,
	"pause":      func(w *World, a [4]int64) { w.nodes[a[0]].halt(time.Duration(a[1]), world.Runs) },
	"slew":       func(w *World, a [4]int64) { w.nodes[a[0]].clock.Slew(a[1]) },
	"restart":    (*World).opRestart,
	"dead-hosts": (*World).opDeadHosts,
	"answered":   func(w *World, a [4]int64) { w.nodes[a[0]].answeredFor() },
	"wipe":       (*World).opWipe,
	"noudp":      (*World).between,
	"udp":        (*World).between,
}

// between notes that something has come between two nodes, or has ended.
func (w *World) between(a [4]int64) { w.nodes[a[0]].changed, w.nodes[a[1]].changed = w.now, w.now }

// Apply takes one step.
func (w *World) Apply(op world.Op) {
	w.World.Apply(op)
	if do := verbs[op.Verb]; do != nil {
		do(w, op.Args)
	}
}

// opWipe is an operator who takes a broker's permission to write away (205), and gives it back.
func (w *World) opWipe(a [4]int64) {
	n, name := w.nodes[a[0]], world.BrokerName(world.BrokerKey(a[1]))
	n.when(w.now, func() {
		for _, t := range []*routes.Table{n.table, n.twin} {
			if t != nil {
				t.WipeWritePerm(name)
				t.AddWritePerm(name)
			}
		}
		n.noted(everything, netip.Addr{}, func(t *routes.Table) { t.WipeWritePerm(name); t.AddWritePerm(name) }, byBroker)
		if n.watch != nil {
			n.watch.touched(tombstone.Key{}, name)
		}
	})
}

// opFreeze stops a machine without its clocks noticing, provided that every other node has read them since it lost
// time itself. A freeze shorter than a probe and the drift of a minute can
// hide in them; what is tested is one that matters.
func (w *World) opFreeze(a [4]int64) {
	n, d := w.nodes[a[0]], max(time.Duration(a[1]), 5*time.Second)
	switch {
	case n.until > w.now || n.down || w.anyStopped():
		return
	case w.Residual == world.ResidualFirstExchange:
		n.flagged = true
	case !n.freezable():
		return
	}
	w.standStill(n, d, world.Frozen)
}

// opSuspend puts a machine to sleep: CLOCK_BOOTTIME counts that. When it is slewed as well, both of its clocks are too
// slow and it is like a freeze.
func (w *World) opSuspend(a [4]int64) {
	n := w.nodes[a[0]]
	if !w.anyStopped() && n.freezable() {
		w.standStill(n, time.Duration(a[1]), world.Asleep)
	}
}

func (w *World) standStill(n *node, d time.Duration, how world.Stopped) {
	n.stoodStill += d
	clear(n.heard)
	n.halt(d, how)
	for _, o := range w.nodes { // what the others make of a node that does not answer for d
		if o != n {
			w.suspect(o, n)
			w.After(d, func() { w.rejoin(o, n, 2*time.Second) })
		}
	}
}

// anyStopped says that a machine's clocks stand still now. Two machines that lose time without an exchange between
// hide it from each other: a residual case.
func (w *World) anyStopped() bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool { return n.clock.Stopped() != world.Runs })
}

func (w *World) opRestart(a [4]int64) {
	n := w.nodes[a[0]]
	if w.anyStopped() && w.Residual != world.ResidualFirstExchange {
		return // the new life would not have exchanged a reading before the freeze
	}
	if !n.down && n.until <= w.now {
		w.restart(n, time.Duration(a[1]))
	}
}

package whole

import (
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// verbs are what ops do to whole nodes and their network, beside what they do to the world. Where an op is not possible
// it does nothing.
var verbs = map[string]func(w *World, a [4]int64){
	"wait":       func(w *World, a [4]int64) { w.sleep(time.Duration(a[0])) },
	"cut":        (*World).unheard,
	"join":       (*World).unheard,
	"noudp":      (*World).unheard,
	"udp":        (*World).unheard,
	"replay":     func(w *World, _ [4]int64) { w.replay(1) },
	"replay-all": func(w *World, _ [4]int64) { w.replay(world.Replayable) },
	"freeze":     (*World).opFreeze,
	"suspend":    (*World).opSuspend,
	"pause":      func(w *World, a [4]int64) { w.machine[a[0]].halt(time.Duration(a[1]), world.Runs) },
	"slew":       (*World).opSlew,
	"restart":    (*World).opRestart,
	"wipe":       (*World).opWipe,
}

// apply takes one step.
func (w *World) apply(op world.Op) {
	w.mu.Lock()
	w.World.Apply(op)
	w.mu.Unlock()
	if do := verbs[op.Verb]; do != nil {
		do(w, op.Args)
	}
}

// opWipe is an operator who takes a broker's permission to write away (205), and gives it back: what the rule took of it is not put back.
func (w *World) opWipe(a [4]int64) {
	l := w.machine[a[0]].current()
	if l == nil {
		return
	}
	key := world.BrokerKey(a[1])
	l.node.Table().WipeWritePerm(world.BrokerName(key))
	l.node.Table().AddWritePerm(world.BrokerName(key))
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(l.vanished, key)
}

// unheard says that two machines may not have heard each other's clocks lately.
func (w *World) unheard(a [4]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range a[:2] {
		w.machine[i].quiet = time.Now()
	}
}

// freezable says that every node has heard this machine's clocks lately, and would notice that they stand still. One
// that was not heard before is a residual case.
func (w *World) freezable(m *machine) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	hear := time.Duration(10+3*len(w.machine)) * time.Second
	if w.Net.Loss > 0.1 || w.Net.Slow > 100*time.Millisecond || w.Net.Lag > 100*time.Millisecond || w.Net.Corrupt > 0.1 {
		return false
	}
	for _, o := range w.machine {
		if time.Since(o.quiet) < hear || time.Until(o.until) > 0 || o.life == nil {
			return false
		}
		for _, no := range [][]bool{w.Net.Cut[o.index], w.Net.NoUDP[o.index]} {
			for _, blocked := range no {
				if blocked {
					return false
				}
			}
		}
	}
	return !m.stoodStill
}

// opFreeze stops a machine without its clocks noticing, where the others would; otherwise only its process.
func (w *World) opFreeze(a [4]int64) {
	m, d := w.machine[a[0]], max(time.Duration(a[1]), 5*time.Second)
	m.halt(d, w.standsStill(m, world.Frozen, w.script || w.freezable(m)))
}

// opSuspend puts a machine to sleep: CLOCK_BOOTTIME counts that. When it is slewed as well, both of its clocks would be slow
// and it is like a freeze.
func (w *World) opSuspend(a [4]int64) {
	m := w.machine[a[0]]
	m.halt(time.Duration(a[1]), w.standsStill(m, world.Asleep, !m.clock.Slewed() && (w.script || w.freezable(m))))
}

// standsStill is how the machine's clocks stop, if the others would notice.
func (w *World) standsStill(m *machine, how world.Stopped, noticed bool) world.Stopped {
	if !noticed {
		return world.Runs
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m.stoodStill = true
	return how
}

func (w *World) opSlew(a [4]int64) {
	m := w.machine[a[0]]
	w.mu.Lock()
	stood := m.stoodStill
	w.mu.Unlock()
	if !stood {
		m.clock.Slew(a[1])
	}
}

// opRestart ends the node's process, killed or in order, and begins a new one later.
func (w *World) opRestart(a [4]int64) {
	m := w.machine[a[0]]
	w.mu.Lock()
	possible := m.life != nil && time.Until(m.until) <= 0
	killed := w.Chance(0.5)
	w.mu.Unlock()
	if !possible {
		return
	}
	m.stop(killed)
	time.AfterFunc(time.Duration(a[1]), func() {
		if !w.isOver() && m.current() == nil {
			m.start()
		}
	})
}

package whole

import (
	"time"

	"github.com/epitaph-mq/epitaph/test/sim"
)

// verbs are the ops of package sim, by what they do to whole nodes. Where an op is not possible it does nothing, as there.
var verbs = map[string]func(w *World, a [4]int64){
	"wait":       func(w *World, a [4]int64) { w.sleep(time.Duration(a[0])) },
	"start":      (*World).opStart,
	"register":   locked((*World).opRegister),
	"unregister": locked((*World).opUnregister),
	"stop":       process(func(p *proc) { p.stopping = true }),
	"exit":       process((*proc).exit),
	"vanish":     process((*proc).vanish),
	"stall":      locked(func(w *World, a [4]int64) { w.path(int(a[0]), int(a[1])).stalled = true }),
	"heal":       locked(func(w *World, a [4]int64) { w.heal(int(a[0]), int(a[1])) }),
	"acks":       locked((*World).opAcks),
	"cut":        locked(func(w *World, a [4]int64) { w.opCut(a, true) }),
	"join":       locked(func(w *World, a [4]int64) { w.opCut(a, false) }),
	"noudp":      locked(func(w *World, a [4]int64) { w.opUDP(a, true) }),
	"udp":        locked(func(w *World, a [4]int64) { w.opUDP(a, false) }),
	"loss":       locked(func(w *World, a [4]int64) { w.net.loss = float64(a[0]) / 100 }),
	"duplicate":  locked(func(w *World, a [4]int64) { w.net.duplicate = float64(a[0]) / 100 }),
	"corrupt":    locked(func(w *World, a [4]int64) { w.net.corrupt = float64(a[0]) / 100 }),
	"slow":       locked(func(w *World, a [4]int64) { w.net.slow = time.Duration(a[0]) }),
	"lag":        locked(func(w *World, a [4]int64) { w.net.lag = time.Duration(a[0]) }),
	"busy":       locked(func(w *World, a [4]int64) { w.busy = float64(a[0]) / 100 }),
	"replay":     func(w *World, _ [4]int64) { w.replay(1) },
	"replay-all": func(w *World, _ [4]int64) { w.replay(replayable) },
	"freeze":     (*World).opFreeze,
	"suspend":    (*World).opSuspend,
	"pause": func(w *World, a [4]int64) {
		w.machine[a[0]].halt(time.Duration(a[1]), func(*machineClock, bool) {})
	},
	"slew":    (*World).opSlew,
	"restart": (*World).opRestart,
}

func locked(do func(w *World, a [4]int64)) func(*World, [4]int64) {
	return func(w *World, a [4]int64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		do(w, a)
	}
}

func process(do func(p *proc)) func(*World, [4]int64) {
	return locked(func(w *World, a [4]int64) {
		if p := w.procs[int(a[0])]; p != nil && p.alive {
			do(p)
		}
	})
}

// apply takes one step.
func (w *World) apply(op sim.Op) {
	if op.Verb != "wait" {
		w.logf2("> %v", op)
	}
	verbs[op.Verb](w, op.Args)
}

// opStart begins a life. Behind one address and one host it may begin only when RocketMQ lets it: a 5.x broker keeps
// its port and its store lock until its unregister loop has ended; a 4.x one gives them up before, but registers no
// more and has no REGISTER under way. A BrokerContainer's brokers are its own.
func (w *World) opStart(a [4]int64) {
	kinds := []string{v5, v4, rust, container, proxied}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a[1] >= int64(len(kinds)) || w.procs[int(a[0])] != nil {
		return
	}
	p := &proc{
		w: w, num: int(a[0]), kind: kinds[a[1]], host: int(a[2]), broker: a[3], alive: true, conns: map[int]*conn{},
	}
	var before []*proc
	for _, q := range w.ordered() {
		switch {
		case q.broker != p.broker || q.host != p.host:
		case q.num > p.num:
			return
		case q.alive && q.mayBeSucceeded():
			before = append(before, q)
		case q.alive:
			return
		}
	}
	for _, q := range before {
		q.over = q.kind != v4 && q.kind != rust
	}
	w.procs[p.num] = p
}

func (p *proc) mayBeSucceeded() bool {
	switch p.kind {
	case v4, rust:
		return p.stopping && !p.unanswered(false)
	case v5, proxied:
		return p.stopping && !p.unanswered(true)
	}
	return false
}

func (w *World) opRegister(a [4]int64) {
	p := w.procs[int(a[0])]
	if p == nil || !p.alive || p.stopping || p.leaving > 0 || p.kind != container && a[2] != p.broker {
		return
	}
	p.say(w.machine[a[1]], a[2], false)
}

func (w *World) opUnregister(a [4]int64) {
	p := w.procs[int(a[0])]
	if p == nil || !p.alive || p.over || p.kind != container && a[2] != p.broker {
		return
	}
	p.stopping = p.stopping || p.kind != container
	p.say(w.machine[a[1]], a[2], true)
}

func (w *World) opAcks(a [4]int64) {
	modes := []string{"at-once", "late", "never"}
	w.path(int(a[0]), int(a[1])).acks = modes[a[2]]
	if a[2] != 0 {
		return
	}
	for _, p := range w.ordered() {
		for _, c := range p.all {
			if p.host == int(a[0]) && c.life.m.index == int(a[1]) && !c.closed && len(c.withheld) > 0 {
				last := c.withheld[len(c.withheld)-1]
				c.withheld = nil
				c.later(w.delay(), func() { c.acked(last) })
			}
		}
	}
}

func (w *World) opCut(a [4]int64, cut bool) {
	i, j := a[0], a[1]
	w.net.cut[i][j], w.net.cut[j][i] = cut, cut
	w.unheard(w.machine[i], w.machine[j])
}

func (w *World) opUDP(a [4]int64, blocked bool) {
	i, j := a[0], a[1]
	w.net.noUDP[i][j], w.net.noUDP[j][i] = blocked, blocked
	w.unheard(w.machine[i], w.machine[j])
}

// unheard says that the machines may not have heard each other's clocks lately.
func (w *World) unheard(ms ...*machine) {
	for _, m := range ms {
		m.quiet = time.Now()
	}
}

// freezable says that every node has heard this machine's clocks lately, and would notice that they stand still. One
// that was not heard before is a residual case.
func (w *World) freezable(m *machine) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	hear := time.Duration(10+3*len(w.machine)) * time.Second
	if w.net.loss > 0.1 || w.net.slow > 100*time.Millisecond || w.net.lag > 100*time.Millisecond || w.net.corrupt > 0.1 {
		return false
	}
	for _, o := range w.machine {
		if time.Since(o.quiet) < hear || time.Until(o.until) > 0 || o.life == nil {
			return false
		}
		for _, no := range [][]bool{w.net.cut[o.index], w.net.noUDP[o.index]} {
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
	if !w.script && !w.freezable(m) {
		m.halt(d, func(*machineClock, bool) {})
		return
	}
	w.mu.Lock()
	m.stoodStill = true
	w.mu.Unlock()
	m.halt(d, func(c *machineClock, on bool) { c.frozen = on })
}

// opSuspend puts a machine to sleep: CLOCK_BOOTTIME counts that.
func (w *World) opSuspend(a [4]int64) {
	m := w.machine[a[0]]
	m.clock.mu.Lock()
	slewed := m.clock.slew != 0
	m.clock.mu.Unlock()
	if slewed || !w.script && !w.freezable(m) { // slewed as well, both of its clocks would be slow: like a freeze
		m.halt(time.Duration(a[1]), func(*machineClock, bool) {})
		return
	}
	w.mu.Lock()
	m.stoodStill = true
	w.mu.Unlock()
	m.halt(time.Duration(a[1]), func(c *machineClock, on bool) { c.asleep = on })
}

func (w *World) opSlew(a [4]int64) {
	m := w.machine[a[0]]
	w.mu.Lock()
	stood := m.stoodStill
	w.mu.Unlock()
	if !stood {
		m.clock.change(func() { m.clock.slew = float64(min(max(a[1], -8), 8)) / 100 })
	}
}

// opRestart ends the node's process, killed or in order, and begins a new one later.
func (w *World) opRestart(a [4]int64) {
	m := w.machine[a[0]]
	w.mu.Lock()
	possible := m.life != nil && time.Until(m.until) <= 0
	killed := w.chance(0.5)
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

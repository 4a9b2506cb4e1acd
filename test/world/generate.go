package world

import (
	"math/rand/v2"
	"time"
)

// Schedule is one run as data.
type Schedule struct {
	Nodes int
	Seed  uint64 // of everything that the ops leave to chance
	Ops   []Op
}

// Generate makes the schedule of a seed: a random walk around restarts, in which the interesting faults (a stalled
// path, a paused origin, a lost unregister) come where they hurt.
func Generate(seed uint64, residual Residual) Schedule {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0x67656e)), residual: residual}
	g.nodes = 3
	if g.one(4) {
		g.nodes = 3 + g.rng.IntN(7)
	}
	g.active = min(g.nodes, 4)
	if g.one(2) {
		g.active = g.nodes
	}
	g.weather()
	for range 1 + g.rng.IntN(3) {
		g.life()
	}
	g.op("wait", int64(g.pause()))
	return Schedule{Nodes: g.nodes, Seed: seed, Ops: g.ops}
}

type generator struct {
	rng      *rand.Rand
	residual Residual
	nodes    int
	active   int // nodes that brokers talk to and faults hit; the others are witnesses, and the faults meet more often
	next     int // number of the next process
	ops      []Op
	staying  [][2]int64 // processes that never leave, and their hosts
}

func (g *generator) one(in int) bool { return g.rng.IntN(in) == 0 }

func (g *generator) op(verb string, args ...int64) {
	op := Op{Verb: verb}
	copy(op.Args[:], args)
	g.ops = append(g.ops, op)
}

func (g *generator) node() int64 { return int64(g.rng.IntN(g.active)) }

// pause is a time between a millisecond and half a minute, short ones more often.
func (g *generator) pause() time.Duration {
	scale := []time.Duration{5 * time.Millisecond, 100 * time.Millisecond, time.Second, 8 * time.Second, 30 * time.Second}
	s := scale[g.rng.IntN(len(scale))]
	if g.one(60) {
		s = 11 * time.Minute
	}
	return time.Duration(g.rng.Int64N(int64(s))).Truncate(time.Millisecond)
}

func (g *generator) wait() { g.op("wait", int64(g.pause())) }

func (g *generator) pick(n ...int64) int64 { return n[g.rng.IntN(len(n))] }

// weather is how the network between the nodes is for the whole run.
func (g *generator) weather() {
	if g.one(3) {
		g.op("loss", g.pick(10, 30, 60))
	}
	if g.one(3) {
		g.op("duplicate", g.pick(10, 50))
	}
	if g.one(5) {
		g.op("corrupt", 5)
	}
	if g.one(3) {
		g.op("slow", int64(time.Duration(g.pick(50, 500, 2000, 12000))*time.Millisecond))
	}
	if g.one(5) {
		g.op("lag", int64(time.Duration(g.pick(20, 200, 600))*time.Millisecond))
	}
	if g.one(6) {
		g.op("slew", g.node(), g.pick(-8, 8))
	}
}

// quick is a restart that takes no longer than the messages about it.
func (g *generator) quick(p int64, k Kind, host, broker int64) {
	a, c := g.node(), g.node()
	short := func() { g.op("wait", int64(time.Duration(g.rng.IntN(30))*time.Millisecond)) }
	g.op("register", p, a, broker)
	short()
	if g.one(2) {
		g.op("stop", p)
		g.op("start", p+1, int64(k), host, broker)
		g.op("register", p+1, c, broker)
		short()
	}
	g.op("unregister", p, a, broker)
	short()
	g.op("exit", p)
	g.op("start", p+1, int64(k), host, broker)
	g.op("register", p+1, c, broker)
	g.next++
	short()
}

// again is a container that takes an inner broker away and adds it again somewhere else at once.
func (g *generator) again(p, broker int64) {
	a, c := g.node(), g.node()
	short := func() { g.op("wait", int64(time.Duration(5+g.rng.IntN(30))*time.Millisecond)) }
	g.op("register", p, c, broker)
	short()
	g.op("register", p, a, broker)
	short()
	g.op("unregister", p, a, broker)
	short()
	g.op("register", p, c, broker)
	if g.one(2) { // and goes on registering it, as brokers do: every 10 to 60 s, mostly 30
		every := g.pick(int64(10*time.Second), int64(30*time.Second), int64(30*time.Second))
		for range 2 + g.rng.IntN(3) {
			g.op("wait", every)
			g.op("register", p, c, broker)
		}
	}
	g.wait()
}

// life is one broker's lives, one after another, on one host: each registers, is disturbed, and ends.
func (g *generator) life() {
	k := Kind(g.pick(int64(V5), int64(V5), int64(V4), int64(V4), int64(Rust), int64(Container), int64(Proxied)))
	if g.residual == ResidualKeepsSocket {
		k = V5Keeps
	}
	host, broker := g.pick(1, 1, 1, 2), g.pick(1, 1, 1, 2)
	lives := 1 + g.rng.IntN(3)
	for range lives {
		p := int64(g.next)
		g.next++
		g.op("start", p, int64(k), host, broker)
		g.everywhere("register", p, broker)
		if g.one(2) {
			g.wait()
			g.everywhere("register", p, broker)
		}
		g.disturb(p, host, broker)
		if k == Container && g.one(2) {
			g.again(p, broker)
		}
		if g.residual == ResidualForger && g.one(2) {
			g.op("forge", host, g.node(), broker)
		}
		if g.one(3) { // the successor, or another host, comes before the end
			q := int64(g.next)
			g.next++
			g.op("stop", p)
			g.op("start", q, int64(k), g.pick(host, host, 3), broker)
			g.everywhere("register", q, broker)
		}
		if g.one(4) {
			g.quick(p, k, host, broker)
		} else {
			g.end(p, host, broker)
		}
	}
	if g.one(2) {
		g.disturb(int64(g.next-1), host, broker)
	}
}

// everywhere sends a frame to most nodes, in any order.
func (g *generator) everywhere(verb string, p, broker int64) {
	for _, n := range g.rng.Perm(g.active) {
		if !g.one(4) {
			g.op(verb, p, int64(n), broker)
		}
		if g.one(8) {
			g.wait()
		}
	}
}

// end is how a life ends: by unregistering, by exit, or by both, with stalls around.
func (g *generator) end(p, host, broker int64) {
	stalled := g.node()
	if g.one(2) {
		g.op("stall", host, stalled)
		if g.one(2) {
			g.op("register", p, stalled, broker)
		}
	}
	if !g.one(6) {
		g.everywhere("unregister", p, broker)
		if g.one(2) {
			g.op("unregister", p, stalled, broker)
		}
	}
	if g.one(3) {
		g.halt()
	}
	if g.one(2) {
		g.wait()
	}
	switch {
	case g.one(8):
		g.op("vanish", p)
	case !g.one(5):
		g.op("exit", p)
	}
	if g.one(3) {
		q := int64(g.next)
		g.next++
		g.op("start", q, g.pick(int64(V5), int64(V4)), host, broker)
		g.everywhere("register", q, broker)
		if g.one(2) {
			g.wait()
		}
	}
	if g.one(3) {
		g.op("register", p, g.node(), broker) // a Container adds its broker again
	}
	g.op("heal", host, stalled)
	if g.one(2) {
		g.wait()
	}
}

// disturb is anything else that may happen.
func (g *generator) disturb(p, host, broker int64) {
	for range g.rng.IntN(4) {
		a, b := g.node(), g.node()
		switch g.rng.IntN(14) {
		case 0, 1:
			g.wait()
		case 2:
			g.op("register", p, a, broker)
		case 3:
			g.op("acks", host, a, g.pick(int64(acksAtOnce), int64(acksLate), int64(acksNever)))
		case 4, 5:
			if a != b {
				g.op([]string{"cut", "join"}[g.rng.IntN(2)], a, b)
			}
		case 6:
			if a != b {
				g.op([]string{"noudp", "udp"}[g.rng.IntN(2)], a, b)
			}
		case 7, 8:
			g.op("replay")
		case 9:
			g.halt()
		case 10:
			g.op("restart", a, int64(g.pause()))
		case 11:
			g.op([]string{"stall", "heal"}[g.rng.IntN(2)], host, a)
		case 12:
			g.op("unregister", p, a, broker)
		case 13:
			g.op("slew", a, g.pick(-8, 0, 8))
		}
	}
}

// halt stops one machine or process for a while.
func (g *generator) halt() {
	d := time.Duration(5+g.rng.IntN(56)) * time.Second
	g.op([]string{"freeze", "freeze", "suspend", "pause"}[g.rng.IntN(4)], g.node(), int64(d))
}

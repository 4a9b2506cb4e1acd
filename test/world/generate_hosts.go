package world

import (
	"math/rand/v2"
	"time"
)

// GenerateHosts makes the schedule of a seed in which most nodes judge dead hosts (docs/spec/deadhosts.md): brokers that stay, so that
// somebody is heard; beside them the lives of Generate, and every fault that a host, a path, a node or a word may have.
func GenerateHosts(seed uint64) Schedule {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0x686f7374)), nodes: 3}
	if g.one(3) {
		g.nodes = 3 + g.rng.IntN(3)
	}
	if g.one(40) {
		g.nodes = 9
	}
	g.active = g.nodes
	odd := -1
	if g.one(4) {
		odd = g.rng.IntN(g.nodes)
	}
	for n := range g.nodes {
		mode := int64(2)
		if n == odd {
			mode = int64(g.rng.IntN(2))
		}
		g.op("dead-hosts", int64(n), mode)
	}
	if g.one(3) {
		g.op("loss", g.pick(10, 30))
	}
	if g.one(3) {
		g.op("duplicate", g.pick(10, 50))
	}
	if g.one(4) {
		g.op("slow", int64(time.Duration(g.pick(50, 500, 2000))*time.Millisecond))
	}
	if g.one(5) {
		g.op("lag", int64(time.Duration(g.pick(20, 200))*time.Millisecond))
	}
	if g.one(10) {
		g.op("slew", g.node(), g.pick(-8, 8))
	}
	for i := range 3 + g.rng.IntN(3) {
		g.stays(int64(11 + i))
	}
	h := int64(1 + g.rng.IntN(2)) // the host on which most happens
	first := g.begins(h)
	g.op("wait", int64(9*time.Second)) // calibrated by then
	for range 1 + g.rng.IntN(3) {
		switch g.rng.IntN(4) {
		case 0:
			g.race(first, h)
			first = g.begins(h)
		case 1:
			g.wakes(first, h)
			first = g.begins(h)
		case 2:
			g.life()
			first = g.begins(h)
		}
		for range 1 + g.rng.IntN(3) {
			g.hostFault(h)
			g.op("wait", int64(time.Duration(g.rng.IntN(9000))*time.Millisecond))
		}
		if g.one(2) {
			g.op("wait", int64(9*time.Second))
		}
		for _, p := range g.staying {
			if g.one(2) {
				g.everywhere("register", p[0], p[1])
			}
		}
	}
	return Schedule{Nodes: g.nodes, Seed: seed, Ops: g.ops}
}

// stays starts a broker that is registered at all nodes and never leaves.
func (g *generator) stays(h int64) {
	p := int64(g.next)
	g.next++
	g.op("start", p, int64(V5), h, h)
	for n := range g.nodes {
		g.op("register", p, int64(n), h)
	}
	g.staying = append(g.staying, [2]int64{p, h})
}

// begins is a broker at its own host, sometimes one of several of one process, or of another host that says it is the same.
func (g *generator) begins(h int64) (p int64) {
	p = int64(g.next)
	g.next++
	k := g.pick(int64(V5), int64(V5), int64(V4), int64(Rust), int64(Container))
	g.op("start", p, k, h, h)
	for n := range g.nodes {
		if !g.one(8) {
			g.op("register", p, int64(n), h)
		}
		if Kind(k) == Container && g.one(2) {
			g.op("register", p, int64(n), h+100)
		}
	}
	if g.one(6) {
		q := int64(g.next)
		g.next++
		g.op("start", q, int64(V5), h+1, h)
		g.everywhere("register", q, h)
	}
	return p
}

// race is a broker that says goodbye to one node and whose host dies at once, so that the tombstone comes when the silence is long enough.
func (g *generator) race(p, h int64) {
	a := g.node()
	g.op("wait", int64(8*time.Second))
	for n := range g.nodes {
		if int64(n) != a {
			g.op("stall", h, int64(n))
			if g.one(2) {
				g.op("cut", a, int64(n))
			}
		}
	}
	g.op("unregister", p, a, h)
	g.op("wait", int64(time.Duration(1+g.rng.IntN(50))*time.Millisecond))
	g.op("die", h)
	g.op("wait", int64(time.Duration(4000+g.rng.IntN(5000))*time.Millisecond))
	for n := range g.nodes {
		if int64(n) != a {
			g.op("join", a, int64(n))
			g.op("heal", h, int64(n))
		}
	}
	g.op("wait", int64(time.Duration(g.rng.IntN(6000))*time.Millisecond))
	g.op("reboot", h)
}

// wakes is a host that stands still for long enough to be taken for dead, and whose broker says goodbye when it runs again.
func (g *generator) wakes(p, h int64) {
	g.op("wait", int64(8*time.Second))
	d := time.Duration(6000+g.rng.IntN(6000)) * time.Millisecond
	g.op("still", h, int64(d))
	if g.one(3) { // an operator acts meanwhile
		g.op("wait", int64(d-100*time.Millisecond))
		g.op("wipe", g.node(), h)
		d = 100 * time.Millisecond
	}
	g.op("wait", int64(d+time.Duration(g.rng.IntN(300))*time.Millisecond))
	if g.one(3) {
		g.op("register", p, g.node(), h)
	}
	g.everywhere("unregister", p, h)
	g.op("wait", int64(time.Duration(g.rng.IntN(3000))*time.Millisecond))
	g.op("exit", p)
}

// hostFault is one of the faults of dead hosts; most of them end.
func (g *generator) hostFault(h int64) {
	a, b := g.node(), g.node()
	if g.one(2) {
		h = g.staying[g.rng.IntN(len(g.staying))][1]
	}
	everyNode := func(verb string) {
		for n := range g.nodes {
			g.op(verb, h, int64(n))
		}
	}
	switch g.rng.IntN(21) {
	case 0, 1: // its power, or its kernel
		g.op("die", h)
		if g.one(3) {
			g.op("wait", int64(time.Duration(g.rng.IntN(12000))*time.Millisecond))
			g.op("reboot", h)
		}
	case 2, 3, 4: // it is moved, or a copy of it is made
		g.op("still", h, int64(time.Duration(3000+g.rng.IntN(12000))*time.Millisecond))
	case 5, 6: // a path, one way or both
		g.op([]string{"stall", "mute", "deaf"}[g.rng.IntN(3)], h, a)
	case 7: // all paths of a host, one way or both
		everyNode([]string{"stall", "mute", "deaf"}[g.rng.IntN(3)])
	case 8: // all but one
		everyNode("stall")
		g.op("heal", h, a)
	case 9, 10: // a node's way to all hosts, with or without that to the other nodes
		for _, p := range g.staying {
			g.op("stall", p[1], a)
		}
		g.op("stall", h, a)
		if g.one(2) {
			for n := range g.nodes {
				if int64(n) != a {
					g.op("cut", a, int64(n))
				}
			}
		}
	case 11: // a switch: nodes and hosts on two sides
		side, hosts := 1+g.rng.IntN(g.nodes-1), g.rng.IntN(len(g.staying))
		for n := range g.nodes {
			for m := range n {
				if (n < side) != (m < side) {
					g.op("cut", int64(m), int64(n))
				}
			}
			for i, p := range g.staying {
				if (n < side) != (i < hosts) {
					g.op("stall", p[1], int64(n))
				}
			}
		}
	case 12:
		g.op("lossy", h, g.pick(10, 20, 30))
	case 13: // a firewall loses its state, and drops what it does not know
		if g.one(2) {
			everyNode("forget")
		} else {
			g.op("forget", h, a)
		}
		if g.one(3) {
			g.op("filter", h)
		}
	case 14:
		g.halt()
	case 15:
		g.op("restart", a, int64(g.pause()))
	case 16: // a node and a host on one machine
		g.op("die", h)
		g.op("restart", a, int64(time.Duration(5+g.rng.IntN(20))*time.Second))
	case 17:
		if a != b {
			g.op([]string{"cut", "join", "noudp", "udp"}[g.rng.IntN(4)], a, b)
		}
	case 18:
		for n := range g.nodes {
			g.op("heal", h, int64(n))
		}
		g.op("unfilter", h)
		if a != b {
			g.op("join", a, b)
		}
		g.op("reboot", h)
	case 20:
		g.op("wipe", a, h)
	case 19:
		if g.one(4) {
			g.op("answered", a)
		} else {
			g.op("replay-all")
		}
	}
}

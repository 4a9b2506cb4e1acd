package claims

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
)

// Config is what is searched.
type Config struct {
	Nodes, Sources int   // sources: of the victim
	Victims        int   // connections of the victim that a node may have at a time, half-open ones included
	Strangers      int   // connections of the stranger, likewise
	Queue          int   // frames of the victim that may be under way on a connection
	Window         uint8 // in ticks
	Timeout        uint8 // of heartbeats, in ticks
	Reach          uint8 // bits of the nodes that the stranger reaches

	Prompt    bool // the victim's frames are handled when they are sent
	Again     bool // a REGISTER may follow an UNREGISTER on one connection (a container)
	Still     bool // no time passes: every claim stays within the window, nothing expires
	Beats     bool // heartbeats
	Silent    bool // the stranger sends no UNREGISTER
	Admin     bool // --admin-from, and neither of the two is in it
	OneSource bool // the stranger has the victim's address
	Unordered bool // that source is no machine
	Vanishes  bool // any host may vanish, or seem to, for a node
	Fault     Fault
}

// verb is what happens.
type verb uint8

const (
	starts verb = iota
	ends
	ticks
	connects
	sends
	departs
	reconnects
	loses
	handles
	beats
	strangerConnects
	strangerCloses
	strangerRegisters
	strangerUnregisters
	proves
	vanishes
)

var verbs = [...]string{
	"the broker starts", "the broker ends", "a tick passes", "the broker connects", "the broker sends REGISTER", "the broker sends UNREGISTER",
	"the broker gives up its connection", "a lost connection is noticed", "a frame is handled", "a heartbeat", "the stranger connects",
	"the stranger closes", "the stranger's REGISTER", "the stranger's UNREGISTER", "a proof arrives",
	"a host vanishes",
}

// Step is one thing that happens: at which node, on which connection (or from which node), with what (a source, or 1: the
// answer is acknowledged).
type Step struct {
	verb           verb
	node, at, with uint8
}

func (s Step) String() string {
	return fmt.Sprintf("%s (node %d, %d, %d)", verbs[s.verb], s.node, s.at, s.with)
}

func frames(q uint8) (n int) {
	for ; q != 0; q >>= 2 {
		n++
	}
	return n
}

// steps calls do with those that are possible.
func (cfg *Config) steps(w *World, do func(Step)) {
	if w.alive {
		do(Step{verb: ends})
	} else {
		do(Step{verb: starts})
	}
	if !cfg.Still {
		do(Step{verb: ticks})
	}
	for n := range cfg.Nodes {
		cfg.stepsAt(w, n, do)
	}
}

func (cfg *Config) stepsAt(w *World, n int, do func(Step)) {
	x, u := &w.node[n], uint8(n)
	connected := false
	for i := range x.conn {
		c, at := &x.conn[i], uint8(i)
		switch c.kind {
		case none:
			continue
		case present:
			connected = true
			do(Step{reconnects, u, at, 0})
			cfg.speaks(c, u, at, do)
		case left, former:
			do(Step{loses, u, at, 0})
		case stranger:
			do(Step{strangerCloses, u, at, 0})
			do(Step{strangerRegisters, u, at, 0})
			if !cfg.Silent {
				do(Step{strangerUnregisters, u, at, 0})
			}
		}
		if f := c.frames & 3; f != 0 {
			do(Step{handles, u, at, 0})
			if c.kind == present && (f == frameRegister || cfg.Nodes > 1) {
				do(Step{handles, u, at, 1})
			}
		}
	}
	if w.alive && !connected && w.count(n, false) < cfg.Victims {
		for s := range cfg.Sources {
			do(Step{connects, u, 0, uint8(s)})
		}
	}
	if cfg.Reach>>n&1 == 1 && w.count(n, true) < cfg.Strangers {
		from := uint8(them)
		if cfg.OneSource || cfg.Fault == SharedOrder {
			from = 0
		}
		do(Step{strangerConnects, u, 0, from})
		if cfg.Fault == Header {
			do(Step{strangerConnects, u, 0, 0})
		}
	}
	if cfg.Beats {
		do(Step{beats, u, 0, 0})
	}
	for s, c := range x.rule.claim {
		if cfg.Vanishes && c.owner != 0 {
			do(Step{vanishes, u, uint8(s), 0})
		}
	}
	for o := range cfg.Nodes {
		for s := range maxSources {
			if y := &w.node[o]; (y.takes[s]|y.solos[s])>>n&1 == 1 {
				do(Step{proves, u, uint8(o), uint8(s)})
			}
		}
	}
}

// speaks are the frames that the victim may send on its present connection.
func (cfg *Config) speaks(c *Conn, n, at uint8, do func(Step)) {
	if cfg.Prompt {
		for acked := range uint8(2) {
			do(Step{sends, n, at, acked})
			do(Step{departs, n, at, acked})
		}
		return
	}
	k := frames(c.frames)
	if k >= cfg.Queue {
		return
	}
	if cfg.Again || k == 0 || c.frames>>(2*(k-1)) != frameUnregister {
		do(Step{verb: sends, node: n, at: at})
	}
	do(Step{verb: departs, node: n, at: at})
}

// Do is the world after a step, and the promise that it breaks.
func (cfg *Config) Do(w World, s Step) (World, string) {
	n, i := int(s.node), int(s.at)
	x := &w.node[n]
	counted := x.rule.listed() && w.counts(cfg, n)
	his := false // it is the stranger's doing
	broken := ""
	switch s.verb {
	case starts:
		w.alive = true
	case ends:
		w.die()
	case ticks:
		broken = w.tick(cfg)
	case connects:
		w.accept(n, Conn{kind: present, source: s.with, quiet: cfg.Window + 1})
	case strangerConnects:
		w.accept(n, Conn{kind: stranger, source: s.with})
	case sends:
		if cfg.Prompt {
			w.register(cfg, n, i, s.with == 1)
		} else {
			x.conn[i].frames |= frameRegister << (2 * frames(x.conn[i].frames))
		}
	case departs:
		if cfg.Prompt {
			broken = w.unregister(cfg, n, i, s.with == 1)
		} else {
			x.conn[i].frames |= frameUnregister << (2 * frames(x.conn[i].frames))
		}
	case reconnects:
		x.conn[i].kind = left
	case loses:
		w.lost(cfg, n, i)
	case handles:
		f := x.conn[i].frames & 3
		x.conn[i].frames >>= 2
		if f == frameRegister {
			w.register(cfg, n, i, s.with == 1)
		} else {
			broken = w.unregister(cfg, n, i, s.with == 1)
		}
	case strangerCloses:
		his = !cfg.Unordered
		w.lost(cfg, n, i)
	case strangerRegisters:
		w.register(cfg, n, i, x.conn[i].source == them)
	case strangerUnregisters:
		his = cfg.Admin
		broken = w.unregister(cfg, n, i, x.conn[i].source == them && cfg.Nodes > 1)
	case beats:
		w.beat(n)
	case proves:
		his = w.node[i].theirs[s.with]>>n&1 == 1
		broken = w.prove(cfg, i, s.with, n)
	case vanishes:
		his = x.conn[x.rule.claim[i].owner-1].kind == stranger
		w.vanished(cfg, n, uint8(i))
	}
	w.settle(cfg)
	if broken == "" && his && counted && !x.rule.listed() {
		broken = "P2: the stranger takes out a broker that goes on registering"
	}
	if broken == "" {
		broken = w.holds(cfg)
	}
	return w, broken
}

// die ends the victim's process: its tombstones are a predecessor's from now on.
func (w *World) die() {
	w.alive = false
	for n := range w.node {
		x := &w.node[n]
		for i := range x.conn {
			if k := &x.conn[i].kind; *k == present || *k == left {
				*k = former
			}
		}
		for s := range them {
			x.old[s] = x.takes[s]
		}
	}
}

// settle forgets what can matter no more, so that worlds that are alike are equal.
func (w *World) settle(cfg *Config) {
	for n := range cfg.Nodes {
		x := &w.node[n]
		for i := range x.conn {
			switch c := &x.conn[i]; {
			case c.kind != present:
				c.quiet = 0
			case !x.rule.listed():
				c.quiet = cfg.Window + 1
			}
		}
		// RocketMQ alone is compared where nobody has an older connection, and the former rule where no stranger unregisters.
		if cfg.Nodes > 1 || cfg.Sources > 1 || !cfg.Unordered && (cfg.Strangers > 1 || cfg.Victims > 1) {
			x.java = Plain{}
		}
		if cfg.Sources > 1 || cfg.Strangers > 0 && !cfg.Silent {
			x.solo, x.solos = Plain{}, [maxSources]uint8{}
		}
	}
}

// holds says which promise a world breaks.
func (w *World) holds(cfg *Config) string {
	for n := range cfg.Nodes {
		x := &w.node[n]
		t := &x.rule
		for _, o := range t.order {
			if o != 0 && t.claim[o-1].owner == 0 {
				return "P6: a claim without an open connection"
			}
		}
		alone := cfg.Sources == 1 && cfg.Strangers == 0
		plain := cfg.Nodes == 1 && cfg.Sources == 1 && cfg.Strangers == 1 && cfg.Victims == 1
		switch {
		case x.mid.listed() && !t.listed():
			return "P2: not listed although RocketMQ would list it"
		case t.heir && !x.mid.listed() && t.claim[t.shown()].age > cfg.Window:
			return "P4: an heir that is not within the window"
		case alone && (t.listed() != (x.solo.owner != 0) || t.claim[0].owner != x.solo.owner || x.takes[0] != x.solos[0]):
			return "P1: not the former rule for a broker with one source"
		case plain && !cfg.Unordered && x.mid.listed() != (x.java.owner != 0):
			return "what it is compared with is not RocketMQ"
		case cfg.Unordered && (t.listed() != (x.java.owner != 0) || t.claim[0].owner != x.java.owner):
			return "P1: not RocketMQ where a source is no machine"
		}
	}
	return ""
}

// seed keys the fingerprints of worlds; two of a hundred million are alike with a chance of 1 in 3,700.
var seed = maphash.MakeSeed()

var orders = [maxNodes + 1][][maxNodes]int{
	1: {{0, 1, 2}}, 2: {{0, 1, 2}, {1, 0, 2}}, 3: {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}},
}

// print is the same for worlds that differ only in the numbers of nodes that are alike.
func (cfg *Config) print(w *World) uint64 {
	best := maphash.Comparable(seed, *w)
	if all := uint8(1<<cfg.Nodes - 1); cfg.Strangers > 0 && cfg.Reach&all != all {
		return best
	}
	for _, p := range orders[cfg.Nodes][1:] {
		best = min(best, maphash.Comparable(seed, w.renumbered(p)))
	}
	return best
}

// renumbered makes node n node p[n].
func (w *World) renumbered(p [maxNodes]int) World {
	v := World{alive: w.alive}
	bits := func(of [maxSources]uint8) (to [maxSources]uint8) {
		for s := range of {
			for n, m := range p {
				to[s] |= of[s] >> n & 1 << m
			}
		}
		return to
	}
	for n, m := range p {
		x := w.node[n]
		for i := range x.conn {
			before := x.conn[i].before
			for k, l := range p {
				x.conn[i].before[l] = before[k]
			}
		}
		x.takes, x.old, x.theirs, x.solos = bits(x.takes), bits(x.old), bits(x.theirs), bits(x.solos)
		v.node[m] = x
	}
	return v
}

// Result is what a search found.
type Result struct {
	Worlds, Depth int
	Finished      bool
	Broken        string
	Steps         []Step // a shortest way to it, if it was traced
}

// Search looks at every world, those nearest to the beginning first, until a promise is broken or more than limit were seen.
func (cfg *Config) Search(limit int, trace bool) (r Result) {
	var first World
	seen := newPrints(trace)
	seen.add(cfg.print(&first), way{})
	level := []World{first}
	for len(level) > 0 && r.Broken == "" {
		var mu sync.Mutex
		var next []World
		var at atomic.Int64
		var group sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			group.Go(func() {
				var mine []World
				for {
					const part = 256
					from := int(at.Add(part)) - part
					if from >= len(level) {
						break
					}
					for k := from; k < min(from+part, len(level)); k++ {
						w := &level[k]
						h := cfg.print(w)
						cfg.steps(w, func(s Step) {
							v, broken := cfg.Do(*w, s)
							switch {
							case broken != "":
								mu.Lock()
								if r.Broken == "" {
									r.Broken, r.Steps = broken, append(seen.way(h), s)
								}
								mu.Unlock()
							case seen.add(cfg.print(&v), way{h, s}):
								mine = append(mine, v)
							}
						})
					}
				}
				mu.Lock()
				defer mu.Unlock()
				next = append(next, mine...)
			})
		}
		group.Wait()
		r.Depth++
		level = next
		if r.Worlds = seen.len(); r.Worlds > limit {
			return r
		}
	}
	r.Finished = r.Broken == ""
	return r
}

package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// Op is one step of a schedule. An op that is not possible when its turn comes (the process is gone, its successor may
// not start yet) does nothing, so that any op can be left out of a schedule.
type Op struct {
	Verb string
	Args [4]int64
}

// verb is how an op is written, one letter for each argument (p process, n node, h host, k kind, b broker, d duration,
// % percent, a way of acknowledging), and what it does.
type verb struct {
	args string
	do   func(w *World, a [4]int64)
}

var verbs = map[string]verb{
	"wait":       {"d", func(w *World, a [4]int64) { w.Run(time.Duration(a[0])) }},
	"start":      {"pkhb", (*World).opStart},
	"register":   {"pnb", (*World).opRegister},
	"unregister": {"pnb", (*World).opUnregister},
	"stop":       {"p", func(w *World, a [4]int64) { w.with(a[0], func(p *proc) { p.stopping = true }) }},
	"exit":       {"p", func(w *World, a [4]int64) { w.with(a[0], (*proc).exit) }},
	"vanish":     {"p", func(w *World, a [4]int64) { w.with(a[0], (*proc).vanish) }},
	"stall":      {"hn", func(w *World, a [4]int64) { w.path(int(a[0]), int(a[1])).stalled = true }},
	"heal":       {"hn", func(w *World, a [4]int64) { w.heal(int(a[0]), int(a[1])) }},
	"acks":       {"hna", (*World).opAcks},
	"cut":        {"nn", (*World).opCut},
	"join":       {"nn", (*World).opJoin},
	"noudp":      {"nn", func(w *World, a [4]int64) { w.udp(a, true) }},
	"udp":        {"nn", func(w *World, a [4]int64) { w.udp(a, false) }},
	"loss":       {"%", func(w *World, a [4]int64) { w.net.loss = float64(a[0]) / 100 }},
	"duplicate":  {"%", func(w *World, a [4]int64) { w.net.duplicate = float64(a[0]) / 100 }},
	"corrupt":    {"%", func(w *World, a [4]int64) { w.net.corrupt = float64(a[0]) / 100 }},
	"slow":       {"d", func(w *World, a [4]int64) { w.net.slow = time.Duration(a[0]) }},
	"busy":       {"%", func(w *World, a [4]int64) { w.busy = float64(a[0]) / 100 }},
	"lag":        {"d", func(w *World, a [4]int64) { w.net.lag = time.Duration(a[0]) }},
	"replay":     {"", func(w *World, _ [4]int64) { w.replay(1) }},
	"replay-all": {"", func(w *World, _ [4]int64) { w.replay(len(w.net.old)) }},
	"freeze":     {"nd", (*World).opFreeze},
	"suspend":    {"nd", (*World).opSuspend},
	"pause":      {"nd", func(w *World, a [4]int64) { w.nodes[a[0]].halt(time.Duration(a[1]), func(*nodeClock, bool) {}) }},
	"slew":       {"n%", (*World).opSlew},
	"restart":    {"nd", (*World).opRestart},
	"forge":      {"hnb", (*World).opForge},
}

var ackNames = []string{"at-once", "late", "never"}

// Apply takes one step.
func (w *World) Apply(op Op) {
	if w.Log != nil && op.Verb != "wait" {
		w.logf("> %v", op)
	}
	verbs[op.Verb].do(w, op.Args)
}

// String is the op as a line of a scenario.
func (op Op) String() string {
	words := []string{op.Verb}
	for i, kind := range verbs[op.Verb].args {
		a := op.Args[i]
		switch kind {
		case 'p':
			words = append(words, fmt.Sprintf("p%d", a))
		case 'n':
			words = append(words, string(rune('A'+a)))
		case 'h':
			words = append(words, fmt.Sprintf("host%d", a))
		case 'k':
			words = append(words, kindNames[a])
		case 'b':
			words = append(words, fmt.Sprintf("b%d", a))
		case 'd':
			words = append(words, time.Duration(a).String())
		case '%':
			words = append(words, fmt.Sprintf("%d%%", a))
		case 'a':
			words = append(words, ackNames[a])
		}
	}
	return strings.Join(words, " ")
}

// ParseOp reads a line that String could have written.
func ParseOp(line string) (Op, error) {
	words := strings.Fields(line)
	v, ok := verbs[words[0]]
	if !ok {
		return Op{}, fmt.Errorf("unknown verb %q", words[0])
	}
	if len(words)-1 != len(v.args) {
		return Op{}, fmt.Errorf("%s: %d arguments, want %d", words[0], len(words)-1, len(v.args))
	}
	op := Op{Verb: words[0]}
	for i, kind := range v.args {
		a, err := parseArg(kind, words[i+1])
		if err != nil {
			return Op{}, fmt.Errorf("%s: argument %q: %w", words[0], words[i+1], err)
		}
		op.Args[i] = a
	}
	return op, nil
}

func parseArg(kind rune, s string) (int64, error) {
	number := func(prefix, suffix string) (int64, error) {
		return strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(s, prefix), suffix), 10, 32)
	}
	named := func(names []string) (int64, error) {
		if i := slices.Index(names, s); i >= 0 {
			return int64(i), nil
		}
		return 0, fmt.Errorf("want one of %v", names)
	}
	switch kind {
	case 'p':
		return number("p", "")
	case 'h':
		return number("host", "")
	case 'b':
		return number("b", "")
	case '%':
		return number("", "%")
	case 'k':
		return named(kindNames[:])
	case 'a':
		return named(ackNames)
	case 'd':
		d, err := time.ParseDuration(s)
		return int64(d), err
	default:
		if len(s) != 1 || s[0] < 'A' || s[0] > 'I' {
			return 0, fmt.Errorf("want a node, A to I")
		}
		return int64(s[0] - 'A'), nil
	}
}

// brokerKey is where broker n registers.
func brokerKey(n int64) tombstone.Key {
	return tombstone.Key{Cluster: fmt.Sprintf("b%d", n), Addr: fmt.Sprintf("10.9.9.%d:10911", n)}
}

func (w *World) with(num int64, do func(p *proc)) {
	if p := w.procs[int(num)]; p != nil && p.alive {
		do(p)
	}
}

// opStart begins a life. Behind one address and one host it may begin only when RocketMQ lets it: a 5.x broker keeps
// its port and its store lock until its unregister loop has ended; a 4.x one gives them up before, but registers no
// more and has no REGISTER under way. A BrokerContainer's brokers are its own.
func (w *World) opStart(a [4]int64) {
	p := &proc{
		w: w, num: int(a[0]), kind: kind(a[1]), ip: int(a[2]), key: brokerKey(a[3]),
		alive: true, conns: map[int]*conn{}, flagged: w.residual == ResidualProxyBuffers,
	}
	if w.procs[p.num] != nil || p.kind == v5keeps && w.residual != ResidualKeepsSocket {
		return
	}
	var before []*proc
	for _, q := range w.ordered() {
		switch {
		case q.key != p.key || q.ip != p.ip:
		case q.num > p.num:
			return
		case q.alive && q.mayBeSucceeded():
			before = append(before, q)
		case q.alive && w.residual == ResidualOverlap:
			q.flagged, p.flagged = true, true
		case q.alive:
			return
		}
	}
	for _, q := range before {
		q.over = q.kind != v4 && q.kind != rust
	}
	p.flagged = p.flagged || p.kind == v5keeps
	w.procs[p.num] = p
}

// opForge is a client on a broker's own host that registers as that broker and unregisters: it owns the registration for
// a moment, and proves its own life. Only as a residual case.
func (w *World) opForge(a [4]int64) {
	if w.residual != ResidualForger {
		return
	}
	p := &proc{
		w: w, num: -1 - len(w.forgers), kind: rust, ip: int(a[0]), key: brokerKey(a[2]),
		alive: true, conns: map[int]*conn{}, flagged: true,
	}
	w.forgers = append(w.forgers, p)
	n := w.nodes[a[1]]
	p.say(n, p.key, false)
	w.after(w.between(5*time.Millisecond, 500*time.Millisecond), func() {
		p.say(n, p.key, true)
		w.after(100*time.Millisecond, p.exit)
	})
}

func (p *proc) mayBeSucceeded() bool {
	switch p.kind {
	case v4, rust:
		return p.stopping && !p.unanswered(false)
	case v5, proxied:
		return p.stopping && !p.unanswered(true)
	case v5keeps:
		return p.stopping // its loop has gone on after 3 s
	}
	return false
}

func (w *World) opRegister(a [4]int64) {
	w.with(a[0], func(p *proc) {
		if p.stopping || p.kind != container && brokerKey(a[2]) != p.key {
			return
		}
		if p.leaving > 0 {
			if w.residual != ResidualContainer {
				return
			}
			p.flagged = true
		}
		p.say(w.nodes[a[1]], brokerKey(a[2]), false)
	})
}

func (w *World) opUnregister(a [4]int64) {
	w.with(a[0], func(p *proc) {
		if p.over || p.kind != container && brokerKey(a[2]) != p.key {
			return
		}
		p.stopping = p.stopping || p.kind != container
		p.say(w.nodes[a[1]], brokerKey(a[2]), true)
	})
}

// say sends one frame.
func (p *proc) say(n *node, k tombstone.Key, unregister bool) {
	if c := p.connect(n); c != nil {
		p.seq++
		f := frame{unregister: unregister, key: k, name: "broker-" + k.Cluster, id: p.as.ID, seq: p.seq}
		f.key.Cluster = cmp.Or(p.as.Cluster, f.key.Cluster)
		f.key.Addr = cmp.Or(p.as.Addr, f.key.Addr)
		f.name = cmp.Or(p.as.Name, f.name)
		c.send(f)
	}
}

func (w *World) opAcks(a [4]int64) {
	w.path(int(a[0]), int(a[1])).acks = ackMode(a[2])
	if ackMode(a[2]) != acksAtOnce {
		return
	}
	for _, p := range w.ordered() {
		for _, c := range p.all {
			if p.ip == int(a[0]) && c.node.index == int(a[1]) && !c.closed && len(c.withheld) > 0 {
				last := c.withheld[len(c.withheld)-1]
				c.withheld = nil
				w.after(w.delay(), func() { c.acked(last) })
			}
		}
	}
}

func (w *World) opCut(a [4]int64) {
	i, j := a[0], a[1]
	w.net.cut[i][j], w.net.cut[j][i] = true, true
	w.suspect(w.nodes[i], w.nodes[j])
}

func (w *World) opJoin(a [4]int64) {
	i, j := a[0], a[1]
	w.net.cut[i][j], w.net.cut[j][i] = false, false
	w.rejoin(w.nodes[i], w.nodes[j], 15*time.Second)
}

func (w *World) udp(a [4]int64, blocked bool) {
	w.net.noUDP[a[0]][a[1]], w.net.noUDP[a[1]][a[0]] = blocked, blocked
}

// opFreeze stops a machine without its clocks noticing, provided that every other node has read them since it lost
// time itself. A freeze shorter than a probe and the drift of a minute can
// hide in them; what is tested is one that matters.
func (w *World) opFreeze(a [4]int64) {
	n, d := w.nodes[a[0]], max(time.Duration(a[1]), 5*time.Second)
	switch {
	case n.until > w.now || n.down || w.anyStopped():
		return
	case w.residual == ResidualFirstExchange:
		n.flagged = true
	case !n.freezable():
		return
	}
	n.stoodStill += d
	clear(n.heard)
	n.halt(d, func(c *nodeClock, on bool) { c.frozen = on })
	w.seen(n, d)
}

// opSuspend puts a machine to sleep: CLOCK_BOOTTIME counts that. When it is slewed as well, both of its clocks are too
// slow and it is like a freeze.
func (w *World) opSuspend(a [4]int64) {
	n := w.nodes[a[0]]
	if w.anyStopped() || !n.freezable() {
		return
	}
	n.stoodStill += time.Duration(a[1])
	clear(n.heard)
	n.halt(time.Duration(a[1]), func(c *nodeClock, on bool) { c.asleep = on })
	w.seen(n, time.Duration(a[1]))
}

// anyStopped says that a machine's clocks stand still now. Two machines that lose time without an exchange between
// hide it from each other: a residual case.
func (w *World) anyStopped() bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool { return n.clock.frozen || n.clock.asleep })
}

// seen is what the others make of a node that does not answer for d.
func (w *World) seen(n *node, d time.Duration) {
	for _, o := range w.nodes {
		if o != n {
			w.suspect(o, n)
			w.after(d, func() { w.rejoin(o, n, 2*time.Second) })
		}
	}
}

func (w *World) opSlew(a [4]int64) {
	n := w.nodes[a[0]]
	n.clock.change(w.now, func() { n.clock.slew = float64(min(max(a[1], -8), 8)) / 100 })
}

func (w *World) opRestart(a [4]int64) {
	n := w.nodes[a[0]]
	if w.anyStopped() && w.residual != ResidualFirstExchange {
		return // the new life would not have exchanged a reading before the freeze
	}
	if !n.down && n.until <= w.now {
		w.restart(n, time.Duration(a[1]))
	}
}

package world

import (
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

// verbs are how ops are written, one letter for each argument (p process, n node, h host, k kind, b broker, d duration,
// % percent, a way of acknowledging, m what a node does about dead hosts), and what they do; those that do nothing here are the nodes' and their network's.
var verbs = map[string]struct {
	args string
	do   func(w *World, a [4]int64)
}{
	"start":      {"pkhb", (*World).opStart},
	"register":   {"pnb", (*World).opRegister},
	"unregister": {"pnb", (*World).opUnregister},
	"stop":       {"p", func(w *World, a [4]int64) { w.with(a[0], func(p *Proc) { p.Stopping = true }) }},
	"exit":       {"p", func(w *World, a [4]int64) { w.with(a[0], (*Proc).exit) }},
	"vanish":     {"p", func(w *World, a [4]int64) { w.with(a[0], (*Proc).vanish) }},
	"forge":      {"hnb", (*World).opForge},
	"stall":      {"hn", func(w *World, a [4]int64) { w.path(int(a[0]), int(a[1])).stalled = true }},
	"heal":       {"hn", func(w *World, a [4]int64) { w.heal(int(a[0]), int(a[1])) }},
	"mute":       {"hn", func(w *World, a [4]int64) { w.path(int(a[0]), int(a[1])).mute = true }},
	"deaf":       {"hn", func(w *World, a [4]int64) { w.path(int(a[0]), int(a[1])).deaf = true }},
	"forget":     {"hn", (*World).opForget},
	"die":        {"h", (*World).opDie},
	"reboot":     {"h", (*World).opReboot},
	"still":      {"hd", (*World).opStill},
	"lossy":      {"h%", func(w *World, a [4]int64) { w.host(int(a[0])).loss = float64(a[1]) / 100 }},
	"filter":     {"h", func(w *World, a [4]int64) { w.host(int(a[0])).filtered = true }},
	"unfilter":   {"h", func(w *World, a [4]int64) { w.host(int(a[0])).filtered = false }},
	"acks":       {"hna", (*World).opAcks},
	"busy":       {"%", func(w *World, a [4]int64) { w.Busy = float64(a[0]) / 100 }},
	"loss":       {"%", func(w *World, a [4]int64) { w.Net.Loss = float64(a[0]) / 100 }},
	"duplicate":  {"%", func(w *World, a [4]int64) { w.Net.Duplicate = float64(a[0]) / 100 }},
	"corrupt":    {"%", func(w *World, a [4]int64) { w.Net.Corrupt = float64(a[0]) / 100 }},
	"slow":       {"d", func(w *World, a [4]int64) { w.Net.Slow = time.Duration(a[0]) }},
	"lag":        {"d", func(w *World, a [4]int64) { w.Net.Lag = time.Duration(a[0]) }},
	"cut":        {"nn", func(w *World, a [4]int64) { set(w.Net.Cut, a, true) }},
	"join":       {"nn", func(w *World, a [4]int64) { set(w.Net.Cut, a, false) }},
	"noudp":      {"nn", func(w *World, a [4]int64) { set(w.Net.NoUDP, a, true) }},
	"udp":        {"nn", func(w *World, a [4]int64) { set(w.Net.NoUDP, a, false) }},
	"wait":       {args: "d"},
	"replay":     {},
	"replay-all": {},
	"freeze":     {args: "nd"},
	"suspend":    {args: "nd"},
	"pause":      {args: "nd"},
	"slew":       {args: "n%"},
	"restart":    {args: "nd"},
	"dead-hosts": {args: "nm"},
	"answered":   {args: "n"},
	"wipe":       {args: "nb"},
}

func set(ways [][]bool, a [4]int64, blocked bool) {
	ways[a[0]][a[1]], ways[a[1]][a[0]] = blocked, blocked
}

// Apply takes one step, as far as it is not the nodes'.
func (w *World) Apply(op Op) {
	if op.Verb != "wait" {
		w.Logf("> %v", op)
	}
	if do := verbs[op.Verb].do; do != nil {
		do(w, op.Args)
	}
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
		case 'm':
			words = append(words, modeNames[a])
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
	case 'm':
		return named(modeNames)
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

// BrokerName is the usual name of the broker at a key.
func BrokerName(k tombstone.Key) string { return "broker-" + k.Cluster }

// BrokerKey is where broker n registers: at host n, as further brokers of that host, n+100 and so on.
func BrokerKey(n int64) tombstone.Key {
	return tombstone.Key{Cluster: fmt.Sprintf("b%d", n), Addr: fmt.Sprintf("198.18.0.%d:%d", n%100, 10911+n/100)}
}

func (w *World) with(num int64, do func(p *Proc)) {
	if p := w.procs[int(num)]; p != nil && p.Alive && !w.host(p.host).still {
		do(p)
	}
}

// opStart begins a life. Behind one address and one host it may begin only when RocketMQ lets it: a 5.x broker keeps
// its port and its store lock until its unregister loop has ended; a 4.x one gives them up before, but registers no
// more and has no REGISTER under way. A BrokerContainer's brokers are its own.
func (w *World) opStart(a [4]int64) {
	p := &Proc{
		w: w, Num: int(a[0]), Kind: Kind(a[1]), host: int(a[2]), key: BrokerKey(a[3]),
		Alive: true, conns: map[int]*Conn{}, Flagged: w.Residual == ResidualProxyBuffers,
	}
	if w.procs[p.Num] != nil || p.Kind == V5Keeps && w.Residual != ResidualKeepsSocket || !w.host(p.host).runs() {
		return
	}
	var before []*Proc
	for _, q := range w.ordered() {
		switch {
		case q.key != p.key || q.host != p.host:
		case q.Num > p.Num:
			return
		case q.Alive && q.mayBeSucceeded():
			before = append(before, q)
		case q.Alive && w.Residual == ResidualOverlap:
			q.Flagged, p.Flagged = true, true
		case q.Alive:
			return
		}
	}
	for _, q := range before {
		q.over = q.Kind != V4 && q.Kind != Rust
	}
	p.Flagged = p.Flagged || p.Kind == V5Keeps
	w.procs[p.Num] = p
}

// opForge is a client on a broker's own host that registers as that broker and unregisters: it owns the registration for
// a moment, and proves its own life. Only as a residual case.
func (w *World) opForge(a [4]int64) {
	if w.Residual != ResidualForger {
		return
	}
	p := &Proc{
		w: w, Num: -1 - len(w.forgers), Kind: Rust, host: int(a[0]), key: BrokerKey(a[2]),
		Alive: true, conns: map[int]*Conn{}, Flagged: true,
	}
	w.forgers = append(w.forgers, p)
	n := int(a[1])
	p.say(n, p.key, false)
	w.After(w.Between(5*time.Millisecond, 500*time.Millisecond), func() {
		p.say(n, p.key, true)
		w.After(100*time.Millisecond, p.exit)
	})
}

func (p *Proc) mayBeSucceeded() bool {
	switch p.Kind {
	case V4, Rust:
		return p.Stopping && !p.unanswered(false)
	case V5, Proxied:
		return p.Stopping && !p.unanswered(true)
	case V5Keeps:
		return p.Stopping // its loop has gone on after 3 s
	}
	return false
}

func (w *World) opRegister(a [4]int64) {
	w.with(a[0], func(p *Proc) {
		if p.Stopping || p.Kind != Container && BrokerKey(a[2]) != p.key {
			return
		}
		if p.Leaving > 0 {
			if w.Residual != ResidualContainer {
				return
			}
			p.Flagged = true
		}
		p.say(int(a[1]), BrokerKey(a[2]), false)
	})
}

func (w *World) opUnregister(a [4]int64) {
	w.with(a[0], func(p *Proc) {
		if p.over || p.Kind != Container && BrokerKey(a[2]) != p.key {
			return
		}
		p.Stopping = p.Stopping || p.Kind != Container
		p.say(int(a[1]), BrokerKey(a[2]), true)
	})
}

func (w *World) opAcks(a [4]int64) {
	host, node := int(a[0]), int(a[1])
	w.path(host, node).acks = ackMode(a[2])
	if ackMode(a[2]) == acksAtOnce {
		for c := range w.ways(host, node) {
			c.acknowledge()
		}
	}
}

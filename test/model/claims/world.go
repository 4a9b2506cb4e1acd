package claims

// A World is one registration of a broker (the victim) at up to three nodes, and everything that can still happen to it. It is
// a value of bytes: equal worlds are equal bytes.
//
// There is no clock. Ages are counted in ticks of 30 s or more and saturate, and connections are known by their place in the
// order in which a node accepted them, so neither time nor the number of restarts is bounded.
type World struct {
	alive bool // a process of the victim runs
	node  [maxNodes]Node
}

// What an array has room for; a configuration uses less.
const (
	maxNodes   = 3
	maxConns   = 4
	maxSources = 3
)

// them is the stranger's source; those before are the victim's.
const them = 2

// Kind says who is at the other end of a connection.
type Kind uint8

// Kinds of connections.
const (
	none     Kind = iota
	present       // of the process that runs, its present one
	left          // of the process that runs, which has given it up: the node may learn of that at any time, or never
	former        // of a process that has ended, likewise; its frames may still come
	stranger      // at once in everything
)

// Frames that are under way, two bits each, the oldest lowest.
const (
	frameRegister   = 1
	frameUnregister = 2
)

// Conn is a connection; its place in Node.conn is its accept order.
type Conn struct {
	kind   Kind
	source uint8
	frames uint8
	heard  bool            // its first byte was read
	proven bool            // something that the node wrote on it was acknowledged: there is an L
	before [maxNodes]uint8 // the connections of each other node whose first byte was read before L
	quiet  uint8           // for how many ticks no REGISTER of the victim's came on it, while listed; for the promises
}

// Claim is what one source says of the registration.
type Claim struct {
	owner uint8 // place of the connection, plus 1; 0: no claim
	age   uint8 // ticks since this source's last REGISTER
}

// Table is the registration at one node, by the rule.
type Table struct {
	claim [maxSources]Claim
	order [maxSources]uint8 // source plus 1, the newest REGISTER first; not listed: order[0] is 0
	seen  uint8             // ticks since the last sign of life
	heir  bool              // inherited
}

// Plain is the registration as RocketMQ has it, or the former rule: one owner.
type Plain struct{ owner, seen uint8 }

// Node is a NameServer, with the tables that others would have in its place.
type Node struct {
	conn [maxConns]Conn
	rule Table
	mid  Table // RocketMQ, but for DEV-11 and DEV-13 among connections of one source and for the victim's own tombstones
	java Plain // RocketMQ
	solo Plain // the former rule, which heard the victim only
	late uint8 // for how many ticks the rule has listed what mid does not

	// What tombstones made here would still take, by source: bits of nodes. All: by the rule, of a process before the present
	// one, made by the stranger, by the former rule.
	takes, old, theirs, solos [maxSources]uint8
}

func (t *Table) listed() bool { return t.order[0] != 0 }

func (t *Table) shown() uint8 { return t.order[0] - 1 }

// newest makes s the source that registered last.
func (t *Table) newest(s uint8) {
	t.unlist(s)
	copy(t.order[1:], t.order[:maxSources-1])
	t.order[0] = s + 1
}

func (t *Table) unlist(s uint8) {
	for i, o := range t.order {
		if o == s+1 {
			copy(t.order[i:], t.order[i+1:])
			t.order[maxSources-1] = 0
			return
		}
	}
}

func (t *Table) drop(s uint8) {
	t.claim[s] = Claim{}
	t.unlist(s)
}

// plainOrder forgets the order behind the first and all ages: mid never looks at them.
func (t *Table) plainOrder() {
	if !t.listed() {
		*t = Table{}
		return
	}
	first, at := t.order[0], 1
	t.order = [maxSources]uint8{first}
	for s := range uint8(maxSources) {
		t.claim[s].age = 0
		if t.claim[s].owner != 0 && s+1 != first {
			t.order[at] = s + 1
			at++
		}
	}
}

// loseMid ends a claim as RocketMQ would: what shows takes the registration with it.
func (t *Table) loseMid(s uint8) {
	if t.order[0] == s+1 {
		*t = Table{}
		return
	}
	t.drop(s)
	t.plainOrder()
}

func (w *World) count(n int, theirs bool) (k int) {
	for _, c := range w.node[n].conn {
		if c.kind != none && (c.kind == stranger) == theirs {
			k++
		}
	}
	return k
}

func (w *World) accept(n int, c Conn) {
	for i := range w.node[n].conn {
		if w.node[n].conn[i].kind == none {
			w.node[n].conn[i] = c
			return
		}
	}
}

// forget takes a connection out of the order.
func (w *World) forget(n, i int) {
	x := &w.node[n]
	copy(x.conn[i:], x.conn[i+1:])
	x.conn[maxConns-1] = Conn{}
	for m := range w.node {
		for k := range w.node[m].conn {
			b := &w.node[m].conn[k].before[n]
			*b = *b&(1<<i-1) | *b>>(i+1)<<i
		}
	}
	for _, o := range x.owners() {
		switch {
		case int(*o) == i+1:
			*o = 0
		case int(*o) > i+1:
			*o--
		}
	}
}

// owners are all places that name a connection of the node.
func (x *Node) owners() []*uint8 {
	all := []*uint8{&x.java.owner, &x.solo.owner}
	for s := range x.rule.claim {
		all = append(all, &x.rule.claim[s].owner, &x.mid.claim[s].owner)
	}
	return all
}

// acked says that what n wrote just now on connection i was acknowledged by an open socket.
func (w *World) acked(cfg *Config, n, i int) {
	c := &w.node[n].conn[i]
	c.proven = true
	for m := range cfg.Nodes {
		c.before[m] = 0
		for k, o := range w.node[m].conn {
			if m != n && o.heard {
				c.before[m] |= 1 << k
			}
		}
	}
}

// safe says that no tombstone made until now takes the claim of a source at node n.
func (w *World) safe(n int, s uint8) {
	for o := range w.node {
		x := &w.node[o]
		x.takes[s] &^= 1 << n
		x.old[s] &^= 1 << n
		x.theirs[s] &^= 1 << n
	}
}

func (w *World) safeSolo(n int) {
	for o := range w.node {
		for s := range w.node[o].solos {
			w.node[o].solos[s] &^= 1 << n
		}
	}
}

// counts says that the victim lives, is connected to n and has registered there within the window while it was listed.
func (w *World) counts(cfg *Config, n int) bool {
	for _, c := range w.node[n].conn {
		if c.kind == present && c.quiet <= cfg.Window {
			return true
		}
	}
	return false
}

// gone says that a departure of the victim's own was carried out at n: it does not count on being listed any more.
func (w *World) gone(cfg *Config, n int, s uint8) {
	for i := range w.node[n].conn {
		if c := &w.node[n].conn[i]; c.kind == present && c.source == s {
			c.quiet = cfg.Window + 1
		}
	}
}

package claims

// Fault is a clause of the rule that is left out or changed: each must break a promise.
type Fault uint8

// Faults.
const (
	OneOrder        Fault = iota + 1 // one order of connections for all sources, as before
	NoWindow                         // the loss of what shows ends the registration, as in RocketMQ
	StaleHeir                        // whoever is left inherits, however long ago it registered
	HeirForGood                      // an heir has the registration for the whole timeout
	LimitStays                       // a REGISTER does not lift an heir's limit
	EveryLossAsks                    // the loss of any claim asks for another within the window
	NeedsClaim                       // an UNREGISTER without a claim of its source is ignored
	OwnOnly                          // an UNREGISTER ends its sender's claim only
	OlderUnregister                  // an UNREGISTER on an older connection of the source counts
	OlderRegister                    // a REGISTER on an older connection of the source takes ownership
	DeadClaim                        // a claim that does not show outlives its owner
	Header                           // PROXY headers are believed from everybody
	SharedOrder                      // the stranger has the victim's address, and the order of connections counts all the same
	TakesAll                         // a tombstone takes the registration, whoever else claims it
	OfShown                          // a tombstone is of what shows, and is compared with what shows
	StampsOfShown                    // first byte and last REGISTER are those of what shows
	Anybodys                         // anybody's UNREGISTER makes a tombstone of what shows
	AdminEndsAll                     // with --admin-from, an UNREGISTER that is exempt ends all claims
	VanishTakesAll                   // a host that vanishes takes the registration, whoever else claims it
	VanishOfShown                    // it takes the claim that shows
)

// source is whose claim a connection's registrations are.
func (cfg *Config) source(c *Conn) uint8 {
	if cfg.Fault == OneOrder {
		return 0
	}
	return c.source
}

// end ends the registration with all claims.
func (w *World) end(n int) {
	w.node[n].rule = Table{}
	for s := range uint8(maxSources) {
		w.safe(n, s)
	}
}

// lose ends one claim: its owner was lost, or a tombstone proved that it left.
func (w *World) lose(cfg *Config, n int, s uint8) {
	t := &w.node[n].rule
	showed := t.order[0] == s+1
	t.drop(s)
	w.safe(n, s)
	switch {
	case !t.listed():
		w.end(n)
	case !showed && cfg.Fault != EveryLossAsks:
	case cfg.Fault == NoWindow, t.claim[t.shown()].age > cfg.Window && cfg.Fault != StaleHeir:
		w.end(n)
	default:
		t.heir = cfg.Fault != HeirForGood
	}
}

// register handles a REGISTER on connection i of node n. acked: its answer was acknowledged.
func (w *World) register(cfg *Config, n, i int, acked bool) {
	x := &w.node[n]
	c := &x.conn[i]
	c.heard = true
	me, s := uint8(i+1), cfg.source(c)
	t := &x.rule
	own := &t.claim[s]
	if own.owner == 0 || me > own.owner || cfg.Fault == OlderRegister || cfg.Unordered {
		own.owner = me
	}
	own.age, t.seen = 0, 0
	t.newest(s)
	t.heir = t.heir && cfg.Fault == LimitStays
	w.safe(n, s)

	mid := &x.mid.claim[c.source]
	if cfg.Fault != OneOrder {
		mid.owner = own.owner
	} else if mid.owner == 0 || me > mid.owner {
		mid.owner = me
	}
	x.mid.newest(c.source)
	x.mid.plainOrder()
	x.mid.seen = 0
	x.java = Plain{owner: me}
	x.late = 0
	if c.kind != stranger {
		x.solo = Plain{owner: max(x.solo.owner, me)}
		w.safeSolo(n)
		c.quiet = 0
	}
	if acked {
		w.acked(cfg, n, i)
	}
}

// unregister handles an UNREGISTER and says which promise that breaks. acked: its answer was acknowledged, which is late proof.
func (w *World) unregister(cfg *Config, n, i int, acked bool) string {
	x := &w.node[n]
	c := &x.conn[i]
	c.heard = true
	me, s := uint8(i+1), cfg.source(c)
	if acked {
		w.acked(cfg, n, i)
	}
	solo := w.makeSolo(cfg, n, i)
	fresh := c.kind == present && c.quiet <= cfg.Window
	own := x.rule.claim[s]
	ignored := own.owner > me && cfg.Fault != OlderUnregister && !cfg.Unordered
	switch {
	case ignored:
	case own.owner == 0 && (cfg.Fault == NeedsClaim || cfg.Admin):
	default:
		w.make(cfg, n, i)
		if cfg.Fault == OwnOnly || cfg.Admin && cfg.Fault != AdminEndsAll {
			if own.owner != 0 {
				w.lose(cfg, n, s)
			}
		} else {
			w.end(n)
		}
	}
	// The same for the others.
	if mid := x.mid.claim[c.source].owner; (me >= mid || cfg.Unordered) && (cfg.Fault == OneOrder || !ignored) {
		x.mid = Table{}
	}
	x.java = Plain{}
	if c.kind != stranger && !ignored {
		w.gone(cfg, n, c.source)
	}
	if solo != 0 && cfg.Silent && cfg.Sources == 1 && fresh {
		for m := range cfg.Nodes {
			y := &w.node[m]
			holds := y.rule.claim[s].owner != 0 && y.rule.claim[s].owner == y.solo.owner
			if own.owner != me || solo>>m&1 == 1 && holds && x.takes[s]>>m&1 == 0 {
				return "P7: a stranger's REGISTER keeps the broker's tombstone from being made, or from taking its claim"
			}
		}
	}
	if c.kind == present && !cfg.Admin && x.rule.listed() {
		return "P3: listed after its own UNREGISTER on its present connection"
	}
	return ""
}

// make makes the tombstone of an UNREGISTER that is executed.
func (w *World) make(cfg *Config, n, i int) {
	x := &w.node[n]
	c := &x.conn[i]
	s, from, owner := cfg.source(c), c.source, i
	if cfg.Fault == Anybodys && x.rule.listed() {
		s = x.rule.shown()
		owner = int(x.rule.claim[s].owner) - 1
		from = x.conn[owner].source
	} else if x.rule.claim[s].owner != uint8(i+1) {
		return
	}
	p := &x.conn[owner]
	if !p.proven || cfg.Unordered || cfg.Fault == OfShown && x.rule.order[0] != s+1 {
		return
	}
	for m := range cfg.Nodes {
		y := &w.node[m]
		it := y.rule.claim[s]
		if m == n || it.owner == 0 || y.conn[it.owner-1].source != from || cfg.Fault == OfShown && y.rule.order[0] != s+1 {
			continue
		}
		judged := it.owner
		if cfg.Fault == StampsOfShown {
			judged = y.rule.claim[y.rule.shown()].owner
		}
		if p.before[m]>>(judged-1)&1 == 0 {
			continue
		}
		x.takes[s] |= 1 << m
		if p.kind == former {
			x.old[s] |= 1 << m
		}
		if c.kind == stranger {
			x.theirs[s] |= 1 << m
		}
	}
}

// makeSolo is the former rule for the victim alone: the nodes that its tombstone would take it from.
func (w *World) makeSolo(cfg *Config, n, i int) (made uint8) {
	x := &w.node[n]
	c := &x.conn[i]
	me := uint8(i + 1)
	if c.kind == stranger || x.solo.owner == 0 || me < x.solo.owner {
		return 0
	}
	for m := range cfg.Nodes {
		y := &w.node[m]
		if m != n && me == x.solo.owner && c.proven && y.solo.owner != 0 && y.conn[y.solo.owner-1].source == c.source &&
			c.before[m]>>(y.solo.owner-1)&1 == 1 {
			made |= 1 << m
		}
	}
	x.solos[c.source] |= made
	x.solo = Plain{}
	w.safeSolo(n)
	return made
}

// lost is a connection whose end node n has noticed.
func (w *World) lost(cfg *Config, n, i int) {
	w.ended(cfg, n, i)
	w.forget(n, i)
}

// vanished takes the claim of a source whose host has vanished, or seems to. Its connection stays open.
func (w *World) vanished(cfg *Config, n int, s uint8) {
	x := &w.node[n]
	owner := int(x.rule.claim[s].owner) - 1
	shows := x.rule.shown()
	if c := &x.conn[owner]; c.kind != stranger {
		w.gone(cfg, n, c.source)
	}
	w.ended(cfg, n, owner)
	switch {
	case cfg.Fault == VanishTakesAll:
		w.end(n)
	case cfg.Fault == VanishOfShown && x.rule.claim[shows].owner != 0:
		w.lose(cfg, n, shows)
	}
}

// ended ends what connection i of node n owns.
func (w *World) ended(cfg *Config, n, i int) {
	x := &w.node[n]
	me := uint8(i + 1)
	for s := range uint8(maxSources) {
		if x.rule.claim[s].owner == me && !(cfg.Fault == DeadClaim && x.rule.order[0] != s+1) {
			w.lose(cfg, n, s)
		}
		if x.mid.claim[s].owner == me {
			x.mid.loseMid(s)
		}
	}
	if x.java.owner == me {
		x.java = Plain{}
	}
	if x.solo.owner == me {
		x.solo = Plain{}
		w.safeSolo(n)
	}
}

// prove has a proof of the tombstone about source s that node o made arrive at n.
func (w *World) prove(cfg *Config, o int, s uint8, n int) string {
	x, y := &w.node[o], &w.node[n]
	if x.solos[s]>>n&1 == 1 {
		y.solo = Plain{}
		w.safeSolo(n)
	}
	if x.takes[s]>>n&1 == 0 {
		return ""
	}
	owner := y.conn[y.rule.claim[s].owner-1]
	old, theirs, before := x.old[s]>>n&1 == 1, x.theirs[s]>>n&1 == 1, y.rule
	if !theirs {
		w.gone(cfg, n, s)
	}
	if cfg.Fault == TakesAll {
		w.end(n)
		y.mid = Table{}
	} else {
		w.lose(cfg, n, s)
		if y.mid.order[0] == s+1 && !theirs {
			y.mid = Table{}
		} else if y.mid.claim[s].owner != 0 {
			y.mid.loseMid(s)
		}
	}
	switch {
	case old && owner.kind == present:
		return "P1: a predecessor's tombstone takes the successor"
	case theirs && owner.kind != stranger:
		return "P5: the stranger's tombstone takes the broker's claim"
	case theirs && cfg.Reach>>n&1 == 0 && before != y.rule:
		return "P5: the stranger changes what he cannot reach"
	}
	return ""
}

// tick lets a tick pass, and every node scan.
func (w *World) tick(cfg *Config) (broken string) {
	older := func(a *uint8, most uint8) { *a = min(*a+1, most) }
	over := cfg.Window + 1
	for n := range cfg.Nodes {
		x := &w.node[n]
		for i := range x.conn {
			if x.conn[i].kind == present {
				older(&x.conn[i].quiet, over)
			}
		}
		if t := &x.rule; t.listed() {
			for s := range t.claim {
				if t.claim[s].owner != 0 || cfg.Fault == DeadClaim {
					older(&t.claim[s].age, over)
				}
			}
			t.seen++
			if t.heir && t.claim[t.shown()].age > cfg.Window {
				w.end(n)
				if w.counts(cfg, n) {
					broken = "P2: an heir that goes on registering ends"
				}
			} else if t.seen > cfg.Timeout {
				w.end(n)
			}
		}
		if x.mid.listed() {
			if x.mid.seen++; x.mid.seen > cfg.Timeout {
				x.mid = Table{}
			}
		}
		for _, p := range []*Plain{&x.java, &x.solo} {
			if p.owner == 0 {
				continue
			}
			if p.seen++; p.seen > cfg.Timeout {
				*p = Plain{}
				if p == &x.solo {
					w.safeSolo(n)
				}
			}
		}
		if !x.rule.listed() || x.mid.listed() {
			x.late = 0
		} else if older(&x.late, over); x.late > cfg.Window && !cfg.Admin {
			broken = "P4: listed longer than in RocketMQ, beyond the window"
		}
	}
	return broken
}

// beat is a heartbeat.
func (w *World) beat(n int) {
	x := &w.node[n]
	x.rule.seen, x.mid.seen, x.java.seen, x.solo.seen = 0, 0, 0, 0
}

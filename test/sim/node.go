package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// node is one NameServer: its machine, and the process of the moment with the real tables and the real exchange.
type node struct {
	w     *World
	index int
	clock nodeClock
	until int64 // frozen, asleep or paused before; events wait

	stoodStill time.Duration // in all: one of its clocks or both; as an asker it errs towards keeping then
	heard      map[int]int64 // when the last reading of each node's present life was taken, in true time
	flagged    bool          // a residual case was made with it

	boot   uint64
	down   bool
	table  *routes.Table
	twin   *routes.Table // gets the same frames and no tombstones; nil after the first eviction (INV-3)
	x      *tombstone.Exchange
	accept uint64
	conns  map[uint64]*conn
	ghosts map[tombstone.Key]*ghost
	wake   int64 // next tick

	touched bool // the tables may have changed since they were checked
}

func newNode(w *World, i int) *node {
	n := &node{w: w, index: i}
	n.clock = nodeClock{
		rawBase: int64(1 + w.rng.IntN(1e15)), bootBase: int64(1 + w.rng.IntN(1e15)),
		drift: (w.rng.Float64()*2 - 1) / 1000,
	}
	n.start()
	return n
}

// start begins a new life of the node's process: empty tables, no tombstones, another boot number.
func (n *node) start() {
	n.boot = n.w.rng.Uint64() | 1
	n.down = false
	n.accept = 0
	n.conns = map[uint64]*conn{}
	n.ghosts = map[tombstone.Key]*ghost{}
	for _, o := range n.w.nodes {
		delete(o.heard, n.index)
	}
	n.heard = map[int]int64{}
	tables := routes.Config{
		Clock: n.stamp, Encode: func(b []byte, _ *routes.Route, _ bool) []byte { return b },
		TombstoneTTL: tombstone.TTL,
	}
	n.table, n.twin = routes.New(tables), routes.New(tables)
	x, err := tombstone.New(tombstone.Config{Self: n.peer(), Nonce: n.w.rng.Uint64, Flaw: n.w.flaw.exchange()}, judge{n})
	if err != nil {
		panic(err) // the simulation's own mistake
	}
	n.x = x
	n.wake = 0
	n.ticks()
}

func (n *node) name() string         { return string(rune('A' + n.index)) }
func (n *node) peer() tombstone.Peer { return tombstone.Peer{Name: n.name(), Boot: n.boot} }
func (n *node) stamp() clock.Stamp   { return n.clock.read(n.w.now) }

// when runs do as soon as the node's process runs, unless this life of it has ended by then.
func (n *node) when(t int64, do func()) {
	life := n.boot
	n.w.at(t, func() {
		switch {
		case n.boot != life || n.down:
		case n.w.now < n.until:
			n.when(n.until, do)
		default:
			do()
		}
	})
}

// ticks keeps one wake-up at the exchange's next tick.
func (n *node) ticks() {
	next := n.w.now + int64(n.clock.wait(n.w.now, n.x.NextTick()))
	if n.wake > n.w.now && n.wake <= next {
		return
	}
	n.wake = next
	n.when(next, func() {
		if n.wake > n.w.now {
			return // an earlier one took over
		}
		n.output(n.x.Tick(n.stamp()))
		n.wake = 0
		n.ticks()
	})
}

// output sends what the exchange wants sent and has the ghosts look at what it decided.
func (n *node) output(out tombstone.Output) {
	for _, d := range out.Decisions {
		if eff, judged := d.Effects.(routes.Effects); judged {
			n.effects(eff)
		}
		n.w.logf("%s decides on %s/%d of %s: %v (life %v, register %v)", n.name(), d.ID.Cluster, d.ID.Seq,
			d.ID.Origin.Name, d.Verdict.Outcome, d.Verdict.LifeMargin, d.Verdict.RegisterMargin)
	}
	for _, p := range out.Packets {
		n.w.transmit(n, p)
	}
	n.check()
	n.ticks()
}

func (n *node) check() {
	if err := n.x.Check(n.stamp()); err != nil {
		n.w.fail(8, false, "exchange of %s: %v", n.name(), err)
	}
	if !n.touched {
		return
	}
	n.touched = false
	if err := n.table.Check(); err != nil {
		n.w.fail(8, false, "tables of %s: %v", n.name(), err)
	}
	if n.twin == nil || n.w.flaw != NoFlaw {
		return
	}
	mine, alone := n.table.Registrations(), n.twin.Registrations()
	for i := range mine {
		mine[i].Kept, mine[i].KeptAt = tombstone.Verdict{}, clock.Stamp{} // what tombstones leave behind on what they keep
	}
	if !slices.Equal(mine, alone) {
		n.w.fail(3, false, "%s holds %v, and %v without gossip", n.name(), mine, alone)
	}
}

// judge lets the exchange judge, with the flaws that belong to the tables.
type judge struct{ n *node }

func (t judge) Holds(k tombstone.Key) bool {
	_, ok := t.n.table.Holds(k)
	return ok
}

func (t judge) Judge(id tombstone.ID, b tombstone.Bounds) (v tombstone.Verdict, effects any) {
	n := t.n
	g := n.ghosts[id.Key]
	if n.w.flaw == FlawNoCompareAndDelete {
		return n.decideNowDeleteLater(id, b), nil
	}
	n.touched = true
	who, b := n.w.flaw.judge(n, id, b)
	v, eff := n.table.Judge(id.Key, who, b)
	if v.Outcome == tombstone.Evicted {
		n.twin = nil
	}
	n.judged(id, g, v)
	n.sync()
	return v, eff
}

// register handles a REGISTER frame of one of the connection's registrations.
func (n *node) register(c *conn, f frame) {
	p := c.proc
	r := routes.Registration{
		Cluster: f.key.Cluster, Addr: f.key.Addr, Name: f.name, ID: f.id,
		Version: p.kind.version(), Language: p.kind.language(), Conn: n.flawedConn(c),
		Timeout:   routes.Opt64{N: p.as.Timeout.Milliseconds(), Valid: p.as.Timeout > 0},
		HasTopics: true, Topics: someTopics, DataVersion: routes.DataVersion{Counter: 1},
	}
	n.touched = true
	n.table.Register(&r)
	if n.twin != nil {
		n.twin.Register(&r)
	}
	n.registered(c, f)
	who := tombstone.Identity{Name: f.name, BrokerID: f.id, RemoteIP: hostIP(p.ip)}
	n.x.Registered(c.id, f.key, who, n.stamp())
	c.reply(f, tombstone.ID{})
}

var someTopics = []routes.Topic{
	{Name: []byte("a"), Queue: routes.Queue{Read: 4, Write: 4, Perm: 6}},
	{Name: []byte("b"), Queue: routes.Queue{Read: 4, Write: 4, Perm: 6}},
}

// unregister handles an UNREGISTER frame; at is the stamp of its first byte.
func (n *node) unregister(c *conn, f frame, at clock.Stamp) {
	life := c.life(at)
	before := n.ghosts[f.key]
	u := routes.Unregistration{
		Cluster: f.key.Cluster, Addr: f.key.Addr, Name: f.name, ID: f.id, Conn: n.flawedUnregister(c, f.key), At: at,
	}
	n.touched = true
	left, eff := n.table.Unregister(&u)
	if n.twin != nil {
		n.twin.Unregister(&u)
	}
	n.effects(eff)
	n.removedLocally(c, f.key, before)
	n.x.Unregistered(c.id, f.key)
	var id tombstone.ID
	if left.Leaving == routes.LeavingProven {
		d := left.Departure
		d.Life = life
		id = n.made(c, f, d)
	}
	n.w.logf("%s handles the unregister of %s by %s: %v", n.name(), f.key.Cluster, c.proc.name(), left.Leaving)
	c.reply(f, id)
}

// made turns a departure into a tombstone and notes its truth for the ghosts.
func (n *node) made(c *conn, f frame, d tombstone.Departure) tombstone.ID {
	id, why, out := n.x.Made(d, n.stamp())
	if why == tombstone.Made {
		n.w.mark(n, c, f, id, d)
	}
	n.output(out)
	return id
}

// lost ends a connection at this node.
func (n *node) lost(c *conn) {
	if !c.open {
		return
	}
	c.open = false
	delete(n.conns, c.id)
	held := map[tombstone.Key]*ghost{}
	for k, g := range n.ghosts {
		held[k] = g
	}
	n.connLost(c)
	for k, g := range held {
		n.removedLocally(c, k, g)
	}
	n.x.Closed(c.id)
}

func (n *node) effects(eff routes.Effects) {
	for _, id := range eff.Close {
		if c := n.conns[id]; c != nil {
			c.closedByNode()
		}
	}
	n.sync()
}

// conn as the tables see it.
func (c *conn) route() *routes.Conn {
	return &routes.Conn{
		ID: c.id, FirstByte: c.firstByte, CanProve: !c.proxied,
		Remote: netip.AddrPortFrom(hostIP(c.proc.ip), uint16(c.id)),
	}
}

// halt stops the node's process for d: it handles nothing. With set its clocks misbehave meanwhile.
func (n *node) halt(d time.Duration, set func(c *nodeClock, on bool)) {
	if n.until > n.w.now {
		return
	}
	n.until = n.w.now + int64(d)
	n.clock.change(n.w.now, func() { set(&n.clock, true) })
	n.w.at(n.until, func() { n.clock.change(n.w.now, func() { set(&n.clock, false) }) })
}

// probeAck records a reading of another node's clocks, taken at the true time read.
func (n *node) probeAck(from *node, p tombstone.Peer, reading clock.Stamp, read int64) {
	n.x.ProbeAck(p, reading, n.stamp())
	if p == from.peer() {
		n.heard[from.index] = read
	}
}

// freezable says that every other node has a reading of this node's clocks, taken within the last minute and since it
// stood still itself: otherwise a freeze is a residual case.
func (n *node) freezable() bool {
	for _, o := range n.w.nodes {
		at, heard := o.heard[n.index]
		if o != n && (o.down || !heard || at < o.until || n.w.now-at > int64(time.Minute)) {
			return false
		}
	}
	return !n.down
}

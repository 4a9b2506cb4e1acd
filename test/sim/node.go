package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// node is one NameServer: its machine, and the process of the moment with the real tables and the real exchange.
type node struct {
	w     *World
	index int
	clock *world.Clock
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
	ghosts world.Ghosts
	wake   int64 // next tick

	touched bool // the tables may have changed since they were checked

	members map[string]tombstone.Peer // that it takes to be alive
	missing map[string]missing        // that it takes for dead, and hears all the same
	judges  bool                      // whether hosts are dead, or answers those that do
	mode    vanish.Mode
	watch   *watch  // nil: not in this life
	told    []entry // what the tables were told
	began   int64   // true time of the start of this life
	changed int64   // and at which something came between this node and others, or ended
	froze   int64   // and until which its clocks stood still
}

func newNode(w *World, i int) *node {
	n := &node{w: w, index: i, clock: w.NewClock(1)}
	n.start()
	return n
}

// start begins a new life of the node's process: empty tables, no tombstones, another boot number.
func (n *node) start() {
	n.boot = n.w.Rng.Uint64() | 1
	n.down = false
	n.accept = 0
	n.conns = map[uint64]*conn{}
	n.ghosts = world.Ghosts{}
	for _, o := range n.w.nodes {
		delete(o.heard, n.index)
	}
	n.heard = map[int]int64{}
	n.members, n.missing, n.told, n.watch, n.began = map[string]tombstone.Peer{}, map[string]missing{}, nil, nil, n.w.now
	tables := routes.Config{
		Clock: n.stamp, Encode: func(b []byte, _ *routes.Route, _ bool) []byte { return b },
		TombstoneTTL: tombstone.TTL, AsideBytes: n.w.asideBytes(),
	}
	n.table, n.twin = routes.New(tables), routes.New(tables)
	x, err := tombstone.New(tombstone.Config{Self: n.peer(), Nonce: n.w.Rng.Uint64, Flaw: n.w.flaw.exchange()}, judge{n})
	if err != nil {
		panic(err) // the simulation's own mistake
	}
	n.x = x
	n.wake = 0
	n.ticks()
	if n.judges {
		n.listen(0)
	}
}

func (n *node) name() string         { return world.NodeName(n.index) }
func (n *node) peer() tombstone.Peer { return tombstone.Peer{Name: n.name(), Boot: n.boot} }
func (n *node) stamp() clock.Stamp   { return n.clock.Read() }

// when runs do as soon as the node's process runs, unless this life of it has ended by then.
func (n *node) when(t int64, do func()) {
	n.w.add(event{at: t, do: do, node: n, life: n.boot})
}

// ticks keeps one wake-up at the exchange's next tick.
func (n *node) ticks() {
	next := n.w.now + int64(n.clock.Wait(n.x.NextTick()))
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
		n.w.Logf("%s decides on %s/%d of %s: %v (life %v, register %v)", n.name(), d.ID.Cluster, d.ID.Seq,
			d.ID.Origin.Name, d.Verdict.Outcome, d.Verdict.LifeMargin, d.Verdict.RegisterMargin)
	}
	for _, r := range out.Refuted {
		if n.w.flaw == NoFlaw {
			n.w.Refuted(n.index, r.Decision.ID.Key)
		}
	}
	for _, p := range out.Packets {
		n.w.transmit(n, p)
	}
	n.check()
	n.ticks()
}

func (n *node) check() {
	if err := n.x.Check(n.stamp()); err != nil {
		n.w.Fail(8, false, "exchange of %s: %v", n.name(), err)
	}
	if !n.touched {
		return
	}
	n.touched = false
	if err := n.table.Check(); err != nil {
		n.w.Fail(8, false, "tables of %s: %v", n.name(), err)
	}
	if n.twin == nil || n.w.flaw != NoFlaw {
		return
	}
	mine, alone := n.table.Registrations(), n.twin.Registrations()
	for i := range mine {
		mine[i].Kept, mine[i].KeptAt = tombstone.Verdict{}, clock.Stamp{} // what tombstones leave behind on what they keep
	}
	if !slices.Equal(mine, alone) {
		n.w.Fail(3, false, "%s holds %v, and %v without gossip", n.name(), mine, alone)
	}
}

// judge lets the exchange judge, with the flaws that belong to the tables.
type judge struct{ n *node }

func (t judge) Holds(k tombstone.Key) bool {
	return t.n.table.Holds(k) || t.n.table.SetAside(k)
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
	if v.Took() {
		n.twin = nil
	}
	if n.watch != nil {
		n.watch.proven(id.Key, who, b)
	}
	n.noted(id.Key, who.RemoteIP, func(t *routes.Table) { t.Judge(id.Key, who, b) }, byTombstone)
	n.judged(id, g, v)
	n.sync()
	return v, eff
}

// register handles a REGISTER frame of one of the connection's registrations.
func (n *node) register(c *conn, f *world.Frame) {
	p := c.Proc
	r := routes.Registration{
		Cluster: f.Key.Cluster, Addr: f.Key.Addr, Name: f.Name, ID: f.ID,
		Version: p.Kind.Version(), Language: uint8(p.Kind.Language()), Conn: n.flawedConn(c),
		Timeout:   routes.Opt64{N: f.Timeout.Milliseconds(), Valid: f.Timeout > 0},
		HasTopics: true, Topics: someTopics, DataVersion: routes.DataVersion{Counter: 1},
	}
	n.touched = true
	n.said(f)
	n.table.Register(&r)
	n.noted(f.Key, p.IP(), func(t *routes.Table) { t.Register(&r) }, byBroker)
	if n.twin != nil {
		n.twin.Register(&r)
	}
	if n.table.Holds(f.Key) {
		g := n.ghosts.Registered(c.Conn, f)
		if n.w.flaw == FlawNoOwnership {
			g.Claims[p.Host()].Owner = c.Conn
		}
	}
	who := tombstone.Identity{Name: f.Name, BrokerID: f.ID, RemoteIP: p.IP()}
	n.x.Registered(c.ID, f.Key, who, n.stamp())
	if n.watch != nil {
		n.watch.registered(c, f)
	}
	c.reply(world.Write{Asks: 1})
}

var someTopics = []routes.Topic{
	{Name: []byte("a"), Queue: routes.Queue{Read: 4, Write: 4, Perm: 6}},
	{Name: []byte("b"), Queue: routes.Queue{Read: 4, Write: 4, Perm: 6}},
}

// unregister handles an UNREGISTER frame; at is the stamp of its first byte.
func (n *node) unregister(c *conn, f *world.Frame, at clock.Stamp) {
	life := c.life(at)
	before := n.ghosts[f.Key]
	u := routes.Unregistration{
		Cluster: f.Key.Cluster, Addr: f.Key.Addr, Name: f.Name, ID: f.ID, Conn: n.flawedUnregister(c, f.Key), At: at,
	}
	n.touched = true
	n.said(f)
	left, eff := n.table.Unregister(&u)
	n.noted(f.Key, c.Proc.IP(), func(t *routes.Table) { t.Unregister(&u) }, byBroker)
	if n.watch != nil {
		n.watch.unregistered(c, f, left.Leaving)
	}
	if n.twin != nil {
		n.twin.Unregister(&u)
	}
	n.effects(eff)
	n.removedLocally(c, f.Key, before, false)
	n.x.Unregistered(c.ID, f.Key)
	c.Unregistered(f.Key)
	wr := world.Write{Unregs: 1}
	if left.Leaving == routes.LeavingProven {
		d := left.Departure
		d.Life = life
		if m := n.made(c, f, d); m != nil {
			wr.Marks = append(wr.Marks, m)
		}
	}
	n.w.Logf("%s handles the unregister of %s by %s: %v", n.name(), f.Key.Cluster, c.Proc.Name(), left.Leaving)
	c.reply(wr)
}

// made turns a departure into a tombstone and notes its truth for the ghosts.
func (n *node) made(c *conn, f *world.Frame, d tombstone.Departure) (m *world.Mark) {
	id, why, out := n.x.Departed(d, n.stamp())
	if why == tombstone.Made {
		life := int64(0)
		for _, wr := range c.Writes {
			if wr.Stamp == d.Life {
				life = wr.At
			}
		}
		m = n.w.Mark(c.Conn, f, id, c.began, life)
	}
	n.output(out)
	return m
}

// lost ends a connection at this node.
func (n *node) lost(c *conn) {
	if !c.Open {
		return
	}
	if n.watch != nil {
		n.watch.closing(c)
	}
	c.Open = false
	delete(n.conns, c.ID)
	held := maps.Clone(n.ghosts)
	n.connLost(c)
	for k, g := range held {
		n.removedLocally(c, k, g, true)
	}
	n.x.Closed(c.ID)
	if n.watch != nil {
		n.watch.closed(c)
	}
}

func (n *node) effects(eff routes.Effects) {
	for _, closing := range eff.Close {
		if c := n.conns[closing.Conn]; c != nil && time.Duration(n.w.now-c.lastRead) >= closing.Silent {
			n.when(n.w.now, func() { n.lost(c) })
			c.Hangup()
		}
	}
	n.sync()
}

// conn as the tables see it.
func (c *conn) route() *routes.Conn {
	return &routes.Conn{
		ID: c.ID, FirstByte: c.firstByte, CanProve: c.Proc.Kind != world.Proxied,
		Source: mq.Source{Addr: c.Proc.IP()},
	}
}

// halt stops the node's process for d: it handles nothing. What clocks are stopped stand still meanwhile.
func (n *node) halt(d time.Duration, stopped world.Stopped) {
	if n.until > n.w.now {
		return
	}
	n.until = n.w.now + int64(d)
	n.changed = n.until
	if stopped != world.Runs {
		n.froze = n.until
	}
	n.clock.Stop(stopped)
	n.w.At(n.until, func() { n.clock.Stop(world.Runs) })
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

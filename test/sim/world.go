package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// World is one run. Everything happens in the goroutine that calls Apply; true time is nanoseconds since its start.
type World struct {
	now    int64
	rng    *rand.Rand
	events events
	order  uint64 // of events, so that those of one moment run in the order of their making

	busy     float64 // how often a frame waits in the node's receive buffer for up to 200 ms
	flaw     Flaw
	residual Residual

	nodes   []*node
	procs   map[int]*proc
	forgers []*proc             // numbered below zero: before every life of a broker
	paths   map[path]*pathState // broker host to node
	early   map[path]openedEarly
	net     network

	marks    []*mark // tombstones made, for the ghosts
	byID     map[tombstone.ID]*mark
	evicted  int
	Failures []Failure
	Log      func(format string, args ...any) // nil: silent
}

// Failure is a broken invariant.
type Failure struct {
	Invariant int
	Text      string
	Flagged   bool // it involves a broker for which a residual case was switched on
}

// path is the way between a broker's host and a node.
type path struct{ ip, node int }

// NewWorld makes n nodes that know each other and have exchanged one reading of their clocks.
func NewWorld(n int, seed uint64, flaw Flaw, residual Residual) *World {
	w := &World{
		rng: rand.New(rand.NewPCG(seed, 0x6570)), flaw: flaw, residual: residual,
		procs: map[int]*proc{}, paths: map[path]*pathState{}, early: map[path]openedEarly{}, byID: map[tombstone.ID]*mark{},
	}
	w.net.init(n)
	for i := range n {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b {
				w.memberUp(a, b)
				a.probeAck(b, b.peer(), b.stamp(), 0)
			}
		}
	}
	w.after(time.Second, w.probes)
	w.after(5*time.Second, w.scan)
	return w
}

// event is something that happens at a time.
type event struct {
	at    int64
	order uint64
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(v any)   { *e = append(*e, v.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return last
}

func (w *World) at(t int64, do func()) {
	w.order++
	heap.Push(&w.events, event{at: max(t, w.now), order: w.order, do: do})
}

func (w *World) after(d time.Duration, do func()) { w.at(w.now+int64(d), do) }

// Run lets d pass.
func (w *World) Run(d time.Duration) {
	end := w.now + int64(d)
	for len(w.events) > 0 && w.events[0].at <= end && len(w.Failures) == 0 {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

func (w *World) fail(invariant int, flagged bool, format string, args ...any) {
	w.logf("BROKEN INV-%d: "+format, append([]any{invariant}, args...)...)
	w.Failures = append(w.Failures, Failure{Invariant: invariant, Text: fmt.Sprintf(format, args...), Flagged: flagged})
}

func (w *World) logf(format string, args ...any) {
	if w.Log != nil {
		w.Log("%12v  %s", time.Duration(w.now), fmt.Sprintf(format, args...))
	}
}

// chance is true with probability p.
func (w *World) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// between is a random duration.
func (w *World) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// hostIP is the source address of a broker's host.
func hostIP(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// nodeClock is a machine's pair of clocks: each runs at its own rate and may be stopped.
type nodeClock struct {
	at                int64 // true time of the bases
	rawBase, bootBase int64
	drift             float64 // of the crystal
	slew              float64 // of CLOCK_BOOTTIME only
	frozen, asleep    bool
}

func (c *nodeClock) rates() (raw, boot float64) {
	crystal := 1 + c.drift
	switch {
	case c.frozen:
		return 0, 0
	case c.asleep:
		return 0, crystal
	}
	return crystal, crystal * (1 + c.slew)
}

func (c *nodeClock) read(now int64) clock.Stamp {
	raw, boot := c.rates()
	d := float64(now - c.at)
	return clock.Stamp{Raw: c.rawBase + int64(d*raw), Boot: c.bootBase + int64(d*boot)}
}

// change rebases the clock before one of its rates changes.
func (c *nodeClock) change(now int64, set func()) {
	s := c.read(now)
	c.at, c.rawBase, c.bootBase = now, s.Raw, s.Boot
	set()
}

// wait is the true time until the clock's boot reading reaches due.
func (c *nodeClock) wait(now int64, due clock.Stamp) time.Duration {
	_, boot := c.rates()
	if boot == 0 {
		return time.Second
	}
	return time.Duration(max(0, float64(due.Boot-c.read(now).Boot)/boot)) + 1
}

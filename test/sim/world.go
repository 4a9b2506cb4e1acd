package sim

import (
	"container/heap"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/vanish"
)

// World is one run. Everything happens in the goroutine that calls Apply; true time is nanoseconds since its start.
type World struct {
	*world.World
	timeline
	flaw  Flaw
	seed  uint64
	nodes []*node
	early map[openedFor]opened
	old   world.Heard[packet]

	asked    map[uint64][]vanish.Subject // by the nonces of questions
	oldWords world.Heard[words]
	brakes   int // how often one began

	// Evictions of hosts, those refuted, those put back, and what was checked beside.
	Vanished, HostsBack, PutBack, Farewells, Races, Deaths int
}

// NewWorld makes n nodes that know each other and have exchanged one reading of their clocks.
func NewWorld(n int, seed uint64, flaw Flaw, residual world.Residual) *World {
	w := &World{flaw: flaw, seed: seed, early: map[openedFor]opened{}, asked: map[uint64][]vanish.Subject{}}
	w.World = world.New(&w.timeline, seed, 0x6570, n)
	w.Residual, w.ResetIsAck = residual, flaw == FlawResetIsAck
	w.stop = func() bool { return len(w.Failures) > 0 }
	for i := range n {
		one := newNode(w, i)
		w.nodes = append(w.nodes, one)
		w.Nodes = append(w.Nodes, one)
	}
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b {
				w.memberUp(a, b)
				a.probeAck(b, b.peer(), b.stamp(), 0)
			}
		}
	}
	w.After(time.Second, w.probes)
	w.After(5*time.Second, w.scan)
	return w
}

// timeline is virtual time: what is to happen, in order.
type timeline struct {
	now    int64
	events events
	order  uint64 // of events, so that those of one moment run in the order of their making
	stop   func() bool
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

// Now is the true time.
func (l *timeline) Now() int64 { return l.now }

// At calls do at that time.
func (l *timeline) At(t int64, do func()) {
	l.order++
	heap.Push(&l.events, event{at: max(t, l.now), order: l.order, do: do})
}

// Run lets d pass.
func (l *timeline) Run(d time.Duration) {
	end := l.now + int64(d)
	for len(l.events) > 0 && l.events[0].at <= end && !l.stop() {
		e := heap.Pop(&l.events).(event)
		l.now = e.at
		e.do()
	}
	l.now = end
}

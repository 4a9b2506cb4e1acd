package sim

import (
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

// event is something that happens at a time: to a node as soon as its process runs, unless that life of it has ended by then.
type event struct {
	at    int64
	order uint64
	do    func()
	node  *node // nil: to the world
	life  uint64
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

// events are a heap, as that of container/heap, which would allocate each of them.
type events []event

func (e *events) push(v event) {
	*e = append(*e, event{})
	all, i := *e, len(*e)-1
	for up := (i - 1) / 2; i > 0 && v.before(&all[up]); up = (i - 1) / 2 {
		all[i], i = all[up], up
	}
	all[i] = v
}

func (e *events) pop() event {
	all, last := *e, len(*e)-1
	first, v := all[0], all[last]
	all[last] = event{}
	all = all[:last]
	*e = all
	i := 0
	for down := 1; down < last; down = 2*i + 1 {
		if down+1 < last && all[down+1].before(&all[down]) {
			down++
		}
		if v.before(&all[down]) {
			break
		}
		all[i], i = all[down], down
	}
	if last > 0 {
		all[i] = v
	}
	return first
}

// Now is the true time.
func (l *timeline) Now() int64 { return l.now }

// At calls do at that time.
func (l *timeline) At(t int64, do func()) { l.add(event{at: t, do: do}) }

func (l *timeline) add(e event) {
	l.order++
	e.at, e.order = max(e.at, l.now), l.order
	l.events.push(e)
}

// Run lets d pass.
func (l *timeline) Run(d time.Duration) {
	end := l.now + int64(d)
	for len(l.events) > 0 && l.events[0].at <= end && !l.stop() {
		e := l.events.pop()
		l.now = e.at
		switch n := e.node; {
		case n == nil:
			e.do()
		case n.boot != e.life || n.down:
		case l.now < n.until:
			n.when(n.until, e.do)
		default:
			e.do()
		}
	}
	l.now = end
}

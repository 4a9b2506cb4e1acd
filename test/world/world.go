// Package world is what the simulations share: brokers on their hosts and the ways from there to the nodes (broker.go),
// schedules of what happens to them (ops.go, generate.go, scenario.go), the network between the nodes (network.go), the
// machines' clocks (clock.go), and the ghosts, which know what no node can know (ghost.go).
//
// Package sim plays it with the bare tables and the bare exchange in one goroutine, package whole with whole nodes and
// memberlist in virtual time. What is a node here is only an interface (Node, End).
package world

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// Time is the true time of a run, in nanoseconds since it began.
type Time interface {
	Now() int64
	// At calls do at that time, at the earliest now: alone, as everything that calls a World.
	At(t int64, do func())
}

// World is what a run has beside its nodes. It is not for several goroutines at once.
type World struct {
	Time     Time
	Step     int64 // between what comes in order: 0 where Time keeps the order of what happens in one moment
	Rng      *rand.Rand
	Busy     float64 // how often a frame waits in the node's receive buffer for up to 200 ms
	Net      Network
	Residual Residual
	Nodes    []Node

	// Timeout is the heartbeat timeout that brokers ask for when their guise does not say; 0: none.
	Timeout time.Duration
	// ResetIsAck breaks the kernels' promise: what a dead process's kernel resets counts as acknowledged.
	ResetIsAck bool

	Taken int64 // true time at which the last frame that has arrived is there whole

	procs   map[int]*Proc
	forgers []*Proc             // numbered below zero: before every life of a broker
	paths   map[path]*pathState // broker host to node
	hosts   map[int]*Host

	Marks        []*Mark // tombstones made, for the ghosts
	byID         map[tombstone.ID]*Mark
	Evicted      int
	Contradicted int // evictions that were refuted
	Failures     []Failure
	Log          func(format string, args ...any) // nil: silent
}

// Node is a NameServer as brokers meet it.
type Node interface {
	// Life tells the processes of this node apart; 0: none runs.
	Life() uint64
	// Accept takes a connection and gives it its number, or does not.
	Accept(c *Conn) bool
}

// Failure is a broken invariant.
type Failure struct {
	Invariant int
	Text      string
	Flagged   bool // it involves a broker for which a residual case was switched on
}

func (f Failure) String() string {
	if f.Invariant > hostRules {
		return fmt.Sprintf("V-%d: %s", f.Invariant-hostRules, f.Text)
	}
	return fmt.Sprintf("INV-%d: %s", f.Invariant, f.Text)
}

// hostRules is where the numbers of the rules about dead hosts begin (docs/spec/deadhosts.md#rules).
const hostRules = 100

// FailHost notes that rule V-v is broken.
func (w *World) FailHost(v int, format string, args ...any) {
	w.Fail(hostRules+v, false, format, args...)
}

// New is a world for n nodes, which the caller adds to Nodes.
func New(t Time, seed, stream uint64, n int) *World {
	w := &World{
		Time: t, Rng: rand.New(rand.NewPCG(seed, stream)), procs: map[int]*Proc{}, paths: map[path]*pathState{},
		hosts: map[int]*Host{},
		byID:  map[tombstone.ID]*Mark{},
	}
	w.Net.init(w.Rng, n)
	return w
}

// After calls do when d has passed.
func (w *World) After(d time.Duration, do func()) { w.Time.At(w.Time.Now()+int64(d), do) }

// Fail notes a broken invariant.
func (w *World) Fail(invariant int, flagged bool, format string, args ...any) {
	f := Failure{Invariant: invariant, Text: fmt.Sprintf(format, args...), Flagged: flagged}
	w.Logf("BROKEN %v", f)
	w.Failures = append(w.Failures, f)
}

// Logf tells what happened.
func (w *World) Logf(format string, args ...any) {
	if w.Log != nil {
		w.Log("%12v  %s", time.Duration(w.Time.Now()), fmt.Sprintf(format, args...))
	}
}

// Chance is true with probability p.
func (w *World) Chance(p float64) bool { return chance(w.Rng, p) }

// Between is a random duration.
func (w *World) Between(low, high time.Duration) time.Duration { return between(w.Rng, low, high) }

// NodeName is the letter of a node's machine.
func NodeName(i int) string { return string(rune('A' + i)) }

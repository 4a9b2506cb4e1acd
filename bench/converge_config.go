package bench

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Limits of one convergence run.
const (
	MaxNodes   = 200
	MaxBrokers = 1_000
	MaxTrials  = 100_000
	MaxStorm   = 50_000 // UNREGISTERs a second
)

// Fault is what keeps an UNREGISTER from nodes.
type Fault string

// The faults. The broker's connection to a node that misses the UNREGISTER stays open and silent.
const (
	MissOne       Fault = "miss-one"         // all nodes but one handle the UNREGISTER, one after the other
	MissAllButOne Fault = "miss-all-but-one" // only the first node handles it: the hardest without a death
	OriginDies    Fault = "origin-dies"      // two nodes handle it; the first is cut off from the others at its answer
	Mass          Fault = "mass"             // all brokers leave at once, and one node misses all of it
)

// Faults are all faults.
func Faults() []Fault { return []Fault{MissOne, MissAllButOne, OriginDies, Mass} }

// ConvergeConfig is one run of RunConvergence: every combination of Nodes, Losses and Faults is a setting. Start from
// DefaultConvergeConfig.
type ConvergeConfig struct {
	Nodes     []int         // how many nodes in this process
	Targets   []string      // HOST:PORT of running NameServers instead
	Brokers   int           // registered at every node at a time
	Mass      int           // the same for the fault Mass
	Trials    int           // departures of each setting; of Mass a twentieth
	Losses    []float64     // share of packets and TCP segments between nodes that are lost, each way: 0 to 0.9
	Delay     time.Duration // between nodes, one way
	Partition time.Duration // the nodes are cut in two halves for so long from just before the UNREGISTER
	Faults    []Fault
	Timeout   time.Duration // a departure that is not seen everywhere by then has not converged
	Window    time.Duration // how long the same without gossip is watched
	Idle      time.Duration // measure the traffic of nodes that have nothing to say for so long; 0: not
	Storm     int           // UNREGISTERs a second at one node meanwhile; 0: none
	StormTime time.Duration
	Complete  bool   // at three nodes also every fault, a delay and a partition: what docs/convergence.md holds
	Vanish    bool   // also hosts that vanish, at up to 33 nodes; when complete, at 0, 10 and 30 % loss and with every fault
	From      string // .json of an earlier run, to which vanished hosts alone are added
	Seed      uint64 // the same seed makes the same plan: who leaves, where, who misses it
	Plot      string // .svg or .png
	JSON      string
	Document  string // .md: method, goals and figures
}

// DefaultConvergeConfig is three nodes without loss.
func DefaultConvergeConfig() ConvergeConfig {
	return ConvergeConfig{
		Nodes: []int{3}, Brokers: 10, Mass: massBrokers, Trials: 100, Losses: []float64{0}, Faults: []Fault{MissAllButOne},
		Timeout: 30 * time.Second, Window: 5 * time.Second, StormTime: 10 * time.Second, Seed: 1,
	}
}

// TargetsTimeout is long enough to see the expiry of a NameServer that does not gossip: 120 s, its scan, and more.
const TargetsTimeout = 150 * time.Second

// Validate reports every fault of c, each with its remedy.
func (c *ConvergeConfig) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	within := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			bad("%s: %d is not within %d to %d", name, v, lo, hi)
		}
	}
	if len(c.Targets) == 0 {
		c.validateNodes(bad)
	} else {
		c.validateTargets(bad)
	}
	within("brokers", c.Brokers, 1, MaxBrokers)
	within("brokers", c.Mass, 1, MaxBrokers)
	within("trials", c.Trials, 1, MaxTrials)
	if len(c.Losses) == 0 {
		bad("loss: none given; 0 is no loss")
	}
	for _, l := range c.Losses {
		if !(l >= 0 && l <= 0.9) {
			bad("loss: %v is not within 0 to 0.9; 0.3 loses three packets of ten", l)
		}
	}
	if c.Delay < 0 || c.Delay > time.Second {
		bad("delay: %v is not within 0s to 1s", c.Delay)
	}
	if c.Partition < 0 || c.Partition > 10*time.Minute {
		bad("partition: %v is not within 0s to 10m", c.Partition)
	}
	if len(c.Faults) == 0 {
		bad("fault: none given; choose of %s", joinFaults())
	}
	for _, f := range c.Faults {
		if !slices.Contains(Faults(), f) {
			bad("fault: %q is none of %s", f, joinFaults())
		}
		if c.Partition > 0 && f == OriginDies {
			bad("partition: does not go with the fault %s, which cuts a node off itself", f)
		}
	}
	if c.Timeout <= 0 || c.Timeout > time.Hour {
		bad("timeout: %v is not within 0s to 1h", c.Timeout)
	}
	if c.Window <= 0 || c.Window > 100*time.Second {
		bad("window: %v is not within 0s to 100s; beyond it a NameServer without gossip expires brokers by itself", c.Window)
	}
	if c.Idle < 0 || c.Idle > time.Hour {
		bad("idle: %v is not within 0s to 1h", c.Idle)
	}
	within("storm", c.Storm, 0, MaxStorm)
	if c.Storm > 0 && (c.StormTime < time.Second || c.StormTime > 10*time.Minute) {
		bad("storm-time: %v is not within 1s to 10m", c.StormTime)
	}
	if c.From != "" && !c.Vanish {
		bad("from: adds hosts that vanish to an earlier report; give --vanish, or leave --from out")
	}
	if c.Plot != "" {
		if err := checkPlotPath(c.Plot); err != nil {
			faults = append(faults, err)
		}
	}
	for field, path := range map[string]string{"json": c.JSON, "document": c.Document} {
		if err := CheckWritable(field, path); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return enoughFilesFor("nodes and brokers", c.files(), "ask for fewer nodes or brokers")
}

func (c *ConvergeConfig) validateNodes(bad func(string, ...any)) {
	if len(c.Nodes) == 0 {
		bad("nodes: none given; 3 is a good start")
	}
	for _, n := range c.Nodes {
		switch {
		case n == 1:
			bad("nodes: 1 node has nobody to tell who left; give 2 or more, such as --nodes 3")
		case n < 2 || n > MaxNodes:
			bad("nodes: %d is not within 2 to %d", n, MaxNodes)
		case n < 3 && slices.Contains(c.Faults, OriginDies):
			bad("nodes: the fault %s needs 3 nodes or more: the one that dies, another that heard it, and one that did not", OriginDies)
		}
	}
}

func (c *ConvergeConfig) validateTargets(bad func(string, ...any)) {
	if len(c.Targets) < 2 {
		bad("targets: %d NameServer has nobody to tell who left; give two or more, separated by commas", len(c.Targets))
	}
	for i, t := range c.Targets {
		if _, port, err := net.SplitHostPort(t); err != nil || port == "" {
			bad("targets: %q is not HOST:PORT, such as 10.0.0.1:9876", t)
		}
		if slices.Contains(c.Targets[:i], t) {
			bad("targets: %s is named twice; name each NameServer once", t)
		}
	}
	if slices.ContainsFunc(c.Losses, func(l float64) bool { return l != 0 }) || c.Delay > 0 || c.Partition > 0 || slices.Contains(c.Faults, OriginDies) {
		bad("targets: loss, delay, partition and the fault %s are put in between nodes of this process; between nodes that already run "+
			"they are the network's: leave them out, or leave --targets out", OriginDies)
	}
	if c.Idle > 0 || c.Storm > 0 || c.Complete || c.Vanish {
		bad("targets: idle, storm, complete and vanish measure nodes of this process; leave them out, or leave --targets out")
	}
}

// files is how many file descriptors the largest setting opens at once: both ends of every connection.
func (c *ConvergeConfig) files() (most int) {
	const ofEach = 12 // listeners, gossip sockets, an asking client and some streams under way
	for _, j := range c.jobs() {
		n := j.nodes * (2*j.brokers + ofEach)
		if len(c.Targets) > 0 {
			n = j.nodes * (j.brokers + 1)
		}
		most = max(most, n)
	}
	if c.Vanish {
		for _, s := range c.vanishSettings() {
			const ofHost = 2 + 2*4 // both ends of its connection, and new ones that are tried
			most = max(most, s.Nodes*(ofHost*s.Hosts+ofEach))
		}
	}
	return most + 2*stormConns
}

// job is one setting to be measured.
type job struct {
	nodes, brokers, trials int
	loss                   float64
	delay, partition       time.Duration
	fault                  Fault
}

// jobs lists all settings, those of the same nodes and brokers beside each other.
func (c *ConvergeConfig) jobs() (all []job) {
	counts := c.Nodes
	if len(c.Targets) > 0 {
		counts = []int{len(c.Targets)}
	}
	for _, n := range counts {
		for _, fault := range c.Faults {
			for _, loss := range c.Losses {
				all = append(all, c.job(n, fault, loss))
			}
		}
	}
	if c.Complete {
		for _, fault := range []Fault{MissOne, OriginDies} {
			all = append(all, c.job(3, fault, 0), c.job(3, fault, 0.3))
		}
		far, parted := c.job(3, MissAllButOne, 0), c.job(3, MissAllButOne, 0)
		far.delay, parted.partition, parted.trials = completeDelay, completePartition, min(c.Trials, completeParted)
		all = append(all, far, parted, c.job(3, Mass, 0), c.job(3, Mass, 0.3))
	}
	return all
}

// What a complete run adds.
const (
	completeDelay     = 5 * time.Millisecond
	completePartition = 10 * time.Second
	completeParted    = 5 // each takes as long as the partition and the rejoining
)

func (c *ConvergeConfig) job(n int, fault Fault, loss float64) job {
	j := job{nodes: n, brokers: c.Brokers, trials: c.Trials, loss: loss, delay: c.Delay, partition: c.Partition, fault: fault}
	if fault == Mass {
		j.brokers, j.trials = c.Mass, max(1, c.Trials/20)
	}
	return j
}

func joinFaults() string {
	names := make([]string, 0, len(Faults()))
	for _, f := range Faults() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// askBudget is how many route queries a second all asking clients of one setting send together, so that on few cores the
// asking does not become what is measured. Nodes of this process say when they have evicted and are asked at once, so
// that the other questions may be fewer.
const (
	askBudget     = 10_000
	askBudgetTold = 4_000
)

// askEvery is how often each of n nodes is asked.
func askEvery(n, budget int) time.Duration {
	perSecond := budget * max(runtime.NumCPU(), 2) / 2 / n
	return max(time.Second/time.Duration(max(perSecond, 1)), 500*time.Microsecond)
}

package whole

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// flaw breaks the world on purpose: ghosts that do not notice are blind.
type flaw int

const (
	noFlaw         flaw = iota
	flawResetIsAck      // what a dead process's kernel resets counts as acknowledged
)

// World is one run inside a synctest bubble. The schedule moves it from one goroutine; the nodes have theirs.
type World struct {
	tb      testing.TB
	started time.Time
	dir     string // of the nodes' files
	keys    string // the key file of all nodes
	timeout time.Duration
	flaw    flaw
	script  bool // a scenario knows what it does: no op is softened
	machine []*machine
	group   sync.WaitGroup // carriers of streams, and nodes that are stopping

	mu       sync.Mutex // guards the following fields and everything that hangs on them
	rng      *rand.Rand
	busy     float64 // how often a frame waits in the node's receive buffer for up to 200 ms
	net      network
	procs    map[int]*proc
	paths    map[path]*pathState
	port     int
	marks    []*mark
	byID     map[string]*mark
	evicted  int
	over     bool
	lines    map[string]int // of the nodes' logs
	failures []string
	log      []string
}

// config of a World.
type config struct {
	nodes   int
	seed    uint64
	timeout time.Duration // the heartbeat timeout that brokers ask for; 0: none
	busy    float64
	flaw    flaw
	script  bool
}

// newWorld starts the nodes and waits until all know all and have heard each other's clocks.
func newWorld(t testing.TB, cfg config) *World {
	w := &World{
		tb: t, started: time.Now(), dir: t.TempDir(), timeout: cfg.timeout, flaw: cfg.flaw, script: cfg.script, busy: cfg.busy,
		rng: rand.New(rand.NewPCG(cfg.seed, 0x77686f6c65)), procs: map[int]*proc{}, paths: map[path]*pathState{},
		byID: map[string]*mark{}, lines: map[string]int{},
	}
	w.makeKeys()
	w.net.init(cfg.nodes + 1) // one for a stranger
	for i := range cfg.nodes {
		w.machine = append(w.machine, w.newMachine(i))
	}
	for _, m := range w.machine {
		m.start()
	}
	if !w.await(time.Minute, w.allKnowAll) {
		w.fail(7, "not all nodes have found each other within a minute")
	}
	w.sleep(time.Duration(3*cfg.nodes) * time.Second) // every pair probes each other in that time
	return w
}

// close stops everything that still runs.
func (w *World) close() {
	w.mu.Lock()
	w.over = true
	for _, p := range w.ordered() {
		if p.alive {
			p.exit()
		}
	}
	w.mu.Unlock()
	for _, m := range w.machine {
		m.stop(false)
	}
	w.group.Wait()
	pause(2 * time.Minute) // memberlist's probes and streams end by their own time-outs
}

// sleep lets d pass.
func (w *World) sleep(d time.Duration) {
	pause(d)
	synctest.Wait()
}

// await lets time pass until cond holds, at most limit.
func (w *World) await(limit time.Duration, cond func() bool) bool {
	for end := time.Now().Add(limit); !cond(); {
		if !time.Now().Before(end) {
			return false
		}
		w.sleep(max(time.Millisecond, limit/200))
	}
	return true
}

// later runs do after d with the world locked. The caller holds mu.
func (w *World) later(d time.Duration, do func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		do()
	})
}

// fail notes a broken invariant.
func (w *World) fail(invariant int, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed(invariant, format, args...)
}

func (w *World) failed(invariant int, format string, args ...any) {
	text := fmt.Sprintf("INV-%d: %s", invariant, fmt.Sprintf(format, args...))
	w.logf("BROKEN %s", text)
	w.failures = append(w.failures, fmt.Sprintf("%v: %s", time.Since(w.started), text))
}

// maxLog bounds what a run remembers for its report.
const maxLog = 20_000

func (w *World) logf(format string, args ...any) {
	if len(w.log) < maxLog {
		w.log = append(w.log, fmt.Sprintf("%14v  %s", time.Since(w.started), fmt.Sprintf(format, args...)))
	}
}

// report is what happened, for a run that failed.
func (w *World) report() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, "\n")
}

func (w *World) broken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures
}

func (w *World) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

func (w *World) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// allKnowAll says that every node that runs lists every other one.
func (w *World) allKnowAll() bool {
	running := 0
	for _, m := range w.machine {
		if m.gossiping() != nil {
			running++
		}
	}
	for _, m := range w.machine {
		if l := m.gossiping(); l != nil && len(l.node.Gossip().Members()) != running {
			return false
		}
	}
	return true
}

// calm ends every fault between the nodes.
func (w *World) calm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := &w.net
	n.loss, n.duplicate, n.corrupt, n.lag, n.slow = 0, 0, 0, 0, 2*time.Millisecond
	for i := range n.cut {
		clear(n.cut[i])
		clear(n.noUDP[i])
	}
}

// settle ends all faults between the nodes and checks what must be true then: INV-5, INV-6 and INV-7.
func (w *World) settle() {
	w.calm()
	w.await(2*time.Minute, func() bool { return !w.anyHalted() })
	for _, m := range w.machine {
		if m.current() == nil {
			m.start()
		}
	}
	// The rejoin loops, and one push/pull between every pair.
	if !w.await(3*time.Minute, w.allKnowAll) {
		w.fail(7, "not all nodes have found each other within three minutes: %v", w.views())
		return
	}
	w.sleep(time.Duration(len(w.machine)-1) * 70 * time.Second)
	w.check()
	w.checkGone()
	w.mu.Lock()
	before := w.evicted
	w.mu.Unlock()
	w.replay(replayable)
	w.sleep(2 * time.Second)
	w.mu.Lock()
	if w.evicted != before {
		w.failed(5, "%d evictions more when old packets came again", w.evicted-before)
	}
	w.mu.Unlock()
	w.check()
}

// outlive lets every tombstone reach its end: INV-6.
func (w *World) outlive() {
	w.sleep(tombstone.TTL + time.Minute)
	for _, m := range w.machine {
		if l := m.gossiping(); l != nil {
			if live := l.node.Gossip().Status(1).Live; live > 0 {
				w.fail(6, "%s still has %d tombstones", m.name(), live)
			}
		}
	}
}

func (w *World) anyHalted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.machine {
		if time.Until(m.until) > 0 {
			return true
		}
	}
	return false
}

func (w *World) views() (all []string) {
	for _, m := range w.machine {
		if l := m.gossiping(); l != nil {
			var names []string
			for _, other := range l.node.Gossip().Members() {
				names = append(names, other.Name)
			}
			all = append(all, m.name()+" sees "+strings.Join(names, " "))
		}
	}
	return all
}

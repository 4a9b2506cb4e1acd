package whole

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nodeconfig "github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// World is one run inside a synctest bubble. The schedule moves it from one goroutine; the nodes have theirs.
type World struct {
	tb      testing.TB
	started time.Time
	dir     string // of the nodes' files
	keys    string // the key file of all nodes
	script  bool   // a scenario knows what it does: no op is softened
	machine []*machine
	group   sync.WaitGroup // carriers of streams, and nodes that are stopping

	mu           sync.Mutex // guards the following fields and everything that hangs on them
	*world.World            // brokers, ways, network, ghosts
	at           map[string]*endpoint
	old          world.Heard[packet]
	port         int
	over         bool
	lines        map[string]int // of the nodes' logs
	warned       []string       // of them, those that warn, whole
	log          []string

	back                                 map[string]bool // names of brokers whose eviction was refuted
	vanished, farewells, deaths, putBack int             // evictions of hosts, tombstones of what they took, deaths timed, and what was put back
}

// config of a World.
type config struct {
	nodes      int
	seed       uint64
	timeout    time.Duration // the heartbeat timeout that brokers ask for; 0: none
	busy       float64
	resetIsAck bool
	script     bool
	hosts      []nodeconfig.DeadHostMode // what each node does about dead hosts
}

// Now is the true time since the world began.
func (w *World) Now() int64 { return int64(time.Since(w.started)) }

// At calls do at that time, with the world locked.
func (w *World) At(t int64, do func()) {
	time.AfterFunc(time.Duration(t-w.Now()), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		do()
	})
}

// newWorld starts the nodes and waits until all know all and have heard each other's clocks.
func newWorld(t testing.TB, cfg config) *World {
	w := &World{
		tb: t, started: time.Now(), dir: t.TempDir(), script: cfg.script, at: map[string]*endpoint{}, lines: map[string]int{}, back: map[string]bool{},
	}
	w.World = world.New(w, cfg.seed, 0x77686f6c65, cfg.nodes+1) // one for a stranger
	w.Step = 1                                                  // timers of one moment run in any order
	w.Busy, w.Timeout, w.ResetIsAck, w.Log = cfg.busy, cfg.timeout, cfg.resetIsAck, w.note
	w.makeKeys()
	for i := range cfg.nodes {
		w.machine = append(w.machine, w.newMachine(i))
		w.Nodes = append(w.Nodes, w.machine[i])
		if cfg.hosts != nil {
			w.machine[i].mode = cfg.hosts[i]
		}
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
	w.ExitAll()
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

// fail notes a broken invariant.
func (w *World) fail(invariant int, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Fail(invariant, false, format, args...)
}

// maxLog bounds what a run remembers for its report.
const maxLog = 20_000

func (w *World) note(format string, args ...any) {
	if len(w.log) < maxLog {
		w.log = append(w.log, fmt.Sprintf(format, args...))
	}
}

// report is what happened, for a run that failed.
func (w *World) report() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, "\n")
}

func (w *World) broken() []world.Failure {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Failures
}

// pause lets d of virtual time pass for this goroutine.
func pause(d time.Duration) { <-time.After(d) }

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
	w.Net.Calm()
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
	before := w.Evicted
	w.mu.Unlock()
	w.replay(world.Replayable)
	w.sleep(2 * time.Second)
	w.mu.Lock()
	if w.Evicted != before {
		w.Fail(5, false, "%d evictions more when old packets came again", w.Evicted-before)
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

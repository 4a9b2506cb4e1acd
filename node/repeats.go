package node

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/routes"
)

const (
	// repeatEvery is how often one and the same fault is told.
	repeatEvery = 10 * time.Minute
	// sourcesEvery is how often it is told that several sources register one address: who they are may change.
	sourcesEvery = time.Minute
	// repeatKinds bounds how many different faults are remembered, of names by their hash; beyond, the oldest memory is thrown away whole.
	repeatKinds = 4096
)

type repeatKey struct {
	kind                routes.EventKind
	cluster, name, addr string
}

type repeat struct {
	told    clock.Stamp
	skipped int
}

// repeats keeps a fault that comes with every registration from filling the log.
type repeats struct {
	mu    sync.Mutex        // guards the following fields
	known map[uint64]repeat // by the hash of a repeatKey
}

func newRepeats() *repeats { return &repeats{known: make(map[uint64]repeat)} }

// due says whether to tell a fault now, and how often it was kept back since it was last told.
func (r *repeats) due(key repeatKey, now clock.Stamp, every time.Duration) (skipped int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hash := maphash.Comparable(printSeed, key)
	last, known := r.known[hash]
	if known && now.Sub(last.told) < every {
		last.skipped++
		r.known[hash] = last
		return 0, false
	}
	if !known && len(r.known) >= repeatKinds {
		clear(r.known)
	}
	r.known[hash] = repeat{told: now}
	return last.skipped, true
}

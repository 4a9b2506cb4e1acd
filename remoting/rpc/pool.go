package rpc

import "sync/atomic"

// gate admits requests of one kind: size.Threads at once, size.Queue more wait in the order they came.
// It costs two atomic operations while nobody has to wait.
type gate struct {
	inside atomic.Int64 // running and waiting
	size   PoolSize
	turn   chan struct{} // one token for each leaver who found a waiter; never blocks the sender
}

func newGate(size PoolSize) *gate {
	return &gate{size: size, turn: make(chan struct{}, size.Threads+size.Queue)}
}

// enter says whether there is room and whether the caller must take a token from turn before it goes on.
// The count is raised only when there is room (so no Add): a leaver must never see a caller who will be refused,
// for it would leave a token that nobody takes.
func (g *gate) enter() (ok, wait bool) {
	for {
		n := g.inside.Load()
		if n >= int64(g.size.Threads+g.size.Queue) {
			return false, false
		}
		if g.inside.CompareAndSwap(n, n+1) {
			return true, n >= int64(g.size.Threads)
		}
	}
}

// leave ends what a successful enter, and its wait if any, began.
func (g *gate) leave() {
	if g.inside.Add(-1) >= int64(g.size.Threads) {
		g.turn <- struct{}{}
	}
}

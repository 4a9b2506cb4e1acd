package rpc

import "sync/atomic"

// pool admits requests of one kind: size.Threads at once, size.Queue more wait in the order they came.
// It costs two atomic operations while nobody has to wait.
type pool struct {
	inside atomic.Int64 // running and waiting
	size   PoolSize
	turn   chan struct{} // one token for each leaver who found a waiter; never blocks the sender
}

func newPool(size PoolSize) *pool {
	return &pool{size: size, turn: make(chan struct{}, size.Threads+size.Queue)}
}

// enter says whether there is room and whether the caller must take a token from turn before it goes on.
// The count is raised only when there is room (so no Add): a leaver must never see a caller who will be refused,
// for it would leave a token that nobody takes.
func (p *pool) enter() (ok, wait bool) {
	for {
		n := p.inside.Load()
		if n >= int64(p.size.Threads+p.size.Queue) {
			return false, false
		}
		if p.inside.CompareAndSwap(n, n+1) {
			return true, n >= int64(p.size.Threads)
		}
	}
}

// leave ends what a successful enter, and its wait if any, began.
func (p *pool) leave() {
	if p.inside.Add(-1) >= int64(p.size.Threads) {
		p.turn <- struct{}{}
	}
}

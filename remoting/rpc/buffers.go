package rpc

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Sizes of read buffers: what is waited with, what is read with, what a frame may have without asking the budget.
const (
	smallBuffer = 4 << 10
	readBuffer  = 16 << 10
	freeBuffer  = 64 << 10
)

// outBuffer is what an out buffer starts with; one that grew beyond maxOutKept is not kept.
const (
	outBuffer  = 8 << 10
	maxOutKept = 128 << 10
)

// budgetWait is how long a frame waits for its share of the budget before its connection is closed.
const budgetWait = 10 * time.Second

// buffers are read buffers by size: 4 KiB, 16 KiB, 64 KiB and then doubling, so that a frame's buffer follows the bytes
// that really arrive, whatever length the frame claims.
type buffers struct {
	small, read, free, out sync.Pool
	large                  [16]sync.Pool // of freeBuffer<<(i+1)
	budget                 *semaphore.Weighted
}

// buffer is handled by pointer, so that giving it back allocates nothing.
type buffer struct {
	b    []byte
	home *sync.Pool
	cost int64 // taken from the budget
}

func newBuffers(budget int64) *buffers { return &buffers{budget: semaphore.NewWeighted(budget)} }

func take(p *sync.Pool, size int) *buffer {
	if b, ok := p.Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, size), home: p}
}

func (p *buffers) getSmall() *buffer { return take(&p.small, smallBuffer) }
func (p *buffers) getRead() *buffer  { return take(&p.read, readBuffer) }

// getOut returns an empty buffer with room for answers.
func (p *buffers) getOut() *buffer {
	b := take(&p.out, outBuffer)
	b.b = b.b[:0]
	return b
}

// putOut keeps an out buffer for the next connection unless an answer made it large.
func (p *buffers) putOut(b *buffer) {
	if cap(b.b) <= maxOutKept {
		p.out.Put(b)
	}
}

// put gives a read buffer back, and its cost.
func (p *buffers) put(b *buffer) {
	if b.cost > 0 {
		p.budget.Release(b.cost)
		b.cost = 0
	}
	b.home.Put(b)
}

// larger returns the next size after b's, empty. It waits for the budget, at most budgetWait.
func (p *buffers) larger(ctx context.Context, b *buffer) (*buffer, error) {
	switch {
	case len(b.b) < readBuffer:
		return p.getRead(), nil
	case len(b.b) < freeBuffer:
		return take(&p.free, freeBuffer), nil
	}
	size := int64(len(b.b)) * 2
	if !p.budget.TryAcquire(size) {
		ctx, cancel := context.WithTimeout(ctx, budgetWait)
		defer cancel()
		if err := p.budget.Acquire(ctx, size); err != nil {
			return nil, errNoBudget
		}
	}
	i := 0
	for freeBuffer<<(i+1) < size {
		i++
	}
	n := take(&p.large[i], int(size))
	n.cost = size
	return n, nil
}

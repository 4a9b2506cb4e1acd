package rpc

import (
	"math/bits"
	"sync"
)

// Sizes of read buffers: what is waited with, what is read with, what a frame that is larger begins with.
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

// serving is what a connection that speaks is charged beside its read buffer: its goroutine's stack, its loop, and an out buffer
// as it starts.
const serving = 8<<10 + outBuffer

// maxKept is the largest buffer that is kept: a registration of 25,000 topics or so. Larger ones are made anew each time.
const maxKept = 4 << 20

// buffers are kept by size, as long as the collector leaves them: two of its rounds.
type buffers struct {
	small, read, free, out sync.Pool
	// large are those of whole frames above freeBuffer, up to freeBuffer<<1, freeBuffer<<2, and so on. Without them each REGISTER of a
	// broker with thousands of topics sets off the collector, which looks through all tables.
	large [6]sync.Pool
}

// ofFrame is where buffers of about n bytes are kept; nil: nowhere.
func (p *buffers) ofFrame(n int) *sync.Pool {
	if n > maxKept {
		return nil
	}
	return &p.large[bits.Len(uint(n-1)/freeBuffer)-1]
}

// buffer is handled by pointer, so that giving it back allocates nothing.
type buffer struct {
	b    []byte
	home *sync.Pool // nil: it is not kept
	cost int64      // charged to the connection
}

func take(p *sync.Pool, size int) *buffer {
	if b, ok := p.Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, size), home: p}
}

// reading returns a buffer to read into, which is charged before.
func (c *Conn) reading(size int) (*buffer, error) {
	if err := c.await(int64(size)); err != nil {
		return nil, err
	}
	var b *buffer
	switch pool := &c.server.buffers; size {
	case smallBuffer:
		b = take(&pool.small, size)
	case readBuffer:
		b = take(&pool.read, size)
	case freeBuffer:
		b = take(&pool.free, size)
	default:
		return c.ofFrame(size), nil
	}
	b.cost = int64(size)
	return b, nil
}

// ofFrame is reading for a frame of its own size, which is charged already: a buffer that was kept may be up to twice as long, and is
// taken if there is memory for that.
func (c *Conn) ofFrame(size int) *buffer {
	pool := c.server.buffers.ofFrame(size)
	if pool != nil {
		if b, ok := pool.Get().(*buffer); ok && len(b.b) >= size && (len(b.b) == size || c.takeBy(int64(len(b.b)-size), ask{waits: true})) {
			b.cost = int64(len(b.b))
			return b
		}
	}
	return &buffer{b: make([]byte, size), home: pool, cost: int64(size)}
}

// larger is the size of the buffer that follows one of n bytes: in the end that of the whole frame, whatever of it really arrives,
// for frames that took their memory in steps could all come to wait for what the others hold.
func larger(n, frame int) int {
	switch {
	case n < readBuffer:
		return readBuffer
	case n < freeBuffer:
		return freeBuffer
	}
	return max(frame, n+1)
}

// put gives a buffer back, and what it was charged.
func (c *Conn) put(b *buffer) {
	c.give(b.cost)
	b.cost = 0
	if b.home != nil {
		b.home.Put(b)
	}
}

// answers returns an empty buffer to put answers in.
func (c *Conn) answers() *buffer {
	b := take(&c.server.buffers.out, outBuffer)
	b.b = b.b[:0]
	if more := int64(cap(b.b) - outBuffer); more > 0 {
		if !c.take(more) {
			return &buffer{b: make([]byte, 0, outBuffer), home: b.home}
		}
		b.cost = more
	}
	return b
}

// widen makes room for n bytes more in the out buffer. False: there is no memory for it.
func (c *Conn) widen(n int) bool {
	b := c.loop.out
	if len(b.b)+n <= cap(b.b) {
		return true
	}
	size := max(2*cap(b.b), len(b.b)+n)
	more := int64(size - cap(b.b))
	if !c.take(more) {
		return false
	}
	b.b = append(make([]byte, 0, size), b.b...)
	b.cost += more
	return true
}

// putAnswers keeps an out buffer for the next connection unless an answer made it large.
func (c *Conn) putAnswers(b *buffer) {
	if cap(b.b) > maxOutKept {
		b.home = nil
	}
	c.put(b)
}

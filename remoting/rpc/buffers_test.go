package rpc

import (
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// read is a buffer for a frame of n bytes; its charge must be its length.
func read(t *testing.T, c *Conn, n int) *buffer {
	t.Helper()
	held := c.held.Load()
	b, err := c.reading(n)
	kit.Must(t, err)
	if got := c.held.Load() - held; len(b.b) < n || got != int64(len(b.b)) || b.cost != got {
		t.Fatalf("for %d bytes: %d, charged %d, noted %d", n, len(b.b), got, b.cost)
	}
	return b
}

// again says whether a buffer that was put back is had again for a frame of n bytes. The pools lose some under the race detector, and all by the
// collector.
func again(t *testing.T, size, n int) bool {
	t.Helper()
	for range 20 {
		c := shareholder(t, bank(t, 64*mb), "192.0.2.1", false)
		b := read(t, c, size)
		c.put(b)
		a := read(t, c, n)
		if c.put(a); c.held.Load() != 0 {
			t.Fatalf("%d bytes are charged after all", c.held.Load())
		}
		if a == b {
			return true
		}
	}
	return false
}

func TestBuffersOfLargeFramesAreKept(t *testing.T) {
	for _, one := range []struct {
		size, n int
		want    bool
	}{
		{freeBuffer + 1, freeBuffer + 1, true},
		{2 * freeBuffer, 2 * freeBuffer, true},
		{3 << 19, 3 << 19, true},  // as brokers register again and again
		{3 << 19, 5 << 18, true},  // smaller, by less than half
		{3 << 19, 1 << 20, false}, // less is never read with so much
		{5 << 18, 3 << 19, false}, // too small
		{maxKept, maxKept, true},
		{maxKept + 1, maxKept + 1, false},
	} {
		if got := again(t, one.size, one.n); got != one.want {
			t.Errorf("a buffer of %d bytes for %d: had again %t", one.size, one.n, got)
		}
	}
}

func TestKeptBufferThatIsTooDear(t *testing.T) {
	for range 20 {
		s := bank(t, 8*mb)
		c, other := shareholder(t, s, "192.0.2.1", false), shareholder(t, s, "192.0.2.2", false)
		c.put(read(t, c, 2*mb))
		kit.Must(t, other.await(4*mb+mb/2)) // three quarters are free for all: 1 MB is left of them, 2 MB are not
		if b := read(t, c, mb+1); len(b.b) != mb+1 || other.closing.Load() != nil {
			t.Fatalf("a frame of 1 MB has a buffer of %d bytes, the other one is closed: %v", len(b.b), other.closing.Load())
		}
	}
}

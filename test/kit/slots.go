package kit

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
)

// Slots let as many heavy programs run at once as a machine has room for.
type Slots struct {
	free  *semaphore.Weighted
	limit int64
}

// NewSlots is for TestMain, before m.Run: the slots are the limit from then on, not the cores, for such tests wait a lot.
func NewSlots(limit int64) *Slots {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(fmt.Sprintf("let tests run side by side: %v", err)) // the flag of package testing is gone
	}
	return &Slots{semaphore.NewWeighted(limit), limit}
}

// Take lets t run beside others and takes slots until it ends. A test names all that it will ever need at once, so two
// tests cannot wait for each other.
func (s *Slots) Take(t *testing.T, n int64) {
	t.Helper()
	t.Parallel()
	n = min(n, s.limit)
	Must(t, s.free.Acquire(context.Background(), n))
	began := time.Now()
	t.Cleanup(func() {
		s.free.Release(n)
		t.Logf("took %s and %d slots", time.Since(began).Round(time.Second/10), n)
	})
}

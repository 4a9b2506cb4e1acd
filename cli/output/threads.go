package output

import (
	"bytes"
	"fmt"
	"runtime"
	"time"
)

// maxStacks is how many bytes of stacks are told at most.
const maxStacks = 1 << 20

// Threads is what the runtime knows about itself: memory, and what every goroutine does. It stops the world for some
// milliseconds.
func Threads(now time.Time, program string) []byte {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var b bytes.Buffer
	count := runtime.NumGoroutine()
	fmt.Fprintf(&b, "%s\nFull thread dump %s (%s, %d processors, %d goroutines):\n\n",
		now.Format("2006-01-02 15:04:05"), program, runtime.Version(), runtime.GOMAXPROCS(0), count)
	stacks := make([]byte, maxStacks)
	n := runtime.Stack(stacks, true)
	b.Write(stacks[:n])
	if n == len(stacks) {
		fmt.Fprintf(&b, "\n... cut at %d bytes", n)
	}
	fmt.Fprintf(&b, "\nheap: %d bytes in use of %d, %d objects; next collection at %d; from the system %d; %d collections, the last %s\n\n",
		m.HeapInuse, m.HeapSys, m.HeapObjects, m.NextGC, m.Sys, m.NumGC, lastCollection(now, m.LastGC))
	return b.Bytes()
}

func lastCollection(now time.Time, at uint64) string {
	if at == 0 {
		return "never"
	}
	return now.Sub(time.Unix(0, int64(at))).Round(time.Millisecond).String() + " ago"
}

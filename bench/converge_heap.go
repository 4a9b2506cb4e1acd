package bench

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Many nodes share one heap here. Each for itself has a few megabytes, and its collector stops nobody else; this one
// would stop all nodes, for longer, and in every departure or two (memberlist takes 64 KB for each packet). So it runs
// between departures.
const (
	sharedGC   = 400     // GOGC where memory is short or not known
	garbage    = 1 << 30 // bytes that may be there before the collector runs by itself
	collectAt  = 256 << 20
	memoryPart = 16 // of the machine's memory at the most
)

// holdCollector lets garbage grow between calls of collect until restore.
func holdCollector() (restore func()) {
	old := debug.SetGCPercent(sharedGC)
	collect(true)
	return func() { debug.SetGCPercent(old) }
}

// collect collects the shared heap if that would be due soon.
func collect(always bool) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	room := uint64(garbage)
	var kb uint64
	if _, err := fmt.Sscanf(procField("/proc/meminfo", "MemTotal"), "%d kB", &kb); err != nil {
		room = 0
	}
	room = min(room, kb<<10/memoryPart)
	if !always && heap[0].Value.Uint64()-heap[1].Value.Uint64() < min(collectAt, room/4) {
		return
	}
	runtime.GC()
	metrics.Read(heap)
	debug.SetGCPercent(max(sharedGC, int(100*room/max(heap[1].Value.Uint64(), 1<<20))))
}

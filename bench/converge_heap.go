package bench

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Many nodes share one heap here. Each for itself has a few megabytes, and its collector stops nobody else; this one
// would stop all nodes, for longer, and in every departure or two (memberlist takes 64 KB for each packet). So it runs
// between departures.
const (
	sharedGC   = 400     // GOGC where memory is short or not known
	garbage    = 1 << 30 // bytes
	collectAt  = 256 << 20
	memoryPart = 16 // garbage takes this part of the machine's memory at the most
)

// garbageRoom is how many bytes of garbage may be there before the collector runs by itself.
var garbageRoom = sync.OnceValue(func() uint64 { return min(garbage, memoryBytes()/memoryPart) })

// holdCollector lets garbage grow between calls of collect until restore.
func holdCollector() (restore func()) {
	old := debug.SetGCPercent(sharedGC)
	collectNow()
	return func() { debug.SetGCPercent(old) }
}

// collect collects the shared heap if that would be due soon.
func collect() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: liveBytes}}
	metrics.Read(heap)
	if heap[0].Value.Uint64() > heap[1].Value.Uint64()+min(collectAt, garbageRoom()/4) {
		collectNow()
	}
}

const liveBytes = "/gc/heap/live:bytes"

func collectNow() {
	runtime.GC()
	live := []metrics.Sample{{Name: liveBytes}}
	metrics.Read(live)
	debug.SetGCPercent(max(sharedGC, int(100*garbageRoom()/max(live[0].Value.Uint64(), 1<<20))))
}

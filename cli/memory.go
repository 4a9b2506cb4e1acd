package cli

import (
	"log/slog"
	"runtime/debug"
	"strings"
)

// gcPercent lets the heap grow by a quarter between collections, not by its own size: most of it is tables and encoded
// routes that live long, and the path of a route query allocates nothing, so collections are rare all the same.
const gcPercent = 25

// tightenMemory does so unless the operator says otherwise by Go's own variable.
func (p *program) tightenMemory() {
	for _, v := range p.environ {
		if strings.HasPrefix(v, "GOGC=") {
			return
		}
	}
	debug.SetGCPercent(gcPercent)
}

// forgetStart unmaps what only the start needed of the program file; decision 0006 has the figures. A fault costs
// memory, not the node.
func forgetStart(log *slog.Logger) {
	if err := unmapProgram(); err != nil {
		log.Debug("program file stays mapped", "err", err)
	}
}

// giveBack returns to the system what large registrations needed: their buffers, which a pool drops at the second
// collection, and what was mapped of the program file for them.
func giveBack(log *slog.Logger) {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	forgetStart(log)
}

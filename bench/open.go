package bench

import (
	"math/rand/v2"
	"runtime"
	"time"
)

// pacer sends the requests of an open loop at their intended times, whatever became of the earlier ones. It owns
// the sending side of its connections; each has a goroutine that reads.
type pacer struct {
	cell   *cell
	conns  []*loadConn
	gap    float64 // mean nanoseconds between two requests
	rng    *rand.Rand
	late   histogram // how long after its intended time a request was handed to the kernel
	sent   int64
	unsent int64 // no slot was free: the server is too far behind
}

// run sends until the cell is over. Gaps are exponential: independent clients do not keep step. A request that
// the pacer is late for keeps its intended time as its start.
func (p *pacer) run() error {
	// The thread sleeps in the kernel: the runtime's own timers wake up to a millisecond late on an idle machine.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	next := float64(p.cell.now())
	for p.cell.phase.Load() != phaseDone {
		now := p.cell.now()
		if wait := int64(next) - now; wait > 0 {
			sleepPrecisely(time.Duration(min(wait, int64(10*time.Millisecond))))
			continue
		}
		if err := p.send(int64(next), now); err != nil {
			return err
		}
		next += p.rng.ExpFloat64() * p.gap
	}
	return nil
}

func (p *pacer) send(intended, now int64) error {
	measured := p.cell.phase.Load() == phaseMeasure
	lc := p.conns[p.rng.IntN(len(p.conns))]
	if !lc.request(intended) {
		if measured {
			p.unsent++
		}
		return nil
	}
	if measured {
		p.sent++
		p.late.record(time.Duration(now - intended))
	}
	return lc.ended(lc.flush())
}

// runReader reads answers until the cell is over.
func (lc *loadConn) runReader() error {
	for lc.cell.phase.Load() != phaseDone {
		if _, err := lc.receive(); err != nil {
			return lc.ended(err)
		}
	}
	return nil
}

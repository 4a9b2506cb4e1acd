package rpc

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// sweepEvery is the step of the coarse time in which idleness and time-outs are measured: what they end, they end up to
// two steps late and never early. Steps are counted, not computed from a clock: when this process was kept from running,
// connections bear the step before, and must not look idle for the time that nobody could look.
const sweepEvery = 250 * time.Millisecond

// steps rounds up.
func steps(d time.Duration) int64 { return int64((d + sweepEvery - 1) / sweepEvery) }

// sweep closes connections that are idle or take too long, and has the silent ones parked. One ticker for all is what keeps timers and deadlines, which
// cost a lock and at times a system call, off the path of a request.
func (s *Server) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		now := s.ticks.Add(1)
		s.wakeStalled()
		for _, v := range s.overdue(now) {
			switch v.reason {
			case silent:
				_ = v.conn.wire.SetReadDeadline(past) // its goroutine finds out whether it can be parked
			case writing:
				v.conn.listen(now)
			case stuck:
				v.conn.wake(clock.Stamp{})
			default:
				v.conn.Close(v.reason)
			}
		}
	}
}

type overdue struct {
	conn   *Conn
	reason string // to close it, or one of the following
}

const (
	silent  = "silent"
	writing = "writing"
	stuck   = "stuck"
)

func (s *Server) overdue(now int64) (all []overdue) {
	crowded := s.crowded()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if c.closing.Load() != nil {
			continue
		}
		if t := c.expires.Load(); t != 0 && now > t {
			s.counts.tooSlow.Add(1)
			all = append(all, overdue{c, "frame or handshake took too long"})
		} else if p := c.probation.Load(); p != 0 && now > p ||
			crowded && c.wire.meter.bytesIn.Load() == 0 && now-c.wire.meter.read.Load() > steps(mute) {
			s.counts.noRoom.Add(1)
			all = append(all, overdue{c, "silent while connections run out"})
		} else if c.idle > 0 && now-c.wire.meter.active() > c.idle {
			s.counts.idle.Add(1)
			all = append(all, overdue{c, "idle"})
		} else if w := c.wire.meter.writing.Load(); w != 0 && (now-w)%hearEvery == hearEvery-1 {
			all = append(all, overdue{c, writing})
		} else if now%hearEvery == 0 && c.wire.stuck.Load() && c.state.Load() == parked {
			all = append(all, overdue{c, stuck})
		} else if c.state.Load() == active && t == 0 && now-c.wire.meter.active() >= parkAfter {
			all = append(all, overdue{c, silent})
		}
	}
	return all
}

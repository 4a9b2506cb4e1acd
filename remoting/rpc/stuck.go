package rpc

import (
	"errors"
	"os"
	"time"
)

// hearEvery is how many steps lie between two looks at a write that does not come to an end.
const hearEvery = 4

// hearing is what the sweeper knows of a peer that is being written to.
type hearing struct {
	acked uint64
	since int64 // step at which it last took something
}

// listen closes a connection whose peer takes no answers. One that owns a registration is kept, and its answers are dropped
// from now on: its requests are served all the same.
func (c *Conn) listen(now int64) {
	h, s := &c.ear, c.server
	after := steps(s.cfg.StuckAfter)
	if acked, ok := c.wire.acked(); !ok || acked != h.acked || h.since == 0 || now-h.since > 2*after {
		began := now
		if !ok { // only whole steps of the write show
			if w := c.wire.meter.writing.Load(); w != 0 {
				began = w - 1
			}
		}
		*h = hearing{acked, began}
	}
	if now-h.since < after {
		return
	}
	h.since = 0
	if _, owns := s.cfg.Owner(c); owns && canCatchUp && c.wire.raw != nil {
		s.logs.stuck.Do(func() {
			s.cfg.Logger.Warn("a broker takes no answers: they are dropped until it does", "remote", c.RemoteAddr())
		})
		c.wire.stuck.Store(true)
		_ = c.wire.SetWriteDeadline(past)
		return
	}
	s.counts.stuck.Add(1)
	s.logs.stuck.Do(func() {
		s.cfg.Logger.Warn("connection closed: it asks and takes no answers", "remote", c.RemoteAddr(), "for", s.cfg.StuckAfter)
	})
	c.Close("takes no answers")
}

// drop throws the gathered answers away.
func (c *Conn) drop() {
	l := c.loop
	c.server.counts.dropped.Add(1)
	l.out.b = l.out.b[:0]
	clear(l.afterFlush)
	l.afterFlush = l.afterFlush[:0]
}

// stuckOn says that a write ended because the sweeper found the peer stuck, and that the rest of the answer is to be kept.
func (w *wire) stuckOn(err error) bool {
	if !w.stuck.Load() || !errors.Is(err, os.ErrDeadlineExceeded) || w.conn.closing.Load() != nil {
		return false
	}
	_ = w.SetWriteDeadline(time.Time{})
	return true
}

// keep appends to what must go out before anything else does: half an answer has gone already.
func (w *wire) keep(p []byte) error {
	if !w.conn.take(int64(len(p))) {
		w.conn.server.counts.noBudget.Add(1)
		w.conn.Close("no memory for the rest of its answer")
		return errNoMemory
	}
	w.tail = append(w.tail, p...)
	return nil
}

// behind says that the peer has still not taken the answer that had begun to go out. Once it takes some of it, it is
// no longer stuck, and gets the rest as any other peer.
func (w *wire) behind() bool {
	if len(w.tail) == 0 {
		return false
	}
	stamp := w.stamp()
	n := w.writeSome(w.tail)
	if n == 0 {
		return true
	}
	w.wrote(n, stamp)
	rest := w.tail
	w.tail = nil
	w.stuck.Store(false)
	_, _ = w.Write(rest[n:]) // what it fails for, the next read or write fails for
	w.conn.give(int64(len(rest)))
	return len(w.tail) > 0
}

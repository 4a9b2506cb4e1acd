package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// mark is one write: an acknowledgement of end proves that the peer's socket was open after stamp.
type mark struct {
	end   uint64 // offset after its last byte, below TLS, counted like tcpi_bytes_acked
	stamp clock.Stamp
}

// tracker remembers the last writes of a connection that carries a broker's registration.
type tracker struct {
	mu    sync.Mutex // guards the following fields
	known mark       // the newest one seen acknowledged, kept when marks overflows
	marks [16]mark   // in order of end
	n     int
	ended bool   // the socket is closed:
	final uint64 // what was acknowledged by then
}

func (w *wire) trackWrites() {
	if w.track.Load() == nil {
		w.track.CompareAndSwap(nil, new(tracker))
	}
}

// add appends m. When the ring is full of writes that are not acknowledged, the last one is stretched to m's end
// and keeps its stamp: whoever acknowledged the later end was alive after the earlier stamp.
func (t *tracker) add(m mark, acked func() (uint64, bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == len(t.marks) {
		if a, ok := acked(); ok {
			t.drop(a)
		}
	}
	if t.n == len(t.marks) {
		t.marks[t.n-1].end = m.end
		return
	}
	t.marks[t.n] = m
	t.n++
}

// drop removes the acknowledged marks but for the newest. The caller holds mu.
func (t *tracker) drop(acked uint64) {
	i := 0
	for i < t.n && t.marks[i].end <= acked {
		i++
	}
	if i > 0 {
		t.known = t.marks[i-1]
		t.n = copy(t.marks[:], t.marks[i:t.n])
	}
}

// newest is the newest acknowledged mark stamped before `before`.
func (t *tracker) newest(acked uint64, before clock.Stamp) (clock.Stamp, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := t.n - 1; i >= 0; i-- {
		if m := t.marks[i]; m.end <= acked && m.stamp.Before(before) {
			return m.stamp, true
		}
	}
	if t.known.end > 0 && t.known.stamp.Before(before) {
		return t.known.stamp, true
	}
	return clock.Stamp{}, false
}

// first is the first mark stamped at or after since, if it is acknowledged; pending says that it may still be.
func (t *tracker) first(acked uint64, since clock.Stamp) (stamp clock.Stamp, ok, pending bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known.end > 0 && !t.known.stamp.Before(since) {
		return t.known.stamp, true, false
	}
	for i := range t.n {
		if m := t.marks[i]; !m.stamp.Before(since) {
			return m.stamp, m.end <= acked, !t.ended
		}
	}
	return clock.Stamp{}, false, !t.ended
}

func (t *tracker) end(acked uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.final = true, acked
}

func (t *tracker) finally() (uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.final, t.ended
}

// acked is how many bytes the peer's TCP has acknowledged, also after a reset or FIN.
func (w *wire) acked() (n uint64, ok bool) {
	if a, ok := w.Conn.(acknowledger); ok {
		return a.BytesAcked(), true
	}
	if w.raw == nil {
		return 0, false
	}
	if err := w.raw.Control(func(fd uintptr) { n, ok = bytesAcked(int(fd)) }); err != nil {
		return 0, false
	}
	return n, ok
}

func (w *wire) ackedOrFinal(t *tracker) (uint64, bool) {
	if n, ended := t.finally(); ended {
		return n, true
	}
	if n, ok := w.acked(); ok {
		return n, true
	}
	return t.finally() // closed between the two
}

func (w *wire) life(before clock.Stamp) (clock.Stamp, bool) {
	t := w.track.Load()
	if t == nil {
		return clock.Stamp{}, false
	}
	n, ok := w.ackedOrFinal(t)
	if !ok {
		return clock.Stamp{}, false
	}
	return t.newest(n, before)
}

func (w *wire) lateLife(ctx context.Context, since clock.Stamp) (clock.Stamp, bool) {
	t := w.track.Load()
	if t == nil {
		return clock.Stamp{}, false
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for wait := time.Millisecond; ; wait = min(2*wait, 10*time.Millisecond) {
		n, ok := w.ackedOrFinal(t)
		if !ok {
			return clock.Stamp{}, false
		}
		stamp, ok, pending := t.first(n, since)
		if ok || !pending {
			return stamp, ok && !w.ending() // or its end was under way behind the request
		}
		pause.Reset(wait)
		select {
		case <-ctx.Done():
			return clock.Stamp{}, false
		case <-pause.C:
		}
	}
}

// sample keeps what was acknowledged for the time after the socket is closed.
func (w *wire) sample() {
	if t := w.track.Load(); t != nil {
		n, _ := w.acked()
		t.end(n)
	}
}

package bench

import (
	"sync/atomic"
)

// What a request in flight asked for, where it is not a topic of the profile.
const (
	askedRegister = -1
	askedMiss     = -2
)

// flight is the requests of one connection that wait for their answers, found by sequence number. One goroutine
// takes off, another (or the same) lands.
type flight struct {
	slots []slot // a power of two
	seq   uint32
}

type slot struct {
	start atomic.Int64 // nanoseconds, never 0 while in flight
	seq   uint32
	asked int32
}

func newFlight(size int) *flight {
	n := 1
	for n < size {
		n *= 2
	}
	return &flight{slots: make([]slot, n)}
}

// takeOff books a request that starts (or was intended to start) at the given time and returns its number; ok is
// false when no slot is free.
func (f *flight) takeOff(start int64, asked int32) (seq uint32, ok bool) {
	for range len(f.slots) {
		seq = f.seq & opaqueMask
		f.seq++
		s := &f.slots[seq&uint32(len(f.slots)-1)]
		if s.start.Load() == 0 {
			s.seq, s.asked = seq, asked
			s.start.Store(start) // publishes the fields above to the reader
			return seq, true
		}
	}
	return 0, false
}

// land ends the flight of a request; ok is false when no such request is in flight.
func (f *flight) land(seq uint32) (start int64, asked int32, ok bool) {
	s := &f.slots[seq&uint32(len(f.slots)-1)]
	start = s.start.Load()
	if start == 0 || s.seq != seq {
		return 0, 0, false
	}
	asked = s.asked
	s.start.Store(0)
	return start, asked, true
}

package output

import (
	"io"
	"sync/atomic"
	"time"
)

// Stream is stdout or stderr. It writes at once, as any program does, until it is detached: from then on nobody waits
// for its reader.
type Stream struct {
	to    io.Writer
	queue atomic.Pointer[Queue]
}

// NewStream writes to to.
func NewStream(to io.Writer) *Stream { return &Stream{to: to} }

func (s *Stream) Write(p []byte) (int, error) {
	if q := s.queue.Load(); q != nil {
		return q.Write(p)
	}
	return s.to.Write(p)
}

// To is the writer behind the stream.
func (s *Stream) To() io.Writer { return s.to }

// Detach puts a queue between the stream and to, once. to may be another way to the same place; nil keeps it.
func (s *Stream) Detach(to io.Writer) {
	if s.queue.Load() != nil {
		return
	}
	if to == nil {
		to = s.to
	}
	s.queue.Store(NewQueue(to, MaxWaiting))
}

// Tell says how the line is made that tells of lost ones; see Queue.
func (s *Stream) Tell(made func(lost uint64) []byte) {
	if q := s.queue.Load(); q != nil {
		q.Tell(made)
	}
}

// Idle tells whether nothing waits to be handed on.
func (s *Stream) Idle() bool {
	q := s.queue.Load()
	return q == nil || q.Idle()
}

// Dropped is how many lines were lost since the start.
func (s *Stream) Dropped() uint64 {
	if q := s.queue.Load(); q != nil {
		return q.Dropped()
	}
	return 0
}

// Close hands on what waits, within so long, and takes nothing more.
func (s *Stream) Close(within time.Duration) {
	if q := s.queue.Load(); q != nil {
		q.Close(within)
	}
}

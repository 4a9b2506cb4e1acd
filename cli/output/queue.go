package output

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxWaiting is how many bytes of lines wait for their reader; what comes beyond them is lost.
	MaxWaiting = 1 << 20
	// lineCost is what a line takes in memory beside its text.
	lineCost = 64
)

// Queue is a writer that never waits: a goroutine of its own hands on what was written, one write for each write, in
// order. What finds no room, or cannot be handed on, is lost: it is counted, and told in the next line that finds room.
type Queue struct {
	to      io.Writer
	limit   int
	dropped atomic.Uint64 // lines lost in all
	done    chan struct{} // closed when everything was handed on after Close

	mu      sync.Mutex
	more    sync.Cond // lines is not empty, or closed
	lines   []line    // that wait, oldest first
	waiting int       // bytes of them and of those being handed on, at most limit
	lost    uint64    // of dropped, how many no line tells of yet
	tell    func(lost uint64) []byte
	closed  bool
}

// line is what was handed over in one write. A line that tells of a loss stands for the lines that were lost.
type line struct {
	text  []byte
	tells uint64
}

// NewQueue hands on to to, from now on. limit is that of MaxWaiting.
func NewQueue(to io.Writer, limit int) *Queue {
	q := &Queue{to: to, limit: limit, done: make(chan struct{})}
	q.more.L = &q.mu
	go q.handOn()
	return q
}

// Tell says how the line is made that tells of lost lines; without it they are only counted.
func (q *Queue) Tell(made func(lost uint64) []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell = made
}

// Write keeps a copy of p to be handed on. It never waits and never fails.
func (q *Queue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.waiting+len(p)+lineCost > q.limit {
		q.lose(1)
		return len(p), nil
	}
	q.tellLost()
	q.add(line{text: append([]byte(nil), p...)})
	return len(p), nil
}

// Dropped is how many lines were lost since the start.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// Idle tells whether all that was written has been handed on.
func (q *Queue) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting == 0
}

// Close takes no more lines, and waits until those that are there were handed on, at most for so long. A loss that no
// line told of is told as the last of them.
func (q *Queue) Close(within time.Duration) {
	q.mu.Lock()
	q.tellLost()
	q.closed = true
	q.more.Signal()
	q.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-q.done:
	case <-timer.C:
	}
}

// lose counts; mu is held, as for the next two.
func (q *Queue) lose(lines uint64) {
	q.dropped.Add(lines)
	q.lost += lines
}

func (q *Queue) tellLost() {
	if q.lost == 0 || q.tell == nil || q.closed {
		return
	}
	q.add(line{text: q.tell(q.lost), tells: q.lost})
	q.lost = 0
}

func (q *Queue) add(l line) {
	q.lines = append(q.lines, l)
	q.waiting += len(l.text) + lineCost
	q.more.Signal()
}

func (q *Queue) handOn() {
	defer close(q.done)
	for {
		batch, over := q.next()
		for _, l := range batch {
			_, err := q.to.Write(l.text)
			q.handedOn(&l, err)
		}
		if over {
			return
		}
	}
}

// next waits for lines; over says that no more will come.
func (q *Queue) next() (batch []line, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.lines) == 0 && !q.closed {
		q.more.Wait()
	}
	batch, q.lines = q.lines, nil
	return batch, q.closed
}

func (q *Queue) handedOn(l *line, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting -= len(l.text) + lineCost
	switch {
	case err == nil:
	case l.tells > 0:
		q.lost += l.tells // still to be told
	default:
		q.lose(1)
	}
}

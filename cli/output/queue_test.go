package output

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reader is what takes lines: it can stand still and it can be gone.
type reader struct {
	gate chan struct{} // one for each line that is taken; nil: all of them
	gone bool
	took []string
}

func (r *reader) Write(p []byte) (int, error) {
	if r.gate != nil {
		<-r.gate
	}
	if r.gone {
		return 0, errors.New("broken pipe")
	}
	r.took = append(r.took, string(p))
	return len(p), nil
}

func told(dropped uint64) []byte { return fmt.Appendf(nil, "dropped %d\n", dropped) }

// write makes its lines in one buffer, as log/slog does.
func write(t *testing.T, q *Queue, lines ...string) {
	t.Helper()
	var b []byte
	for _, l := range lines {
		b = append(b[:0], l...)
		if n, err := q.Write(b); n != len(l) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(l), err)
		}
	}
}

// A reader that stands still costs lines beyond the limit, never the time of whoever writes. The next line that finds
// room is preceded by one that tells how many are missing there.
func TestReaderStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		q := NewQueue(r, 3*(lineCost+2))
		q.Tell(told)
		write(t, q, "1\n", "2\n", "3\n", "4\n", "5\n")
		synctest.Wait()
		if q.Dropped() != 2 || q.Idle() {
			t.Errorf("%d dropped, idle %t", q.Dropped(), q.Idle())
		}
		for range 3 {
			r.gate <- struct{}{}
		}
		synctest.Wait()
		write(t, q, "6\n")
		close(r.gate)
		synctest.Wait()
		if want := "1\n2\n3\ndropped 2\n6\n"; strings.Join(r.took, "") != want || !q.Idle() {
			t.Errorf("%q, want %q", r.took, want)
		}
		q.Close(time.Minute)
	})
}

// What waits is within the limit to the byte, with what a line costs beside its text.
func TestQueueLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		q := NewQueue(r, 2*lineCost+5)
		write(t, q, "1\n", "22\n", "")
		if q.Dropped() != 1 {
			t.Errorf("%d dropped of what is just within the limit, and a line without text", q.Dropped())
		}
		close(r.gate)
		q.Close(time.Minute)
	})
}

// A reader that is gone costs the lines of that time. When one is there again, it is told.
func TestReaderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gone: true}
		q := NewQueue(r, MaxWaiting)
		q.Tell(told)
		for range 1000 {
			write(t, q, "x\n")
			synctest.Wait()
		}
		r.gone = false
		write(t, q, "back\n")
		q.Close(time.Minute)
		if want := "dropped 1000\nback\n"; strings.Join(r.took, "") != want || q.Dropped() != 1000 {
			t.Errorf("%q with %d dropped, want %q", r.took, q.Dropped(), want)
		}
	})
}

// The last attempt takes no longer than it may, hands on what it can, and tells of a loss that no line told of.
func TestLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		q := NewQueue(r, lineCost+2)
		q.Tell(told)
		write(t, q, "1\n", "2\n")
		begin := time.Now()
		q.Close(time.Second)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("%s for the last attempt", took)
		}
		write(t, q, "late\n")
		close(r.gate)
		synctest.Wait()
		if want := "1\ndropped 1\n"; strings.Join(r.took, "") != want || q.Dropped() != 2 {
			t.Errorf("%q with %d dropped, want %q", r.took, q.Dropped(), want)
		}
	})
}

// A stream is a plain writer until it is detached.
func TestStream(t *testing.T) {
	var b bytes.Buffer
	s := NewStream(&b)
	if _, err := s.Write([]byte("at once\n")); err != nil || b.String() != "at once\n" || !s.Idle() || s.Dropped() != 0 {
		t.Errorf("%q, %v", &b, err)
	}
	s.Close(0)
	s.Detach(nil)
	if _, err := s.Write([]byte("later\n")); err != nil {
		t.Error(err)
	}
	s.Close(time.Minute)
	if b.String() != "at once\nlater\n" || s.To() != &b {
		t.Errorf("%q", &b)
	}
}

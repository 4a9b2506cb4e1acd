package kit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait for what takes milliseconds on a machine that does nothing else.
const Patience = time.Minute

const (
	pollEvery    = 10 * time.Millisecond
	worthTelling = 5 * time.Second // a longer wait is logged: the sum explains how long a test took
)

// Must fails t, a test of testing's or of rapid's, on the first error of what was done in order.
func Must(t interface {
	Helper()
	Fatal(args ...any)
}, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Await polls check until it returns nil, and fails t with its last error after limit. It returns how long it took.
func Await(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	if err := Within(limit, check); err != nil {
		t.Fatalf("%s: not within %s: %v", what, limit, err)
	}
	took := time.Since(began)
	if took > worthTelling {
		t.Logf("waited %s: %s", took.Round(time.Second/10), what)
	}
	return took
}

// Until is Await for a condition that has no more to say, with Patience.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Await(t, Patience, what, func() error {
		if !holds() {
			return errors.New("it is not so yet")
		}
		return nil
	})
}

// Within polls check until it returns nil, and returns its last error after limit.
func Within(limit time.Duration, check func() error) error {
	began := time.Now()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil || time.Since(began) > limit {
			return err
		}
		<-ticker.C
	}
}

// Log keeps the lines of a log and is read while it is written. The zero Log is empty.
type Log struct {
	mu    sync.Mutex
	text  bytes.Buffer
	taken int // bytes of text that Take has returned
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is everything so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Take returns the lines since the last Take.
func (l *Log) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := strings.TrimSuffix(string(l.text.Bytes()[l.taken:]), "\n")
	l.taken = l.text.Len()
	if fresh == "" {
		return nil
	}
	return strings.Split(fresh, "\n")
}

// Await waits for a line with all the words, and returns the lines since the last Take up to that moment.
func (l *Log) Await(t testing.TB, words ...string) (lines []string) {
	t.Helper()
	Await(t, Patience, fmt.Sprintf("a line with %q", words), func() error {
		lines = append(lines, l.Take()...)
		for _, line := range lines {
			if ContainsAll(line, words...) {
				return nil
			}
		}
		return errors.New(strings.Join(lines, "\n"))
	})
	return lines
}

// AwaitText waits until text stands anywhere in the log.
func (l *Log) AwaitText(t testing.TB, text string) {
	t.Helper()
	Until(t, fmt.Sprintf("the log has %q", text), func() bool { return strings.Contains(l.String(), text) })
}

// ContainsAll says that every word stands in text.
func ContainsAll(text string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

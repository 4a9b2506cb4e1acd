//go:build linux

package netns

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// watch looks at one server's brokers again and again, from the server's own host, and keeps when each came and went.
type watch struct {
	server *server
	every  time.Duration

	mu       sync.Mutex
	polls    int
	here     map[string]bool      // broker name@address
	since    map[string]time.Time // of the last change
	changes  map[string][]change  // all of them
	expected map[string]time.Time // what must be listed, from that moment on
	missing  []string             // what was not, although expected
	err      error
}

// change is one that came, or went.
type change struct {
	here bool
	at   time.Time
}

// expect says that a broker's REGISTER was answered: from now on it must be listed, until release.
func (w *watch) expect(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected[key] = time.Now()
}

// release says that a broker is about to leave.
func (w *watch) release(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.expected, key)
}

// missed is what was not listed although it was expected.
func (w *watch) missed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.missing)
}

// allListed fails for whatever was missed.
func allListed(t testing.TB, watches []*watch) {
	t.Helper()
	for _, w := range watches {
		for _, missing := range w.missed() {
			t.Errorf("a live broker was not listed: %s", missing)
		}
	}
}

func (s *server) watch(t testing.TB, every time.Duration) *watch {
	w := &watch{server: s, every: every, here: map[string]bool{}, since: map[string]time.Time{}, changes: map[string][]change{}, expected: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { w.run(ctx) })
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	return w
}

// run polls until ctx ends. A server that is frozen is waited for; one that is down is dialed again.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	var conn *kit.Client
	stop := context.AfterFunc(ctx, func() {})
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if conn == nil {
			c, err := w.server.host.dial(w.server.addr, time.Second)
			if w.note(nil, time.Time{}, err); err != nil {
				continue
			}
			conn = kit.Over(nil, c)
			stop()
			stop = context.AfterFunc(ctx, func() { c.Close() })
		}
		asked := time.Now()
		answer, err := conn.TryCall(kit.ClusterInfo, 10*time.Minute)
		all, err := answer.Brokers(err)
		w.note(all, asked, err)
		if err != nil {
			conn.Close()
			conn = nil
		}
	}
}

// note takes one answer. Whoever was expected before the question was asked, and is not released yet, must be in it.
func (w *watch) note(all map[string]map[string]string, asked time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	if err != nil || all == nil {
		return
	}
	w.polls++
	now := time.Now()
	found := map[string]bool{}
	for name, addrs := range all {
		for _, addr := range addrs {
			found[name+"@"+addr] = true
		}
	}
	for key, since := range w.expected {
		if !found[key] && since.Before(asked) {
			w.missing = append(w.missing, fmt.Sprintf("%s at %s, %s after its REGISTER was answered", key, w.server.name, now.Sub(since)))
			w.expected[key] = now.Add(time.Hour) // told once
		}
	}
	turn := func(key string, here bool) {
		w.here[key], w.since[key] = here, now
		w.changes[key] = append(w.changes[key], change{here, now})
	}
	for key := range found {
		if !w.here[key] {
			turn(key, true)
		}
	}
	for key, here := range w.here {
		if here && !found[key] {
			turn(key, false)
		}
	}
}

// history is how a broker came and went after a moment.
func (w *watch) history(key string, after time.Time) []change {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.changes[key]), func(c change) bool { return c.at.Before(after) })
}

// state says whether a broker is listed, and since when.
func (w *watch) state(key string) (here bool, since time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.here[key], w.since[key], w.err
}

// gone waits until a broker that was listed is not any more, and says since when.
func (w *watch) gone(t testing.TB, limit time.Duration, key string) time.Time {
	t.Helper()
	var at time.Time
	kit.Await(t, limit, key+" gone at "+w.server.name, func() error {
		here, since, err := w.state(key)
		if err == nil && (here || since.IsZero()) {
			err = fmt.Errorf("listed: %t since %s", here, since)
		}
		at = since
		return err
	})
	return at
}

// listed waits until a broker is there, and says since when.
func (w *watch) listed(t testing.TB, limit time.Duration, key string) time.Time {
	t.Helper()
	var at time.Time
	kit.Await(t, limit, key+" listed at "+w.server.name, func() error {
		here, since, err := w.state(key)
		if err == nil && !here {
			err = fmt.Errorf("not listed since %s", since)
		}
		at = since
		return err
	})
	return at
}

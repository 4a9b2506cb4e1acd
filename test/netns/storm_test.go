//go:build linux

package netns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// storm is thousands of restarts on the real wire, with less than a second between exit and start, while the nodes lose
// 30 % of each other's packets. At every stop one node, or none, hears nothing of it.
type storm struct {
	t       *testing.T
	w       *world
	watches []*watch
	servers []*server

	mu       sync.Mutex
	left     int             // restarts to go
	restarts int             // that were made
	deaf     int             // of 5.x brokers, with a node that heard nothing of the stop
	lost     []time.Duration // of these: from the UNREGISTER's answer until gone there, when it was before the successor
	failed   error

	unanswered int // UNREGISTERs
}

// TestStorm: a broker that came back is never missing at any node, and one that left is gone where it was missed.
func TestStorm(t *testing.T) {
	need(t, 0)
	const scenario = "c. restarts within a second, 30 % loss among the nodes"
	s := &storm{t: t, w: newWorld(t, "A", "B", "C"), left: 500}
	if long() {
		s.left = 30000
	}
	lossy(s.w)
	s.servers = s.w.servers()
	for _, one := range s.servers {
		s.watches = append(s.watches, one.watch(t, 5*time.Millisecond)) // coarse: many brokers make long answers
	}
	began := time.Now()
	var group sync.WaitGroup
	for h := range 3 {
		host := s.w.host(fmt.Sprint("sim", h))
		for i := range 8 {
			b := newSimBroker(host, fmt.Sprintf("storm-%d-%d", h, i), 20000+i)
			if i%3 == 2 {
				b.Version = kit.Version4
			}
			random := rand.New(rand.NewPCG(uint64(h), uint64(i)))
			group.Go(func() { s.note(s.live(b, random)) })
		}
	}
	group.Wait()
	if s.failed != nil {
		t.Fatal(s.failed)
	}
	allListed(t, s.watches)
	s.w.noneRefuted(t)
	var evicted, kept float64
	for _, n := range s.w.nodes {
		if limited := n.metric(t, `epitaph_tombstones_not_made_total{reason="source_limit"}`); limited != 0 {
			t.Errorf("%s made no tombstone %v times for a limit: the storm is too fast to prove anything", n.name, limited)
		}
		evicted += n.metric(t, `epitaph_tombstone_decisions_total{outcome="evicted"}`)
		for _, outcome := range []string{"came_back", "kept_younger_connection", "kept_no_proof_of_life"} {
			kept += n.metric(t, `epitaph_tombstone_decisions_total{outcome="`+outcome+`"}`)
		}
	}
	if evicted == 0 || kept == 0 || len(s.lost) == 0 {
		t.Errorf("%v evictions, %v kept, %d awaited: this proves nothing", evicted, kept, len(s.lost))
	}
	figures.add(scenario, "simulated brokers: restarts, and live ones that were missing anywhere",
		fmt.Sprintf("%d in %s, 0 missing", s.restarts, time.Since(began).Round(time.Second)))
	figures.add(scenario, "UNREGISTERs without an answer within 3 s", strconv.Itoa(s.unanswered))
	figures.add(scenario, "decisions: evicted, kept a successor", fmt.Sprintf("%.0f, %.0f", evicted, kept))
	gone := fmt.Sprintf("gone before its successor came, at the node that missed it, in %d of %d cases; after", len(s.lost), s.deaf)
	figures.spread(scenario, gone, s.lost)
}

// lossy makes every node lose 30 % of what comes from the others, packets and streams.
func lossy(w *world) {
	for _, to := range w.nodes {
		for _, from := range w.nodes {
			if to != from {
				to.host.lose(from.host, 0.3)
			}
		}
	}
}

func (s *storm) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
}

// again takes one restart off what is to be done.
func (s *storm) again() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 || s.failed != nil {
		return false
	}
	s.left--
	s.restarts++
	return true
}

// live starts and stops one broker until enough is done.
func (s *storm) live(b *simBroker, random *rand.Rand) error {
	defer b.Close()
	for s.again() {
		for i, server := range s.servers {
			if err := b.register(server); err != nil {
				return err
			}
			s.watches[i].expect(b.key())
		}
		pass(s.t, time.Duration(random.Int64N(int64(500*time.Millisecond))))
		for _, w := range s.watches {
			w.release(b.key())
		}
		missed := random.IntN(len(s.servers) + 1) // the last: nobody
		if missed < len(s.servers) {
			if err := b.vanish(s.servers[missed]); err != nil {
				return err
			}
		}
		var left time.Time
		for _, i := range random.Perm(len(s.servers)) {
			if i == missed {
				continue
			}
			if err := s.leave(b, s.servers[i]); err != nil {
				return err
			}
			if left.IsZero() {
				left = time.Now()
			}
		}
		b.Close()
		again := time.Now().Add(time.Duration(random.Int64N(int64(900 * time.Millisecond))))
		if missed < len(s.servers) && b.Version != kit.Version4 {
			s.awaitGone(missed, b.key(), left, again)
		}
		pass(s.t, time.Until(again))
	}
	return nil
}

// leave unregisters at one node. A Java broker that gets no answer within 3 s closes the connection and goes on.
func (s *storm) leave(b *simBroker, server *server) error {
	err := b.unregister(server)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	b.HangUp(server.addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unanswered++
	return nil
}

// awaitGone sees whether a broker goes at a node that heard nothing of its leaving before its successor is there. The
// shorter it lived and the longer the nodes took, the less they can prove, so there is no more to ask of one case.
func (s *storm) awaitGone(missed int, key string, left, until time.Time) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	gone := false
	var since time.Time
	for !gone && time.Now().Before(until) {
		<-ticker.C
		here, at, err := s.watches[missed].state(key)
		gone, since = err == nil && !here && at.After(left), at
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf++
	if gone {
		s.lost = append(s.lost, max(since.Sub(left), 0))
	}
}

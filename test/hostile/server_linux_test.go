package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// server is a running epitaph with an honest peer that asks it all the time.
type server struct {
	*kit.Node
	answer int // bytes of the list of all topics, after fill

	honest *rpc.Client
	asked  atomic.Int64 // answers to the honest peer
	worst  atomic.Int64 // nanoseconds that it waited for one
}

func serve(t *testing.T) *server {
	t.Helper()
	t.Setenv("GOMEMLIMIT", "off")
	s := &server{Node: kit.Serve(t, kit.Binary(t), "the server", t.TempDir())}
	var err error
	if s.honest, err = rpc.Dial(t.Context(), s.Addr, rpc.DefaultClientConfig()); err != nil {
		t.Fatal(err)
	}
	s.stillServes(t) // the first one finds everything cold
	s.worst.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.askOn(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the honest peer, after %d answers: %v", s.asked.Load(), err)
		}
		s.honest.Close()
	})
	return s
}

// askOn asks every 20 ms until ctx ends.
func (s *server) askOn(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.ask(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *server) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kit.Patience)
	defer cancel()
	begin := time.Now()
	a, err := s.honest.Invoke(ctx, &remoting.Command{Code: remoting.GetBrokerClusterInfo, Version: remoting.Version})
	if err != nil {
		return err
	}
	if a.Code != 0 {
		return fmt.Errorf("code %d %s", a.Code, a.Remark)
	}
	s.asked.Add(1)
	if d := int64(time.Since(begin)); d > s.worst.Load() {
		s.worst.Store(d)
	}
	return nil
}

// longest is how long the honest peer waited for an answer at most.
func (s *server) longest() time.Duration {
	return time.Duration(s.worst.Load()).Round(time.Microsecond)
}

// stillServes asks on the honest connection and on a new one.
func (s *server) stillServes(t *testing.T) {
	t.Helper()
	if err := s.ask(t.Context()); err != nil {
		t.Fatalf("others are not served any more: %v", err)
	}
	c, err := dial(s.Addr)
	kit.Must(t, err)
	defer c.Close()
	if err := answered(c); err != nil {
		t.Fatalf("a new connection is not served: %v", err)
	}
}

// fill registers a broker with enough topics that the list of all takes 200 kB.
func (s *server) fill(t *testing.T) {
	t.Helper()
	b := kit.NewBroker(t, "b", "127.0.0.1:10911")
	for i := range 2000 {
		b.Topics = append(b.Topics, fmt.Sprintf("%s-%d", strings.Repeat("x", 90), i))
	}
	b.Register(t, s.Addr)
	s.answer = len(kit.Dial(t, s.Addr).OK(kit.Request{Code: 206}).Body)
}

// memory of the server's process, in bytes, as the kernel counts it.
type memory struct{ rss, peak int64 }

func (m memory) mb() float64 { return float64(m.rss) / 1e6 }

func (s *server) memory(t *testing.T) memory {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	kit.Must(t, err)
	field := func(name string) int64 {
		_, after, _ := strings.Cut(string(text), name+":")
		fields := strings.Fields(after)
		if len(fields) == 0 {
			t.Fatalf("/proc/%d/status has no %s", s.PID(), name)
		}
		kb, err := strconv.ParseInt(fields[0], 10, 64)
		kit.Must(t, err)
		return kb << 10
	}
	return memory{field("VmRSS"), field("VmHWM")}
}

// descriptors that the server has open.
func (s *server) descriptors(t *testing.T) int {
	t.Helper()
	list, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.PID()))
	kit.Must(t, err)
	return len(list)
}

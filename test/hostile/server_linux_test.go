package hostile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/java"
)

// patience bounds every wait for the server.
const patience = time.Minute

// server is a running epitaph with an honest peer that asks it all the time.
type server struct {
	*java.Process
	addr   string
	answer int // bytes of the list of all topics, after fill

	honest *rpc.Client
	asked  atomic.Int64 // answers to the honest peer
	worst  atomic.Int64 // nanoseconds that it waited for one
}

var listening = regexp.MustCompile(`^  listening +([^ ]+) `)

func serve(t *testing.T, binary string) *server {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=off")
	s := &server{Process: java.StartProgram(t, cmd)}
	m, err := s.Line(listening, patience)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = m[1]
	if s.honest, err = rpc.Dial(t.Context(), s.addr, rpc.DefaultClientConfig()); err != nil {
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
	ctx, cancel := context.WithTimeout(ctx, patience)
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
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := answered(c); err != nil {
		t.Fatalf("a new connection is not served: %v", err)
	}
}

// fill registers a broker with enough topics that the list of all takes 200 kB.
func (s *server) fill(t *testing.T) {
	t.Helper()
	var topics []string
	for i := range 2000 {
		topics = append(topics, fmt.Sprintf(`"%s-%d":{"topicName":"%[1]s-%[2]d"}`, strings.Repeat("x", 90), i))
	}
	body := `{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1},` +
		`"topicConfigTable":{` + strings.Join(topics, ",") + `}}}`
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, req := range []*remoting.Command{
		{Code: remoting.RegisterBroker, Version: remoting.Version, Body: []byte(body), Ext: map[string]string{
			"brokerName": "b", "brokerAddr": "127.0.0.1:10911", "clusterName": "c", "haServerAddr": "127.0.0.1:10912", "brokerId": "0",
		}},
		{Code: 206, Version: remoting.Version},
	} {
		a, err := s.honest.Invoke(ctx, req)
		if err != nil || a.Code != 0 {
			t.Fatalf("code %d: %v %+v", req.Code, err, a)
		}
		s.answer = len(a.Body)
	}
}

// memory of the server's process, in bytes, as the kernel counts it.
type memory struct{ rss, peak int64 }

func (m memory) mb() float64 { return float64(m.rss) / 1e6 }

func (s *server) memory(t *testing.T) memory {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) int64 {
		_, after, _ := strings.Cut(string(text), name+":")
		fields := strings.Fields(after)
		if len(fields) == 0 {
			t.Fatalf("/proc/%d/status has no %s", s.PID(), name)
		}
		kb, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return kb << 10
	}
	return memory{field("VmRSS"), field("VmHWM")}
}

// descriptors that the server has open.
func (s *server) descriptors(t *testing.T) int {
	t.Helper()
	list, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

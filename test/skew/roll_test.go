package skew

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	rollBrokers = 30
	rollBeat    = 30 * time.Second // as real brokers register
)

// TestRoll restarts three nodes one after the other, the next as soon as the last is ready, while brokers register every 30 s: EPITAPH_ROLLS times
// with this program, then to the former one and back. Whoever is ready has every route. Nodes of this program judge dead hosts, as far as they may,
// beside those of the former one: no broker is taken out (V-2, V-10 of docs/spec/deadhosts.md; with hosts that may be judged: test/netns,
// TestVersions).
func TestRoll(t *testing.T) {
	rolls, err := strconv.Atoi(os.Getenv("EPITAPH_ROLLS"))
	if err != nil {
		t.Skip("SKIPPED: it rolls in real time, a minute and a half each (EPITAPH_ROLLS=3 rolls three times; make night-roll)")
	}
	now := kit.Binary(t)
	former := formers(t)[0]
	former.build(t)
	r := newRoll(t, now)
	r.fill()
	for range rolls {
		r.roll(now)
	}
	r.roll(former.binary)
	r.roll(now)
	t.Logf("%d rolls of three nodes with %d brokers: %d queries of nodes that were ready, %d without a route; the slowest was ready after %v",
		rolls+2, rollBrokers, r.asked, r.lost, r.slowest.Round(time.Millisecond))
	if r.asked < (rolls+1)*3*rollBrokers {
		t.Errorf("only %d queries", r.asked)
	}
}

type roll struct {
	t           *testing.T
	now         string // this program: the former one may call itself ready too early
	nodes       []*kit.Node
	runs        [3]string
	data        []string
	ports       int // three for brokers and clients, then three for gossip
	asked, lost int
	slowest     time.Duration
}

func newRoll(t *testing.T, binary string) *roll {
	t.Helper()
	r := &roll{t: t, now: binary, ports: kit.PortBlock(t), nodes: make([]*kit.Node, 3)}
	for i := range r.nodes {
		r.data = append(r.data, filepath.Join(t.TempDir(), fmt.Sprint("n", i)))
		r.start(i, binary)
	}
	return r
}

func (r *roll) addr(i int) string { return kit.Loopback(r.ports + i) }

func (r *roll) start(i int, binary string) {
	r.t.Helper()
	r.runs[i] = binary
	var others []string
	for j := range r.nodes {
		if j != i {
			others = append(others, kit.Loopback(r.ports+3+j))
		}
	}
	args := []string{
		"--listen", r.addr(i), "--gossip", kit.Loopback(r.ports + 3 + i), "--join", strings.Join(others, ","), "--cluster", "roll", "--name", fmt.Sprint("n", i),
	}
	if binary == r.now {
		args = append(args, "--dead-hosts", "on")
	}
	r.nodes[i] = kit.Serve(r.t, binary, fmt.Sprint("n", i), r.data[i], args...)
}

// fill starts the brokers, evenly over a period, and waits until every node is ready.
func (r *roll) fill() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	r.t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	for i := range rollBrokers {
		b := kit.NewBroker(r.t, fmt.Sprint("roll-", i), fmt.Sprintf("192.0.2.%d:10911", 1+i), rolled(i))
		group.Go(func() {
			wait := time.Duration(i) * rollBeat / rollBrokers
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
				wait = rollBeat
				for n := range r.nodes {
					if err := b.TryRegister(r.addr(n)); err == nil {
						continue
					}
					// A real one has seen that the connection is closed. Who refuses is tried again with the next REGISTER.
					if b.HangUp(r.addr(n)); b.TryRegister(r.addr(n)) != nil {
						b.HangUp(r.addr(n))
					}
				}
			}
		})
	}
	// The first ones are ready before the last broker has come: from here on nobody is.
	<-time.After(rollBeat + 5*time.Second)
	for _, n := range r.nodes {
		n.AwaitReady(r.t)
	}
	r.ask()
}

func rolled(i int) string { return fmt.Sprint("rolled-", i) }

// roll restarts every node with binary.
func (r *roll) roll(binary string) {
	r.t.Helper()
	for i, n := range r.nodes {
		if r.runs[i] == r.now && n.Metric("epitaph_dead_host_evictions_total") != 0 {
			r.t.Errorf("%s has taken a broker out whose host lives: %s", n.Name, n.Output())
		}
		if status := n.Stop(r.t); status != 0 {
			r.t.Errorf("%s stopped with %d: %s", n.Name, status, n.Output())
		}
		r.nodes[i] = nil
		r.ask()
		began := time.Now()
		r.start(i, binary)
		for kit.Ready(r.nodes[i].HTTP) != nil {
			if time.Since(began) > 2*time.Minute {
				r.t.Fatalf("%s is not ready: %s", n.Name, r.nodes[i].Output())
			}
			r.ask()
			<-time.After(rollBeat / 30)
		}
		r.slowest = max(r.slowest, time.Since(began))
		r.ask()
	}
}

// ask asks every node of this program that says it is ready for every topic.
func (r *roll) ask() {
	r.t.Helper()
	for i, n := range r.nodes {
		if n == nil || r.runs[i] != r.now || kit.Ready(n.HTTP) != nil {
			continue
		}
		c, err := kit.TryDial(r.t, r.addr(i))
		kit.Must(r.t, err)
		for topic := range rollBrokers {
			a, err := c.TryCall(kit.Request{Code: 105, Ext: map[string]string{"topic": rolled(topic)}}, kit.Patience)
			kit.Must(r.t, err)
			if r.asked++; a.Code != 0 {
				if r.lost++; r.lost < 10 {
					r.t.Errorf("%s, ready, answers %s for %s", n.Name, a, rolled(topic))
				}
			}
		}
		_ = c.Close()
	}
}

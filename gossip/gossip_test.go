package gossip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// fakeTables hold registrations that the rule may evict.
type fakeTables struct {
	mu   sync.Mutex
	held map[tombstone.Key]tombstone.Entry
}

func (f *fakeTables) hold(k tombstone.Key, e tombstone.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[k] = e
}

func (f *fakeTables) Holds(k tombstone.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.held[k]
	return ok
}

func (f *fakeTables) Judge(id tombstone.ID, b tombstone.Bounds) (v tombstone.Verdict, effects any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.held[id.Key]
	if !ok {
		return v, nil
	}
	v = tombstone.Decide(e, id.Identity, b, clock.Now())
	if v.Outcome == tombstone.Evicted {
		delete(f.held, id.Key)
	}
	return v, nil
}

type testNode struct {
	*Gossip
	tables *fakeTables
}

// startCluster runs n nodes on loopback that all join the first one.
func startCluster(t *testing.T, n int, change ...func(i int, c *Config)) []testNode {
	t.Helper()
	var nodes []testNode
	for i := range n {
		cfg := DefaultConfig()
		cfg.Bind, cfg.Cluster, cfg.Name = "127.0.0.1:0", t.Name(), fmt.Sprintf("n%d", i+1)
		cfg.Logger, cfg.Release = slog.New(slog.DiscardHandler), "test"
		if i > 0 {
			cfg.Seeds = []string{nodes[0].Addr()}
		}
		for _, f := range change {
			f(i, &cfg)
		}
		tables := &fakeTables{held: make(map[tombstone.Key]tombstone.Entry)}
		g, err := New(cfg, tables)
		kit.Must(t, err)
		kit.Must(t, g.Start(t.Context()))
		t.Cleanup(func() {
			if err := g.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, testNode{g, tables})
	}
	for _, g := range nodes {
		kit.Until(t, "all members at "+g.Self().Name, func() bool { return len(g.Members()) == n })
	}
	return nodes
}

func TestDepartureIsGoneEverywhere(t *testing.T) {
	nodes := startCluster(t, 3)
	key := tombstone.Key{Cluster: "C1", Addr: "10.0.0.1:10911"}
	who := tombstone.Identity{Name: "b0", RemoteIP: netip.MustParseAddr("10.0.0.1")}
	begin := clock.Now()
	for _, n := range nodes[1:] {
		n.tables.hold(key, tombstone.Entry{
			Identity: who, FirstByte: begin.Add(-time.Minute), LastRegister: begin.Add(-time.Second), Conn: 1,
		})
	}
	_, why, ok := nodes[0].Departed(tombstone.Departure{
		Key: key, Identity: who, Unregistered: clock.Now(), Life: begin.Add(-time.Second),
	})
	if !ok {
		t.Fatalf("no tombstone: %v", why)
	}
	for _, n := range nodes[1:] {
		kit.Until(t, "eviction at "+n.Self().Name, func() bool { return !n.tables.Holds(key) })
	}
	kit.Until(t, "both reports at the origin", func() bool {
		s := nodes[0].Status(10)
		if len(s.Own) != 1 || len(s.Own[0].Reports) != 2 {
			return false
		}
		for _, r := range s.Own[0].Reports {
			if !r.Reported || r.Outcome != tombstone.Evicted {
				return false
			}
			t.Logf("%s: %v after %v", r.Member, r.Outcome, r.After)
		}
		return true
	})
}

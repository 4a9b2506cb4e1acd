package gossip

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Two living nodes of one name are told after a while, with the flag and the other's address, and once; a restart, which
// looks the same at first, is not.
func TestTwoLivingNodesOfOneName(t *testing.T) {
	var ahead atomic.Int64
	var log kit.Log
	var nodes []*Gossip
	for i := range 2 {
		cfg := DefaultConfig()
		cfg.Bind, cfg.Cluster, cfg.Name, cfg.Release = "127.0.0.1:0", t.Name(), "same", "test"
		if i == 0 {
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			cfg.Clock = func() clock.Stamp { return clock.Now().Add(time.Duration(ahead.Load())) }
		} else {
			cfg.Seeds = []string{nodes[0].Addr()}
		}
		g, err := New(cfg, &fakeTables{held: make(map[tombstone.Key]tombstone.Entry)})
		kit.Must(t, err)
		kit.Must(t, g.Start(t.Context()))
		t.Cleanup(func() { _ = g.Stop(t.Context()) })
		nodes = append(nodes, g)
	}
	first, other := nodes[0], nodes[1].Addr()
	told := func() bool { first.kick(); return strings.Contains(log.String(), "give one of the two another --name") }
	for deadline := time.Now().Add(time.Minute); len(first.Members()) < 2; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("they do not see each other")
		}
	}
	for range 20 {
		if told(); first.Counts().Namesake {
			t.Fatal("told at once: a restart would be told too")
		}
		<-time.After(time.Millisecond)
	}
	ahead.Store(int64(namesakeAfter + time.Second))
	for deadline := time.Now().Add(time.Minute); !told() || !first.Counts().Namesake; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not told: %s", log.String())
		}
	}
	if !strings.Contains(log.String(), other) || strings.Count(log.String(), "another living node") != 1 {
		t.Errorf("log: %s", log.String())
	}
}

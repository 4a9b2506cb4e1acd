// Package inproc runs a node inside a test.
package inproc

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
)

// StartNode runs a node inside the test until it ends, and checks the invariants of its tables then. It listens at a free
// port of loopback and keeps its files in a directory of the test's, unless change says otherwise.
func StartNode(t testing.TB, change func(*config.Config)) *node.Node {
	t.Helper()
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.Options.BindAddress, cfg.Options.ListenPort = "127.0.0.1", 0
	if change != nil {
		change(&cfg)
	}
	n, err := node.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := n.Table().Check(); err != nil {
			t.Errorf("invariants of the tables: %v", err)
		}
	})
	return n
}

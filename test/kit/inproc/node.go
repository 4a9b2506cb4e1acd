// Package inproc runs a node inside a test.
package inproc

import (
	"log/slog"
	"testing"

	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// StartNode runs a node inside the test until it ends, and checks the invariants of its tables then. It listens at a free
// port of loopback and keeps its files in a directory of the test's, unless change says otherwise.
func StartNode(t testing.TB, change func(*config.Config)) *node.Node {
	t.Helper()
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.Options.BindAddress, cfg.Options.ListenPort = "127.0.0.1", 0
	cfg.ReadyAfter = 0 // a test that is about it says so
	if change != nil {
		change(&cfg)
	}
	n, err := node.New(cfg, slog.New(slog.DiscardHandler))
	kit.Must(t, err)
	t.Cleanup(func() { // runs after the stop
		if err := n.Table().Check(); err != nil {
			t.Errorf("invariants of the tables: %v", err)
		}
	})
	kit.Launch(t, n)
	return n
}

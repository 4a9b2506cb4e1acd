package node

import (
	"log/slog"
	"testing"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/vanish"
)

// TestWhoObserves: a node judges, tells, or takes out, as it was told to; by default it does none of them.
func TestWhoObserves(t *testing.T) {
	for mode, want := range map[config.DeadHostMode]vanish.Mode{
		config.DefaultDeadHosts().Mode: vanish.Off, config.DeadHostsObserve: vanish.Observe, config.DeadHostsOn: vanish.On,
	} {
		n := startNodeTo(t, slog.DiscardHandler, func(c *config.Config) {
			g := gossip.DefaultConfig()
			g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), string(mode)
			c.Gossip, c.DeadHosts.Mode = &g, mode
		})
		if got := n.vanished.Status().Mode; got != want {
			t.Errorf("%s: %v, want %v", mode, got, want)
		}
	}
}

package node

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
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

// TestNotJudgedAreCounted: whichever broker is asked about, all registrations whose hosts may not be judged are counted by their reasons.
func TestNotJudgedAreCounted(t *testing.T) {
	n := startNodeTo(t, slog.DiscardHandler, func(c *config.Config) {
		g := gossip.DefaultConfig()
		g.Bind, g.Cluster, g.Name = "127.0.0.1:0", t.Name(), "n1"
		c.Gossip, c.DeadHosts.Mode, c.HTTP = &g, config.DeadHostsObserve, "127.0.0.1:0"
	})
	c := dial(t, n)
	for _, broker := range []string{"a", "b"} {
		ext := brokerHeader("0")
		ext["brokerName"], ext["brokerAddr"] = broker, "127.0.0.1:1091"+broker
		ask(t, c, remoting.RegisterBroker, ext, "")
	}
	for _, query := range []string{"", "?broker=a", "?broker=b"} {
		var v api.Vanished
		kit.Must(t, json.Unmarshal(asked(n.admin.Handler(), http.MethodGet, "/v1/vanished"+query).Body.Bytes(), &v))
		if !slices.Equal(v.NotJudged, []api.NotJudged{{Reason: "local", Registrations: 2}}) {
			t.Errorf("%q: %+v", query, v.NotJudged)
		}
	}
}

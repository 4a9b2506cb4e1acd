package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// One REGISTER of a broker's address from elsewhere, on a younger connection that stays open and silent, does not take the broker
// from itself: its UNREGISTER counts where it comes, and makes the tombstone by which it goes elsewhere.
func TestStrangerIsNotTheOwner(t *testing.T) {
	nodes := startClusterWith(t, 2, proxyFromHere)
	header := brokerHeader("0")
	conns := registerAt(t, header, nodes[1], nodes[0])
	if a := ask(t, dialBehind(t, nodes[0], "10.9.9.9"), remoting.RegisterBroker, header, twoTopics); a.Code != 0 {
		t.Fatal(a)
	}
	ask(t, conns[1], remoting.UnregisterBroker, header, "")
	for _, n := range nodes {
		kit.Until(t, "no registration", func() bool { return registrations(n) == 0 })
	}
}

// Who is no admin ends his own claim only: registering somebody's broker and unregistering it takes nobody out. The broker itself
// leaves as ever, and a tombstone tells of it.
func TestAdminFromEndsOneClaim(t *testing.T) {
	nodes := startClusterWith(t, 2, func(c *config.Config) { adminsOf("10.1.0.0/16")(c) })
	n, header := nodes[0], brokerHeader("0")
	broker, stranger := registerAt(t, header, n)[0], dialBehind(t, n, "10.9.9.9")
	register := func() {
		t.Helper()
		if a := ask(t, stranger, remoting.RegisterBroker, header, twoTopics); a.Code != 0 {
			t.Fatal(a)
		}
	}
	register()
	if a := ask(t, stranger, remoting.UnregisterBroker, header, ""); a.Code != 0 || registrations(n) != 1 {
		t.Errorf("the stranger's: %d %s, %d registrations left", a.Code, a.Remark, registrations(n))
	}
	wantRefused(t, "once more", ask(t, stranger, remoting.UnregisterBroker, header, ""), "10.9.9.9")
	register()
	if a := ask(t, broker, remoting.UnregisterBroker, header, ""); a.Code != 0 || registrations(n) != 1 {
		t.Errorf("the broker's: %d %s, %d registrations left", a.Code, a.Remark, registrations(n))
	}
	if made := n.Gossip().Counters().Made[tombstone.Made]; made != 1 {
		t.Errorf("%d tombstones made, want the broker's", made)
	}
	if a := ask(t, stranger, remoting.UnregisterBroker, header, ""); a.Code != 0 || registrations(n) != 0 {
		t.Errorf("the last claim: %d %s, %d registrations left", a.Code, a.Remark, registrations(n))
	}
}

// From outside --tombstones-from all is as in RocketMQ: nobody's departure is told, and who registered last owns.
func TestTombstonesFrom(t *testing.T) {
	for name, test := range map[string]struct {
		from mq.Networks
		made uint64
	}{
		"everybody": {nil, 1},
		"this host": {mq.Networks{netip.MustParsePrefix("127.0.0.1/32")}, 1},
		"elsewhere": {mq.Networks{netip.MustParsePrefix("10.0.0.0/8")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n := startClusterWith(t, 2, func(c *config.Config) { c.TombstonesFrom = test.from })[0]
			older, newer := dial(t, n), dial(t, n)
			header := brokerHeader("0")
			ask(t, older, remoting.GetAllTopicList, nil, "")
			ask(t, newer, remoting.RegisterBroker, header, twoTopics)
			ask(t, older, remoting.RegisterBroker, header, twoTopics)
			ask(t, older, remoting.UnregisterBroker, header, "") // late, if the order counts
			if got := uint64(registrations(n)); got != test.made {
				t.Errorf("%d registrations after an UNREGISTER on the older connection", got)
			}
			ask(t, newer, remoting.RegisterBroker, header, twoTopics)
			ask(t, newer, remoting.UnregisterBroker, header, "")
			if got := n.Gossip().Counters().Made[tombstone.Made]; got != test.made {
				t.Errorf("%d tombstones made, want %d", got, test.made)
			}
		})
	}
}

// An address from which brokers of several hosts come is told once, and counted; not one that is known to be shared.
func TestSharedSourcesAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		from  mq.Networks
		addrs []string
		n     int64
		lines int
	}{
		"one host":                  {nil, []string{"10.0.0.1:10911", "10.0.0.1:10921"}, 0, 0},
		"two hosts":                 {nil, []string{"10.0.0.1:10911", "10.0.0.2:10911"}, 1, 1},
		"two, one of them a name":   {nil, []string{"10.0.0.1:10911", "broker"}, 1, 1},
		"outside --tombstones-from": {mq.Networks{netip.MustParsePrefix("10.0.0.0/8")}, []string{"10.0.0.1:10911", "10.0.0.2:10911"}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			n := startNodeTo(t, slog.NewTextHandler(&log, nil), func(c *config.Config) { c.TombstonesFrom = test.from })
			for i, addr := range test.addrs {
				header := brokerHeader("0")
				header["brokerName"], header["brokerAddr"] = fmt.Sprint("b", i), addr
				ask(t, dial(t, n), remoting.RegisterBroker, header, twoTopics)
			}
			var shared sharedSources
			now := clock.Now()
			for i := range 3 {
				shared.look(n.table, now.Add(time.Duration(i)*time.Hour), n.log)
			}
			if got := shared.n.Load(); got != test.n {
				t.Errorf("%d counted, want %d", got, test.n)
			}
			lines := strings.Count(log.String(), "brokers of several hosts come from one source address")
			if lines != test.lines || lines > 0 && !strings.Contains(log.String(), "source=127.0.0.1 hosts=2 first=10.0.0.1") {
				t.Errorf("%d lines, want %d:\n%s", lines, test.lines, log.String())
			}
			if shared.look(n.table, now.Add(2*time.Hour+time.Second), n.log); shared.looked != now.Add(2*time.Hour) {
				t.Error("looked again within the minute")
			}
		})
	}
}

// That several sources register one address is told once a minute for each address, whatever name each gives it.
func TestConflictOfSourcesOnceAMinute(t *testing.T) {
	var log lockedBuffer
	n := startNodeTo(t, slog.NewTextHandler(&log, nil), nil)
	for i := range 10 {
		n.logEvent(&routes.Event{Kind: routes.ConflictSources, Cluster: "C", Name: fmt.Sprint("b", i), Addr: "a:1", Old: "10.0.0.66"})
	}
	if lines := strings.Count(log.String(), routes.ConflictSources.String()); lines != 1 || !strings.Contains(log.String(), "old=10.0.0.66") {
		t.Errorf("%d lines, want 1:\n%s", lines, log.String())
	}
	key, now := repeatKey{routes.ConflictSources, "C", "", "a:2"}, clock.Now()
	for _, test := range []struct {
		after time.Duration
		due   bool
	}{{0, true}, {sourcesEvery - 1, false}, {sourcesEvery, true}} {
		if _, due := n.faults.due(key, now.Add(test.after), sourcesEvery); due != test.due {
			t.Errorf("after %v: due %v", test.after, due)
		}
	}
}

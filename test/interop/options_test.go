package interop

import (
	"fmt"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Requests of brokers that the recorder counts.
const (
	codeRegister      = 103
	codeRegisterTopic = 217
	codeDataVersion   = 322
)

// Row 164: brokers with enableSingleTopicRegister announce new topics by 217. One with enableSplitRegistration
// registers in several parts of one data version, none of which may hide another. One with forceRegister=false asks
// by 322 and registers only when something changed, which a restarted name server must answer. (A broker that has
// both options always registers: the split wins.)
func TestBrokerOptions(t *testing.T) {
	need(t, 2)
	const count, part = 20, 8
	ns := startNameServer(t, target(), nil)
	splitting, asking := kit.StartRelay(t, ns.Addr), kit.StartRelay(t, ns.Addr)
	launch := func(name string, relay *kit.Relay, options map[string]string) *java.Broker {
		options["enableSingleTopicRegister"] = "true"
		options["registerNameServerPeriod"] = "10000"
		return java.LaunchBroker(t, java.BrokerOptions{Version: "5.5.0", NameServers: relay.Addr, Name: name, Properties: options})
	}
	split := launch("broker-split", splitting, map[string]string{"enableSplitRegistration": "true", "splitRegistrationSize": fmt.Sprint(part)})
	ask := launch("broker-ask", asking, map[string]string{"forceRegister": "false"})
	split.MustBoot(t)
	ask.MustBoot(t)
	kit.Await(t, reregister, "brokers registered", hasTopic(ns.Addr, "TBW102", split.Name, ask.Name))

	for _, b := range []*java.Broker{split, ask} {
		for i := range count {
			createTopic(t, b.Addr, optionTopic(i), 4)
			kit.Await(t, soon, "topic announced alone", hasTopic(ns.Addr, optionTopic(i), b.Name))
		}
	}
	for _, relay := range []*kit.Relay{splitting, asking} {
		if n := len(relay.Seen(codeRegisterTopic)); n < count {
			t.Errorf("%d requests 217 for %d new topics", n, count)
		}
	}
	awaitsAnswer(t, asking)

	parts := len(splitting.Seen(codeRegister))
	ns.crash()
	ns.start(t)
	took := kit.Await(t, reregister, "every topic back after the restart", func() error {
		for i := range count {
			if err := hasTopic(ns.Addr, optionTopic(i), split.Name, ask.Name)(); err != nil {
				return err
			}
		}
		return nil
	})
	parts = len(splitting.Seen(codeRegister)) - parts
	t.Logf("back after %s, the splitting one in %d registrations", took, parts)
	if parts < count/part+1 {
		t.Errorf("%d topics came back in %d registrations of at most %d: the split was not exercised", count, parts, part)
	}
}

func optionTopic(i int) string { return fmt.Sprint("option-", i) }

// awaitsAnswer wants a round of 322, in the long form three, that leads to no registration: nothing changed.
func awaitsAnswer(t *testing.T, relay *kit.Relay) {
	t.Helper()
	rounds := 1
	if long() {
		rounds = 3
	}
	settled := len(relay.Seen(codeDataVersion)) + 2 // the rounds up to here may still report the new topics
	kit.Await(t, 3*time.Minute, "asks by 322", atLeast(relay, codeDataVersion, settled))
	registered := len(relay.Seen(codeRegister))
	kit.Await(t, 3*time.Minute, "asks by 322 again", atLeast(relay, codeDataVersion, settled+rounds))
	if n := len(relay.Seen(codeRegister)); n != registered {
		t.Errorf("%d registrations although nothing changed", n-registered)
	}
}

// atLeast is nil when n requests of a code have passed.
func atLeast(relay *kit.Relay, code, n int) func() error {
	return func() error {
		if got := len(relay.Seen(code)); got < n {
			return fmt.Errorf("%d of %d requests %d", got, n, code)
		}
		return nil
	}
}

package interop

import (
	"fmt"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
)

// Requests of brokers that the recorder counts.
const (
	codeRegister      = 103
	codeRegisterTopic = 217
	codeDataVersion   = 322
)

// Row 164: a broker with enableSingleTopicRegister announces new topics by 217; with forceRegister=false it asks
// by 322 and registers only when something changed, which a restarted name server must answer; with
// enableSplitRegistration it registers in several parts, none of which may hide another.
func TestBrokerOptions(t *testing.T) {
	need(t, 1)
	const count, part = 20, 8
	ns := startNameServer(t, target(), nil)
	relay := startRecorder(t, ns.Addr)
	broker := java.StartBroker(t, java.BrokerOptions{
		Version: "5.5.0", NameServers: relay.Addr, Name: "broker-a",
		Properties: map[string]string{
			"enableSingleTopicRegister": "true", "forceRegister": "false", "registerNameServerPeriod": "10000",
			"enableSplitRegistration": "true", "splitRegistrationSize": fmt.Sprint(part),
		},
	})
	await(t, reregister, "broker registered", hasTopic(ns.Addr, "TBW102", "broker-a"))
	var names []string
	for i := range count {
		names = append(names, fmt.Sprint("option-", i))
		createTopic(t, broker.Addr, names[i], 4)
		await(t, time.Second, "topic announced alone", hasTopic(ns.Addr, names[i], "broker-a"))
	}
	if n := len(relay.requests(codeRegisterTopic)); n < count {
		t.Errorf("%d requests 217 for %d new topics", n, count)
	}

	asked, registered := len(relay.requests(codeDataVersion)), 0
	await(t, time.Minute, "asks whether it must register", func() error {
		now := len(relay.requests(codeDataVersion))
		if now < asked+3 {
			return fmt.Errorf("%d requests 322", now-asked)
		}
		return nil
	})
	registered = len(relay.requests(codeRegister))

	ns.crash()
	ns.start(t)
	took := await(t, reregister, "every topic back after the restart", func() error {
		for _, name := range names {
			if err := hasTopic(ns.Addr, name, "broker-a")(); err != nil {
				return err
			}
		}
		return nil
	})
	parts := len(relay.requests(codeRegister)) - registered
	t.Logf("back after %s in %d registrations", took, parts)
	if parts < count/part+1 {
		t.Errorf("%d topics came back in %d registrations of at most %d: the split was not exercised", count, parts, part)
	}
}

package interop

import (
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// reregister bounds the way back of a broker whose name server was restarted: it registers every 30 s, or 10 s.
const reregister = 3 * time.Minute

// pair is a master and its slave.
type pair struct{ master, slave *java.Broker }

func (p pair) entries() []string { return []string{entry(0, p.master.Addr), entry(1, p.slave.Addr)} }

// Row 154: brokers of 5.x and of 4.9.x start, master and slave, and their topics are visible; a clean stop removes
// a broker when its UNREGISTER comes, a kill at once.
// Row 155: after a restart of the name server the brokers are back by themselves.
// Row 156: the topic that the benchmark's producer creates by sending is visible.
func TestBrokers(t *testing.T) {
	t.Parallel()
	releases := [][]string{{"5.5.0", "4.9.7"}}
	if long() {
		releases = append(releases, []string{"5.3.3", "4.9.4"})
	}
	for _, versions := range releases {
		t.Run(versions[0]+"+"+versions[1], func(t *testing.T) {
			need(t, 5)
			ns := startNameServer(t, target(), nil)
			a, b := startPairs(t, ns.Addr, versions)
			benchmark(t, ns.Addr)

			ns.end(t)
			ns.start(t)
			back := kit.Await(t, reregister, "brokers are back after the restart", hasMembers(ns.Addr, "broker-a", a.entries()...))
			back += kit.Await(t, reregister, "brokers are back after the restart", hasMembers(ns.Addr, "broker-b", b.entries()...))
			kit.Await(t, reregister, "topics are back after the restart", hasTopic(ns.Addr, "BenchmarkTest", "broker-a", "broker-b"))
			t.Logf("all brokers back after %s", back)

			stopSlaves(t, ns.Addr, a, b)
			killMasters(t, ns.Addr, a, b)
		})
	}
}

// startPairs starts a master and a slave of each of two releases side by side, and waits until all are registered.
func startPairs(t *testing.T, addr string, versions []string) (a, b pair) {
	t.Helper()
	launch := func(version, name string, id int) *java.Broker {
		o := java.BrokerOptions{Version: version, NameServers: addr, Name: name, ID: id}
		if !long() {
			o.Properties = map[string]string{"registerNameServerPeriod": "10000"} // the least that brokers take; 30 s by default
		}
		return java.LaunchBroker(t, o)
	}
	a = pair{launch(versions[0], "broker-a", 0), launch(versions[0], "broker-a", 1)}
	b = pair{launch(versions[1], "broker-b", 0), launch(versions[1], "broker-b", 1)}
	for _, broker := range []*java.Broker{a.master, a.slave, b.master, b.slave} {
		broker.MustBoot(t)
	}
	kit.Await(t, reregister, "5.x brokers registered", hasMembers(addr, "broker-a", a.entries()...))
	kit.Await(t, reregister, "4.x brokers registered", hasMembers(addr, "broker-b", b.entries()...))
	kit.Await(t, soon, "topics of both", hasTopic(addr, "SELF_TEST_TOPIC", "broker-a", "broker-b"))
	return a, b
}

var (
	producerLine = regexp.MustCompile(`Send TPS: (\d+) .*Send Failed: (\d+) \| Response Failed: (\d+)`)
	consumerLine = regexp.MustCompile(`Consume TPS: (\d+) .*Consume Fail: (\d+)`)
	fullSpeed    = regexp.MustCompile(`Consume TPS: [1-9]\d* `)
	fullSending  = regexp.MustCompile(`Send TPS: [1-9]\d* `)
)

// benchmark lets the released benchmark run until both sides report throughput, and allows no failure.
func benchmark(t *testing.T, addr string) {
	t.Helper()
	lib := java.Jars(t, "rocketmq-example", "5.5.0")
	both := java.StartBoth(t, java.Compile(t, java.Source("Both.java"), lib), lib, addr, "BenchmarkTest")
	for _, line := range []*regexp.Regexp{fullSending, fullSpeed} {
		if _, err := both.Line(line, 5*time.Minute); err != nil {
			t.Fatalf("benchmark: %v", err)
		}
	}
	both.Kill()
	output := both.Output()
	for _, m := range append(producerLine.FindAllStringSubmatch(output, -1), consumerLine.FindAllStringSubmatch(output, -1)...) {
		t.Log(m[0])
		for _, failures := range m[2:] {
			if n, err := strconv.Atoi(failures); err != nil || n != 0 {
				t.Errorf("the benchmark reports failures: %s", m[0])
			}
		}
	}
	kit.Await(t, soon, "auto-created topic on both brokers", hasTopic(addr, "BenchmarkTest", "broker-a", "broker-b"))
}

// stopSlaves ends both slaves cleanly. 5.x sends its UNREGISTER first and exits about 11 s later, so it must be gone
// while its process still runs; 4.x sends it as nearly its last step.
func stopSlaves(t *testing.T, addr string, a, b pair) {
	t.Helper()
	a.slave.Term()
	b.slave.Term()
	took := kit.Await(t, 30*time.Second, "5.x slave gone after SIGTERM", hasMembers(addr, "broker-a", entry(0, a.master.Addr)))
	select {
	case <-a.slave.Done():
		t.Errorf("the slave %s was removed only by the end of its process", a.slave)
	default:
	}
	t.Logf("5.x slave gone %s after SIGTERM, while its process still runs", took)
	took += kit.Await(t, 60*time.Second, "4.x slave gone after SIGTERM", hasMembers(addr, "broker-b", entry(0, b.master.Addr)))
	t.Logf("4.x slave gone %s after SIGTERM", took)
}

// killMasters ends both masters without a goodbye: the loss of the connection removes them and their topics.
func killMasters(t *testing.T, addr string, a, b pair) {
	t.Helper()
	for _, broker := range []*java.Broker{a.master, b.master} {
		kit.Must(t, broker.Signal(syscall.SIGKILL))
		took := kit.Await(t, soon, "gone after SIGKILL", hasMembers(addr, broker.Name))
		t.Logf("%s gone %s after SIGKILL", broker, took)
	}
	kit.Await(t, soon, "topics gone with the last broker", func() error {
		return lacksTopic(addr, "BenchmarkTest")
	})
}

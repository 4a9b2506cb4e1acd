package interop

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// actingOutcome is what a group of a master and two slaves, its producer and its consumers did. Both kinds of name
// server must bring about the same.
type actingOutcome struct {
	Before, Killed, Back groupView
	SendsWhileKilled     string // how a send fails without a master
	LateConsumer         string // what was missing at a consumer that came after the master was back
	NewConsumer          string // what was missing at a consumer that came while the master was dead
	SendsAfterReturn     bool
}

// groupView is what the name server shows of the group; addresses are written by the member's name.
type groupView struct {
	Members []string // code 106: real ids
	Route   []string // code 105: the acting master as id 0
	Perm    int
	Active  []string // members that believe to have the smallest id and run the group's timed messages
}

// Row 162: a master and two slaves with acting master and min-broker-id notification: when the master is killed
// the name server shows slave 1 as master without the write bit, the slaves notice, the producer fails, consumers
// read from the slave; when the master is back all is as before. The same as with the Java name server 5.5.0, with
// compatibleWithOldNameSrv on (322 and a pseudo-topic) and off (904 and 901). The short form is the newer way alone, against
// what the long form, or that whose target is Java, has seen with Java.
func TestActingMaster(t *testing.T) {
	need(t, 6)
	compare := func(kind string, compatible bool) {
		began := time.Now()
		got := actOut(t, kind, compatible)
		t.Logf("%s, compatible %t, took %s", kind, compatible, time.Since(began).Round(time.Second))
		if diff := cmp.Diff(actedWithJava(), got); diff != "" {
			t.Errorf("%s, compatible %t, behaves otherwise than Java 5.5.0 (-java +%s):\n%s", kind, compatible, kind, diff)
		}
	}
	if target() == targetJava || long() {
		compare(targetJava, true)
		compare(targetJava, false)
	}
	if target() == targetEpitaph && long() {
		compare(targetEpitaph, true)
	}
	if target() == targetEpitaph {
		compare(targetEpitaph, false)
	}
}

// actedWithJava is the outcome with the Java name server 5.5.0, either way.
func actedWithJava() actingOutcome {
	all := groupView{
		Members: []string{"0=member0", "1=member1", "2=member2"}, Route: []string{"0=member0", "1=member1", "2=member2"},
		Perm: 6, Active: []string{"member0"},
	}
	return actingOutcome{
		Before: all,
		Killed: groupView{
			Members: []string{"1=member1", "2=member2"}, Route: []string{"0=member1", "2=member2"},
			Perm: 4, Active: []string{"member1"},
		},
		Back:             all,
		SendsWhileKilled: "No route info of this topic", SendsAfterReturn: true,
	}
}

// group is a running group and its name server.
type group struct {
	addr    string
	brokers [3]*java.Broker
}

// actOut runs the scenario once.
func actOut(t *testing.T, kind string, compatible bool) actingOutcome {
	t.Helper()
	var o actingOutcome
	ns := startNameServer(t, kind, map[string]string{"supportActingMaster": "true", "notifyMinBrokerIdChanged": "true"})
	g, options := startGroup(t, ns.Addr, compatible)
	master := g.brokers[0]
	for _, slave := range g.brokers[1:] {
		kit.Await(t, 4*time.Minute, "topic at "+slave.String(), hasTopicConfig(slave.Addr, "acting"))
	}
	o.Before = g.view(t, 3, 0, 6)

	first := startPeer(t, "5.5.0", java.ClientOptions{Endpoint: ns.Addr, Topic: "acting", Group: "old", Count: -1, Every: 50 * time.Millisecond})
	kit.Await(t, 3*time.Minute, "sends and receives", received(first, 50))
	if err := first.Signal(syscall.SIGSTOP); err != nil { // so that the slaves can catch up with every message
		t.Fatal(err)
	}
	for _, slave := range g.brokers[1:] {
		kit.Await(t, 30*time.Second, "messages copied to "+slave.String(), caughtUp(master.Addr, slave.Addr, "acting", 4))
	}
	master.Kill()
	o.Killed = g.view(t, 2, 1, 4)
	kit.Must(t, first.Signal(syscall.SIGCONT))
	kit.Await(t, 3*time.Minute, "sends fail for want of a master", func() error {
		o.SendsWhileKilled = failure(first.Events())
		if strings.HasPrefix(o.SendsWhileKilled, "No route info") {
			return nil
		}
		return fmt.Errorf("last send: %s", o.SendsWhileKilled)
	})
	o.NewConsumer = readFromSlave(t, ns.Addr, first)

	restarted := java.StartBroker(t, options)
	g.brokers[0] = restarted
	o.Back = g.view(t, 3, 0, 6)
	before := len(first.Events().Sent)
	kit.Await(t, 3*time.Minute, "sends again", func() error {
		if n := len(first.Events().Sent); n < before+20 {
			return fmt.Errorf("%d sends succeeded since the master is back", n-before)
		}
		return nil
	})
	o.SendsAfterReturn = true
	if err := first.Signal(syscall.SIGSTOP); err != nil { // no more sends: what is missing now stays missing
		t.Fatal(err)
	}
	late := startPeer(t, "5.5.0", java.ClientOptions{Endpoint: ns.Addr, Topic: "acting", Group: "late"})
	sent := first.Events()
	kit.Await(t, 3*time.Minute, "everything can be read after the master's return", func() error {
		sent.Received = late.Events().Received
		o.LateConsumer = sent.Missing()
		return asError(o.LateConsumer)
	})
	for _, p := range []*kit.Process{first.Process, late.Process, g.brokers[0].Process, g.brokers[1].Process, g.brokers[2].Process, ns.proc} {
		p.Kill() // the next run needs the memory
	}
	return o
}

// startGroup starts a master with a topic, then two slaves. A slave copies the topics of the master that its registration
// named, but only a minute after its start: in the short form it has the topic before. It returns the master's options for
// its restart.
func startGroup(t *testing.T, addr string, compatible bool) (group, java.BrokerOptions) {
	t.Helper()
	g := group{addr: addr}
	var options [3]java.BrokerOptions
	launch := func(id int) {
		options[id] = java.BrokerOptions{
			Version: "5.5.0", NameServers: addr, Name: "broker-a", ID: id, Dir: t.TempDir(), Port: kit.PortBlock(t) + 2,
			Properties: map[string]string{
				// With totalReplicas above 1 the master of 5.5.0 cannot come back once consumers have committed
				// offsets: it fails to decode the slave's (fastjson2 refuses the unquoted keys that it writes itself).
				"enableSlaveActingMaster": "true", "slaveReadEnable": "true",
				"compatibleWithOldNameSrv": strconv.FormatBool(compatible),
			},
		}
		if id > 0 && !long() {
			writeTopics(t, options[id].Dir, []string{"acting"}, 4)
		}
		g.brokers[id] = java.LaunchBroker(t, options[id])
	}
	launch(0)
	master := g.brokers[0].Addr
	kit.Await(t, 5*time.Minute, "master registered", hasMembers(addr, "broker-a", entry(0, master)))
	createTopic(t, master, "acting", 4)
	kit.Await(t, soon, "topic visible", hasTopic(addr, "acting", "broker-a"))
	launch(1)
	launch(2)
	return g, options[0]
}

// view waits until the group has n members, one of them active, and the topic's queues a permission, and says what
// is shown then.
func (g group) view(t *testing.T, n, active, perm int) groupView {
	t.Helper()
	var v groupView
	kit.Await(t, 4*time.Minute, fmt.Sprintf("%d members, %d active, permission %d", n, active, perm), func() error {
		list, err := members(g.addr, "broker-a")
		if err != nil {
			return err
		}
		r, err := routeOf(g.addr, "acting")
		if err != nil {
			return err
		}
		v = groupView{Members: g.named(list), Route: g.named(r.addrs("broker-a")), Perm: r.perm("broker-a")}
		for _, e := range list {
			_, addr, _ := strings.Cut(e, "=")
			info, err := runtimeInfo(addr)
			if err != nil {
				return err
			}
			if info["brokerActive"] == "true" {
				v.Active = append(v.Active, g.named([]string{addr})...)
			}
		}
		if len(list) != n || v.Perm != perm || !slices.Equal(v.Active, []string{fmt.Sprint("member", active)}) {
			return fmt.Errorf("shown: %+v", v)
		}
		return nil
	})
	return v
}

// named replaces addresses by the names of the members, which are the same in every run.
func (g group) named(entries []string) []string {
	list := slices.Clone(entries)
	for i := range list {
		for id, b := range g.brokers {
			list[i] = strings.Replace(list[i], b.Addr, fmt.Sprint("member", id), 1)
		}
	}
	return list
}

// readFromSlave starts a consumer while the master is dead: it must get everything that was sent before.
func readFromSlave(t *testing.T, addr string, sender *java.Client) string {
	t.Helper()
	reader := startPeer(t, "5.5.0", java.ClientOptions{Endpoint: addr, Topic: "acting", Group: "new"})
	defer reader.Kill()
	sent := sender.Events()
	var missing string
	kit.Await(t, 3*time.Minute, "a new consumer reads from the slave", func() error {
		sent.Received = reader.Events().Received
		missing = sent.Missing()
		return asError(missing)
	})
	return missing
}

// received is nil when a client received at least n messages.
func received(client *java.Client, n int) func() error {
	return func() error {
		if e := client.Events(); len(e.Received) < n {
			return fmt.Errorf("%d sent, %d failed (last: %s), %d received", len(e.Sent), len(e.Failed), failure(e), len(e.Received))
		}
		return nil
	}
}

// failure is the text of the newest send if it failed, without what differs from run to run.
func failure(e java.Events) string {
	if e.Last != "FAIL" {
		return ""
	}
	text, _, _ := strings.Cut(e.Failure, ":")
	return text
}

func asError(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

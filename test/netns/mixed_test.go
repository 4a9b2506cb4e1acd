//go:build linux

package netns

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// startJava runs a Java NameServer on a host.
func startJava(t testing.TB, h *host, name string) *server {
	t.Helper()
	java.Jars(t, "rocketmq-namesrv", release5)
	s := &server{host: h, name: name, addr: h.IP + ":" + servePort}
	var n *java.NameServer
	dir := t.TempDir()
	h.within(func() { n = java.PrepareNameServer(t, release5, java.NameServerOptions{Port: 9876, Dir: dir}) })
	kit.Must(t, n.Await())
	s.Process = n.Process
	return s
}

// Two nodes of ours and one Java NameServer in one list. The broker's paths to C and to the Java one are cut: C drops it
// within milliseconds, the Java one keeps it by its own rule and serves everybody else as before.
func TestMixedList(t *testing.T) {
	need(t, weightBroker+weightSmall)
	const scenario = "e. two of ours and one Java NameServer 5.5.0"
	w := newWorld(t, "A", "C")
	a, c := w.nodes[0], w.nodes[1]
	j := startJava(t, w.host("java"), "J")
	all := append(w.servers(), j)
	watches := []*watch{a.watch(t, lookEvery()), c.watch(t, lookEvery()), j.watch(t, 20*time.Millisecond)}
	b := launch(t, w.host("broker"), release5, "mixed", all...)
	stays := newSimBroker(w.host("sim"), "stays", 20000)
	kit.Must(t, stays.registerAll(all))
	stays.keep(t, all)
	b.MustBoot(t)
	for _, one := range watches {
		one.listed(t, kit.Patience, b.key)
		one.listed(t, kit.Patience, stays.key())
		one.expect(stays.key())
	}
	cut(b.host, c.host)
	cut(b.host, j.host)
	term := time.Now()
	b.Term()
	gone := goneAt(t, watches[:2], b.key)
	figures.took(scenario, "C: gone, after A", gone[1].Sub(gone[0]))
	evictionShown(t, a, c, b.Name)
	if here, _, err := watches[2].state(b.key); err != nil || !here {
		t.Errorf("the Java NameServer lost the broker, of whose leaving it cannot know: %v", err)
	}
	w.awaitMembers(2)
	figures.add(scenario, "Java NameServer", "still lists it "+inWords(time.Since(term))+" after SIGTERM")
	if long() {
		left := watches[2].gone(t, 4*time.Minute, b.key)
		figures.took(scenario, "Java NameServer: gone, after SIGTERM", left.Sub(term))
	}
	allListed(t, watches)
}

// A list of Java NameServers is moved to ours node by node, each at its address, as docs/operations.md says: stop, start,
// wait until the new node shows every broker. A producer sends all the while and none of its messages fails.
func TestMove(t *testing.T) {
	count := 2
	if long() {
		count = 3
	}
	need(t, int64(weightBroker+weightSmall+count*weightSmall))
	const scenario = "e. moving a list from Java to ours, node by node"
	w := newWorld(t)
	var seeds string
	var servers []*server
	for i := range count {
		h := w.host(fmt.Sprint("N", i+1))
		servers = append(servers, startJava(t, h, h.name))
		seeds += h.IP + ":" + gossipPort + ","
	}
	seeds = seeds[:len(seeds)-1]
	properties := map[string]string{}
	if !long() {
		properties["registerNameServerPeriod"] = "10000" // the least that brokers take; 30 s by default
	}
	b := launchWith(t, w.host("broker"), release5, "move", properties, servers...)
	b.MustBoot(t)
	for _, one := range watchAll(t, servers...) { // a busy broker's first REGISTER may be too late, and its next comes after a period
		one.listed(t, kit.Patience, b.key)
	}
	lib := java.Jars(t, "rocketmq-client", release5)
	classes := java.Compile(t, filepath.Join("..", "interop", "java", "Peer.java"), lib)
	var producer *java.Client
	w.host("producer").within(func() {
		producer = java.StartClient(t, "Peer", classes, lib, java.ClientOptions{
			Endpoint: addrsOf(servers), Topic: "move", Count: -1, Every: 20 * time.Millisecond, SendTimeout: kit.Patience,
		})
	})
	sends := func(more int) {
		t.Helper()
		before := len(producer.Events().Sent)
		kit.Await(t, kit.Patience, "the producer sends", func() error {
			if e := producer.Events(); len(e.Sent) < before+more {
				return fmt.Errorf("%d sent, %d failed (%s)", len(e.Sent)-before, len(e.Failed), e.Failure)
			}
			return nil
		})
	}
	sends(50)
	for i, old := range servers {
		began := time.Now()
		old.Term()
		if _, err := old.Wait(kit.Patience); err != nil {
			t.Fatal(err)
		}
		n := w.start(old.host, old.name, "--gossip", old.host.IP+":"+gossipPort, "--join", seeds,
			"--cluster", "netns", "--name", old.name, "--gossip-key-file", w.key)
		w.nodes = append(w.nodes, n)
		n.watch(t, 20*time.Millisecond).listed(t, kit.Patience, b.key)
		n.command(t, "health")
		w.awaitMembers(i + 1)
		figures.took(scenario, old.name+": from the Java one's SIGTERM until ours lists the broker", time.Since(began))
		sends(50)
	}
	e := producer.Events()
	if len(e.Failed) > 0 {
		t.Errorf("%d of %d messages failed during the move, the last: %s", len(e.Failed), len(e.Failed)+len(e.Sent), e.Failure)
	}
	figures.add(scenario, "producer meanwhile", fmt.Sprintf("%d messages sent, %d failed", len(e.Sent), len(e.Failed)))
	producer.Kill()

	// At the end it is as fast as if it had always been ours.
	watches := watchAll(t, w.servers()...)
	for _, one := range watches {
		one.listed(t, kit.Patience, b.key)
	}
	cut(b.host, w.nodes[count-1].host)
	b.Term()
	gone := goneAt(t, watches, b.key)
	figures.took(scenario, "then, path cut before SIGTERM: gone, after the first node", gone[count-1].Sub(earliest(gone[:count-1])))
}

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// fleet is a cluster of nodes with real brokers, on which the recipes of docs/operations.md are played.
type fleet struct {
	nodes   []*recipeNode
	brokers []*java.Broker
}

type recipeNode struct {
	name, host, addr, gossip, dir string
	port                          int
	join                          []string
	proc                          *kit.Process
}

// add starts a node that joins all that are there.
func (f *fleet) add(t *testing.T, name, kvConfig string) *recipeNode {
	t.Helper()
	n := &recipeNode{name: name, port: kit.PortBlock(t), dir: t.TempDir()}
	n.at("127.0.0.1")
	for _, other := range f.nodes {
		n.join = append(n.join, other.gossip)
	}
	if kvConfig != "" {
		text, err := os.ReadFile(kvConfig)
		kit.Must(t, err)
		kit.WriteFile(t, n.kvConfig(), text)
	}
	n.start(t)
	f.nodes = append(f.nodes, n)
	return n
}

func (n *recipeNode) kvConfig() string { return filepath.Join(n.dir, "kvConfig.json") }
func (n *recipeNode) config() string   { return filepath.Join(n.dir, "namesrv.conf") }

// at is where the node will be.
func (n *recipeNode) at(host string) {
	n.host, n.addr, n.gossip = host, fmt.Sprintf("%s:%d", host, n.port), fmt.Sprintf("%s:%d", host, n.port+1)
}

func (n *recipeNode) start(t *testing.T) {
	t.Helper()
	kit.WriteFile(t, n.config(), fmt.Appendf(nil, "listenPort=%d\nbindAddress=%s\nkvConfigPath=%s\n", n.port, n.host, n.kvConfig()))
	args := []string{"serve", "--config", n.config(), "--data", n.dir, "--gossip", n.gossip, "--cluster", "recipes", "--name", n.name}
	if len(n.join) > 0 {
		args = append(args, "--join", strings.Join(n.join, ","))
	}
	n.proc = kit.Start(t, exec.Command(kit.Binary(t), args...))
}

func (n *recipeNode) stop(t *testing.T) {
	t.Helper()
	kit.Must(t, n.proc.Signal(syscall.SIGTERM))
	if _, err := n.proc.Wait(time.Minute); err != nil {
		t.Fatal(err)
	}
}

// command asks the node by its socket.
func (n *recipeNode) command(t *testing.T, args ...string) (text string, status int) {
	t.Helper()
	cmd := exec.Command(kit.Binary(t), append(args, "--data", n.dir)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// sees is the state of a member, as epitaph members has it.
func (n *recipeNode) sees(t *testing.T, member string) (state string, err error) {
	t.Helper()
	out, _ := n.command(t, "members", "--json")
	var answer struct {
		Members []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return "", err
	}
	for _, m := range answer.Members {
		if m.Name == member {
			return m.State, nil
		}
	}
	return "", nil
}

// list is what brokers and clients are given.
func (f *fleet) list() string {
	var all []string
	for _, n := range f.nodes {
		all = append(all, n.addr)
	}
	return strings.Join(all, ";")
}

// tellBrokers is the command of the recipes that gives running brokers another list.
func (f *fleet) tellBrokers(t *testing.T, askAt string) {
	t.Helper()
	kit.Await(t, 5*time.Minute, "brokers are told "+f.list(), func() error { // mqadmin gives a busy machine 3 s for each request
		out := java.Admin(t, oracle, "updateBrokerConfig", "-n", askAt, "-c", "DefaultCluster", "-k", "namesrvAddr", "-v", f.list())
		if strings.Count(out, "success") != len(f.brokers) {
			return fmt.Errorf("updateBrokerConfig:\n%s", out)
		}
		return nil
	})
}

// holds is nil when epitaph brokers at the node shows every broker.
func (n *recipeNode) holds(t *testing.T, brokers []*java.Broker) func() error {
	return func() error {
		out, status := n.command(t, "brokers")
		for _, b := range brokers {
			if status != 0 || !strings.Contains(out, b.Addr) {
				return fmt.Errorf("%s lacks %s:\n%s", n.name, b, out)
			}
		}
		return nil
	}
}

// agree is nil when epitaph diff is silent at the node.
func (n *recipeNode) agree(t *testing.T) func() error {
	return func() error {
		if out, status := n.command(t, "diff"); status != 0 {
			return fmt.Errorf("status %d:\n%s", status, out)
		}
		return nil
	}
}

// The recipes of docs/operations.md, one after the other and as they are written there, with brokers 5.5.0 and 4.9.7: from three nodes to five,
// removing one, changing an address, back to Java.
func TestRecipes(t *testing.T) {
	needLong(t)
	need(t, 5)
	const told = 150 * time.Second // two minutes, and a registration
	f := &fleet{}
	for _, name := range []string{"a", "b", "c"} {
		f.add(t, name, "")
	}
	three := f.list()
	for _, version := range []string{"5.5.0", "4.9.7"} {
		f.brokers = append(f.brokers, java.StartBroker(t, java.BrokerOptions{Version: version, NameServers: three, Name: "broker-" + version,
			Dir: t.TempDir(), Properties: map[string]string{"registerNameServerPeriod": "10000"}}))
	}
	for _, n := range f.nodes {
		kit.Await(t, told, "brokers registered", n.holds(t, f.brokers))
	}
	for _, b := range f.brokers {
		createTopic(t, b.Addr, "recipes", 4)
	}
	for _, n := range f.nodes {
		kit.Await(t, 5*time.Minute, "a KV value is put", func() error {
			a, err := call(n.addr, 100, map[string]string{"namespace": "recipes", "key": "key", "value": "value"})
			return a.Failed(err)
		})
	}
	for _, n := range f.nodes {
		kit.Await(t, told, "they agree", n.agree(t))
		kit.Await(t, told, "the topic is there", hasTopic(n.addr, "recipes", "broker-5.5.0", "broker-4.9.7"))
	}
	client := func(list string) *java.Client {
		return startPeer(t, oracle, java.ClientOptions{Endpoint: list, Topic: "recipes", Group: "recipes", Count: -1, Every: 100 * time.Millisecond,
			SendTimeout: time.Minute})
	}
	going := func(step string, c *java.Client) {
		t.Helper()
		progress(t, step, map[string]*java.Client{step: c})
		unbroken(t, step, map[string]*java.Client{step: c}, map[string]java.Events{})
	}
	first := client(three)
	going("three nodes", first)

	t.Log("from three nodes to five")
	kv := f.nodes[0].kvConfig()
	d, e := f.add(t, "d", kv), f.add(t, "e", kv)
	kit.Await(t, told, "diff names the brokers that d and e lack", func() error {
		if out, status := f.nodes[0].command(t, "diff"); status != 1 || !kit.ContainsAll(out, "broker-5.5.0", "broker-4.9.7", "d", "e") {
			return fmt.Errorf("status %d:\n%s", status, out)
		}
		return nil
	})
	f.tellBrokers(t, three)
	for _, n := range []*recipeNode{d, e} {
		took := kit.Await(t, told, "a new node has all brokers", n.holds(t, f.brokers))
		t.Logf("%s has all brokers %s after they were told", n.name, took)
	}
	for _, n := range f.nodes {
		kit.Await(t, told, "diff is silent", n.agree(t))
	}
	second := client(f.list())
	going("five nodes", first)
	going("five nodes, the longer list", second)

	t.Log("removing a node")
	gone, five := f.nodes[1], f.list()
	f.nodes = append(f.nodes[:1:1], f.nodes[2:]...)
	first.Kill()
	third := client(f.list())
	second.Kill()
	f.tellBrokers(t, five)
	took := kit.Await(t, 5*time.Minute, "the node has no broker any more", func() error {
		if out, _ := gone.command(t, "brokers"); strings.Contains(out, "broker-") {
			return fmt.Errorf("it has:\n%s", out)
		}
		return nil
	})
	t.Logf("the removed node has no broker %s after they were told", took)
	for _, n := range f.nodes {
		if err := n.holds(t, f.brokers)(); err != nil {
			t.Error(err)
		}
		if out, _ := n.command(t, "tombstones"); strings.Contains(out, "broker-") {
			t.Errorf("somebody was told of it:\n%s", out)
		}
	}
	going("a node is removed", third)
	gone.stop(t)
	for _, n := range f.nodes {
		kit.Await(t, told, "the removed node has left", func() error {
			if state, err := n.sees(t, gone.name); err != nil || state != "left" {
				return fmt.Errorf("%s sees it as %q: %w", n.name, state, err)
			}
			return nil
		})
		kit.Await(t, told, "diff is silent", n.agree(t))
	}
	going("a node is stopped", third)

	t.Log("changing an address: c becomes c2")
	four, c := f.list(), f.nodes[1]
	f.add(t, "c2", kv)
	f.tellBrokers(t, four)
	kit.Await(t, told, "the new one has all brokers", f.nodes[4].holds(t, f.brokers))
	kit.Await(t, told, "diff is silent", f.nodes[4].agree(t))
	both := f.list()
	f.nodes = append(f.nodes[:1:1], f.nodes[2:]...)
	third.Kill()
	last := client(f.list())
	f.tellBrokers(t, both)
	kit.Await(t, 5*time.Minute, "the old one has no broker any more", func() error {
		if out, _ := c.command(t, "brokers"); strings.Contains(out, "broker-") {
			return fmt.Errorf("it has:\n%s", out)
		}
		return nil
	})
	c.stop(t)
	going("an address is changed", last)

	t.Log("back to Java")
	for i, n := range f.nodes {
		n.stop(t)
		ns, err := java.RunNameServer(oracle, java.NameServerOptions{Port: n.port, Dir: n.dir})
		kit.Must(t, err)
		kit.KillAtEnd(t, "the Java NameServer", ns.Process)
		kit.Must(t, ns.Await())
		took := kit.Await(t, told, "it lists every broker", hasTopic(n.addr, "recipes", "broker-5.5.0", "broker-4.9.7"))
		a, err := call(n.addr, 101, map[string]string{"namespace": "recipes", "key": "key"})
		if err != nil || a.Code != 0 || a.ExtFields["value"] != "value" {
			t.Errorf("the KV value at Java: %v %v", a, err)
		}
		t.Logf("Java NameServer %d lists the brokers %s after its start", i+1, took)
		going("Java NameServer "+n.name, last)
	}
	if out := java.Admin(t, oracle, "clusterList", "-n", f.list()); !kit.ContainsAll(out, f.brokers[0].Addr, f.brokers[1].Addr) {
		t.Errorf("clusterList:\n%s", out)
	}
}

// Where lists have host names, a node changes its address by its name's record: brokers, which knew the old address, and a client find the
// new one, and the KV store went along.
func TestRecipeOfAName(t *testing.T) {
	needLong(t)
	need(t, 3)
	f := &fleet{}
	a, b := f.add(t, "a", ""), f.add(t, "b", "")
	hosts := filepath.Join(t.TempDir(), "hosts")
	record := func(addr string) { kit.WriteFile(t, hosts, []byte("127.0.0.1 a.test localhost\n"+addr+" b.test\n")) }
	record(b.host)
	list := fmt.Sprintf("a.test:%d;b.test:%d", a.port, b.port)
	jvm := []string{"-Djdk.net.hosts.file=" + hosts}
	for _, version := range []string{"5.5.0", "4.9.7"} {
		f.brokers = append(f.brokers, java.StartBroker(t, java.BrokerOptions{Version: version, NameServers: list, Name: "broker-" + version,
			Dir: t.TempDir(), JVM: jvm}))
	}
	const soonest = 3 * time.Minute // 30 s in which Java keeps an address, and registrations
	for _, n := range f.nodes {
		kit.Await(t, soonest, "brokers registered", n.holds(t, f.brokers))
		answer, err := call(n.addr, 100, map[string]string{"namespace": "recipes", "key": "key", "value": "value"})
		kit.Must(t, answer.Failed(err))
	}
	for _, broker := range f.brokers {
		createTopic(t, broker.Addr, "recipes", 4)
	}
	for _, n := range f.nodes {
		kit.Await(t, soonest, "the topic is there", hasTopic(n.addr, "recipes", "broker-5.5.0", "broker-4.9.7"))
	}
	client := map[string]*java.Client{"client": startPeer(t, oracle, java.ClientOptions{Endpoint: list, Topic: "recipes", Group: "recipes", Count: -1,
		Every: 100 * time.Millisecond, SendTimeout: time.Minute, JVM: jvm})}
	progress(t, "before", client)

	b.stop(t)
	b.at("127.0.0.2")
	record(b.host)
	b.start(t)
	took := kit.Await(t, soonest, "brokers find the node at its new address", b.holds(t, f.brokers))
	t.Logf("brokers registered at the new address %s after its start", took)
	for _, n := range f.nodes {
		kit.Await(t, soonest, "diff is silent", n.agree(t))
		answer, err := call(n.addr, 101, map[string]string{"namespace": "recipes", "key": "key"})
		kit.Must(t, answer.Failed(err))
	}
	a.stop(t) // so that the client has nobody but the moved one
	progress(t, "moved", client)
	unbroken(t, "moved", client, map[string]java.Events{})
}

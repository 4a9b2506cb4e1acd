package compose

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	ownNetwork = "epitaph_default" // of the compose project: the nodes see each container's own address
	elsewhere  = "bridge"          // another network of the engine: its containers reach the nodes by published ports
	byName     = "ns1:9876;ns2:9876;ns3:9876"
	byPort     = lanAddr + ":9876;" + lanAddr + ":9877;" + lanAddr + ":9878"
	deaf       = 2 // the node that does not hear who leaves
)

// box is a released broker in a container of its own, which advertises whatever address the engine gives to that.
type box struct {
	e       *engine
	name    string
	started time.Time
	key     string // broker@address, as it is listed: known once it runs
}

// startBox makes the container, and lets the broker start in it. A 4.9.7 has its jars in the place of the others' in one image.
func (e *engine) startBox(t *testing.T, name, version, network string) *box {
	t.Helper()
	servers, jars := byName, filepath.SplitList(os.Getenv(inside))
	if network != ownNetwork {
		servers = byPort
	}
	args := []string{"docker", "run", "--detach", "--name", name, "--network", network, "--entrypoint", "sh", "--memory", "1g",
		"-v", filepath.Join(e.dir, "scripts/compose-broker.sh") + ":/opt/epitaph/broker.sh:ro",
		"-e", "BROKER_NAME=" + name, "-e", "BROKER_PORT=10911", "-e", "NAMESRV_ADDR=" + servers,
		"-e", "JAVA_OPT_EXT=-Xms64m -Xmx256m -XX:MaxDirectMemorySize=256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dtls.server.mode=disabled"}
	if version == release4 {
		args = append(args, "-v", jars[1]+":/"+brokerHome+"/lib:ro")
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of what %s says: %s", name, e.try("docker", "logs", "--tail", "30", name))
		}
		e.try("docker", "rm", "-fv", name)
	})
	e.run(t, append(args, brokerImage, "/opt/epitaph/broker.sh")...)
	b := &box{e: e, name: name}
	b.located(t)
	return b
}

func (b *box) fact(t *testing.T, format string) string {
	t.Helper()
	return strings.TrimSpace(b.e.run(t, "docker", "inspect", "--format", format, b.name))
}

func (b *box) address(t *testing.T) string {
	t.Helper()
	return b.fact(t, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
}

// located takes note of the container's start, and of the address that the engine gave to it: it may be another one each time.
func (b *box) located(t *testing.T) {
	t.Helper()
	var err error
	b.started, err = time.Parse(time.RFC3339Nano, b.fact(t, "{{.State.StartedAt}}"))
	kit.Must(t, err)
	b.key = b.name + "@" + net.JoinHostPort(b.address(t), "10911")
}

func (b *box) start(t *testing.T) {
	t.Helper()
	b.e.run(t, "docker", "start", b.name)
	b.located(t)
}

// stopped is docker stop of several at once; a 4.9.7 unregisters 7 s after SIGTERM, and a 5.5.0 ends 12 s after it.
func (e *engine) stopped(t *testing.T, all ...*box) {
	t.Helper()
	args := []string{"docker", "stop", "-t", "60"}
	for _, b := range all {
		args = append(args, b.name)
	}
	e.run(t, args...)
	for _, b := range all {
		if got := b.fact(t, "{{.State.ExitCode}} {{.State.OOMKilled}}"); got != "143 false" && got != "0 false" {
			t.Errorf("%s did not stop in order: exit code and OOM: %s", b.name, got)
		}
	}
}

// lost keeps what passes between a network namespace, that of the container with the process, and others, until it is called.
func (e *engine) lost(t *testing.T, pid string, matches ...[]string) (heal func()) {
	t.Helper()
	for _, m := range matches {
		e.run(t, slices.Concat([]string{"nsenter", "-n", "-t", pid, "iptables", "-w", "-I"}, m, []string{"-j", "DROP"})...)
	}
	return func() {
		t.Helper()
		for _, m := range matches {
			e.run(t, slices.Concat([]string{"nsenter", "-n", "-t", pid, "iptables", "-w", "-D"}, m, []string{"-j", "DROP"})...)
		}
	}
}

// unheard keeps the deaf node from hearing addresses.
func (e *engine) unheard(t *testing.T, addresses ...string) (heal func()) {
	t.Helper()
	var matches [][]string
	for _, a := range addresses {
		matches = append(matches, []string{"INPUT", "-s", a}, []string{"OUTPUT", "-d", a})
	}
	return e.lost(t, e.inspect(t, services[deaf], "{{.State.Pid}}"), matches...)
}

// listed is its registration at a node.
func (b *box) listed(t *testing.T, node int) (one api.Broker, ok bool) {
	t.Helper()
	var all api.Brokers
	getJSON(t, httpOf(node)+"/v1/brokers", &all)
	i := slices.IndexFunc(all.Brokers, func(one api.Broker) bool { return one.Broker+"@"+one.Addr == b.key })
	if i < 0 {
		return one, false
	}
	return all.Brokers[i], true
}

// source is where the connection that it registered by comes from, as a node sees it.
func (b *box) source(t *testing.T, node int) (address, port string) {
	t.Helper()
	one, _ := b.listed(t, node)
	address, port, err := net.SplitHostPort(one.Remote)
	kit.Must(t, err)
	return address, port
}

// unheard keeps what it says by published ports from the deaf node, until its namespace ends with the container.
func (b *box) unheard(t *testing.T) {
	t.Helper()
	b.e.lost(t, b.fact(t, "{{.State.Pid}}"), []string{"OUTPUT", "-p", "tcp", "--dport", "9878"})
}

func series(node int, name string) string {
	_, metrics := get(httpOf(node) + "/metrics")
	return metric(metrics, name)
}

// departures is how many UNREGISTERs a node has handled.
func departures(node int) (all float64) {
	_, metrics := get(httpOf(node) + "/metrics")
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, "epitaph_departures_total{"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " ")+1:]), 64) // the node's
			all += n
		}
	}
	return all
}

//go:build linux

package netns

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// starts is what a client's start is tried with.
type starts struct {
	*fleet
	lib, classes string
	tried        int
}

func newStarts(f *fleet) *starts {
	f.t.Helper()
	lib := java.Jars(f.t, "rocketmq-client", release5)
	return &starts{fleet: f, lib: lib, classes: java.Compile(f.t, filepath.Join("..", "interop", "java", "Peer.java"), lib)}
}

// works starts a Java and a Go client on a host, one after the other, with the name of the address servers, and wants the first
// message of each to be sent.
func (s *starts) works(way string, h *host, name string) {
	s.t.Helper()
	s.tried++
	o := java.ClientOptions{
		Endpoint: "domain:" + net.JoinHostPort(name, addressPort), Topic: fmt.Sprint("start", s.tried), Count: -1,
		Every: 100 * time.Millisecond, SendTimeout: kit.Patience,
	}
	for _, start := range []struct {
		client string
		run    func() *java.Client
	}{
		{"Java 5.5.0", func() *java.Client { return java.StartClient(s.t, "Peer", s.classes, s.lib, o) }},
		{"Go 2.1.2", s.goPeer(o)},
	} {
		var c *java.Client
		h.within(func() { c = start.run() })
		kit.Await(s.t, 2*kit.Patience, start.client+" sends by "+way, func() error {
			e := c.Events()
			if len(e.Failed) > 0 {
				s.t.Fatalf("%s by %s: %v", start.client, way, e.Failed)
			}
			if len(e.Sent) == 0 {
				return fmt.Errorf("nothing was sent:\n%s", kit.Tail(c.Output(), 1000))
			}
			return nil
		})
		c.Kill()
	}
}

// One of three address servers is down, its machine off the net, when a client starts: by each way in which docs/operations.md
// says that their one name can be made available. What takes the dead one out is what the way has for it.
func TestStartWithOneAddressServerDown(t *testing.T) {
	if !long() {
		t.Skip("SKIPPED: eight clients are started, one after the other; make night-netns")
	}
	need(t, weightBroker+weightSmall)
	s := newStarts(newFleet(t, "0s"))
	a, b, c := s.add("A"), s.add("B"), s.add("C")
	s.lists("nsaddr", a, b, c)
	five := s.broker("five", release5, map[string]string{})
	five.MustBoot(t)
	a.watch(t, 20*time.Millisecond).listed(t, kit.Patience, five.key)
	const virtual = "10.77.0.200"
	run(t, "ip", "-n", c.host.ns, "address", "add", virtual+"/24", "dev", "eth0")
	names := newNames(t, s.host("dns"), "ns.test")
	names.set(c.host.IP, a.host.IP, b.host.IP)
	c.host.link("down")
	s.gone(c)
	s.lists("nsaddr", a, b)

	// A Service of Kubernetes: each node's kernel spreads connections over the pods that are ready, and the dead one is not.
	service := s.host("service")
	to := func(n *epitaph, more ...string) {
		args := append([]string{"-w", "-t", "nat", "-A", "OUTPUT", "-d", "10.77.0.201", "-p", "tcp", "--dport", addressPort}, more...)
		out, err := service.output("iptables", append(args, "-j", "DNAT", "--to-destination", net.JoinHostPort(n.host.IP, addressPort))...)
		if err != nil {
			t.Fatalf("iptables: %v\n%s", err, out)
		}
	}
	to(a, "-m", "statistic", "--mode", "nth", "--every", "2", "--packet", "0")
	to(b)
	s.works("a Service", service, "10.77.0.201")

	// A virtual IP: the next machine takes it over from the dead one.
	run(t, "ip", "-n", a.host.ns, "address", "add", virtual+"/24", "dev", "eth0")
	s.works("a virtual IP", s.host("virtual"), virtual)

	// DNS that withdraws the records of what its health checks find dead. Java's HTTP client takes the first one.
	named := s.host("named")
	named.resolver = names.file
	names.set(a.host.IP, b.host.IP)
	s.works("DNS", named, names.name)

	// The one that is cut off sees no majority, and goes on listing what it listed.
	for _, list := range []string{"nsaddr", "brokers"} {
		status, got := kit.GetBy(&c.http, "http://127.0.0.1:"+addressPort+"/rocketmq/"+list)
		if want := strings.Join([]string{a.addr, b.addr, c.addr}, ";"); status != http.StatusOK || got != want {
			t.Errorf("%s at the node that is cut off: %d %s, want %s", list, status, got, want)
		}
	}

	// A balancer that checks GET /rocketmq/nsaddr for 200.
	t.Run("balancer", func(t *testing.T) {
		program, err := exec.LookPath("haproxy")
		if err != nil {
			t.Skipf("SKIPPED, not proven on this machine: %v; install haproxy", err)
		}
		h := s.host("haproxy")
		config := "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n retries 3\n option redispatch\n" +
			"frontend name\n bind " + net.JoinHostPort(h.IP, addressPort) + "\n default_backend nodes\n" +
			"backend nodes\n balance roundrobin\n option httpchk GET /rocketmq/nsaddr\n http-check expect status 200\n"
		for _, n := range []*epitaph{c, a, b} {
			config += " server " + n.name + " " + net.JoinHostPort(n.host.IP, addressPort) + " check inter 1s fall 1\n"
		}
		file := filepath.Join(t.TempDir(), "haproxy.cfg")
		kit.Must(t, os.WriteFile(file, []byte(config), 0o644))
		h.within(func() { kit.Start(t, exec.Command(program, "-f", file)) })
		kit.Until(t, "the balancer answers", func() bool {
			out, err := h.output("curl", "-sf", "http://"+net.JoinHostPort(h.IP, addressPort)+"/rocketmq/nsaddr")
			return err == nil && strings.Contains(out, a.addr)
		})
		s.works("a balancer", s.host("balanced"), h.IP)
	})
	c.host.link("up")
	s.lists("nsaddr", a, b, c)
}

// Lists of IPv6 (--advertise-ipv6): brokers and clients of each kind take the brackets and work.
func TestIPv6Lists(t *testing.T) {
	if !long() {
		t.Skip("SKIPPED: two brokers and three clients; make night-netns")
	}
	need(t, 2*weightBroker+2*weightSmall)
	f := newFleet(t, "0s")
	f.six = true
	a, b := f.add("A"), f.add("B")
	f.lists("nsaddr", a, b)
	for _, one := range []*broker{f.broker("five", release5, map[string]string{}), f.broker("four", release4, map[string]string{})} {
		one.MustBoot(t)
		for _, n := range []*epitaph{a, b} {
			n.watch(t, 20*time.Millisecond).listed(t, kit.Patience, one.key)
		}
	}
	o := java.ClientOptions{Every: 50 * time.Millisecond, SendTimeout: kit.Patience}
	for _, one := range []struct {
		name  string
		start func() *java.Client
	}{
		{"java5", func() *java.Client { return f.client("java5", release5, o) }},
		{"java4", func() *java.Client { return f.client("java4", "4.9.4", o) }},
		{"go", func() *java.Client { return f.goClient("go", o) }},
	} {
		o.Topic, o.Group = one.name, one.name
		c := one.start()
		f.sent(one.name, c, 20)
		kit.Until(t, one.name+" receives", func() bool { return len(c.Events().Received) >= 20 })
		c.Kill()
	}
	// All of them have a node of IPv6 left when the one that they use is gone.
	survivor := f.client("survivor", release5, java.ClientOptions{Topic: "survivor*", Every: time.Second, SendTimeout: kit.Patience})
	f.sent("a new producer each second", survivor, 2)
	f.gone(a)
	a.Term()
	f.sent("a new producer each second, with one node", survivor, 3)
}

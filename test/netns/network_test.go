//go:build linux

package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Namespaces are named epns-PID-NUMBER-HOST, so that runs side by side do not collide and a later one can tell what a
// dead one left behind.
const namePrefix = "epns-"

var networks atomic.Int64

// network is a bridge in a namespace of its own and the hosts around it. The root namespace has no part in it, so
// neither its firewall nor its routes matter, and all networks of a run may use the same addresses.
type network struct {
	t      testing.TB
	prefix string
	bridge string
	hosts  int
	six    bool // hosts that are added have an address of IPv6, too
}

// host is one namespace with one interface.
type host struct {
	t    testing.TB
	name string
	IP   string
	IPv6 string // where the network has it
	ns   string
	net  *network
	port string // of the bridge, where it is connected
	// resolver is the resolv.conf of what is started there; empty: that of the machine.
	resolver string
}

func newNetwork(t testing.TB) *network {
	t.Helper()
	n := &network{t: t, prefix: fmt.Sprintf("%s%d-%d-", namePrefix, os.Getpid(), networks.Add(1))}
	n.bridge = n.namespace("bridge")
	run(t, "ip", "-n", n.bridge, "link", "add", "br0", "type", "bridge")
	run(t, "ip", "-n", n.bridge, "link", "set", "br0", "up")
	return n
}

func (n *network) namespace(name string) string {
	ns := n.prefix + name
	run(n.t, "ip", "netns", "add", ns)
	n.t.Cleanup(func() { run(n.t, "ip", "netns", "del", ns) })
	run(n.t, "ip", "-n", ns, "link", "set", "lo", "up")
	return ns
}

// host adds a namespace that is connected to the bridge.
func (n *network) host(name string) *host {
	n.t.Helper()
	n.hosts++
	h := &host{t: n.t, name: name, IP: fmt.Sprintf("10.77.0.%d", n.hosts), ns: n.namespace(name), net: n, port: fmt.Sprintf("port%d", n.hosts)}
	h.connect()
	if n.six {
		h.IPv6 = fmt.Sprintf("fd77::%d", n.hosts)
		run(n.t, "ip", "-n", h.ns, "address", "add", h.IPv6+"/64", "dev", "eth0", "nodad")
	}
	run(n.t, "ip", "-n", h.ns, "link", "set", "eth0", "up")
	return h
}

// connect makes the host's interface, which is still down.
func (h *host) connect() {
	h.t.Helper()
	run(h.t, "ip", "-n", h.net.bridge, "link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	run(h.t, "ip", "-n", h.net.bridge, "link", "set", h.port, "master", "br0", "up")
	run(h.t, "ip", "-n", h.ns, "address", "add", h.IP+"/24", "dev", "eth0")
}

// vanish takes the interface away for good, port and all.
func (h *host) vanish() {
	h.t.Helper()
	run(h.t, "ip", "-n", h.ns, "link", "del", "eth0")
}

// successor is a machine with the addresses of one that has vanished, and a kernel that knows nothing of its connections.
func (h *host) successor(mac string) *host {
	h.t.Helper()
	s := *h
	s.ns = h.net.namespace(h.name + "-again")
	s.connect()
	run(h.t, "ip", "-n", s.ns, "link", "set", "eth0", "address", mac, "up")
	return &s
}

// mac is the address of the host's interface.
func (h *host) mac() (mac string) {
	h.t.Helper()
	h.within(func() {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			h.t.Fatal(err)
		}
		mac = i.HardwareAddr.String()
	})
	return mac
}

func run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// within runs f with the calling goroutine's thread in the host's namespace: what f starts, and sockets that it opens,
// stay there. f must not start goroutines that open sockets.
func (h *host) within(f func()) {
	if h.resolver != "" {
		h.resolving(f)
		return
	}
	h.enter(f)
}

// resolving is within, in a mount namespace where names are looked up as the host does. Its thread lives until the test ends: what f
// started would die with it, and it cannot go back to where other goroutines are.
func (h *host) resolving(f func()) {
	done := make(chan struct{})
	var err error
	go func() {
		runtime.LockOSThread()
		func() {
			defer close(done)
			err = errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
				unix.Mount(h.resolver, "/etc/resolv.conf", "", unix.MS_BIND, ""))
			if err == nil {
				h.enter(f)
			}
		}()
		<-h.t.Context().Done()
	}()
	<-done
	if err != nil {
		h.t.Fatalf("a mount namespace for %s: %v", h.name, err)
	}
	if h.t.Failed() {
		h.t.FailNow()
	}
}

func (h *host) enter(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		h.t.Fatal(err)
	}
	defer home.Close()
	away, err := os.Open(filepath.Join("/run/netns", h.ns))
	if err != nil {
		h.t.Fatal(err)
	}
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		h.t.Fatalf("enter %s: %v", h.ns, err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("leave %s: %v", h.ns, err)) // the thread must not go on in the wrong place
		}
	}()
	f()
}

// dial connects from the host, and tries again while the other's address is not resolved: a machine without time to spare loses ARP answers.
func (h *host) dial(addr string, limit time.Duration) (c net.Conn, err error) {
	for until := time.Now().Add(limit); ; <-time.After(50 * time.Millisecond) {
		h.within(func() { c, err = net.DialTimeout("tcp4", addr, time.Until(until)) })
		if !errors.Is(err, syscall.EHOSTUNREACH) || time.Until(until) < time.Second {
			return c, err
		}
	}
}

// output runs a program on the host to its end.
func (h *host) output(program string, args ...string) (out string, err error) {
	h.within(func() {
		var text []byte
		text, err = exec.Command(program, args...).CombinedOutput()
		out = string(text)
	})
	return out, err
}

// link takes the host's interface up or down: down it is like a machine that is off.
func (h *host) link(state string) {
	h.t.Helper()
	run(h.t, "ip", "-n", h.ns, "link", "set", "eth0", state)
}

// cable takes the host's port at the bridge up or down, of which the host sees no more than that there is no carrier.
func (h *host) cable(state string) {
	h.t.Helper()
	run(h.t, "ip", "-n", h.net.bridge, "link", "set", h.port, state)
}

// rule is one line of a host's firewall.
type rule struct {
	host *host
	args []string
}

// drop makes the host lose what comes in from another one, without a word; more narrows it, e.g. "-p", "udp".
func (h *host) drop(from *host, more ...string) rule {
	h.t.Helper()
	r := rule{h, append(append([]string{"INPUT", "-s", from.IP}, more...), "-j", "DROP")}
	r.apply("-A")
	return r
}

// lose makes the host lose a share of what comes in from another one.
func (h *host) lose(from *host, share float64) rule {
	h.t.Helper()
	return h.drop(from, "-m", "statistic", "--mode", "random", "--probability", strconv.FormatFloat(share, 'f', 2, 64))
}

// cut is drop both ways.
func cut(a, b *host) []rule { return []rule{a.drop(b), b.drop(a)} }

func (r rule) heal() { r.apply("-D") }

func heal(rules []rule) {
	for _, r := range rules {
		r.heal()
	}
}

func (r rule) apply(how string) {
	r.host.t.Helper()
	if out, err := r.host.output("iptables", append([]string{"-w", how}, r.args...)...); err != nil {
		r.host.t.Fatalf("iptables %s on %s: %v\n%s", how, r.host.name, err, out)
	}
}

var ownName = regexp.MustCompile(`^` + namePrefix + `(\d+)-`)

// removeLeftovers deletes the namespaces of runs that died without cleaning up.
func removeLeftovers() error {
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		m := ownName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue // somebody lives under that number
		}
		if out, err := exec.Command("ip", "netns", "del", e.Name()).CombinedOutput(); err != nil {
			return fmt.Errorf("remove what a dead run left: ip netns del %s: %w\n%s", e.Name(), err, out)
		}
	}
	return nil
}

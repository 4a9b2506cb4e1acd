//go:build linux

package netns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What watching may cost a node, of each connection.
const (
	watchedHosts = 1000
	goalWatchCPU = 12 * time.Microsecond // a second
	goalWatchNet = 600                   // packets a second each way, of all
	clockTick    = 10 * time.Millisecond // of /proc/PID/stat
)

// used is the CPU time of a process so far.
func used(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	kit.Must(t, err)
	_, after, _ := strings.Cut(string(text), ") ") // the name may have blanks
	fields := strings.Fields(after)
	ticks := 0
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		kit.Must(t, err)
		ticks += n
	}
	return time.Duration(ticks) * clockTick
}

// packets are those that the host's interface has received and sent so far.
func (h *host) packets(t testing.TB) (in, out int) {
	t.Helper()
	text, err := h.output("cat", "/proc/net/dev")
	kit.Must(t, err)
	_, eth0, _ := strings.Cut(text, "eth0:")
	fields := strings.Fields(eth0)
	in, err = strconv.Atoi(fields[1])
	kit.Must(t, err)
	out, err = strconv.Atoi(fields[9])
	kit.Must(t, err)
	return in, out
}

// What it costs to watch a thousand hosts that are well: two nodes with the same brokers for a minute, one of them without. It is a figure, held to its
// goal in the long form alone: there are two nodes, a thousand brokers and a kernel on the same cores.
func TestCostOfWatching(t *testing.T) {
	if !long() {
		t.Skip("SKIPPED: two minutes, make night-netns has it: set EPITAPH_NETNS=long to measure what watching costs")
	}
	need(t, 0)
	w := newWorld(t, "off", "on")
	h := w.host("hosts")
	run(t, "ip", "-n", h.ns, "address", "add", "10.78.0.0/16", "dev", "lo") // each of these addresses is a host's
	for _, n := range w.nodes {
		run(t, "ip", "-n", n.host.ns, "route", "add", "10.78.0.0/16", "via", h.IP)
		n.args = append(n.args, "--dead-hosts", n.name)
		n.crash()
	}
	h.answers("0.0.0.0", func(netip.Addr) {})
	servers := addrs(w.servers())
	for i := range watchedHosts {
		ip := netip.AddrFrom4([4]byte{10, 78, byte(1 + i/250), byte(1 + i%250)})
		b := kit.NewBroker(t, fmt.Sprint("b", i), netip.AddrPortFrom(ip, brokerPort).String())
		b.Dial = func(server string) (c net.Conn, err error) {
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip.AsSlice()}, Timeout: kit.Patience}
			h.within(func() { c, err = from.Dial("tcp4", server) })
			return c, err
		}
		b.Register(t, servers...)
		b.Keep(t, b.Registration, servers...)
	}
	w.nodes[1].mayJudgeAll(t, 2*time.Minute, watchedHosts)
	var cpu [2]time.Duration
	var in, out [2]int
	for i, n := range w.nodes {
		cpu[i] = used(t, n.PID())
		in[i], out[i] = n.host.packets(t)
	}
	const measured = time.Minute
	pass(t, measured)
	for i, n := range w.nodes {
		cpu[i] = used(t, n.PID()) - cpu[i]
		moreIn, moreOut := n.host.packets(t)
		in[i], out[i] = moreIn-in[i], moreOut-out[i]
	}
	each := (cpu[1] - cpu[0]) / time.Duration(watchedHosts*int(measured.Seconds()))
	moreIn, moreOut := (in[1]-in[0])/int(measured.Seconds()), (out[1]-out[0])/int(measured.Seconds())
	figures.add(deadHosts, fmt.Sprintf("%d hosts that are well for %s: CPU of a node that does not watch them, and of one that does", watchedHosts, measured),
		fmt.Sprintf("%s, %s: %s a connection and second", inWords(cpu[0]), inWords(cpu[1]), each))
	figures.add(deadHosts, "the same: packets a second that watching adds, in and out", fmt.Sprintf("%d, %d", moreIn, moreOut))
	if each > goalWatchCPU || moreIn > goalWatchNet || moreOut > goalWatchNet {
		t.Errorf("%s of CPU a connection and second, %d packets a second in, %d out; want at most %s and %d", each, moreIn, moreOut, goalWatchCPU, goalWatchNet)
	}
	for _, n := range w.nodes {
		if evictions := n.metric(t, "epitaph_dead_host_evictions_total"); evictions != 0 {
			t.Errorf("%s has taken out %v brokers", n.name, evictions)
		}
	}
}

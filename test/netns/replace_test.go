//go:build linux

package netns

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

const addressPort = "8080"

// fleet is a cluster that brokers and clients find by one name: the address of a balancer before the nodes' address servers.
type fleet struct {
	*world
	name  string // HOST:PORT
	drain string // --drain-on-stop
	// goBinary is the Go peer; empty: not built yet.
	goBinary string
	mu       sync.Mutex
	up       []*epitaph // guarded by mu
}

// newFleet makes the balancer, and no node yet.
func newFleet(t testing.TB, drain string) *fleet {
	t.Helper()
	w := newWorld(t)
	f := &fleet{world: w, drain: drain}
	h := w.host("balancer")
	f.name = net.JoinHostPort(h.IP, addressPort)
	var l net.Listener
	var err error
	h.within(func() { l, err = net.Listen("tcp4", f.name) })
	kit.Must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.relay(h, c)
		}
	}()
	return f
}

// relay gives a connection to the first address server that takes it.
func (f *fleet) relay(h *host, c net.Conn) {
	defer c.Close()
	f.mu.Lock()
	nodes := slices.Clone(f.up)
	f.mu.Unlock()
	for _, n := range nodes {
		d, err := h.dial(net.JoinHostPort(n.host.IP, addressPort), 2*time.Second)
		if err != nil {
			continue
		}
		defer d.Close()
		go func() { _, _ = io.Copy(d, c) }()
		_, _ = io.Copy(c, d)
		return
	}
}

// add starts a node on a host of its own.
func (f *fleet) add(name string) *epitaph {
	f.t.Helper()
	h := f.host(name)
	var seeds []string
	for _, n := range f.up {
		seeds = append(seeds, net.JoinHostPort(n.host.IP, gossipPort))
	}
	args := []string{
		"--gossip", net.JoinHostPort(h.IP, gossipPort), "--join", strings.Join(seeds, ","), "--cluster", "netns",
		"--name", name, "--gossip-key-file", f.key, "--address-server", "0.0.0.0:" + addressPort, "--drain-on-stop", f.drain,
	}
	listed := net.JoinHostPort(h.IP, servePort)
	if f.six { // and listed by it
		listed = net.JoinHostPort(h.IPv6, servePort)
		args = append(args, "--listen", "[::]:"+servePort, "--advertise-serve", listed, "--advertise-ipv6")
	}
	n := f.start(h, name, args...)
	n.listed = listed
	f.mu.Lock()
	f.up = append(f.up, n)
	f.mu.Unlock()
	return n
}

// gone takes a node out of those that are asked.
func (f *fleet) gone(n *epitaph) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = slices.DeleteFunc(f.up, func(o *epitaph) bool { return o == n })
}

// lists waits until every node's list is that of these nodes, and answers how long that took.
func (f *fleet) lists(list string, of ...*epitaph) time.Duration {
	f.t.Helper()
	return f.listsAt(slices.Clone(f.up), list, of...)
}

// listsAt is lists where only some nodes are asked.
func (f *fleet) listsAt(asked []*epitaph, list string, of ...*epitaph) time.Duration {
	f.t.Helper()
	var all []string
	for _, n := range of {
		all = append(all, n.listed)
	}
	slices.Sort(all)
	want := strings.Join(all, ";")
	began := time.Now()
	for _, n := range asked {
		kit.Await(f.t, 5*time.Minute, list+" at "+n.name, func() error {
			if status, got := kit.GetBy(&n.http, "http://"+net.JoinHostPort(n.host.IP, addressPort)+"/rocketmq/"+list); got != want {
				return fmt.Errorf("it lists %s (%d), want %s", got, status, want)
			}
			return nil
		})
	}
	return time.Since(began)
}

// stop stops a node when it is safe, behind a drain, and waits until it has ended. It answers how long after the signal the node was in
// no clients' list any more.
func (f *fleet) stop(n *epitaph) time.Duration {
	f.t.Helper()
	n.command(f.t, "safe-to-stop", "--wait", "4m")
	rest := slices.DeleteFunc(slices.Clone(f.up), func(o *epitaph) bool { return o == n })
	n.Term()
	took := f.lists("nsaddr", rest...)
	figures.took(replacing, n.name+": gone from every clients' list, after SIGTERM", took)
	if _, err := n.Wait(4 * time.Minute); err != nil {
		f.t.Errorf("%s: %v", n.name, err)
	}
	f.gone(n)
	f.lists("brokers", rest...)
	return took
}

// asked completes what a client is told: without end, and by the name unless it has a list.
func (f *fleet) asked(o java.ClientOptions) java.ClientOptions {
	if o.Count = -1; o.Endpoint == "" {
		o.Endpoint = "domain:" + f.name
	}
	return o
}

// client is a Java peer that finds the NameServers by the name unless it is given a list.
func (f *fleet) client(host, version string, o java.ClientOptions) (c *java.Client) {
	f.t.Helper()
	lib := java.Jars(f.t, "rocketmq-client", version)
	classes := java.Compile(f.t, filepath.Join("..", "interop", "java", "Peer.java"), lib)
	f.host(host).within(func() { c = java.StartClient(f.t, "Peer", classes, lib, f.asked(o)) })
	return c
}

// broker is one that does.
func (f *fleet) broker(host, version string, properties map[string]string) *broker {
	properties["fetchNamesrvAddrByAddressServer"] = "true"
	properties["rmqAddressServerDomain"], properties["rmqAddressServerSubGroup"] = f.name, "brokers"
	return launchWith(f.t, f.host(host), version, host, properties)
}

// sent waits until a client has sent some more, and wants none of all to have failed.
func (f *fleet) sent(who string, c *java.Client, more int) {
	f.t.Helper()
	before := len(c.Events().Sent)
	kit.Await(f.t, kit.Patience, who+" sends", func() error {
		if e := c.Events(); len(e.Sent) < before+more {
			return fmt.Errorf("%d sent, %d failed (%s)", len(e.Sent)-before, len(e.Failed), e.Failure)
		}
		return nil
	})
	if e := c.Events(); len(e.Failed) > 0 {
		f.t.Errorf("%s: %d of %d messages failed, the last: %s", who, len(e.Failed), len(e.Failed)+len(e.Sent), e.Failure)
	}
}

const replacing = "h. replacing nodes behind one name"

// A broker and clients that know nothing but a name: a node is drained and stopped, its successor comes at another address. A
// producer that runs, and one that is started anew for a new topic each second, lose no message.
func TestReplace(t *testing.T) {
	need(t, weightBroker+2*weightSmall)
	f := newFleet(t, "3s")
	a, b := f.add("A"), f.add("B")
	f.lists("nsaddr", a, b)
	five := f.broker("five", release5, map[string]string{"registerNameServerPeriod": "10000"})
	five.MustBoot(t)
	watch := b.watch(t, 20*time.Millisecond)
	watch.listed(t, kit.Patience, five.key)
	running := f.client("running", release5, java.ClientOptions{Topic: "known", Every: 20 * time.Millisecond, SendTimeout: kit.Patience})
	fresh := f.client("fresh", release5, java.ClientOptions{Topic: "fresh*", Every: time.Second, SendTimeout: kit.Patience})
	f.sent("the running producer", running, 50)
	f.sent("a new producer each second", fresh, 2)
	c := f.add("C")
	f.lists("brokers", a, b, c)
	figures.took(replacing, "C: in every clients' list, after its start", f.lists("nsaddr", a, b, c))
	f.stop(a)
	f.sent("the running producer", running, 50)
	f.sent("a new producer each second", fresh, 3)
	if ts := f.tombstones(); ts > 0 {
		t.Errorf("%d tombstones were made, and no broker has left", ts)
	}
}

// tombstones is how many there are at all nodes.
func (f *fleet) tombstones() (n int) {
	f.t.Helper()
	for _, one := range f.up {
		n += int(one.metric(f.t, "epitaph_tombstones"))
	}
	return n
}

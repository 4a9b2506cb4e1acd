//go:build linux

package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// router gives the connections of the hosts behind it addresses of its own.
type router struct {
	*host
	second string // its other address
	behind int
}

// router adds a host that forwards. Connections leave by its first address, or by both in turn.
func (n *network) router(name string, inTurn bool) *router {
	n.t.Helper()
	r := &router{host: n.host(name)}
	n.hosts++
	r.second = fmt.Sprintf("10.77.0.%d", n.hosts)
	run(n.t, "ip", "-n", r.ns, "address", "add", r.second+"/24", "dev", "eth0")
	r.within(func() { kit.Must(n.t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)) })
	leaves := func(by string, more ...string) {
		args := append([]string{"POSTROUTING", "-t", "nat", "-o", "eth0", "-s", "192.168.77.0/24"}, more...)
		rule{r.host, append(args, "-j", "SNAT", "--to-source", by)}.apply("-A")
	}
	if inTurn {
		leaves(r.second, "-m", "statistic", "--mode", "nth", "--every", "2", "--packet", "0")
	}
	leaves(r.IP)
	return r
}

// inner adds a host behind the router, which is advertised by an address of the router's.
func (r *router) inner(name, advertised string) *host {
	r.t.Helper()
	n := r.net
	h := &host{t: r.t, name: name, IP: advertised, ns: n.namespace(name), net: n, port: fmt.Sprintf("in%d", r.behind)}
	gate, own := fmt.Sprintf("192.168.77.%d", 4*r.behind+1), fmt.Sprintf("192.168.77.%d", 4*r.behind+2)
	r.behind++
	run(r.t, "ip", "-n", r.ns, "link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	run(r.t, "ip", "-n", r.ns, "address", "add", gate+"/30", "dev", h.port)
	run(r.t, "ip", "-n", r.ns, "link", "set", h.port, "up")
	run(r.t, "ip", "-n", h.ns, "address", "add", own+"/30", "dev", "eth0")
	run(r.t, "ip", "-n", h.ns, "link", "set", "eth0", "up")
	run(r.t, "ip", "-n", h.ns, "route", "add", "default", "via", gate)
	return h
}

// unheard keeps what the host says and what it is told from passing between it and another, whatever address it goes by, until it is healed. What
// passes on its connection from a port is lost for good: else an UNREGISTER that was cut off would still come when its sender has a successor, and by
// another address it is RocketMQ's, which takes that one out.
func (h *host) unheard(by *host, port string) []rule {
	h.t.Helper()
	all := rule{h, []string{"OUTPUT", "-d", by.IP, "-j", "DROP"}}
	for _, one := range []rule{all, {h, []string{"OUTPUT", "-d", by.IP, "-p", "tcp", "--sport", port, "-j", "DROP"}}} {
		one.apply("-A")
	}
	return []rule{all, h.drop(by)}
}

// Released brokers of two hosts come through one router, as from Docker Desktop, a NAT or a cluster's way out. One is stopped and started at once,
// again and again, and C hears nothing of the stops: it goes there if the router gave it the address that a witness knew it by, and else is kept. The
// other one stays listed all the while, and so does the one that is back.
func TestBehindNAT(t *testing.T) {
	need(t, 2*weightBroker)
	rounds := 1
	if long() {
		rounds = 10
	}
	for _, shape := range []struct {
		name   string
		inTurn bool
	}{{"one address", false}, {"two addresses in turn", true}} {
		t.Run(shape.name, func(t *testing.T) {
			if !shape.inTurn && !long() {
				t.Skip("SKIPPED: EPITAPH_NETNS=long (make night-netns) has it, ten stops of each, and what a router forgets")
			}
			w := newWorld(t, "A", "B", "C")
			gate := w.router("router", shape.inTurn)
			watches := watchAll(t, w.servers()...)
			stays := launch(t, gate.inner("stays", gate.second), release4, "nat-stays", w.servers()...)
			r := restarts{watches: watches, c: w.nodes[2], b: launch(t, gate.inner("leaves", gate.IP), release5, "nat-leaves", w.servers()...)}
			stays.started(t, watches)
			r.b.started(t, r.watches)
			for range rounds {
				r.throughRouter(t, w)
			}
			if long() {
				gate.forgets(t, w)
			}
			allListed(t, watches)
			w.noneRefuted(t)
		})
	}
}

// forgets lets the router lose its table, waits until what is half-open by that is closed at the nodes, and whoever lived by it would have expired.
// Meanwhile the nodes have found out that hosts share an address, for which they look once a minute.
func (r *router) forgets(t *testing.T, w *world) {
	t.Helper()
	if err := r.forget(); err != nil {
		t.Logf("SKIPPED: the router that forgets its connections: %v", err)
	} else {
		pass(t, 150*time.Second)
	}
	kit.Await(t, kit.Patience+time.Minute, "A says that hosts share a source", func() error {
		if shared := w.nodes[0].metric(t, "epitaph_shared_sources"); shared == 0 {
			return errors.New("epitaph_shared_sources is 0")
		}
		return nil
	})
}

// throughRouter stops the broker unheard by C, looks at what C makes of it, and starts it again.
func (r *restarts) throughRouter(t *testing.T, w *world) {
	t.Helper()
	for _, one := range r.watches {
		one.release(r.b.key)
	}
	known := map[string]string{} // by node, the address that the broker came from
	var port string              // to C
	for _, n := range w.nodes {
		known[n.name], port = n.source(t, r.b.options.Name)
	}
	kit.Ages(t)
	rules := r.b.host.unheard(r.c.host, port)
	at := time.Now()
	r.b.Term()
	goneAt(t, r.watches[:2], r.b.key)
	if known["C"] == known["A"] || known["C"] == known["B"] {
		r.watches[2].gone(t, kit.Patience, r.b.key)
	} else {
		kit.Await(t, kit.Patience, "C keeps what another address registered", func() error {
			all, err := r.c.decisions(r.b.options.Name)
			mine := slices.DeleteFunc(all, func(d api.Decision) bool { return d.At.Before(at) || d.Outcome != "kept_other_source" })
			if len(mine) == 0 {
				return errors.Join(err, fmt.Errorf("decided %+v", all))
			}
			return nil
		})
		if here, since, err := r.watches[2].state(r.b.key); err != nil || !here {
			t.Errorf("C does not list it since %s (%v)", since, err)
		}
	}
	t.Logf("the broker came from %v", known)
	if _, err := r.b.Wait(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	heal(rules)
	r.b.launch(t)
	r.b.started(t, r.watches)
}

// source is where a broker's connection comes from.
func (n *epitaph) source(t testing.TB, broker string) (address, port string) {
	t.Helper()
	var all api.Brokers
	kit.Must(t, n.getJSON("/v1/brokers", &all))
	for _, b := range all.Brokers {
		if b.Broker != broker {
			continue
		}
		if address, port, err := net.SplitHostPort(b.Remote); err == nil {
			return address, port
		}
		t.Fatalf("node %s names no connection of %s: %+v", n.name, broker, b)
	}
	t.Fatalf("node %s does not list %s", n.name, broker)
	return "", ""
}

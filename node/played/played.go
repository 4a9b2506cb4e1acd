// Package played plays, on one machine, what kernels tell of brokers' hosts: there none can vanish alone. It is for demonstrations and tests; a node that serves
// anybody asks its kernel.
package played

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/node/connect"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// idle is between two probes of a host that lives. Linux is asked every two seconds; here hosts come and go sooner.
const idle = time.Second

// Hosts are the hosts of brokers, by the address that those advertise. The zero Hosts has none that is silent.
type Hosts struct {
	mu     sync.Mutex
	silent map[path]time.Time // since when
}

// path is between a node and a host; of no node: between all and that host.
type path struct {
	node string
	host netip.Addr
}

// Silence lets nothing of a host be heard at a node, or at all where that is empty.
func (h *Hosts) Silence(node string, host netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent == nil {
		h.silent = map[path]time.Time{}
	}
	h.silent[path{node, host}] = time.Now()
}

// Heal ends that.
func (h *Hosts) Heal(node string, host netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.silent, path{node, host})
}

func (h *Hosts) since(node string, host netip.Addr) (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range []path{{"", host}, {node, host}} {
		if at, is := h.silent[p]; is {
			return at, true
		}
	}
	return time.Time{}, false
}

// At is what a node hears of the hosts: it is a node.HostPlay.
type At struct {
	hosts *Hosts
	node  string

	mu    sync.Mutex // guards the following fields
	lines map[uint64]*line
}

// line is a broker's connection.
type line struct {
	host   netip.Addr
	began  time.Time
	forced time.Time // the last probe that was answered at once
	extra  int       // probes in vain that were asked for in this silence
}

// At is what a node of that name hears.
func (h *Hosts) At(node string) *At { return &At{hosts: h, node: node, lines: map[uint64]*line{}} }

// Conn stands for a connection.
func (a *At) Conn(c vanished.Conn) vanished.Conn { return conn{c, a} }

type conn struct {
	vanished.Conn
	at *At
}

var everybody = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Watch watches what comes from a loopback address of its own: that is a host here.
func (c conn) Watch(advertised string, timeout int64) rpc.Unwatched {
	addr, err := netip.ParseAddrPort(advertised)
	if from := c.SocketAddr().Addr(); err != nil || !from.IsLoopback() || from == everybody {
		return c.Conn.Watch(advertised, timeout)
	}
	c.at.mu.Lock()
	defer c.at.mu.Unlock()
	if c.at.lines[c.ID()] == nil {
		for id, l := range c.at.lines { // what is left of a former life
			if l.host == addr.Addr() {
				delete(c.at.lines, id)
			}
		}
		c.at.lines[c.ID()] = &line{host: addr.Addr(), began: time.Now()}
	}
	return rpc.Watched
}

// Look is what Linux tells: the last of the probes that was answered, and those since then, one a second.
func (c conn) Look() (rpc.Look, bool) {
	c.at.mu.Lock()
	defer c.at.mu.Unlock()
	line := c.at.lines[c.ID()]
	if line == nil {
		return c.Conn.Look()
	}
	now := time.Now()
	since, silent := c.at.hosts.since(c.at.node, line.host)
	until := now
	if silent {
		until = since
	} else {
		line.extra = 0
	}
	heard := line.began.Add(until.Sub(line.began) / idle * idle)
	if line.forced.After(heard) {
		heard = line.forced
	}
	l := rpc.Look{Heard: now.Sub(heard)}
	if silent && l.Heard > idle {
		l.Probes = uint8(int((l.Heard-idle)/time.Second) + 1 + line.extra)
	}
	return l, true
}

// Probe asks at once.
func (c conn) Probe() {
	c.at.mu.Lock()
	defer c.at.mu.Unlock()
	switch line := c.at.lines[c.ID()]; {
	case line == nil:
		c.Conn.Probe()
	case c.at.quiet(line.host):
		line.extra++
	default:
		line.forced = time.Now()
	}
}

func (a *At) quiet(host netip.Addr) bool {
	_, is := a.hosts.since(a.node, host)
	return is
}

// Try is answered by a host that is heard.
func (a *At) Try(ctx context.Context, addr netip.AddrPort) connect.Result {
	if !a.quiet(addr.Addr()) {
		return connect.Result{Outcome: connect.Answered}
	}
	wait := time.NewTimer(connect.Wait)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return connect.Result{Outcome: connect.Failed, Err: ctx.Err()}
	case <-wait.C:
		return connect.Result{Outcome: connect.Unanswered}
	}
}

// TellsICMP says that a refusal is a host's own.
func (*At) TellsICMP() bool { return true }

// Canary is answered by nobody.
func (*At) Canary(context.Context, []netip.Addr) (netip.Addr, bool) { return netip.Addr{}, false }

//go:build linux

package netns

import (
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	dialLimit  = 24 * time.Second // a 5.x broker's kit.Patience for a REGISTER
	leaveLimit = 3 * time.Second  // a broker's for an UNREGISTER
)

// simBroker is a simulated broker on a host: one connection to each NameServer, REGISTER to all at once, UNREGISTER one
// after another.
type simBroker struct {
	*kit.Broker
	host *host
}

// newSimBroker makes a broker that has not started. Its connections are open until Close, at the latest when the test
// ends: without that, the collector would close those of a broker that nobody mentions any more.
func newSimBroker(h *host, name string, port int) *simBroker {
	b := kit.NewBroker(h.t, name, net.JoinHostPort(h.IP, strconv.Itoa(port)))
	b.Cluster, b.Topics = "SimCluster", []string{name + "-one", name + "-two"}
	b.Dial = func(server string) (net.Conn, error) { return h.dial(server, dialLimit) }
	return &simBroker{b, h}
}

// simulated makes a broker at the port of a real one, which has not started.
func (h *host) simulated(t testing.TB, name string) *kit.Broker {
	b := kit.NewBroker(t, name, net.JoinHostPort(h.IP, strconv.Itoa(brokerPort)))
	b.Dial = func(server string) (net.Conn, error) { return h.dial(server, kit.Patience) }
	return b
}

// key is how a watch names it.
func (b *simBroker) key() string { return b.Name + "@" + b.Addr }

func (b *simBroker) register(s *server) error { return b.TryRegister(s.addr) }

// registerAll registers at all side by side.
func (b *simBroker) registerAll(servers []*server) error { return b.RegisterAll(addrs(servers)...) }

// keep registers again every 20 s until t ends, as brokers do.
func (b *simBroker) keep(t testing.TB, servers []*server) {
	b.Keep(t, b.Registration, addrs(servers)...)
}

func (b *simBroker) unregister(s *server) error { return b.Tell(s.addr, b.Departure(), leaveLimit) }

// write sends without waiting for anything, as a process does whose path is stalled.
func (b *simBroker) write(s *server, r kit.Request) error {
	c, err := b.Conn(s.addr)
	if err != nil {
		return err
	}
	return c.TryPut(r.Frame(1))
}

// vanish ends the connection to one NameServer without FIN or RST, as a path does that was cut before.
func (b *simBroker) vanish(s *server) error {
	c := b.Opened(s.addr)
	if c == nil {
		return nil
	}
	defer b.HangUp(s.addr)
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_REPAIR, 1) })
	if err == nil {
		err = set
	}
	return err
}

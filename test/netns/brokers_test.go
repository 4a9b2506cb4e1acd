//go:build linux

package netns

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/java"
)

const (
	brokerPort = 10911
	release5   = "5.5.0"
	release4   = "4.9.7"
)

// broker is a released broker on a host of its own.
type broker struct {
	*java.Broker
	host    *host
	key     string // as a watch names it
	options java.BrokerOptions
}

func addrs(servers []*server) []string {
	all := make([]string, len(servers))
	for i, s := range servers {
		all[i] = s.addr
	}
	return all
}

func addrsOf(servers []*server) string { return strings.Join(addrs(servers), ";") }

// launch starts a broker without waiting for its boot line; the jars are fetched before, for namespaces have no way out.
func launch(t testing.TB, h *host, version, name string, servers ...*server) *broker {
	t.Helper()
	return launchWith(t, h, version, name, map[string]string{}, servers...)
}

// launchWith is launch with more options of the broker.
func launchWith(t testing.TB, h *host, version, name string, properties map[string]string, servers ...*server) *broker {
	t.Helper()
	properties["brokerIP1"], properties["brokerIP2"] = h.IP, h.IP
	b := &broker{host: h, options: java.BrokerOptions{
		Version: version, NameServers: addrsOf(servers), Name: name, Port: brokerPort, Dir: t.TempDir(),
		Properties: properties,
	}}
	b.key = name + "@" + net.JoinHostPort(h.IP, strconv.Itoa(brokerPort))
	b.launch(t)
	return b
}

// launch runs the broker, the first time or again on its stores.
func (b *broker) launch(t testing.TB) {
	t.Helper()
	java.Jars(t, "rocketmq-broker", b.options.Version)
	b.host.within(func() { b.Broker = java.LaunchBroker(t, b.options) })
}

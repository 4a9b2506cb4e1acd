package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/epitaph-mq/epitaph/node/config"
)

const (
	// MaxNodes is how many nodes fit below the ports of their HTTP.
	MaxNodes = httpAbove
	// maxDemoBrokers bounds Config.DemoBrokers.
	maxDemoBrokers = 200

	httpAbove = 10 // a node's HTTP is that many ports above its --listen
	lastPort  = 65535
)

// Config says what to run. Start from DefaultConfig.
type Config struct {
	Nodes        int           // how many (--nodes)
	Listen       string        // HOST:PORT of the first; the others take the next ports; port 0: any free ones (--listen)
	Gossip       string        // HOST:PORT of the first one's gossip, on loopback; likewise (--gossip)
	Data         string        // directory; each node has one of its own in it (--data)
	DemoBrokers  int           // synthetic brokers (--demo-brokers)
	System       config.System // what the nodes take from the machine
	Release      string        // of this program, as the members tell each other; may be empty
	Logger       *slog.Logger
	DroppedLines func() uint64 // of its log; nil: not known
}

// DefaultConfig has every default but Data.
func DefaultConfig() Config {
	return Config{
		Nodes: 3, Listen: "127.0.0.1:9876", Gossip: "127.0.0.1:0",
		System: config.System{Properties: map[string]string{}}, Logger: slog.New(slog.DiscardHandler),
	}
}

// Validate reports every mistake at once, each with the flag and the remedy.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Nodes < 1 || c.Nodes > MaxNodes {
		fault("--nodes=%d: want 1 to %d", c.Nodes, MaxNodes)
	}
	if c.DemoBrokers < 0 || c.DemoBrokers > maxDemoBrokers {
		fault("--demo-brokers=%d: want 0 to %d", c.DemoBrokers, maxDemoBrokers)
	}
	if _, port, err := splitAddr(c.Listen); err != nil {
		fault("--listen=%q: want HOST:PORT, such as 127.0.0.1:9876", c.Listen)
	} else if last := port + max(c.Nodes, 1) - 1 + httpAbove; port != 0 && last > lastPort {
		fault("--listen=%q: %d nodes and their HTTP need ports up to %d; want a smaller port", c.Listen, c.Nodes, last)
	}
	host, port, err := splitAddr(c.Gossip)
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case err != nil:
		fault("--gossip=%q: want HOST:PORT, such as 127.0.0.1:7946, or port 0 for any free ones", c.Gossip)
	case host != "localhost" && (ipErr != nil || !ip.IsLoopback()):
		fault("--gossip=%q: the nodes of one process gossip over loopback; want 127.0.0.1:PORT", c.Gossip)
	case port != 0 && port+c.Nodes-1 > lastPort:
		fault("--gossip=%q: %d nodes need ports up to %d; want a smaller port", c.Gossip, c.Nodes, port+c.Nodes-1)
	}
	if c.Data == "" {
		fault("--data: must be set")
	}
	if c.Logger == nil {
		fault("cluster: Logger must be set")
	}
	return errors.Join(errs...)
}

func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return host, int(n), err
}

// nth is the port of the i-th node, when the first one has this port.
func nth(port, i int) int {
	if port == 0 {
		return 0
	}
	return port + i
}

// httpHost keeps HTTP, which asks nobody who he is, on this machine.
func httpHost(listen string) string {
	if ip, err := netip.ParseAddr(listen); err == nil && ip.IsLoopback() {
		return listen
	}
	return "127.0.0.1"
}

package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// Config says with whom and how a node gossips. Start from DefaultConfig.
type Config struct {
	Bind      string   // HOST:PORT for UDP and TCP (--gossip)
	Advertise string   // HOST:PORT that others reach this node at; empty: the bound address (--advertise)
	Seeds     []string // HOST:PORT of nodes to join (--join)
	Cluster   string   // memberlist's label: nodes of another cluster are not heard (--cluster)
	Name      string   // this node's name, unique among the living (--name)
	KeyFile   string   // base64 keys, one a line, the first for sending (--gossip-key-file)
	Key       string   // the same in the place of a file, with commas or line ends between them (EPITAPH_GOSSIP_KEY)
	Release   string   // of the program, told to the others (see Meta)
	Insecure  bool     // allows a bind address beyond loopback without keys (--gossip-insecure)

	RejoinEvery time.Duration // how often seeds that are no member are tried again
	Clock       func() clock.Stamp
	Logger      *slog.Logger

	// OnMade is told of this node's own tombstones, OnDecision and OnRefutedEviction what it did with those of others. They must
	// not wait long and must not call the Gossip. Nil is nobody.
	OnMade            func(tombstone.ID)
	OnDecision        func(tombstone.Decision)
	OnRefutedEviction func(tombstone.RefutedEviction)

	// OnVanish is told of what members ask and say about hosts that may have vanished: valid messages, whose senders may be
	// anybody. It must not wait. Nil: such messages are not known here.
	OnVanish func(vanish.Message)

	// Holdings is what this node tells of itself in digests; nil: nothing, and it compares nothing.
	Holdings Holdings

	// Transport replaces memberlist's sockets, for tests.
	Transport memberlist.NodeAwareTransport
}

// DefaultConfig has every default; Bind, Cluster and Name are the operator's to give.
func DefaultConfig() Config {
	return Config{
		RejoinEvery: 15 * time.Second,
		Clock:       clock.Now,
		Logger:      slog.New(slog.DiscardHandler),
	}
}

// nameRunes separates the name from the boot number in memberlist's name.
const nameSeparator = "~"

// Validate reports every mistake at once, each with the flag and the remedy.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	host, _, err := splitHostPort(c.Bind)
	if err != nil {
		fault("--gossip=%q: %w", c.Bind, err)
	}
	if c.Advertise != "" {
		if h, _, err := splitHostPort(c.Advertise); err != nil {
			fault("--advertise=%q: %w", c.Advertise, err)
		} else if ip, perr := netip.ParseAddr(h); perr == nil && ip.IsUnspecified() {
			fault("--advertise=%q: nobody can reach an unspecified address; give the address that the other nodes reach this one at", c.Advertise)
		}
	}
	for _, s := range c.Seeds {
		if _, _, err := splitHostPort(s); err != nil {
			fault("--join=%q: %w; several stand with commas between them", s, err)
		}
	}
	if c.Cluster == "" || len(c.Cluster) > 255 {
		fault("--cluster=%q: want a name of 1 to 255 bytes, the same at every node of this cluster and at no other; "+
			"it keeps two clusters on one network apart", c.Cluster)
	}
	const room = 17 // separator and 16 hexadecimal digits
	if c.Name == "" || len(c.Name) > tombstone.MaxName-room || strings.Contains(c.Name, nameSeparator) {
		fault("--name=%q: want 1 to %d bytes without %q", c.Name, tombstone.MaxName-room, nameSeparator)
	}
	if c.Key != "" {
		if c.KeyFile != "" {
			fault("%s and --gossip-key-file=%q: two places for the gossip keys; give one of them", KeyVariable, c.KeyFile)
		}
		if _, err := ReadKeys(c.Key); err != nil {
			errs = append(errs, err)
		}
	}
	if c.KeyFile == "" && c.Key == "" && !c.Insecure && err == nil && !isLoopback(host) {
		fault("--gossip=%q: this address is not loopback, so gossip would be open to anyone who reaches it: give "+
			"--gossip-key-file FILE (epitaph keygen FILE makes one) or "+KeyVariable+", or --gossip-insecure if the network is yours alone", c.Bind)
	}
	if c.RejoinEvery <= 0 || c.Clock == nil || c.Logger == nil {
		fault("gossip: RejoinEvery, Clock and Logger must be set")
	}
	return errors.Join(errs...)
}

func splitHostPort(s string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("want HOST:PORT: %w", err)
	}
	if strings.Contains(host, "%") {
		return "", 0, errors.New("an address with a zone means something on one machine only; give one that other machines can use, too")
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, errors.New("want a port from 0 to 65535")
	}
	return host, int(n), nil
}

// isLoopback says that only this machine reaches host.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

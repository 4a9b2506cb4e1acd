package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Addresses says how brokers and clients come to know the nodes.
type Addresses struct {
	// Server is the HOST:PORT of the address server; empty is off.
	Server string
	// Clients and Brokers are the last part of the path of each list.
	Clients, Brokers string
	// Static are HOST:PORT of NameServers that are no members, to be listed, too.
	Static []string
	// Keep is for how long a member that is lost, and whose address is silent, stays in the brokers' list.
	Keep time.Duration
	// Advertise is the HOST:PORT under which brokers and clients reach this node; empty: where it listens.
	Advertise string
	// IPv6 lets the node be listed under an address of IPv6.
	IPv6 bool
}

// DefaultAddresses is no address server, with the names that RocketMQ's clients and brokers ask for (nsaddr; brokers is what
// rmqAddressServerSubGroup is commonly set to).
func DefaultAddresses() Addresses {
	return Addresses{Clients: "nsaddr", Brokers: "brokers", Keep: 5 * time.Minute}
}

// What is taken of lists: more would fit into no client's answer.
const (
	maxStatic = 64
	minKeep   = 10 * time.Second
	maxKeep   = 24 * time.Hour
)

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// isListName says whether name is 1 to 64 characters that need no escape in a URL (RFC 3986, 2.3), and no client takes it for a
// step in the path (5.2.4).
func isListName(name string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return len(name) >= 1 && len(name) <= 64 && strings.Trim(name, unreserved) == "" && name != "." && name != ".."
}

// isHostName says whether host may be a name: it has no blank, and its last part is no number, else it is a mistyped address
// (RFC 3696, 2).
func isHostName(host string) bool {
	last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
	return !strings.ContainsAny(host, " \t/") && strings.Trim(strings.TrimSuffix(last, "."), "0123456789") != ""
}

func (a *Addresses) validate() (faults []error) {
	fault := func(flag, value, remedy string) {
		faults = append(faults, &Fault{Key: flag, Value: value, Remedy: remedy})
	}
	if a.Advertise != "" {
		if remedy := reachedAt(a.Advertise); remedy != "" {
			fault("--advertise-serve", a.Advertise, remedy)
		}
	}
	if a.Server == "" {
		usual := DefaultAddresses()
		if len(a.Static) > 0 || a.Clients != usual.Clients || a.Brokers != usual.Brokers || a.Keep != usual.Keep {
			faults = append(faults, errors.New("--address-server is missing, and without it the flags --address-static, --address-keep, "+
				"--address-clients and --address-brokers mean nothing: give --address-server HOST:PORT"))
		}
		return faults
	}
	faults = append(faults, checkListener("--address-server", a.Server, "0.0.0.0:8080, which is what clients assume, or :8080 for every address"))
	for flag, name := range map[string]string{"--address-clients": a.Clients, "--address-brokers": a.Brokers} {
		if !isListName(name) {
			fault(flag, name, "want 1 to 64 letters, digits or . _ ~ -: it is the last part of the path, as in /rocketmq/nsaddr")
		}
	}
	if a.Clients == a.Brokers {
		fault("--address-brokers", a.Brokers, "want another name than that of --address-clients: the two lists differ")
	}
	if a.Keep < minKeep || a.Keep > maxKeep {
		fault("--address-keep", a.Keep.String(), fmt.Sprintf("want a time from %v to %v, such as 5m", minKeep, maxKeep))
	}
	if len(a.Static) > maxStatic {
		fault("--address-static", fmt.Sprint(len(a.Static), " addresses"), fmt.Sprintf("want at most %d", maxStatic))
	}
	for _, one := range a.Static {
		if remedy := reachedAt(one); remedy != "" {
			fault("--address-static", one, remedy)
		}
	}
	return faults
}

// reachedAt says what is wrong with an address that others are told; empty: nothing.
func reachedAt(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return "want HOST:PORT, such as 10.0.0.1:9876"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "want a port from 1 to 65535"
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil && !isHostName(host):
		return "want a name, or an address of four numbers from 0 to 255, such as 10.0.0.1:9876"
	case err != nil: // a name
	case ip.IsUnspecified():
		return "nobody can connect to an unspecified address; give the one that brokers and clients reach"
	case ip.IsMulticast(), ip.Unmap() == broadcast:
		return "nobody can connect to an address of many machines; give the one that brokers and clients reach"
	case ip.Zone() != "":
		return zoneRemedy
	}
	return ""
}

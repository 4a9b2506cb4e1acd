package mq

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Source is who a connection counts as, wherever it matters who somebody is: who owns a registration, whose share a limit is,
// what admins may do. Equal Sources are one. The zero Source is a peer without an address: no TCP socket.
type Source struct {
	// Addr is the address in a PROXY header that is believed, else the peer of the socket. IPv4-mapped ones are unmapped,
	// of IPv6 it is the whole address.
	Addr netip.Addr
	// Apart says that the peer sent a PROXY header that is not believed: it says itself that it speaks for others, so it
	// is not the machine that sends from Addr without one. Rules that ask for an address alone look at Addr.
	Apart bool
}

// Machine is the address of the machine that a source is, by which nodes tell each other who left. A source apart is
// nobody's machine, and its address here is invalid.
func (s Source) Machine() netip.Addr {
	if s.Apart {
		return netip.Addr{}
	}
	return s.Addr
}

// Network is all addresses that one peer can choose among, whose share of what is limited is one: an IPv6 host has a network of 64 bits.
func (s Source) Network() netip.Addr {
	if s.Addr.Is4() || !s.Addr.IsValid() {
		return s.Addr
	}
	p, _ := s.Addr.Prefix(64) // never fails: the length fits
	return p.Addr()
}

// String is the address, for logs and answers.
func (s Source) String() string {
	switch {
	case !s.Addr.IsValid():
		return "no address"
	case s.Apart:
		return s.Addr.String() + " (sent a PROXY header that is not believed)"
	}
	return s.Addr.String()
}

// Networks are addresses that an operator names together, such as those that may speak for others.
type Networks []netip.Prefix

// maxNetworks bounds what is looked through for a connection or a request.
const maxNetworks = 1024

// ParseNetworks reads CIDR,CIDR,...; an address alone is that address. The error says what is wrong with which of them.
func ParseNetworks(text string) (all Networks, err error) {
	for _, one := range strings.Split(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		p, err := parseNetwork(one)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("names no address: want CIDR,... such as 10.1.0.0/16,192.0.2.7")
	case len(all) > maxNetworks:
		return nil, fmt.Errorf("names %d networks: want at most %d", len(all), maxNetworks)
	}
	return all, nil
}

func parseNetwork(text string) (p netip.Prefix, err error) {
	if strings.Contains(text, "/") {
		p, err = netip.ParsePrefix(text)
	} else if a, bad := netip.ParseAddr(text); bad != nil {
		err = bad
	} else if a.Zone() != "" {
		return p, fmt.Errorf("%q: want an address without a zone", text)
	} else {
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch a := p.Addr(); {
	case err != nil:
		return p, fmt.Errorf("%q: want an address or a network such as 10.1.0.0/16 or 2001:db8::/32", text)
	case a.Is4In6() && p.Bits() < 96:
		return p, fmt.Errorf("%q: want IPv4 addresses as such, like 10.1.0.0/16", text)
	case a.Is4In6():
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q: the address lies within that network; want the network, %s, or the address alone, %s", text, p.Masked(), p.Addr())
	}
	return p, nil
}

// Contain says that one of the networks has the address. No network has an invalid one.
func (n Networks) Contain(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range n {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// String is the list as ParseNetworks reads it.
func (n Networks) String() string {
	texts := make([]string, len(n))
	for i, p := range n {
		if texts[i] = p.String(); p.IsSingleIP() {
			texts[i] = p.Addr().String()
		}
	}
	return strings.Join(texts, ",")
}

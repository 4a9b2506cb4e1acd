package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol as HAProxyMessageDecoder of Netty reads it.
var (
	proxyV1 = []byte("PROXY")
	proxyV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

const (
	proxyV1Max  = 108 // bytes of a v1 line, its CRLF included
	proxyV2Head = 16
	proxyMax    = proxyV2Head + math.MaxUint16
)

// parseProxy reads a PROXY header at the start of b. n is its length, 0 when there is none, and below 0 when more bytes
// are needed to tell. source is invalid when the header names none (UNKNOWN, LOCAL, a Unix socket).
func parseProxy(b []byte) (source netip.AddrPort, n int, err error) {
	switch {
	case hasPrefix(b, proxyV1):
		return parseProxyV1(b)
	case hasPrefix(b, proxyV2):
		return parseProxyV2(b)
	case len(b) == 0, begins(b, proxyV1), begins(b, proxyV2):
		return source, -1, nil
	}
	return source, 0, nil
}

func hasPrefix(b, sign []byte) bool { return bytes.HasPrefix(b, sign) }

// begins says that b may become sign.
func begins(b, sign []byte) bool { return len(b) < len(sign) && bytes.HasPrefix(sign, b) }

func parseProxyV1(b []byte) (source netip.AddrPort, n int, err error) {
	end := bytes.Index(b[:min(len(b), proxyV1Max)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= proxyV1Max {
			return source, 0, fmt.Errorf("v1 line is longer than %d bytes", proxyV1Max)
		}
		return source, -1, nil
	}
	n = end + 2
	part := strings.Split(string(b[:end]), " ")
	if part[0] != "PROXY" || len(part) < 2 {
		return source, 0, errors.New("v1 line names no protocol")
	}
	if part[1] == "UNKNOWN" {
		return source, n, nil
	}
	if part[1] != "TCP4" && part[1] != "TCP6" {
		return source, 0, fmt.Errorf("v1 protocol %q is not supported", part[1])
	}
	if len(part) != 6 {
		return source, 0, fmt.Errorf("v1 line has %d parts instead of 6", len(part))
	}
	if _, err := proxyAddr(part[1], part[3], part[5]); err != nil {
		return source, 0, fmt.Errorf("v1 destination: %w", err)
	}
	source, err = proxyAddr(part[1], part[2], part[4])
	if err != nil {
		return netip.AddrPort{}, 0, fmt.Errorf("v1 source: %w", err)
	}
	return source, n, nil
}

func proxyAddr(protocol, addr, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if a.Is4() != (protocol == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("address %s is none of %s", a, protocol)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q is none", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

// v2: 12 bytes signature, version and command, family and transport, int16 length, addresses, TLVs.
func parseProxyV2(b []byte) (source netip.AddrPort, n int, err error) {
	if len(b) > len(proxyV2) && b[12]>>4 != 2 {
		return source, 0, fmt.Errorf("version %d is not supported", b[12]>>4)
	}
	if len(b) < proxyV2Head {
		return source, -1, nil
	}
	n = proxyV2Head + int(binary.BigEndian.Uint16(b[14:]))
	command, family := b[12]&0xF, b[13]
	if command > 1 {
		return source, 0, fmt.Errorf("v2 command %d is not supported", command)
	}
	var size int // of one address
	switch family {
	case 0x00:
	case 0x11, 0x12:
		size = 4
	case 0x21, 0x22:
		size = 16
	case 0x31, 0x32:
		size = 108
	default:
		return source, 0, fmt.Errorf("v2 family and transport %#02x is not supported", family)
	}
	if len(b) < n {
		return source, -1, nil
	}
	if command == 0 || family == 0 { // LOCAL, or unspecified: the rest is not looked at
		return source, n, nil
	}
	rest := b[proxyV2Head:n]
	ports := 4
	if size == 108 {
		ports = 0
	}
	if len(rest) < 2*size+ports {
		return source, 0, fmt.Errorf("v2 addresses need %d bytes, not %d", 2*size+ports, len(rest))
	}
	if err := checkTLVs(rest[2*size+ports:]); err != nil {
		return source, 0, err
	}
	if a, ok := netip.AddrFromSlice(rest[:size]); ok {
		source = netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(rest[2*size:]))
	}
	return source, n, nil
}

// checkTLVs walks type-length-value entries: 1, 2 and length bytes. Fewer than four bytes at the end are padding.
func checkTLVs(b []byte) error {
	for len(b) >= 4 {
		n := 3 + int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b) {
			return fmt.Errorf("v2 entry of type %#02x has %d bytes, %d are left", b[0], n, len(b))
		}
		b = b[n:]
	}
	return nil
}

package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// BindHost is bindAddress as java.net.InetAddress.getByName reads it, in a form that Go reads likewise: nothing is loopback,
// an IPv6 address may have brackets, and numbers are an IPv4 address (127.1, 2130706433). What is none of these is a host name.
func (o *Options) BindHost() string {
	host := o.BindAddress
	if host == "" {
		return "127.0.0.1"
	}
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.Contains(inner, ":") && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	if v4, ok := numericIPv4(host); ok {
		return v4.String()
	}
	return host
}

// numericIPv4 reads up to four decimal numbers with dots between them, in 15 characters at most. All but the last are a byte
// each, and the last one is all bytes that are left. Leading zeros make no octal number.
func numericIPv4(text string) (addr netip.Addr, ok bool) {
	parts := strings.Split(text, ".")
	if len(text) > len("255.255.255.255") || len(parts) > 4 {
		return addr, false
	}
	var all uint64
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		n, err := strconv.ParseUint(part, 10, bits)
		if err != nil || strings.HasPrefix(part, "+") {
			return addr, false
		}
		all = all<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}), true
}

func checkBindAddress(o *Options) string {
	host := o.BindHost()
	number := strings.Trim(host, "0123456789.") == "" // an address that is none; nothing but a lookup tells this of a name
	if strings.ContainsAny(host, " /[]") || (number || strings.ContainsAny(host, ":%")) && !isAddress(host) {
		return "want a host name or an address without a port, such as 0.0.0.0, 10.1.2.3 or ::"
	}
	return ""
}

// isAddress says that a host is one of IPv4 or IPv6, perhaps with a zone.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

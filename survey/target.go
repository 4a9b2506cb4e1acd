package survey

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/order"
)

// Target is one NameServer that is asked.
type Target struct {
	Name string `json:"name"` // as it was named: HOST:PORT
	Addr string `json:"addr"` // one address of that: IP:PORT
}

// SplitList takes apart what names NameServers: HOST:PORT with ; or , or blanks between, as RocketMQ and people write it.
func SplitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// Resolve is every address behind every name, of both families, each once, in the order named. Of loopback, which may be one
// machine by two families, it is the one that takes a connection.
func Resolve(ctx context.Context, names []string, timeout time.Duration) (all []Target, err error) {
	for _, name := range names {
		host, port, err := net.SplitHostPort(name)
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("%q: want HOST:PORT, such as 127.0.0.1:9876, or several with , or ; between them", name)
		}
		if n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port); err != nil || n == 0 {
			return nil, fmt.Errorf("%q: %q is no port", name, port)
		}
		addrs := addresses(ctx, host, timeout)
		if len(addrs) == 0 { // connecting to it will say why
			all = append(all, Target{name, name})
			continue
		}
		for _, one := range oneOfLoopback(ctx, addrs, port) {
			t := Target{name, net.JoinHostPort(one.String(), port)}
			if !slices.ContainsFunc(all, func(o Target) bool { return o.Addr == t.Addr }) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// addresses are those of a host, sorted; none where its name is not known here.
func addresses(ctx context.Context, host string, timeout time.Duration) []netip.Addr {
	if one, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{one}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	order.By(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

func oneOfLoopback(ctx context.Context, addrs []netip.Addr, port string) []netip.Addr {
	if len(addrs) < 2 || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.IsLoopback() }) {
		return addrs
	}
	for _, a := range addrs {
		d := net.Dialer{Timeout: time.Second}
		if c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port)); err == nil {
			c.Close()
			return []netip.Addr{a}
		}
	}
	return addrs[:1]
}

package addrserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

const (
	askEvery     = 5 * time.Second
	askTime      = 2 * time.Second // for one way to ask, of two
	askAtOnce    = 16
	resolveEvery = 30 * time.Second
	resolveTime  = 5 * time.Second
)

// asker asks a NameServer for the value of a key that nobody has (code 101): every version answers that. What it answers does
// not matter.
type asker struct {
	client rpc.ClientConfig
	secure sync.Map // netip.AddrPort -> bool: answered by TLS the last time
}

func newAsker(client rpc.ClientConfig) asker { return asker{client: client} }

// answers asks in plain text and by TLS, first in the way that worked the last time.
func (a *asker) answers(ctx context.Context, addr netip.AddrPort) bool {
	_, first := a.secure.Load(addr)
	for _, secure := range []bool{first, !first} {
		err := a.once(ctx, addr, secure)
		if err == nil {
			if secure {
				a.secure.Store(addr, true)
			} else {
				a.secure.Delete(addr)
			}
			return true
		}
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return false // the other way leads there, too
		}
	}
	return false
}

func (a *asker) once(ctx context.Context, addr netip.AddrPort, secure bool) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	way := a.client
	switch {
	case !secure:
		way.TLS = nil
	case way.TLS == nil:
		way.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is asked whether it lives, not who it is
	}
	err := a.invoke(ctx, addr, way)
	if err != nil && strings.Contains(err.Error(), "remote error: tls: ") {
		return nil // an alert: it wants a certificate, or another version of TLS, and lives
	}
	return err
}

func (*asker) invoke(ctx context.Context, addr netip.AddrPort, way rpc.ClientConfig) error {
	c, err := rpc.Dial(ctx, addr.String(), way)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Invoke(ctx, &remoting.Command{Code: remoting.GetKVConfig, Version: remoting.Version,
		Ext: map[string]string{"namespace": "epitaph", "key": "address server"}})
	return err
}

// askAll asks every address now and then.
func (s *Server) askAll(ctx context.Context) {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		s.mu.Lock()
		all := s.lists.Ask(s.input())
		s.mu.Unlock()
		slots := make(chan struct{}, askAtOnce)
		var group sync.WaitGroup
		for _, addr := range all {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				then := s.cfg.Clock()
				answered := s.asker.answers(ctx, addr)
				s.mu.Lock()
				defer s.mu.Unlock()
				if ctx.Err() == nil {
					s.lists.Asked(addr, answered, then)
				}
			})
		}
		group.Wait()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// literals are those of the static addresses that are no names.
func literals(static []string) (all []netip.AddrPort) {
	for _, one := range static {
		if a, err := netip.ParseAddrPort(one); err == nil {
			all = append(all, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		}
	}
	return all
}

// resolveAll looks the names among the static addresses up, again and again: a client must be told numbers.
func (s *Server) resolveAll(ctx context.Context) {
	found, trouble := map[string][]netip.AddrPort{}, map[string]string{}
	ticker := time.NewTicker(resolveEvery)
	defer ticker.Stop()
	for {
		for _, one := range s.cfg.Static {
			if _, err := netip.ParseAddrPort(one); err == nil {
				continue
			}
			all, err := Resolve(ctx, s.cfg.Resolve, one)
			if err == nil {
				found[one], trouble[one] = all, ""
			} else if text := err.Error(); text != trouble[one] && ctx.Err() == nil {
				trouble[one] = text
				s.cfg.Logger.Warn("a name cannot be looked up: what it was before stays listed", "addr", one, "err", err)
			}
		}
		all := literals(s.cfg.Static)
		for _, one := range s.cfg.Static {
			all = append(all, found[one]...)
		}
		s.mu.Lock()
		s.static, s.named = all, false
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Resolve looks up HOST:PORT: the addresses of IPv4 that it has, or, without any, those of IPv6, in their order as numbers.
func Resolve(ctx context.Context, look func(ctx context.Context, network, host string) ([]netip.Addr, error), addr string) ([]netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	ips, err := look(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var four, six []netip.AddrPort
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			four = append(four, netip.AddrPortFrom(ip, uint16(port)))
		} else {
			six = append(six, netip.AddrPortFrom(ip.WithZone(""), uint16(port)))
		}
	}
	if len(four) > 0 {
		six = four
	}
	order.By(six, netip.AddrPort.Compare)
	return six, nil
}

package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
)

// tlsRecord is the first byte of a TLS handshake. A frame that starts with it would be longer than 369 MB.
const tlsRecord = 0x16

var errUpgrade = errors.New("tls handshake begins")

// first looks for a PROXY header and then for TLS, as the pipeline of NettyRemotingServer does. more says that the
// bytes so far do not decide. Java waits for 12 bytes before it looks; here the first byte that fits no header
// decides, which no request can tell from outside.
func (c *Conn) first() (more bool, err error) {
	l := c.loop
	if !c.unproxied {
		h, n, err := parseProxy(l.in.b[l.r:l.w])
		if err != nil {
			return false, badInput{fmt.Errorf("proxy header: %w", err)}
		}
		if n < 0 {
			c.begin()
			return true, nil
		}
		c.unproxied = true
		l.r += n
		if n > 0 {
			c.heard(h)
		}
	}
	if l.r == l.w {
		c.expires.Store(0)
		return true, nil
	}
	mode := c.server.cfg.TLSMode
	switch hello := l.in.b[l.r] == tlsRecord; {
	case c.tls: // inside TLS: frames only
	case hello && mode == Disabled:
		return false, badInput{errTLSOff}
	case hello:
		return false, errUpgrade
	case mode == Enforcing:
		return false, badInput{errPlain}
	}
	c.framed = true
	c.expires.Store(0)
	c.firstByte = c.server.cfg.Clock()
	l.readStamp, l.nextStamp, l.frameStart = c.firstByte, c.firstByte, c.firstByte
	return false, nil
}

// header is the PROXY header that a connection began with.
type header struct {
	source   netip.AddrPort // invalid: it names none
	believed bool           // the peer may speak for others
}

// heard takes note of a PROXY header.
func (c *Conn) heard(source netip.AddrPort) {
	h := &header{source: source, believed: c.server.cfg.ProxyFrom.Contain(c.socketAddr.Addr())}
	c.header.Store(h)
	if !h.believed {
		c.server.logs.header.Do(func() {
			c.server.cfg.Logger.Info("PROXY header not believed: its sender is not in --proxy-from, and counts as the address it connects from",
				"remote", c.RemoteAddr(), "source", c.socketAddr.Addr())
		})
	}
}

// begin allows FirstTimeout for a PROXY header or handshake, from its first byte on.
func (c *Conn) begin() {
	if c.expires.Load() == 0 {
		c.allow(c.server.cfg.FirstTimeout)
	}
}

// secure does the TLS handshake. Bytes already read go through it.
func (c *Conn) secure() error {
	l := c.loop
	conf := c.server.cfg.TLS.config()
	if conf == nil {
		return errNoTLS
	}
	c.begin()
	c.wire.prefix = append([]byte(nil), l.in.b[l.r:l.w]...)
	l.r = l.w
	c.release()
	c.wire.closing = &c.closing
	defer func() { c.wire.closing = nil }()
	tc := tls.Server(&c.wire, conf)
	if err := tc.HandshakeContext(context.Background()); err != nil { // the sweeper ends it in time
		return fmt.Errorf("tls handshake: %w", err)
	}
	c.expires.Store(0)
	c.net, c.tls = tc, true
	return nil
}

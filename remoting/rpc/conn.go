package rpc

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
)

// Conn is one accepted connection. Methods are safe for any goroutine unless they say otherwise.
type Conn struct {
	server *Server
	id     uint64
	wire   wire     // the socket, below TLS
	net    net.Conn // what frames go through: wire, or TLS over it
	loop   *loop    // of the goroutine that serves the connection

	idle      int64        // steps of the sweeper; 0: never
	expires   atomic.Int64 // step at which the present frame or handshake is too late; 0: none under way
	closing   atomic.Pointer[string]
	state     atomic.Int32 // unparkable, active or parked
	probation atomic.Int64 // step until which a request of a broker must have come; 0: none must
	held      atomic.Int64 // bytes charged to the account
	listed    atomic.Bool  // the frame that has begun is a listed broker's; looked at only where memory is short
	unpaced   atomic.Bool  // it is watched, and its retransmissions are not paced
	patience  atomic.Int64 // TCP_USER_TIMEOUT in ms of a watched connection; 0: it is not watched

	socketAddr netip.AddrPort
	header     atomic.Pointer[header] // the PROXY header that the connection began with; nil: none, or not read yet
	accepted   clock.Stamp
	firstByte  clock.Stamp
	value      atomic.Value
	ear        hearing

	queries   uint32 // route queries so far, for timings
	unproxied bool   // past the PROXY header, if there was one
	tls       bool
	deaf      bool // the peer is gone: a write failed; what it sent is read to its end
	framed    bool // past PROXY header and TLS detection: the first frame byte was seen
}

// ID is the accept sequence number: above 0, from one counter of the server, so a greater one was accepted later.
func (c *Conn) ID() uint64 { return c.id }

// Accepted is when accept(2) returned.
func (c *Conn) Accepted() clock.Stamp { return c.accepted }

// FirstByte is when the first byte of the first frame had been read, after PROXY header and TLS handshake.
// Only valid in Serve and Closed, or after them.
func (c *Conn) FirstByte() clock.Stamp { return c.firstByte }

// FrameStart is a stamp at which the first byte of the frame now being served had arrived, taken before the connection
// waited for a goroutine where it had none. Stamps of frames are taken only once TrackWrites was called; before that it is FirstByte, which is earlier and so errs towards keeping.
// Only valid in Serve.
func (c *Conn) FrameStart() clock.Stamp { return c.loop.frameStart }

// RemoteAddr is the address named by the PROXY header, believed or not, or SocketAddr: for logs, as in the original. No rule may
// go by it, for everybody can name any address: see Source. IPv4-mapped addresses are unmapped.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if h := c.header.Load(); h != nil && h.source.IsValid() {
		return h.source
	}
	return c.socketAddr
}

// Source is who the connection counts as, wherever it matters who somebody is: ownership, shares of what is limited, rules for
// admins. It is the address named by the PROXY header if the peer of the socket is in Config.ProxyFrom, else that peer; who sent
// a header that is not believed is a source apart from the peer itself. A header that names nobody (UNKNOWN, LOCAL), from
// Config.ProxyFrom, is the peer's own. It is settled before the first frame: until a PROXY header has been read it is the peer.
func (c *Conn) Source() mq.Source {
	switch h := c.header.Load(); {
	case h == nil:
		return mq.Source{Addr: c.socketAddr.Addr()}
	case !h.believed:
		return mq.Source{Addr: c.socketAddr.Addr(), Apart: true}
	case !h.source.IsValid():
		return mq.Source{Addr: c.socketAddr.Addr()}
	default:
		return mq.Source{Addr: h.source.Addr()}
	}
}

// SocketAddr is the peer of the socket itself; the zero value when it is no TCP socket.
func (c *Conn) SocketAddr() netip.AddrPort { return c.socketAddr }

// Proxied says that the connection began with a PROXY header, of whatever kind.
func (c *Conn) Proxied() bool { return c.header.Load() != nil }

// TLS says that frames of this connection are encrypted.
func (c *Conn) TLS() bool { return c.tls }

// Silence is for how long nothing was read from the peer, TLS and PROXY header included; written bytes do not count. It is
// measured in steps of the sweeper and rounded up, by less than two of them: what has been silent for d says at least d. Time in
// which this process stood still is not silence.
func (c *Conn) Silence() time.Duration {
	return time.Duration(c.server.ticks.Load()-c.wire.meter.read.Load()+1) * sweepEvery
}

// source is whom the connection's share of memory and connections is counted for.
func (c *Conn) source() netip.Addr { return c.Source().Network() }

// Value is what SetValue stored last, or nil.
func (c *Conn) Value() any { return c.value.Load() }

// SetValue keeps the node's state of this connection. The values of one connection must have one type.
func (c *Conn) SetValue(v any) { c.value.Store(v) }

// CanProve says that acknowledgements by the peer can be observed: a TCP socket on Linux, without a PROXY header.
func (c *Conn) CanProve() bool { return !c.Proxied() && c.wire.canProve }

// TrackWrites makes the connection remember when it wrote what, for Life and LateLife. To be called on REGISTER.
func (c *Conn) TrackWrites() {
	if c.CanProve() {
		c.wire.trackWrites()
	}
}

// Life is the stamp, taken just before its write, of the newest write that is fully acknowledged by the peer's open
// socket and was stamped before `before`. False: there is no such proof of life.
func (c *Conn) Life(before clock.Stamp) (clock.Stamp, bool) {
	if !c.CanProve() {
		return clock.Stamp{}, false
	}
	return c.wire.life(before)
}

// LateLife waits for the acknowledgement of the first write stamped at or after since, as long as ctx allows, and
// returns that stamp. It is meant for a goroutine that AfterFlush started. It works on after the connection closed:
// what was acknowledged until then counts.
func (c *Conn) LateLife(ctx context.Context, since clock.Stamp) (clock.Stamp, bool) {
	if !c.CanProve() {
		return clock.Stamp{}, false
	}
	return c.wire.lateLife(ctx, since)
}

// AfterFlush runs f once the answer to the present request has been handed to the socket, in the connection's
// goroutine: it must not wait. It is not called when that write fails, or the peer was gone before. Only valid in Serve.
func (c *Conn) AfterFlush(f func()) { c.loop.afterFlush = append(c.loop.afterFlush, f) }

// Close ends the connection without waiting for it: answers not yet written are dropped. The first reason is logged.
func (c *Conn) Close(reason string) { c.stop(reason, net.Conn.SetDeadline) }

// stop wakes the connection or its goroutine, which closes the socket. To close it here would wait for that goroutine,
// which may be the caller.
func (c *Conn) stop(reason string, deadline func(net.Conn, time.Time) error) {
	if c.closing.CompareAndSwap(nil, &reason) {
		_ = deadline(c.wire.Conn, past)
		c.wake(clock.Stamp{})
	}
}

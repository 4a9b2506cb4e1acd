package rpc

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Unwatched is why a connection is not watched.
type Unwatched uint8

// The reasons, in the order in which they are looked for.
const (
	Watched           Unwatched = iota // it is
	UnwatchedPlatform                  // it is no TCP socket of Linux, or its kernel refused what watching needs
	UnwatchedProxied                   // it began with a PROXY header: its kernel is the front end's
	UnwatchedLocal                     // its peer is this machine
	UnwatchedSource                    // it comes from another address than the broker advertises, or the broker advertises a name
)

// String is the label of metrics.
func (u Unwatched) String() string {
	return [...]string{"watched", "platform", "proxied", "local", "source"}[u]
}

// What is set on a watched connection.
const (
	probeIdle     = 2   // TCP_KEEPIDLE in seconds: from the last ACK or data to a probe
	probeInterval = 1   // TCP_KEEPINTVL in seconds: between unanswered probes
	probeCount    = 127 // TCP_KEEPCNT, the most there is; TCP_USER_TIMEOUT rules, and this only where it were lost
	rtoMax        = 1000

	kernelWaits = 60 * time.Second  // TCP_USER_TIMEOUT is longer by this than whoever else may judge,
	leastJudge  = 120 * time.Second // who takes at least this long
)

// Look is one reading of what the kernel knows of a connection's peer (TCP_INFO).
type Look struct {
	// Heard is for how long no ACK and no data have come: whole milliseconds, measured to be wrong by 3 ms to 9 ms less or more.
	Heard time.Duration
	// Probes and Retransmits are those that wait for an answer, one after another; both are 0 again with the next ACK. They are
	// counted modulo 256, also where they never left this machine.
	Probes, Retransmits uint8
	// DataIn and DataOut are segments with data since the connection was made: an ACK that came while neither moved answers a
	// probe. Repeated ones count.
	DataIn, DataOut uint32
	// Unacked is how many segments wait for their ACK. An ACK answers a probe only if none did at the look before: that of data may be late.
	Unacked uint32
	// Closed says that the kernel has given the connection up, or was told to: a reset, or TCP_USER_TIMEOUT.
	Closed bool
}

// Watch makes this machine's kernel ask the peer's for a sign of life every two seconds, without ever judging by it, and says
// why not. advertised is the HOST:PORT that the broker registered; timeout, in milliseconds, is its heartbeatTimeoutMillis,
// whatever it sent. Called again it only makes the kernel more patient. A connection that is not watched has not one
// socket option more. Only valid in Serve.
func (c *Conn) Watch(advertised string, timeout int64) Unwatched {
	if why := c.unwatchable(advertised); why != Watched {
		return why
	}
	patience := judgeAfter(timeout, c.server.cfg.Idle())
	if patience <= c.patience.Load() {
		return Watched
	}
	err := c.wire.control(func(fd int) error {
		if c.patience.Load() > 0 {
			return setPatience(fd, patience, setOption)
		}
		paced, err := watchSocket(fd, patience, setOption)
		c.unpaced.Store(!paced)
		return err
	})
	if err != nil {
		c.patience.Store(0)
		return UnwatchedPlatform
	}
	c.patience.Store(patience)
	return Watched
}

// Paced says that the kernel of a watched connection repeats what is not acknowledged each second: before Linux 6.15 it waits twice as long each time.
func (c *Conn) Paced() bool { return !c.unpaced.Load() }

// unwatchable says why the connection cannot be watched.
func (c *Conn) unwatchable(advertised string) Unwatched {
	from := c.socketAddr.Addr()
	switch {
	case c.wire.raw == nil || !watchable:
		return UnwatchedPlatform
	case c.Proxied():
		return UnwatchedProxied
	case !advertises(advertised, from):
		if from.IsLoopback() {
			return UnwatchedLocal
		}
		return UnwatchedSource
	case c.patience.Load() == 0 && ofThisMachine(from): // it does not change while the connection is open
		return UnwatchedLocal
	}
	return Watched
}

// advertises says that a broker's HOST:PORT names from literally. So no translation, balancer or proxy stands between, and a new connection
// to it goes to the same host.
func advertises(advertised string, from netip.Addr) bool {
	a, err := netip.ParseAddrPort(advertised)
	return err == nil && a.Addr().Unmap() == from
}

// ofThisMachine says that an address is one of this machine's. Where that cannot be found out, it is: what is not watched is not judged.
func ofThisMachine(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, o := range own {
		if n, ok := o.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a.WithZone("") {
				return true
			}
		}
	}
	return false
}

// judgeAfter is TCP_USER_TIMEOUT in milliseconds: after whoever else may end the registration. A negative one would be refused, and leave TCP_KEEPCNT to judge.
func judgeAfter(timeout int64, idle time.Duration) int64 {
	timeout = max(timeout, idle.Milliseconds(), leastJudge.Milliseconds())
	return min(timeout, math.MaxInt32-kernelWaits.Milliseconds()) + kernelWaits.Milliseconds()
}

// Look reads what the kernel knows of the peer. It wakes nobody, and works on every open TCP connection of Linux that began
// without a PROXY header, watched or not, parked or not.
func (c *Conn) Look() (l Look, ok bool) {
	if c.Proxied() || c.wire.raw == nil {
		return l, false
	}
	err := c.wire.raw.Control(func(fd uintptr) { l, ok = lookAt(int(fd)) })
	return l, ok && err == nil
}

// Probe makes the kernel of a watched connection ask at once, if nothing has come for two seconds and nothing is under way that the peer
// must acknowledge anyway.
func (c *Conn) Probe() {
	if c.patience.Load() > 0 {
		_ = c.wire.control(probeSocket) // a socket that is closed has nothing to tell
	}
}

// lookBack counts a reset that answered a probe: somebody on the way may have forgotten the connection, or the peer started anew. Nobody
// would have noticed without the probe.
func (c *Conn) lookBack(err error) {
	if c.patience.Load() == 0 || !errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if l, ok := c.Look(); ok && l.Probes > 0 {
		c.server.counts.probeResets.Add(1)
	}
}

// control calls f with the descriptor, which is nobody else's meanwhile.
func (w *wire) control(f func(fd int) error) error {
	if w.raw == nil {
		return net.ErrClosed
	}
	var err error
	if e := w.raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

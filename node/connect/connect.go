// Package connect tries whether a host answers a new TCP connection: whoever completes or resets it is there. Nothing is ever sent
// on it.
package connect

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Outcome is what came of a try.
type Outcome uint8

// The outcomes.
const (
	Failed     Outcome = iota // this machine could not try, or not tell: see Result.Err
	Answered                  // the connection was completed
	Refused                   // it was reset
	ByICMP                    // a message said that it cannot be: of something on the way, or of this machine; the host said nothing
	Unanswered                // nothing came
)

// String is the label of metrics.
func (o Outcome) String() string {
	return [...]string{"failed", "answered", "refused", "icmp", "unanswered"}[o]
}

// Life says that the host itself has answered, or whoever answers for it.
func (o Outcome) Life() bool { return o == Answered || o == Refused }

// Result is what came of a try.
type Result struct {
	Outcome
	Err error // why it failed, or was refused
}

// Wait is for how long a connection is waited for.
const Wait = time.Second

// ErrBusy says that as many tries were under way as may be.
var ErrBusy = errors.New("too many connections are being tried")

// Dialer tries new connections, a bounded number at once. Make one with New.
type Dialer struct {
	slots chan struct{}
	wait  time.Duration
}

// New makes a Dialer of at most so many tries at once: each holds two descriptors for up to Wait.
func New(atOnce int) *Dialer {
	return &Dialer{slots: make(chan struct{}, atOnce), wait: Wait}
}

// Try opens a connection to addr and closes it as any client does: a reset would make brokers log a stack trace. It takes Wait at most, and fails with ErrBusy at once where too many are under way.
func (d *Dialer) Try(ctx context.Context, addr netip.AddrPort) Result {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return Result{Failed, ErrBusy}
	}
	q := queue(none)
	defer func() { q.close() }()
	dialer := net.Dialer{Timeout: d.wait, KeepAlive: -1, Control: func(_, _ string, rc syscall.RawConn) (err error) {
		q.close() // net tries some faults of this machine again, with another socket
		q, err = prepare(rc, addr.Addr())
		return err
	}}
	dialer.SetMultipathTCP(false)
	network := "tcp6"
	if addr.Addr().Unmap().Is4() {
		network = "tcp4"
	}
	conn, err := dialer.DialContext(ctx, network, addr.String())
	if err == nil {
		_ = conn.Close()
		return Result{Outcome: Answered}
	}
	return Result{outcomeOf(err, ctx.Err() != nil, q.icmp()), err}
}

// outcomeOf says what a fault means. Only a reset is an answer: connect(2) says ECONNREFUSED, too, where a firewall rejects by ICMP.
func outcomeOf(err error, given bool, icmp bool) Outcome {
	switch {
	case given: // up by the caller
		return Failed
	case icmp:
		return ByICMP
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Refused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return Unanswered
	}
	return Failed
}

// CanaryPort is where brokers listen: something that answers for others may do so at some ports only.
const CanaryPort = 10911

// Canary tries addresses where nobody may answer. If one does, something on the way answers for everybody, and an answer says nothing about a host.
func (d *Dialer) Canary(ctx context.Context, addrs []netip.Addr) (answers netip.Addr, any bool) {
	for _, a := range addrs {
		if d.Try(ctx, netip.AddrPortFrom(a, CanaryPort)).Life() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

package world

import (
	"time"

	"github.com/epitaph-mq/epitaph/vanish"
)

// Kernel is the node's end of a connection as its machine's kernel knows it. What is set on a watched connection makes it ask the peer's
// for a sign of life; that answers as Linux does. A zero Kernel is none.
type Kernel struct {
	c       *Conn
	clock   *Clock // of the node's machine, with which it stands still
	watched bool
	turn    uint64 // of the timer; those before do nothing any more
	closed  bool

	late                bool  // something came while the machine stood still, and waits
	heard               int64 // by the clock
	At                  int64 // the same in true time
	probes, retransmits uint8
	in, out             uint32
	again               time.Duration // from the last retransmission to the next
	answered            int64         // when the peer's kernel answered a probe last
}

const (
	probeIdle     = 2 * time.Second
	probeInterval = 1024 * time.Millisecond
	probeOnce     = 500 * time.Millisecond // net.ipv4.tcp_invalid_ratelimit: what looks out of window is answered once in so long
	firstAgain    = 400 * time.Millisecond
	lastAgain     = 1020 * time.Millisecond // TCP_RTO_MAX_MS
)

// Begin makes a connection's kernel one that can be asked.
func (c *Conn) Begin(clock *Clock) {
	c.Kernel = Kernel{c: c, clock: clock, heard: clock.Read().Raw, At: c.w.Time.Now()}
}

// On says that it is one.
func (k *Kernel) On() bool { return k.c != nil }

// Watch is SO_KEEPALIVE.
func (k *Kernel) Watch() {
	if !k.watched {
		k.watched = true
		k.arm(probeIdle)
	}
}

// hears is an ACK or data.
func (k *Kernel) hears(data bool) {
	if !k.On() || !k.c.Open || k.c.reset || k.c.End.Dead() {
		return
	}
	if k.clock.Stopped() != Runs {
		k.late = true
		k.c.w.After(100*time.Millisecond, func() { k.hears(data) })
		return
	}
	if data {
		k.in++
	}
	k.probes, k.retransmits, k.again = 0, 0, firstAgain
	k.stamp()
	if k.watched && !data { // of data whoever handles it knows
		k.c.w.Sign(k.c.Proc.host, k.c.Node)
	}
}

func (k *Kernel) stamp() { k.late, k.heard, k.At = false, k.clock.Read().Raw, k.c.w.Time.Now() }

// wrote is data from the node.
func (k *Kernel) wrote() {
	if k.On() {
		k.out++
	}
	if k.watched {
		k.again = firstAgain
		k.arm(k.again)
	}
}

func (k *Kernel) unacked() bool {
	n := len(k.c.Writes)
	return n > 0 && !k.c.Writes[n-1].Acked
}

func (k *Kernel) quiet() time.Duration { return time.Duration(k.clock.Read().Raw - k.heard) }

func (k *Kernel) arm(d time.Duration) {
	k.turn++
	turn := k.turn
	k.c.w.After(d, func() {
		if turn == k.turn {
			k.tick()
		}
	})
}

// tick is the timer: of retransmissions while something is unacknowledged, else of probes.
func (k *Kernel) tick() {
	c := k.c
	switch quiet := k.quiet(); {
	case !c.Open || c.reset || c.End.Dead():
	case k.clock.Stopped() != Runs:
		k.arm(100 * time.Millisecond)
	case k.unacked():
		k.retransmits++
		k.out++
		k.again = min(2*k.again, lastAgain)
		k.arm(k.again)
		k.retransmit()
	case quiet >= probeIdle:
		k.probe()
	default:
		k.arm(probeIdle - quiet)
	}
}

// retransmit sends again what nobody has acknowledged.
func (k *Kernel) retransmit() {
	c := k.c
	if !c.inward() || c.w.lost(c.Proc.host) {
		return
	}
	last := len(c.Writes) - 1
	switch {
	case c.lostFrames || c.closed:
		c.w.After(2*c.w.delay(), c.resetArrives)
	case c.way.acks == acksNever || len(c.answers) > 0 || c.w.lost(c.Proc.host):
	default:
		c.w.After(2*c.w.delay(), func() { c.acked(last) })
	}
}

// Probe makes the kernel ask at once, as setting TCP_KEEPIDLE anew does.
func (k *Kernel) Probe() {
	if k.watched && k.c.Open && !k.unacked() && k.quiet() >= probeIdle && k.clock.Stopped() == Runs {
		k.probe()
	}
}

func (k *Kernel) probe() {
	k.probes++
	k.arm(probeInterval)
	c, now := k.c, k.c.w.Time.Now()
	if !c.inward() || c.w.lost(c.Proc.host) {
		return
	}
	switch {
	case c.lostFrames: // the host has another life since
		c.w.After(2*c.w.delay(), c.resetArrives)
	case k.answered > 0 && now-k.answered < int64(probeOnce):
	default:
		k.answered = now
		if c.outward() && !c.w.lost(c.Proc.host) {
			c.w.After(2*c.w.delay(), func() { k.hears(false) })
		}
	}
}

// Look is TCP_INFO. What it says of the time is wrong by some milliseconds. A machine that runs again has taken what waited before anybody looks.
func (k *Kernel) Look() (r vanish.Reading, closed bool) {
	if k.late && k.clock.Stopped() == Runs {
		k.stamp()
	}
	r = vanish.Reading{
		Heard: max(k.quiet(), 0) + k.c.w.Between(0, 8*time.Millisecond), Probes: k.probes, Retransmits: k.retransmits, DataIn: k.in, DataOut: k.out,
	}
	if k.unacked() {
		r.Unacked = 1
	}
	return r, k.closed
}

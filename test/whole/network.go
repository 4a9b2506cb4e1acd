package whole

import (
	"bytes"
	"errors"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// packet is a datagram between two machines.
type packet struct {
	from  *endpoint
	to    string
	bytes []byte
}

// endpoint is the gossip socket of one life of a node.
type endpoint struct {
	w       *World
	m       *machine
	addr    *net.UDPAddr
	packets chan *memberlist.Packet
	streams chan net.Conn

	// World.mu guards the following fields.
	dead bool // the process was killed: nothing goes in or out
	gone bool // closed
}

var _ memberlist.NodeAwareTransport = (*endpoint)(nil)

const gossipPort = 7946

func (w *World) endpoint(m *machine) *endpoint {
	e := &endpoint{
		w: w, m: m, addr: &net.UDPAddr{IP: m.ip(), Port: gossipPort},
		packets: make(chan *memberlist.Packet, 4096), streams: make(chan net.Conn, 256),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at[e.addr.String()] = e
	return e
}

// FinalAdvertiseAddr is the machine's address, whatever was configured.
func (e *endpoint) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.addr.IP, e.addr.Port, nil
}

// WriteTo sends a packet.
func (e *endpoint) WriteTo(b []byte, addr string) (time.Time, error) {
	return e.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet.
func (e *endpoint) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	e.w.send(packet{from: e, to: a.Addr, bytes: bytes.Clone(b)})
	return time.Now(), nil
}

// PacketCh is where packets arrive.
func (e *endpoint) PacketCh() <-chan *memberlist.Packet { return e.packets }

// StreamCh is where streams arrive.
func (e *endpoint) StreamCh() <-chan net.Conn { return e.streams }

// Shutdown closes the socket.
func (e *endpoint) Shutdown() error {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.gone = true
	for {
		select {
		case c := <-e.streams: // nobody will take it
			_ = c.Close()
		default:
			return nil
		}
	}
}

// send takes a packet on its way, or loses it.
func (w *World) send(p packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.from.dead {
		return
	}
	w.old.Keep(w.Rng, p)
	to := w.at[p.to]
	if to == nil || w.Net.Lost(p.from.m.index, to.m.index) {
		return
	}
	if w.Net.Damaged() {
		p.bytes = w.damaged(p.bytes)
	}
	w.Net.Delays(func(d time.Duration) {
		if hold := time.Until(p.from.m.until); hold > 0 {
			d += hold // its process stands still
		}
		time.AfterFunc(d, func() { w.deliver(p) })
	})
}

// damaged is b with some bits flipped, and perhaps an end missing.
func (w *World) damaged(b []byte) []byte {
	b = w.Net.Flip(b)
	if w.Chance(0.5) {
		b = b[:w.Rng.IntN(len(b)+1)]
	}
	return b
}

// deliver puts a packet into the receiver's socket. Whether the way is open counts now.
func (w *World) deliver(p packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to := w.at[p.to]
	if to == nil || to.dead || to.gone || w.Net.Cut[p.from.m.index][to.m.index] || len(p.bytes) == 0 {
		return
	}
	if hold := time.Until(to.m.until); hold > 0 {
		if w.Chance(0.5) { // its receive buffer is small
			time.AfterFunc(hold, func() { w.deliver(p) })
		}
		return
	}
	select {
	case to.packets <- &memberlist.Packet{Buf: bytes.Clone(p.bytes), From: p.from.addr, Timestamp: time.Now()}:
	default: // its receive buffer is full
	}
}

// replay sends n old packets once more, in any order, to whom they were sent then: also to a later life of that node.
func (w *World) replay(n int) {
	w.mu.Lock()
	again := w.old.Some(w.Rng, n)
	w.mu.Unlock()
	for _, p := range again {
		w.deliver(p)
	}
}

var (
	errRefused = errors.New("connection refused")
	errNoRoute = errors.New("i/o timeout")
)

// DialTimeout opens a stream.
func (e *endpoint) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return e.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream: refused where nobody listens, and in vain for timeout where nothing passes.
func (e *endpoint) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	w := e.w
	w.mu.Lock()
	to := w.at[a.Addr]
	blocked := e.dead || to != nil && (w.Net.Cut[e.m.index][to.m.index] || time.Until(to.m.until) > timeout)
	wait := w.Between(200*time.Microsecond, time.Millisecond+w.Net.Lag)
	if to != nil {
		wait += max(0, time.Until(to.m.until))
	}
	w.mu.Unlock()
	if blocked || wait >= timeout {
		pause(timeout)
		return nil, errNoRoute
	}
	pause(wait)
	w.mu.Lock()
	defer w.mu.Unlock()
	if to == nil || to.dead || to.gone || w.at[a.Addr] != to || len(to.streams) == cap(to.streams) {
		return nil, errRefused
	}
	mine, theirs := w.stream(e, to)
	to.streams <- theirs
	return mine, nil
}

// Package sockets is memberlist's transport on UDP and TCP. It does what memberlist.NetTransport does, but for this: that one
// takes a fresh buffer of 64 KiB for every packet, which is most of what a node's collector has to do and a fifth of a
// packet's time; here a stop ends every stream at once, streams are bounded, and one that cannot be read is not answered
// (docs/decisions/0007-gossip-sockets.md).
package sockets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"
	"golang.org/x/time/rate"
)

const (
	maxPacket   = 64 << 10
	receiveRoom = 2 << 20 // bytes the kernel is asked to keep for packets not read yet; it may give less
	longestWait = time.Second
)

// Transport has one UDP and one TCP socket of the same port.
type Transport struct {
	tcp     *net.TCPListener
	udp     *net.UDPConn
	labels  []metrics.Label
	logger  *slog.Logger
	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context // until Shutdown
	cancel  context.CancelFunc
	once    sync.Once
	group   sync.WaitGroup

	room atomic.Pointer[Room]
	full rate.Sometimes // limits the log of streams that are too many

	mu   sync.Mutex // guards the following field, and those of its streams
	open map[*stream]bool
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// Listen binds both sockets at ip and port; port 0 is any that is free for both. The labels are those of memberlist's
// own series.
func Listen(ip netip.Addr, port int, labels []metrics.Label, logger *slog.Logger) (*Transport, error) {
	t := &Transport{
		labels: labels, logger: logger,
		full:    rate.Sometimes{First: 1, Interval: 10 * time.Second},
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), open: map[*stream]bool{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	// The port that TCP was given may be another program's for UDP.
	for attempt := 0; ; attempt++ {
		err := t.bind(ip, port)
		if err == nil {
			break
		}
		if port != 0 || attempt == 9 {
			return nil, err
		}
	}
	t.group.Go(t.accept)
	t.group.Go(t.receive)
	return t, nil
}

func (t *Transport) bind(ip netip.Addr, port int) (err error) {
	at := netip.AddrPortFrom(ip, uint16(port))
	if t.tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at)); err != nil {
		return fmt.Errorf("TCP: %w", err)
	}
	if t.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(t.Port())))); err != nil {
		return errors.Join(fmt.Errorf("UDP: %w", err), t.tcp.Close())
	}
	for room := receiveRoom; room > 0 && t.udp.SetReadBuffer(room) != nil; room /= 2 {
	}
	return nil
}

// Port is the port of both sockets.
func (t *Transport) Port() int { return t.tcp.Addr().(*net.TCPAddr).Port }

// FinalAdvertiseAddr is the address to tell the others: the given one, or the bound one, or a private one of this machine
// when that is unspecified.
func (t *Transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip != "" {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return nil, 0, fmt.Errorf("advertise address: %w", err)
		}
		return addr.Unmap().AsSlice(), port, nil
	}
	bound := t.tcp.Addr().(*net.TCPAddr)
	if !bound.IP.IsUnspecified() {
		return bound.IP, bound.Port, nil
	}
	text, err := sockaddr.GetPrivateIP()
	if err != nil {
		return nil, 0, fmt.Errorf("no advertise address: %w", err)
	}
	private := net.ParseIP(text)
	if private == nil {
		return nil, 0, errors.New("no advertise address: this machine has no private IP address")
	}
	return private, bound.Port, nil
}

// WriteTo sends one packet.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends one packet. It answers the moment after it was sent.
func (t *Transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	at, err := netip.ParseAddrPort(to.Addr)
	if err != nil { // a name: memberlist gives those that a user gave
		named, err := net.ResolveUDPAddr("udp", to.Addr)
		if err != nil {
			return time.Time{}, err
		}
		at = named.AddrPort()
	}
	_, err = t.udp.WriteToUDPAddrPort(b, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	return time.Now(), err
}

// PacketCh gives the packets received.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout opens a stream.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream. Shutdown ends the wait.
func (t *Transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.Addr)
	if err != nil {
		return nil, err
	}
	return t.track(conn), nil
}

// StreamCh gives the streams accepted.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown closes both sockets and every stream, and waits for what Listen started.
func (t *Transport) Shutdown() error {
	var err error
	t.once.Do(func() {
		t.cancel()
		err = errors.Join(t.tcp.Close(), t.udp.Close())
	})
	t.group.Wait()
	for _, s := range t.streamsWhere(func(*stream) bool { return true }) {
		_ = s.Close() // what was under way is lost
	}
	return err
}

// pause waits after a fault, longer each time: it may last, such as a lack of file descriptors. It answers false when
// the transport is shut down.
func (t *Transport) pause(last *time.Duration, what string, err error) bool {
	select {
	case <-t.ctx.Done():
		return false
	default:
	}
	*last = min(max(2**last, 5*time.Millisecond), longestWait)
	t.logger.Error("gossip: a socket failed", "what", what, "err", err, "next_try_in", *last)
	timer := time.NewTimer(*last)
	defer timer.Stop()
	select {
	case <-t.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (t *Transport) accept() {
	wait := time.Duration(0)
	for {
		conn, err := t.tcp.Accept()
		if err != nil {
			if !t.pause(&wait, "accepting a stream", err) {
				return
			}
			continue
		}
		wait = 0
		s := t.admit(conn)
		if s == nil {
			continue
		}
		select {
		case t.streams <- s:
		case <-t.ctx.Done():
			_ = s.Close() // nobody has it
			return
		}
	}
}

// track keeps a stream that this node has opened.
func (t *Transport) track(conn net.Conn) *stream {
	s := &stream{Conn: conn, t: t}
	t.mu.Lock()
	t.open[s] = true
	t.mu.Unlock()
	if t.ctx.Err() != nil { // Shutdown may not have seen it
		_ = s.Close() // whoever uses it is told
	}
	return s
}

func (t *Transport) streamsWhere(wanted func(*stream) bool) (found []*stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.open {
		if wanted(s) {
			found = append(found, s)
		}
	}
	return found
}

// Refuse closes streams with that address: whoever wrote into one gets no answer.
func (t *Transport) Refuse(from string) {
	for _, s := range t.streamsWhere(func(s *stream) bool { return s.RemoteAddr().String() == from }) {
		_ = s.Close() // nobody is owed anything
	}
}

func (t *Transport) receive() {
	buf := make([]byte, maxPacket)
	wait := time.Duration(0)
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buf)
		at := time.Now()
		if err != nil {
			if !t.pause(&wait, "reading a packet", err) {
				return
			}
			continue
		}
		wait = 0
		if n == 0 {
			continue // says nothing, and may be forged
		}
		metrics.IncrCounterWithLabels([]string{"memberlist", "udp", "received"}, float32(n), t.labels)
		select {
		case t.packets <- &memberlist.Packet{Buf: bytes.Clone(buf[:n]), From: net.UDPAddrFromAddrPort(from), Timestamp: at}:
		case <-t.ctx.Done():
			return
		}
	}
}

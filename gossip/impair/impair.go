// Package impair hinders the gossip between nodes of one process: loss, delay and partitions, packets and streams
// alike. It stands around a node's own transport, so that everything else is real: sockets, codecs, timers. It is for
// measurements and tests; no server uses it.
//
// Where it acts: a packet is lost or delayed when the sending node hands it to its socket. A stream is relayed by the
// node that dials it: a lost SYN or SYN-ACK costs a second, then two, then four, and a lost segment holds up what is behind
// it for 200 ms, then 400 ms, as Linux does without fast retransmission.
package impair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/gossip/sockets"
)

const (
	synTimeout     = time.Second            // Linux: TCP_TIMEOUT_INIT
	segmentTimeout = 200 * time.Millisecond // Linux: TCP_RTO_MIN
	segmentBytes   = 1_400
	lineDepth      = 4_096 // packets under way from one node; more are lost, as in any queue
)

// Network is what all nodes of one measurement share. Its zero value hinders nothing.
type Network struct {
	mu      sync.Mutex // guards the following fields
	loss    float64
	delay   time.Duration
	groups  map[string]int // by gossip address; nodes of different groups do not hear each other
	changed chan struct{}  // closed when groups change

	packets, packetBytes, streams, streamBytes, lost atomic.Int64
}

// Traffic counts what the nodes have handed to their sockets, without the headers of IP, UDP and TCP.
type Traffic struct {
	Packets, PacketBytes int64
	Streams, StreamBytes int64 // both directions
	Lost                 int64 // packets that loss, a partition or a full queue has taken; they are in Packets, too
}

// Since is the traffic from earlier to t.
func (t Traffic) Since(earlier Traffic) Traffic {
	return Traffic{
		t.Packets - earlier.Packets, t.PacketBytes - earlier.PacketBytes,
		t.Streams - earlier.Streams, t.StreamBytes - earlier.StreamBytes, t.Lost - earlier.Lost,
	}
}

// Traffic answers the counts of all nodes together.
func (n *Network) Traffic() Traffic {
	return Traffic{n.packets.Load(), n.packetBytes.Load(), n.streams.Load(), n.streamBytes.Load(), n.lost.Load()}
}

// Hinder sets the share of packets and segments that are lost, in each direction, and the delay of each, one way.
func (n *Network) Hinder(loss float64, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss, n.delay = loss, delay
}

// Partition puts nodes, by their gossip addresses, into groups that do not hear each other; who is not named is in
// group 0. Nil heals everything.
func (n *Network) Partition(groups map[string]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.groups = groups
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

func (n *Network) rules() (loss float64, delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loss, n.delay
}

// cut says that from and to do not hear each other, and gives a channel that is closed when that may have changed.
func (n *Network) cut(from, to string) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.groups[from] == n.groups[to] {
		return false, nil
	}
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return true, n.changed
}

// Transport is memberlist's transport on sockets of its own, hindered by its Network.
type Transport struct {
	*sockets.Transport
	net    *Network
	addr   string
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	line   chan delayed

	mu  sync.Mutex // guards the following field
	rng *rand.Rand
}

type delayed struct {
	due time.Time
	b   []byte
	to  memberlist.Address
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// Listen binds UDP and TCP of a free port at the given address. The seed decides which packets are lost, as far as
// their order is the same.
func (n *Network) Listen(host string, seed uint64) (*Transport, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, fmt.Errorf("gossip sockets: %w", err)
	}
	s, err := sockets.Listen(ip, 0, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("gossip sockets: %w", err)
	}
	t := &Transport{
		Transport: s, net: n, line: make(chan delayed, lineDepth),
		addr: net.JoinHostPort(host, strconv.Itoa(s.Port())),
		rng:  rand.New(rand.NewPCG(seed, 0x6c6f7373)),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.group.Go(t.deliver)
	return t, nil
}

// Addr is the gossip address: HOST:PORT of both sockets.
func (t *Transport) Addr() string { return t.addr }

// Shutdown closes the sockets and ends every stream under way.
func (t *Transport) Shutdown() error {
	t.cancel()
	err := t.Transport.Shutdown()
	t.group.Wait()
	return err
}

// lose throws the dice.
func (t *Transport) lose(loss float64) bool {
	if loss <= 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rng.Float64() < loss
}

// WriteTo sends one packet.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends one packet. One that is lost was sent without an error, as with UDP.
func (t *Transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	n := t.net
	n.packets.Add(1)
	n.packetBytes.Add(int64(len(b)))
	loss, delay := n.rules()
	if gone, _ := n.cut(t.addr, to.Addr); gone || t.lose(loss) {
		n.lost.Add(1)
		return time.Now(), nil
	}
	if delay <= 0 {
		return t.Transport.WriteToAddress(b, to)
	}
	now := time.Now()
	select {
	case t.line <- delayed{due: now.Add(delay), b: append([]byte(nil), b...), to: to}:
	default:
		n.lost.Add(1)
	}
	return now, nil
}

// deliver sends the delayed packets when they are due. All wait equally long, so they are in order.
func (t *Transport) deliver() {
	for {
		select {
		case <-t.ctx.Done():
			return
		case d := <-t.line:
			if !wait(t.ctx, time.Until(d.due)) {
				return
			}
			if _, err := t.Transport.WriteToAddress(d.b, d.to); err != nil {
				t.net.lost.Add(1)
			}
		}
	}
}

// wait lets d pass; false: ctx ended before.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// DialTimeout opens a stream.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream that is relayed, and so hindered, in both directions.
func (t *Transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	loss, delay := t.net.rules()
	for again := synTimeout; ; again *= 2 {
		gone, _ := t.net.cut(t.addr, to.Addr)
		if !gone && !t.lose(loss) && !t.lose(loss) { // SYN and SYN-ACK
			break
		}
		if !wait(ctx, again) {
			return nil, fmt.Errorf("dial %s: %w", to.Addr, os.ErrDeadlineExceeded)
		}
	}
	if !wait(ctx, 2*delay) {
		return nil, fmt.Errorf("dial %s: %w", to.Addr, os.ErrDeadlineExceeded)
	}
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", to.Addr)
	if err != nil {
		return nil, err
	}
	t.net.streams.Add(1)
	near, back := net.Pipe()
	t.group.Go(func() { t.relay(far, back, to.Addr) })
	return stream{near, far}, nil
}

// stream is the near end of a relay with the addresses of the far one.
type stream struct {
	net.Conn
	far net.Conn
}

func (s stream) LocalAddr() net.Addr  { return s.far.LocalAddr() }
func (s stream) RemoteAddr() net.Addr { return s.far.RemoteAddr() }

// relay carries both directions until both have ended or the node stops.
func (t *Transport) relay(far, near net.Conn, peer string) {
	stop := context.AfterFunc(t.ctx, func() { far.Close(); near.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() {
		t.carry(far, near, peer)
		if c, ok := far.(*net.TCPConn); ok {
			_ = c.CloseWrite() // the peer may have closed already
		}
	})
	both.Go(func() {
		t.carry(near, far, peer)
		near.Close()
	})
	both.Wait()
	far.Close()
}

// carry copies segments with their delay; what is lost holds up what is behind it.
func (t *Transport) carry(to, from net.Conn, peer string) {
	type segment struct {
		due time.Time
		b   []byte
	}
	queue := make(chan segment, 64)
	t.group.Go(func() {
		defer close(queue)
		var last time.Time
		for {
			b := make([]byte, segmentBytes)
			n, err := from.Read(b)
			if n > 0 {
				t.net.streamBytes.Add(int64(n))
				if due := time.Now().Add(t.segmentDelay()); due.After(last) {
					last = due
				}
				select {
				case queue <- segment{last, b[:n]}:
				case <-t.ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	failed := false
	for s := range queue {
		// A failed side is drained, so that the reader ends.
		if failed || !wait(t.ctx, time.Until(s.due)) || !t.awaitHealed(peer) {
			failed = true
			continue
		}
		if _, err := to.Write(s.b); err != nil {
			failed = true
			if !errors.Is(err, net.ErrClosed) {
				from.Close()
			}
		}
	}
}

func (t *Transport) segmentDelay() time.Duration {
	loss, d := t.net.rules()
	for again := segmentTimeout; t.lose(loss); again *= 2 {
		d += again
	}
	return d
}

// awaitHealed waits while this node and peer are in different groups; false: the node stopped.
func (t *Transport) awaitHealed(peer string) bool {
	for {
		gone, changed := t.net.cut(t.addr, peer)
		if !gone {
			return true
		}
		select {
		case <-changed:
		case <-t.ctx.Done():
			return false
		}
	}
}

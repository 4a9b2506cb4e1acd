package gossip

import (
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// paddedVersion is the version of memberlist's encryption that nobody writes any more, and that it still reads
	// (v0.7.0 security.go): it takes the padding off unchecked, and the version is not part of what the key protects. One
	// byte changed in a packet that was overheard, and memberlist panics.
	paddedVersion = 0
	// refusedVersion takes its place, and memberlist refuses that as it refuses all it does not know.
	refusedVersion = 255
	// streamHeader is the type and the length before what is encrypted in a stream.
	streamHeader = 5
)

// guard stands around the transport of a node that has keys, and lets no message through that claims padding.
type guard struct {
	memberlist.NodeAwareTransport
	label   int // bytes that the cluster's label takes; memberlist refuses other labels, of whatever length, before it decrypts
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
	group   sync.WaitGroup
}

// newGuard takes over the channels of t.
func newGuard(t memberlist.NodeAwareTransport, label string) *guard {
	g := &guard{
		NodeAwareTransport: t, label: 2 + len(label),
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), done: make(chan struct{}),
	}
	g.group.Go(g.watchPackets)
	g.group.Go(g.watchStreams)
	return g
}

func (g *guard) watchPackets() {
	for {
		select {
		case <-g.done:
			return
		case p := <-g.NodeAwareTransport.PacketCh():
			if len(p.Buf) > g.label && p.Buf[g.label] == paddedVersion {
				p.Buf[g.label] = refusedVersion
			}
			select {
			case g.packets <- p:
			case <-g.done:
				return
			}
		}
	}
}

func (g *guard) watchStreams() {
	for {
		select {
		case <-g.done:
			return
		case conn := <-g.NodeAwareTransport.StreamCh():
			select {
			case g.streams <- &guardedStream{Conn: conn, ahead: g.label + streamHeader}:
			case <-g.done:
				_ = conn.Close() // nobody has it
				return
			}
		}
	}
}

// PacketCh gives the packets received.
func (g *guard) PacketCh() <-chan *memberlist.Packet { return g.packets }

// StreamCh gives the streams accepted.
func (g *guard) StreamCh() <-chan net.Conn { return g.streams }

// DialTimeout opens a stream.
func (g *guard) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream. The answer in it has no label.
func (g *guard) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := g.NodeAwareTransport.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	return &guardedStream{Conn: conn, ahead: streamHeader}, nil
}

// Shutdown ends the transport and the guard.
func (g *guard) Shutdown() error {
	g.once.Do(func() { close(g.done) })
	err := g.NodeAwareTransport.Shutdown()
	g.group.Wait()
	return err
}

// Refuse closes the streams from there (see sockets.Transport).
func (g *guard) Refuse(from string) {
	if t, ok := g.NodeAwareTransport.(interface{ Refuse(from string) }); ok {
		t.Refuse(from)
	}
}

// guardedStream watches the first message: memberlist reads no more of a stream.
type guardedStream struct {
	net.Conn
	ahead int // bytes before the version; negative once that was read
}

func (s *guardedStream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if 0 <= s.ahead && s.ahead < n && b[s.ahead] == paddedVersion {
		b[s.ahead] = refusedVersion
	}
	s.ahead = max(s.ahead-n, -1)
	return n, err
}

package gossip

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
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
	// sealedHead is the version and the nonce before what is encrypted, sealedTag what is behind it.
	sealedHead = 1 + 12
	sealedTag  = 16
	// leastSealed is one byte, encrypted: memberlist takes fewer for a message, too.
	leastSealed = sealedHead + 1 + sealedTag
	// streamHeader is the type and the length before what is encrypted in a stream.
	streamHeader = 5
	// labelType begins a message with a label: type, length, label.
	labelType = 244
)

// guard stands around the transport of a node, and lets nothing through that memberlist would panic on or make far more of than
// was sent: it looks at each packet, and at the beginning of each stream, as memberlist will. What it cannot decrypt it passes
// on: memberlist refuses that, and says so.
type guard struct {
	memberlist.NodeAwareTransport
	label   []byte              // the cluster's
	head    []byte              // how it stands before a message
	keys    *memberlist.Keyring // nil: no encryption
	member  func(netip.AddrPort) bool
	refused func(error)
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
	group   sync.WaitGroup
}

// newGuard takes over the channels of t. member says whether a living one is reached there: without keys nobody else is sent more
// than he sent. refused is told of packets that are not let through; of streams memberlist says so.
func newGuard(t memberlist.NodeAwareTransport, label string, keys *memberlist.Keyring, member func(netip.AddrPort) bool, refused func(error)) *guard {
	g := &guard{
		NodeAwareTransport: t, label: []byte(label), head: labelHead(label), keys: keys, member: member, refused: refused,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), done: make(chan struct{}),
	}
	g.group.Go(g.watchPackets)
	g.group.Go(g.watchStreams)
	return g
}

func (g *guard) watchPackets() {
	in := opener{keys: g.keys}
	for {
		select {
		case <-g.done:
			return
		case p := <-g.NodeAwareTransport.PacketCh():
			if err := g.inspect(&in, p); err != nil {
				g.refused(err)
				continue
			}
			select {
			case g.packets <- p:
			case <-g.done:
				return
			}
		}
	}
}

// inspect says why a packet is not let through.
func (g *guard) inspect(in *opener, p *memberlist.Packet) error {
	b, labeled := g.unlabeled(p.Buf)
	if !labeled {
		return nil
	}
	if g.keys == nil {
		from, err := netip.ParseAddrPort(p.From.String())
		if err != nil {
			return inspectPacket(b, nil)
		}
		return inspectPacket(b, &asker{from: netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()), member: g.member})
	}
	if len(b) < leastSealed {
		return fmt.Errorf("%w: a packet of %d bytes", errSize, len(b))
	}
	if b[0] == paddedVersion {
		b[0] = refusedVersion
	}
	plain, ok := in.open(b, g.label)
	if !ok {
		return nil
	}
	return inspectPacket(plain, nil)
}

// WriteTo sends one packet.
func (g *guard) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends one packet. memberlist puts news for members into its answers, too: without keys anybody could have a
// third party sent many times what his ping took.
func (g *guard) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if g.keys == nil {
		if at, err := netip.ParseAddrPort(to.Addr); err == nil && !g.member(at) {
			b = g.first(b)
		}
	}
	return g.NodeAwareTransport.WriteToAddress(b, to)
}

// first is a packet with its first message only.
func (g *guard) first(b []byte) []byte {
	rest, _ := g.unlabeled(b)
	if len(rest) == 0 || rest[0] != compoundType {
		return b
	}
	parts, err := partsOf(rest[1:])
	if err != nil || len(parts) == 0 {
		return b // memberlist makes no such packet
	}
	return slices.Concat(g.head, parts[0])
}

// unlabeled is what follows the cluster's label. Other labels, and none, are refused by memberlist before it reads further.
func (g *guard) unlabeled(b []byte) (rest []byte, ok bool) {
	return bytes.CutPrefix(b, g.head)
}

func labelHead(label string) []byte {
	if label == "" {
		return nil
	}
	return append([]byte{labelType, byte(len(label))}, label...)
}

func (g *guard) watchStreams() {
	for {
		select {
		case <-g.done:
			return
		case conn := <-g.NodeAwareTransport.StreamCh():
			select {
			case g.streams <- &guardedStream{Conn: conn, g: g, label: g.head}:
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
	return &guardedStream{Conn: conn, g: g}, nil
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

// guardedStream looks at the first message before any of it is read: memberlist reads no more of a stream.
type guardedStream struct {
	net.Conn
	g      *guard
	label  []byte // that comes first
	looked bool
	ahead  []byte // read, and not yet given away
	err    error  // of the connection, behind ahead
}

func (s *guardedStream) Read(b []byte) (int, error) {
	if !s.looked {
		s.looked = true
		if err := s.look(); err != nil {
			s.ahead, s.err = s.label, err // an error before its end would be taken for one of the label
			if errors.Is(err, errSize) {
				s.err = fmt.Errorf("exceeds limit: %w", err) // as memberlist says it, and its line is counted (log.go)
			}
		}
	}
	if len(s.ahead) > 0 {
		n := copy(b, s.ahead)
		s.ahead = s.ahead[n:]
		return n, nil
	}
	s.ahead = nil
	if s.err != nil {
		return 0, s.err
	}
	return s.Conn.Read(b)
}

// fill reads until n bytes are there, or some more. Fewer are there when the stream has ended: memberlist will see that, too.
func (s *guardedStream) fill(n int) bool {
	for len(s.ahead) < n && s.err == nil {
		s.ahead = slices.Grow(s.ahead, min(max(n-len(s.ahead), 1<<10), 64<<10)) // as it comes, not as it was promised
		var got int
		got, s.err = s.Conn.Read(s.ahead[len(s.ahead):cap(s.ahead)])
		s.ahead = s.ahead[:len(s.ahead)+got]
	}
	return len(s.ahead) >= n
}

// lookahead reads what is at and behind at as it comes, and leaves it in ahead.
type lookahead struct {
	s  *guardedStream
	at int
}

func (l *lookahead) Read(b []byte) (int, error) {
	if !l.s.fill(l.at + 1) {
		return 0, io.EOF
	}
	n := copy(b, l.s.ahead[l.at:])
	l.at += n
	return n, nil
}

// look reads as much as it takes to say whether the message is refused.
func (s *guardedStream) look() error {
	// Whoever has a label of another length sends no more than that, and is to be refused at once.
	for _, n := range []int{min(2, len(s.label)), len(s.label)} {
		if !s.fill(n) || !bytes.HasPrefix(s.ahead, s.label[:n]) {
			return nil
		}
	}
	at := len(s.label)
	if s.g.keys == nil {
		return inspectStream(&lookahead{s, at}, -1)
	}
	if !s.fill(at+1) || s.ahead[at] != encryptType || !s.fill(at+streamHeader) {
		return nil
	}
	size := int(binary.BigEndian.Uint32(s.ahead[at+1:]))
	if size < leastSealed || size > maxSealed {
		return fmt.Errorf("%w: a stream of %d bytes", errSize, size)
	}
	if !s.fill(at + streamHeader + size) {
		return nil
	}
	sealed := s.ahead[at+streamHeader : at+streamHeader+size]
	if sealed[0] == paddedVersion {
		sealed[0] = refusedVersion
	}
	in := opener{keys: s.g.keys}
	plain, ok := in.open(sealed, append(s.ahead[at:at+streamHeader:at+streamHeader], s.g.label...))
	if !ok {
		return nil
	}
	if known, ok := s.Conn.(interface{ Vouch() }); ok {
		known.Vouch() // whoever sent it has the key (see sockets.Transport)
	}
	return inspectStream(bytes.NewReader(plain), len(plain))
}

// maxSealed bounds what one encrypted stream brings: states and messages are far smaller.
const maxSealed = 4 << 20

// opener decrypts as memberlist does (security.go), and leaves what it reads as it is.
type opener struct {
	keys  *memberlist.Keyring
	aeads []openKey
	plain []byte
}

type openKey struct {
	key  []byte
	aead cipher.AEAD
}

// open decrypts sealed with any of the keys. What it returns is valid until the next call.
func (o *opener) open(sealed, authenticated []byte) (plain []byte, ok bool) {
	if len(sealed) < leastSealed || sealed[0] == refusedVersion {
		return nil, false
	}
	for _, key := range o.keys.GetKeys() {
		aead := o.aead(key)
		if aead == nil {
			continue
		}
		plain, err := aead.Open(o.plain[:0], sealed[1:sealedHead], sealed[sealedHead:], authenticated)
		if err == nil {
			o.plain = plain
			return plain, true
		}
	}
	return nil, false
}

// aead is the cipher of a key. Few keys are ever in use, and a key that is gone opens nothing any more.
func (o *opener) aead(key []byte) cipher.AEAD {
	for i := range o.aeads {
		if bytes.Equal(o.aeads[i].key, key) {
			return o.aeads[i].aead
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil // memberlist has no other keys
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil // likewise
	}
	if len(o.aeads) == maxKeys {
		o.aeads = o.aeads[:0]
	}
	o.aeads = append(o.aeads, openKey{bytes.Clone(key), aead})
	return aead
}

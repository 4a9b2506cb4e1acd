package gossip

import (
	"bytes"
	"compress/lzw"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// padded is a message that claims memberlist's padded encryption and has no padding: its plain text ends in a byte that
// is larger than its length. Whoever overhears a message that ends so makes this of it by changing one byte.
func padded(key []byte, authenticated string) []byte {
	b := sealed(key, append(bytes.Repeat([]byte{8}, 31), 0xff), authenticated) // shorter than a block it would be refused for its length
	b[0] = paddedVersion
	return b
}

// sealed is plain as memberlist encrypts it.
func sealed(key, plain []byte, authenticated string) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := bytes.Repeat([]byte{7}, gcm.NonceSize())
	return append(append([]byte{1}, nonce...), gcm.Seal(nil, nonce, plain, []byte(authenticated))...)
}

// paddedStream is the same as it stands in a stream.
func paddedStream(key []byte, cluster string) []byte {
	header := append([]byte{10}, binary.BigEndian.AppendUint32(nil, uint32(len(padded(key, ""))))...)
	return append(header, padded(key, string(header)+cluster)...)
}

// keyed is a node with a key, not started.
func keyed(t *testing.T, seeds ...string) (g *Gossip, key []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if _, err := GenerateKeyFile(file); err != nil {
		t.Fatal(err)
	}
	keys, err := LoadKeys(file)
	kit.Must(t, err)
	return made(t, func(c *Config) { c.Cluster, c.Seeds, c.KeyFile = "keyed", seeds, file }), keys[0]
}

// memberlist v0.7.0 panics on each of these; the day it refuses them itself, the guard can go.
func TestPaddedMessagesAreRefused(t *testing.T) {
	g, key := keyed(t)
	run(t, g)
	refused := func() uint64 { return g.Counts().RefusedKey }
	const label = "\xf4\x05keyed"

	packet, err := net.Dial("udp", g.Addr())
	kit.Must(t, err)
	defer packet.Close()
	if _, err := packet.Write(append([]byte(label), padded(key, "keyed")...)); err != nil {
		t.Fatal(err)
	}
	kit.Until(t, "the packet refused", func() bool { return refused() == 1 })

	// In one piece, byte by byte, and with the version at the beginning of a piece.
	whole := append([]byte(label), paddedStream(key, "keyed")...)
	for i, size := range []int{len(whole), 1, len(label) + streamHeader} {
		stream, err := net.Dial("tcp", g.Addr())
		kit.Must(t, err)
		for rest := whole; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if _, err := stream.Write(rest[:min(size, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		kit.Until(t, "the stream refused", func() bool { return refused() == uint64(2+i) })
		_ = stream.SetReadDeadline(time.Now().Add(10 * time.Second))
		if answer, _ := io.ReadAll(stream); len(answer) > 0 {
			t.Errorf("answered with %x", answer)
		}
		stream.Close()
	}
}

// The answer in a stream that a node has opened has no label.
func TestPaddedAnswersAreRefused(t *testing.T) {
	seed, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer seed.Close()
	g, key := keyed(t, seed.Addr().String())
	go func() {
		for {
			conn, err := seed.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Write(paddedStream(key, "keyed"))
			_ = conn.Close()
		}
	}()
	run(t, g)
	kit.Until(t, "the seed refused", func() bool { return g.Counts().RejoinsFailed > 0 })
}

// Whatever is let through comes as it was sent, in pieces of whatever size.
func TestGuardedStreamLeavesTheRest(t *testing.T) {
	g, key := keyed(t)
	guarded := &guard{label: []byte("keyed"), head: labelHead("keyed"), keys: g.keys}
	stream := func(plain []byte) []byte {
		header := append([]byte{encryptType}, binary.BigEndian.AppendUint32(nil, uint32(sealedHead+len(plain)+16))...)
		return slices.Concat(labelHead("keyed"), header, sealed(key, plain, string(header)+"keyed"), []byte("what follows"))
	}
	wrongKey := bytes.Clone(stream([]byte{pingType}))
	wrongKey[len(wrongKey)-20] ^= 1
	for name, sent := range map[string][]byte{
		"a ping": stream([]byte{pingType, 0x80}), "another key": wrongKey, "no label": []byte("\x00\x80"), "cut off": stream([]byte{pingType})[:20],
	} {
		for _, size := range []int{1, 7, len(sent)} {
			near, far := net.Pipe()
			go func() {
				for piece := range slices.Chunk(sent, size) {
					_, _ = far.Write(piece)
				}
				_ = far.Close()
			}()
			got, err := io.ReadAll(&guardedStream{Conn: near, g: guarded, label: labelHead("keyed")})
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%s, %d bytes at once: read %x of %x (%v)", name, size, got, sent, err)
			}
		}
	}
}

// packed is a msgpack map, as memberlist writes its structures.
func packed(t *testing.T, kind byte, fields map[string]any) []byte {
	t.Helper()
	out := []byte{kind}
	var b []byte
	kit.Must(t, codec.NewEncoderBytes(&b, &codec.MsgpackHandle{}).Encode(fields))
	return append(out, b...)
}

// slow is a connection that brings one byte at a time.
type slow struct {
	net.Conn
	from io.Reader
}

func (s slow) Read(b []byte) (int, error) { return s.from.Read(b) }

// Whoever sends a compressed stream byte by byte does not have all that is there decoded with each byte.
func TestSlowStreamIsDecodedOnce(t *testing.T) {
	noise := make([]byte, 32<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	sent := squeeze(t, append(packed(t, pushPullType, map[string]any{"Nodes": 1, "UserStateLen": 0, "Join": true}), noise...))
	var got []byte
	allocated := testing.AllocsPerRun(1, func() {
		var err error
		got, err = io.ReadAll(&guardedStream{Conn: slow{from: iotest.OneByteReader(bytes.NewReader(sent))}, g: &guard{}})
		kit.Must(t, err)
	})
	if !bytes.Equal(got, sent) || allocated > 1000 {
		t.Errorf("%v allocations for %d bytes, and %d came", allocated, len(sent), len(got))
	}
}

func compound(parts ...[]byte) []byte {
	out := []byte{compoundType, byte(len(parts))}
	for _, p := range parts {
		out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
	}
	return append(out, bytes.Join(parts, nil)...)
}

// squeeze compresses as memberlist did for former programs.
func squeeze(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lzw.NewWriter(&out, lzw.LSB, 8)
	_, err := w.Write(b)
	kit.Must(t, errors.Join(err, w.Close()))
	return packed(t, compressType, map[string]any{"Algo": 0, "Buf": out.Bytes()})
}

// One below each limit, or at it, is let through; one above is not.
func TestLimitsOfOneMessage(t *testing.T) {
	state := func(members, bytes int) []byte {
		return packed(t, pushPullType, map[string]any{"Nodes": members, "UserStateLen": bytes})
	}
	streamed := func(b []byte) error { return inspectStream(bytes.NewReader(b), -1) }
	message := func(bytes int) []byte { return packed(t, userType, map[string]any{"UserMsgLen": bytes}) }
	ping := func(size int) []byte { return append([]byte{pingType, 0x80}, make([]byte, size-2)...) } // an empty map, and surplus
	most := max(digest.MaxStream, maxState)
	for name, c := range map[string]struct {
		got     error
		refused bool
	}{
		"members":                 {streamed(state(maxMembers, 0)), false},
		"a member more":           {streamed(state(maxMembers+1, 0)), true},
		"a state":                 {streamed(state(0, maxState)), false},
		"a byte of state more":    {streamed(state(0, maxState+1)), true},
		"a message":               {streamed(message(most)), false},
		"a byte of it more":       {streamed(message(most + 1)), true},
		"a compressed packet":     {inspectPacket(squeeze(t, make([]byte, maxPacket)), nil), false},
		"a byte of it too many":   {inspectPacket(squeeze(t, make([]byte, maxPacket+1)), nil), true},
		"a ping as its answer":    {inspectPacket(ping(answerBytes), anywhere), false},
		"a ping a byte too small": {inspectPacket(ping(answerBytes-1), anywhere), true},
	} {
		if (c.got != nil) != c.refused || c.refused && !errors.Is(c.got, errSize) {
			t.Errorf("%s: %v, want it refused for its size: %v", name, c.got, c.refused)
		}
	}
}

func anywhere(netip.Addr) bool { return true }

// TestWhatIsNotLetThrough sends each to a node that has the key, or that has none, and the node lives.
func TestWhatIsNotLetThrough(t *testing.T) {
	ping := func(source string) []byte {
		addr := netip.MustParseAddr(source)
		return packed(t, pingType, map[string]any{"SeqNo": 7, "Node": "", "SourceAddr": addr.AsSlice(), "SourcePort": 9, "SourceNode": "a stranger"})
	}
	crc := func(b []byte) []byte {
		return append(append([]byte{crcType}, binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b))...), b...)
	}
	squeezed := squeeze(t, bytes.Repeat(ping("127.0.0.1"), 10_000))
	if inspectPacket(squeeze(t, compound(ping("127.0.0.1"))), nil) != nil {
		t.Error("a compressed packet of a former program is refused")
	}
	state := packed(t, pushPullType, map[string]any{"Nodes": 1, "UserStateLen": 0, "Join": true})
	all := squeeze(t, append(state, make([]byte, 100)...))
	if err := inspectStream(bytes.NewReader(all), len(all)); err != nil {
		t.Errorf("a compressed stream of a former program is refused: %v", err)
	}
	packets := map[string][]byte{
		"nothing": nil, "compressed": squeezed, "compressed with a checksum": crc(squeezed), "compressed in a compound": compound(ping("127.0.0.1"), squeezed),
		"compound in a compound": compound(compound(squeezed)), "compressed twice": squeeze(t, squeeze(t, []byte{pingType, 0x80})), "compound of nothings": compound(nil, nil), "compound cut off": {compoundType, 2, 0},
	}
	plainOnly := map[string][]byte{
		"ping for a third party": ping("192.0.2.1"), "in a compound": compound(ping("127.0.0.1"), ping("192.0.2.1")),
		"two pings":                    compound(ping("127.0.0.1"), ping("127.0.0.1")),
		"ping smaller than its answer": packed(t, pingType, map[string]any{"SeqNo": 7}),
	}
	streams := map[string][]byte{
		"compressed":           squeeze(t, make([]byte, maxSealed+1)),
		"compressed twice":     squeeze(t, squeeze(t, state)),
		"compressed lie":       squeeze(t, packed(t, pushPullType, map[string]any{"Nodes": 1 << 20})),
		"too many members":     packed(t, pushPullType, map[string]any{"Nodes": 1 << 20, "UserStateLen": 0, "Join": true}),
		"fewer than no member": packed(t, pushPullType, map[string]any{"Nodes": -1, "UserStateLen": 0}),
		"a large state":        packed(t, pushPullType, map[string]any{"Nodes": 0, "UserStateLen": 20 << 20}),
		"a large message":      packed(t, userType, map[string]any{"UserMsgLen": 20 << 20}),
		"no header":            {userType, 0xC1},
	}
	keyedOnly := map[string][]byte{"nothing": nil, "promised, not sent": packed(t, userType, map[string]any{"UserMsgLen": 1000})}

	withKey, key := keyed(t)
	without := made(t, func(c *Config) { c.Cluster = "keyed" })
	for _, g := range []*Gossip{withKey, without} {
		run(t, g)
		refused := func() uint64 {
			c := g.Counts()
			return c.RefusedSize + c.RefusedFormat
		}
		seal := func(plain []byte, head string) []byte {
			if g == without {
				return plain
			}
			return sealed(key, plain, head+"keyed")
		}
		udp, err := net.Dial("udp", g.Addr())
		kit.Must(t, err)
		defer udp.Close()
		send := func(name string, plain []byte) {
			t.Helper()
			before := refused()
			_, err := udp.Write(slices.Concat(labelHead("keyed"), seal(plain, "")))
			kit.Must(t, err)
			kit.Until(t, "packet refused: "+name, func() bool { return refused() > before })
		}
		stream := func(name string, plain []byte) {
			t.Helper()
			before := refused()
			conn, err := net.Dial("tcp", g.Addr())
			kit.Must(t, err)
			defer conn.Close()
			message := plain
			if g == withKey {
				header := append([]byte{encryptType}, binary.BigEndian.AppendUint32(nil, uint32(sealedHead+len(plain)+16))...)
				message = append(header, seal(plain, string(header))...)
			}
			_, err = conn.Write(append(labelHead("keyed"), message...))
			kit.Must(t, err)
			kit.Until(t, "stream refused: "+name, func() bool { return refused() > before })
		}
		for name, plain := range packets {
			send(name, plain)
		}
		for name, plain := range streams {
			stream(name, plain)
		}
		if g == without {
			for name, plain := range plainOnly {
				send(name, plain)
			}
			continue
		}
		for name, plain := range keyedOnly {
			stream(name, plain)
		}
	}
	// Both live, and are asked by each other.
	joined := made(t, func(c *Config) { c.Cluster, c.Seeds = "keyed", []string{without.Addr()} })
	run(t, joined)
	kit.Until(t, "a member more", func() bool { return len(without.Members()) == 2 })
}

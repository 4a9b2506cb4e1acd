package gossip

import (
	"bytes"
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

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/forged"
)

// padded is a message that claims memberlist's padded encryption and has no padding: its plain text ends in a byte that
// is larger than its length. Whoever overhears a message that ends so makes this of it by changing one byte.
func padded(key []byte, authenticated string) []byte {
	// Shorter than a block it would be refused for its length.
	return forged.Sealed(key, paddedVersion, append(bytes.Repeat([]byte{8}, 31), 0xff), authenticated)
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
		return slices.Concat(labelHead("keyed"), header, forged.Sealed(key, 1, plain, string(header)+"keyed"), []byte("what follows"))
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
	sent := forged.Squeezed(t, append(forged.Packed(t, pushPullType, map[string]any{"Nodes": 1, "UserStateLen": 0, "Join": true}), noise...))
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

// One below each limit, or at it, is let through; one above is not.
func TestLimitsOfOneMessage(t *testing.T) {
	state := func(members, bytes int) []byte {
		return forged.Packed(t, pushPullType, map[string]any{"Nodes": members, "UserStateLen": bytes})
	}
	streamed := func(b []byte) error { return inspectStream(bytes.NewReader(b), -1) }
	message := func(bytes int) []byte { return forged.Packed(t, userType, map[string]any{"UserMsgLen": bytes}) }
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
		"a compressed packet":     {inspectPacket(forged.Squeezed(t, make([]byte, maxPacket)), nil), false},
		"a byte of it too many":   {inspectPacket(forged.Squeezed(t, make([]byte, maxPacket+1)), nil), true},
		"a ping as its answer":    {inspectPacket(ping(answerBytes), &asker{}), false},
		"a ping a byte too small": {inspectPacket(ping(answerBytes-1), &asker{}), true},
	} {
		if (c.got != nil) != c.refused || c.refused && !errors.Is(c.got, errSize) {
			t.Errorf("%s: %v, want it refused for its size: %v", name, c.got, c.refused)
		}
	}
}

// pingOf is a ping that names where its answer is to go.
func pingOf(t *testing.T, source string) []byte {
	return forged.Ping(t, netip.AddrPortFrom(netip.MustParseAddr(source), 9))
}

// Without keys a ping is answered to where it came from, whatever it names, and by no more than it took.
func TestPingIsAnsweredToItsSource(t *testing.T) {
	g := made(t, func(c *Config) { c.Cluster = "keyed" })
	run(t, g)
	checked := func(b []byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{crcType}, crc32.ChecksumIEEE(b)), b...)
	}
	third := pingOf(t, "192.0.2.1")
	for name, ping := range map[string][]byte{
		"another port": pingOf(t, "127.0.0.1"), "a third party": third, "in a compound": compound(third, []byte{userType, 'x'}), "with a checksum": checked(third),
	} {
		udp, err := net.Dial("udp", g.Addr())
		kit.Must(t, err)
		_, err = udp.Write(append(labelHead("keyed"), ping...))
		kit.Must(t, err)
		_ = udp.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer := make([]byte, 64<<10)
		n, err := udp.Read(answer)
		if rest, ok := bytes.CutPrefix(answer[:n], labelHead("keyed")); err != nil || !ok || len(rest) > answerBytes || len(rest) > len(ping) {
			t.Errorf("%s: %d bytes answered with %d, %x: %v", name, len(ping), n, rest, err)
		}
		_ = udp.Close()
	}
	damaged := checked(third)
	damaged[2] ^= 1
	before := bytes.Clone(damaged[1:crcHead])
	if err := inspectPacket(damaged, &asker{from: netip.MustParseAddrPort("127.0.0.1:1")}); err != nil || !bytes.Equal(damaged[1:crcHead], before) {
		t.Errorf("a wrong checksum was made right (%v)", err)
	}
}

// sends keeps what is sent.
type sends struct {
	memberlist.NodeAwareTransport
	last []byte
}

func (s *sends) WriteToAddress(b []byte, _ memberlist.Address) (time.Time, error) {
	s.last = b
	return time.Time{}, nil
}

// Without keys whoever is no member gets no news with an answer.
func TestStrangersGetNoNews(t *testing.T) {
	const member, stranger = "127.0.0.1:7946", "127.0.0.1:7947"
	news := compound([]byte("answer"), []byte("news"), bytes.Repeat([]byte("n"), 1000))
	withKey, _ := keyed(t)
	for name, c := range map[string]struct {
		keys *memberlist.Keyring
		to   string
		sent []byte
		want []byte
	}{
		"a member": {nil, member, news, news}, "a stranger": {nil, stranger, news, []byte("answer")}, "an answer alone": {nil, stranger, []byte("x"), []byte("x")},
		"with keys": {withKey.keys, stranger, news, news},
	} {
		var out sends
		g := &guard{NodeAwareTransport: &out, head: labelHead("c"), keys: c.keys, member: func(a netip.AddrPort) bool { return a.String() == member }}
		for _, send := range []func(b []byte) error{
			func(b []byte) error { _, err := g.WriteTo(b, c.to); return err },
			func(b []byte) error { _, err := g.WriteToAddress(b, memberlist.Address{Addr: c.to}); return err },
		} {
			kit.Must(t, send(append(labelHead("c"), c.sent...)))
			if want := append(labelHead("c"), c.want...); !bytes.Equal(out.last, want) {
				t.Errorf("%s: %q", name, out.last)
			}
		}
	}
}

// TestWhatIsNotLetThrough sends each to a node that has the key, or that has none, and the node lives.
func TestWhatIsNotLetThrough(t *testing.T) {
	ping := func(source string) []byte { return pingOf(t, source) }
	twice := []byte("\xaaSourceAddr\xa4\xc0\x00\x02\x01")
	passedOn := func(target string) []byte {
		return forged.Packed(t, indirectType, map[string]any{
			"SeqNo": 7, "Target": netip.MustParseAddr(target).AsSlice(), "Port": 9, "Node": "whoever", "Nack": true, "SourceNode": "a stranger",
		})
	}
	crc := func(b []byte) []byte {
		return append(append([]byte{crcType}, binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b))...), b...)
	}
	squeezed := forged.Squeezed(t, bytes.Repeat(ping("127.0.0.1"), 10_000))
	if inspectPacket(forged.Squeezed(t, compound(ping("127.0.0.1"))), nil) != nil {
		t.Error("a compressed packet of a former program is refused")
	}
	state := forged.Packed(t, pushPullType, map[string]any{"Nodes": 1, "UserStateLen": 0, "Join": true})
	all := forged.Squeezed(t, append(state, make([]byte, 100)...))
	if err := inspectStream(bytes.NewReader(all), len(all)); err != nil {
		t.Errorf("a compressed stream of a former program is refused: %v", err)
	}
	if err := inspectStream(bytes.NewReader(nil), 0); !errors.Is(err, errFormat) {
		t.Errorf("a stream without a message: %v", err)
	}
	packets := map[string][]byte{
		"nothing": nil, "compressed": squeezed, "compressed with a checksum": crc(squeezed), "compressed in a compound": compound(ping("127.0.0.1"), squeezed),
		"compound in a compound": compound(compound(squeezed)), "compressed twice": forged.Squeezed(t, forged.Squeezed(t, []byte{pingType, 0x80})), "compound of nothings": compound(nil, nil), "compound cut off": {compoundType, 2, 0},
	}
	plainOnly := map[string][]byte{
		"ping to be passed on": passedOn("192.0.2.1"), "to this machine": passedOn("127.0.0.1"), "in a compound": compound(passedOn("192.0.2.1")),
		"two pings": compound(ping("127.0.0.1"), ping("127.0.0.1")), "compressed": forged.Squeezed(t, ping("192.0.2.1")),
		"source named twice":           slices.Concat([]byte{pingType, 0x83}, twice, twice, []byte("\xa4Node\xb0"), make([]byte, 16)),
		"ping smaller than its answer": forged.Packed(t, pingType, map[string]any{"SeqNo": 7}),
	}
	streams := map[string][]byte{
		"compressed":           forged.Squeezed(t, make([]byte, maxSealed+1)),
		"compressed twice":     forged.Squeezed(t, forged.Squeezed(t, state)),
		"compressed lie":       forged.Squeezed(t, forged.Packed(t, pushPullType, map[string]any{"Nodes": 1 << 20})),
		"too many members":     forged.Packed(t, pushPullType, map[string]any{"Nodes": 1 << 20, "UserStateLen": 0, "Join": true}),
		"fewer than no member": forged.Packed(t, pushPullType, map[string]any{"Nodes": -1, "UserStateLen": 0}),
		"a large state":        forged.Packed(t, pushPullType, map[string]any{"Nodes": 0, "UserStateLen": 20 << 20}),
		"a large message":      forged.Packed(t, userType, map[string]any{"UserMsgLen": 20 << 20}),
		"no header":            {userType, 0xC1},
	}
	withoutSeal := map[string][]byte{"no byte": nil, "no plain byte": make([]byte, leastSealed-1)}
	keyedOnly := map[string][]byte{"nothing": nil, "promised, not sent": forged.Packed(t, userType, map[string]any{"UserMsgLen": 1000})}

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
			return forged.Sealed(key, 1, plain, head+"keyed")
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
		for name, sealed := range withoutSeal {
			before := refused()
			_, err := udp.Write(append(labelHead("keyed"), sealed...))
			kit.Must(t, err)
			kit.Until(t, "packet refused: "+name, func() bool { return refused() > before })
			conn, err := net.Dial("tcp", g.Addr())
			kit.Must(t, err)
			before = refused()
			head := binary.BigEndian.AppendUint32([]byte{encryptType}, uint32(len(sealed)))
			_, err = conn.Write(slices.Concat(labelHead("keyed"), head, sealed))
			kit.Must(t, err)
			kit.Until(t, "stream refused: "+name, func() bool { return refused() > before })
			_ = conn.Close()
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

// vouching is a stream of the sockets.
type vouching struct {
	net.Conn
	vouched bool
}

func (v *vouching) Vouch() { v.vouched = true }

// A stream that this node can decrypt has shown that it belongs here; one that it cannot, or that needs no key, has not.
func TestWhoHasTheKeyIsVouchedFor(t *testing.T) {
	g, key := keyed(t)
	plain := []byte{pingType, 0x80}
	header := binary.BigEndian.AppendUint32([]byte{encryptType}, uint32(sealedHead+len(plain)+sealedTag))
	good := slices.Concat(labelHead("keyed"), header, forged.Sealed(key, 1, plain, string(header)+"keyed"))
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	for name, c := range map[string]struct {
		keys *memberlist.Keyring
		sent []byte
		want bool
	}{
		"good": {g.keys, good, true}, "bad": {g.keys, bad, false}, "without keys": {nil, append(labelHead("keyed"), plain...), false},
	} {
		v := &vouching{Conn: slow{from: bytes.NewReader(c.sent)}}
		_, _ = io.ReadAll(&guardedStream{Conn: v, g: &guard{label: []byte("keyed"), keys: c.keys}, label: labelHead("keyed")})
		if v.vouched != c.want {
			t.Errorf("%s: vouched for: %v", name, v.vouched)
		}
	}
}

// Silent streams at the port of a seed, from its own members' address, hold up nobody who joins.
func TestSilentStreamsHoldUpNobody(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if _, err := GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	set := func(name string, seeds ...string) func(*Config) {
		return func(c *Config) { c.Cluster, c.Name, c.KeyFile, c.Seeds = "keyed", name, key, seeds }
	}
	seed := made(t, set("n1"))
	run(t, seed)
	const strangers = 200
	for range strangers {
		conn, err := net.Dial("tcp", seed.Addr())
		kit.Must(t, err)
		defer conn.Close()
	}
	kit.Until(t, "some are closed", func() bool { return seed.Counts().ClosedNoRoom > 100 })
	joins := made(t, set("n2", seed.Addr()))
	run(t, joins)
	kit.Until(t, "the seed reached", func() bool { return len(joins.Members()) == 2 && len(seed.Members()) == 2 })
	if n := joins.Counts().RejoinsFailed; n > 0 {
		t.Errorf("%d joins failed", n)
	}
	here := netip.MustParseAddr("127.0.0.1")
	if !joins.familiar(here) || !joins.seeds.at(here) || !seed.familiar(here) || joins.familiar(netip.MustParseAddr("127.0.0.2")) {
		t.Error("seeds and members are not told from strangers")
	}
	lost := made(t, set("n3", "127.0.0.3:1"))
	run(t, lost)
	kit.Until(t, "its seed tried", lost.Joined)
	if !lost.familiar(netip.MustParseAddr("127.0.0.3")) {
		t.Error("a seed that does not answer is a stranger")
	}
}

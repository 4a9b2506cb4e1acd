package gossip

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// padded is a message that claims memberlist's padded encryption and has no padding: its plain text ends in a byte that
// is larger than its length. Whoever overhears a message that ends so makes this of it by changing one byte.
func padded(key []byte, authenticated string) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := bytes.Repeat([]byte{7}, gcm.NonceSize())
	plain := append(bytes.Repeat([]byte{8}, 31), 0xff) // shorter than a block it would be refused for its length
	return append(append([]byte{paddedVersion}, nonce...), gcm.Seal(nil, nonce, plain, []byte(authenticated))...)
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

// The version of an ordinary message passes, in pieces of whatever size.
func TestGuardedStreamLeavesTheRest(t *testing.T) {
	for _, version := range []byte{paddedVersion, 1, 2} {
		for size := 1; size <= 8; size++ {
			sent := []byte{0, 0, 0, version, 0, 0, 0}
			want := bytes.Clone(sent)
			if version == paddedVersion {
				want[3] = refusedVersion
			}
			near, far := net.Pipe()
			go func() {
				_, _ = far.Write(sent)
				_ = far.Close()
			}()
			s := &guardedStream{Conn: near, ahead: 3}
			var got []byte
			for piece := make([]byte, size); ; {
				n, err := s.Read(piece)
				got = append(got, piece[:n]...)
				if err != nil {
					break
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes at once: %x read of %x, want %x", size, got, sent, want)
			}
		}
	}
}

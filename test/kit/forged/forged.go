// Package forged makes memberlist's messages by hand, as a stranger would.
package forged

import (
	"bytes"
	"compress/lzw"
	"crypto/aes"
	"crypto/cipher"
	"net/netip"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// memberlist's messageType (net.go).
const (
	ping     = 0
	compress = 9
)

// Sealed is plain as memberlist encrypts it: the version of its encryption, the nonce, and what AES-GCM makes of it.
func Sealed(key []byte, version byte, plain []byte, authenticated string) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := bytes.Repeat([]byte{7}, gcm.NonceSize())
	return append(append([]byte{version}, nonce...), gcm.Seal(nil, nonce, plain, []byte(authenticated))...)
}

// Packed is a message of that kind: its fields are a msgpack map, as memberlist writes its structures.
func Packed(t testing.TB, kind byte, fields map[string]any) []byte {
	t.Helper()
	var b []byte
	kit.Must(t, codec.NewEncoderBytes(&b, &codec.MsgpackHandle{}).Encode(fields))
	return append([]byte{kind}, b...)
}

// Squeezed compresses as memberlist did for former programs.
func Squeezed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lzw.NewWriter(&out, lzw.LSB, 8)
	_, err := w.Write(b)
	kit.Must(t, err, w.Close())
	return Packed(t, compress, map[string]any{"Algo": 0, "Buf": out.Bytes()})
}

// Ping names where its answer is to go.
func Ping(t testing.TB, source netip.AddrPort) []byte {
	t.Helper()
	return Packed(t, ping, map[string]any{
		"SeqNo": 7, "Node": "", "SourceAddr": source.Addr().AsSlice(), "SourcePort": source.Port(), "SourceNode": "a stranger",
	})
}

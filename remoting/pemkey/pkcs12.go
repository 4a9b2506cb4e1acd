package pemkey

import (
	"crypto/sha1"
	"math/big"
	"unicode/utf16"
)

// What the bytes are for (RFC 7292, appendix B.3).
const (
	pkcs12Key = 1
	pkcs12IV  = 2
)

// pkcs12Bytes makes n bytes of a password by PKCS#12's way with SHA-1 (RFC 7292, appendix B.2).
func pkcs12Bytes(purpose byte, password string, salt []byte, iterations, n int) []byte {
	const block = sha1.BlockSize
	var text []byte // UTF-16, big end first, with a zero behind it
	for _, unit := range append(utf16.Encode([]rune(password)), 0) {
		text = append(text, byte(unit>>8), byte(unit))
	}
	input := append(repeat(salt), repeat(text)...)
	diversifier := repeat([]byte{purpose})
	var out []byte
	for {
		sum := sha1.Sum(append(diversifier[:block:block], input...))
		for range iterations - 1 {
			sum = sha1.Sum(sum[:])
		}
		if out = append(out, sum[:]...); len(out) >= n {
			return out[:n]
		}
		// Each block of the input grows by the hash, repeated to its length, and one.
		add := new(big.Int).SetBytes(repeat(sum[:])[:block])
		add.Add(add, big.NewInt(1))
		limit := new(big.Int).Lsh(big.NewInt(1), block*8)
		for i := 0; i < len(input); i += block {
			x := new(big.Int).SetBytes(input[i : i+block])
			x.Add(x, add).Mod(x, limit).FillBytes(input[i : i+block])
		}
	}
}

// repeat fills up whole blocks of SHA-1's input with b; nothing stays nothing.
func repeat(b []byte) []byte {
	const block = sha1.BlockSize
	n := (len(b) + block - 1) / block * block
	out := make([]byte, 0, n+len(b))
	for len(out) < n {
		out = append(out, b...)
	}
	return out[:n]
}

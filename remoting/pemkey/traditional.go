package pemkey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/blowfish" //nolint:staticcheck // deprecated for new keys; this reads old ones
)

func traditionalCiphers() map[string]blockScheme {
	return map[string]blockScheme{
		"AES-128":  {16, aes.NewCipher},
		"AES-192":  {24, aes.NewCipher},
		"AES-256":  {32, aes.NewCipher},
		"DES":      {8, des.NewCipher},
		"DES-EDE":  {16, newTwoKeyDES},
		"DES-EDE3": {24, des.NewTripleDESCipher},
		"BF":       {16, func(key []byte) (cipher.Block, error) { return blowfish.NewCipher(key) }},
		"RC2":      {16, newRC2},
		"RC2-64":   {8, newRC2},
		"RC2-40":   {5, newRC2},
	}
}

// decryptTraditional opens OpenSSL's encryption of PEM blocks. info is the value of DEK-Info, such as
// AES-128-CBC,0A1B...: cipher, mode and initial vector (RFC 1423, with OpenSSL's ciphers and EVP_BytesToKey).
func decryptTraditional(info string, data []byte, password string) ([]byte, error) {
	name, hexIV, _ := strings.Cut(info, ",")
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return nil, unsupported(name)
	}
	scheme, known := traditionalCiphers()[name[:at]]
	mode := name[at+1:]
	if !known || mode != "CBC" && mode != "CFB" && mode != "OFB" {
		return nil, unsupported(name)
	}
	iv, err := hex.DecodeString(strings.TrimSpace(hexIV))
	if err != nil {
		return nil, fmt.Errorf("its DEK-Info: %w", err)
	}
	if len(iv) < 8 {
		return nil, fmt.Errorf("its DEK-Info has an initial vector of %d bytes", len(iv))
	}
	var key, sum []byte
	for len(key) < scheme.keyLen {
		next := md5.Sum(append(append(sum, password...), iv[:8]...))
		sum = next[:]
		key = append(key, sum...)
	}
	block, err := scheme.block(key[:scheme.keyLen])
	if err != nil {
		return nil, err
	}
	if len(iv) != block.BlockSize() {
		return nil, fmt.Errorf("its DEK-Info has an initial vector of %d bytes; want %d", len(iv), block.BlockSize())
	}
	if mode == "CBC" {
		return decryptCBC(block, iv, data)
	}
	return decryptFeedback(block, iv, data, mode == "CFB"), nil
}

// decryptFeedback is CFB or OFB over whole blocks: what is encrypted next is the ciphertext, or the key stream.
func decryptFeedback(block cipher.Block, register, data []byte, ciphertext bool) []byte {
	size := block.BlockSize()
	plain := make([]byte, len(data))
	for i := 0; i < len(data); i += size {
		stream := make([]byte, size)
		block.Encrypt(stream, register)
		part := data[i:min(i+size, len(data))]
		for j, b := range part {
			plain[i+j] = b ^ stream[j]
		}
		register = stream
		if ciphertext {
			register = part
		}
	}
	return plain
}

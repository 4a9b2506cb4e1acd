package pemkey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// Work that a file may ask for, far beyond what any program writes: some seconds, with scrypt 256 MiB as well.
const (
	maxIterations = 10_000_000
	maxScryptWork = 2 << 20 // N times r times p; of 128 bytes each unless p is more than 1
)

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5958): PBES1 and PBES2 (RFC 8018), and PKCS#12's (RFC 7292,
// appendices B and C).
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("its encryption is not that of PKCS#8: %w", err)
	}
	if id := info.Algorithm.Algorithm.String(); id != oidPBES2 {
		scheme, known := passwordSchemes()[id]
		if !known {
			return nil, unsupported(id)
		}
		return scheme.decrypt(info.Algorithm.Parameters.FullBytes, info.Data, password)
	}
	return decryptPBES2(info.Algorithm.Parameters.FullBytes, info.Data, password)
}

func unsupported(what string) error {
	return fmt.Errorf("its encryption (%s) is not supported: write it anew with openssl pkcs8 -topk8 -v2 aes-256-cbc", what)
}

// blockScheme is a cipher with the length of its key.
type blockScheme struct {
	keyLen int
	block  func([]byte) (cipher.Block, error)
}

// The tables are functions, for most processes never look at them.

// passwordScheme is an encryption that is named with its way from the password to the key.
type passwordScheme struct {
	hash   func() hash.Hash
	pkcs12 bool
	keyLen int
	stream bool                               // RC4; else blocks of 8 bytes in CBC
	block  func([]byte) (cipher.Block, error) // for blocks
}

func passwordSchemes() map[string]passwordScheme {
	return map[string]passwordScheme{
		"1.2.840.113549.1.5.3":    {hash: md5.New, keyLen: 8, block: des.NewCipher},
		"1.2.840.113549.1.5.6":    {hash: md5.New, keyLen: 8, block: newRC2},
		"1.2.840.113549.1.5.10":   {hash: sha1.New, keyLen: 8, block: des.NewCipher},
		"1.2.840.113549.1.5.11":   {hash: sha1.New, keyLen: 8, block: newRC2},
		"1.2.840.113549.1.12.1.1": {hash: sha1.New, pkcs12: true, keyLen: 16, stream: true},
		"1.2.840.113549.1.12.1.2": {hash: sha1.New, pkcs12: true, keyLen: 5, stream: true},
		"1.2.840.113549.1.12.1.3": {hash: sha1.New, pkcs12: true, keyLen: 24, block: des.NewTripleDESCipher},
		"1.2.840.113549.1.12.1.4": {hash: sha1.New, pkcs12: true, keyLen: 16, block: newTwoKeyDES},
		"1.2.840.113549.1.12.1.5": {hash: sha1.New, pkcs12: true, keyLen: 16, block: newRC2},
		"1.2.840.113549.1.12.1.6": {hash: sha1.New, pkcs12: true, keyLen: 5, block: newRC2},
	}
}

func (s *passwordScheme) decrypt(params, data []byte, password string) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil {
		return nil, fmt.Errorf("parameters of its encryption: %w", err)
	}
	if err := checkIterations(p.Iterations); err != nil {
		return nil, err
	}
	var key, iv []byte
	if s.pkcs12 {
		key = pkcs12Bytes(pkcs12Key, password, p.Salt, p.Iterations, s.keyLen)
		iv = pkcs12Bytes(pkcs12IV, password, p.Salt, p.Iterations, 8)
	} else { // PBKDF1
		sum := append([]byte(password), p.Salt...)
		for range p.Iterations {
			h := s.hash()
			h.Write(sum)
			sum = h.Sum(nil)
		}
		key, iv = sum[:8], sum[8:16]
	}
	if s.stream {
		stream, err := rc4.NewCipher(key)
		if err != nil {
			return nil, err
		}
		stream.XORKeyStream(data, data)
		return data, nil
	}
	block, err := s.block(key)
	if err != nil {
		return nil, err
	}
	return decryptCBC(block, iv, data)
}

func checkIterations(n int) error {
	if n < 1 || n > maxIterations {
		return fmt.Errorf("its encryption asks for %d iterations; want 1 to %d", n, maxIterations)
	}
	return nil
}

const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
	oidScrypt = "1.3.6.1.4.1.11591.4.11"
)

func prfs() map[string]func() hash.Hash {
	return map[string]func() hash.Hash{
		"1.2.840.113549.2.6":  md5.New,
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.8":  sha256.New224,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
		"1.2.840.113549.2.12": sha512.New512_224,
		"1.2.840.113549.2.13": sha512.New512_256,
	}
}

func pbes2Ciphers() map[string]blockScheme {
	return map[string]blockScheme{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
		"1.3.14.3.2.7":            {8, des.NewCipher},
	}
}

func decryptPBES2(params, data []byte, password string) ([]byte, error) {
	var p struct{ Derivation, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(params, &p); err != nil {
		return nil, fmt.Errorf("parameters of its encryption: %w", err)
	}
	scheme, known := pbes2Ciphers()[p.Cipher.Algorithm.String()]
	if !known {
		return nil, unsupported(p.Cipher.Algorithm.String())
	}
	var iv []byte
	if _, err := asn1.Unmarshal(p.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, fmt.Errorf("initial vector of its encryption: %w", err)
	}
	key, err := derive(&p.Derivation, password, scheme.keyLen)
	if err != nil {
		return nil, err
	}
	block, err := scheme.block(key)
	if err != nil {
		return nil, err
	}
	return decryptCBC(block, iv, data)
}

func derive(algorithm *pkix.AlgorithmIdentifier, password string, keyLen int) ([]byte, error) {
	switch id := algorithm.Algorithm.String(); id {
	case oidPBKDF2:
		var p struct {
			Salt       []byte
			Iterations int
			KeyLen     int                      `asn1:"optional"`
			PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
		}
		if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &p); err != nil {
			return nil, fmt.Errorf("parameters of PBKDF2: %w", err)
		}
		if err := checkIterations(p.Iterations); err != nil {
			return nil, err
		}
		prf := sha1.New
		if id := p.PRF.Algorithm; len(id) > 0 {
			if prf = prfs()[id.String()]; prf == nil {
				return nil, unsupported(id.String())
			}
		}
		return pbkdf2.Key(prf, password, p.Salt, p.Iterations, keyLen)
	case oidScrypt:
		var p struct {
			Salt    []byte
			N, R, P int
			KeyLen  int `asn1:"optional"`
		}
		if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &p); err != nil {
			return nil, fmt.Errorf("parameters of scrypt: %w", err)
		}
		if p.R < 1 || p.P < 1 || p.R > 1<<10 || p.P > 1<<10 || p.N > maxScryptWork/p.R/p.P {
			return nil, fmt.Errorf("its encryption (scrypt) asks for too much work; want N times r times p at most %d", maxScryptWork)
		}
		return scrypt.Key([]byte(password), p.Salt, p.N, p.R, p.P, keyLen)
	default:
		return nil, unsupported(id)
	}
}

// decryptCBC takes the padding off, too. What is wrong there is a wrong password, as a rule.
func decryptCBC(block cipher.Block, iv, data []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(iv) != size || len(data) == 0 || len(data)%size != 0 {
		return nil, errors.New("its encryption is cut off")
	}
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(data, data)
	padding := int(data[len(data)-1])
	if padding < 1 || padding > size {
		return nil, errPassword
	}
	for _, b := range data[len(data)-padding:] {
		if int(b) != padding {
			return nil, errPassword
		}
	}
	return data[:len(data)-padding], nil
}

// newTwoKeyDES is triple DES whose third key is the first.
func newTwoKeyDES(key []byte) (cipher.Block, error) {
	return des.NewTripleDESCipher(append(key[:16:16], key[:8]...))
}

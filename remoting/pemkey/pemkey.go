package pemkey

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Key is the first private key among the PEM blocks of text, decrypted with password if need be: an *rsa.PrivateKey,
// *ecdsa.PrivateKey or ed25519.PrivateKey. No error has the password or the key in it.
func Key(text []byte, password string) (crypto.PrivateKey, error) {
	for block := range blocks(plain(text)) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // a certificate, or EC PARAMETERS, which OpenSSL writes before the key
		}
		der, err := block.Bytes, error(nil)
		info, encrypted := block.Headers["DEK-Info"]
		encrypted = encrypted || block.Type == "ENCRYPTED PRIVATE KEY"
		switch {
		case encrypted && password == "":
			return nil, errors.New("it is encrypted and no password is given")
		case info != "":
			der, err = decryptTraditional(info, der, password)
		case encrypted:
			der, err = decryptPKCS8(der, password)
		}
		if err != nil {
			return nil, err
		}
		key, err := parse(der)
		if err != nil && !encrypted && password != "" { // an encrypted one whose label does not say so
			if plain, fault := decryptPKCS8(der, password); fault == nil {
				return parse(plain)
			}
		}
		if err != nil && encrypted {
			err = fmt.Errorf("%w: %w", errPassword, err)
		}
		return key, err
	}
	return nil, errors.New("it holds no PEM block with a private key")
}

var errPassword = errors.New("it cannot be decrypted with the password given")

// parse takes any of the three forms, whatever the block says that it is.
func parse(der []byte) (crypto.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return key, nil
	}
	if rsa, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return rsa, nil
	}
	if ec, err := x509.ParseECPrivateKey(der); err == nil {
		return ec, nil
	}
	return nil, err
}

// certificates are the kinds of blocks that hold one.
var certificates = []string{"CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE", "TRUSTED CERTIFICATE"}

// Certificates are all certificates among the PEM blocks of text, in its order; at least one, and every one that has its end there:
// of a chain or trust file one that is damaged must not be missing without a word.
func Certificates(text []byte) (chain []*x509.Certificate, err error) {
	pems := plain(text)
	ends := 0
	for _, kind := range certificates {
		ends += bytes.Count(pems, []byte("-----END "+kind+"-----"))
	}
	for block := range blocks(pems) {
		if slices.Contains(certificates, block.Type) {
			var first asn1.RawValue // what OpenSSL trusts it for stands behind it
			_, err := asn1.Unmarshal(block.Bytes, &first)
			var cert *x509.Certificate
			if err == nil {
				cert, err = x509.ParseCertificate(first.FullBytes)
			}
			if err != nil {
				return nil, fmt.Errorf("certificate %d in it: %w", len(chain)+1, err)
			}
			chain = append(chain, cert)
		}
	}
	switch {
	case len(chain) > 0 && len(chain) < ends:
		return nil, fmt.Errorf("%d of the %d certificates in it cannot be read: what stands between their first and last lines is damaged", ends-len(chain), ends)
	case len(chain) > 0:
		return chain, nil
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("it is empty; want certificates in PEM")
	case bytes.Contains(text, []byte("PRIVATE KEY-----")):
		return nil, errors.New("it holds a private key and no certificate; want certificates in PEM")
	case bytes.HasPrefix(text, []byte{0x30, 0x82}):
		return nil, errors.New("it is DER; want PEM: convert it with openssl x509 -inform DER -in FILE")
	}
	return nil, errors.New("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
}

// plain takes what editors and tools make of PEM: lines that are indented or end with a carriage return, byte order marks, and
// other text, or the next block, on the line that begins or ends a block (cat of files without a last line feed).
func plain(text []byte) []byte {
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\ufeff", "").Replace(string(text)), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	// Netty takes any number of dashes. Of ten between two blocks each has five.
	marker := regexp.MustCompile(`\n?-{1,5}(BEGIN|END)[ \t]+([^-\n]*[^-\s])[ \t]*-{1,5}[ \t]*\n?`)
	return marker.ReplaceAll([]byte(strings.Join(lines, "\n")), []byte("\n-----$1 $2-----\n"))
}

// blocks are those of plain text.
func blocks(rest []byte) func(yield func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil || !yield(block) {
				return
			}
		}
	}
}

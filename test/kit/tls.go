package kit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// Identity is a certificate for loopback with its key, both also as PEM (the key as PKCS #8).
type Identity struct {
	Cert        *x509.Certificate
	Key         crypto.Signer
	PEM, KeyPEM []byte
}

// NewAuthority is an identity that signed itself and may sign others.
func NewAuthority(t testing.TB) *Identity { return (*Identity)(nil).Issue(t, "authority") }

// Issue makes an identity that ca signed, or that signed itself for nil. Changes are made before it is signed.
func (ca *Identity) Issue(t testing.TB, name string, changes ...func(*x509.Certificate)) *Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(t, err)
	return ca.IssueFor(t, name, key, changes...)
}

// IssueFor is Issue for a key that there is already.
func (ca *Identity) IssueFor(t testing.TB, name string, key crypto.Signer, changes ...func(*x509.Certificate)) *Identity {
	t.Helper()
	id := &Identity{Key: key, Cert: &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: ca == nil, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}}
	for _, change := range changes {
		change(id.Cert)
	}
	signer := ca
	if ca == nil {
		signer = id
	}
	der, err := x509.CreateCertificate(rand.Reader, id.Cert, signer.Cert, key.Public(), signer.Key)
	Must(t, err)
	if id.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	id.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	Must(t, err)
	id.KeyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
	return id
}

// WriteFile writes what only its owner may read, such as a key, and returns the path.
func WriteFile(t testing.TB, path string, content []byte) string {
	t.Helper()
	Must(t, os.WriteFile(path, content, 0o600))
	return path
}

// TLS is the identity as package tls wants it.
func (ca *Identity) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{ca.Cert.Raw}, PrivateKey: ca.Key}
}

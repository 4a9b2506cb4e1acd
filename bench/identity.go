package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"time"
)

// cipherSuite is what all encrypted measurements use: what Go and OpenSSL agree on where the processor has instructions for AES.
const cipherSuite = tls.TLS_AES_128_GCM_SHA256

// identity is a certificate made for one run, with its key, both in PEM, and what clients need to trust it.
type identity struct {
	cert, key string
	client    *tls.Config
}

func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	const name = "localhost"
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &identity{
		cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
		// One record for all that is written at once, from the first byte on.
		client: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true},
	}, nil
}

// present lets a server show the certificate: the command must name {dir}/cert and {dir}/key.
func (id *identity) present(c command) command {
	files := map[string]string{"cert": id.cert, "key": id.key}
	maps.Copy(files, c.files)
	c.files, c.tls = files, id.client
	return c
}

// secured speaks TLS over conn, which it owns, with the one cipher suite.
func secured(ctx context.Context, conn net.Conn, conf *tls.Config) (net.Conn, error) {
	c := tls.Client(conn, conf)
	err := c.HandshakeContext(ctx)
	if got := c.ConnectionState().CipherSuite; err == nil && got != cipherSuite {
		err = fmt.Errorf("the server chose %s and not %s, which the other one is measured with; does this processor lack AES?",
			tls.CipherSuiteName(got), tls.CipherSuiteName(cipherSuite))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), conn.Close())
	}
	return c, nil
}

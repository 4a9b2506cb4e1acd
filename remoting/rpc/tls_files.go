package rpc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/remoting/pemkey"
)

// maxTLSFile bounds a key, certificate or trust file.
const maxTLSFile = 4 << 20

// endOfTime is the last date that a certificate can have (RFC 5280, 4.1.2.5).
var endOfTime = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// serverTLS builds the server's context (TlsHelper.buildSslContext).
func serverTLS(set *TLSSettings) (*tls.Config, error) {
	offer, err := newOffer(set.Protocols, set.Ciphers, set.AsOriginal)
	if set.TestMode {
		cert := sync.OnceValues(selfSigned) // at the first handshake: most nodes never see one
		get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert() }
		conf := &tls.Config{GetCertificate: get, ClientAuth: tls.RequestClientCert, DynamicRecordSizingDisabled: true}
		if set.AsOriginal {
			return conf, nil // the two lists are ignored, too
		}
		return conf, errors.Join(err, offer.apply(conf, set.Ciphers))
	}
	if err != nil {
		return nil, plain{err}
	}
	cert, err := keyPair(set.ServerCert, set.ServerKey, set.ServerPassword, set.AsOriginal)
	if err != nil {
		return nil, fmt.Errorf("tls.server.%w", err)
	}
	conf := &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   clientAuth(set.NeedClientAuth),
		// The answers to a batch are one record where they fit, as the original's are: Go's first ones of a connection would have
		// the size of a packet, each with a call to the socket.
		DynamicRecordSizingDisabled: true,
	}
	if set.ServerAuthClient {
		if set.ServerTrust != "" {
			if conf.ClientCAs, err = trust(set.ServerTrust); err != nil {
				return nil, fmt.Errorf("tls.server.%w", err)
			}
		}
		conf.VerifyConnection = func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil // it may have none, or ClientAuth has refused it
			}
			return verifyChain(state.PeerCertificates, conf.ClientCAs, x509.ExtKeyUsageClientAuth)
		}
	}
	return conf, offer.apply(conf, set.Ciphers)
}

// ClientTLS builds the context of connections that this process opens (TlsHelper.buildSslContext, client side). As in
// Java the server's name is never checked, only its chain, and that only with ClientAuthServer.
func ClientTLS(set TLSSettings) (*tls.Config, error) {
	conf := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // what the original does; see VerifyConnection
	if set.ClientTestMode {
		return conf, nil
	}
	if set.ClientAuthServer {
		var roots *x509.CertPool
		var err error
		if set.ClientTrust != "" {
			if roots, err = trust(set.ClientTrust); err != nil {
				return nil, fmt.Errorf("tls.client.%w", err)
			}
		}
		conf.VerifyConnection = func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("tls: the server sent no certificate")
			}
			return verifyChain(state.PeerCertificates, roots, x509.ExtKeyUsageServerAuth)
		}
	}
	if set.ClientCert != "" || set.ClientKey != "" {
		cert, err := keyPair(set.ClientCert, set.ClientKey, set.ClientPassword, false)
		if err != nil {
			return nil, fmt.Errorf("tls.client.%w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

// verifyChain judges a peer's certificate and the chain behind it as the JDK's PKIXValidator and EndEntityChecker do: what a key
// may be used for is asked of the peer's own certificate, not of its authorities.
func verifyChain(chain []*x509.Certificate, anchors *x509.CertPool, use x509.ExtKeyUsage) error {
	opts := x509.VerifyOptions{Roots: anchors, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	leaf := chain[0]
	_, err := leaf.Verify(opts)
	if err == nil && !mayBeUsed(leaf, use) {
		err = x509.CertificateInvalidError{Cert: leaf, Reason: x509.IncompatibleUsage}
	}
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

// mayBeUsed says whether the extensions of a certificate, where it has them, let its owner show by a signature that he is a client, or a server.
func mayBeUsed(c *x509.Certificate, use x509.ExtKeyUsage) bool {
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return false
	}
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, use) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// keyPair loads a PEM chain and its PEM key; ordered: the chain must be inOrder.
func keyPair(certPath, keyPath, password string, ordered bool) (tls.Certificate, error) {
	var pair tls.Certificate
	chain, err := certificates(certPath)
	if err == nil && ordered {
		err = inOrder(chain)
	}
	if err != nil {
		return pair, fmt.Errorf("certPath=%q: %w", certPath, err)
	}
	text, err := readFile(keyPath)
	if err == nil {
		pair.PrivateKey, err = pemkey.Key(text, password)
	}
	if err != nil {
		return pair, fmt.Errorf("keyPath=%q: %w", keyPath, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return pair, fmt.Errorf("keyPath=%q: a key that cannot sign (%T)", keyPath, pair.PrivateKey)
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(chain[0].PublicKey) {
		return pair, plain{fmt.Errorf("keyPath=%q: it is not the key of the first certificate in %q", keyPath, certPath)}
	}
	for _, cert := range chain {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	pair.Leaf = chain[0]
	return pair, nil
}

// inOrder is the rule of Java's key store: each certificate is followed by that of its issuer, and none is there twice.
func inOrder(chain []*x509.Certificate) error {
	for i, cert := range chain {
		if first := slices.IndexFunc(chain, cert.Equal); first < i {
			return fmt.Errorf("certificate %d in it is certificate %d again", i+1, first+1)
		}
		if i > 0 && !bytes.Equal(chain[i-1].RawIssuer, cert.RawSubject) {
			return fmt.Errorf("certificate %d in it is not of the issuer of certificate %d; want the server's first, then each one's issuer", i+1, i)
		}
	}
	return nil
}

func certificates(path string) ([]*x509.Certificate, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return pemkey.Certificates(text)
}

// trust takes a file that cannot be opened for one that cannot be used, as the original does for this file.
func trust(path string) (*x509.CertPool, error) {
	anchors, err := certificates(path)
	if err != nil {
		return nil, fmt.Errorf("trustCertPath=%q: %s", path, err) //nolint:errorlint // it must not be taken for an absent certificate
	}
	pool := x509.NewCertPool()
	for _, cert := range anchors {
		anchor := *cert // the JDK looks at no anchor's dates, and nodes must not part with all brokers on the day that an authority ends
		anchor.NotBefore, anchor.NotAfter = time.Time{}, endOfTime
		pool.AddCert(&anchor)
	}
	return pool, nil
}

func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no path given")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain{err}
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, plain{errors.New("it is a directory")}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTLSFile+1))
	if err == nil && len(b) > maxTLSFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxTLSFile)
	}
	return b, err
}

// selfSigned is the certificate of the test mode.
func selfSigned() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    now.AddDate(-1, 0, 0),
		NotAfter:     now.AddDate(100, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

package rpc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"sync"
	"time"

	"github.com/youmark/pkcs8"
)

// maxTLSFile bounds a key, certificate or trust file.
const maxTLSFile = 4 << 20

// serverTLS builds the server's context (TlsHelper.buildSslContext). Versions and ciphers are Go's defaults.
func serverTLS(set TLSSettings) (*tls.Config, error) {
	if set.TestMode {
		cert := sync.OnceValues(selfSigned) // at the first handshake: most nodes never see one
		get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert() }
		return &tls.Config{GetCertificate: get, ClientAuth: tls.RequestClientCert}, nil
	}
	cert, err := keyPair(set.ServerCert, set.ServerKey, set.ServerPassword)
	if err != nil {
		return nil, fmt.Errorf("tls: server: %w", err)
	}
	conf := &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   clientAuth(set.NeedClientAuth, set.ServerAuthClient),
	}
	if set.ServerAuthClient && set.ServerTrust != "" {
		if conf.ClientCAs, err = trust(set.ServerTrust); err != nil {
			return nil, fmt.Errorf("tls: tls.server.trustCertPath: %w", err)
		}
	}
	return conf, nil
}

// ClientTLS builds the context of connections that this process opens (TlsHelper.buildSslContext, client side). As in
// Java the server's name is never checked, only its chain, and that only with ClientAuthServer.
func ClientTLS(set TLSSettings) (*tls.Config, error) {
	conf := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // what the original does; see VerifyConnection
	if set.TestMode {
		return conf, nil
	}
	if set.ClientAuthServer {
		var roots *x509.CertPool
		var err error
		if set.ClientTrust != "" {
			if roots, err = trust(set.ClientTrust); err != nil {
				return nil, fmt.Errorf("tls: tls.client.trustCertPath: %w", err)
			}
		}
		conf.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, roots) }
	}
	if set.ClientCert != "" || set.ClientKey != "" {
		cert, err := keyPair(set.ClientCert, set.ClientKey, set.ClientPassword)
		if err != nil {
			return nil, fmt.Errorf("tls: client: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("tls: the server sent no certificate")
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(opts)
	return err
}

// keyPair loads a PEM chain and its PEM key.
func keyPair(certPath, keyPath, password string) (tls.Certificate, error) {
	certPEM, err := readFile(certPath)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := readFile(keyPath)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	keyPEM, err = plainKey(keyPEM, password)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key %s: %w: %w", keyPath, ErrPrivateKey, err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with key %s: %w", certPath, keyPath, err)
	}
	return cert, nil
}

// plainKey finds the private key among PEM blocks, decrypts it if need be, and checks that it can be parsed.
func plainKey(b []byte, password string) ([]byte, error) {
	for {
		var block *pem.Block
		block, b = pem.Decode(b)
		if block == nil {
			return nil, errors.New("no PEM block with a private key")
		}
		switch block.Type {
		case "PRIVATE KEY":
			if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
				return nil, err
			}
			return pem.EncodeToMemory(block), nil
		case "ENCRYPTED PRIVATE KEY":
			key, _, err := pkcs8.ParsePrivateKey(block.Bytes, []byte(password))
			if err != nil {
				return nil, fmt.Errorf("decrypt with the password given: %w", err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return nil, err
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
		case "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return nil, fmt.Errorf("%q is not PKCS#8: convert it with openssl pkcs8 -topk8", block.Type)
		}
	}
}

func trust(path string) (*x509.CertPool, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return pool, nil
}

func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no path given")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
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

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
	"math/big"
	"path/filepath"

	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate of ca; nil: it signs itself.
func (ca *issued) issue(t *testing.T, name string, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	kit.Must(t, err)
	id := &issued{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}}
	if change != nil {
		change(id.cert)
	}
	signer := ca
	if ca == nil {
		signer = id
	}
	der, err := x509.CreateCertificate(rand.Reader, id.cert, signer.cert, &key.PublicKey, signer.key)
	kit.Must(t, err)
	id.cert, err = x509.ParseCertificate(der)
	kit.Must(t, err)
	return id
}

func pemOf(chain ...*issued) (text []byte) {
	for _, id := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw})...)
	}
	return text
}

func isCA(c *x509.Certificate) { c.IsCA = true }

func uses(use ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = use }
}

func both(changes ...func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, change := range changes {
			change(c)
		}
	}
}

func old(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// Whose certificates are taken, as 5.5.0 on JDK 17 takes them: each line was tried with it.
func TestChainsOfClients(t *testing.T) {
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	root := (*issued)(nil).issue(t, "root", isCA)
	middle := root.issue(t, "middle", isCA)
	forServers := root.issue(t, "for servers", both(isCA, uses(server)))
	short := root.issue(t, "short", both(isCA, func(c *x509.Certificate) { c.MaxPathLenZero = true }))
	below := short.issue(t, "below", isCA)
	oldMiddle := root.issue(t, "old middle", both(isCA, old))
	noCA := root.issue(t, "no authority", nil)
	rootForServers := (*issued)(nil).issue(t, "root for servers", both(isCA, uses(server)))
	oldRoot := (*issued)(nil).issue(t, "old root", both(isCA, old))
	stranger := (*issued)(nil).issue(t, "root", isCA)
	alone := (*issued)(nil).issue(t, "alone", nil)
	trusted := []*issued{root, rootForServers, oldRoot, alone}
	usage := func(u x509.KeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.KeyUsage = u }
	}

	set := files(t, kit.NewAuthority(t), "server")
	set.NeedClientAuth, set.ServerAuthClient = "require", true
	set.ServerTrust = kit.WriteFile(t, filepath.Join(t.TempDir(), "trust"), pemOf(trusted...))
	s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Enforcing))
	for name, c := range map[string]struct {
		want  bool
		chain []*issued
	}{
		"no extensions":                  {true, []*issued{root.issue(t, "c", nil)}},
		"for clients":                    {true, []*issued{root.issue(t, "c", uses(client))}},
		"for anything":                   {true, []*issued{root.issue(t, "c", uses(x509.ExtKeyUsageAny))}},
		"for servers":                    {false, []*issued{root.issue(t, "c", uses(server))}},
		"for code":                       {false, []*issued{root.issue(t, "c", uses(x509.ExtKeyUsageCodeSigning))}},
		"signs":                          {true, []*issued{root.issue(t, "c", usage(x509.KeyUsageDigitalSignature))}},
		"does not sign":                  {false, []*issued{root.issue(t, "c", usage(x509.KeyUsageKeyEncipherment))}},
		"old":                            {false, []*issued{root.issue(t, "c", old)}},
		"of a stranger by the same name": {false, []*issued{stranger.issue(t, "c", nil)}},
		"itself trusted":                 {true, []*issued{alone}},
		"middle":                         {true, []*issued{middle.issue(t, "c", nil), middle}},
		"middle and root":                {true, []*issued{middle.issue(t, "c", nil), middle, root}},
		"middle behind a stray one":      {true, []*issued{middle.issue(t, "c", nil), alone, middle}},
		"middle missing":                 {false, []*issued{middle.issue(t, "c", nil)}},
		"middle is old":                  {false, []*issued{oldMiddle.issue(t, "c", nil), oldMiddle}},
		"middle is no authority":         {false, []*issued{noCA.issue(t, "c", nil), noCA}},
		"too long":                       {false, []*issued{below.issue(t, "c", nil), below, short}},
		"middle for servers":             {true, []*issued{forServers.issue(t, "c", uses(client)), forServers}},
		"root for servers":               {true, []*issued{rootForServers.issue(t, "c", nil)}},
		"root is old":                    {true, []*issued{oldRoot.issue(t, "c", nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{PrivateKey: c.chain[0].key}}}
			for _, id := range c.chain {
				conf.Certificates[0].Certificate = append(conf.Certificates[0].Certificate, id.cert.Raw)
			}
			if got := asks(t, s, conf); got != c.want {
				t.Errorf("served %v, want %v", got, c.want)
			}
		})
	}
}

// Java's key store takes no chain that is out of order, so that the original does not start. serve takes it.
func TestChainsOfServers(t *testing.T) {
	root := (*issued)(nil).issue(t, "root", isCA)
	middle := root.issue(t, "middle", isCA)
	server, other := middle.issue(t, "server", nil), root.issue(t, "other", nil)
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(server.key)
	kit.Must(t, err)
	keyPath := kit.WriteFile(t, filepath.Join(dir, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	for name, c := range map[string]struct {
		chain []*issued
		want  string // in the error of mqnamesrv; empty: none
		serve bool
	}{
		"alone":      {[]*issued{server}, "", true},
		"whole":      {[]*issued{server, middle, root}, "", true},
		"twice":      {[]*issued{server, server}, "certificate 2 in it is certificate 1 again", true},
		"root twice": {[]*issued{server, middle, root, root}, "certificate 4 in it is certificate 3 again", true},
		"stray":      {[]*issued{server, other}, "certificate 2 in it is not of the issuer of certificate 1", true},
		"mixed":      {[]*issued{server, root, middle}, "certificate 2 in it is not of the issuer of certificate 1", true},
		"root first": {[]*issued{root, middle, server}, "certificate 2 in it is not of the issuer of certificate 1", false},
	} {
		t.Run(name, func(t *testing.T) {
			cert := kit.WriteFile(t, filepath.Join(dir, name), pemOf(c.chain...))
			for _, asOriginal := range []bool{true, false} {
				_, err := serverTLS(&TLSSettings{ServerCert: cert, ServerKey: keyPath, AsOriginal: asOriginal})
				switch {
				case asOriginal && c.want != "":
					if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrPlain) {
						t.Errorf("as the original: %v, want %q", err, c.want)
					}
				case (err == nil) != c.serve:
					t.Errorf("as the original %v: %v", asOriginal, err)
				}
			}
		})
	}
}

// Authorities within companies write serial numbers whose first bit is set; Java takes them.
func TestNegativeSerialNumber(t *testing.T) {
	const path = "testdata/negative_serial.pem"
	set := TLSSettings{ServerCert: path, ServerKey: path, ServerTrust: path, ServerAuthClient: true, NeedClientAuth: "require"}
	s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Enforcing))
	conf, err := ClientTLS(TLSSettings{ClientCert: path, ClientKey: path, ClientTrust: path, ClientAuthServer: true})
	if err != nil {
		t.Fatal(err)
	}
	if !asks(t, s, conf) {
		t.Error("not served")
	}
}

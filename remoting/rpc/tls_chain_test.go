package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// issue makes a certificate of ca, or of itself for nil, that has no extensions but by changes.
func issue(t *testing.T, ca *kit.Identity, name string, changes ...func(*x509.Certificate)) *kit.Identity {
	t.Helper()
	bare := func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.IPAddresses = false, 0, nil, nil }
	return ca.Issue(t, name, append([]func(*x509.Certificate){bare}, changes...)...)
}

func pemOf(chain ...*kit.Identity) (text []byte) {
	for _, id := range chain {
		text = append(text, id.PEM...)
	}
	return text
}

func isCA(c *x509.Certificate) { c.IsCA = true }

func uses(use ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = use }
}

func old(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// Whose certificates are taken, as 5.5.0 on JDK 17 takes them: each line was tried with it.
func TestChainsOfClients(t *testing.T) {
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	root := issue(t, nil, "root", isCA)
	middle := issue(t, root, "middle", isCA)
	forServers := issue(t, root, "for servers", isCA, uses(server))
	short := issue(t, root, "short", isCA, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := issue(t, short, "below", isCA)
	oldMiddle := issue(t, root, "old middle", isCA, old)
	noCA := issue(t, root, "no authority")
	rootForServers := issue(t, nil, "root for servers", isCA, uses(server))
	oldRoot := issue(t, nil, "old root", isCA, old)
	stranger := issue(t, nil, "root", isCA)
	alone := issue(t, nil, "alone")
	trusted := []*kit.Identity{root, rootForServers, oldRoot, alone}
	usage := func(u x509.KeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.KeyUsage = u }
	}

	set := files(t, kit.NewAuthority(t), "server")
	set.NeedClientAuth, set.ServerAuthClient = "require", true
	set.ServerTrust = kit.WriteFile(t, filepath.Join(t.TempDir(), "trust"), pemOf(trusted...))
	s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Enforcing))
	for name, c := range map[string]struct {
		want  bool
		chain []*kit.Identity
	}{
		"no extensions":                  {true, []*kit.Identity{issue(t, root, "c")}},
		"for clients":                    {true, []*kit.Identity{issue(t, root, "c", uses(client))}},
		"for anything":                   {true, []*kit.Identity{issue(t, root, "c", uses(x509.ExtKeyUsageAny))}},
		"for servers":                    {false, []*kit.Identity{issue(t, root, "c", uses(server))}},
		"for code":                       {false, []*kit.Identity{issue(t, root, "c", uses(x509.ExtKeyUsageCodeSigning))}},
		"signs":                          {true, []*kit.Identity{issue(t, root, "c", usage(x509.KeyUsageDigitalSignature))}},
		"does not sign":                  {false, []*kit.Identity{issue(t, root, "c", usage(x509.KeyUsageKeyEncipherment))}},
		"old":                            {false, []*kit.Identity{issue(t, root, "c", old)}},
		"of a stranger by the same name": {false, []*kit.Identity{issue(t, stranger, "c")}},
		"itself trusted":                 {true, []*kit.Identity{alone}},
		"middle":                         {true, []*kit.Identity{issue(t, middle, "c"), middle}},
		"middle and root":                {true, []*kit.Identity{issue(t, middle, "c"), middle, root}},
		"middle behind a stray one":      {true, []*kit.Identity{issue(t, middle, "c"), alone, middle}},
		"middle missing":                 {false, []*kit.Identity{issue(t, middle, "c")}},
		"middle is old":                  {false, []*kit.Identity{issue(t, oldMiddle, "c"), oldMiddle}},
		"middle is no authority":         {false, []*kit.Identity{issue(t, noCA, "c"), noCA}},
		"too long":                       {false, []*kit.Identity{issue(t, below, "c"), below, short}},
		"middle for servers":             {true, []*kit.Identity{issue(t, forServers, "c", uses(client)), forServers}},
		"root for servers":               {true, []*kit.Identity{issue(t, rootForServers, "c")}},
		"root is old":                    {true, []*kit.Identity{issue(t, oldRoot, "c")}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{PrivateKey: c.chain[0].Key}}}
			for _, id := range c.chain {
				conf.Certificates[0].Certificate = append(conf.Certificates[0].Certificate, id.Cert.Raw)
			}
			if got := asks(t, s, conf); got != c.want {
				t.Errorf("served %v, want %v", got, c.want)
			}
		})
	}
}

// Java's key store takes no chain that is out of order, so that the original does not start. serve takes it.
func TestChainsOfServers(t *testing.T) {
	root := issue(t, nil, "root", isCA)
	middle := issue(t, root, "middle", isCA)
	server, other := issue(t, middle, "server"), issue(t, root, "other")
	dir := t.TempDir()
	keyPath := kit.WriteFile(t, filepath.Join(dir, "key"), server.KeyPEM)
	for name, c := range map[string]struct {
		chain []*kit.Identity
		want  string // in the error of mqnamesrv; empty: none
		serve bool
	}{
		"alone":      {[]*kit.Identity{server}, "", true},
		"whole":      {[]*kit.Identity{server, middle, root}, "", true},
		"twice":      {[]*kit.Identity{server, server}, "certificate 2 in it is certificate 1 again", true},
		"root twice": {[]*kit.Identity{server, middle, root, root}, "certificate 4 in it is certificate 3 again", true},
		"stray":      {[]*kit.Identity{server, other}, "certificate 2 in it is not of the issuer of certificate 1", true},
		"mixed":      {[]*kit.Identity{server, root, middle}, "certificate 2 in it is not of the issuer of certificate 1", true},
		"root first": {[]*kit.Identity{root, middle, server}, "certificate 2 in it is not of the issuer of certificate 1", false},
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

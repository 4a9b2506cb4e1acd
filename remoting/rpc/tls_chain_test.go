package rpc

import (
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func pemOf(chain ...*kit.Identity) (text []byte) {
	for _, id := range chain {
		text = append(text, id.PEM...)
	}
	return text
}

// Whose certificates are taken, as 5.5.0 and 4.9.7 on JDK 17 take them: test/interop.TestJavaTakesChains shows the same to both.
func TestChainsOfClients(t *testing.T) {
	chains, trust := kit.ClientChains(t)
	set := files(t, kit.NewAuthority(t), "server")
	set.NeedClientAuth, set.ServerAuthClient = "require", true
	set.ServerTrust = kit.WriteFile(t, filepath.Join(t.TempDir(), "trust"), trust)
	s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Enforcing))
	for _, c := range chains {
		t.Run(c.Name, func(t *testing.T) {
			if got := asks(t, s, c.TLS()); got != c.Taken {
				t.Errorf("served %v, want %v", got, c.Taken)
			}
		})
	}
}

// Java's key store takes no chain that is out of order, so that the original does not start. serve takes it.
func TestChainsOfServers(t *testing.T) {
	isCA := func(c *x509.Certificate) { c.IsCA = true }
	root := (*kit.Identity)(nil).IssueBare(t, "root", isCA)
	middle := root.IssueBare(t, "middle", isCA)
	server, other := middle.IssueBare(t, "server"), root.IssueBare(t, "other")
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

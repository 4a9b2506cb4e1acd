package rpc

import (
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/remoting/pemkey"
	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	all13  = "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384,TLS_CHACHA20_POLY1305_SHA256"
	some13 = "TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256" // what a JDK 8 has
	of12   = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
)

func TestOffer(t *testing.T) {
	for _, c := range []struct {
		protocols, ciphers string
		original           bool
		min, max           uint16 // 0: Go's
		suites             string // names with commas between them
		left, fault        string // parts of them
	}{
		{"", "", false, 0, 0, "", "", ""},
		{"TLSv1.2", "", false, tls.VersionTLS12, tls.VersionTLS12, "", "", ""},
		{"TLSv1.3,TLSv1.2", "", false, tls.VersionTLS12, tls.VersionTLS13, "", "", ""},
		{"tlsv1.3", "", false, tls.VersionTLS13, tls.VersionTLS13, "", "", ""},
		{"TLSv1.1, TLSv1.2", "", false, tls.VersionTLS12, tls.VersionTLS12, "", "TLSv1.1", ""},
		{"TLSv1,SSLv3", "", false, 0, 0, "", "", "none of these is safe"},
		{"TLSv1.4", "", false, 0, 0, "", "", "no protocol TLSv1.4"},
		{" , ", "", false, 0, 0, "", "", "none of these"},
		{"", of12, false, 0, tls.VersionTLS12, of12, "", ""},
		{"", "ECDHE-RSA-AES128-GCM-SHA256", false, 0, tls.VersionTLS12, of12, "", ""},
		{"", "ecdhe-rsa-aes128-gcm-sha256:" + of12, false, 0, tls.VersionTLS12, of12, "", ""},
		{"", "SSL_RSA_WITH_3DES_EDE_CBC_SHA", false, 0, tls.VersionTLS12, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "", ""},
		{"", all13, false, tls.VersionTLS13, 0, "", "", ""},
		{"", all13 + "," + of12, false, 0, 0, of12, "", ""},
		{"", some13 + "," + of12, false, 0, tls.VersionTLS12, of12, "name TLS_CHACHA20_POLY1305_SHA256 too", ""},
		{"", some13, false, 0, 0, "", "", "Go offers all cipher suites of TLS 1.3 or none"},
		{"TLSv1.3", some13 + "," + of12, false, 0, 0, "", "", "Go offers all"},
		{"TLSv1.3", of12, false, 0, 0, "", "", "Go offers all"},
		{"TLSv1.2", all13, false, 0, 0, "", "", "which tls.protocols leaves out"},
		{"TLSv1.2", some13 + "," + of12, false, tls.VersionTLS12, tls.VersionTLS12, of12, "", ""},
		{"", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256," + of12, false, 0, tls.VersionTLS12, of12, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 (Go", ""},
		{"", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256,HIGH", false, 0, 0, "", "", "Go has none of these"},
		{"", some13, true, tls.VersionTLS13, 0, "", "the choice", ""},
		{"", some13 + "," + of12, true, 0, 0, of12, "the choice", ""},
	} {
		t.Run(c.protocols+" "+c.ciphers, func(t *testing.T) {
			o, err := newOffer(c.protocols, c.ciphers, c.original)
			if err != nil || c.fault != "" {
				if err == nil || c.fault == "" || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("want fault %q, got %v", c.fault, err)
				}
				return
			}
			var names []string
			for _, id := range o.suites {
				names = append(names, tls.CipherSuiteName(id))
			}
			left := strings.Join(o.left, "; ")
			if o.min != c.min || o.max != c.max || strings.Join(names, ",") != c.suites || !strings.Contains(left, c.left) || (c.left == "") != (left == "") {
				t.Errorf("%x to %x, %q, left out %q", o.min, o.max, names, left)
			}
		})
	}
}

// Every suite of TLS 1.2 that Go has is known by OpenSSL's name, too.
func TestOpenSSLNamesAreComplete(t *testing.T) {
	var named []string
	for short, name := range openSSL() {
		if suite(short) == nil || suite(short).Name != name {
			t.Errorf("%s is %s, which Go lacks", short, name)
		}
		named = append(named, name)
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !only13(s) && !slices.Contains(named, s.Name) {
			t.Errorf("%s has no name of OpenSSL's", s.Name)
		}
	}
}

// What was asked for is what a client gets.
func TestOfferOnTheWire(t *testing.T) {
	set := files(t, kit.NewAuthority(t), "server")
	set.Protocols, set.Ciphers = "TLSv1.2,TLSv1.3", "ECDHE-ECDSA-AES256-GCM-SHA384,"+some13
	s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Permissive))
	state := dialTLS(t, s, nil).Conn.(*tls.Conn).ConnectionState()
	if state.Version != tls.VersionTLS12 || state.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		t.Errorf("%s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	}
	set.Ciphers = of12 // the key is of ECDSA
	if _, err := NewTLS(set, quiet); err == nil || !strings.Contains(err.Error(), "none of these cipher suites can be used with the certificate") {
		t.Errorf("suites of the other kind: %v", err)
	}
}

// A client certificate that was signed with SHA-1 is refused, and the log says why: the client learns only that it is.
func TestSHA1IsTold(t *testing.T) {
	text, err := os.ReadFile("testdata/sha1.pem") // made by openssl x509 -req -sha1: client, authority, key
	kit.Must(t, err)
	chain, err := pemkey.Certificates(text)
	kit.Must(t, err)
	key, err := pemkey.Key(text, "")
	kit.Must(t, err)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[1].Raw})
	set := files(t, kit.NewAuthority(t), "server")
	set.ServerTrust, set.ServerAuthClient, set.NeedClientAuth = kit.WriteFile(t, filepath.Join(t.TempDir(), "trust"), authority), true, "require"
	log := &kit.Log{}
	use := withTLS(t, set, Permissive)
	s := start(t, handlerFunc{serve: echo}, func(c *Config) {
		use(c)
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	_ = asks(t, s, &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { //nolint:gosec // a test's own
		return &tls.Certificate{Certificate: [][]byte{chain[0].Raw}, PrivateKey: key}, nil
	}})
	kit.Until(t, "told", func() bool { return strings.Contains(log.String(), "signed with SHA-1") })
}

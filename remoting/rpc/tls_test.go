package rpc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var quiet = slog.New(slog.DiscardHandler)

// testMode is the original's default.
var testMode = TLSSettings{TestMode: true, ClientTestMode: true, NeedClientAuth: "none"}

// testTLS is the test mode: a self-signed certificate.
func testTLS(t *testing.T) func(*Config) {
	return withTLS(t, testMode, Permissive)
}

func withTLS(t *testing.T, set TLSSettings, mode TLSMode) func(*Config) {
	t.Helper()
	store, err := NewTLS(set, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.TLS, c.TLSMode = store, mode }
}

func dialTLS(t *testing.T, s *Server, conf *tls.Config) *peer {
	t.Helper()
	p, err := tryTLS(t, s, conf)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryTLS(t *testing.T, s *Server, conf *tls.Config) (*peer, error) {
	if conf == nil {
		conf = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // self-signed
	}
	tc := tls.Client(dial(t, s).Conn, conf)
	p := newPeer(t, tc)
	return p, tc.Handshake()
}

func TestTLSModes(t *testing.T) {
	for _, mode := range []TLSMode{Permissive, Disabled, Enforcing} {
		t.Run(mode.String(), func(t *testing.T) {
			var served atomic.Int64
			s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, resp *remoting.Response) {
				served.Add(1)
				resp.Body = make([]byte, 100<<10) // more than one record, by flushBody
			}}, withTLS(t, testMode, mode))
			plain := dial(t, s)
			plain.Put(request(100, 1, 0, ""))
			if mode == Enforcing {
				plain.Closed()
				if served.Load() != 0 {
					t.Error("plain bytes were executed in enforcing mode")
				}
			} else if _, body := plain.recv(); len(body) != 100<<10 {
				t.Errorf("body of %d bytes", len(body))
			}
			p, err := tryTLS(t, s, nil)
			if mode == Disabled {
				if err == nil {
					t.Error("handshake in disabled mode")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				p.Put(append(request(206, i, 2, ""), request(206, i, 0, strings.Repeat("x", 50<<10))...))
				p.wantHeader(`"opaque":` + itoa(i) + `,`)
			}
		})
	}
}

func TestTLSBehindProxyHeader(t *testing.T) {
	remote := make(chan string, 1)
	s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) {
		remote <- c.RemoteAddr().String()
	}}, testTLS(t))
	raw := dial(t, s)
	raw.Put([]byte("PROXY TCP6 2001:db8::1 ::1 1000 9876\r\n"))
	tc := tls.Client(raw.Conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // self-signed
	p := newPeer(t, tc)
	p.Put(request(206, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	if got := <-remote; got != "[2001:db8::1]:1000" {
		t.Errorf("remote %s", got)
	}
}

func TestTLSWithoutCertificateCloses(t *testing.T) {
	store, err := NewTLS(TLSSettings{ServerCert: "missing.pem", ServerKey: "missing.key"}, quiet)
	if !errors.Is(err, ErrPlain) {
		t.Fatalf("missing files: %v", err)
	}
	s := start(t, handlerFunc{serve: echo}, func(c *Config) { c.TLS = store })
	if _, err := tryTLS(t, s, nil); err == nil {
		t.Error("handshake without a certificate")
	}
	p := dial(t, s)
	p.Put(request(206, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	kit.Until(t, "counted", func() bool { return s.Stats().TLSFailed == 1 })
}

func encrypted(t *testing.T, key crypto.Signer, password string) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	kit.Must(t, err)
	block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte(password), x509.PEMCipherAES256) //nolint:staticcheck // what openssl ec writes
	kit.Must(t, err)
	return pem.EncodeToMemory(block)
}

// The answers to requests that came together are one record, from a connection's first one on.
func TestBatchIsOneRecord(t *testing.T) {
	for name, set := range map[string]TLSSettings{"files": files(t, kit.NewAuthority(t), "server"), "test mode": {TestMode: true}} {
		s := start(t, handlerFunc{serve: func(_ *Conn, _ *remoting.Request, resp *remoting.Response) { resp.Body = make([]byte, 1100) }}, withTLS(t, set, Enforcing))
		p := dialTLS(t, s, nil)
		const batch = 8
		p.Put(bytes.Repeat(request(105, 1, 0, ""), batch))
		kit.Must(t, p.Conn.SetReadDeadline(time.Now().Add(kit.Patience)))
		n, err := p.Conn.Read(make([]byte, 64<<10)) // no more than one record
		if err != nil || n < batch*1100 {
			t.Errorf("%s: the first record has %d bytes: %v", name, n, err)
		}
	}
}

// files writes a server's key pair and trust file.
func files(t *testing.T, ca *kit.Identity, name string) TLSSettings {
	dir := t.TempDir()
	id := ca.Issue(t, name)
	return TLSSettings{
		ServerCert:  kit.WriteFile(t, filepath.Join(dir, "cert"), id.PEM),
		ServerKey:   kit.WriteFile(t, filepath.Join(dir, "key"), id.KeyPEM),
		ServerTrust: kit.WriteFile(t, filepath.Join(dir, "trust"), ca.PEM),
	}
}

func TestClientCertificates(t *testing.T) {
	ours, foreign := kit.NewAuthority(t), kit.NewAuthority(t)
	dir := t.TempDir()
	client := func(a *kit.Identity, name string) *tls.Config {
		set := TLSSettings{}
		if a != nil {
			id := a.Issue(t, name)
			set.ClientCert = kit.WriteFile(t, filepath.Join(dir, name+".cert"), id.PEM)
			set.ClientKey = kit.WriteFile(t, filepath.Join(dir, name+".key"), encrypted(t, id.Key, "s3cret"))
			set.ClientPassword = "s3cret"
		}
		conf, err := ClientTLS(set)
		if err != nil {
			t.Fatal(err)
		}
		return conf
	}
	none, good, bad := client(nil, ""), client(ours, "good"), client(foreign, "bad")
	for _, c := range []struct {
		need       string
		verify     bool
		none, fake bool // served
	}{
		{"none", true, true, true},
		{"nonsense", true, true, true},
		{"optional", false, true, true},
		{"optional", true, true, false},
		{"REQUIRE", false, false, true},
		{"require", true, false, false},
	} {
		t.Run(c.need+"/"+map[bool]string{true: "verify", false: "any"}[c.verify], func(t *testing.T) {
			set := files(t, ours, "server")
			set.NeedClientAuth, set.ServerAuthClient = c.need, c.verify
			s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Enforcing))
			for name, p := range map[string]struct {
				conf *tls.Config
				want bool
			}{"none": {none, c.none}, "good": {good, true}, "foreign": {bad, c.fake}} {
				if got := asks(t, s, p.conf); got != p.want {
					t.Errorf("%s certificate: served %v, want %v", name, got, p.want)
				}
			}
		})
	}
}

// asks says whether a request over TLS is answered. With TLS 1.3 a refusal is only seen after the handshake.
func asks(t *testing.T, s *Server, conf *tls.Config) bool {
	p, err := tryTLS(t, s, conf)
	if err != nil {
		return false
	}
	if _, err := p.Write(request(206, 1, 0, "")); err != nil {
		return false
	}
	_, err = p.TryNext(kit.Patience)
	return err == nil
}

func TestClientVerifiesServer(t *testing.T) {
	ours, foreign := kit.NewAuthority(t), kit.NewAuthority(t)
	set := files(t, ours, "server")
	s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Permissive))
	for _, c := range []struct {
		trust []byte
		want  bool
	}{{ours.PEM, true}, {foreign.PEM, false}} {
		conf, err := ClientTLS(TLSSettings{ClientAuthServer: true, ClientTrust: kit.WriteFile(t, filepath.Join(t.TempDir(), "trust"), c.trust)})
		if err != nil {
			t.Fatal(err)
		}
		if got := asks(t, s, conf); got != c.want {
			t.Errorf("served %v, want %v", got, c.want)
		}
	}
}

// What the original lives on with, in plain text, and what keeps its process from starting.
func TestFilesThatCannotBeUsed(t *testing.T) {
	a := kit.NewAuthority(t)
	good := files(t, a, "server")
	dir := t.TempDir()
	id := a.Issue(t, "server")
	locked := kit.WriteFile(t, filepath.Join(dir, "locked"), encrypted(t, id.Key, "right"))
	cert := kit.WriteFile(t, filepath.Join(dir, "cert"), id.PEM)
	der := kit.WriteFile(t, filepath.Join(dir, "der"), id.Cert.Raw)
	empty, junk := kit.WriteFile(t, filepath.Join(dir, "empty"), nil), kit.WriteFile(t, filepath.Join(dir, "junk"), []byte("garbage"))
	with := func(change func(*TLSSettings)) TLSSettings {
		set := good
		set.ServerAuthClient, set.NeedClientAuth = true, "require"
		change(&set)
		return set
	}
	for name, c := range map[string]struct {
		set  TLSSettings
		want string // in the error; empty: none
		goes bool   // the original goes on
	}{
		"good":           {with(func(*TLSSettings) {}), "", false},
		"locked":         {with(func(s *TLSSettings) { s.ServerCert, s.ServerKey, s.ServerPassword = cert, locked, "right" }), "", false},
		"wrong password": {with(func(s *TLSSettings) { s.ServerKey, s.ServerPassword = locked, "wrong" }), "password given", false},
		"no password":    {with(func(s *TLSSettings) { s.ServerKey = locked }), "no password", false},
		"key empty":      {with(func(s *TLSSettings) { s.ServerKey = empty }), "no PEM block", false},
		"key junk":       {with(func(s *TLSSettings) { s.ServerKey = junk }), "no PEM block", false},
		"key is cert":    {with(func(s *TLSSettings) { s.ServerKey = cert }), "no PEM block", false},
		"key none":       {with(func(s *TLSSettings) { s.ServerKey = "" }), "no path", false},
		"key missing":    {with(func(s *TLSSettings) { s.ServerKey += " " }), "no such file", true},
		"key directory":  {with(func(s *TLSSettings) { s.ServerKey = dir }), "directory", true},
		"other's key":    {with(func(s *TLSSettings) { s.ServerCert = cert }), "not the key", true},
		"cert missing":   {with(func(s *TLSSettings) { s.ServerCert += "x" }), "no such file", true},
		"cert none":      {with(func(s *TLSSettings) { s.ServerCert = "" }), "no path", false},
		"cert empty":     {with(func(s *TLSSettings) { s.ServerCert = empty }), "empty", false},
		"cert DER":       {with(func(s *TLSSettings) { s.ServerCert = der }), "DER", false},
		"cert is key":    {with(func(s *TLSSettings) { s.ServerCert = s.ServerKey }), "private key and no", false},
		"trust missing":  {with(func(s *TLSSettings) { s.ServerTrust += " " }), "no such file", false},
		"trust empty":    {with(func(s *TLSSettings) { s.ServerTrust = empty }), "empty", false},
		"trust is key":   {with(func(s *TLSSettings) { s.ServerTrust = s.ServerKey }), "private key and no", false},
		"trust unused":   {with(func(s *TLSSettings) { s.ServerTrust, s.ServerAuthClient = "none", false }), "", false},
	} {
		_, err := NewTLS(c.set, quiet)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrPlain) != c.goes {
			t.Errorf("%s: want %q (original goes on: %v), got %v (%v)", name, c.want, c.goes, err, errors.Is(err, ErrPlain))
		}
	}
}

// One look at a time, without the watcher's clock.
func TestReload(t *testing.T) {
	a := kit.NewAuthority(t)
	set := files(t, a, "first")
	var log strings.Builder
	store, err := NewTLS(set, slog.New(slog.NewTextHandler(&log, nil)))
	kit.Must(t, err)
	serves := func() string { return store.config().Certificates[0].Leaf.Subject.CommonName }
	now := time.Now()
	look := func(after time.Duration) *tls.Config {
		now = now.Add(after)
		store.look(now)
		return store.config()
	}
	before := look(reloadEvery)
	second := a.Issue(t, "second")
	kit.WriteFile(t, set.ServerCert, second.PEM)
	if look(reloadEvery) != before || look(halfChange-1) != before || log.Len() != 0 {
		t.Errorf("half a change: %s", log.String())
	}
	if look(1); strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("a change that stays half: %s", log.String())
	}
	kit.Must(t, os.Remove(set.ServerTrust))
	kit.WriteFile(t, set.ServerKey, second.KeyPEM)
	if look(halfChange); serves() != "second" || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("serves %s: %s", serves(), log.String())
	}
	renewed := a.IssueFor(t, "renewed", second.Key)
	kit.WriteFile(t, set.ServerCert, renewed.PEM)
	if look(reloadEvery); serves() != "renewed" {
		t.Errorf("serves %s after it was renewed with its key", serves())
	}
	trusting := store.config()
	kit.WriteFile(t, set.ServerTrust, kit.NewAuthority(t).PEM)
	if look(reloadEvery) == trusting {
		t.Error("not reloaded for its trust file")
	}
	if self, expires := store.state(); self || !expires.Equal(renewed.Cert.NotAfter) {
		t.Errorf("state: %v, %v; want until %v", self, expires, renewed.Cert.NotAfter)
	}
}

// Old connections live on with what they have, new ones get the new certificate.
func TestReloadWhileServing(t *testing.T) {
	a := kit.NewAuthority(t)
	set := files(t, a, "first")
	s := start(t, handlerFunc{serve: echo}, withTLS(t, set, Permissive))
	name := func() string {
		p := dialTLS(t, s, nil)
		return p.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	old := dialTLS(t, s, nil)
	if got := name(); got != "first" {
		t.Fatalf("certificate %q", got)
	}
	id := a.Issue(t, "second")
	kit.WriteFile(t, set.ServerCert, id.PEM)
	kit.WriteFile(t, set.ServerKey, id.KeyPEM)
	kit.Until(t, "reloaded", func() bool { return name() == "second" })
	old.Put(request(206, 1, 0, ""))
	old.wantHeader(`"opaque":1,`)
}

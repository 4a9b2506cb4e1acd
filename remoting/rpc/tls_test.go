package rpc

import (
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/youmark/pkcs8"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var quiet = slog.New(slog.DiscardHandler)

// testTLS is the test mode: a self-signed certificate.
func testTLS(t *testing.T) func(*Config) {
	return withTLS(t, DefaultTLSSettings(), Permissive)
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
			}}, withTLS(t, DefaultTLSSettings(), mode))
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
	if err == nil || errors.Is(err, ErrPrivateKey) {
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

func encrypted(t *testing.T, key *ecdsa.PrivateKey, password string) []byte {
	t.Helper()
	der, err := pkcs8.MarshalPrivateKey(key, []byte(password), nil)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files writes a server's key pair and trust file.
func files(t *testing.T, ca *kit.Identity, name string) TLSSettings {
	dir := t.TempDir()
	id := ca.Issue(t, name)
	return TLSSettings{
		ServerCert:  write(t, filepath.Join(dir, "cert"), id.PEM),
		ServerKey:   write(t, filepath.Join(dir, "key"), id.KeyPEM),
		ServerTrust: write(t, filepath.Join(dir, "trust"), ca.PEM),
	}
}

func TestClientCertificates(t *testing.T) {
	ours, foreign := kit.NewAuthority(t), kit.NewAuthority(t)
	dir := t.TempDir()
	client := func(a *kit.Identity, name string) *tls.Config {
		set := TLSSettings{}
		if a != nil {
			id := a.Issue(t, name)
			set.ClientCert = write(t, filepath.Join(dir, name+".cert"), id.PEM)
			set.ClientKey = write(t, filepath.Join(dir, name+".key"), encrypted(t, id.Key, "s3cret"))
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
		conf, err := ClientTLS(TLSSettings{ClientAuthServer: true, ClientTrust: write(t, filepath.Join(t.TempDir(), "trust"), c.trust)})
		if err != nil {
			t.Fatal(err)
		}
		if got := asks(t, s, conf); got != c.want {
			t.Errorf("served %v, want %v", got, c.want)
		}
	}
}

func TestPrivateKeys(t *testing.T) {
	a := kit.NewAuthority(t)
	set := files(t, a, "server")
	id := a.Issue(t, "server")
	write(t, set.ServerCert, id.PEM)
	write(t, set.ServerKey, encrypted(t, id.Key, "right"))
	set.ServerPassword = "right"
	if _, err := NewTLS(set, quiet); err != nil {
		t.Errorf("encrypted key: %v", err)
	}
	set.ServerPassword = "wrong"
	if _, err := NewTLS(set, quiet); !errors.Is(err, ErrPrivateKey) {
		t.Errorf("wrong password: %v", err)
	}
	for _, garbage := range []string{"", "garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"} {
		write(t, set.ServerKey, []byte(garbage))
		if _, err := NewTLS(set, quiet); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("key %q: %v", garbage, err)
		}
	}
}

func TestReload(t *testing.T) {
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
	store := s.cfg.TLS
	first := store.config()
	unwatched, err := NewTLS(set, quiet) // what one look does, without the watcher's clock
	if err != nil {
		t.Fatal(err)
	}
	before := unwatched.config()
	id := a.Issue(t, "second")
	write(t, set.ServerCert, id.PEM)
	unwatched.look()
	if unwatched.config() != before {
		t.Error("reloaded with half a pair")
	}
	if err := os.Remove(set.ServerTrust); err != nil {
		t.Fatal(err)
	}
	write(t, set.ServerKey, id.KeyPEM)
	kit.Until(t, "reloaded", func() bool { return store.config() != first })
	if got := name(); got != "second" {
		t.Errorf("certificate %q after the change", got)
	}
	old.Put(request(206, 1, 0, ""))
	old.wantHeader(`"opaque":1,`)
	second := store.config()
	write(t, set.ServerTrust, kit.NewAuthority(t).PEM)
	kit.Until(t, "reloaded for its trust file", func() bool { return store.config() != second })
}

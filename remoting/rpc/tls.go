package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// TLSMode is tls.server.mode.
type TLSMode int

// The modes of TlsMode.
const (
	Permissive TLSMode = iota // both
	Disabled                  // plain text only
	Enforcing                 // TLS only
)

// ParseTLSMode reads the value of tls.server.mode; what it does not know is Permissive.
func ParseTLSMode(s string) TLSMode {
	switch s {
	case "disabled":
		return Disabled
	case "enforcing":
		return Enforcing
	}
	return Permissive
}

func (m TLSMode) String() string { return [...]string{"permissive", "disabled", "enforcing"}[m] }

// TLSSettings are the values of TlsSystemConfig, server and client side. DefaultTLSSettings has Java's defaults.
type TLSSettings struct {
	TestMode bool // tls.test.mode.enable: a self-signed certificate, any peer is accepted, the rest is ignored

	ServerKey        string // tls.server.keyPath: PEM, PKCS#8
	ServerPassword   string // tls.server.keyPassword
	ServerCert       string // tls.server.certPath: PEM chain
	ServerAuthClient bool   // tls.server.authClient: verify client certificates against ServerTrust
	ServerTrust      string // tls.server.trustCertPath: PEM anchors; empty: the system's
	NeedClientAuth   string // tls.server.need.client.auth: none, optional, require

	ClientKey        string // tls.client.keyPath; with ClientCert, or both empty
	ClientPassword   string // tls.client.keyPassword
	ClientCert       string // tls.client.certPath
	ClientAuthServer bool   // tls.client.authServer: verify the server's chain against ClientTrust
	ClientTrust      string // tls.client.trustCertPath
}

// DefaultTLSSettings are those of TlsSystemConfig.
func DefaultTLSSettings() TLSSettings { return TLSSettings{TestMode: true, NeedClientAuth: "none"} }

// reloadEvery is how often the files are looked at (FileWatchService).
const reloadEvery = 500 * time.Millisecond

// TLS holds the server's certificate and follows changes of its files.
type TLS struct {
	set     TLSSettings
	log     *slog.Logger
	current atomic.Pointer[tls.Config] // nil while there is no usable certificate
	seen    [3][sha256.Size]byte       // cert, key, trust as last looked at; of the watching goroutine
	cert    bool                       // changed since the last reload
	key     bool
}

// NewTLS loads the certificate. With an error that is ErrPrivateKey the process must not start; after any other one the
// returned TLS works but closes handshakes until its files have become usable (TlsHelper, NettyRemotingServer).
func NewTLS(set TLSSettings, log *slog.Logger) (*TLS, error) {
	t := &TLS{set: set, log: log}
	for i, path := range t.files() {
		t.seen[i], _ = digest(path)
	}
	conf, err := serverTLS(set)
	if err == nil {
		t.current.Store(conf)
	}
	return t, err
}

func (t *TLS) config() *tls.Config {
	if t == nil {
		return nil
	}
	return t.current.Load()
}

func (t *TLS) files() [3]string {
	if t.set.TestMode {
		return [3]string{}
	}
	return [3]string{t.set.ServerCert, t.set.ServerKey, t.set.ServerTrust}
}

// watch reloads until ctx ends. New connections use what was loaded last.
func (t *TLS) watch(ctx context.Context) {
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.look()
		}
	}
}

// look reloads when the trust file changed, or certificate and key both did: one of them alone is half of a change
// under way. A file that is gone counts as unchanged.
func (t *TLS) look() {
	var changed [3]bool
	for i, path := range t.files() {
		if sum, ok := digest(path); ok && sum != t.seen[i] {
			t.seen[i], changed[i] = sum, true
		}
	}
	t.cert, t.key = t.cert || changed[0], t.key || changed[1]
	pair := t.cert && t.key
	if !pair && !changed[2] {
		return
	}
	if pair {
		t.cert, t.key = false, false
	}
	conf, err := serverTLS(t.set)
	if err != nil {
		t.log.Error("tls files changed but cannot be used, the former certificate stays", "err", err)
		return
	}
	t.current.Store(conf)
	t.log.Info("tls certificate reloaded", "cert", t.set.ServerCert, "trust", t.set.ServerTrust)
}

func digest(path string) (sum [sha256.Size]byte, ok bool) {
	if path == "" {
		return sum, false
	}
	b, err := readFile(path)
	if err != nil {
		return sum, false
	}
	return sha256.Sum256(b), true
}

// ErrPrivateKey says that a private key cannot be used: the process must not start with it.
var ErrPrivateKey = errors.New("private key cannot be used")

// clientAuth combines tls.server.need.client.auth and tls.server.authClient.
func clientAuth(need string, verify bool) tls.ClientAuthType {
	switch strings.ToLower(need) {
	case "optional":
		if verify {
			return tls.VerifyClientCertIfGiven
		}
		return tls.RequestClientCert
	case "require":
		if verify {
			return tls.RequireAndVerifyClientCert
		}
		return tls.RequireAnyClientCert
	}
	return tls.NoClientCert
}

package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
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

func (m TLSMode) String() string { return [...]string{"permissive", "disabled", "enforcing"}[m] }

// TLSSettings are the values of TlsSystemConfig, server and client side.
type TLSSettings struct {
	TestMode bool // tls.test.mode.enable: a self-signed certificate, any peer is accepted, the rest is ignored

	ServerKey        string // tls.server.keyPath: PEM, see pemkey
	ServerPassword   string // tls.server.keyPassword
	ServerCert       string // tls.server.certPath: PEM chain
	ServerAuthClient bool   // tls.server.authClient: verify client certificates against ServerTrust
	ServerTrust      string // tls.server.trustCertPath: PEM anchors; empty: the system's
	NeedClientAuth   string // tls.server.need.client.auth: none, optional, require
	Protocols        string // tls.protocols: TLSv1.2, TLSv1.3; empty: Go's defaults
	Ciphers          string // tls.ciphers: Java's names or OpenSSL's; empty: Go's defaults
	AsOriginal       bool   // where Go cannot do what the two say, do what comes nearest to the original

	ClientTestMode   bool   // TestMode for connections that this process opens
	ClientKey        string // tls.client.keyPath; with ClientCert, or both empty
	ClientPassword   string // tls.client.keyPassword
	ClientCert       string // tls.client.certPath
	ClientAuthServer bool   // tls.client.authServer: verify the server's chain against ClientTrust
	ClientTrust      string // tls.client.trustCertPath
}

// reloadEvery is how often the files are looked at (FileWatchService).
const reloadEvery = 500 * time.Millisecond

// halfChange is for how long files that do not fit each other are taken for a change under way.
const halfChange = 10 * time.Second

// TLS holds the server's certificate and follows changes of its files.
type TLS struct {
	set     TLSSettings
	log     *slog.Logger
	current atomic.Pointer[tls.Config] // nil while there is no usable certificate

	// Of the watching goroutine.
	seen    [3][sha256.Size]byte // cert, key, trust as last looked at
	pending time.Time            // since when changed files could not be used; zero: they are in use
	told    bool                 // and that was logged
}

// NewTLS loads the certificate. After an error that is ErrPlain the returned TLS works but closes handshakes until its files
// have become usable; with any other one the original's process does not start (TlsHelper, NettyRemotingServer).
func NewTLS(set TLSSettings, log *slog.Logger) (*TLS, error) {
	t := &TLS{set: set, log: log}
	t.changed()
	conf, err := serverTLS(&set)
	if err != nil {
		return t, err
	}
	t.current.Store(conf)
	if o, _ := newOffer(set.Protocols, set.Ciphers, set.AsOriginal); len(o.left) > 0 && !(set.AsOriginal && set.TestMode) {
		log.Warn("tls leaves out some of what tls.protocols and tls.ciphers name", "left_out", o.left)
	}
	t.warnOfDates(time.Now())
	return t, nil
}

func (t *TLS) config() *tls.Config {
	if t == nil {
		return nil
	}
	return t.current.Load()
}

// state is whether the certificate is self-signed, made by this process, and else when it expires; zero: there is none.
func (t *TLS) state() (selfSigned bool, expires time.Time) {
	conf := t.config()
	if conf == nil {
		return false, time.Time{}
	}
	if len(conf.Certificates) == 0 {
		return true, time.Time{}
	}
	return false, conf.Certificates[0].Leaf.NotAfter
}

// Expires is when the certificate expires; zero: there is none, or a self-signed one.
func (t *TLS) Expires() time.Time {
	_, expires := t.state()
	return expires
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
		case now := <-ticker.C:
			t.look(now)
		}
	}
}

// look reloads what has changed, as soon as certificate and key fit each other: until then one of them alone is half of a
// change under way. A certificate that was renewed with the same key is used at once.
func (t *TLS) look(now time.Time) {
	if t.changed() {
		t.pending, t.told = now, false
	}
	if t.pending.IsZero() {
		return
	}
	conf, err := serverTLS(&t.set)
	if err != nil {
		if !t.told && now.Sub(t.pending) >= halfChange {
			t.told = true
			t.log.Error("tls files changed but cannot be used, the former certificate stays", "err", err)
		}
		return
	}
	t.pending = time.Time{}
	t.current.Store(conf)
	t.log.Info("tls certificate reloaded", "cert", t.set.ServerCert, "trust", t.set.ServerTrust)
	t.warnOfDates(now)
}

// warnOfDates tells of a certificate that clients will not take because of its dates.
func (t *TLS) warnOfDates(now time.Time) {
	conf := t.config()
	if conf == nil || len(conf.Certificates) == 0 {
		return
	}
	if leaf := conf.Certificates[0].Leaf; now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		t.log.Warn("tls certificate is not valid now: clients that verify it will not connect", "cert", t.set.ServerCert,
			"from", leaf.NotBefore, "until", leaf.NotAfter)
	}
}

// changed says whether a file is not what it was at the last look. A file that is gone counts as unchanged.
func (t *TLS) changed() (any bool) {
	for i, path := range t.files() {
		if sum, ok := digest(path); ok && sum != t.seen[i] {
			t.seen[i], any = sum, true
		}
	}
	return any
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

// ErrPlain is of faults that the original logs and lives on with, in plain text: a certificate or key that cannot be opened,
// or one that is not the other's. With all others it does not start.
var ErrPlain = errors.New("TLS connections would be closed")

// plain marks an error as ErrPlain.
type plain struct{ error }

func (plain) Is(target error) bool { return target == ErrPlain }
func (p plain) Unwrap() error      { return p.error }

// signedWithSHA1 is the certificate of the peer for which err refuses it; nil: that is not why. Go verifies no such signature.
func signedWithSHA1(err error) *x509.Certificate {
	var refused *tls.CertificateVerificationError
	if !errors.As(err, &refused) {
		return nil
	}
	for _, cert := range refused.UnverifiedCertificates {
		if bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			continue // nobody verifies the signature of an authority on itself
		}
		switch cert.SignatureAlgorithm {
		case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
			return cert
		}
	}
	return nil
}

// clientAuth is tls.server.need.client.auth. What a client shows is judged by verifyChain.
func clientAuth(need string) tls.ClientAuthType {
	switch strings.ToLower(need) {
	case "optional":
		return tls.RequestClientCert
	case "require":
		return tls.RequireAnyClientCert
	}
	return tls.NoClientCert
}

package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// tlsStart is a start of serve that asks for all the protection there is. A mistake is made in one place of it.
type tlsStart struct {
	dir      string
	names    []string          // of the settings, in order
	written  map[string]string // a name as it is written, where that is not the name
	values   map[string]string
	config   bool // the settings stand in tls.config.file, but for the mode
	misplace string
	own      *kit.Identity
	ca       *kit.Identity
}

func newTLSStart(t *testing.T, config bool) *tlsStart {
	s := &tlsStart{dir: t.TempDir(), config: config, written: map[string]string{}, values: map[string]string{}, ca: kit.NewAuthority(t)}
	s.own = s.ca.Issue(t, "asked for")
	for _, setting := range [][2]string{
		{"tls.server.mode", "enforcing"}, {"tls.test.mode.enable", "false"},
		{"tls.server.certPath", s.file(t, "cert", s.own.PEM)}, {"tls.server.keyPath", s.file(t, "key", s.own.KeyPEM)},
		{"tls.server.trustCertPath", s.file(t, "trust", s.ca.PEM)}, {"tls.server.authClient", "true"},
		{"tls.server.need.client.auth", "require"}, {"tls.protocols", "TLSv1.3"},
	} {
		s.names = append(s.names, setting[0])
		s.values[setting[0]] = setting[1]
	}
	return s
}

func (s *tlsStart) file(t *testing.T, name string, text []byte) string {
	path := filepath.Join(s.dir, name)
	kit.Must(t, os.WriteFile(path, text, 0o600))
	return path
}

// settings is the start as serve gets it.
func (s *tlsStart) settings(t *testing.T) (serveSettings, []string) {
	out := usualSettings()
	out.data = filepath.Join(s.dir, "d")
	var file, environ []string
	for _, name := range s.names {
		text := name
		if w, other := s.written[name]; other {
			text = w
		}
		text += "=" + s.values[name]
		switch {
		case s.misplace == "--config "+name:
			out.config = s.file(t, "ns.conf", []byte(text+"\n"))
		case s.misplace == "java "+name:
			environ = append(environ, "JAVA_OPT=-D"+text)
		case s.config && (name != "tls.server.mode" || s.misplace == "file "+name):
			file = append(file, strings.NewReplacer(`\`, `\\`).Replace(text))
		default:
			out.set = append(out.set, text)
		}
	}
	if s.config {
		path := s.file(t, "tls.properties", []byte(strings.Join(file, "\n")+"\n"))
		if s.misplace == "file missing" {
			path += " "
		}
		name := "tls.config.file"
		if w, other := s.written[name]; other {
			name = w
		}
		out.set = append(out.set, name+"="+path)
	}
	return out, environ
}

// mistyped changes one letter: forgotten, doubled, exchanged with its neighbour, mistaken, or in another case.
func mistyped(r *rand.Rand, name string) string {
	for {
		i := r.IntN(len(name) - 1)
		b := []byte(name)
		switch r.IntN(5) {
		case 0:
			b = slices.Delete(b, i, i+1)
		case 1:
			b = slices.Insert(b, i, b[i])
		case 2:
			b[i], b[i+1] = b[i+1], b[i]
		case 3:
			b[i] = 'q'
		case 4:
			b = []byte(string(b[:i]) + strings.ToUpper(string(b[i:i+1])) + string(b[i+1:]))
		}
		if string(b) != name {
			return string(b)
		}
	}
}

// mistake changes one thing and says what.
func (s *tlsStart) mistake(t *testing.T, r *rand.Rand) string {
	name := s.names[r.IntN(len(s.names))]
	paths := []string{"tls.server.certPath", "tls.server.keyPath", "tls.server.trustCertPath"}
	switch kind := r.IntN(5); kind {
	case 0:
		if s.config && r.IntN(8) == 0 {
			name = "tls.config.file"
		}
		s.written[name] = mistyped(r, name)
		return "name " + s.written[name]
	case 1:
		value := s.values[name]
		if name == "tls.protocols" { // a mistake that is another good value is none
			s.values[name] = []string{"TLSv13", "TLSv1", "TLSv1.4", "TLS1.3", "SSLv3", "1.3", ""}[r.IntN(7)]
		} else {
			s.values[name] = []string{value + " ", value + "x", value[:len(value)-1], "", mistyped(r, value)}[r.IntN(5)]
			if strings.EqualFold(s.values[name], value) && name != "tls.server.mode" {
				s.values[name] = value + "x"
			}
		}
		return fmt.Sprintf("value %s=%q", name, s.values[name])
	case 2:
		name = paths[r.IntN(3)]
		s.values[name] = []string{s.dir, s.values[name] + ".pem", s.values[name] + " ", "/nonexistent/x", s.values[paths[(r.IntN(2)+1+slices.Index(paths, name))%3]]}[r.IntN(5)]
		return fmt.Sprintf("path %s=%q", name, s.values[name])
	case 3:
		name = paths[r.IntN(3)]
		good, err := os.ReadFile(s.values[name])
		kit.Must(t, err)
		other := kit.NewAuthority(t)
		contents := [][]byte{nil, []byte("hello\n"), good[:len(good)/2], s.own.Cert.Raw, other.KeyPEM}
		if name == paths[0] {
			contents = append(contents, other.PEM)
		}
		n := r.IntN(len(contents))
		kit.Must(t, os.WriteFile(s.values[name], contents[n], 0o600))
		return fmt.Sprintf("contents %d of %s", n, name)
	}
	s.misplace = []string{"--config " + name, "java " + name, "file tls.server.mode", "file missing"}[r.IntN(4)]
	return "place " + s.misplace
}

// protects says what a server lacks of what was asked for; empty: nothing.
func (s *tlsStart) protects(t *testing.T, addr string) (lacks []string) {
	request := kit.JSONFrame(`{"code":206,"opaque":1}`)
	served := func(config *tls.Config) bool {
		c := kit.Dial(t, addr)
		defer c.Close()
		if config != nil {
			inner, err := c.Secure(config)
			if err != nil {
				return false
			}
			c = inner
		}
		if c.TryPut(request) != nil {
			return false
		}
		_, err := c.TryNext(kit.Patience)
		return err == nil
	}
	with := func(id *kit.Identity, version uint16) *tls.Config {
		config := &tls.Config{InsecureSkipVerify: true, MaxVersion: version} //nolint:gosec // a test's own certificate
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if id == nil {
				return &tls.Certificate{}, nil
			}
			return new(id.TLS()), nil
		}
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if !state.PeerCertificates[0].Equal(s.own.Cert) {
				lacks = append(lacks, "the certificate that was asked for")
			}
			return nil
		}
		return config
	}
	good := s.ca.Issue(t, "client")
	for what, config := range map[string]*tls.Config{
		"no plain text": nil, "a client certificate": with(nil, 0), "its verification": with(kit.NewAuthority(t), 0),
		"TLS 1.3 alone": with(good, tls.VersionTLS12),
	} {
		if served(config) {
			lacks = append(lacks, what)
		}
	}
	if !served(with(good, 0)) && !served(with(s.own, 0)) { // with its own certificate for trust file it serves who has that
		t.Errorf("it does not serve who may be served")
	}
	return lacks
}

// run starts a node as serve does; an error is a start that was refused.
func (s *tlsStart) run(t *testing.T) (lacks []string, err error) {
	settings, environ := s.settings(t)
	p := &program{stdout: io.Discard, stderr: io.Discard, environ: environ, newNode: newNode}
	cfg, _, err := p.serveConfig(settings)
	if err != nil {
		return nil, err
	}
	n, err := node.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	kit.Must(t, n.Start(t.Context()))
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		kit.Must(t, n.Stop(ctx))
	}()
	return s.protects(t, n.Addr().String()), nil
}

// TLS does not fail open: of starts with one mistake in a name, a value, a path, the contents of a file or the place where it
// stands, none serves less protection than was asked for.
func TestTLSDoesNotFailOpen(t *testing.T) {
	for _, config := range []bool{false, true} {
		if lacks, err := newTLSStart(t, config).run(t); err != nil || lacks != nil {
			t.Fatalf("without a mistake: lacks %q, %v", lacks, err)
		}
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("SEED"), "1"), 10, 64)
	kit.Must(t, err)
	r := rand.New(rand.NewPCG(seed, 2))
	refused := 0
	for i := range 100 {
		s := newTLSStart(t, i%2 == 0)
		what := s.mistake(t, r)
		lacks, err := s.run(t)
		if lacks != nil {
			t.Errorf("%d: %s: lacks %q", i, what, lacks)
		}
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), "tls.") && !strings.Contains(err.Error(), "did you mean") {
				t.Errorf("%d: %s: %v", i, what, err)
			}
		}
	}
	if refused < 60 {
		t.Errorf("%d of 100 starts were refused", refused)
	}
	t.Logf("%d of 100 starts were refused, the others serve all that was asked for", refused)
}

// A list of protocols or ciphers reaches the settings whole, although a flag's values are taken apart at commas.
func TestListsOfSet(t *testing.T) {
	dir := t.TempDir()
	for _, list := range []string{"tls.protocols=TLSv1.2,TLSv1.3", "tls.ciphers=ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256"} {
		if status, _, errs := run("serve", "--check", "--data="+dir, "--set", list, "--set=listenPort=0"); status != 0 {
			t.Errorf("%s: status %d: %s", list, status, errs)
		}
	}
	if status, _, errs := run("serve", "--check", "--data="+dir, "--set=listenPort=0,TLSv1.3"); status == 0 || !strings.Contains(errs, "want NAME=VALUE") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// Commands with -n find out that a NameServer takes TLS alone; where it wants to know who they are, or they want to know who it
// is, a file says so, as it does for RocketMQ's clients.
func TestCommandsSpeakTLS(t *testing.T) {
	s := newTLSStart(t, true)
	client := s.ca.Issue(t, "client")
	cert, key := s.file(t, "client.pem", client.PEM), s.file(t, "client.key", client.KeyPEM)
	foreign := s.file(t, "foreign.pem", kit.NewAuthority(t).PEM)
	mine := "tls.client.certPath=" + cert + "\ntls.client.keyPath=" + key + "\ntls.client.trustCertPath="
	good, bad := s.file(t, "good.properties", []byte(mine+s.values["tls.server.trustCertPath"]+"\n")), s.file(t, "bad.properties", []byte(mine+foreign+"\n"))
	wrong := s.file(t, "wrong.properties", []byte("tls.client.keyPath=nowhere\n"))
	for _, strict := range []bool{false, true} {
		if !strict {
			s.values["tls.server.need.client.auth"] = "none"
		} else {
			s.values["tls.server.need.client.auth"] = "require"
		}
		settings, environ := s.settings(t)
		cfg, _, err := (&program{environ: environ}).serveConfig(settings)
		kit.Must(t, err)
		n, err := node.New(cfg, slog.New(slog.DiscardHandler))
		kit.Must(t, err)
		kit.Must(t, n.Start(t.Context()))
		for _, c := range []struct {
			flags  string
			status int
			want   string
		}{
			{"", map[bool]int{false: 0, true: 1}[strict], map[bool]string{false: "", true: "give a certificate that it trusts with --tls-config FILE"}[strict]},
			{"--tls-config " + good, 0, ""},
			{"--tls-config " + bad, 1, "cannot be asked by TLS as " + bad + " says"},
			{"--tls-config " + wrong, 2, "tls.client.certPath"},
			{"--tls-config " + wrong + "x", 2, "tls.config.file"},
		} {
			for _, command := range []string{"brokers", "health"} {
				var stdout, stderr kit.Log
				p := &program{stdout: &stdout, stderr: &stderr, newNode: newNode}
				args := append([]string{"epitaph", command, "-n", n.Addr().String()}, strings.Fields(c.flags)...)
				if status := p.main(args); status != c.status || !strings.Contains(stderr.String(), c.want) {
					t.Errorf("client certificate required: %v: %s %s: status %d, %s", strict, command, c.flags, status, stderr.String())
				}
			}
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		kit.Must(t, n.Stop(ctx))
		cancel()
	}
}

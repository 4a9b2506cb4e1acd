package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/epitaph-mq/epitaph/nearest"
	"github.com/epitaph-mq/epitaph/node/properties"
)

// TLSMode says what the one port accepts (tls.server.mode).
type TLSMode string

// The modes of the original; any other text means permissive there.
const (
	TLSDisabled   TLSMode = "disabled"   // plain text only
	TLSPermissive TLSMode = "permissive" // plain text and TLS
	TLSEnforcing  TLSMode = "enforcing"  // TLS only
)

// ClientCert says whether the server asks for a client certificate (tls.server.need.client.auth).
type ClientCert string

// The settings of the original, in any case; any other text means none there.
const (
	ClientCertNone     ClientCert = "none"
	ClientCertOptional ClientCert = "optional"
	ClientCertRequire  ClientCert = "require"
)

// TLSClient is for connections that the node itself opens to brokers.
type TLSClient struct {
	Enable        bool   // tls.enable; without it, true in enforcing mode
	TestMode      bool   // any broker is trusted and what follows is ignored (tls.test.mode.enable)
	KeyPath       string // tls.client.keyPath
	KeyPassword   string // tls.client.keyPassword
	CertPath      string // tls.client.certPath
	AuthServer    bool   // tls.client.authServer: verify the broker's certificate
	TrustCertPath string // tls.client.trustCertPath
}

// TLS holds the settings of TlsSystemConfig. Its fields follow the original's rules until Judge changes them.
type TLS struct {
	Mode TLSMode
	// TestMode serves a self-signed certificate made at start and ignores all files below (tls.test.mode.enable).
	TestMode      bool
	KeyPath       string // tls.server.keyPath: PEM
	KeyPassword   string // tls.server.keyPassword
	CertPath      string // tls.server.certPath: a chain in PEM
	AuthClient    bool   // tls.server.authClient: verify client certificates against TrustCertPath
	TrustCertPath string // tls.server.trustCertPath
	ClientCert    ClientCert
	Protocols     string // tls.protocols: names with commas between them; empty: all
	Ciphers       string // tls.ciphers: likewise
	Client        TLSClient
	// ConfigFile overrides everything but Mode and Client.Enable when it is there (tls.config.file).
	ConfigFile string
	// AsOriginal obeys what the original obeys and nothing more: what Judge finds is only to be warned of.
	AsOriginal bool

	given  map[string]tlsSetting // what somebody wrote, by name; of several the last
	faults []*Fault              // found while reading
	told   []string              // likewise, and only worth a line
}

// tlsSetting is a value as somebody wrote it, and where.
type tlsSetting struct{ value, source string }

// DefaultTLSFile is where the original looks for TLS settings unless tls.config.file says otherwise.
const DefaultTLSFile = "/etc/rocketmq/tls.properties"

// The names of TlsSystemConfig (5.5.0).
const (
	tlsMode          = "tls.server.mode"
	tlsEnable        = "tls.enable"
	tlsConfigFile    = "tls.config.file"
	tlsTestMode      = "tls.test.mode.enable"
	tlsNeedAuth      = "tls.server.need.client.auth"
	tlsKey           = "tls.server.keyPath"
	tlsKeyPassword   = "tls.server.keyPassword"
	tlsCert          = "tls.server.certPath"
	tlsAuthClient    = "tls.server.authClient"
	tlsTrust         = "tls.server.trustCertPath"
	tlsClientKey     = "tls.client.keyPath"
	tlsClientKeyPass = "tls.client.keyPassword"
	tlsClientCert    = "tls.client.certPath"
	tlsAuthServer    = "tls.client.authServer"
	tlsClientTrust   = "tls.client.trustCertPath"
	tlsCiphers       = "tls.ciphers"
	tlsProtocols     = "tls.protocols"
)

var tlsNames = []string{
	tlsMode, tlsEnable, tlsConfigFile, tlsTestMode, tlsNeedAuth, tlsKey, tlsKeyPassword, tlsCert, tlsAuthClient, tlsTrust,
	tlsClientKey, tlsClientKeyPass, tlsClientCert, tlsAuthServer, tlsClientTrust, tlsCiphers, tlsProtocols,
}

// wantTLS says what is wrong with a value; empty is well. It is stricter than the original, which reads nonsense as the
// default.
func wantTLS(name, value string) string {
	switch name {
	case tlsMode:
		switch TLSMode(value) {
		case TLSDisabled, TLSPermissive, TLSEnforcing:
			return ""
		}
		return "want disabled, permissive or enforcing, in small letters"
	case tlsNeedAuth:
		switch ClientCert(strings.ToLower(value)) {
		case ClientCertNone, ClientCertOptional, ClientCertRequire:
			return ""
		}
		return "want none, optional or require"
	case tlsEnable, tlsTestMode, tlsAuthClient, tlsAuthServer:
		if strings.EqualFold(value, "true") || strings.EqualFold(value, "false") {
			return ""
		}
		return "want true or false"
	case tlsKeyPassword, tlsClientKeyPass:
		return ""
	}
	if strings.TrimSpace(value) == "" {
		return "it is empty: give a value, or leave the name out"
	}
	return ""
}

func defaultTLS(sys System) TLS {
	t := TLS{given: map[string]tlsSetting{}}
	for name, value := range sys.Properties {
		switch {
		case isTLSName(name):
			t.give(name, value, sys.Source)
		case strings.HasPrefix(name, "tls."):
			t.fault(name, value, sys.Source, "no such setting"+tlsSuggestion(name))
		}
	}
	t.resolve()
	return t
}

// ApplyFile overrides the settings with those of the file that ConfigFile names. Brokers and clients may share it, so a name
// that is not known is told; one that is a letter or two away from a known name is taken for that.
func (t *TLS) ApplyFile(entries []properties.Entry) {
	for _, e := range entries {
		source := fmt.Sprintf("%s:%d", t.ConfigFile, e.Line)
		name := e.Key
		if !isTLSName(name) {
			meant := t.meant(name)
			if meant == "" {
				t.tell("%s: %s is not known and has no effect%s", source, name, tlsSuggestion(name))
				continue
			}
			t.tell("%s: %s is not known and taken for %s: correct the name", source, name, meant)
			name = meant
		}
		switch {
		case name == tlsEnable, name == tlsConfigFile, name == tlsMode && t.AsOriginal:
			t.tell("%s: %s has no effect in this file: it is read from system properties only", source, e.Key)
			continue
		case name == tlsMode:
			if before, elsewhere := t.given[tlsMode]; elsewhere { // and it wins
				if before.value != e.Value {
					t.fault(tlsMode, e.Value, source, before.source+" has another value: say it once")
				}
				continue
			}
			t.tell("%s: %s is obeyed here, and would not be by the original: give it with --set", source, e.Key)
		}
		if e.Other != 0 {
			t.fault(name, e.Value, source, fmt.Sprintf("line %d has another value: say it once", e.Other))
		}
		t.give(name, e.Value, source)
	}
	t.resolve()
}

// meant is the name that a mistyped one is taken for; the original takes it for nothing.
func (t *TLS) meant(name string) string {
	if t.AsOriginal {
		return ""
	}
	// A byte order mark or a hard blank of an editor, as a properties file is read: byte by byte.
	name = strings.TrimFunc(name, func(r rune) bool { return r > unicode.MaxASCII })
	if isTLSName(name) {
		return name
	}
	meant := nearest.Name(name, tlsNames)
	if _, given := t.given[meant]; given || nearest.Distance(strings.ToLower(name), strings.ToLower(meant)) > 2 {
		return ""
	}
	return meant
}

func isTLSName(name string) bool { return slices.Contains(tlsNames, name) }

func tlsSuggestion(name string) string {
	if meant := nearest.Name(name, tlsNames); meant != "" {
		return "; did you mean " + meant + "?"
	}
	return ""
}

// IsTLSName says that name is a setting of TLS, or was probably meant to be one.
func IsTLSName(name string) bool {
	return strings.HasPrefix(strings.ToLower(name), "tls.") || nearest.Name(name, tlsNames) != ""
}

func (t *TLS) fault(name, value, source, remedy string) {
	t.faults = append(t.faults, &Fault{Key: name, Value: value, Source: source, Remedy: remedy})
}

func (t *TLS) tell(format string, args ...any) { t.told = append(t.told, fmt.Sprintf(format, args...)) }

func (t *TLS) give(name, value, source string) {
	if before, twice := t.given[name]; twice && before.value != value {
		t.fault(name, value, source, before.source+" has another value: say it once")
	}
	if remedy := wantTLS(name, value); remedy != "" {
		if trimmed := strings.TrimSpace(value); trimmed != value && wantTLS(name, trimmed) == "" {
			remedy = "blanks around the value are part of it; remove them"
		}
		t.fault(name, value, source, remedy)
	}
	t.given[name] = tlsSetting{value, source}
}

// resolve makes the fields of what was given, by the original's rules.
func (t *TLS) resolve() {
	text := func(name string) string { return t.given[name].value }
	on := func(name string, missing bool) bool {
		if s, given := t.given[name]; given {
			return strings.EqualFold(s.value, "true")
		}
		return missing
	}
	t.Mode = TLSPermissive
	switch mode := TLSMode(text(tlsMode)); mode {
	case TLSDisabled, TLSEnforcing:
		t.Mode = mode
	}
	t.ClientCert = ClientCertNone
	switch c := ClientCert(strings.ToLower(text(tlsNeedAuth))); c {
	case ClientCertOptional, ClientCertRequire:
		t.ClientCert = c
	}
	t.TestMode = on(tlsTestMode, true)
	t.KeyPath, t.KeyPassword, t.CertPath = text(tlsKey), text(tlsKeyPassword), text(tlsCert)
	t.AuthClient, t.TrustCertPath = on(tlsAuthClient, false), text(tlsTrust)
	t.Protocols, t.Ciphers = text(tlsProtocols), text(tlsCiphers)
	t.Client = TLSClient{
		Enable: on(tlsEnable, t.Mode == TLSEnforcing), TestMode: t.TestMode,
		KeyPath: text(tlsClientKey), KeyPassword: text(tlsClientKeyPass), CertPath: text(tlsClientCert),
		AuthServer: on(tlsAuthServer, false), TrustCertPath: text(tlsClientTrust),
	}
	t.ConfigFile = DefaultTLSFile
	if s, given := t.given[tlsConfigFile]; given {
		t.ConfigFile = s.value
	}
}

// FileNamed says that somebody named ConfigFile, which therefore must be there.
func (t *TLS) FileNamed() bool {
	_, named := t.given[tlsConfigFile]
	return named
}

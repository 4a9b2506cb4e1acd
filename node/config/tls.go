package config

import (
	"strings"

	"github.com/epitaph-mq/epitaph/node/properties"
)

// TLSMode says what the one port accepts (tls.server.mode).
type TLSMode string

// The modes of the original; any other text means permissive.
const (
	TLSDisabled   TLSMode = "disabled"   // plain text only
	TLSPermissive TLSMode = "permissive" // plain text and TLS
	TLSEnforcing  TLSMode = "enforcing"  // TLS only
)

// ClientCert says whether the server asks for a client certificate (tls.server.need.client.auth).
type ClientCert string

// The settings of the original; any other text means none.
const (
	ClientCertNone     ClientCert = "none"
	ClientCertOptional ClientCert = "optional"
	ClientCertRequire  ClientCert = "require"
)

// TLSClient is for connections that the node itself opens to brokers.
type TLSClient struct {
	Enable        bool   // tls.enable; without it, true in enforcing mode
	KeyPath       string // tls.client.keyPath
	KeyPassword   string // tls.client.keyPassword
	CertPath      string // tls.client.certPath
	AuthServer    bool   // tls.client.authServer: verify the broker's certificate
	TrustCertPath string // tls.client.trustCertPath
}

// TLS holds the settings of TlsSystemConfig.
type TLS struct {
	Mode TLSMode
	// TestMode serves a self-signed certificate made at start and ignores all files below (tls.test.mode.enable).
	TestMode      bool
	KeyPath       string // tls.server.keyPath: PKCS#8 in PEM
	KeyPassword   string // tls.server.keyPassword
	CertPath      string // tls.server.certPath: a chain in PEM
	AuthClient    bool   // tls.server.authClient: verify client certificates against TrustCertPath
	TrustCertPath string // tls.server.trustCertPath
	ClientCert    ClientCert
	Client        TLSClient
	// ConfigFile overrides everything but Mode and Client.Enable when it is there (tls.config.file).
	ConfigFile string
}

// DefaultTLSFile is where the original looks for TLS settings unless tls.config.file says otherwise.
const DefaultTLSFile = "/etc/rocketmq/tls.properties"

func defaultTLS(sys System) TLS {
	t := TLS{
		Mode:       TLSPermissive,
		TestMode:   true,
		ClientCert: ClientCertNone,
		ConfigFile: DefaultTLSFile,
	}
	switch mode := TLSMode(sys.Properties["tls.server.mode"]); mode {
	case TLSDisabled, TLSEnforcing:
		t.Mode = mode
	}
	t.Client.Enable = t.Mode == TLSEnforcing
	if v, ok := sys.Properties["tls.enable"]; ok {
		t.Client.Enable = strings.EqualFold(v, "true")
	}
	if v, ok := sys.Properties["tls.config.file"]; ok {
		t.ConfigFile = v
	}
	t.set(sys.Properties)
	return t
}

// ApplyFile overrides the settings with those of the file that ConfigFile names.
func (t *TLS) ApplyFile(entries []properties.Entry) {
	values := make(map[string]string, len(entries))
	for _, e := range entries {
		values[e.Key] = e.Value
	}
	t.set(values)
}

// set takes what both places may hold.
func (t *TLS) set(values map[string]string) {
	texts := map[string]*string{
		"tls.server.keyPath":       &t.KeyPath,
		"tls.server.keyPassword":   &t.KeyPassword,
		"tls.server.certPath":      &t.CertPath,
		"tls.server.trustCertPath": &t.TrustCertPath,
		"tls.client.keyPath":       &t.Client.KeyPath,
		"tls.client.keyPassword":   &t.Client.KeyPassword,
		"tls.client.certPath":      &t.Client.CertPath,
		"tls.client.trustCertPath": &t.Client.TrustCertPath,
	}
	for name, field := range texts {
		if v, ok := values[name]; ok {
			*field = v
		}
	}
	switches := map[string]*bool{
		"tls.test.mode.enable":  &t.TestMode,
		"tls.server.authClient": &t.AuthClient,
		"tls.client.authServer": &t.Client.AuthServer,
	}
	for name, field := range switches {
		if v, ok := values[name]; ok {
			*field = strings.EqualFold(v, "true")
		}
	}
	if v, ok := values["tls.server.need.client.auth"]; ok {
		t.ClientCert = ClientCertNone
		switch c := ClientCert(strings.ToLower(v)); c {
		case ClientCertOptional, ClientCertRequire:
			t.ClientCert = c
		}
	}
}

// validate checks what can be known without opening the files, which are judged when the context is built.
func (t *TLS) validate() []error {
	if t.Mode == TLSDisabled || t.TestMode {
		return nil
	}
	var faults []error
	for name, value := range map[string]string{"tls.server.keyPath": t.KeyPath, "tls.server.certPath": t.CertPath} {
		if value == "" {
			faults = append(faults, &Fault{Key: name, Remedy: "want a PEM file, for tls.test.mode.enable is false"})
		}
	}
	return faults
}

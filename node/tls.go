package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"

	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// useTLS sets what the one port accepts.
func useTLS(rc *rpc.Config, t *TLS, _ *slog.Logger) error {
	rc.TLSMode = rpc.ParseTLSMode(string(t.Mode))
	return nil
}

// useClientTLS sets how connections to brokers are made. Without a usable context they fail one by one, as in the
// original, and the log says why.
func useClientTLS(cc *rpc.ClientConfig, t *TLSClient, log *slog.Logger) {
	if !t.Enable {
		return
	}
	cfg, err := clientTLS(t)
	if err != nil {
		log.Warn("TLS towards brokers is not usable", "err", err)
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cc.TLS = cfg
}

func clientTLS(t *TLSClient) (*tls.Config, error) {
	// Without tls.client.authServer the original trusts any broker.
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !t.AuthServer} //nolint:gosec // see above
	if t.AuthServer && t.TrustCertPath != "" {
		pem, err := os.ReadFile(t.TrustCertPath)
		if err != nil {
			return nil, fmt.Errorf("tls.client.trustCertPath: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.client.trustCertPath: %s holds no certificate in PEM", t.TrustCertPath)
		}
	}
	if t.CertPath != "" && t.KeyPath != "" {
		pair, err := tls.LoadX509KeyPair(t.CertPath, t.KeyPath)
		if err != nil {
			return nil, fmt.Errorf("tls.client.certPath, tls.client.keyPath: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

package node

import (
	"crypto/tls"
	"errors"
	"log/slog"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// useTLS sets what the one port accepts. What the original logs and lives on with closes TLS connections; all else keeps the
// node from starting (NettyRemotingServer.loadSslContext).
func useTLS(rc *rpc.Config, t *config.TLS, log *slog.Logger) error {
	switch t.Mode {
	case config.TLSDisabled:
		rc.TLSMode = rpc.Disabled
		return nil
	case config.TLSEnforcing:
		rc.TLSMode = rpc.Enforcing
	case config.TLSPermissive:
		rc.TLSMode = rpc.Permissive
	}
	var err error
	if rc.TLS, err = rpc.NewTLS(tlsSettings(t), log); err != nil {
		if !t.AsOriginal || !errors.Is(err, rpc.ErrPlain) {
			return err
		}
		log.Error("TLS is not usable, its connections will be closed", "err", err)
		return nil
	}
	if t.TestMode {
		log.Info("tls serves a self-signed certificate, for none is configured", "mode", string(t.Mode))
	} else {
		log.Info("tls serves the certificate that is configured", "mode", string(t.Mode), "cert", t.CertPath,
			"until", rc.TLS.Expires(), "client_certificates", string(t.ClientCert), "verified", t.AuthClient)
	}
	return nil
}

// ClientTLS is how connections are made with these settings.
func ClientTLS(t *config.TLS) (*tls.Config, error) { return rpc.ClientTLS(tlsSettings(t)) }

// CheckTLS opens the files that the settings name and says why the node would not start with them.
func CheckTLS(t *config.TLS) error {
	var faults []error
	if t.Mode != config.TLSDisabled {
		_, err := rpc.NewTLS(tlsSettings(t), slog.New(slog.DiscardHandler))
		faults = append(faults, err)
	}
	if t.Client.Enable {
		_, err := rpc.ClientTLS(tlsSettings(t))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// useClientTLS sets how connections to brokers are made. Without a usable context they are made in plain text, as in
// the original, and the log says why.
func useClientTLS(cc *rpc.ClientConfig, t *config.TLS, log *slog.Logger) {
	if !t.Client.Enable {
		return
	}
	cfg, err := rpc.ClientTLS(tlsSettings(t))
	if err != nil {
		log.Error("TLS towards brokers is not usable", "err", err)
		return
	}
	cc.TLS = cfg
}

func tlsSettings(t *config.TLS) rpc.TLSSettings {
	return rpc.TLSSettings{
		TestMode:         t.TestMode,
		ClientTestMode:   t.Client.TestMode,
		Protocols:        t.Protocols,
		Ciphers:          t.Ciphers,
		AsOriginal:       t.AsOriginal,
		ServerKey:        t.KeyPath,
		ServerPassword:   t.KeyPassword,
		ServerCert:       t.CertPath,
		ServerAuthClient: t.AuthClient,
		ServerTrust:      t.TrustCertPath,
		NeedClientAuth:   string(t.ClientCert),
		ClientKey:        t.Client.KeyPath,
		ClientPassword:   t.Client.KeyPassword,
		ClientCert:       t.Client.CertPath,
		ClientAuthServer: t.Client.AuthServer,
		ClientTrust:      t.Client.TrustCertPath,
	}
}

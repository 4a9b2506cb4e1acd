package config

import (
	"strings"

	"github.com/epitaph-mq/epitaph/order"
)

// Judge looks, after the file was applied, at what somebody set: refused is what cannot be meant or cannot be obeyed, told
// what is worth a line. What is asked for by naming a certificate, a key or a trust file is then used, although switches
// that nobody set stand against it. With AsOriginal nothing is changed, and all of refused is to be warned of.
//
// The invariant: without a fault, the server protects no less than what was set asks for.
func (t *TLS) Judge() (refused []*Fault, told []string) {
	if t.Mode != TLSDisabled {
		t.judgeServer()
	}
	if t.Client.Enable {
		t.judgeClient()
	}
	order.Stable(t.faults, func(a, b *Fault) int { return strings.Compare(a.Key, b.Key) })
	return t.faults, t.told
}

// JudgeClient is Judge for a process that only connects.
func (t *TLS) JudgeClient() (refused []*Fault) {
	t.judgeClient()
	return t.faults
}

// asked are those of the names that somebody set to something else than their defaults.
func (t *TLS) asked(names ...string) (asked []string) {
	for _, name := range names {
		s, given := t.given[name]
		if given && s.value != "" && !strings.EqualFold(s.value, "false") && !strings.EqualFold(s.value, string(ClientCertNone)) {
			asked = append(asked, name)
		}
	}
	return asked
}

// serverAsked are those that ask for a certificate of the server's own.
func (t *TLS) serverAsked() []string {
	return t.asked(tlsKey, tlsKeyPassword, tlsCert, tlsTrust, tlsNeedAuth, tlsAuthClient)
}

// testMode judges the switch against what it would make ignored, and says whether it is obeyed.
func (t *TLS) testMode(asked []string) bool {
	s, given := t.given[tlsTestMode]
	if !t.TestMode || len(asked) == 0 {
		return t.TestMode
	}
	names := strings.Join(asked, ", ")
	switch {
	case given:
		t.fault(tlsTestMode, s.value, s.source, "it makes "+names+" ignored: set it to false, or leave it out")
	case t.AsOriginal:
		t.fault(tlsTestMode, "true", "", "it is so by default and makes "+names+" ignored: set it to false")
	default:
		return false
	}
	return true
}

func (t *TLS) judgeServer() {
	_, testGiven := t.given[tlsTestMode]
	asked := t.serverAsked()
	if t.AsOriginal {
		asked = append(asked, t.asked(tlsProtocols, tlsCiphers)...)
	}
	t.TestMode = t.testMode(asked)
	if t.TestMode {
		if t.Mode == TLSEnforcing && !testGiven {
			s := t.given[tlsMode]
			t.fault(tlsMode, s.value, s.source, "want a certificate beside it: set "+tlsCert+" and "+tlsKey+
				" (for a trial, "+tlsTestMode+"=true: a self-signed one that no client can verify)")
		}
		return
	}
	_, authGiven := t.given[tlsAuthClient]
	_, needGiven := t.given[tlsNeedAuth]
	if !t.AsOriginal {
		if t.TrustCertPath != "" && !authGiven {
			t.AuthClient = true
		}
		if t.AuthClient && !needGiven {
			t.ClientCert = ClientCertOptional
		}
	}
	if _, given := t.given[tlsMode]; t.ClientCert == ClientCertRequire && t.Mode == TLSPermissive && !given {
		t.tell("plain text is served too, without any certificate: set %s to enforcing", tlsMode)
	}
	switch {
	case t.AuthClient && t.ClientCert == ClientCertNone:
		t.tell("no client is asked for a certificate, for %s is none: require is what most mean", tlsNeedAuth)
	case t.AuthClient && t.ClientCert == ClientCertOptional && !needGiven:
		t.tell("certificates of clients are verified, and clients without one are served: set %s to require or optional", tlsNeedAuth)
	case t.ClientCert != ClientCertNone && !t.AuthClient:
		t.tell("any certificate of a client is accepted, for %s is not true", tlsAuthClient)
	}
	if t.AuthClient && t.TrustCertPath == "" {
		t.tell("certificates of clients are verified against the public authorities of this system: name your own in %s", tlsTrust)
	}
}

func (t *TLS) judgeClient() {
	c := &t.Client
	c.TestMode = t.Client.TestMode && t.testMode(t.asked(tlsClientKey, tlsClientKeyPass, tlsClientCert, tlsClientTrust, tlsAuthServer))
	if _, given := t.given[tlsAuthServer]; !given && c.TrustCertPath != "" && !t.AsOriginal {
		c.AuthServer = true
	}
}

// validate checks what can be known without opening the files, which are judged when the context is built.
func (t *TLS) validate() []error {
	if t.Mode == TLSDisabled || t.TestMode {
		return nil
	}
	var faults []error
	for _, file := range [][2]string{{tlsCert, t.CertPath}, {tlsKey, t.KeyPath}} {
		if _, given := t.given[file[0]]; file[1] == "" && !given {
			faults = append(faults, &Fault{Key: file[0], Remedy: "want a PEM file, for " + t.whyFiles() + " is set"})
		} else if file[1] == "" && t.AsOriginal {
			faults = append(faults, &Fault{Key: file[0], Remedy: "want a PEM file"})
		}
	}
	return faults
}

// Complete says that certificate and key are named where they are needed; Validate says what is missing.
func (t *TLS) Complete() bool { return len(t.validate()) == 0 }

// whyFiles is what asks for a certificate.
func (t *TLS) whyFiles() string {
	if s, given := t.given[tlsTestMode]; given {
		return tlsTestMode + "=" + s.value
	}
	return strings.Join(t.serverAsked(), ", ")
}

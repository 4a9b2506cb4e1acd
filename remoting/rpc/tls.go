package rpc

import "crypto/tls"

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

// TLS holds the server's certificate and follows changes of its files.
type TLS struct {
	current func() *tls.Config
}

func (t *TLS) config() *tls.Config {
	if t == nil || t.current == nil {
		return nil
	}
	return t.current()
}

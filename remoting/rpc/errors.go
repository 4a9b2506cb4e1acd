package rpc

import "errors"

// Why a connection was closed by this side.
var (
	errNoRoom   = errors.New("no room for a connection that is no broker's")
	errNoMemory = errors.New("no memory left for it")
	errFrameLen = errors.New("frame length out of range")
	errPlain    = errors.New("plain text refused by tls mode enforcing")
	errTLSOff   = errors.New("tls refused by tls mode disabled")
	errNoTLS    = errors.New("tls not configured")
	errClosing  = errors.New("closed")
)

// badInput says that the peer sent what no correct peer sends.
type badInput struct{ err error }

func (b badInput) Error() string { return b.err.Error() }
func (b badInput) Unwrap() error { return b.err }

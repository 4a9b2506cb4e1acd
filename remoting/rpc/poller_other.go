//go:build !linux

package rpc

import "errors"

// poller is Linux's: elsewhere each connection has its goroutine for as long as it is open.
type poller struct{}

func newPoller(*Server) (*poller, error) { return &poller{}, nil }

func (*poller) close() {}

func (*poller) run() {}

func (*poller) look() {}

func (*poller) wait(*Conn) error { return errors.ErrUnsupported }

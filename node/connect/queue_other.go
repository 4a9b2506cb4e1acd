//go:build !linux

package connect

import (
	"net/netip"
	"syscall"
)

type queue struct{}

var none = struct{}{}

func prepare(syscall.RawConn, netip.Addr) (queue, error) { return queue{}, nil }

func (queue) close() {}

func (queue) icmp() bool { return false }

// TellsICMP says that this kernel tells a refusal by ICMP from a reset; both are Refused.
func (*Dialer) TellsICMP() bool { return false }

//go:build !linux

package bench

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

const (
	nodesAddr  = "127.0.0.1"
	brokerPort = 10911
)

var errNoNetwork = errors.New(noNetwork + ": that takes network namespaces, which only Linux has")

func ownNetwork() (*syscall.SysProcAttr, error) { return nil, errNoNetwork }

// hostLink is a wire between nodes and hosts, on Linux.
type hostLink struct{}

func openLink() (*hostLink, error)                          { return nil, errNoNetwork }
func (*hostLink) close()                                    {}
func (*hostLink) appear([]netip.Addr) error                 { return errNoNetwork }
func (*hostLink) vanish([]netip.Addr) error                 { return errNoNetwork }
func (*hostLink) lose(float64) error                        { return errNoNetwork }
func (*hostLink) dial(netip.Addr, string) (net.Conn, error) { return nil, errNoNetwork }

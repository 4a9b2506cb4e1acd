//go:build linux

package netns

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A host whose kernel keeps track of connections, as a firewall does.

func (h *host) tracks() {
	h.t.Helper()
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		rule{h, []string{chain, "-p", "tcp", "-m", "conntrack", "--ctstate", "NEW,ESTABLISHED", "-j", "ACCEPT"}}.apply("-A")
	}
}

// invalid drops what comes in on connections that it does not know.
func (h *host) invalid() {
	h.t.Helper()
	rule{h, []string{"INPUT", "-p", "tcp", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"}}.apply("-A")
}

// loose says whether connections that began unseen are picked up.
func (h *host) loose(on string) (err error) {
	h.within(func() { err = os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", []byte(on), 0o600) })
	return err
}

// forget empties the table of connections (IPCTNL_MSG_CT_DELETE of ctnetlink), as when a firewall fails over. Not every kernel can.
func (h *host) forget() (err error) {
	const ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
	request := binary.NativeEndian.AppendUint32(nil, 20)
	request = binary.NativeEndian.AppendUint16(request, ctDelete)
	request = binary.NativeEndian.AppendUint16(request, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	request = append(request, 1, 0, 0, 0, 0, 0, 0, 0, unix.AF_INET, 0, 0, 0)
	h.within(func() {
		var fd int
		if fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err != nil {
			return
		}
		defer unix.Close(fd)
		answer := make([]byte, 4096)
		if err = unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return
		}
		if _, _, err = unix.Recvfrom(fd, answer, 0); err == nil {
			if errno := -int32(binary.NativeEndian.Uint32(answer[16:])); errno != 0 {
				err = unix.Errno(errno)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("no table of connections to empty: %w", err)
	}
	return nil
}

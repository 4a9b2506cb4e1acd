package connect

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// queue is a second descriptor of a socket whose queue of errors is read after net has closed the first.
type queue int

const none = -1

// prepare makes the kernel keep who was the origin of an error.
func prepare(rc syscall.RawConn, to netip.Addr) (q queue, err error) {
	q = none
	level, option := unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	if to.Unmap().Is4() {
		level, option = unix.IPPROTO_IP, unix.IP_RECVERR
	}
	outer := rc.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), level, option, 1); err != nil {
			return
		}
		var second int
		if second, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			q = queue(second)
		}
	})
	if outer != nil {
		return q, outer
	}
	return q, err
}

func (q queue) close() {
	if q != none {
		_ = unix.Close(int(q))
	}
}

// icmp says that the queue names an ICMP message as the origin of an error.
func (q queue) icmp() bool {
	if q == none {
		return false
	}
	var data, control [512]byte
	for range 16 { // the queue is short
		_, n, _, _, err := unix.Recvmsg(int(q), data[:], control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return false
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil {
			return false
		}
		for _, m := range messages {
			if fromICMP(m) {
				return true
			}
		}
	}
	return false
}

// fromICMP reads a struct sock_extended_err: errno in four bytes, origin in one.
func fromICMP(m unix.SocketControlMessage) bool {
	v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
	v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
	if !v4 && !v6 || len(m.Data) < 5 || binary.NativeEndian.Uint32(m.Data) == 0 {
		return false
	}
	return m.Data[4] == unix.SO_EE_ORIGIN_ICMP || m.Data[4] == unix.SO_EE_ORIGIN_ICMP6
}

// TellsICMP says that this kernel tells a refusal by ICMP from a reset: before Linux 5.8 it does not, and both are Refused.
func (*Dialer) TellsICMP() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	return since58(unix.ByteSliceToString(u.Release[:]))
}

func since58(release string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 8)
}

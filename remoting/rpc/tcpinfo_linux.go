package rpc

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// provable says that this platform tells what the peer acknowledged.
const provable = true

// tcpInfo is what the kernel knows of a connection. Fields that it does not have are 0. It leaves nothing to be collected, as
// unix.GetsockoptTCPInfo does: a watched connection is asked every second.
func tcpInfo(fd int) (info unix.TCPInfo, ok bool) {
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info, errno == 0
}

// bytesAcked is tcpi_bytes_acked: 0 on an accepted socket, then exact. It needs Linux 4.1 or newer.
func bytesAcked(fd int) (uint64, bool) {
	info, ok := tcpInfo(fd)
	if !ok {
		return 0, false
	}
	return info.Bytes_acked, true
}

// States of Linux.
const (
	tcpEstablished = 1
	tcpClose       = 7 // the peer has reset the connection, or did not answer for too long
)

// isOpen says that neither side has ended its sending.
func isOpen(fd int) bool {
	info, ok := tcpInfo(fd)
	return ok && info.State == tcpEstablished
}

// isGone says that nothing can be sent to the peer any more.
func isGone(fd int) bool {
	info, ok := tcpInfo(fd)
	return ok && info.State == tcpClose
}

func setReadBuffer(rc syscall.RawConn, size int) error {
	var err error
	if e := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size) }); e != nil {
		return e
	}
	return err
}

package rpc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// provable says that this platform tells what the peer acknowledged.
const provable = true

// bytesAcked is tcpi_bytes_acked: 0 on an accepted socket, then exact. It needs Linux 4.1 or newer.
func bytesAcked(fd int) (uint64, bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return info.Bytes_acked, true
}

func setReadBuffer(rc syscall.RawConn, size int) error {
	var err error
	if e := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size) }); e != nil {
		return e
	}
	return err
}

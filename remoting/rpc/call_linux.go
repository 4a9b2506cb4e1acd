//go:build !race

package rpc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func readFD(fd int, p []byte) (int, error)  { return call(unix.SYS_READ, fd, p) }
func writeFD(fd int, p []byte) (int, error) { return call(unix.SYS_WRITE, fd, p) }

// call reads or writes a socket that does not block, without a word to Go's scheduler. To that one a system call may take for ever: where
// all was idle each wakes the runtime's monitor, a thread that then looks around every 20 us (record 8). Nothing that takes a while is
// unwatched for it: it calls Yield or looks at its peer, by ordinary calls.
func call(trap uintptr, fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

package clock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Now reads both clocks. It costs two system calls (about 0.2 us): not for the path of a route query.
func Now() Stamp {
	return Stamp{Raw: read(unix.CLOCK_MONOTONIC_RAW), Boot: read(unix.CLOCK_BOOTTIME)}
}

// read never blocks, so it is called raw: the Go scheduler takes a goroutine in another kind of system call for one that
// waits, and with more threads than cores may give its place away.
func read(id uintptr) int64 {
	var t unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0) // both clocks exist since Linux 2.6.39
	return t.Nano()
}

package clock

import "golang.org/x/sys/unix"

// Now reads both clocks. It costs two system calls (about 0.2 us): not for the path of a route query.
func Now() Stamp {
	var raw, boot unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &raw)
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	return Stamp{Raw: raw.Nano(), Boot: boot.Nano()}
}

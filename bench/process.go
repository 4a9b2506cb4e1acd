package bench

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// processState is what a process holds: memory in bytes.
type processState struct {
	rss, anon, peak int64
	files           int
}

// spareFiles is what a run needs beside its connections.
const spareFiles = 64

// enoughFiles says whether this process may open that many connections.
func enoughFiles(connections int) error {
	return enoughFilesFor("connections", connections, "ask for fewer")
}

// enoughFilesFor says whether this process may open n files for what is named. The Go runtime has already raised the
// soft limit to the hard one.
func enoughFilesFor(what string, n int, remedy string) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil //nolint:nilerr // not known: opening them will tell
	}
	if need := uint64(n + spareFiles); limit.Cur < need {
		return fmt.Errorf("%s: these need %d file descriptors and this process may open %d; raise the limit (ulimit -n %d) or %s",
			what, need, limit.Cur, need, remedy)
	}
	return nil
}

// localPID finds the process that serves addr if it runs on this machine; 0 if not known.
func localPID(addr string) int {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return listener(n)
}

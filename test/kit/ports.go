package kit

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// The ports that blocks are taken from. They lie below the range that kernels give to outgoing connections, so
// that no client's connection can take a port between the choice and the bind.
const (
	firstBlock = 21500
	lastBlock  = 21990
	blockSize  = 10
)

// PortBlock returns the first of ten free ports in a row of the loopback address. A broker needs its own port,
// the two below and the one above it. The block stays this test's until it ends, also among test binaries that
// run side by side: a lock file says so.
func PortBlock(t testing.TB) int {
	t.Helper()
	cache, err := Cache()
	if err != nil {
		t.Fatalf("find a block of ports: %v", err)
	}
	for base := firstBlock; base <= lastBlock; base += blockSize {
		name := filepath.Join(cache, fmt.Sprintf("ports-%d.lock", base))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatalf("find a block of ports: %v", err)
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !allFree(base) {
			f.Close()
			continue
		}
		t.Cleanup(func() { f.Close() })
		return base
	}
	t.Fatalf("no block of %d free ports between %d and %d", blockSize, firstBlock, lastBlock+blockSize)
	return 0
}

func allFree(base int) bool {
	for port := base; port < base+blockSize; port++ {
		l, err := net.Listen("tcp", Loopback(port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// Loopback is a port of the loopback address, as HOST:PORT.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// FreePort is a port of the loopback address that nothing used, for UDP and TCP, a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		Must(t, err)
		u, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no port is free")
	return 0
}

package systemd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	kit.Must(t, err)
	t.Cleanup(func() { c.Close() })
	kit.Must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	return c
}

func hear(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	var b [4096]byte
	n, err := c.Read(b[:])
	kit.Must(t, err)
	return string(b[:n])
}

func find(t *testing.T, env map[string]string) *Manager {
	t.Helper()
	m, err := Find(func(name string) string { return env[name] })
	kit.Must(t, err)
	return m
}

// Each message is one datagram, by a path or by a name of Linux' own; a manager that came anew at the same path hears the next.
func TestTell(t *testing.T) {
	dir, err := os.MkdirTemp("", "nt") //nolint:usetesting // the path of a socket must be short
	kit.Must(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	for _, name := range []string{path, fmt.Sprintf("@epitaph-test-%d", os.Getpid()), path} {
		_ = os.Remove(name)
		c := listen(t, name)
		m := find(t, map[string]string{"NOTIFY_SOCKET": name})
		kit.Must(t, m.Tell("READY=1", Status("not ready:\n  waits "), Extend(30*time.Second)))
		if got, want := hear(t, c), "READY=1\nSTATUS=not ready: waits\nEXTEND_TIMEOUT_USEC=30000000"; got != want {
			t.Errorf("%s hears %q, want %q", name, got, want)
		}
	}
	if err := find(t, map[string]string{"NOTIFY_SOCKET": filepath.Join(dir, "none")}).Tell("READY=1"); err == nil {
		t.Error("nobody heard it, and nobody says so")
	}
}

// A server that no manager started is never told.
func TestNobody(t *testing.T) {
	m := find(t, map[string]string{"WATCHDOG_USEC": "60000000"})
	if err := m.Tell("READY=1"); m != nil || err != nil || m.Watchdog() != 0 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestWatchdog(t *testing.T) {
	own := fmt.Sprint(os.Getpid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		wrong     bool
	}{
		{usec: "60000000", pid: own, want: time.Minute},
		{usec: "60000000", want: time.Minute},
		{usec: "60000000", pid: own + "0"},
		{},
		{usec: "1", want: time.Microsecond},
		{usec: "86400000000", want: 24 * time.Hour},
		{usec: "86400000001", wrong: true},
		{usec: "0", wrong: true},
		{usec: "-5", wrong: true},
		{usec: "soon", wrong: true},
	} {
		env := map[string]string{"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		m, err := Find(func(name string) string { return env[name] })
		if m.Watchdog() != c.want || (err != nil) != c.wrong || m == nil {
			t.Errorf("%q for %q: %v, %v", c.usec, c.pid, m.Watchdog(), err)
		}
	}
	if _, err := Find(func(string) string { return "vsock:2:1" }); err == nil {
		t.Error("a socket of another kind is taken")
	}
}

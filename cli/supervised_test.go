package cli

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/systemd"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// notifySocket stands in for systemd.
type notifySocket struct {
	t    *testing.T
	path string
	conn *net.UnixConn
	said []string // assignments, in their order
}

func newNotifySocket(t *testing.T) *notifySocket {
	t.Helper()
	dir, err := os.MkdirTemp("", "nt") //nolint:usetesting // the path of a socket must be short
	kit.Must(t, err)
	path := filepath.Join(dir, "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	kit.Must(t, err)
	t.Cleanup(func() {
		c.Close()
		os.RemoveAll(dir)
	})
	return &notifySocket{t: t, path: path, conn: c}
}

// until reads until an assignment that begins so has come, and returns it.
func (n *notifySocket) until(begin string) string {
	n.t.Helper()
	kit.Must(n.t, n.conn.SetReadDeadline(time.Now().Add(time.Minute)))
	for {
		var b [4096]byte
		size, err := n.conn.Read(b[:])
		if err != nil {
			n.t.Fatalf("%s was not said, but %q: %v", begin, n.said, err)
		}
		lines := strings.Split(string(b[:size]), "\n")
		n.said = append(n.said, lines...)
		if at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, begin) }); at >= 0 {
			return lines[at]
		}
	}
}

// A node says READY as soon as its ports serve, ready or not; why it is not; that it lives, by its own answers; that it drains,
// for which it gets more time; and that it stops.
func TestSystemdIsTold(t *testing.T) {
	sock := newNotifySocket(t)
	s := start(t, []string{"NOTIFY_SOCKET=" + sock.path, "WATCHDOG_USEC=200000"}, "epitaph", "serve", "--listen", "127.0.0.1:0",
		"--data", t.TempDir(), "--gossip", "127.0.0.1:0", "--cluster", "c", "--set", "enableShutdownGracefully=true", "--set", "shutdownWaitTimeSeconds=60")
	sock.until("READY=1")
	if at := slices.IndexFunc(sock.said, func(line string) bool { return strings.HasPrefix(line, "STATUS=not ready: ") }); at < 0 {
		t.Errorf("beside READY=1 the readiness line is not told: %q", sock.said)
	}
	sock.until("WATCHDOG=1")
	sock.until("WATCHDOG=1")
	kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	sock.until("STOPPING=1")
	sock.until("EXTEND_TIMEOUT_USEC=30000000")
	for sock.until("STATUS=") != "STATUS=not ready: draining" {
	}
	if slices.Contains(sock.said, "STATUS=stopping") {
		t.Errorf("it stops before it drained: %q", sock.said)
	}
	kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGTERM)) // cuts the drain short
	for sock.until("STATUS=") != "STATUS=stopping" {
	}
	if status := s.ended(t); status != command.OK {
		t.Errorf("status %d: %s", status, s.log)
	}
	if strings.Contains(s.log.String(), "systemd") {
		t.Errorf("log: %s", s.log)
	}
}

// A node whose manager cannot be told serves all the same, and warns once.
func TestSystemdCannotBeTold(t *testing.T) {
	s := start(t, []string{"NOTIFY_SOCKET=/nowhere/to/be/found", "WATCHDOG_USEC=never"}, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	s.stop(t, syscall.SIGTERM)
	if got := strings.Count(s.log.String(), "systemd cannot be told"); got != 1 || !strings.Contains(s.log.String(), `WATCHDOG_USEC=\"never\"`) {
		t.Errorf("%d warnings: %s", got, s.log)
	}
}

// fakeServer is one whose readiness a test sets.
type fakeServer struct {
	server
	why atomic.Value
}

func (f *fakeServer) Ready() (bool, string) { return false, f.why.Load().(string) }

func tellTo(t *testing.T, sock *notifySocket) (*supervised, *fakeServer) {
	t.Helper()
	m, err := systemd.Find(func(name string) string { return map[string]string{"NOTIFY_SOCKET": sock.path}[name] })
	kit.Must(t, err)
	f := &fakeServer{}
	f.why.Store("not ready: first")
	return &supervised{manager: m, log: slog.New(slog.NewTextHandler(io.Discard, nil)), server: f, stop: func() {}, extend: make(chan struct{})}, f
}

// heard are the assignments that have come.
func (n *notifySocket) heard() (lines []string) {
	n.t.Helper()
	raw, err := n.conn.SyscallConn()
	kit.Must(n.t, err)
	kit.Must(n.t, raw.Read(func(fd uintptr) bool {
		for {
			var b [4096]byte
			size, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_DONTWAIT)
			if err != nil {
				return true
			}
			lines = append(lines, strings.Split(string(b[:size]), "\n")...)
		}
	}))
	return lines
}

// Only changes are told, and a stop that drains asks again and again for as long as it drains.
func TestSystemdFollows(t *testing.T) {
	sock := newNotifySocket(t)
	synctest.Test(t, func(t *testing.T) {
		s, f := tellTo(t, sock)
		s.serving()
		<-time.After(30 * time.Second)
		f.why.Store("ready")
		<-time.After(31 * time.Second) // a second beside what happens every ten
		want := []string{"READY=1", "STATUS=not ready: first", "STATUS=ready"}
		if got := sock.heard(); !slices.Equal(got, want) {
			t.Errorf("said %q, want %q", got, want)
		}
		s.stopping()
		<-time.After(65 * time.Second)
		s.drained()
		<-time.After(time.Minute)
		got := sock.heard()
		if got[0] != "STOPPING=1" || got[len(got)-1] != "STATUS=stopping" {
			t.Errorf("said %q", got)
		}
		if more := slices.DeleteFunc(got, func(line string) bool { return line != "EXTEND_TIMEOUT_USEC=30000000" }); len(more) != 7 {
			t.Errorf("%d times more time was asked for in 65 s, want once and every 10 s", len(more))
		}
	})
}

// The watchdog is fed with each answer, and starves when none comes.
func TestSystemdWatchdog(t *testing.T) {
	sock := newNotifySocket(t)
	synctest.Test(t, func(t *testing.T) {
		s, _ := tellTo(t, sock)
		var silent atomic.Bool
		var asked atomic.Int32
		ctx := t.Context()
		s.loops.Go(func() {
			s.feed(ctx, 15*time.Second, func() error {
				asked.Add(1)
				if silent.Load() {
					return errors.New("no answer")
				}
				return nil
			})
		})
		<-time.After(61 * time.Second)
		if got := sock.heard(); len(got) != 5 || slices.ContainsFunc(got, func(line string) bool { return line != "WATCHDOG=1" }) {
			t.Errorf("fed with %q in a minute", got)
		}
		silent.Store(true)
		<-time.After(time.Minute)
		if got := sock.heard(); len(got) != 0 || asked.Load() < 40 {
			t.Errorf("nobody answers, and it is fed with %q; asked %d times", got, asked.Load())
		}
		silent.Store(false)
		<-time.After(2 * time.Second)
		if got := sock.heard(); len(got) != 1 {
			t.Errorf("it answers again: %q", got)
		}
	})
}

package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// unstarted has no listener yet; it is stopped when the test ends.
func unstarted(t *testing.T) *Server {
	t.Helper()
	table := routes.New(routes.Config{Clock: clock.Now, Encode: func(dst []byte, _ *routes.Route, _ bool) []byte { return dst }})
	h, err := New("", idle{table}, NewCounts(nil, true), slog.New(slog.DiscardHandler))
	kit.Must(t, err)
	t.Cleanup(func() { kit.Must(t, h.Stop(context.Background())) })
	return h
}

// bySocket asks at path.
func bySocket(path string) (status int, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	resp, err := client.Get("http://localhost/readyz")
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "epitaph.sock")
	h := unstarted(t)
	kit.Must(t, h.StartSocket(t.Context(), path, "process 7"))
	if h.Socket() != path {
		t.Errorf("it is at %q", h.Socket())
	}
	if status, err := bySocket(path); status != http.StatusOK || err != nil {
		t.Errorf("%d %v", status, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	// A second node gets nothing, is told whose it is, and leaves it alone.
	err := unstarted(t).StartSocket(t.Context(), path, "process 8")
	if err == nil || !strings.Contains(err.Error(), "locked by process 7") {
		t.Errorf("beside a living one: %v", err)
	}
	if status, err := bySocket(path); status != http.StatusOK || err != nil {
		t.Errorf("after the second one came: %d %v", status, err)
	}
	kit.Must(t, h.Stop(t.Context()))
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// The file is nobody else's from the moment at which it is there.
func TestSocketModeFromTheStart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: only Linux gives a socket's file the mode of the socket")
	}
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "s")
	l, err := bindUnix(t.Context(), path)
	kit.Must(t, err)
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// What a crash left is replaced; what lives, or is no socket, is not.
func TestSocketInTheWay(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	kit.Must(t, err)
	l.SetUnlinkOnClose(false)
	l.Close()
	kit.Must(t, os.WriteFile(stale+".lock", []byte("process 7\n"), 0o600))
	kit.Must(t, unstarted(t).StartSocket(t.Context(), stale, ""))

	living := filepath.Join(dir, "living")
	l, err = net.ListenUnix("unix", &net.UnixAddr{Name: living, Net: "unix"})
	kit.Must(t, err)
	defer l.Close()
	other := filepath.Join(dir, "other") // takes no connection, and lives
	packets, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: other, Net: "unixgram"})
	kit.Must(t, err)
	defer packets.Close()
	file := filepath.Join(dir, "file")
	kit.Must(t, os.WriteFile(file, []byte("precious"), 0o600))
	t.Chdir(dir) // for a path of one byte too many, however long that of dir is
	long := strings.Repeat("x", socketMax+1)
	for path, want := range map[string]string{
		living: "another program listens there", other: "another program listens there", file: "no socket is in the way", long: "at most 107", "/proc/x/y.sock": "no such file",
	} {
		if err := unstarted(t).StartSocket(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if _, err := os.Lstat(path + ".lock"); err == nil {
			t.Errorf("%s.lock is left behind", path)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("%q %v", text, err)
	}
	if c, err := net.Dial("unix", living); err != nil {
		t.Errorf("the living one: %v", err)
	} else {
		c.Close()
	}
}

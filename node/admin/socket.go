package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/node/door"
	"github.com/epitaph-mq/epitaph/node/lockfile"
)

// socketMax is how long the path of a Unix socket may be, in bytes (sun_path of Linux, less its NUL).
const socketMax = 107

// knockTime is how long somebody may take to answer at a socket that is found in the way.
const knockTime = time.Second

// StartSocket binds the Unix socket of path and serves it. holder is one line about this node for whoever finds the path
// taken.
func (h *Server) StartSocket(ctx context.Context, path, holder string) error {
	if len(path) > socketMax {
		return fmt.Errorf("%s: the path has %d bytes, and that of a socket at most %d", path, len(path), socketMax)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	lock, err := lockfile.Take(path+".lock", holder)
	if err != nil {
		return err
	}
	l, err := listenUnix(ctx, path)
	if err != nil {
		lock.Release()
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lock, h.path, h.socket = lock, path, door.Open(ctx, l, readyPath, whenAsked(h.SocketHandler), h.log)
	return nil
}

// Socket is the path of the Unix socket; empty where there is none.
func (h *Server) Socket() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.path
}

// listenUnix takes the place of a socket that nobody listens at, and of nothing else. Whoever calls it has the lock.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := clearSocket(ctx, path); err != nil {
		return nil, err
	}
	l, err := bindUnix(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // where bindUnix cannot do it
		l.Close()
		return nil, err
	}
	return l, nil
}

// bindUnix makes the socket's file. Linux gives it the mode that the socket has when it is bound, so that it is nobody
// else's from the start.
func bindUnix(ctx context.Context, path string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	return lc.Listen(ctx, "unix", path)
}

func clearSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s: something that is no socket is in the way", path)
	}
	d := net.Dialer{Timeout: knockTime}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // what does not let us in may live, too
		return fmt.Errorf("%s: another program listens there", path)
	}
	return os.Remove(path)
}

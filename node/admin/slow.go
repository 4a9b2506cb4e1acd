package admin

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// slowListener tells of clients whose request was never finished: net/http closes their connections without a word.
type slowListener struct {
	net.Listener
	log  *slog.Logger
	told rate.Sometimes // whoever reaches the port could fill the log otherwise
}

func newSlowListener(l net.Listener, log *slog.Logger) *slowListener {
	return &slowListener{Listener: l, log: log, told: rate.Sometimes{First: 3, Interval: 10 * time.Second}}
}

// Accept waits for the next connection.
func (l *slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: conn, l: l}, nil
}

// slowConn knows whether a request is under way on it.
type slowConn struct {
	net.Conn
	l        *slowListener
	idle     atomic.Bool
	deadline atomic.Int64 // of reading, Unix ns
	told     atomic.Bool
}

// notice is the server's ConnState hook.
func notice(conn net.Conn, state http.ConnState) {
	if c, ok := conn.(*slowConn); ok {
		c.idle.Store(state == http.StateIdle)
	}
}

// SetReadDeadline is also how net/http ends a read that it started beside a handler, with a time of decades ago.
func (c *slowConn) SetReadDeadline(t time.Time) error {
	c.deadline.Store(t.UnixNano())
	return c.Conn.SetReadDeadline(t)
}

func (c *slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	meant := time.Since(time.Unix(0, c.deadline.Load())) < time.Hour
	if errors.Is(err, os.ErrDeadlineExceeded) && meant && !c.idle.Load() && c.told.CompareAndSwap(false, true) {
		c.l.told.Do(func() {
			c.l.log.Warn("http: a client did not finish its request in time, its connection is closed", "from", c.RemoteAddr())
		})
	}
	return n, err
}

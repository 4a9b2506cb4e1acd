package rpc

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// raw says that the socket is read by readRaw as long as it is plain text, and can be parked.
func (c *Conn) raw() bool { return c.wire.raw != nil }

// readRaw is the reader of a plain TCP connection. One call of RawConn.Read spans the connection's life: it waits for
// the socket with no buffer held, and Go's net.Conn.Read would prepare and lock for each read anew.
func (c *Conn) readRaw() error {
	var err error
	waitErr := c.wire.raw.Read(func(fd uintptr) bool {
		for {
			var again bool
			if again, err = c.readOnce(int(fd)); err != nil {
				return true
			}
			if !again {
				c.release()
				return false
			}
		}
	})
	if err == nil {
		err = waitErr
	}
	return err
}

// readOnce reads and handles what is there; again is false when the socket is empty.
func (c *Conn) readOnce(fd int) (again bool, err error) {
	p, err := c.space()
	if err != nil {
		return false, err
	}
	n, err := unix.Read(fd, p)
	switch {
	case errors.Is(err, unix.EAGAIN) && c.deaf: // nothing comes after what was there, for the peer is gone
		return false, io.EOF
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	case errors.Is(err, unix.EINTR):
		return true, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, io.EOF
	}
	c.got(n)
	c.wire.meter.in(n)
	if err := c.feed(); err != nil {
		return false, err
	}
	if c.closing.Load() != nil {
		return false, errClosing
	}
	return true, nil
}

// canCatchUp says that writeSome works here.
const canCatchUp = true

// writeSome writes what the socket takes at once.
func (w *wire) writeSome(p []byte) (n int) {
	_ = w.raw.Write(func(fd uintptr) bool {
		n, _ = unix.Write(int(fd), p)
		return true
	})
	return max(n, 0)
}

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
		c.wire.fd = int(fd)
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
	c.wire.fd = 0
	if err == nil {
		err = waitErr
	}
	return err
}

// readOnce reads and handles what is there; again is false when the socket is empty. The first time it looks twice: many peers ask once and go.
func (c *Conn) readOnce(fd int) (again bool, err error) {
	p, err := c.space()
	if err != nil {
		return false, err
	}
	n, err := readFD(fd, p)
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
	read := c.loop.read
	c.loop.read = true
	return n == len(p) || !read || !c.mayWait(), nil
}

// mayWait says that a read that left room need not be followed by one that finds nothing: what comes later wakes the goroutine. An end that
// came together with the bytes does not. It is found by the sweeper, which asks no connection that is unparkable or within a frame, and that
// is too late where the end of the connection means something.
func (c *Conn) mayWait() bool {
	return c.loop.r == c.loop.w && !c.deaf && c.Value() == nil && c.state.Load() == active
}

// writeNow writes what the socket takes at once, while readRaw holds it open.
func (w *wire) writeNow(p []byte) int {
	if w.fd == 0 || w.conn.closing.Load() != nil {
		return 0
	}
	n, _ := writeFD(w.fd, p) // what it fails for, the next one fails for
	return max(n, 0)
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

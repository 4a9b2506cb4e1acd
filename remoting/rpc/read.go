package rpc

import (
	"io"
	"time"
)

// deafTime is how long the end of what a peer sent who is gone may be waited for.
const deafTime = time.Second

// readFrom is the reader of a connection that is TLS, in memory, or not on Linux: it waits with a small buffer.
func (c *Conn) readFrom(r io.Reader) error {
	for {
		p, err := c.space()
		if err != nil {
			return err
		}
		if c.deaf {
			_ = c.wire.SetReadDeadline(time.Now().Add(deafTime))
		}
		n, err := r.Read(p)
		if n > 0 {
			c.got(n)
			if err := c.feed(); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if c.closing.Load() != nil {
			return errClosing
		}
		if c.loop.r == c.loop.w {
			c.release()
		}
	}
}

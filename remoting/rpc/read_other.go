//go:build !linux

package rpc

import "errors"

func (c *Conn) raw() bool { return false }

func (c *Conn) readRaw() error { return c.readFrom(c.net) }

// readOnce is for connections that are read raw: there are none.
func (*Conn) readOnce(int) (again bool, err error) { return false, errors.ErrUnsupported }

const canCatchUp = false

func (*wire) writeSome([]byte) int { return 0 }

func (*wire) writeNow([]byte) int { return 0 }

//go:build !linux

package rpc

func (c *Conn) raw() bool { return false }

func (c *Conn) readRaw() error { return c.readFrom(c.net) }

const canCatchUp = false

func (*wire) writeSome([]byte) int { return 0 }

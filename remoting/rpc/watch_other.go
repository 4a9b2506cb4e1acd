//go:build !linux

package rpc

import "net"

// watchable: elsewhere the kernel does not tell when it last heard of the peer.
const watchable = false

type setter func()

func setOption() {}

func watchSocket(int, int64, setter) (paced bool, err error) { return false, net.ErrClosed }

func setPatience(int, int64, setter) error { return net.ErrClosed }

func probeSocket(int) error { return net.ErrClosed }

func lookAt(int) (Look, bool) { return Look{}, false }

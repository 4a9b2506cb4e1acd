//go:build race

package rpc

import "syscall"

// The race detector takes what one goroutine writes to a socket and another one reads as order, if package syscall does it.

func readFD(fd int, p []byte) (int, error)  { return syscall.Read(fd, p) }
func writeFD(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }

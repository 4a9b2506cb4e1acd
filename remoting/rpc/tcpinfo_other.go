//go:build !linux

package rpc

import "syscall"

// provable: no other platform has tcpi_bytes_acked, so a node there makes no tombstone of its own.
const provable = false

func bytesAcked(int) (uint64, bool) { return 0, false }

// isOpen is asked where life can be proven.
func isOpen(int) bool { return true }

// isGone is found out by a write only.
func isGone(int) bool { return false }

// setReadBuffer leaves it to each accepted socket.
func setReadBuffer(syscall.RawConn, int) error { return nil }

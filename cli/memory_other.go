//go:build !linux

package cli

func unmapProgram() error { return nil }

package config

import (
	"fmt"
	"os"
)

// CheckDataDir says why the KV store could not be kept in dir. It makes the directory, as the first write would.
func CheckDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("data directory cannot be made: %w", err)
	}
	f, err := os.CreateTemp(dir, ".writable.*.tmp")
	if err != nil {
		return fmt.Errorf("data directory cannot be written: %w", err)
	}
	name := f.Name()
	f.Close()
	if err := os.Remove(name); err != nil {
		return fmt.Errorf("data directory cannot be written: %w", err)
	}
	return nil
}

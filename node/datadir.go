package node

import (
	"fmt"
	"os"
	"path/filepath"
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

// checkDataDir warns at the start of what would otherwise be told with the first change that is refused. The node
// serves all the same: routes are in memory.
func (n *Node) checkDataDir() {
	dir := filepath.Dir(n.kv.Path())
	if err := CheckDataDir(dir); err != nil {
		n.log.Warn("KV values cannot be kept, and every change of one will be refused: "+
			"make the directory writable for this user, or give another one with --data", "dir", dir, "err", err)
	}
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/epitaph-mq/epitaph/node/atomicfile"
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

// CheckFile says why a change could not be kept in the file of path. It makes the directory, as the first write would.
func CheckFile(path string) error {
	path = atomicfile.Target(path)
	if err := CheckDataDir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) { // the directory counts, but what is there must be kept
		f, err = os.Open(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("file cannot be replaced: %w", err)
	}
	return f.Close()
}

// CheckWhole says that text, which file holds, is not what a change while a node ran (code 318) found or left there.
func CheckWhole(file string, text []byte) error {
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		return fmt.Errorf("%s: it has bytes that are 0, which no such file has: a write to it was cut short%s", file, PutBack(file))
	case len(text) == 0 && atomicfile.Kept(file) != "":
		return fmt.Errorf("%s: it is empty%s, or move both away", file, PutBack(file))
	}
	return nil
}

// PutBack is what to do about a file that is lost, if something is left.
func PutBack(file string) string {
	if bak := atomicfile.Kept(file); bak != "" {
		return "; " + atomicfile.PutBack(bak, file)
	}
	return ""
}

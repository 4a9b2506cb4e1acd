// Package atomicfile replaces small files so that a reader, or a machine that loses power, finds either the old
// content or the new one, never a part.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Replace writes content to path and keeps what was there before as path + ".bak". Missing directories are made. Both
// files are written beside their place, synced, and renamed. On an error path is as it was; only the .bak file may
// already hold a copy of it. Symbolic links are followed, and the mode of an existing file is kept.
func Replace(path string, content []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	previous, err := os.ReadFile(path)
	switch {
	case err == nil:
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
		if err := write(path+".bak", previous, mode); err != nil {
			return fmt.Errorf("keep the previous content: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("keep the previous content: %w", err)
	}
	if err := write(path, content, mode); !errors.Is(err, syscall.EBUSY) {
		return err
	}
	return overwrite(path, content)
}

func write(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

// overwrite is for a file that is itself a mount point, as single files given to a container are: it cannot be
// replaced, only written.
func overwrite(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes a rename durable. The new content is in place already, so a file system that cannot sync directories
// costs durability, not the change.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// Package atomicfile replaces small files so that a reader, or a machine that loses power, finds either the old
// content or the new one, never a part.
package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// calls are those to the system that tests count, or let fail.
type calls struct {
	write    func(f *os.File, b []byte, at int64) (int, error)
	truncate func(f *os.File, size int64) error
	sync     func(f *os.File) error
	rename   func(from, to string) error
	read     func(path string) ([]byte, error)
}

var system = calls{
	write:    (*os.File).WriteAt,
	truncate: (*os.File).Truncate,
	sync:     (*os.File).Sync,
	rename:   os.Rename,
	read:     os.ReadFile,
}

// errReadBack says that a file does not hold what was written into it.
var errReadBack = errors.New("the content read back is not what was written")

// errNoFile says that a device or a pipe stands where a file belongs: it may be everybody's, and reading it may never end.
var errNoFile = errors.New("it is no file")

// Replace writes content to path and keeps what was there before as path + ".bak", unless that was empty or torn. Missing
// directories are made. Both files are written beside their place, synced, read back, and renamed. A file that is a
// mount point cannot be renamed to, and is written in place: one with a byte that is 0 was cut short. On an error path is as it
// was, but for one that says otherwise: then the .bak holds what was there. Symbolic links are followed, and the mode of an
// existing file is kept.
func Replace(path string, content []byte) error { return system.replace(path, content) }

// Bak is where Replace keeps the previous content of path.
func Bak(path string) string { return Target(path) + ".bak" }

// Kept is the .bak of path that holds something, or empty. The original leaves its own beside path itself, also where that is a link.
func Kept(path string) string {
	for _, bak := range []string{Bak(path), path + ".bak"} {
		if info, err := os.Stat(bak); err == nil && info.Size() > 0 && !info.IsDir() {
			return bak
		}
	}
	return ""
}

// PutBack says where the content before the last change is, and how it comes back to path.
func PutBack(bak, path string) string {
	return fmt.Sprintf("the content before the last change is in %s: put it back (cp -p %s %s)", bak, bak, path)
}

// Target is the file that path leads to by symbolic links, whether it is there or not. A relative link begins at the directory
// in which it stands, which by links of its own may be another than the one that path names.
func Target(path string) string {
	for range 40 { // as many links as Linux follows
		dir, name := filepath.Split(path)
		if real, err := filepath.EvalSymlinks(dir + "."); err == nil {
			dir = real + string(filepath.Separator)
			path = filepath.Join(real, name)
		}
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = dir + target // not cleaned: what is before a .. in it may be a link
		}
		path = target
	}
	return path
}

func (c *calls) replace(path string, content []byte) error {
	path = Target(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return &fs.PathError{Op: "replace", Path: path, Err: errNoFile}
	}
	sweep(path, time.Now())
	mode := fs.FileMode(0o644)
	previous, err := c.read(path)
	switch {
	case err == nil:
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
		if len(previous) == 0 || bytes.IndexByte(previous, 0) >= 0 && Kept(path) != "" {
			break // lost or torn: the .bak may hold the last content that there was
		}
		if err := c.put(path+".bak", previous, mode); err != nil {
			return fmt.Errorf("keep the previous content: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("keep the previous content: %w", err)
	}
	if err := c.put(path, content, mode); !errors.Is(err, syscall.EBUSY) {
		return err
	}
	return c.overwrite(path, previous, content)
}

// abandoned is the age at which a file beside its place belongs to nobody who still writes it.
const abandoned = time.Hour

// sweep removes what writers of path and of its .bak that were killed have left beside them.
func sweep(path string, now time.Time) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // whoever writes is told
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "."+filepath.Base(path)+".") && strings.HasSuffix(name, ".tmp") {
			if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > abandoned {
				_ = os.Remove(filepath.Join(filepath.Dir(path), name)) // tried again with the next write
			}
		}
	}
}

// put writes a file beside path and renames it to path.
func (c *calls) put(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = c.write(f, content, 0)
	err = errors.Join(err, f.Chmod(mode), c.sync(f), f.Close())
	if err != nil {
		return err
	}
	if err = c.readBack(f.Name(), content); err != nil {
		return err
	}
	if err = c.rename(f.Name(), path); err != nil {
		return err
	}
	c.syncDir(filepath.Dir(path))
	return nil
}

// overwrite is for a file that is itself a mount point, as single files given to a container are. When it fails, it
// writes the previous content again.
func (c *calls) overwrite(path string, previous, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = c.inPlace(f, int64(len(previous)), content); err == nil {
		return nil
	}
	if c.readBack(path, previous) == nil { // nothing of it was touched
		return fmt.Errorf("write in place: %w", err)
	}
	info, back := f.Stat()
	if back == nil {
		back = c.inPlace(f, info.Size(), previous)
	}
	if back != nil {
		return fmt.Errorf("write in place: %w; the file is torn, its previous content is in %s.bak: %w", err, path, back)
	}
	return fmt.Errorf("write in place: %w", err)
}

// inPlace writes content over a file of so many bytes, and never a part of it unseen: until all of it is safe the file has a byte
// that is 0, which no content has. Where the file grows, its room is taken before an old byte is touched.
func (c *calls) inPlace(f *os.File, size int64, content []byte) error {
	end := int64(len(content))
	if end > size {
		if _, err := c.write(f, append([]byte{0}, content[size+1:]...), size); err != nil {
			return errors.Join(err, c.truncate(f, size))
		}
	}
	first := min(1, end)
	if _, err := c.write(f, make([]byte, first), 0); err != nil {
		return err
	}
	if err := c.sync(f); err != nil {
		return err
	}
	if _, err := c.write(f, content[first:], first); err != nil {
		return err
	}
	if err := errors.Join(c.truncate(f, end), c.sync(f)); err != nil {
		return err
	}
	if _, err := c.write(f, content[:first], 0); err != nil {
		return err
	}
	if err := c.sync(f); err != nil {
		return err
	}
	return c.readBack(f.Name(), content)
}

func (c *calls) readBack(path string, content []byte) error {
	got, err := c.read(path)
	if err == nil && !bytes.Equal(got, content) {
		err = errReadBack
	}
	return err
}

// syncDir makes a rename durable. The new content is in place already, so a file system that cannot sync directories
// costs durability, not the change.
func (c *calls) syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = c.sync(d)
		_ = d.Close()
	}
}

// Package lockfile lets one process at a time have something: a file beside it is locked, and the kernel gives the lock up
// when the process ends, however it ends.
package lockfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

const (
	holderMax = 256 // bytes that are read of what the holder says of itself
	tries     = 100 // at a file that others remove meanwhile
)

// Lock is held until Release or the end of the process.
type Lock struct {
	file *os.File
	path string
}

// Held is the error of a lock that another one has.
type Held struct {
	Path   string
	Holder string // what it says of itself; may be empty
}

func (h *Held) Error() string {
	if h.Holder == "" {
		return h.Path + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by %s", h.Path, h.Holder)
}

// Take locks the file of path, which it makes, readable by its owner only; holder is one line for whoever wants it too. A
// file that a dead process has left is taken over. The error is a *Held when a living one has it.
func Take(path, holder string) (*Lock, error) {
	for range tries {
		l, err := take(path)
		if l == nil && err == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := l.say(holder); err != nil {
			l.Release()
			return nil, err
		}
		return l, nil
	}
	return nil, fmt.Errorf("%s is removed again and again", path)
}

func take(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return lock(f, path)
}

// lock returns nothing when f is not the file of path any more: its holder removed it before it was locked here.
func lock(f *os.File, path string) (*Lock, error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			said, _ := io.ReadAll(io.LimitReader(f, holderMax)) // nothing is an answer too
			return nil, &Held{Path: path, Holder: strings.TrimSpace(string(said))}
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	mine, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if there, err := os.Lstat(path); err != nil || !os.SameFile(mine, there) {
		f.Close()
		return nil, nil
	}
	return &Lock{f, path}, nil
}

func (l *Lock) say(holder string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(holder+"\n"), 0)
	return err
}

// Release removes the file and gives the lock up.
func (l *Lock) Release() {
	_ = os.Remove(l.path) // who cannot remove it leaves one that can be taken
	l.file.Close()
}

package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

const (
	crashFile     = "crash.log"
	lastCrashFile = "crash.last.log"
	maxCrash      = 1 << 20 // bytes that are kept of the last one
)

// Crash is what a former run left in the data directory when it ended by a panic or a fatal error of the runtime.
type Crash struct {
	File  string // where the trace is kept from now on
	First string // its first line
	At    time.Time
}

// KeepCrashes makes the runtime write the trace of a crash to crash.log in dir as well, and tells what a former run
// left there; nil: nothing. Told once: it is moved to crash.last.log, in the place of an older one. Programs that share
// dir share the file.
func KeepCrashes(dir string) (last *Crash, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, crashFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the runtime has a descriptor of its own
	last, lastErr := takeCrash(f)
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		return last, errors.Join(lastErr, err)
	}
	return last, lastErr
}

func takeCrash(f *os.File) (*Crash, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	trace, err := io.ReadAll(io.LimitReader(f, maxCrash))
	if err != nil {
		return nil, err
	}
	first, _, _ := bytes.Cut(trace, []byte("\n"))
	last := &Crash{File: filepath.Join(filepath.Dir(f.Name()), lastCrashFile), First: string(first), At: info.ModTime()}
	if err := os.WriteFile(last.File, trace, 0o600); err != nil {
		last.File = f.Name()
		return last, nil //nolint:nilerr // it stays where it is, and is told again
	}
	return last, f.Truncate(0)
}

const (
	threadsFile = "threads.log"
	maxThreads  = 16 << 20 // bytes from which on the file begins anew
)

// AppendThreads adds text to threads.log in dir and returns the file's name. The file begins anew when it has grown
// large.
func AppendThreads(dir string, text []byte) (file string, err error) {
	file = filepath.Join(dir, threadsFile)
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if info, err := os.Stat(file); err == nil && info.Size() > maxThreads {
		flags |= os.O_TRUNC
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	f, err := os.OpenFile(file, flags, 0o600)
	if err != nil {
		return file, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return file, fmt.Errorf("write threads: %w", err)
	}
	return file, nil
}

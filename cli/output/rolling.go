package output

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Rolling is a log file that stays bounded, as RocketMQ's are: once it has grown to its limit it is compressed to
// otherdays/NAME.1.log.gz beside it, and what was there moves on to 2 and so forth; what passes the last number goes.
// Its methods must not be called at the same time.
type Rolling struct {
	path  string
	limit int64 // bytes from which on the file is rolled
	keep  int   // compressed files

	file *os.File
	size int64
	busy chan struct{} // closed when nothing is being compressed; nil when nothing was
}

// NewRolling opens the file of path, which ends in .log, and makes its directory. What a former run had no time to
// compress is compressed now.
func NewRolling(path string, limit int64, keep int) (*Rolling, error) {
	r := &Rolling{path: path, limit: limit, keep: keep}
	if err := r.open(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(r.waiting()); err == nil {
		r.compress()
	}
	return r, nil
}

func (r *Rolling) open() error {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.file, r.size = f, info.Size()
	return nil
}

// Write appends p. After an error the file is opened anew by the next write.
func (r *Rolling) Write(p []byte) (int, error) {
	if r.size >= r.limit && r.idle() {
		if err := r.roll(); err != nil {
			return 0, err
		}
	}
	if r.file == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	n, err := r.file.Write(p)
	r.size += int64(n)
	if err != nil {
		return n, errors.Join(err, r.shut())
	}
	return n, nil
}

// Close waits for what is being compressed.
func (r *Rolling) Close() error {
	if r.busy != nil {
		<-r.busy
	}
	return r.shut()
}

func (r *Rolling) shut() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

func (r *Rolling) idle() bool {
	if r.busy == nil {
		return true
	}
	select {
	case <-r.busy:
		return true
	default:
		return false
	}
}

// waiting is where a full file waits to be compressed.
func (r *Rolling) waiting() string { return r.old("rolled.log") }

func (r *Rolling) old(end string) string {
	name := strings.TrimSuffix(filepath.Base(r.path), ".log")
	return filepath.Join(filepath.Dir(r.path), "otherdays", name+"."+end)
}

// roll begins a new file. One that was cut short by others (a copy that truncates) is not full after all.
func (r *Rolling) roll() error {
	if info, err := os.Stat(r.path); err == nil && info.Size() < r.limit {
		r.size = info.Size()
		return nil
	}
	if err := r.shut(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.waiting()), 0o755); err != nil {
		return err
	}
	if err := os.Rename(r.path, r.waiting()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	r.compress()
	return nil
}

// compress goes on beside the writing. A file that cannot be compressed waits, and is replaced by the next one.
func (r *Rolling) compress() {
	busy := make(chan struct{})
	r.busy = busy
	go func() {
		defer close(busy)
		if r.pack() == nil {
			_ = os.Remove(r.waiting()) // else it is compressed once more
		}
	}()
}

func (r *Rolling) numbered(i int) string { return r.old(fmt.Sprintf("%d.log.gz", i)) }

func (r *Rolling) pack() error {
	packed := r.old("rolled.log.gz")
	if err := gzipTo(packed, r.waiting()); err != nil {
		return errors.Join(err, os.Remove(packed))
	}
	for i := r.keep - 1; i > 0; i-- {
		if err := os.Rename(r.numbered(i), r.numbered(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(packed, r.numbered(1))
}

func gzipTo(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	_, err = io.Copy(z, in)
	return errors.Join(err, z.Close())
}

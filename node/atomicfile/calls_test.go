package atomicfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var errCut = errors.New("the power is cut")

// recorded lets every call to the system through until the one numbered fails, and with it all that follow when dead is
// set. A file of the mounted path cannot be renamed to.
type recorded struct {
	calls
	log     []string
	fails   int
	dead    bool
	mounted string
}

func record(fails int, dead bool, mounted string) *recorded {
	r := &recorded{fails: fails, dead: dead, mounted: mounted}
	r.calls = calls{
		write: func(f *os.File, b []byte, at int64) (int, error) {
			if err := r.called("write", f.Name()); err != nil {
				n, _ := f.WriteAt(b[:len(b)/2], at) // a part of it may be there
				return n, err
			}
			return f.WriteAt(b, at)
		},
		truncate: func(f *os.File, size int64) error {
			return errors.Join(r.called("truncate", f.Name()), f.Truncate(size))
		},
		sync: func(f *os.File) error { return errors.Join(r.called("sync", f.Name()), f.Sync()) },
		rename: func(from, to string) error {
			if err := r.called("rename", to); err != nil {
				return err
			}
			if to == mounted {
				return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EBUSY}
			}
			return os.Rename(from, to)
		},
		read: os.ReadFile,
	}
	return r
}

func (r *recorded) called(call, path string) error {
	base := filepath.Base(path)
	if strings.HasSuffix(base, ".tmp") {
		base = "tmp"
	}
	r.log = append(r.log, call+" "+base)
	if n := len(r.log); n == r.fails || n > r.fails && r.fails > 0 && r.dead {
		return errCut
	}
	return nil
}

func file(t *testing.T, content string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func held(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// What is renamed was synced before, and its directory afterwards, or a power cut leaves an empty file or undoes the change.
func TestReplaceSyncsFileThenDirectory(t *testing.T) {
	path, r := file(t, "before"), record(0, false, "")
	if err := r.replace(path, []byte("after")); err != nil {
		t.Fatal(err)
	}
	const want = "write tmp, sync tmp, rename file.bak, sync dir, write tmp, sync tmp, rename file, sync dir"
	if got := strings.Join(r.log, ", "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A mounted file is never torn unseen: it begins with a zero byte, on the disk, before an old byte is written over, and
// until the new ones are on the disk.
func TestMountedFileIsWrittenInSafeOrder(t *testing.T) {
	path := file(t, "before")
	r := record(0, false, path)
	if err := r.replace(path, []byte("after, and longer")); err != nil {
		t.Fatal(err)
	}
	const want = "write file, write file, sync file, write file, truncate file, sync file, write file, sync file"
	if got := strings.Join(r.log, ", "); !strings.HasSuffix(got, "rename file, "+want) {
		t.Errorf("got %s\nwant at its end %s", got, want)
	}
}

// Whichever call fails, alone or with all that follow (the power is cut, the disk is full for good), the file has its old
// content or its new one, or it is torn, says so by a byte that is 0, and the .bak has the old one. An error that does not speak of a torn file leaves the old content.
func TestNoFailingCallLosesContent(t *testing.T) {
	const before = `{"configTable":{"n":{"k":"vvvvvvvvvvvvvv"}}}`
	for name, after := range map[string]string{
		"same":   strings.ReplaceAll(before, "vv", "ww"),
		"longer": strings.ReplaceAll(before, "vv", "wwwwwww"),
		"less":   strings.ReplaceAll(before, "vv", ""),
	} {
		for _, mount := range []bool{false, true} {
			for _, dead := range []bool{false, true} {
				for fails, reached := 1, true; reached; fails++ {
					path := file(t, before)
					mounted := ""
					if mount {
						mounted = path
					}
					r := record(fails, dead, mounted)
					err := r.replace(path, []byte(after))
					if reached = len(r.log) >= fails; !reached && fails <= 8 {
						t.Fatalf("only %d calls: %v", len(r.log), r.log)
					}
					got := held(t, path)
					torn := got != before && got != after
					said := err != nil && strings.Contains(err.Error(), "is torn")
					switch {
					case torn && (!mount || !said || held(t, path+".bak") != before):
						t.Errorf("%s, mounted %v, dead %v, call %d of %v: %q, .bak %q, %v", name, mount, dead, fails, r.log, got, held(t, path+".bak"), err)
					case torn && !strings.Contains(got, "\x00"):
						t.Errorf("%s, dead %v, call %d of %v: torn, and nothing shows it: %q", name, dead, fails, r.log, got)
					case err != nil && !said && got != before:
						t.Errorf("%s, mounted %v, dead %v, call %d of %v: %v, and the file holds %q", name, mount, dead, fails, r.log, err, got)
					case torn && !dead:
						t.Errorf("%s, call %d of %v: not restored: %q", name, fails, r.log, got)
					}
				}
			}
		}
	}
}

// A file that is there and cannot be read is not replaced: what it holds would be lost.
func TestWhatCannotBeReadStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := record(0, false, "")
	r.read = func(string) ([]byte, error) { return nil, syscall.EIO }
	err := r.replace(path, []byte("new"))
	if text, readErr := os.ReadFile(path); !errors.Is(err, syscall.EIO) || readErr != nil || string(text) != "old" || len(r.log) > 0 {
		t.Errorf("%v; the file holds %q, %v; calls %v", err, text, readErr, r.log)
	}
}

// Nothing takes a file's place that does not hold what was written.
func TestReplaceReadsBack(t *testing.T) {
	for _, mount := range []bool{false, true} {
		path := file(t, "before")
		r := record(0, false, "")
		if mount {
			r = record(0, false, path)
		}
		r.read = func(name string) ([]byte, error) {
			b, err := os.ReadFile(name)
			if bytes.Equal(b, []byte("after")) && (!mount || name == path) {
				b = []byte("aftex")
			}
			return b, err
		}
		if err := r.replace(path, []byte("after")); !errors.Is(err, errReadBack) {
			t.Errorf("mounted %v: %v", mount, err)
		}
		if got := held(t, path); got != "before" {
			t.Errorf("mounted %v: the file holds %q", mount, got)
		}
	}
}

// An empty or torn file is no content to keep, and the .bak beside it may be all that is left.
func TestReplaceKeepsTheBakOfALostFile(t *testing.T) {
	for _, lost := range []string{"", "\x00orn"} {
		path := file(t, lost)
		if err := os.WriteFile(path+".bak", []byte("good"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Replace(path, []byte("after")); err != nil {
			t.Fatal(err)
		}
		if got := held(t, path+".bak"); got != "good" {
			t.Errorf("%q: .bak holds %q", lost, got)
		}
	}
}

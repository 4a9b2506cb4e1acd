package lockfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path, "process 1")
	kit.Must(t, err)
	_, err = Take(path, "process 2")
	held, ok := errors.AsType[*Held](err)
	if !ok || held.Holder != "process 1" || held.Path != path {
		t.Fatalf("%v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	first.Release()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	second, err := Take(path, "process 2")
	kit.Must(t, err)
	second.Release()
}

// What a process that died has left says nothing.
func TestLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	kit.Must(t, os.WriteFile(path, []byte("a process that died, with a longer name\n"), 0o600))
	first, err := Take(path, "process 1")
	kit.Must(t, err)
	defer first.Release()
	if _, err := Take(path, ""); err == nil || err.Error() != path+" is locked by process 1" {
		t.Errorf("%v", err)
	}
}

// A link is not followed: where others may write, it would have us empty a file of their choice.
func TestLinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	kit.Must(t, os.WriteFile(target, []byte("precious"), 0o600))
	kit.Must(t, os.Symlink(target, filepath.Join(dir, "lock")))
	if l, err := Take(filepath.Join(dir, "lock"), "x"); err == nil {
		l.Release()
		t.Error("taken")
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
		t.Errorf("%q %v", text, err)
	}
	kit.Must(t, os.Remove(target))
	if l, err := Take(filepath.Join(dir, "lock"), "x"); err == nil {
		l.Release()
		t.Error("taken behind a link that leads nowhere")
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made where the link leads: %v", err)
	}
}

// What was opened before its holder removed it is no lock, however free it is.
func TestRemovedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path, "1")
	kit.Must(t, err)
	late, err := os.OpenFile(path, os.O_RDWR, 0)
	kit.Must(t, err)
	first.Release()
	again, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // by the next, who has not locked it yet
	kit.Must(t, err)
	defer again.Close()
	if l, err := lock(late, path); l != nil || err != nil {
		t.Errorf("%v %v, want to try again", l, err)
	}
	kit.Must(t, os.Remove(path))
	if l, err := lock(again, path); l != nil || err != nil {
		t.Errorf("%v %v while there is none, want to try again", l, err)
	}
}

// However many take and release it at once, none has it beside another.
func TestRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 300 {
				l, err := Take(path, "x")
				if err != nil {
					continue
				}
				if inside.Add(1) != 1 {
					t.Error("two have it")
				}
				taken.Add(1)
				for range 20 {
					runtime.Gosched() // for others to try meanwhile
				}
				inside.Add(-1)
				l.Release()
			}
		})
	}
	all.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever had it")
	}
}

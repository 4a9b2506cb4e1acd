package output

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// What a former run left is told once, and kept; an empty file is nothing to tell.
func TestLastCrashIsToldOnce(t *testing.T) {
	t.Cleanup(func() { debug.SetCrashOutput(nil, debug.CrashOptions{}) })
	dir := filepath.Join(t.TempDir(), "made")
	for _, step := range []struct{ trace, first, kept string }{
		{"", "", ""}, {"panic: one\n\ngoroutine 1\n", "panic: one", "goroutine 1"}, {"", "", ""},
		{strings.Repeat("x", maxCrash+1), strings.Repeat("x", maxCrash), "x"},
	} {
		if step.trace != "" {
			if err := os.WriteFile(filepath.Join(dir, crashFile), []byte(step.trace), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		last, err := KeepCrashes(dir)
		if err != nil {
			t.Fatal(err)
		}
		if last == nil {
			last = &Crash{}
		}
		trace, _ := os.ReadFile(last.File)
		if last.First != step.first || !strings.Contains(string(trace), step.kept) || len(trace) > maxCrash {
			t.Errorf("%.40q: %.40q kept in %s as %.40q", step.trace, last.First, last.File, trace)
		}
		if info, err := os.Stat(last.File); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s may be read by others: %v", last.File, info.Mode())
		}
	}
	if _, err := KeepCrashes("/proc/nowhere"); err == nil {
		t.Error("no error where nothing can be kept")
	}
}

// The file of threads grows and begins anew.
func TestThreadsFile(t *testing.T) {
	dir := t.TempDir()
	dump := Threads(time.Now(), "epitaph x")
	for _, want := range []string{"Full thread dump epitaph x (go", "TestThreadsFile", "heap: "} {
		if !strings.Contains(string(dump), want) {
			t.Errorf("%q is not in %s", want, dump)
		}
	}
	for _, want := range []int64{5, 10} {
		file, err := AppendThreads(dir, []byte("dump\n"))
		info, statErr := os.Stat(file)
		if err != nil || statErr != nil || info.Size() != want || filepath.Base(file) != "threads.log" {
			t.Fatalf("%s: %v, %v, want %d bytes", file, err, statErr, want)
		}
	}
	if err := os.Truncate(filepath.Join(dir, threadsFile), maxThreads+1); err != nil {
		t.Fatal(err)
	}
	file, err := AppendThreads(dir, []byte("dump\n"))
	if info, statErr := os.Stat(file); err != nil || statErr != nil || info.Size() != 5 {
		t.Errorf("%v, %v: %d bytes", err, statErr, info.Size())
	}
}

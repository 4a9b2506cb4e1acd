package output

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func openRolling(t *testing.T, path string) *Rolling {
	t.Helper()
	r, err := NewRolling(path, 20, 2)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func unpacked(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The names are those of the original; nothing is lost but what passes the last number, and nothing else is left.
func TestRollingFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs", "rocketmqlogs")
	path := filepath.Join(dir, "namesrv.log")
	r := openRolling(t, path)
	var want []string
	for i := range 9 {
		line := fmt.Sprintf("line %d .....\n", i) // two of them are more than the limit
		if _, err := io.WriteString(r, line); err != nil {
			t.Fatal(err)
		}
		want = append(want, line)
		if r.busy != nil {
			<-r.busy
		}
		if i == 4 { // another run goes on with the file
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			r = openRolling(t, path)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	current, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := unpacked(t, filepath.Join(dir, "otherdays", "namesrv.2.log.gz")) + unpacked(t, filepath.Join(dir, "otherdays", "namesrv.1.log.gz")) + string(current)
	if want := strings.Join(want[4:], ""); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	slices.Sort(left)
	if err != nil || len(left) != 2 || !strings.HasSuffix(left[0], "/otherdays/namesrv.1.log.gz") {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What a former run had no time to compress is not lost, and a file that another program cut short is not rolled.
func TestRollingGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "namesrv.log")
	if err := os.Mkdir(filepath.Join(dir, "otherdays"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "otherdays", "namesrv.rolled.log"), []byte("left\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := openRolling(t, path)
	<-r.busy
	if got := unpacked(t, filepath.Join(dir, "otherdays", "namesrv.1.log.gz")); got != "left\n" {
		t.Errorf("got %q", got)
	}
	if _, err := io.WriteString(r, strings.Repeat("x", 30)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(r, "after\n"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "after\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := NewRolling("/proc/nowhere/namesrv.log", 1, 1); err == nil {
		t.Error("no error where no file can be")
	}
}

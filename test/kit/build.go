package kit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Binary is the program, built once for all packages of a run. Under the race detector it is one that looks for races.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := TheBinary()
	Must(t, err)
	return binary
}

// TheBinary is Binary without a test.
var TheBinary = sync.OnceValues(func() (string, error) {
	root, err := findRoot()
	if err != nil {
		return "", err
	}
	if given := os.Getenv("EPITAPH_BIN"); given != "" && raceFlag == "" {
		if !filepath.IsAbs(given) {
			given = filepath.Join(root, given)
		}
		if _, err := os.Stat(given); err != nil {
			return "", fmt.Errorf("EPITAPH_BIN: %w: run make build, or unset it", err)
		}
		return given, nil
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	// One for each working tree, so that runs in two of them do not take turns at building.
	sum := sha256.Sum256([]byte(root))
	binary := filepath.Join(cache, fmt.Sprintf("epitaph-%x%s", sum[:6], raceFlag))
	unlock, err := Lock(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	return binary, BuildTo(binary, root)
})

// Build compiles the program of another checkout, in dir.
func Build(t testing.TB, dir string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "epitaph")
	Must(t, BuildTo(binary, dir))
	return binary
}

// BuildCommit compiles the program as it was at a commit of this repository; where the history does not have that, t is skipped.
func BuildCommit(t testing.TB, commit string) string {
	t.Helper()
	tree := t.TempDir()
	archive := exec.Command("git", "archive", "--format=tar", commit)
	archive.Dir = Root(t)
	var text, errs bytes.Buffer
	archive.Stdout, archive.Stderr = &text, &errs
	if err := archive.Run(); err != nil {
		t.Skipf("SKIPPED: commit %s is not in the history here (a shallow clone?), so the former program cannot be built: %v %s",
			commit, err, errs.String())
	}
	unpack := exec.Command("tar", "-x", "-C", tree)
	unpack.Stdin = &text
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v: %s", commit, err, out)
	}
	return Build(t, tree)
}

// BuildTo compiles the program of the checkout in dir as make build does; where binary is up to date, go leaves it.
func BuildTo(binary, dir string) error {
	args := []string{"build", "-trimpath", "-tags", "nethttpomithttp2,urfave_cli_no_docs,urfave_cli_no_suggest", "-ldflags", "-s -w -funcalign=16", "-o", binary}
	env := append(os.Environ(), "CGO_ENABLED=0")
	if raceFlag != "" {
		args, env = append(args, raceFlag), append(os.Environ(), "CGO_ENABLED=1")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", dir, err, out)
	}
	return nil
}

// Root is the repository that the test stands in.
func Root(t testing.TB) string {
	t.Helper()
	root, err := findRoot()
	Must(t, err)
	return root
}

func findRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no folder above this one is the repository's root")
		}
	}
	return "", err
}

// Cache is the directory of what outlives a run; it exists.
func Cache() (string, error) {
	dir := os.Getenv("EPITAPH_TEST_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the user's cache directory (set EPITAPH_TEST_CACHE): %w", err)
		}
		dir = filepath.Join(base, "epitaph-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	return dir, nil
}

// Lock waits for a lock file that other test binaries respect too.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

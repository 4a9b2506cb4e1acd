package atomicfile

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const insideEnv = "ATOMICFILE_IN_MOUNT_NAMESPACE"

// TestMountedFile replaces a file that is a mount point, on a disk that fills, in a mount namespace of its own.
func TestMountedFile(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		mountedFile(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMountedFile$", "-test.v")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || bytes.Contains(out, []byte("SKIP: TestMountedFile")) {
		t.Skipf("SKIPPED: real mounts need root: %v\n%s", err, out)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestMountedFile")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); errors.Is(err, syscall.EPERM) {
		t.Skip("SKIPPED: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
}

func mountedFile(t *testing.T) {
	mount(t, "none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	host, data := t.TempDir(), t.TempDir()
	mount(t, "none", host, "tmpfs", 0, "size=64k")
	defer func() { _ = syscall.Unmount(host, syscall.MNT_DETACH) }()
	source, path := filepath.Join(host, "file"), filepath.Join(data, "file")
	old := strings.Repeat("old content, ", 1000)
	for _, f := range []string{source, path} {
		if err := os.WriteFile(f, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, source, path, "", syscall.MS_BIND, "")
	defer func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) }()
	if err := os.Rename(path, path+".x"); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("a mounted file could be renamed: %v", err)
	}
	for _, content := range []string{"less", old, strings.ReplaceAll(old, "old", "new"), old} { // it shrinks, grows, stays
		before := held(t, path)
		if err := Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if held(t, source) != content || held(t, path+".bak") != before {
			t.Errorf("the file has %d bytes, want %d; .bak %d, want %d",
				len(held(t, source)), len(content), len(held(t, path+".bak")), len(before))
		}
	}
	if err := Replace(path, bytes.Repeat([]byte("x"), 128<<10)); !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "torn") {
		t.Errorf("on a disk that is too small: %v", err)
	}
	if held(t, source) != old || held(t, path+".bak") != old {
		t.Errorf("a write that failed left %d bytes, .bak %d; want %d", len(held(t, source)), len(held(t, path+".bak")), len(old))
	}
}

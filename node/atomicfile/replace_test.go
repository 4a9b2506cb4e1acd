package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/node/atomicfile"
)

func want(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q, %v; want %q", path, got, err, content)
	}
}

func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := atomicfile.Replace(path, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func TestReplaceMakesDirectoriesAndKeepsThePrevious(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "file")
	replace(t, path, "1")
	replace(t, path, "2")
	replace(t, path, "3")
	want(t, path, "3")
	want(t, path+".bak", "2")
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Errorf("directory has %v, %v; want the file and its .bak", entries, err)
	}
}

func TestReplaceKeepsModeAndLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	replace(t, link, "2")
	want(t, file, "2")
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
	for _, path := range []string{file, file + ".bak"} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
}

// A link into a volume that is still empty stays a link, and the volume gets the file.
func TestReplaceWritesThroughALinkToNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "volume"), 0o700); err != nil {
		t.Fatal(err)
	}
	second, link := filepath.Join(dir, "second"), filepath.Join(dir, "link")
	for from, to := range map[string]string{link: "second", second: "volume/new/file"} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range []string{"1", "2"} {
		replace(t, link, content)
		want(t, filepath.Join(dir, "volume/new/file"), content)
	}
	want(t, filepath.Join(dir, "volume/new/file.bak"), "1")
	for _, path := range []string{link, second} {
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("%s is %v, %v", path, info, err)
		}
	}
}

// A relative link that leads to nothing yet begins where it stands, also when its directory was reached by a link, or its own
// way leads through one.
func TestReplaceWritesWhereARelativeLinkLeads(t *testing.T) {
	dir := t.TempDir()
	for _, made := range []string{"home", "data/store", "data/volume", "other/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, made), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{
		"home/namesrv": "../data/store", "data/store/up": "../volume/up",
		"data/store/way": "../../other/deep", "data/store/through": "way/../through",
	} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	for name, lies := range map[string]string{"up": "data/volume/up", "through": "other/through"} {
		path := filepath.Join(dir, "home/namesrv", name)
		for _, content := range []string{"1", "2"} {
			replace(t, path, content)
			want(t, path, content)
			want(t, filepath.Join(dir, lies), content)
		}
		want(t, atomicfile.Bak(path), "1")
		want(t, filepath.Join(dir, lies+".bak"), "1")
	}
}

func TestReplaceFailsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	replace(t, path, "1")
	if err := os.MkdirAll(filepath.Join(path+".bak", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Replace(path, []byte("2")); err == nil {
		t.Error("no error")
	}
	want(t, path, "1")
}

// A writer that was killed leaves a file, which a later write removes: not one that somebody may still write, and no other file.
func TestAbandonedFilesGo(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	put := func(name string, age time.Time) {
		t.Helper()
		err := os.WriteFile(filepath.Join(dir, name), nil, 0o600)
		if err = errors.Join(err, os.Chtimes(filepath.Join(dir, name), age, age)); err != nil {
			t.Fatal(err)
		}
	}
	gone := map[string]bool{
		".kvConfig.json.1.tmp": true, ".kvConfig.json.bak.2.tmp": true, ".kvConfig.json.young.tmp": false,
		".kvConfig.json": false, "kvConfig.json.3.tmp": false, ".other.4.tmp": false,
	}
	for name := range gone {
		put(name, old)
	}
	put(".kvConfig.json.young.tmp", time.Now())
	replace(t, filepath.Join(dir, "kvConfig.json"), "x")
	for name, want := range gone {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) != want {
			t.Errorf("%s is gone: %v, want %v", name, !want, want)
		}
	}
}

// What is no file is neither read nor replaced: a pipe would never be read to its end, and a device is everybody's.
func TestOnlyFilesAreReplaced(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink(pipe, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link} {
		if err := atomicfile.Replace(path, []byte("x")); err == nil || !strings.Contains(err.Error(), "is no file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("%v, %v", info, err)
	}
}

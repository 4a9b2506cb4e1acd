package house

import (
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// TestArchitectureListsEveryRoom compares the table in docs/architecture.md with the folders that there are.
func TestArchitectureListsEveryRoom(t *testing.T) {
	listed := map[string]bool{}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(read(t, filepath.Join(root, "docs/architecture.md")), -1)
	for _, row := range rows {
		if listed[row[1]] {
			t.Errorf("docs/architecture.md lists %s twice", row[1])
		}
		listed[row[1]] = true
	}
	there := rooms(t)
	if len(there) < 30 {
		t.Fatalf("found only %d folders: mend how this test looks for them", len(there))
	}
	for room := range there {
		if !listed[room] {
			t.Errorf("docs/architecture.md has no row for %s: add \"| `%s` | what it is | ...\" where its neighbours stand", room, room)
		}
	}
	for room := range listed {
		if !there[room] {
			t.Errorf("docs/architecture.md has a row for %s, which does not exist: remove or rename it", room)
		}
	}
}

// TestFilesAreShort: a file that is no test holds one thing, in 500 lines.
func TestFilesAreShort(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		seen++
		if n := strings.Count(read(t, file), "\n"); n > 500 {
			t.Errorf("%s has %d lines: move what stands for itself into a file of its own", file, n)
		}
		return nil
	})
	kit.Must(t, err)
	if seen < 200 {
		t.Errorf("found only %d files: mend how this test looks for them", seen)
	}
}

// rooms are all folders with Go files, and everything that stands directly in test, observe and scripts but Go files.
func rooms(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if hidden := strings.HasPrefix(entry.Name(), ".") && name != "."; hidden || entry.Name() == "testdata" {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		folder := path.Dir(name)
		switch {
		case path.Ext(name) == ".go" && folder != ".":
			found[folder] = true
		case folder == "test" || folder == "observe" || folder == "scripts":
			found[name] = true
		}
		return nil
	})
	kit.Must(t, err)
	return found
}

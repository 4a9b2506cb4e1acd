package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// TestRelease runs make release in a clone of the last commit; both builds share the build cache here.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short; make test has it")
	}
	for _, tool := range []string{"git", "make", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: this machine has no %s", tool)
		}
	}
	clone := filepath.Join(t.TempDir(), "clone")
	out, err := exec.Command("git", "clone", "-q", root, clone).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: the repository cannot be cloned (an archive, or another user's): %s", out)
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = clone
		cmd.Env = append(os.Environ(), "SECOND_GOCACHE="+goEnv(t, "GOCACHE"), "GOFLAGS=",
			"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@localhost", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@localhost")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(name string, args ...string) string {
		t.Helper()
		out, err := run(name, args...)
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return out
	}
	refuses := func(version, why string) {
		t.Helper()
		if out, err := run("make", "release", "VERSION="+version); err == nil || !strings.Contains(out, why) {
			t.Errorf("release of %q: %v, want %q in\n%s", version, err, why, out)
		}
	}
	must("git", "checkout", "-q", "-B", "main")
	must("git", "config", "user.name", "t")
	must("git", "config", "user.email", "t@localhost")
	file := filepath.Join(clone, "CHANGELOG.md")
	before := read(t, file)
	head, _, found := strings.Cut(before, "## [Unreleased]\n")
	if !found {
		t.Fatal("CHANGELOG.md has no section [Unreleased]")
	}

	refuses("", "give a version")
	refuses("v99.0.0", "without v")
	refuses("0.1.0", "has a section 0.1.0")
	write(t, file, before+"- and more\n")
	refuses("99.0.0", "not clean")
	write(t, file, strings.Replace(before, "## [Unreleased]\n", "## [Unreleased]\n\n- One change.\n", 1))
	must("git", "commit", "-qam", "one change")

	must("make", "release", "VERSION=99.0.0")
	if got := strings.TrimSpace(must("git", "describe", "--tags", "--dirty")); got != "v99.0.0" {
		t.Errorf("the commit is %s, not the tag", got)
	}
	if after := read(t, file); !strings.HasPrefix(after, head+"## [Unreleased]\n\n## [99.0.0] - 2") || !strings.Contains(after, "- One change.\n") {
		t.Errorf("CHANGELOG.md is not cut:\n%.1500s", after)
	}
	if says := must("bin/epitaph", "--version"); !strings.Contains(says, "v99.0.0") {
		t.Errorf("the program says that it is %s", says)
	}
	refuses("99.0.0", "the tag v99.0.0 exists")
	refuses("99.0.1", "says nothing under [Unreleased]")
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	kit.Must(t, err)
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	kit.Must(t, os.WriteFile(file, []byte(text), 0o644))
}

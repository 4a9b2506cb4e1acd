package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// A link to this program in place of RocketMQ's script finds the home that the script would find.
func TestScriptHome(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := func(path string) string { return filepath.Join(dir, path) }
	for _, d := range []string{"mq/bin", "usr/bin", "opt"} {
		if err := os.MkdirAll(file(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file("opt/epitaph"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"mq/bin/mqnamesrv":  file("opt/epitaph"),
		"usr/bin/mqnamesrv": "../../mq/bin/mqnamesrv",
	} {
		if err := os.Symlink(target, file(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, called := range []string{"mq/bin/mqnamesrv", "usr/bin/mqnamesrv"} {
		if got := scriptHome(file(called)); got != file("mq") {
			t.Errorf("%s: home %s, want %s", called, got, file("mq"))
		}
	}
	if got := scriptHome(file("nowhere/mqnamesrv")); got != "" {
		t.Errorf("home %q of a program that is not there", got)
	}
}

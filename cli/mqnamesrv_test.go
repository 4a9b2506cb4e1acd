package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// A link to this program in place of RocketMQ's script finds the home that the script would find.
func TestScriptHome(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	kit.Must(t, err)
	file := func(path string) string { return filepath.Join(dir, path) }
	for _, d := range []string{"mq/bin", "usr/bin", "opt"} {
		kit.Must(t, os.MkdirAll(file(d), 0o700))
	}
	kit.Must(t, os.WriteFile(file("opt/epitaph"), nil, 0o700))
	for link, target := range map[string]string{
		"mq/bin/mqnamesrv":  file("opt/epitaph"),
		"usr/bin/mqnamesrv": "../../mq/bin/mqnamesrv",
	} {
		kit.Must(t, os.Symlink(target, file(link)))
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

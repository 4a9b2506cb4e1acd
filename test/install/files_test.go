package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{kit.Root(t)}, parts...)...))
	kit.Must(t, err)
	return string(text)
}

// sh runs a script of the test's own machine.
func sh(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", append([]string{"-ec", script, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, kit.Tail(string(out), 4000))
	}
	return string(out)
}

// variables are those that the program reads, by its own manual.
func variables(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), kit.Binary(t), "man", dir).CombinedOutput(); err != nil {
		t.Fatalf("epitaph man: %v: %s", err, out)
	}
	page, err := os.ReadFile(filepath.Join(dir, "epitaph-serve.1"))
	kit.Must(t, err)
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^Environment: (EPITAPH_\w+)$`).FindAllStringSubmatch(string(page), -1) {
		names = append(names, m[1])
	}
	if len(names) < 20 {
		t.Fatalf("the manual of serve has %d variables", len(names))
	}
	return names
}

// Whatever the packages and manifests set is read by the program.
func TestVariablesAreKnown(t *testing.T) {
	known := variables(t)
	for _, file := range []string{"deploy/package/epitaph.env", "deploy/package/epitaph.service"} {
		set := regexp.MustCompile(`\bEPITAPH_\w+`).FindAllString(read(t, file), -1)
		if len(set) == 0 {
			t.Errorf("%s sets nothing", file)
		}
		for _, name := range set {
			if !slices.Contains(known, name) {
				t.Errorf("%s sets %s, which epitaph serve does not read", file, name)
			}
		}
	}
}

// systemd finds nothing wrong with the unit, and little that it could still be kept from.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
	unit := filepath.Join(t.TempDir(), "epitaph.service")
	text := strings.ReplaceAll(read(t, "deploy/package/epitaph.service"), "/usr/bin/epitaph", kit.Binary(t))
	text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(text, "") // no page is installed here
	kit.Must(t, os.WriteFile(unit, []byte(text), 0o644))
	for _, args := range [][]string{{"verify", "--man=no"}, {"security", "--offline=true", "--threshold=25", "--no-pager"}} {
		out, err := exec.CommandContext(t.Context(), analyze, append(args, unit)...).CombinedOutput()
		if err != nil || args[0] == "verify" && strings.Contains(string(out), "epitaph.service:") {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

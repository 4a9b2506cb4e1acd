package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Every command has a page, and every flag stands in it with its variable and default; the formatter has nothing to complain of.
func TestManual(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pages")
	if status, out, errs := run("man", dir); status != command.OK || out+errs != "" {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	unroffed := strings.NewReplacer(`\fB`, "", `\fI`, "", `\fR`, "", `\-`, "-", `\e`, `\`, `\&`, "")
	read := func(page string) string {
		text, err := os.ReadFile(filepath.Join(dir, page))
		kit.Must(t, err)
		return unroffed.Replace(string(text))
	}
	app := (&program{}).app()
	whole, flags := read("epitaph.1"), 0
	for _, c := range app.Commands {
		if c.Hidden {
			continue
		}
		page := read("epitaph-" + c.Name + ".1")
		if !strings.Contains(whole, ".B "+c.Name+"\n"+c.Usage) || !strings.Contains(page, "epitaph-"+c.Name+" - "+c.Usage) {
			t.Errorf("%s is not told", c.Name)
		}
		for _, f := range c.Flags {
			flags++
			_, entry, found := strings.Cut(page, "\n.TP\n--"+f.Name)
			entry, _, _ = strings.Cut(entry, "\n.TP\n")
			entry += "\n"
			if !found || !strings.Contains(entry, strings.ReplaceAll(f.Usage, "`", "")) || f.Env != "" && !strings.Contains(entry, "\nEnvironment: "+f.Env+"\n") ||
				f.Default != "" && !strings.Contains(entry, "\nDefault: "+f.Default) {
				t.Errorf("%s --%s is told as %q", c.Name, f.Name, entry)
			}
		}
	}
	if !strings.Contains(read("epitaph-serve.1"), "Default: 45s") || flags < 60 {
		t.Errorf("%d flags, or a default that is no text is not told", flags)
	}
	man, err := exec.LookPath("man")
	if err != nil {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
	for _, page := range []string{"epitaph.1", "epitaph-serve.1", "epitaph-health.1"} {
		cmd := exec.CommandContext(t.Context(), man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", filepath.Join(dir, page))
		cmd.Env = append(os.Environ(), "MANROFFSEQ=", "MANWIDTH=80")
		var errs strings.Builder
		cmd.Stderr = &errs
		if _, err := cmd.Output(); err != nil || errs.String() != "" {
			t.Errorf("%s: %v %s", page, err, errs.String())
		}
	}
}

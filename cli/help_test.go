package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	urfave "github.com/urfave/cli/v2"
)

// Every page of help fits 80 columns, and says what it would say unfolded.
func TestHelpFitsTheScreen(t *testing.T) {
	var pages [][]string
	var collect func(path []string, all []*urfave.Command)
	collect = func(path []string, all []*urfave.Command) {
		for _, c := range all {
			if !c.Hidden && c.Name != "help" && c.Name != "mqnamesrv" { // that one has the original's words
				own := append(path[:len(path):len(path)], c.Name)
				pages = append(pages, own)
				collect(own, c.Subcommands)
			}
		}
	}
	app := (&program{}).app()
	collect([]string{"epitaph"}, app.Commands)
	if len(pages) < 15 {
		t.Fatalf("only %d commands", len(pages))
	}
	for _, page := range append(pages, []string{"epitaph"}) {
		var out, errs bytes.Buffer
		if status := Main(append(page, "--help"), &out, &errs); status != 0 {
			t.Errorf("%v: status %d", page, status)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > screenWidth {
				t.Errorf("%v: %d columns: %s", page, n, line)
			}
		}
	}
}

func TestFoldHelp(t *testing.T) {
	words := strings.Repeat("word ", 28)
	page := "NAME:\n   short\n   " + words + "\n   its end\n\n   --flag X  " + words + "\n   " + strings.Repeat("--name ", 6) + "  " + words + "\n"
	folded := foldHelp(page)
	want := func(text string) {
		if !strings.Contains(folded, text) {
			t.Errorf("want %q in\n%s", text, folded)
		}
	}
	want("NAME:\n   short\n   word ")
	want("word word its end\n\n   --flag X  word")
	want("\n             word")
	want("--name\n          word")
	if strings.Join(strings.Fields(folded), " ") != strings.Join(strings.Fields(page), " ") {
		t.Errorf("other words:\n%s", folded)
	}
}

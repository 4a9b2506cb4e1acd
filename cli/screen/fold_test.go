package screen

import (
	"strings"
	"testing"
)

func TestFoldHelp(t *testing.T) {
	words := strings.Repeat("word ", 28)
	page := "NAME:\n   short\n   " + words + "\n   its end\n\n   --flag X  " + words + "\n   " + strings.Repeat("--name ", 6) + "  " + words + "\n"
	folded := Fold(page)
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

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

func TestColumns(t *testing.T) {
	rows := [][]string{{"NAME", "PER S", "P50"}, {"ä", "12", ""}, {"broker", "1", "7"}}
	for right, want := range map[bool]string{
		false: "NAME    PER S  P50\nä       12\nbroker  1      7\n",
		true:  "NAME    PER S  P50\nä          12\nbroker      1    7\n",
	} {
		var out strings.Builder
		if err := Columns(&out, rows, right); err != nil || out.String() != want {
			t.Errorf("right %t: %v, got\n%swant\n%s", right, err, out.String(), want)
		}
	}
}

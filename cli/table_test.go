package cli

import (
	"bytes"
	"strings"
	"testing"
)

// A name of any length is cut where nothing is shortened to fit, too: in tables, in lists and in sentences.
func TestNamesAreCut(t *testing.T) {
	long := strings.Repeat("x", 1000)
	var out bytes.Buffer
	v := &view{out: &out, wide: true, whole: true}
	table := newTable("BROKER", "AT")
	table.add(long, "n1")
	if err := v.table(table); err != nil {
		t.Fatal(err)
	}
	v.lines(0, "a", long)
	v.words(0, "broker "+long+" is gone")
	for line := range strings.Lines(out.String()) {
		if len(line) > 400 {
			t.Errorf("a line of %d bytes: %.80s", len(line), line)
		}
	}
	if n := strings.Count(out.String(), "… (1000 bytes)"); n != 3 {
		t.Errorf("%d of three are cut:\n%s", n, out.String())
	}
}

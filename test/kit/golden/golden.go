// Package golden reads what the released Java classes made of the inputs in remoting/testdata/golden; the README there
// describes the files. It imports nothing of ours, so that every package can use it in its tests.
package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// Case is a line of a file: what is asked, the input, and what we have to say: what Java did, unless the line gives a
// reason to differ.
type Case struct {
	Line           int
	Kind, In, Want string
}

// Read reads a file.
func Read(t testing.TB, path string) []Case {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(path)
	var cases []Case
	line := 0
	for text := range strings.SplitSeq(string(text), "\n") {
		line++
		if text == "" || text[0] == '#' {
			continue
		}
		parts := strings.Split(text, "\t")
		if len(parts) != 3 && len(parts) != 5 {
			t.Fatalf("%s:%d: %d columns", name, line, len(parts))
		}
		in, err := strconv.Unquote(parts[1])
		if err != nil {
			t.Fatalf("%s:%d: %v", name, line, err)
		}
		want := parts[2]
		if len(parts) == 5 {
			want = parts[3]
		}
		cases = append(cases, Case{line, parts[0], in, want})
	}
	return cases
}

// Quote writes a string as the README's Probe.java does.
func Quote(b []byte) string {
	if b == nil {
		return "null"
	}
	var out strings.Builder
	out.WriteByte('"')
	for _, u := range utf16.Encode([]rune(string(b))) {
		switch {
		case u == '"' || u == '\\':
			out.WriteByte('\\')
			out.WriteByte(byte(u))
		case u < 0x20 || u > 0x7e:
			fmt.Fprintf(&out, `\u%04x`, u)
		default:
			out.WriteByte(byte(u))
		}
	}
	return out.String() + `"`
}

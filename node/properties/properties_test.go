package properties_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/node/properties"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func table(entries []properties.Entry) map[string]string {
	m := make(map[string]string, len(entries))
	for _, e := range entries {
		m[e.Key] = e.Value
	}
	return m
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	if s == "-" {
		return ""
	}
	b, err := hex.DecodeString(s)
	kit.Must(t, err)
	return string(b)
}

// TestParseAsJava compares with recorded results of java.util.Properties.
func TestParseAsJava(t *testing.T) {
	f, err := os.Open("testdata/java.golden")
	kit.Must(t, err)
	defer f.Close()
	cases := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		in, out, _ := strings.Cut(lines.Text(), " ")
		text := unhex(t, in)
		cases++
		entries, err := properties.Parse([]byte(text))
		if out == "error" {
			var syntax *properties.SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("%q: got %v, want a syntax error", text, err)
			}
			continue
		}
		if got, want := string(properties.Format(table(entries))), unhex(t, out); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	if cases < 600 {
		t.Errorf("only %d cases", cases)
	}
}

func TestEntriesKeepPlaceAndLine(t *testing.T) {
	got, err := properties.Parse([]byte("a=1\n\n# c\nb=x\\\n  y\r\na=2\nc=3"))
	want := []properties.Entry{{Key: "b", Value: "xy", Line: 4}, {Key: "a", Value: "2", Line: 6, Other: 1}, {Key: "c", Value: "3", Line: 7}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestSyntaxErrorNamesLineAndEscape(t *testing.T) {
	_, err := properties.Parse([]byte("a=1\nb=\\u12G4\n"))
	want := `line 2: malformed escape "\\u12G4": \u takes four hexadecimal digits`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFromTextReplacesWhatIsNoUTF8(t *testing.T) {
	entries, err := properties.Parse(properties.FromText([]byte("k=\xff")))
	if err != nil || entries[0].Value != "\u00ef\u00bf\u00bd" {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestFormatSortsByUTF16(t *testing.T) {
	got := string(properties.Format(map[string]string{"\U0001F600": "1", "\uE000": "2", "a": "x=y", "A": ""}))
	if want := "A=\na=x=y\n\U0001F600=1\n\uE000=2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStoreEscapes(t *testing.T) {
	got := string(properties.Store(map[string]string{"a": "x\nb=y\r", "#k =": "  c:\\", "é": "中\U0001F600\x01\t"}))
	want := "\\#k\\ \\==\\  c:\\\\\n" + "a=x\\nb=y\\r\n" + `\u00e9=\u4e2d\ud83d\ude00\u0001\t` + "\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzParse: nothing panics, each key comes once, and what is stored is what is read again.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := properties.Parse(text)
		if err != nil {
			return
		}
		m := table(entries)
		if len(m) != len(entries) {
			t.Fatalf("%q: a key comes twice in %v", text, entries)
		}
		again, err := properties.Parse(properties.Store(m))
		if diff := cmp.Diff(m, table(again)); err != nil || diff != "" {
			t.Fatalf("%q: %v\n%s", text, err, diff)
		}
	})
}

package remoting

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// goldenCase is a line of testdata/golden/*.txt: what is asked, the input, and what the Java classes said.
type goldenCase struct {
	line            int
	kind, in, want  string
	ours, ourReason string // where we differ on purpose
}

func readGolden(t testing.TB, name string) []goldenCase {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "golden", name))
	kit.Must(t, err)
	defer f.Close()
	var cases []goldenCase
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for line := 1; scan.Scan(); line++ {
		if scan.Text() == "" || scan.Text()[0] == '#' {
			continue
		}
		parts := strings.Split(scan.Text(), "\t")
		if len(parts) != 3 && len(parts) != 5 {
			t.Fatalf("%s:%d: %d columns", name, line, len(parts))
		}
		in, err := strconv.Unquote(parts[1])
		if err != nil {
			t.Fatalf("%s:%d: %v", name, line, err)
		}
		c := goldenCase{line: line, kind: parts[0], in: in, want: parts[2]}
		if len(parts) == 5 {
			c.ours, c.ourReason = parts[3], parts[4]
		}
		cases = append(cases, c)
	}
	kit.Must(t, scan.Err())
	return cases
}

// expected is what our decoder has to say: the Java outcome, unless the line gives a reason to differ.
func (c goldenCase) expected() string {
	if c.ourReason != "" {
		return c.ours
	}
	return c.want
}

// javaQuote writes a string as Probe.java does.
func javaQuote(b []byte) string {
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

// describe writes a request as Probe.java does.
func describe(r *Request) string {
	lang := r.Language.String()
	if r.Language == UnknownLanguage {
		lang = "null"
	}
	ext := "null"
	if r.HasExt {
		m := map[string]string{}
		for _, f := range r.Ext {
			m[javaQuote(f.Key)] = javaQuote(f.Value)
		}
		ext = "{"
		for _, k := range slices.Sorted(maps.Keys(m)) {
			ext += k + ":" + m[k] + ","
		}
		ext += "}"
	}
	body := "null"
	if r.Body != nil {
		body = hex.EncodeToString(r.Body)
	}
	return fmt.Sprintf("code=%d language=%s version=%d opaque=%d flag=%d remark=%s ext=%s body=%s",
		r.Code, lang, r.Version, r.Opaque, r.Flag, javaQuote(r.Remark), ext, body)
}

// TestGoldenHeaders asks our decoder what the released Java classes were asked.
func TestGoldenHeaders(t *testing.T) {
	for _, c := range readGolden(t, "headers.txt") {
		frame := []byte(c.in)
		if c.kind == "json" {
			frame = append([]byte{0, byte(len(c.in) >> 16), byte(len(c.in) >> 8), byte(len(c.in))}, c.in...)
		}
		var r Request
		got := "refused"
		if err := Decode(frame, &r); err == nil {
			got = describe(&r)
		}
		if got != c.expected() {
			t.Errorf("headers.txt:%d: %s %q\n got %s\nwant %s", c.line, c.kind, c.in, got, c.expected())
		}
	}
}

// TestGoldenResponses compares response frames byte for byte with those of Java.
func TestGoldenResponses(t *testing.T) {
	for _, c := range readGolden(t, "responses.txt") {
		form := JSON
		if c.kind == "bheader" {
			form = RocketMQ
		}
		r := Response{Opaque: 7, Code: SystemError, Remark: c.in, HasRemark: true}
		r.Set("k", c.in)
		want, err := hex.DecodeString(c.want)
		kit.Must(t, err)
		if got := AppendResponse(nil, form, &r); string(got) != string(want) {
			t.Errorf("responses.txt:%d: %s %q\n got %q\nwant %q", c.line, c.kind, c.in, got, want)
		}
	}
}

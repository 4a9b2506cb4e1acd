package remoting

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/golden"
)

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
			m[golden.Quote(f.Key)] = golden.Quote(f.Value)
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
		r.Code, lang, r.Version, r.Opaque, r.Flag, golden.Quote(r.Remark), ext, body)
}

// TestGoldenHeaders asks our decoder what the released Java classes were asked.
func TestGoldenHeaders(t *testing.T) {
	for _, c := range golden.Read(t, "testdata/golden/headers.txt") {
		frame := []byte(c.In)
		if c.Kind == "json" {
			frame = append([]byte{0, byte(len(c.In) >> 16), byte(len(c.In) >> 8), byte(len(c.In))}, c.In...)
		}
		var r Request
		got := "refused"
		if err := Decode(frame, &r); err == nil {
			got = describe(&r)
		}
		if got != c.Want {
			t.Errorf("headers.txt:%d: %s %q\n got %s\nwant %s", c.Line, c.Kind, c.In, got, c.Want)
		}
	}
}

// TestGoldenResponses compares response frames byte for byte with those of Java.
func TestGoldenResponses(t *testing.T) {
	for _, c := range golden.Read(t, "testdata/golden/responses.txt") {
		form := JSON
		if c.Kind == "bheader" {
			form = RocketMQ
		}
		r := Response{Opaque: 7, Code: SystemError, Remark: c.In, HasRemark: true}
		r.Set("k", c.In)
		want, err := hex.DecodeString(c.Want)
		kit.Must(t, err)
		if got := AppendResponse(nil, form, &r); string(got) != string(want) {
			t.Errorf("responses.txt:%d: %s %q\n got %q\nwant %q", c.Line, c.Kind, c.In, got, want)
		}
	}
}

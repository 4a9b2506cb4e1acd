package remoting

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"unicode/utf8"

	"github.com/epitaph-mq/epitaph/test/kit/golden"
)

// reencode writes what was read as a request of the given form and reads it again: both must say the same.
func reencode(t *testing.T, r *Request, form SerializeType) {
	t.Helper()
	c := Command{Type: form, Code: r.Code, Language: r.Language, Version: r.Version, Opaque: r.Opaque, Flag: r.Flag,
		Remark: string(r.Remark), HasRemark: r.Remark != nil, Body: r.Body}
	if r.HasExt {
		c.Ext = map[string]string{}
		for _, f := range r.Ext {
			if delete(c.Ext, string(f.Key)); f.Value != nil {
				c.Ext[string(f.Key)] = string(f.Value)
			}
		}
	}
	again, err := DecodeCommand(AppendRequest(nil, &c)[lengthLen:])
	if err != nil {
		t.Fatalf("%+v does not survive: %v", c, err)
	}
	if c.Language == UnknownLanguage && form == JSON {
		c.Language = Java // there is no name to write
	}
	got, want := fmt.Sprintf("%#v", again), fmt.Sprintf("%#v", &c)
	if got != want && utf8.ValidString(want) && allValid(r) {
		t.Fatalf("\nread  %s\nagain %s", want, got)
	}
}

func allValid(r *Request) bool {
	ok := utf8.Valid(r.Remark)
	for _, f := range r.Ext {
		ok = ok && utf8.Valid(f.Key) && utf8.Valid(f.Value)
	}
	return ok
}

func FuzzDecodeJSONHeader(f *testing.F) {
	for _, c := range golden.Read(f, "testdata/golden/headers.txt") {
		if c.Kind == "json" {
			f.Add([]byte(c.In))
		}
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		if len(header) > 1<<20 {
			return
		}
		before := string(header)
		var r Request
		err := Decode(jsonFrame(string(header)), &r)
		if string(header) != before {
			t.Fatal("the frame was changed")
		}
		agreeWithStandardLibrary(t, header, &r, err)
		if err == nil {
			reencode(t, &r, JSON)
		}
	})
}

// agreeWithStandardLibrary compares with encoding/json where both accept a header of ordinary types.
func agreeWithStandardLibrary(t *testing.T, header []byte, r *Request, err error) {
	t.Helper()
	var members map[string]json.RawMessage
	if !utf8.Valid(header) || json.Unmarshal(header, &members) != nil || members == nil {
		return
	}
	var std struct {
		Code, Version, Opaque, Flag *int32
		Remark                      *string
		ExtFields                   map[string]*string
	}
	known := map[string]any{"code": &std.Code, "version": &std.Version, "opaque": &std.Opaque, "flag": &std.Flag,
		"remark": &std.Remark, "extFields": &std.ExtFields}
	for name, value := range members {
		if name == "language" || known[name] != nil && json.Unmarshal(value, known[name]) != nil {
			return // a type that only one of the two takes
		}
	}
	if err != nil {
		if len(std.ExtFields) <= MaxExtFields && !deep(header) {
			t.Fatalf("refused although encoding/json accepts it: %v", err)
		}
		return
	}
	for name, pair := range map[string][2]int32{"code": {value(std.Code), r.Code}, "version": {value(std.Version), r.Version},
		"opaque": {value(std.Opaque), r.Opaque}, "flag": {value(std.Flag), r.Flag}} {
		if pair[0] != pair[1] {
			t.Fatalf("%s is %d, by encoding/json %d", name, pair[1], pair[0])
		}
	}
	if (std.Remark == nil) != (r.Remark == nil) || (std.ExtFields == nil) == r.HasExt {
		t.Fatalf("absent and present differ: %+v and %s", std, describe(r))
	}
	for key, want := range std.ExtFields {
		got, ok := r.Get(key)
		if ok != (want != nil) || ok && utf8.ValidString(*want) && !hasReplacement(*want) && string(got) != *want {
			t.Fatalf("extFields %q is %q", key, got)
		}
	}
}

// hasReplacement says that encoding/json may have put U+FFFD where half a surrogate pair was.
func hasReplacement(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError {
			return true
		}
	}
	return false
}

func value(p *int32) int32 {
	if p == nil {
		return 0
	}
	return *p
}

// deep says that nesting may be what refused the header.
func deep(header []byte) bool {
	depth := 0
	for _, c := range header {
		if c == '[' || c == '{' {
			depth++
		}
	}
	return depth > 2000
}

func FuzzDecodeBinaryHeader(f *testing.F) {
	for _, c := range golden.Read(f, "testdata/golden/headers.txt") {
		if c.Kind == "frame" {
			f.Add([]byte(c.In))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var r Request
		if len(frame) > 1<<20 || Decode(frame, &r) != nil {
			return
		}
		if len(r.Body) > len(frame)-wordLen-r.HeaderLen {
			t.Fatalf("body of %d bytes in a frame of %d", len(r.Body), len(frame))
		}
		if r.Type == RocketMQ {
			normal := r.Code == int32(int16(r.Code)) && len(r.Remark) <= math.MaxInt16
			for i := range r.Ext {
				if r.Ext[i].Key == nil || len(r.Ext[i].Value) == 0 {
					normal = false // null and empty are one in this form
				}
			}
			if normal && r.HasExt == (len(r.Ext) > 0) && r.Language != UnknownLanguage {
				reencode(t, &r, RocketMQ)
			}
		}
		reencode(t, &r, JSON)
	})
}

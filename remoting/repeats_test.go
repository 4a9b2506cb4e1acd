package remoting

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit/golden"
)

// said is all that is read of a frame.
func said(r *Request, err error) string {
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%d %d %d %d %d %d %q %v %d %q", r.Type, r.Code, r.Language, r.Version, r.Opaque, r.Flag, r.Remark, r.Remark == nil, r.HeaderLen, r.Body)
	if r.HasExt {
		text += fmt.Sprintf(" %q", r.Ext)
	}
	for _, f := range r.Ext {
		text += fmt.Sprint(f.Value == nil)
	}
	return text
}

// alike reads both frames by one Repeats, and the second one by Decode. It says whether the second one was known.
func alike(t *testing.T, first, second []byte) bool {
	t.Helper()
	var d Repeats
	var one, plain Request
	_ = d.Decode(first, &one)
	known := len(second) >= wordLen && d.again(second[wordLen:][:min(len(second)-wordLen, repeatedHeader)], new(Request))
	for range 2 {
		err := d.Decode(second, &one)
		if got, want := said(&one, err), said(&plain, Decode(second, &plain)); got != want {
			t.Errorf("%q behind %q:\n read  %s\n as is %s", second, first, got, want)
		}
	}
	return known
}

// What differs in opaque and topic alone is not read anew; all else is, and is read as Decode reads it.
func TestRepeats(t *testing.T) {
	const java = `{"code":105,"extFields":{"topic":"T1","acceptStandardJsonOnly":"true"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":513}`
	const golang = `{"code":105,"language":"GO","version":317,"opaque":12,"flag":0,"remark":"","extFields":{"topic":"T1"}}`
	swap := func(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
	for name, c := range map[string]struct {
		first, second string
		known         bool
	}{
		"itself":                  {java, java, true},
		"another opaque":          {java, swap(java, ":7,", ":999999999,"), true},
		"opaque 0":                {java, swap(java, ":7,", ":0,"), true},
		"another topic":           {java, swap(java, "T1", "%RETRY%a_long-group~ "), true},
		"both":                    {java, swap(java, ":7,", ":123,", "T1", "a"), true},
		"opaque first":            {golang, swap(golang, ":12,", ":3,", "T1", "other"), true},
		"ten digits":              {java, swap(java, ":7,", ":2147483647,"), true},
		"after ten digits":        {swap(java, ":7,", ":1000000001,"), java, true},
		"beyond 32 bits":          {java, swap(java, ":7,", ":2147483648,"), false},
		"after one beyond":        {swap(java, ":7,", ":2147483648,"), java, false},
		"far beyond 32 bits":      {java, swap(java, ":7,", ":99999999999,"), false},
		"beyond 64 bits":          {java, swap(java, ":7,", ":18446744073709551623,"), false},
		"below zero":              {java, swap(java, ":7,", ":-7,"), false},
		"after one below zero":    {swap(java, ":7,", ":-7,"), java, false},
		"leading zero":            {java, swap(java, ":7,", ":07,"), false},
		"fraction":                {java, swap(java, ":7,", ":7.9,"), false},
		"exponent":                {java, swap(java, ":7,", ":7e3,"), false},
		"quoted opaque":           {java, swap(java, ":7,", `:"7",`), false},
		"quoted opaque before":    {swap(java, ":7,", `:"7",`), swap(java, ":7,", `:"8",`), false},
		"no opaque":               {java, swap(java, `"opaque":7,`, ``), false},
		"empty opaque":            {java, swap(java, ":7,", ":,"), false},
		"blank before opaque":     {swap(java, ":7,", ": 7,"), swap(java, ":7,", ": 8,"), false},
		"empty topic":             {java, swap(java, "T1", ""), false},
		"after an empty topic":    {swap(java, "T1", ""), java, false},
		"escaped topic":           {java, swap(java, "T1", `T\u0031`), false},
		"escaped quote":           {java, swap(java, "T1", `T\"1`), false},
		"after an escaped topic":  {swap(java, "T1", `T\u0031`), java, false},
		"another field's escape":  {swap(java, "true", `t\u0072ue`), swap(java, "true", `t\u0072ue`, "T1", "T2"), false},
		"topic in single quotes":  {swap(java, `"T1"`, `'T1'`), swap(java, `"T1"`, `'T"2'`), false},
		"control in the topic":    {java, swap(java, "T1", "T\x01"), false},
		"not ASCII":               {java, swap(java, "T1", "Tä"), false},
		"end of input within":     {java, swap(java, "T1", "T\x1a"), false},
		"null topic":              {java, swap(java, `"T1"`, "null"), false},
		"after a null topic":      {swap(java, `"T1"`, "null"), java, false},
		"topic is a number":       {swap(java, `"T1"`, "11"), swap(java, `"T1"`, "12"), false},
		"topic quote in topic":    {java, swap(java, "T1", `a","b":"c`), false},
		"another code":            {java, swap(java, "105", "106"), false},
		"another version":         {java, swap(java, "513", "514"), false},
		"another field":           {java, swap(java, `"true"`, `"false"`), false},
		"text after it":           {java, java + "x", false},
		"cut":                     {java, java[:len(java)-1], false},
		"cut in the topic":        {java, java[:strings.Index(java, "T1")+1], false},
		"opaque twice":            {swap(java, `"flag"`, `"opaque":3,"flag"`), swap(java, `"flag"`, `"opaque":3,"flag"`, ":7,", ":8,"), true},
		"the first opaque of two": {swap(java, `"flag"`, `"opaque":3,"flag"`), swap(java, `"flag"`, `"opaque":4,"flag"`), false},
		"topic twice":             {swap(java, `"acc`, `"topic":"T0","acc`), swap(java, `"acc`, `"topic":"T0","acc`, "T1", "T2"), false},
		"the last topic of two":   {swap(java, `"acc`, `"topic":"T0","acc`), swap(java, `"acc`, `"topic":"T2","acc`), true},
		"other extFields behind":  {swap(java, `"flag"`, `"extFields":{"a":"b"},"flag"`), swap(java, `"flag"`, `"extFields":{"a":"b"},"flag"`, "T1", "T2"), false},
		"empty ones behind":       {swap(java, `"flag"`, `"extFields":{},"flag"`), swap(java, `"flag"`, `"extFields":{},"flag"`, "T1", "T2"), false},
		"no ones behind":          {swap(java, `"flag"`, `"extFields":null,"flag"`), swap(java, `"flag"`, `"extFields":null,"flag"`, "T1", "T2"), false},
		"others before":           {swap(java, `"ext`, `"extFields":{"a":"b"},"ext`), swap(java, `"ext`, `"extFields":{"a":"b"},"ext`, "T1", "T2"), true},
		"opaque in extFields":     {swap(java, `"acc`, `"opaque":1,"acc`), swap(java, `"acc`, `"opaque":2,"acc`), false},
		"topic outside":           {swap(java, `"flag"`, `"topic":"a","flag"`), swap(java, `"flag"`, `"topic":"b","flag"`), false},
		"nested":                  {swap(java, `"flag"`, `"x":{"opaque":1},"flag"`), swap(java, `"flag"`, `"x":{"opaque":1},"flag"`, ":7,", ":9,"), true},
		"comment":                 {swap(java, `"flag"`, `/*a*/"flag"`), swap(java, `"flag"`, `/*a*/"flag"`, "T1", "T2"), true},
		"after what is no header": {`{"code":`, java, false},
		"no header":               {java, `{"code":`, false},
		"long":                    {swap(java, "true", strings.Repeat("x", repeatedHeader)), swap(java, "true", strings.Repeat("x", repeatedHeader), "T1", "T2"), false},
		"many fields":             {swap(java, `"acc`, strings.Repeat(`"a":"b",`, repeatedExt)+`"acc`), swap(java, `"acc`, strings.Repeat(`"a":"b",`, repeatedExt)+`"acc`, "T1", "T2"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if known := alike(t, jsonFrame(c.first), jsonFrame(c.second)); known != c.known {
				t.Errorf("known: %v", known)
			}
			alike(t, slices.Concat(jsonFrame(c.first), []byte("body")), jsonFrame(c.second))
			alike(t, jsonFrame(c.first), slices.Concat(jsonFrame(c.second), []byte("body")))
		})
	}
	binary := AppendRequest(nil, &Command{Type: RocketMQ, Code: 105, Ext: map[string]string{"topic": "T1"}})[lengthLen:]
	for _, frame := range [][]byte{binary, nil, {0}, {0, 0, 0, 200, '{'}, {0, 0, 0, 0}, {2, 0, 0, 1, '{'}} {
		alike(t, jsonFrame(java), frame)
		alike(t, frame, jsonFrame(java))
	}
}

func FuzzRepeats(f *testing.F) {
	for _, c := range golden.Read(f, "testdata/golden/headers.txt") {
		if c.Kind == "json" {
			f.Add(c.In, 20, 3, "x")
		}
	}
	f.Add(`{"code":105,"extFields":{"topic":"T1"},"opaque":7}`, 32, 2, "other")
	f.Fuzz(func(t *testing.T, header string, at, n int, with string) {
		if at < 0 || n < 0 || at > len(header) || n > len(header)-at || len(header)+len(with) > 4*repeatedHeader {
			return
		}
		alike(t, jsonFrame(header), jsonFrame(header[:at]+with+header[at+n:]))
	})
}

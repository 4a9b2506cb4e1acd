package fastjson

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func scan(text string) *Scanner {
	s := &Scanner{}
	s.Reset([]byte(text), nil)
	return s
}

func TestStrings(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		s := scan(text)
		got := s.String()
		if err := s.End(); err != nil || string(got) != want || got == nil {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	f(`""`, "")
	f(`"a'b"`, "a'b")
	f(`'a"b'`, `a"b`)
	f(`"\b\f\n\r\t\v\"\'\\\/\0\7\x41\u00e9\uD83D\ude00"`, "\b\f\n\r\t\v\"'\\/\x00\x07Aé😀")
	f(`"\ \#\&\(\)\,\.\@\[\]\_\~\F"`, " #&(),.@[]_~\f")
	f(`5.`, "5")
	f(`-05.`, "-5")
	f(`-.5`, "-0.5")
	f(`1e0`, "1")
	f(`1.50E+00`, "1.50")
	f(`10e`, "10")
	f(`1e1`, "10.0")
	f(`"\ud83d\ud83d\ude00\ude00"`, "?😀?")
	f(`"\ud83d"`, "?")
	f("\"raw \t\x01\"", "raw \t\x01")
	f(`12`, "12")
	f(`true`, "true")
	f(`{"a" : [1, 2.50, null, {"b":null,"c":"\u0001"}]}`, `{"a":[1,2.50,null,{"c":"\u0001"}]}`)
	f(`["a"]`, "a")
	f(`[ 'b\u0041', ]`, "bA")
	f(`["a","b\u0041"]`, `["a","bA"]`)
	f(`[["a"]]`, `[["a"]]`)
	f(`[1]`, `[1]`)
	for _, text := range []string{"null", "[null]"} {
		if got := scan(text).String(); got != nil {
			t.Errorf("%s is %q", text, got)
		}
	}
	for _, text := range []string{`"`, `"\`, `"\q"`, `"\u12"`, `"\u00zz"`, `"\x4"`, `"\*"`, "1\u00a0", `"\ud800\u12"`, "\"\xff\"", "\"\xc3\"", `'a"`, ``, `-`, `.5`, `[1`, `["a"`, `["a`, `["a";]`, `{"a"}`, `{,}`} {
		s := scan(text)
		s.String()
		if err := s.End(); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestIntegers(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		s := scan(`{"a":` + text + `}`)
		s.Open()
		s.Name()
		got, _ := s.Int64()
		if s.Name(); s.End() != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, s.Err())
		}
	}
	for text, want := range map[string]int64{"0": 0, "123456789": 123456789, "1234567890": 1234567890, "-1": -1, "+5": 5, "007": 7,
		"1.9": 1, "-1.9": -1, "1e3": 1000, "1e": 1, "1.": 1, "5L": 5, "5.5D": 5, `"12"`: 12, `"-1.5"`: -1, `""`: 0, "null": 0, "true": 1,
		"false": 0, "1e30": math.MaxInt64, "-1e30": math.MinInt64, "9007199254740993.5": 9007199254740993,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64} {
		f(text, want)
	}
	for _, text := range []string{"", "-", "x", `"x"`, `" 1"`, `"5L"`, `"5.5D"`, `"1 "`, "9223372036854775808", "{}", "[1]", "1 2", "--1", "0x1", "NaN"} {
		s := scan(`{"a":` + text + `}`)
		s.Open()
		s.Name()
		s.Int64()
		if s.Name(); !errors.Is(s.End(), ErrSyntax) {
			t.Errorf("%s is accepted", text)
		}
	}
	s := scan("2147483648")
	if s.Int32(); s.End() == nil {
		t.Error("more than 32 bits are accepted")
	}
	if n, _ := scan("1e10").Int32(); n != math.MaxInt32 {
		t.Error(n)
	}
}

func TestMembers(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		s := scan(text)
		var got []string
		if s.Open() {
			for name, ok := s.Name(); ok; name, ok = s.Name() {
				got = append(got, string(name)+"="+string(s.String()))
			}
		}
		outcome := strings.Join(got, " ")
		if s.End() != nil {
			outcome = "refused"
		}
		if outcome != want {
			t.Errorf("%s: %s, want %s", text, outcome, want)
		}
	}
	f(`{}`, "")
	f(` { } , `, "")
	f(`{"a":1,"b":2}`, "a=1 b=2")
	f(`{"a":"x","b":"y",}`, "a=x b=y")
	f(`{"a":"x" "b":"y"}`, "a=x b=y")
	f("\x00{\f\"a\"\b:\t1\r}\n", "a=1")
	f("/*x*/{//y\n'a':1,/*z*/\"b\":2}//end", "a=1 b=2")
	for _, text := range []string{`{,"a":1}`, `{"a":1,,"b":2}`, `{ , }`, `{a:1}`, `{1:2}`, `{"a" 1}`, `{"a":1}x`, `{"a":1},,`, `{"a":1`, `{"a":`, `{`,
		`{"a":1/*x*/,"b":2}`, `{/*x}`, `{/x/}`, "\ufeff{}", "[]", `1`} {
		f(text, "refused")
	}
}

func TestSkipIsStrict(t *testing.T) {
	for _, text := range []string{`1`, `"\u0041"`, "\"\xff\"", `{}`, `[]`, `{"a":[1,{"b":null}], "c" : "d"}`, `123456789012345678901234567890`, `'x'`} {
		s := scan(text)
		if s.Skip(); s.End() != nil {
			t.Error(text, s.Err())
		}
	}
	for _, text := range []string{``, `x`, `[1,]`, `[1 2]`, `[,1]`, `{"a":1,}`, `{a:1}`, `{1:2}`, `{"a"}`, `{"a":}`, `[`, `["\q"]`, `nul`, `1x`} {
		s := scan(text)
		if s.Skip(); s.End() == nil {
			t.Error(text, "is skipped")
		}
	}
}

func TestSkipMapTakesIntegerKeys(t *testing.T) {
	for _, text := range []string{`{}`, `null`, `{0:[{"a":1},],1:{2:3 4:5}}`, `{"$ref":"$.x"}`} {
		s := scan(text)
		if s.SkipMap(); s.End() != nil {
			t.Error(text, s.Err())
		}
	}
	for _, text := range []string{`[]`, `"x"`, `5`, `{x:1}`} {
		s := scan(text)
		if s.SkipMap(); s.End() == nil {
			t.Error(text, "is skipped")
		}
	}
}

func TestDepth(t *testing.T) {
	for name, read := range map[string]func(*Scanner){
		"Skip": (*Scanner).Skip, "SkipMap": (*Scanner).SkipMap, "String": func(s *Scanner) { _ = s.String() }} {
		nested := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
		s := scan(nested(MaxDepth))
		if read(s); s.End() != nil {
			t.Error(name, s.Err())
		}
		s = scan(nested(MaxDepth + 2))
		if read(s); s.End() == nil {
			t.Error(name, "has no limit")
		}
		s = scan(`{"a":` + strings.Repeat(`[`, 1<<20))
		if read(s); s.End() == nil {
			t.Error(name, "has no limit")
		}
	}
}

func TestBool(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "false": false, "null": false, `"TRUE"`: true, `""`: false, "1": true, "0": false, "0.0": false,
		"-1": true, "01": true, "2": false, "10": false, "1.0": false, "1e0": false, "1L": false, "99999999999999999999": false,
		`"1"`: true, `"0"`: false, "'Y'": true, `"N"`: false, `"Null"`: false} {
		s := scan(text)
		if got, _ := s.Bool(); got != want || s.End() != nil {
			t.Error(text, got, s.Err())
		}
	}
	for _, text := range []string{`"x"`, `{}`, `[]`, `tru`, "+1", ".5", `"y"`, `"2"`, `"01"`, `"\u0031"`, `" true"`} {
		s := scan(text)
		if s.Bool(); s.End() == nil {
			t.Error(text, "is accepted")
		}
	}
}

func TestAppendString(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := string(AppendString(nil, text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		if got := string(AppendString(nil, []byte(text))); got != want {
			t.Errorf("%q as bytes: %s, want %s", text, got, want)
		}
	}
	f("", `""`)
	f("a\"b\\c/d", `"a\"b\\c/d"`)
	f("\x00\x08\t\n\x0b\f\r\x1f\x7f", `"\u0000\b\t\n\u000b\f\r\u001f`+"\x7f"+`"`)
	f("\u2028é😀", "\"\u2028é😀\"")
	f("a\xffb\xc3", "\"a\uFFFDb\uFFFD\"")
}

// FuzzScanner compares strings and whole values with encoding/json, and looks for panics and endless loops.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{`{"a":[1,"b\u0041",{"c":null}]}`, `{'a':1,/*x*/"b":2 "c":3,}`, `"\ud83d\ude00"`, `[1.50,1e400,-0.0]`, `{1:2,a:3}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		for _, read := range []func(*Scanner){(*Scanner).Skip, (*Scanner).SkipMap, func(s *Scanner) { s.Int64() }, func(s *Scanner) { s.Bool() }} {
			s := scan(string(data))
			read(s)
			_ = s.End()
		}
		s := scan(string(data))
		text := s.String()
		err := s.End()
		if err == nil && text != nil && !utf8.Valid(text) {
			t.Fatalf("%q reads as %q", data, text)
		}
		var std string
		if err == nil && utf8.Valid(data) && json.Unmarshal(data, &std) == nil && text != nil && len(data) > 0 &&
			strings.HasPrefix(strings.TrimSpace(string(data)), `"`) && !strings.ContainsRune(std, utf8.RuneError) && std != string(text) {
			t.Fatalf("%q reads as %q, by encoding/json %q", data, text, std)
		}
		if err == nil && text != nil {
			again := scan(string(AppendString(nil, text)))
			if got := again.String(); string(got) != string(text) || again.End() != nil {
				t.Fatalf("%q is read again as %q", text, got)
			}
		}
	})
}

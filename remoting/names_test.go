package remoting

import (
	"math"
	"strconv"
	"testing"

	"github.com/epitaph-mq/epitaph/mq"
)

func TestVersionNames(t *testing.T) {
	for v, want := range map[int32]string{0: "V3_0_0_SNAPSHOT", 36: "V3_0_11_SNAPSHOT", mq.V3_0_11: "V3_0_11", 45: "V3_0_15", 47: "V3_1_0",
		79: "V3_2_6", 85: "V3_2_9", 87: "V3_3_1", 115: "V3_4_6", 137: "V3_5_8", 211: "V3_9_9", 212: "V4_0_0_SNAPSHOT",
		213: "V4_0_0", 233: "V4_1_0", 317: "V4_5_2", 393: "V4_9_0", mq.V4_9_4: "V4_9_4", 407: "V4_9_7", 409: "V4_9_8", mq.V5_0_0: "V5_0_0",
		439: "V5_1_3", mq.V5_3_1: "V5_3_1", 479: "V5_3_3", mq.V5_5_0: "V5_5_0", 512: "V5_5_0_SNAPSHOT", 611: "V5_9_9",
		mq.HigherVersion: "HIGHER_VERSION", 99999: "HIGHER_VERSION", -1: "invalid(-1)"} {
		if got := VersionName(v); got != want {
			t.Errorf("%d: %s, want %s", v, got, want)
		}
	}
	if got := VersionText(407) + " " + VersionText(512) + " " + VersionText(-7) + " " + VersionText(700); got !=
		"4.9.7 5.5.0-SNAPSHOT invalid(-7) HIGHER_VERSION" {
		t.Error(got)
	}
	if Version != mq.V5_5_0 {
		t.Error("the server's version is", Version)
	}
	if want := `"version":` + strconv.Itoa(int(Version)) + "}"; responseTail[len(responseTail)-len(want):] != want {
		t.Errorf("responses end in %s", responseTail)
	}
}

func TestLanguageNames(t *testing.T) {
	if got := Java.String() + " " + NodeJS.String() + " " + UnknownLanguage.String() + " " + Language(14).String(); got !=
		"JAVA NODE_JS unknown unknown(14)" {
		t.Error(got)
	}
	if Go != 9 || NodeJS != 13 {
		t.Error("ordinals moved", Go, NodeJS)
	}
}

func TestParseInt64(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "-0": 0, "+7": 7, "007": 7, "-12": -12,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64} {
		if n, ok := ParseInt64([]byte(text)); n != want || !ok {
			t.Errorf("%s: %d, %t", text, n, ok)
		}
	}
	for _, text := range []string{"", "-", "+", " 1", "1 ", "1.5", "1e2", "0x1", "--1", "9223372036854775808", "-9223372036854775809",
		"99999999999999999999", "1_000"} {
		if n, ok := ParseInt64([]byte(text)); ok || n != 0 {
			t.Errorf("%q: %d, %t", text, n, ok)
		}
	}
}

func TestParametersAsJavaReadsThem(t *testing.T) {
	r := Request{Ext: []Field{{[]byte("n"), []byte("42")}, {[]byte("big"), []byte("2147483648")}, {[]byte("bad"), []byte("x")},
		{[]byte("null"), nil}, {[]byte("yes"), []byte("TrUe")}, {[]byte("no"), []byte(" true")}}}
	if n, ok := r.Int32("n"); n != 42 || !ok {
		t.Error(n, ok)
	}
	if n, ok := r.Int64("big"); n != 2147483648 || !ok {
		t.Error(n, ok)
	}
	for _, key := range []string{"big", "bad", "null", "absent"} {
		if n, ok := r.Int32(key); n != 0 || ok {
			t.Error(key, n, ok)
		}
	}
	if v, ok := r.Bool("yes"); !v || !ok {
		t.Error("yes", v, ok)
	}
	if v, ok := r.Bool("no"); v || !ok {
		t.Error("no", v, ok)
	}
	if v, ok := r.Bool("null"); v || ok {
		t.Error("null", v, ok)
	}
	if s, ok := r.Str("n"); s != "42" || !ok {
		t.Error(s, ok)
	}
}

func TestFlags(t *testing.T) {
	for flag, want := range map[int32][2]bool{0: {}, 1: {true, false}, 2: {false, true}, 3: {true, true}, 4: {}} {
		r := Request{Flag: flag}
		if got := [2]bool{r.IsResponse(), r.IsOneway()}; got != want {
			t.Errorf("flag %d: %v", flag, got)
		}
	}
}

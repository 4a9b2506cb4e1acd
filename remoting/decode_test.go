package remoting

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func jsonFrame(header string) []byte {
	return append([]byte{0, byte(len(header) >> 16), byte(len(header) >> 8), byte(len(header))}, header...)
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	f := func(frame []byte, want error) {
		t.Helper()
		var r Request
		if err := Decode(frame, &r); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", frame, err, want)
		}
	}
	f(nil, ErrFrameTooShort)
	f([]byte{0, 0, 0}, ErrFrameTooShort)
	f([]byte{0, 0, 0, 1}, ErrHeaderLength)
	f([]byte{2, 0, 0, 0}, ErrHeaderType)
	f([]byte("GET / HTTP/1.1\r\n\r\n"), ErrHeaderLength)
	f(jsonFrame(""), fastjson.ErrSyntax)
	f(jsonFrame("null"), ErrNoObject)
	f(jsonFrame("[]"), fastjson.ErrSyntax)
	f(jsonFrame(`{"language":99}`), ErrLanguage)
	f(jsonFrame(`{"code":1}x`), fastjson.ErrSyntax)
	f(jsonFrame(`{"opaque":2147483648}`), fastjson.ErrSyntax)
	f(jsonFrame(`{"extFields":{`+strings.Repeat(`"a":1,`, MaxExtFields)+`"b":2}}`), ErrManyExt)
	f([]byte{1, 0, 0, 0}, errBinaryShort)

	binary := AppendRequest(nil, &Command{Type: RocketMQ})[lengthLen:]
	broken := func(at int, value byte) []byte {
		b := bytes.Clone(binary)
		b[wordLen+at] = value
		return b
	}
	f(broken(13, 0xFF), ErrRemarkLength)
	f(broken(16, 22), ErrRemarkLength)
	f(broken(20, 22), ErrExtLength)
	f(broken(20, 5), errBinaryShort)
}

func TestExtFieldsAtTheLimit(t *testing.T) {
	header := `{"extFields":{` + strings.Repeat(`"a":1,`, MaxExtFields-1) + `"b":2}}`
	var r Request
	kit.Must(t, Decode(jsonFrame(header), &r))
	if v, ok := r.Get("b"); string(v) != "2" || !ok {
		t.Errorf("b = %q, %t", v, ok)
	}
	kit.Must(t, Decode(jsonFrame(`{}`), &r))
	if cap(r.Ext) > keepExt {
		t.Errorf("%d fields are kept after an unusual header", cap(r.Ext))
	}
}

func TestDecodeOverwritesTheRequest(t *testing.T) {
	var r, fresh Request
	full := AppendRequest(nil, &Command{Code: 1, Language: Go, Version: 2, Opaque: 3, Flag: 4, Remark: "r\n", HasRemark: true,
		Ext: map[string]string{"a": "b\n"}, Body: []byte("body")})[lengthLen:]
	empty := jsonFrame("{}")
	kit.Must(t, errors.Join(Decode(full, &r), Decode(empty, &r), Decode(empty, &fresh)))
	if got, want := describe(&r), describe(&fresh); got != want || r.HeaderLen != 2 {
		t.Errorf("after another frame: %s\nfresh: %s", got, want)
	}
}

func TestLastMemberOfANameCounts(t *testing.T) {
	f := func(ext, want string, wantOK bool) {
		t.Helper()
		var r Request
		kit.Must(t, Decode(jsonFrame(`{"extFields":`+ext+`}`), &r))
		if v, ok := r.Get("a"); string(v) != want || ok != wantOK {
			t.Errorf("%s: %q, %t", ext, v, ok)
		}
	}
	f(`{"a":"1","a":"2"}`, "2", true)
	f(`{"a":"1","a":null}`, "", false)
	f(`{"a":null,"a":"1"}`, "1", true)
	f(`{"a":""}`, "", true)
	f(`{}`, "", false)
	f(`null`, "", false)
}

func TestDecodingARouteQueryAllocatesNothing(t *testing.T) {
	for _, form := range []SerializeType{JSON, RocketMQ} {
		frame := routeQuery(form)
		var r Request
		out := make([]byte, 0, 1024)
		resp := Response{Body: []byte("route")}
		if n := testing.AllocsPerRun(100, func() {
			kit.Must(t, Decode(frame, &r))
			topic, _ := r.Get("topic")
			if standard, ok := r.Bool("acceptStandardJsonOnly"); string(topic) != "TopicTest" || !standard || !ok {
				t.Fatal(topic, standard)
			}
			resp.Opaque = r.Opaque
			out = AppendResponse(out[:0], form, &resp)
		}); n != 0 {
			t.Errorf("form %d: %v allocations", form, n)
		}
	}
}

func TestCommandsSurviveTheWire(t *testing.T) {
	for _, form := range []SerializeType{JSON, RocketMQ} {
		for _, c := range []Command{
			{},
			{Code: -1, Language: NodeJS, Version: 612, Opaque: -1 << 31, Flag: 3, Remark: "r\u00e9\t", HasRemark: true},
			{Ext: map[string]string{"k": "v", "quote\"": "\x00\x1f\\\u2028\U0001F600"}, Body: []byte{0, 1, 2}},
		} {
			c.Type = form
			frame := AppendRequest(nil, &c)
			if got := int(frame[0])<<24 | int(frame[1])<<16 | int(frame[2])<<8 | int(frame[3]); got != len(frame)-4 {
				t.Errorf("length %d of %d bytes", got, len(frame))
			}
			got, err := DecodeCommand(frame[lengthLen:])
			kit.Must(t, err)
			if diff := cmp.Diff(&c, got); diff != "" {
				t.Errorf("form %d: %s", form, diff)
			}
		}
	}
}

func TestBodyMayBeWrittenApart(t *testing.T) {
	r := Response{Opaque: 1, Body: []byte("0123456789")}
	for _, form := range []SerializeType{JSON, RocketMQ} {
		whole := AppendResponse([]byte("x"), form, &r)
		apart := append(AppendResponseHeader([]byte("x"), form, &r, len(r.Body)), r.Body...)
		if !bytes.Equal(whole, apart) || whole[0] != 'x' {
			t.Errorf("form %d: %q and %q", form, whole, apart)
		}
	}
}

// TestResponseHeaders has the headers of docs/spec/nameserver.md#golden-bytes.
func TestResponseHeaders(t *testing.T) {
	f := func(r Response, want string) {
		t.Helper()
		if got := string(AppendResponse(nil, JSON, &r)[lengthLen+wordLen:]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	const tail = `,"serializeTypeCurrentRPC":"JSON","version":513}`
	f(Response{Opaque: 107}, `{"code":0,"flag":1,"language":"JAVA","opaque":107`+tail)
	f(Response{Opaque: -5, HasExt: true}, `{"code":0,"extFields":{},"flag":1,"language":"JAVA","opaque":-5`+tail)
	f(Response{Opaque: 1, HasExt: true, Ext: []Pair{{"haServerAddr", "h:1"}, {"masterAddr", "1.1.1.1:10911"}}},
		`{"code":0,"extFields":{"haServerAddr":"h:1","masterAddr":"1.1.1.1:10911"},"flag":1,"language":"JAVA","opaque":1`+tail)
	missing := Response{Opaque: 110, HasExt: true}
	missing.Fail(QueryNotFound, "No config item, Namespace: n Key: k")
	f(missing, `{"code":22,"extFields":{},"flag":1,"language":"JAVA","opaque":110,"remark":"No config item, Namespace: n Key: k"`+tail)
	unknown := Response{Opaque: 101}
	unknown.Fail(RequestCodeNotSupported, " request type 999 not supported")
	f(unknown, `{"code":3,"flag":1,"language":"JAVA","opaque":101,"remark":" request type 999 not supported"`+tail)

	b := func(r Response, want string) {
		t.Helper()
		if got := fmt.Sprintf("%x", AppendResponse(nil, RocketMQ, &r)[lengthLen+wordLen:]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	unknown.Opaque = 0x65
	b(unknown, "0003000201"+"00000065"+"00000001"+"0000001f"+fmt.Sprintf("%x", " request type 999 not supported")+"00000000")
	count := Response{Opaque: 0x67}
	count.Set("wipeTopicCount", "0")
	b(count, "0000000201"+"00000067"+"00000001"+"00000000"+"00000015"+"000e"+fmt.Sprintf("%x", "wipeTopicCount")+"00000001"+"30")
}

func TestResponseIsReused(t *testing.T) {
	r := Response{Opaque: 9}
	r.Fail(1, "x")
	r.Set("a", "b")
	r.Reset()
	if diff := cmp.Diff(Response{Ext: []Pair{}}, r); diff != "" {
		t.Error(diff)
	}
}

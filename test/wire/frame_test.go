package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	notSupported = `{"code":3,"flag":1,"language":"JAVA","opaque":%d,"remark":" request type %d not supported","serializeTypeCurrentRPC":"JSON","version":513}`
	success      = `{"code":0,"flag":1,"language":"JAVA","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":513}`
)

func TestRow001FrameLayout(t *testing.T) {
	c := shared(t).dial(t)
	header := `{"code":106,"flag":0,"language":"JAVA","opaque":107,"version":479}`
	c.Put([]byte{0, 0, 0, 70, 0, 0, 0, 66}, []byte(header))
	a := c.Next()
	if a.Type != 0 || a.Code != 0 || !strings.HasPrefix(string(a.Body), `{"brokerAddrTable":{`) {
		t.Fatalf("type %d: %s", a.Type, a)
	}
}

func TestRow002ResponseHeader(t *testing.T) {
	c := shared(t).dial(t)
	want(t, "106", c.exchange(kit.JSONFrame(`{"code":106,"opaque":107}`)), fmt.Sprintf(success, 107))
	want(t, "999", c.exchange(kit.JSONFrame(`{"code":999,"opaque":101,"language":"GO","version":317}`)),
		fmt.Sprintf(notSupported, 101, 999))
	ns := unique("ns")
	want(t, "101 not found", c.exchange(kit.JSONFrame(`{"code":101,"opaque":110,"extFields":{"namespace":"`+ns+`","key":"k"}}`)),
		`{"code":22,"extFields":{},"flag":1,"language":"JAVA","opaque":110,"remark":"No config item, Namespace: `+ns+` Key: k","serializeTypeCurrentRPC":"JSON","version":513}`)
	c.putKV(ns, "k", "v v")
	want(t, "101 found", c.exchange(kit.JSONFrame(`{"code":101,"opaque":111,"extFields":{"namespace":"`+ns+`","key":"k"}}`)),
		`{"code":0,"extFields":{"value":"v v"},"flag":1,"language":"JAVA","opaque":111,"serializeTypeCurrentRPC":"JSON","version":513}`)
	want(t, "901", c.exchange(kit.JSONFrame(`{"code":901,"opaque":118,"extFields":{"clusterName":"c","brokerName":"`+ns+`"}}`)),
		`{"code":0,"flag":1,"language":"JAVA","opaque":118,"remark":"not set any response code","serializeTypeCurrentRPC":"JSON","version":513}`)
	want(t, "205", c.exchange(kit.JSONFrame(`{"code":205,"opaque":119,"extFields":{"brokerName":"`+ns+`"}}`)),
		`{"code":0,"extFields":{"wipeTopicCount":"0"},"flag":1,"language":"JAVA","opaque":119,"serializeTypeCurrentRPC":"JSON","version":513}`)
}

func TestRow003OpaqueEchoed(t *testing.T) {
	c := shared(t).dial(t)
	for _, opaque := range []int{-5, -2147483648, 2147483647, 0} {
		want(t, "206", c.exchange(kit.JSONFrame(fmt.Sprintf(`{"code":206,"opaque":%d}`, opaque))), fmt.Sprintf(success, opaque))
	}
}

func TestRow004BinaryRequest(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r4")
	c.register(b)
	c.Put(kit.Frame(1, kit.BinaryHeader(205, 9, 317, 0x67, 0, "", kit.BinaryEntry("brokerName", b.name)), nil))
	if a := c.Next(); a.Code != 0 || a.Opaque != 0x67 || a.ExtFields["wipeTopicCount"] != "2" {
		t.Fatal(a)
	}
}

func TestRow005BinaryRequestAnsweredAsJSON(t *testing.T) {
	c := shared(t).dial(t)
	c.Put(kit.Frame(1, kit.BinaryHeader(205, 0, 479, 7, 0, "", kit.BinaryEntry("brokerName", unique("none"))), nil))
	a := c.Next()
	if a.Type != 0 {
		t.Fatalf("type byte %d, want 0", a.Type)
	}
	want(t, "header", a.Header,
		`{"code":0,"extFields":{"wipeTopicCount":"0"},"flag":1,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":513}`)
}

func TestRow006BinaryServer(t *testing.T) {
	s := own(t, options{env: []string{"ROCKETMQ_SERIALIZE_TYPE=ROCKETMQ"}})
	has(t, "boot line", s.Output(), "boot success. serializeType=ROCKETMQ, address ")
	c := s.dial(t)
	for _, raw := range [][]byte{
		kit.JSONFrame(`{"code":999,"opaque":101}`),
		kit.JSONFrame(`{"code":206,"opaque":101}`),
		kit.Frame(1, kit.BinaryHeader(999, 0, 479, 101, 0, "", ""), nil),
	} {
		c.Put(raw)
		if a := c.Next(); a.Type != 1 {
			t.Fatalf("type byte %d, want 1: %q", a.Type, a.Header)
		}
	}
}

func TestRow007BinaryHeaderGolden(t *testing.T) {
	c := own(t, options{env: []string{"ROCKETMQ_SERIALIZE_TYPE=ROCKETMQ"}}).dial(t)
	want(t, "999", fmt.Sprintf("%x", c.exchange(kit.JSONFrame(`{"code":999,"opaque":101}`))),
		"0003000201"+"00000065"+"00000001"+"0000001f"+fmt.Sprintf("%x", " request type 999 not supported")+"00000000")
	want(t, "205", fmt.Sprintf("%x", c.exchange(kit.JSONFrame(`{"code":205,"opaque":103,"extFields":{"brokerName":"none"}}`))),
		"0000000201"+"00000067"+"00000001"+"00000000"+"00000015"+"000e"+fmt.Sprintf("%x", "wipeTopicCount")+"00000001"+"30")
	want(t, "206", fmt.Sprintf("%x", c.exchange(kit.JSONFrame(`{"code":206,"opaque":-2}`))),
		"0000000201"+"fffffffe"+"00000001"+"00000000"+"00000000")
}

func TestRow008OnewayTakesEffect(t *testing.T) {
	c := shared(t).dial(t)
	ns := unique("oneway")
	c.Send(kit.Request{Code: 100, Flag: 2, Ext: map[string]string{"namespace": ns, "key": "k", "value": "v"}})
	eventually(t, kit.Patience, func() error {
		if a := c.Call(getKV(ns, "k")); a.ExtFields["value"] != "v" { // call fails on any answer to the oneway
			return fmt.Errorf("%s", a)
		}
		return nil
	})
}

func TestRow009OnewayUnknownCode(t *testing.T) {
	c := shared(t).dial(t)
	c.Send(kit.Request{Code: 999, Flag: 2})
	c.Send(kit.Request{Code: 904, Flag: 2}) // an error within a handler
	c.Usable()
	c.Usable()
}

func TestRow010ResponseFrameIgnored(t *testing.T) {
	c := shared(t).dial(t)
	for _, flag := range []int{1, 3} {
		ns := unique("response")
		c.Send(kit.Request{Code: 100, Flag: flag, Ext: map[string]string{"namespace": ns, "key": "k", "value": "v"}})
		c.Usable()
		c.Refused(getKV(ns, "k"), 22, "")
	}
}

func TestRow011OtherFlagBits(t *testing.T) {
	c := shared(t).dial(t)
	want(t, "flag 4", c.exchange(kit.JSONFrame(`{"code":206,"flag":4,"opaque":8}`)), fmt.Sprintf(success, 8))
	want(t, "flag -4", c.exchange(kit.JSONFrame(`{"code":206,"flag":-4,"opaque":9}`)), fmt.Sprintf(success, 9))
}

func TestRow012UnknownCode(t *testing.T) {
	c := shared(t).dial(t)
	for i, code := range []int{999, 34, -1, 0, 2147483647} {
		want(t, fmt.Sprint(code), c.exchange(kit.JSONFrame(fmt.Sprintf(`{"code":%d,"opaque":%d}`, code, i))),
			fmt.Sprintf(notSupported, i, code))
	}
}

func TestRow013MissingOpaqueAndCode(t *testing.T) {
	c := shared(t).warm(t)
	c.Put(kit.JSONFrame(`{}`))
	if a := c.Next(); a.Code != 3 || a.Text() != " request type 0 not supported" {
		t.Fatal(a)
	}
}

func TestRow014LanguageTolerated(t *testing.T) {
	c := shared(t).dial(t)
	for i, language := range []string{`"KOTLIN"`, `"java"`, `null`, `3`, `""`} {
		want(t, language, c.exchange(kit.JSONFrame(fmt.Sprintf(`{"code":206,"opaque":%d,"language":%s}`, i, language))),
			fmt.Sprintf(success, i))
	}
}

func TestRow015NumbersAsText(t *testing.T) {
	c := shared(t).dial(t)
	for header, opaque := range map[string]int{
		`{"code":"206","opaque":"42","flag":"0","version":"401"}`: 42,
		`{"code":206,"opaque":"1.7"}`:                             1,
		`{"code":206,"opaque":""}`:                                0,
		`{"code":206,"opaque":null}`:                              0,
		`{"code":206,"opaque":true}`:                              1,
		`{"code":206,"opaque":1.7}`:                               1,
		`{"code":206.9,"opaque":5}`:                               5,
		`{"code":2.06e2,"opaque":6}`:                              6,
	} {
		want(t, header, c.exchange(kit.JSONFrame(header)), fmt.Sprintf(success, opaque))
	}
}

func TestRow016ExtFieldConversions(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r16")
	c.register(b)
	want(t, "904", c.exchange(kit.JSONFrame(`{"code":904,"opaque":9,"extFields":{"brokerName":null,"brokerAddr":"`+b.addr+
		`","clusterName":"`+b.cluster+`","brokerId":1,"epoch":true,"maxOffset":1.5,"x":{"a":[1,2]},"y":[null],"z":null}}`)),
		fmt.Sprintf(success, 9))
	ns := unique("r16")
	for value, stored := range map[string]string{`7`: `7`, `true`: `true`, `{"a":[1,null,"x"]}`: `{"a":[1,null,"x"]}`, `[1, 2]`: `[1,2]`, `5.`: `5`, `-.5`: `-0.5`,
		`1e0`: `1`, `1e1`: `10.0`, `"a\#\ \_\~"`: `a# _~`} {
		c.exchange(kit.JSONFrame(`{"code":100,"opaque":1,"extFields":{"namespace":"` + ns + `","key":"k","value":` + value + `}}`))
		want(t, value, c.OK(getKV(ns, "k")).ExtFields["value"], stored)
	}
}

func TestRow017UnknownHeaderMembers(t *testing.T) {
	c := shared(t).dial(t)
	for i, members := range []string{
		`"what":{"a":[1]},"serializeTypeCurrentRPC":"ROCKETMQ"`,
		`"serializeTypeCurrentRPC":"nonsense","Code":999,"ext_fields":{}`,
		`"serializeTypeCurrentRPC":null,"hashCode":5,"remark":"r"`,
	} {
		want(t, members, c.exchange(kit.JSONFrame(fmt.Sprintf(`{"code":206,"opaque":%d,%s}`, i, members))), fmt.Sprintf(success, i))
	}
}

// Syntax that the original's JSON library takes although JSON does not allow it.
func TestRow017LenientHeaderSyntax(t *testing.T) {
	c := shared(t).dial(t)
	for i, header := range []string{
		`{'code':206,'opaque':%d}`,
		`{"code":206,"opaque":%d,}`,
		`{"code":206,/* why not */"opaque":%d}`,
		"  \t\n{\"code\":206,\"opaque\":%d} \n ",
		`{"code":999,"code":206,"opaque":%d}`,
	} {
		want(t, header, c.exchange(kit.JSONFrame(fmt.Sprintf(header, i))), fmt.Sprintf(success, i))
	}
}

// closes proves that each of the frames, after a good one, closes the connection without an answer.
func closes(t *testing.T, frames map[string][]byte) {
	s := shared(t)
	for name, raw := range frames {
		t.Run(name, func(t *testing.T) {
			c := s.warm(t)
			c.Put(raw)
			c.Closed()
		})
	}
}

func TestRow018BadHeaderCloses(t *testing.T) {
	frames := map[string][]byte{}
	for name, header := range map[string]string{
		"not JSON": "xx", "null": "null", "array": "[]", "number": "1", "string": `"x"`, "empty": "", "blank": " ",
		"unquoted names": `{code:206,opaque:1}`, "byte order mark": "\ufeff{\"code\":206,\"opaque\":1}",
		"language 99": `{"code":206,"opaque":1,"language":99}`, "language object": `{"code":206,"opaque":1,"language":{}}`,
		"extFields string": `{"code":206,"opaque":1,"extFields":"x"}`, "extFields array": `{"code":206,"opaque":1,"extFields":[1]}`,
		"no UTF-8": "{\"code\":206,\"opaque\":1,\"remark\":\"\xff\xfe\"}", "cut short": `{"code":206,"opaque":1`,
	} {
		frames[name] = kit.Frame(0, header, []byte("body"))
	}
	closes(t, frames)
}

func TestRow019TrailingTextCloses(t *testing.T) {
	closes(t, map[string][]byte{
		"word":   kit.JSONFrame(`{"code":206,"opaque":1}x`),
		"object": kit.JSONFrame(`{"code":206,"opaque":1}{}`),
	})
}

func TestRow020OpaqueBeyondInt32Closes(t *testing.T) {
	closes(t, map[string][]byte{
		"above": kit.JSONFrame(`{"code":206,"opaque":2147483648}`),
		"below": kit.JSONFrame(`{"code":206,"opaque":-2147483649}`),
	})
}

func TestRow021UnknownTypeByteCloses(t *testing.T) {
	closes(t, map[string][]byte{
		"2":   kit.Frame(2, `{"code":206,"opaque":1}`, nil),
		"255": kit.Frame(255, `{"code":206,"opaque":1}`, nil),
	})
}

func TestRow022HeaderLongerThanFrameCloses(t *testing.T) {
	raw := kit.JSONFrame(`{"code":206,"opaque":1}`)
	binary.BigEndian.PutUint32(raw[4:], uint32(len(raw)-8+1))
	closes(t, map[string][]byte{"one more": raw, "most": append([]byte{0, 0, 0, 6, 0, 255, 255, 255}, "{}"...)})
}

func TestRow023BadLengthCloses(t *testing.T) {
	frames := map[string][]byte{}
	for _, n := range []int32{0, 1, 2, 3, 4, -1, -2147483648} {
		raw := binary.BigEndian.AppendUint32(nil, uint32(n))
		frames[fmt.Sprint(n)] = append(raw, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	closes(t, frames)
}

func TestRow024LargestFrame(t *testing.T) {
	s := shared(t)
	c := s.warm(t)
	header := `{"code":206,"opaque":24}`
	c.Put(kit.Frame(0, header, make([]byte, 16777212-4-len(header))))
	want(t, "16777212", c.Next().Header, fmt.Sprintf(success, 24))
	c = s.warm(t)
	c.Put([]byte{0x00, 0xff, 0xff, 0xfd}) // 16777213, and nothing more
	c.Closed()
}

func TestRow025BadBinaryHeaderCloses(t *testing.T) {
	good := kit.BinaryHeader(206, 0, 479, 1, 0, "", "")
	truncated := kit.BinaryEntry("brokerName", "value")
	closes(t, map[string][]byte{
		"remark too long":  kit.Frame(1, good[:13]+"\x00\x00\x7f\xff"+good[17:], nil),
		"remark negative":  kit.Frame(1, good[:13]+"\xff\xff\xff\xff"+good[17:], nil),
		"map too long":     kit.Frame(1, good[:17]+"\x00\x00\x7f\xff", nil),
		"truncated entry":  kit.Frame(1, kit.BinaryHeader(206, 0, 479, 1, 0, "", truncated[:len(truncated)-2]), nil),
		"truncated length": kit.Frame(1, kit.BinaryHeader(206, 0, 479, 1, 0, "", truncated[:13]), nil),
		"short":            kit.Frame(1, good[:20], nil),
		"empty":            kit.Frame(1, "", []byte("body")),
	})
}

func TestRow026BinaryTolerated(t *testing.T) {
	c := shared(t).warm(t)
	c.Put(kit.Frame(1, kit.BinaryHeader(206, 99, 479, 31, 0, "", ""), nil))
	want(t, "language 99", c.Next().Header, fmt.Sprintf(success, 31))
	c.Put(kit.Frame(1, kit.BinaryHeader(206, 0, 479, 32, 0, "", "")+"surplus", nil))
	want(t, "surplus", c.Next().Header, fmt.Sprintf(success, 32))
	c.Put(kit.Frame(1, kit.BinaryHeader(206, 0, 479, 33, 0, "remark", kit.BinaryEntry("", "v")+kit.BinaryEntry("k", "")), []byte("body")))
	want(t, "null key and value", c.Next().Header, fmt.Sprintf(success, 33))
}

func TestRow027Segments(t *testing.T) {
	c := shared(t).dial(t)
	c.Put(kit.JSONFrame(`{"code":206,"opaque":1}`), kit.JSONFrame(`{"code":206,"opaque":2}`))
	got := []int32{c.Next().Opaque, c.Next().Opaque}
	slices.Sort(got)
	if !slices.Equal(got, []int32{1, 2}) {
		t.Fatal(got)
	}
	for _, b := range kit.Frame(0, `{"code":206,"opaque":3}`, []byte("body")) {
		c.Put([]byte{b})
	}
	want(t, "byte by byte", c.Next().Header, fmt.Sprintf(success, 3))
}

func TestRow028Pipelined(t *testing.T) {
	c := shared(t).dial(t)
	var raw []byte
	for i := range 200 {
		raw = append(raw, kit.JSONFrame(fmt.Sprintf(`{"code":206,"opaque":%d}`, i))...)
	}
	c.Put(raw)
	seen := map[int32]bool{}
	for range 200 {
		a := c.Next()
		if a.Code != 0 || seen[a.Opaque] || a.Opaque < 0 || a.Opaque >= 200 {
			t.Fatal(a)
		}
		seen[a.Opaque] = true
	}
	c.Usable()
}

func TestRow029HTTPCloses(t *testing.T) {
	c := shared(t).dial(t)
	c.Put([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	c.Closed()
}

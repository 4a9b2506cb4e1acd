package body

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

func decodeOK(t *testing.T, data []byte, version int32, compressed bool) *Register {
	t.Helper()
	var d RegisterDecoder
	reg, err := d.Decode(data, version, compressed, goldenNow)
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func deflate(t *testing.T, plain ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range plain {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRegisterSaysWhatWasAbsent(t *testing.T) {
	f := func(body string, wrapper, table, version, filters Presence, stampAbsent bool) {
		t.Helper()
		reg := decodeOK(t, []byte(body), 513, false)
		got := []any{reg.Wrapper, reg.TopicTable, reg.HasVersion, reg.Filters, reg.TimestampAbsent, reg.Empty}
		if diff := cmp.Diff([]any{wrapper, table, version, filters, stampAbsent, false}, got); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
	f(`{}`, Absent, Absent, Absent, Absent, true)
	f(`{"filterServerList":null,"topicConfigSerializeWrapper":null}`, Null, Absent, Absent, Null, true)
	f(`{"filterServerList":[],"topicConfigSerializeWrapper":{}}`, Present, Absent, Absent, Present, true)
	f(`{"topicConfigSerializeWrapper":{"topicConfigTable":null,"dataVersion":null}}`, Present, Null, Null, Absent, true)
	f(`{"topicConfigSerializeWrapper":{"topicConfigTable":{},"dataVersion":{"counter":1}}}`, Present, Present, Present, Absent, true)
	f(`{"topicConfigSerializeWrapper":{"dataVersion":{"timestamp":1}}}`, Present, Absent, Present, Absent, false)
}

func TestRegisterWithoutBody(t *testing.T) {
	reg := decodeOK(t, nil, 513, false)
	if !reg.Empty || reg.Version != (DataVersion{}) || reg.TimestampAbsent || len(reg.Topics) != 0 || reg.Filters == Null {
		t.Errorf("%+v", reg)
	}
	if reg := decodeOK(t, nil, 36, false); reg.Filters != Null {
		t.Error("a broker before 3.0.11 must not touch the filter servers")
	}
}

func TestRegisterFormsByVersion(t *testing.T) {
	reg := &Register{Version: DataVersion{StateVersion: 1, Timestamp: 2, Counter: 3}, FilterServers: [][]byte{[]byte("f:1")}}
	for _, name := range []string{"TopicA", "TopicB", "%RETRY%group"} {
		reg.Topics = append(reg.Topics, TopicConfig{Name: []byte(name), Key: []byte(name), ReadQueueNums: 4, WriteQueueNums: 5, Perm: 6})
	}
	reg.Mappings = []TopicMapping{{"M", Mapping{Topic: mq.Some("M"), Scope: mq.Some("__global__"), Bname: mq.Some("b"), TotalQueues: 2,
		Epoch: 9, CurrIDs: []QueueID{{0, 0}, {1, 1}}}}}
	const topics = `topics={"%RETRY%group":"%RETRY%group"/4/5/6/0,"TopicA":"TopicA"/4/5/6/0,"TopicB":"TopicB"/4/5/6/0,}`
	const mappings = `{"M":"M"/"__global__"/"b"/2/9/false/{0=0, 1=1},}`
	compressed := func(version int32) []byte {
		out, err := AppendRegisterCompressed(nil, reg, version)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	f := func(name string, data []byte, version int32, flag bool, want string) {
		t.Helper()
		if got := describe(decodeOK(t, data, version, flag)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	full := `filters=["f:1",] dv=1/2/3 ` + topics + ` mappings=` + mappings
	f("json", AppendRegister(nil, reg), 513, false, full)
	f("compressed", compressed(413), 413, true, full)
	f("compressed, not said so", compressed(413), 513, false, full)
	f("compressed by 4.x", compressed(409), 409, true, `filters=["f:1",] dv=1/2/3 `+topics+` mappings={}`)
	f("mappings are not read before 5.0", compressed(413), 412, true, `filters=["f:1",] dv=1/2/3 `+topics+` mappings={}`)
	f("bare wrapper", AppendRegisterWrapper(nil, reg), 36, false, `filters=null dv=1/2/3 `+topics+` mappings={}`)
}

func TestRegisterRefusals(t *testing.T) {
	f := func(name string, data []byte, compressed bool, want error) {
		t.Helper()
		var d RegisterDecoder
		if reg, err := d.Decode(data, 513, compressed, goldenNow); reg != nil || !errors.Is(err, want) {
			t.Errorf("%s: %v, %v, want %v", name, reg, err, want)
		}
	}
	f("text", []byte("xx"), false, fastjson.ErrSyntax)
	f("null", []byte("null"), false, fastjson.ErrSyntax)
	f("json flagged as compressed", []byte("{}"), true, zlib.ErrHeader)
	f("no blocks", deflate(t, nil), true, ErrTruncated)
	f("negative length", deflate(t, []byte{0xFF, 0xFF, 0xFF, 0xFF}), true, ErrTruncated)
	f("length beyond the end", deflate(t, []byte{0x7F, 0xFF, 0xFF, 0xFF}), true, ErrTruncated)
	topics := func(text string) []byte {
		plain := appendBlock(nil, []byte("{}"))
		plain = binary.BigEndian.AppendUint32(plain, 1)
		return deflate(t, appendBlock(plain, []byte(text)))
	}
	f("four parts", topics("T 1 2 3"), true, ErrTopicText)
	f("filter type", topics("T 1 2 3 X"), true, ErrFilterType)
}

func TestInflatedLimit(t *testing.T) {
	const limit = 8 << 20
	d := RegisterDecoder{MaxInflated: limit}
	// zeros: an empty data version, no topics, no filters, no mappings, and surplus
	if _, err := d.Decode(deflate(t, make([]byte, limit)), 513, true, goldenNow); err != nil {
		t.Error(err)
	}
	if _, err := d.Decode(deflate(t, make([]byte, limit+1)), 513, true, goldenNow); !errors.Is(err, ErrInflated) {
		t.Error("one byte more:", err)
	}
}

func TestRegisterDecoderIsReused(t *testing.T) {
	var d RegisterDecoder
	bodies := [][]byte{
		AppendRegister(nil, manyTopics(3)),
		[]byte(`{"filterServerList":["a\n"],"topicConfigSerializeWrapper":{"topicConfigTable":{"a\u0062":{"topicName":"\t"}}}}`),
		[]byte(`{}`),
		[]byte(`xx`),
		[]byte(`{"topicConfigSerializeWrapper":{"topicQueueMappingInfoMap":{"A":{}}}}`),
		deflate(t, make([]byte, 16)),
		{},
	}
	for i := range 3 * len(bodies) {
		data := bodies[i%len(bodies)]
		want := ask("register", data)
		got := "refused"
		if reg, err := d.Decode(data, 513, false, goldenNow); err == nil {
			got = describe(reg)
		}
		if got != want {
			t.Errorf("body %d: %s, fresh %s", i, got, want)
		}
	}
}

func TestRepeatedTopicsCountOnce(t *testing.T) {
	var body bytes.Buffer
	body.WriteString(`{"topicConfigSerializeWrapper":{"topicConfigTable":{`)
	for i := range 1000 {
		fmt.Fprintf(&body, `"T%d":{"topicName":"T%d","perm":%d},`, i%100, i%100, i)
	}
	body.WriteString(`}}}`)
	reg := decodeOK(t, body.Bytes(), 513, false)
	if len(reg.Topics) != 100 {
		t.Fatalf("%d topics", len(reg.Topics))
	}
	for i, c := range reg.Topics {
		if string(c.Key) != fmt.Sprint("T", i) || c.Perm != int32(900+i) {
			t.Errorf("topic %d: %s with perm %d", i, c.Key, c.Perm)
		}
	}
}

func TestDecodingTopicsAllocatesNothing(t *testing.T) {
	data := AppendRegister(nil, manyTopics(1000))
	var d RegisterDecoder
	if n := testing.AllocsPerRun(20, func() {
		if _, err := d.Decode(data, 513, false, goldenNow); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

package body

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/mq"
)

// limitCase is a registration of one topic, which is beyond a limit or not.
type limitCase struct {
	topics   []string
	mappings []Mapping
	filters  int
}

// forms are the two ways to send a registration.
func (c limitCase) forms(t *testing.T) map[string][]byte {
	t.Helper()
	reg := &Register{Version: DataVersion{Timestamp: 2, Counter: 3}}
	for _, name := range c.topics {
		reg.Topics = append(reg.Topics, TopicConfig{Name: []byte(name), Key: []byte(name), ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6})
	}
	for _, m := range c.mappings {
		reg.Mappings = append(reg.Mappings, TopicMapping{Topic: m.Topic.S, Mapping: m})
	}
	for i := range c.filters {
		reg.FilterServers = append(reg.FilterServers, fmt.Appendf(nil, "f:%d", i))
	}
	compressed, err := AppendRegisterCompressed(nil, reg, mq.V5_5_0)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"json": AppendRegister(nil, reg), "compressed": compressed}
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("T", i))
	}
	return all
}

func mapping(topic string, ids int) Mapping {
	m := Mapping{Topic: mq.Some(topic), Scope: mq.Some("__global__"), Bname: mq.Some("b"), TotalQueues: int32(ids)}
	for i := range ids {
		m.CurrIDs = append(m.CurrIDs, QueueID{Global: int32(i), Local: int32(i)})
	}
	return m
}

// mappings are n without queues, of topics whose names have at least five bytes.
func mappings(n int, broker string) (all []Mapping) {
	for i := range n {
		m := mapping(fmt.Sprintf("M%04d", i), 0)
		m.Bname = mq.Some(broker)
		all = append(all, m)
	}
	return all
}

// A compressed body may have 8 MiB of names: the last of these is one too many. One that is not is bounded by its frame.
func TestNamesOfACompressedBody(t *testing.T) {
	reg := &Register{}
	for i := range maxNames/MaxName + 1 {
		name := fmt.Sprintf("%0*d", MaxName, i)
		reg.Topics = append(reg.Topics, TopicConfig{Name: []byte(name), Key: []byte(name), Perm: 6})
	}
	compressed, err := AppendRegisterCompressed(nil, reg, mq.V5_5_0)
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeOK(t, compressed, mq.V5_5_0, true); got.LeftOut != 1 || len(got.Topics) != maxNames/MaxName {
		t.Errorf("compressed: %d topics, %d left out", len(got.Topics), got.LeftOut)
	}
	if got := decodeOK(t, AppendRegister(nil, reg), mq.V5_5_0, false); got.LeftOut != 0 || len(got.Topics) != len(reg.Topics) {
		t.Errorf("not compressed: %d topics, %d left out", len(got.Topics), got.LeftOut)
	}
}

func TestRegisterLimits(t *testing.T) {
	long := strings.Repeat("x", MaxName)
	for name, c := range map[string]struct {
		limitCase
		topics, mappings, filters, leftOut int
	}{
		"topics":               {limitCase{topics: append(names(MaxTopics+1), names(10)...)}, MaxTopics, 0, 0, 1},
		"a long name":          {limitCase{topics: []string{long, "T"}}, 2, 0, 0, 0},
		"a name too long":      {limitCase{topics: []string{long + "x", "T"}}, 1, 0, 0, 1},
		"as many filters":      {limitCase{filters: MaxFilters}, 0, 0, MaxFilters, 0},
		"one filter more":      {limitCase{filters: MaxFilters + 1}, 0, 0, MaxFilters, 1},
		"as many queue ids":    {limitCase{mappings: []Mapping{mapping("A", 40_000), mapping("B", MaxTopics-40_000)}}, 0, 2, 0, 0},
		"one queue id more":    {limitCase{mappings: []Mapping{mapping("A", 40_000), mapping("B", MaxTopics-39_999), mapping("C", 60_000)}}, 0, 2, 0, 1},
		"a mapping's name":     {limitCase{mappings: []Mapping{mapping(long, 1)}}, 0, 1, 0, 0},
		"a mapping's name too": {limitCase{mappings: []Mapping{mapping(long+"x", 1), mapping("B", 1)}}, 0, 1, 0, 1},
		"mappings":             {limitCase{mappings: mappings(MaxTopics+1, "b")}, 0, MaxTopics, 0, 1},
		"texts of mappings":    {limitCase{mappings: mappings(maxNames/MaxName+1, strings.Repeat("b", MaxName-2*len("M0000")-len("__global__")))}, 0, maxNames / MaxName, 0, 1},
	} {
		for form, data := range c.forms(t) {
			var d RegisterDecoder
			reg, err := d.Decode(data, mq.V5_5_0, form == "compressed", goldenNow)
			if err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
				continue
			}
			got := [4]int{len(reg.Topics), len(reg.Mappings), len(reg.FilterServers), reg.LeftOut}
			if want := [4]int{c.topics, c.mappings, c.filters, c.leftOut}; got != want {
				t.Errorf("%s, %s: topics, mappings, filters, left out: %v, want %v", name, form, got, want)
			}
		}
	}
}

// A key within the limit and a name beyond it: the entry has no name, and the tables pass over it.
func TestLongNameOfAShortKey(t *testing.T) {
	reg := decodeOK(t, fmt.Appendf(nil, `{"topicConfigSerializeWrapper":{"topicConfigTable":{"A":{"topicName":%q},"B":{"topicName":"B"}}}}`,
		strings.Repeat("x", MaxName+1)), mq.V5_5_0, false)
	if len(reg.Topics) != 2 || reg.Topics[0].Name != nil || string(reg.Topics[1].Name) != "B" || reg.LeftOut != 1 {
		t.Errorf("%d topics, %d left out: %s", len(reg.Topics), reg.LeftOut, describe(reg))
	}
}

// What a small body becomes is bounded while it is read, not afterwards.
func TestSmallBodiesTakeLittle(t *testing.T) {
	const enough = 24 << 20 // bytes, for any of them; without the limits each takes more
	block := func(dst []byte, text string) []byte { return appendBlock(dst, []byte(text)) }
	one := block(nil, "T 1 1 6 SINGLE_TAG {}")
	repeated := func(n int, entry []byte) []byte {
		plain := block(nil, "{}")
		plain = binary.BigEndian.AppendUint32(plain, uint32(n))
		return deflate(t, plain, bytes.Repeat(entry, n), make([]byte, 8))
	}
	filters := block(nil, "["+strings.Repeat(`"",`, 300_000)+`""]`)
	for name, data := range map[string][]byte{
		"one topic repeated": repeated(600_000, one),
		"topics in json":     []byte(`{"topicConfigSerializeWrapper":{"topicConfigTable":{` + strings.Repeat(`"T":{},`, 400_000) + `}}}`),
		"filters in json":    []byte(`{"filterServerList":[` + strings.Repeat(`"",`, 1_000_000) + `""]}`),
		"filters":            deflate(t, block(nil, "{}"), make([]byte, 4), filters, make([]byte, 4)),
		"one long topic":     repeated(1, block(nil, "T 1 1 6 SINGLE_TAG "+strings.Repeat("x", 40<<20))),
		"queue ids": []byte(`{"topicConfigSerializeWrapper":{"topicQueueMappingInfoMap":{"A":{"bname":"b","currIdMap":{` +
			strings.TrimSuffix(manyIDs(300_000), ",") + `}}}}}`),
	} {
		var before, after runtime.MemStats
		var d RegisterDecoder
		runtime.ReadMemStats(&before)
		_, err := d.Decode(data, mq.V5_5_0, false, goldenNow)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err != nil || took > enough {
			t.Errorf("%s: %d bytes became %d (%v)", name, len(data), took, err)
		}
	}
}

func manyIDs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d:0,", i)
	}
	return b.String()
}

// A compressed body is used up to where it is damaged, unless its checksum is wrong.
func TestDamagedEnd(t *testing.T) {
	good := limitCase{topics: []string{"A", "B"}}.forms(t)["compressed"]
	var d RegisterDecoder
	wrong := bytes.Clone(good)
	wrong[len(wrong)-1] ^= 1
	if _, err := d.Decode(wrong, mq.V5_5_0, true, goldenNow); err == nil {
		t.Error("a wrong checksum is not noticed")
	}
	if reg, err := d.Decode(good[:len(good)-4], mq.V5_5_0, true, goldenNow); err != nil || len(reg.Topics) != 2 {
		t.Errorf("without its checksum: %v", err)
	}
}

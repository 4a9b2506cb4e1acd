package body

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/test/kit/golden"
)

// FuzzRegisterBody decodes both forms. What is accepted must survive being written and read again, and must
// be what encoding/json finds, where that accepts it, too.
func FuzzRegisterBody(f *testing.F) {
	for _, c := range golden.Read(f, "../testdata/golden/bodies.txt") {
		if strings.HasPrefix(c.Kind, "register") || c.Kind == "wrapper" {
			f.Add([]byte(c.In), c.Kind != "register", uint16(413))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, compressed bool, version uint16) {
		before := bytes.Clone(data)
		var d, again RegisterDecoder
		reg, err := d.Decode(data, int32(version), compressed, goldenNow)
		if !bytes.Equal(before, data) {
			t.Fatal("the body was changed")
		}
		if err != nil || int32(version) < mq.V3_0_11 || reg.Empty {
			return
		}
		if !compressed && !IsZlib(data) {
			agreeWithStandardLibrary(t, data, reg)
		}
		if reg.Wrapper == Null || reg.TopicTable == Null || reg.MappingTable == Null || reg.Filters == Null {
			return
		}
		for _, c := range reg.FilterServers {
			if c == nil {
				return
			}
		}
		for _, c := range reg.Topics {
			if !utf8.Valid(c.Key) || !utf8.Valid(c.Name) {
				return
			}
		}
		for _, m := range reg.Mappings {
			if !m.Mapping.Scope.Valid || !utf8.ValidString(m.Topic+m.Mapping.Topic.S+m.Mapping.Bname.S+m.Mapping.Scope.S) {
				return
			}
		}
		for _, c := range reg.FilterServers {
			if !utf8.Valid(c) {
				return
			}
		}
		copied, err := again.Decode(AppendRegister(nil, reg), 513, false, goldenNow)
		if err != nil {
			t.Fatalf("%s does not survive: %v", describe(reg), err)
		}
		if reg.HasVersion == Null {
			reg.HasVersion = Present
		}
		want := describe(reg)
		if got := describe(copied); got != want {
			t.Fatalf("\nread  %s\nagain %s", want, got)
		}
	})
}

// agreeWithStandardLibrary compares the topics of a body of ordinary types.
func agreeWithStandardLibrary(t *testing.T, data []byte, reg *Register) {
	t.Helper()
	var members map[string]json.RawMessage
	var wrapper map[string]json.RawMessage
	var table map[string]map[string]any
	if !utf8.Valid(data) || bytes.Contains(data, []byte(`\u`)) || json.Unmarshal(data, &members) != nil ||
		json.Unmarshal(members["topicConfigSerializeWrapper"], &wrapper) != nil ||
		json.Unmarshal(wrapper["topicConfigTable"], &table) != nil || table == nil {
		return
	}
	if len(table) != len(reg.Topics) {
		t.Fatalf("%d topics, by encoding/json %d", len(reg.Topics), len(table))
	}
	for _, c := range reg.Topics {
		std, ok := table[string(c.Key)]
		if !ok {
			t.Fatalf("encoding/json finds no %q", c.Key)
		}
		for name, got := range map[string]int32{"perm": c.Perm, "readQueueNums": c.ReadQueueNums,
			"writeQueueNums": c.WriteQueueNums, "topicSysFlag": c.TopicSysFlag} {
			if want, ok := std[name].(float64); ok && want == float64(int32(want)) && int32(want) != got {
				t.Fatalf("%s of %q is %d, by encoding/json %v", name, c.Key, got, want)
			}
		}
		if want, ok := std["topicName"].(string); ok && want != string(c.Name) {
			t.Fatalf("name of %q is %q, by encoding/json %q", c.Key, c.Name, want)
		}
	}
}

// FuzzRoute decodes topic routes. What is accepted must survive both dialects.
func FuzzRoute(f *testing.F) {
	for _, c := range golden.Read(f, "../testdata/golden/bodies.txt") {
		if c.Kind == "route" {
			f.Add([]byte(c.In))
		}
	}
	f.Add(AppendTopicRoute(nil, goldenRoute("b0"), Default))
	f.Add(AppendTopicRoute(nil, goldenRoute("b\"\\\x00é"), Standard))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeTopicRoute(data)
		if err != nil {
			return
		}
		for _, d := range []Dialect{Default, Standard} {
			again, err := DecodeTopicRoute(AppendTopicRoute(nil, r, d))
			if err != nil {
				t.Fatal(err)
			}
			// The standard dialect sorts, so compare what a second writing makes of it.
			if diff := cmp.Diff(string(AppendTopicRoute(nil, r, Standard)), string(AppendTopicRoute(nil, again, Standard))); diff != "" && utf8.Valid(data) {
				t.Fatal(diff)
			}
			if d == Default && utf8.Valid(data) {
				if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
					t.Fatal(diff)
				}
			}
		}
	})
}

package body

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/test/kit/golden"
)

const goldenNow = 1<<62 + 7 // no body has this timestamp

func quoteOpt(o Opt) string {
	if !o.Valid {
		return "null"
	}
	return golden.Quote([]byte(o.S))
}

func describeVersion(v DataVersion) string {
	stamp := strconv.FormatInt(v.Timestamp, 10)
	if v.Timestamp == goldenNow {
		stamp = "now"
	}
	return fmt.Sprintf("%d/%s/%d", v.StateVersion, stamp, v.Counter)
}

func describeTopics(reg *Register) string {
	if reg.TopicTable == Null {
		return "null"
	}
	var list []string
	for _, c := range reg.Topics {
		list = append(list, fmt.Sprintf("%s:%s/%d/%d/%d/%d,", golden.Quote(c.Key), golden.Quote(c.Name), c.ReadQueueNums,
			c.WriteQueueNums, c.Perm, c.TopicSysFlag))
	}
	slices.Sort(list)
	return "{" + strings.Join(list, "") + "}"
}

func describeMappings(reg *Register) string {
	if reg.MappingTable == Null {
		return "null"
	}
	var list []string
	for _, m := range reg.Mappings {
		ids := slices.Clone(m.Mapping.CurrIDs)
		slices.SortFunc(ids, func(a, b QueueID) int { return int(a.Global) - int(b.Global) })
		var pairs []string
		for _, id := range ids {
			pairs = append(pairs, fmt.Sprintf("%d=%d", id.Global, id.Local))
		}
		list = append(list, fmt.Sprintf("%s:%s/%s/%s/%d/%d/%t/{%s},", golden.Quote([]byte(m.Topic)), quoteOpt(m.Mapping.Topic),
			quoteOpt(m.Mapping.Scope), quoteOpt(m.Mapping.Bname), m.Mapping.TotalQueues, m.Mapping.Epoch, m.Mapping.Dirty,
			strings.Join(pairs, ", ")))
	}
	slices.Sort(list)
	return "{" + strings.Join(list, "") + "}"
}

// describe writes a register body as Probe.java does.
func describe(reg *Register) string {
	filters := "null"
	if reg.Filters != Null {
		filters = "["
		for _, f := range reg.FilterServers {
			filters += golden.Quote(f) + ","
		}
		filters += "]"
	}
	if reg.Wrapper == Null {
		return "filters=" + filters + " wrapper=null"
	}
	version := describeVersion(reg.Version)
	if reg.HasVersion == Null {
		version = "null"
	}
	return "filters=" + filters + " dv=" + version + " topics=" + describeTopics(reg) + " mappings=" + describeMappings(reg)
}

// ask does what Probe.java does.
func ask(kind string, in []byte) string {
	var d RegisterDecoder
	reg, err := (*Register)(nil), error(nil)
	switch kind {
	case "register":
		reg, err = d.Decode(in, 513, false, goldenNow)
	case "register413":
		reg, err = d.Decode(in, 413, true, goldenNow)
	case "register409":
		reg, err = d.Decode(in, 409, true, goldenNow)
	case "wrapper":
		if reg, err = d.Decode(in, 36, false, goldenNow); err == nil {
			return "dv=" + describeVersion(reg.Version) + " topics=" + describeTopics(reg)
		}
	case "version":
		v, ok, err := DecodeDataVersion(in, goldenNow)
		switch {
		case err != nil:
			return "refused"
		case !ok:
			return "null"
		}
		return describeVersion(v)
	case "route":
		r, err := DecodeTopicRoute(in)
		if err != nil {
			return "refused"
		}
		out := "queues=["
		for _, q := range r.Queues {
			out += fmt.Sprintf("%s/%d/%d/%d/%d,", golden.Quote([]byte(q.BrokerName)), q.ReadQueueNums, q.WriteQueueNums, q.Perm, q.TopicSysFlag)
		}
		return out + "]"
	}
	if err != nil {
		return "refused"
	}
	return describe(reg)
}

// TestGoldenBodies asks our decoders what the released Java classes were asked.
func TestGoldenBodies(t *testing.T) {
	for _, c := range golden.Read(t, "../testdata/golden/bodies.txt") {
		if got := ask(c.Kind, []byte(c.In)); got != c.Want {
			t.Errorf("bodies.txt:%d: %s %q\n got %s\nwant %s", c.Line, c.Kind, c.In, got, c.Want)
		}
	}
}

// goldenRoute is the route that Probe.java writes with every string set to name.
func goldenRoute(name string) *TopicRoute {
	mapping := Mapping{Topic: mq.Some(name), Scope: mq.Some("__global__"), Bname: mq.Some(name), TotalQueues: 4, Epoch: 9007199254740993,
		CurrIDs: []QueueID{{0, 1}, {1, -2}}}
	return &TopicRoute{
		OrderTopicConf: mq.Some(name),
		Queues:         []QueueData{{BrokerName: name, ReadQueueNums: 1<<31 - 1, WriteQueueNums: -1 << 31}},
		Brokers: []BrokerData{{Cluster: name, BrokerName: name, ZoneName: mq.Some(name), EnableActingMaster: true,
			Addrs: []BrokerAddr{{0, name}, {9007199254740993, name}}}},
		FilterServers: []FilterServers{{name, []string{name, name}}},
		Mappings:      []BrokerMapping{{name, mapping}},
	}
}

// TestGoldenRoutes compares routes byte for byte with those of Java, in both dialects and with hostile names.
func TestGoldenRoutes(t *testing.T) {
	for _, c := range golden.Read(t, "../testdata/golden/routes.txt") {
		dialect := Default
		if c.Kind == "names-standard" {
			dialect = Standard
		}
		want, err := hex.DecodeString(c.Want)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendTopicRoute(nil, goldenRoute(c.In), dialect); string(got) != string(want) {
			t.Errorf("routes.txt:%d: %s %q\n got %s\nwant %s", c.Line, c.Kind, c.In, got, want)
		}
	}
}

// goldenAdmin writes what Probe.java writes with every string set to name.
func goldenAdmin(kind, name string) []byte {
	route := goldenRoute(name)
	switch kind {
	case "cluster-info":
		return AppendClusterInfo(nil, &ClusterInfo{Brokers: route.Brokers, Clusters: []ClusterMembers{{name, []string{name}}}})
	case "member-group":
		return AppendMemberGroup(nil, &MemberGroup{mq.Some(name), mq.Some(name), route.Brokers[0].Addrs})
	case "topic-list":
		return AppendTopicList(nil, &TopicList{Topics: []string{name}, BrokerAddr: mq.Some(name)})
	case "kv-table":
		return AppendKVTable(nil, []KV{{name, name}})
	case "register-body":
		topic := TopicConfig{Name: []byte(name), Key: []byte(name), ReadQueueNums: 4, WriteQueueNums: 5, Perm: 6, TopicSysFlag: 7}
		return AppendRegister(nil, &Register{Version: DataVersion{StateVersion: 1, Timestamp: 2, Counter: 3}, Topics: []TopicConfig{topic},
			FilterServers: [][]byte{[]byte(name)}, Mappings: []TopicMapping{{name, route.Mappings[0].Mapping}}})
	}
	return nil
}

// TestGoldenAdminBodies compares the other bodies byte for byte with those of Java.
func TestGoldenAdminBodies(t *testing.T) {
	for _, c := range golden.Read(t, "../testdata/golden/admin.txt") {
		want, err := hex.DecodeString(c.Want)
		if err != nil {
			t.Fatal(err)
		}
		if got := goldenAdmin(c.Kind, c.In); string(got) != string(want) {
			t.Errorf("admin.txt:%d: %s %q\n got %s\nwant %s", c.Line, c.Kind, c.In, got, want)
		}
	}
}

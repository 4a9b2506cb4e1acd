package wire

import (
	"bytes"
	"compress/flate"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRow057MasterIsSeenEverywhere(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r57")
	if a := c.register(b); len(a.ExtFields) != 0 || len(a.body) != 0 {
		t.Fatal(a)
	}
	info := c.clusterInfo()
	got := info.BrokerAddrTable[b.name]
	if got.addrs() != "0="+b.addr || got.Cluster != b.cluster || got.BrokerName != b.name || *got.EnableActingMaster {
		t.Fatalf("%+v", got)
	}
	if !slices.Equal(info.ClusterAddrTable[b.cluster], []string{b.name}) {
		t.Fatal(info.ClusterAddrTable)
	}
	topics := []string{b.t1(), b.t2()}
	if all := c.topics(request{code: 206}); !slices.Contains(all, b.t1()) || !slices.Contains(all, b.t2()) {
		t.Fatal(all)
	}
	if got := c.topics(request{code: 224, ext: map[string]string{"cluster": b.cluster}}); !slices.Equal(got, topics) {
		t.Fatal(got)
	}
	if system := c.topics(request{code: 304}); !slices.Contains(system, b.cluster) || !slices.Contains(system, b.name) {
		t.Fatal(system)
	}
	r := c.route(b.t1())
	if len(r.BrokerDatas) != 1 || len(r.QueueDatas) != 1 || r.broker(b.name).addrs() != "0="+b.addr ||
		*r.queue(b.name) != (queueData{b.name, 4, 4, 6, 0}) {
		t.Fatalf("%+v", r)
	}
}

func TestRow057OddBrokerIDs(t *testing.T) {
	c := shared(t).dial(t)
	for id, shown := range map[string]string{"9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808", "+0": "0", "007": "7"} {
		b := newBroker("r57")
		b.acting = "false"
		r := b.request()
		r.ext["brokerId"] = id
		c.ok(r)
		want(t, id, addrsOf(c.clusterInfo(), b.name), shown+"="+b.addr)
	}
	r := newBroker("r57").request()
	r.ext["brokerId"] = "9223372036854775808"
	c.refused(r, 1, "")
}

// golden registers the broker of the contract's examples under names of this row and returns them put into text.
func golden(t *testing.T, c *client) (name string, expect func(string) string) {
	t.Helper()
	b := newBroker("r58")
	b.addr = "1.1.1.1:10911"
	b.name, b.topics = unique("b0"), []topic{rw(unique("TA")), rw(unique("TB"))}
	c.register(b)
	s := b.slave(1)
	s.addr = "1.1.1.2:10911"
	c.register(s)
	return b.topics[0].name, strings.NewReplacer("b0", b.name, "C1", b.cluster).Replace
}

const (
	goldenDefault = `{"brokerDatas":[{"brokerAddrs":{0:"1.1.1.1:10911",1:"1.1.1.2:10911"},"brokerName":"b0","cluster":"C1","enableActingMaster":false}],` +
		`"filterServerTable":{},"queueDatas":[{"brokerName":"b0","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}`
	goldenStandard = `{"brokerDatas":[{"brokerAddrs":{"0":"1.1.1.1:10911","1":"1.1.1.2:10911"},"brokerName":"b0","cluster":"C1","enableActingMaster":false}],` +
		`"filterServerTable":{},"queueDatas":[{"brokerName":"b0","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}`
)

// routeAs asks for a topic as a client of some version.
func (c *client) routeAs(topic string, version int, standard string) string {
	c.t.Helper()
	r := routeRequest(topic)
	r.version = version
	if standard != "" {
		r.ext["acceptStandardJsonOnly"] = standard
	}
	return string(c.ok(r).body)
}

func TestRow058RouteGoldenDefault(t *testing.T) {
	c := shared(t).dial(t)
	topic, expect := golden(t, c)
	want(t, "version 317", c.routeAs(topic, 317, ""), expect(goldenDefault))
	want(t, "version 400", c.routeAs(topic, 400, ""), expect(goldenDefault))
	want(t, "version 0", c.exchangeBody(jsonFrame(`{"code":105,"opaque":1,"extFields":{"topic":"`+topic+`"}}`)), expect(goldenDefault))
}

// exchangeBody is exchange for the body.
func (c *client) exchangeBody(raw []byte) string {
	c.t.Helper()
	c.write(raw)
	return string(c.read().body)
}

func TestRow059RouteGoldenStandard(t *testing.T) {
	c := shared(t).dial(t)
	topic, expect := golden(t, c)
	want(t, "version 401", c.routeAs(topic, 401, ""), expect(goldenStandard))
	want(t, "version 513", c.routeAs(topic, 513, "false"), expect(goldenStandard))
	want(t, "acceptStandardJsonOnly", c.routeAs(topic, 317, "true"), expect(goldenStandard))
	want(t, "by binary header", c.exchangeBody(frame(1, binaryHeader(105, 9, 401, 1, 0, "", entry("topic", topic)), nil)),
		expect(goldenStandard))
}

func TestRow059NumericKeysInOrder(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r59")
	c.register(b)
	keys := `"0":"` + b.addr + `"`
	for _, id := range []int{10, 2, 100, -1, -20} {
		s := b.slave(id)
		s.addr = fmt.Sprint("1.1.1.1:", 1000+id)
		c.register(s)
	}
	has(t, "route", c.routeAs(b.t1(), 401, ""),
		`"brokerAddrs":{"-20":"1.1.1.1:980","-1":"1.1.1.1:999",`+keys+`,"2":"1.1.1.1:1002","10":"1.1.1.1:1010","100":"1.1.1.1:1100"}`)
}

func TestRow060AcceptStandardJSONOnly(t *testing.T) {
	c := shared(t).dial(t)
	topic, expect := golden(t, c)
	for text, standard := range map[string]bool{"TRUE": true, "True": true, " true": false, "1": false, "yes": false, "false": false} {
		expected := goldenDefault
		if standard {
			expected = goldenStandard
		}
		want(t, text, c.routeAs(topic, 317, text), expect(expected))
	}
}

// hostile is a name with everything that JSON writers treat differently, as 5.5.0 writes it: contract chapter 0.
const (
	hostile     = "q\"\\/<'\t\b\n\f\r\v\x00\x1f\x7f\u0085\u2028\u2029é😀"
	hostileJSON = `q\"\\/<'\t\b\n\f\r\u000b\u0000\u001f` + "\x7f\u0085\u2028\u2029é😀"
)

func TestRow061StringEscapes(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r61")
	b.name = unique("h") + hostile
	b.cluster = unique("c") + hostile
	b.topics = []topic{rw(b.t1()), rw(b.t2())}
	body := b.body() // under plain keys: 5.5.0 refuses keys that have both an escape and a character beyond 16 bits
	body = strings.Replace(body, `{`+quote(b.t1())+`:`, `{"k1":`, 1)
	body = strings.Replace(body, `,`+quote(b.t2())+`:`, `,"k2":`, 1)
	c.ok(b.requestWith([]byte(body)))
	name := b.name[:len(b.name)-len(hostile)] + hostileJSON
	for _, version := range []int{317, 401} {
		has(t, "broker entry", c.routeAs(b.t1(), version, ""), `"brokerName":"`+name+`","cluster":"`)
		has(t, "queue entry", c.routeAs(b.t1(), version, ""), `"queueDatas":[{"brokerName":"`+name+`","perm"`)
	}
	has(t, "106", string(c.ok(request{code: 106}).body), hostileJSON+`","enableActingMaster"`)
	has(t, "206", string(c.ok(request{code: 206}).body), `"`+name+`-T1"`)
	a := c.refused(routeRequest("t"+hostile), 17, "")
	has(t, "remark", a.header, `"remark":"No topic route info in name server for the topic: t`+hostileJSON+`\nSee`)
}

// clientGo reads brokerAddrs as rocketmq-client-go does: cut at commas and first colons, quotes stripped.
func clientGo(t *testing.T, body string) map[string]string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `"brokerAddrs":{`)
	if !ok {
		t.Fatalf("no brokerAddrs in %s", body)
	}
	text, _, _ := strings.Cut(rest, "}")
	out := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		id, addr, _ := strings.Cut(pair, ":")
		out[strings.ReplaceAll(id, `"`, "")] = strings.ReplaceAll(addr, `"`, "")
	}
	return out
}

func TestRow062NoWhitespaceInBrokerAddrs(t *testing.T) {
	c := shared(t).dial(t)
	topic, _ := golden(t, c)
	for _, version := range []int{317, 401} {
		body := c.routeAs(topic, version, "")
		if strings.ContainsAny(body, " \t\r\n") {
			t.Fatalf("whitespace in %s", body)
		}
		if got := clientGo(t, body); len(got) != 2 || got["0"] != "1.1.1.1:10911" || got["1"] != "1.1.1.2:10911" {
			t.Fatal(got)
		}
	}
}

const noRoute = "No topic route info in name server for the topic: %s\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

func TestRow063UnknownTopic(t *testing.T) {
	c := shared(t).dial(t)
	topic := unique("none")
	a := c.refused(routeRequest(topic), 17, fmt.Sprintf(noRoute, topic))
	if a.ExtFields != nil || len(a.body) != 0 {
		t.Fatal(a)
	}
}

func TestRow064MissingTopic(t *testing.T) {
	c := shared(t).dial(t)
	c.refused(request{code: 105}, 17, fmt.Sprintf(noRoute, "null"))
	c.refused(request{code: 105, ext: map[string]string{}}, 17, fmt.Sprintf(noRoute, "null"))
	c.refused(routeRequest(""), 17, fmt.Sprintf(noRoute, ""))
}

func TestRow065SlaveGetsMaster(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r65")
	has(t, "master", c.register(b).header, `"extFields":{},`)
	a := c.register(b.slave(1))
	if len(a.ExtFields) != 2 || a.ExtFields["masterAddr"] != b.addr || a.ExtFields["haServerAddr"] != b.ha {
		t.Fatal(a)
	}
	other := b.slave(2)
	other.cluster = unique("other") // the master is not in the live table of this cluster
	has(t, "other cluster", c.register(other).header, `"extFields":{},`)
}

func TestRow066SlaveBeforeMaster(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r66")
	has(t, "slave", c.register(b.slave(1)).header, `"extFields":{},`)
	c.register(b)
	if a := c.register(b.slave(2)); a.ExtFields["masterAddr"] != b.addr {
		t.Fatal(a)
	}
}

func TestRow067SlaveDoesNotChangeTopics(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r67")
	c.register(b)
	s := b.slave(1)
	s.acting, s.dv.counter = "false", 9
	s.topics = []topic{{b.t1(), 8, 8, 4, 0}, rw(b.name + "-slave")}
	c.register(s)
	if q := c.route(b.t1()).queue(b.name); *q != (queueData{b.name, 4, 4, 6, 0}) {
		t.Fatal(q)
	}
	c.refused(routeRequest(b.name+"-slave"), 17, "")
}

func TestRow068Checksum(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r68")
	r := b.request()
	r.ext["bodyCrc32"] = "12345"
	has(t, "mismatch", c.refused(r, 1, "crc32 not match").header, `"extFields":{},`)
	c.refused(routeRequest(b.t1()), 17, "")
	r.ext["bodyCrc32"] = "0"
	c.ok(r)
	c.route(b.t1())
	for i := 0; ; i++ { // a body whose checksum has the top bit
		b.ha = fmt.Sprint("ha", i)
		b.dv.counter = int64(i + 2)
		r = b.request()
		if ieee := crcFull(r.body); ieee>>31 == 1 {
			c.ok(r)
			r.ext["bodyCrc32"] = fmt.Sprint(ieee)
			if a := c.call(r); a.Code != 0 && a.remark() == "crc32 not match" {
				t.Fatalf("want an unparsable number to count as no checksum: %s", a)
			}
			return
		}
	}
}

func TestRow069NoBody(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r69")
	r := b.requestWith(nil)
	r.ext["bodyCrc32"] = "7"
	c.refused(r, 1, "crc32 not match")
	if info := c.clusterInfo(); info.BrokerAddrTable[b.name].BrokerName != "" {
		t.Fatal(info)
	}
	r.ext["bodyCrc32"] = "0"
	c.ok(r)
	if got := c.clusterInfo().BrokerAddrTable[b.name]; got.addrs() != "0="+b.addr {
		t.Fatal(got)
	}
	want(t, "data version", string(c.ok(b.dataVersionQuery()).body), `{"counter":0,"stateVersion":0,"timestamp":0}`)
}

func TestRow070OldBareWrapper(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r70")
	b.version = 36
	c.ok(b.requestWith([]byte(b.wrapper())))
	c.route(b.t1())
	b.version, b.name, b.addr = 37, unique("r70"), address()
	b.topics = []topic{rw(b.t1()), rw(b.t2())}
	c.ok(b.requestWith([]byte(b.wrapper()))) // a register body whose members are all unknown: no topics
	c.refused(routeRequest(b.t1()), 17, "")
}

// deflated is b with a compressed body, said to be one.
func (b broker) deflated(withMappings bool) request {
	r := b.requestWith(b.compressed(withMappings))
	r.ext["compressed"] = "true"
	return r
}

func TestRow071Compressed(t *testing.T) {
	c := shared(t).dial(t)
	for _, row := range []struct {
		version      int
		withMappings bool
		code         int
	}{{413, true, 0}, {513, true, 0}, {412, false, 0}, {293, false, 0}, {412, true, 0}, {413, false, 1}} {
		b := newBroker("r71")
		b.version = row.version
		b.filters = []string{"f1:1"}
		a := c.call(b.deflated(row.withMappings))
		if a.Code != row.code || (row.code == 1 && a.ExtFields != nil) {
			t.Fatalf("version %d, mapping part %t: %s", row.version, row.withMappings, a)
		}
		if row.code == 0 {
			c.route(b.t2())
			if r := c.route(b.t1()); *r.queue(b.name) != (queueData{b.name, 4, 4, 6, 0}) || len(r.FilterServerTable[b.addr]) != 1 {
				t.Fatalf("%+v", r)
			}
		} else {
			c.refused(routeRequest(b.t1()), 17, "")
		}
	}
}

func TestRow072CompressedLosesUnitFlag(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r72")
	b.topics[0].unitFlag, b.topics[0].perm = 3, 7
	c.ok(b.deflated(true))
	if q := c.route(b.t1()).queue(b.name); q.TopicSysFlag != 0 || q.Perm != 7 {
		t.Fatal(q)
	}
}

func TestRow073BadCompressionRefused(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r73")
	var raw bytes.Buffer
	w, _ := flate.NewWriter(&raw, flate.DefaultCompression)
	w.Write([]byte(b.body()))
	w.Close()
	for name, body := range map[string][]byte{
		"raw deflate": raw.Bytes(), "JSON": []byte(b.body()), "JSON in zlib": deflate([]byte(b.body())),
		"cut short": b.compressed(true)[:60], "negative length": deflate([]byte{0xff, 0xff, 0xff, 0xff}),
		"no body": nil,
	} {
		r := b.requestWith(body)
		r.ext["compressed"] = "true"
		if a := c.call(r); (a.Code == 0) != (name == "no body") {
			t.Errorf("%s: %s", name, a)
		}
	}
	c.refused(routeRequest(b.t1()), 17, "")
}

func TestRow074BareIntegerKeysInBody(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r74")
	b.mappings = `{"` + b.t1() + `":{"bname":"` + b.name + `","currIdMap":{0:0,3:1},"dirty":false,"epoch":9,"scope":"__global__","topic":"` + b.t1() + `","totalQueues":4}}`
	c.register(b)
	has(t, "mapping", c.routeAs(b.t1(), 317, ""), `"currIdMap":{0:0,3:1},"dirty":false,"epoch":9,`)
}

func TestRow075RefInBody(t *testing.T) {
	c := shared(t).dial(t)
	for _, name := range []string{"under_score", "%RETRY%group", "hy-phen"} {
		b := newBroker("r75")
		first, second := name+strings.ReplaceAll(b.name, "-", "_"), b.t2()
		b.topics = []topic{rw(first), rw(second)}
		ref := `"attributes":{"$ref":"$.topicConfigSerializeWrapper.topicConfigTable.` + strings.ReplaceAll(first, "-", `\\-`) + `.attributes"}`
		body := b.body()
		i := strings.LastIndex(body, `"attributes":{}`)
		c.ok(b.requestWith([]byte(body[:i] + ref + body[i+len(`"attributes":{}`):])))
		c.route(first)
		c.route(second)
	}
}

func TestRow076UnknownAndMissingMembers(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r76")
	d1, d2 := b.name+"-D1", b.name+"-D2"
	c.ok(b.requestWith([]byte(`{"new":{"deep":[{"x":1}]},"topicConfigSerializeWrapper":{"topicConfigTable":{"` +
		d1 + `":{"topicName":"` + d1 + `"},"` + d2 + `":{"unknown":[null],"topicName":"` + d2 + `","perm":"2","readQueueNums":3.9}}}}`)))
	if q := c.route(d1).queue(b.name); *q != (queueData{b.name, 16, 16, 6, 0}) {
		t.Fatal(q)
	}
	if q := c.route(d2).queue(b.name); *q != (queueData{b.name, 3, 16, 2, 0}) {
		t.Fatal(q)
	}
	for _, body := range []string{`{}`, `{"topicConfigSerializeWrapper":{}}`, `{"filterServerList":null}`} {
		empty := newBroker("r76")
		c.ok(empty.requestWith([]byte(body)))
		want(t, body, addrsOf(c.clusterInfo(), empty.name), "0="+empty.addr)
	}
}

// What 5.5.0 makes of members that are odd but no mistake (contract chapter 0).
func TestRow076OddMembers(t *testing.T) {
	c := shared(t).dial(t)
	for members, wanted := range map[string]queueData{
		`"readQueueNums":null`:              {"", 0, 16, 6, 0},
		`"PERM":2,"write_queue_nums":3`:     {"", 16, 16, 6, 0},
		`'perm':2,/* no */"topicSysFlag":1`: {"", 16, 16, 2, 1},
		`"topicFilterType":"NO_SUCH"`:       {"", 16, 16, 6, 0},
		`"perm":2,"perm":4,`:                {"", 16, 16, 4, 0},
		`"perm":-1.9,"order":"true"`:        {"", 16, 16, -1, 0},
	} {
		b := newBroker("r76")
		a := c.call(b.requestWith([]byte(`{"topicConfigSerializeWrapper":{"topicConfigTable":{"` + b.t1() + `":{"topicName":"` + b.t1() + `",` + members +
			`},"` + b.t2() + `":{"topicName":"` + b.t2() + `"}}}}`)))
		if a.Code != 0 {
			t.Errorf("%s: %s", members, a)
			continue
		}
		wanted.BrokerName = b.name
		if got := c.queueOf(b.t1(), b.name); got != wanted {
			t.Errorf("%s: got %+v, want %+v", members, got, wanted)
		}
	}
}

func TestRow077TopicNameWins(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r77")
	c.ok(b.requestWith([]byte(strings.Replace(b.body(), `{"`+b.t1()+`":`, `{"`+b.name+`-key":`, 1))))
	c.route(b.t1())
	c.refused(routeRequest(b.name+"-key"), 17, "")
}

func TestRow078UndecodableBody(t *testing.T) {
	c := shared(t).dial(t)
	good := newBroker("r78").body()
	for name, body := range map[string]string{
		"xx": `xx`, "null": `null`, "array": `[]`, "trailing": good + "x", "cut": good[:len(good)-5],
		"unquoted names": `{topicConfigSerializeWrapper:{}}`, "huge number": `{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"topicName":"t","perm":99999999999}}}}`,
		"null topic":       `{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":null}}}`,
		"order no boolean": `{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"topicName":"t","order":"maybe"}}}}`,
	} {
		b := newBroker("r78")
		a := c.call(b.requestWith([]byte(body)))
		if name != "null topic" && (a.Code != 1 || a.ExtFields != nil || len(a.body) != 0) {
			t.Errorf("%s: %s", name, a)
		}
		if name == "null topic" && a.Code != 1 {
			t.Errorf("%s: %s", name, a)
		}
		c.refused(routeRequest(b.t1()), 17, "")
	}
	c.usable()
}

func TestRow079BrokerIDOrFieldsMissing(t *testing.T) {
	c := shared(t).dial(t)
	for _, id := range []string{"", "x", "1.5", " 1", "none"} {
		b := newBroker("r79")
		r := b.request()
		r.ext["brokerId"] = id
		if id == "none" {
			delete(r.ext, "brokerId")
		}
		if a := c.refused(r, 1, ""); a.ExtFields != nil {
			t.Fatal(a)
		}
		c.refused(routeRequest(b.t1()), 17, "")
	}
	r := newBroker("r79").request()
	r.ext = nil
	if a := c.refused(r, 1, ""); a.ExtFields != nil || a.remark() == "" {
		t.Fatal(a)
	}
}

func TestRow080NegativeVersion(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r80")
	b.version = -1
	c.refused(b.request(), 1, "")
	c.refused(routeRequest(b.t1()), 17, "")
	c.ok(request{code: 206, version: -1})
	b.version = 99999
	c.register(b)
}

func TestRow081SingleTopicFirstRefused(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r81")
	b.topics = b.topics[:1]
	a := c.refused(b.request(), 1, "register broker failed")
	has(t, "header", a.header, `"extFields":{},`)
	c.refused(routeRequest(b.t1()), 17, "")
	if a := c.ok(b.dataVersionQuery()); a.ExtFields["changed"] != "true" || len(a.body) != 0 {
		t.Fatal(a)
	}
}

func TestRow082SingleTopicLaterMerges(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r82")
	c.register(b)
	b.topics = []topic{rw(b.name + "-T3")}
	b.dv.counter++
	c.register(b)
	for _, name := range []string{b.t1(), b.t2(), b.name + "-T3"} {
		c.route(name)
	}
}

func TestRow083NoTopicsFirst(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r83")
	b.topics = nil
	c.register(b)
	if got := c.clusterInfo().BrokerAddrTable[b.name]; got.addrs() != "0="+b.addr {
		t.Fatal(got)
	}
}

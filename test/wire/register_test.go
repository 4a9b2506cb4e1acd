package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestRow057MasterIsSeenEverywhere(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r57")
	if a := c.register(b); len(a.ExtFields) != 0 || len(a.Body) != 0 {
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
	if all := c.topics(kit.Request{Code: 206}); !slices.Contains(all, b.t1()) || !slices.Contains(all, b.t2()) {
		t.Fatal(all)
	}
	if got := c.topics(kit.Request{Code: 224, Ext: map[string]string{"cluster": b.cluster}}); !slices.Equal(got, topics) {
		t.Fatal(got)
	}
	if system := c.topics(kit.Request{Code: 304}); !slices.Contains(system, b.cluster) || !slices.Contains(system, b.name) {
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
		r.Ext["brokerId"] = id
		c.OK(r)
		want(t, id, addrsOf(c.clusterInfo(), b.name), shown+"="+b.addr)
	}
	r := newBroker("r57").request()
	r.Ext["brokerId"] = "9223372036854775808"
	c.Refused(r, 1, "")
}

// golden registers the broker of the golden bytes (docs/spec/nameserver.md#golden-bytes) under names of this row, and returns
// what puts these names into a text.
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
	c.T.Helper()
	r := routeRequest(topic)
	r.Version = version
	if standard != "" {
		r.Ext["acceptStandardJsonOnly"] = standard
	}
	return string(c.OK(r).Body)
}

func TestRow058RouteGoldenDefault(t *testing.T) {
	c := shared(t).dial(t)
	topic, expect := golden(t, c)
	want(t, "version 317", c.routeAs(topic, 317, ""), expect(goldenDefault))
	want(t, "version 400", c.routeAs(topic, 400, ""), expect(goldenDefault))
	want(t, "version 0", c.exchangeBody(kit.JSONFrame(`{"code":105,"opaque":1,"extFields":{"topic":"`+topic+`"}}`)), expect(goldenDefault))
}

// exchangeBody is exchange for the body.
func (c *client) exchangeBody(raw []byte) string {
	c.T.Helper()
	c.Put(raw)
	return string(c.Next().Body)
}

func TestRow059RouteGoldenStandard(t *testing.T) {
	c := shared(t).dial(t)
	topic, expect := golden(t, c)
	want(t, "version 401", c.routeAs(topic, 401, ""), expect(goldenStandard))
	want(t, "version 513", c.routeAs(topic, 513, "false"), expect(goldenStandard))
	want(t, "acceptStandardJsonOnly", c.routeAs(topic, 317, "true"), expect(goldenStandard))
	want(t, "by binary header", c.exchangeBody(kit.Frame(1, kit.BinaryHeader(105, 9, 401, 1, 0, "", kit.BinaryEntry("topic", topic)), nil)),
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

// hostile is a name with everything that JSON writers treat differently, and how 5.5.0 writes it.
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
	body = strings.Replace(body, `{`+kit.Quote(b.t1())+`:`, `{"k1":`, 1)
	body = strings.Replace(body, `,`+kit.Quote(b.t2())+`:`, `,"k2":`, 1)
	c.OK(b.requestWith([]byte(body)))
	name := b.name[:len(b.name)-len(hostile)] + hostileJSON
	for _, version := range []int{317, 401} {
		has(t, "broker entry", c.routeAs(b.t1(), version, ""), `"brokerName":"`+name+`","cluster":"`)
		has(t, "queue entry", c.routeAs(b.t1(), version, ""), `"queueDatas":[{"brokerName":"`+name+`","perm"`)
	}
	has(t, "106", string(c.OK(kit.Request{Code: 106}).Body), hostileJSON+`","enableActingMaster"`)
	has(t, "206", string(c.OK(kit.Request{Code: 206}).Body), `"`+name+`-T1"`)
	a := c.Refused(routeRequest("t"+hostile), 17, "")
	has(t, "remark", a.Header, `"remark":"No topic route info in name server for the topic: t`+hostileJSON+`\nSee`)
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
	a := c.Refused(routeRequest(topic), 17, fmt.Sprintf(noRoute, topic))
	if a.ExtFields != nil || len(a.Body) != 0 {
		t.Fatal(a)
	}
}

func TestRow064MissingTopic(t *testing.T) {
	c := shared(t).dial(t)
	c.Refused(kit.Request{Code: 105}, 17, fmt.Sprintf(noRoute, "null"))
	c.Refused(kit.Request{Code: 105, Ext: map[string]string{}}, 17, fmt.Sprintf(noRoute, "null"))
	c.Refused(routeRequest(""), 17, fmt.Sprintf(noRoute, ""))
}

func TestRow065SlaveGetsMaster(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r65")
	has(t, "master", c.register(b).Header, `"extFields":{},`)
	a := c.register(b.slave(1))
	if len(a.ExtFields) != 2 || a.ExtFields["masterAddr"] != b.addr || a.ExtFields["haServerAddr"] != b.ha {
		t.Fatal(a)
	}
	other := b.slave(2)
	other.cluster = unique("other") // the master is not in the live table of this cluster
	has(t, "other cluster", c.register(other).Header, `"extFields":{},`)
}

func TestRow066SlaveBeforeMaster(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r66")
	has(t, "slave", c.register(b.slave(1)).Header, `"extFields":{},`)
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
	c.Refused(routeRequest(b.name+"-slave"), 17, "")
}

func TestRow081SingleTopicFirstRefused(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r81")
	b.topics = b.topics[:1]
	a := c.Refused(b.request(), 1, "register broker failed")
	has(t, "header", a.Header, `"extFields":{},`)
	c.Refused(routeRequest(b.t1()), 17, "")
	if a := c.OK(b.dataVersionQuery()); a.ExtFields["changed"] != "true" || len(a.Body) != 0 {
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

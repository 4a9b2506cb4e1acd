package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const orderNamespace = "ORDER_TOPIC_CONFIG"

func TestRow094OrderConfigReturned(t *testing.T) {
	c := own(t, options{}).dial(t)
	b := newBroker("r94")
	if a := c.register(b); len(a.Body) != 0 {
		t.Fatal(a)
	}
	c.putKV(orderNamespace, "p", "b0:4;b1:4")
	want(t, "body", string(c.register(b).Body), `{"table":{"p":"b0:4;b1:4"}}`)
	c.OK(deleteKV(orderNamespace, "p"))
	want(t, "emptied", string(c.register(b).Body), `{"table":{}}`)
	c.config("returnOrderTopicConfigToBroker=false")
	if a := c.register(b); len(a.Body) != 0 {
		t.Fatal(a)
	}
}

func TestRow095OrderConfigInRoute(t *testing.T) {
	c := own(t, options{}).dial(t)
	b := newBroker("r95")
	c.register(b)
	c.putKV(orderNamespace, b.t1(), "p:4")
	if r := c.route(b.t1()); r.OrderTopicConf != nil {
		t.Fatal(*r.OrderTopicConf)
	}
	c.config("orderMessageEnable=true")
	has(t, "route", c.routeAs(b.t1(), 317, ""), `"filterServerTable":{},"orderTopicConf":"p:4","queueDatas":`)
	has(t, "route", c.routeAs(b.t1(), 401, ""), `"filterServerTable":{},"orderTopicConf":"p:4","queueDatas":`)
	if r := c.route(b.t2()); r.OrderTopicConf != nil {
		t.Fatal(*r.OrderTopicConf)
	}
	c.putKV(orderNamespace, b.t1(), "p:8")
	has(t, "changed", c.routeAs(b.t1(), 401, ""), `"orderTopicConf":"p:8"`)
	c.OK(deleteKV(orderNamespace, b.t1()))
	if r := c.route(b.t1()); r.OrderTopicConf != nil {
		t.Fatal(*r.OrderTopicConf)
	}
}

func TestRow096FilterServers(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r96")
	b.filters = []string{"f1:1", "f2:2"}
	c.register(b)
	slave := b.slave(1)
	slave.filters = nil
	c.register(slave)
	for _, version := range []int{317, 401} {
		has(t, "route", c.routeAs(b.t1(), version, ""), `"filterServerTable":{"`+b.addr+`":["f1:1","f2:2"]},`)
	}
	c.OK(b.requestWith([]byte(strings.Replace(b.body(), `"filterServerList":["f1:1","f2:2"]`, `"filterServerList":null`, 1))))
	has(t, "null leaves it", c.routeAs(b.t1(), 401, ""), `"filterServerTable":{"`+b.addr+`":["f1:1","f2:2"]},`)
	b.filters = nil
	c.register(b)
	has(t, "empty list", c.routeAs(b.t1(), 401, ""), `"filterServerTable":{},`)
}

func TestRow097ZoneName(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r97")
	b.zone = "Zürich"
	c.register(b)
	has(t, "route", c.routeAs(b.t1(), 401, ""), `"enableActingMaster":false,"zoneName":"Zürich"}`)
	b.zone = ""
	c.register(b)
	has(t, "route", c.routeAs(b.t1(), 401, ""), `"enableActingMaster":false}`)
}

// zoned asks for a topic with the zone fields that clients add.
func (c *client) zoned(topic, mode, name string) *route {
	c.T.Helper()
	r := routeRequest(topic)
	r.Version = 317
	r.Ext["__ZONE_MODE"], r.Ext["__ZONE_NAME"] = mode, name
	var out route
	decode(c.T, c.OK(r), &out)
	return &out
}

func TestRow098ZoneFiltering(t *testing.T) {
	c := shared(t).dial(t)
	var names []string
	topicName := unique("zoned")
	for _, zone := range []string{"east", "west", ""} {
		b := newBroker("r98-" + zone)
		b.zone, b.topics = zone, []topic{rw(topicName), rw(b.name + "-T2")}
		b.filters = []string{"filter:1"}
		c.register(b)
		names = append(names, b.name)
	}
	check := func(mode, zone string, wanted ...string) {
		t.Helper()
		r := c.zoned(topicName, mode, zone)
		var brokers, queues []string
		for _, b := range r.BrokerDatas {
			brokers = append(brokers, b.BrokerName)
		}
		for _, q := range r.QueueDatas {
			queues = append(queues, q.BrokerName)
		}
		slices.Sort(brokers)
		slices.Sort(queues)
		slices.Sort(wanted)
		if !slices.Equal(brokers, wanted) || !slices.Equal(queues, wanted) || len(r.FilterServerTable) != len(wanted) {
			t.Fatalf("mode %q, zone %q: brokers %v, queues %v, filters %v; want %v", mode, zone, brokers, queues, r.FilterServerTable, wanted)
		}
	}
	check("true", "east", names[0])
	check("TRUE", "WEST", names[1])
	check("true", "", names...)
	check("true", " ", names...)
	check("false", "east", names...)
	check("", "east", names...)
	check("true", "north")
	r := routeRequest(topicName)
	r.Version, r.Ext["__ZONE_MODE"], r.Ext["__ZONE_NAME"] = 317, "true", "north"
	want(t, "empty", string(c.OK(r).Body), `{"brokerDatas":[],"filterServerTable":{},"queueDatas":[]}`)
}

func TestRow099ZoneFilteringKeepsMasterless(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r99")
	b.id, b.acting, b.zone = 1, "false", "west"
	c.register(b)
	if r := c.zoned(b.t1(), "true", "east"); r.broker(b.name) == nil || r.queue(b.name) == nil {
		t.Fatalf("%+v", r)
	}
}

// A mapping ends with the broker that gave it, at the last of its addresses; other mappings of the topic stay.
func TestDeviation21MappingsEndWithTheirBroker(t *testing.T) {
	c := shared(t).dial(t)
	a, b := newBroker("d19a"), newBroker("d19b")
	b.topics = a.topics
	for _, one := range []*broker{&a, &b} {
		one.mappings = `{"` + a.t1() + `":{"bname":"` + one.name + `","currIdMap":{"0":0},"epoch":7,"topic":"` + a.t1() + `","totalQueues":2}}`
		c.register(*one)
	}
	if r := c.route(a.t1()); len(r.TopicQueueMappingByBroker) != 2 {
		t.Fatalf("before: %+v", r)
	}
	c.OK(b.unregister())
	deviation(t, "DEV-21", func() error {
		r := c.route(a.t1())
		if _, own := r.TopicQueueMappingByBroker[a.name]; !own || len(r.TopicQueueMappingByBroker) != 1 {
			return fmt.Errorf("%d mappings are left: %v", len(r.TopicQueueMappingByBroker), r.TopicQueueMappingByBroker)
		}
		return nil
	})
}

func TestRow100Mappings(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r100")
	b.mappings = `{"` + b.t1() + `":{"bname":"` + b.name + `","currIdMap":{"0":0,"1":1},"epoch":7,"topic":"` + b.t1() + `","totalQueues":3}}`
	c.register(b)
	body := func(key0, key1 string) string {
		return `"topicQueueMappingByBroker":{"` + b.name + `":{"bname":"` + b.name + `","currIdMap":{` + key0 + `:0,` + key1 +
			`:1},"dirty":false,"epoch":7,"scope":"__global__","topic":"` + b.t1() + `","totalQueues":3}}}`
	}
	has(t, "default", c.routeAs(b.t1(), 317, ""), body("0", "1"))
	has(t, "standard", c.routeAs(b.t1(), 401, ""), body(`"0"`, `"1"`))
	if r := c.route(b.t2()); r.TopicQueueMappingByBroker != nil {
		t.Fatal(r.TopicQueueMappingByBroker)
	}
}

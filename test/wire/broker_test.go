package wire

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// topic is one entry of a registration's topic table.
type topic struct {
	name           string
	read, write    int
	perm, unitFlag int
}

// rw is a topic as brokers make them: 4 queues each way, readable and writable.
func rw(name string) topic { return topic{name, 4, 4, 6, 0} }

func (t topic) json() string {
	return fmt.Sprintf(`{"attributes":{},"order":false,"perm":%d,"readQueueNums":%d,"topicFilterType":"SINGLE_TAG","topicName":%s,"topicSysFlag":%d,"writeQueueNums":%d}`,
		t.perm, t.read, kit.Quote(t.name), t.unitFlag, t.write)
}

// dataVersion is {stateVersion, timestamp, counter}.
type dataVersion struct{ state, time, counter int64 }

func (d dataVersion) json() string {
	return fmt.Sprintf(`{"counter":%d,"stateVersion":%d,"timestamp":%d}`, d.counter, d.state, d.time)
}

// broker is a registration. The zero value of id is a master.
type broker struct {
	cluster, name, addr string
	id                  int
	ha                  string
	acting              string // enableActingMaster: "" leaves it out
	timeout             int    // heartbeatTimeoutMillis: 0 leaves it out
	zone                string
	version             int // request version, 0: 479
	dv                  dataVersion
	topics              []topic
	mappings            string // topicQueueMappingInfoMap, "" leaves it out
	filters             []string
}

// newBroker is a master with two topics named after it, in a cluster of its own.
func newBroker(prefix string) broker {
	name := unique(prefix)
	return broker{
		cluster: name + "-cluster", name: name, addr: address(), ha: "ha-" + name + ":10912",
		dv:     dataVersion{0, 1700000000000, 1},
		topics: []topic{rw(name + "-T1"), rw(name + "-T2")},
	}
}

// slave is a broker of the same name and cluster with another address, id and no topics.
func (b broker) slave(id int) broker {
	b.id, b.addr, b.topics, b.ha = id, address(), nil, "ha-slave:1"
	return b
}

// t1 and t2 are the names of newBroker's topics.
func (b broker) t1() string { return b.name + "-T1" }
func (b broker) t2() string { return b.name + "-T2" }

func (b broker) ext() map[string]string {
	ext := map[string]string{
		"brokerName": b.name, "brokerAddr": b.addr, "clusterName": b.cluster,
		"haServerAddr": b.ha, "brokerId": strconv.Itoa(b.id), "compressed": "false",
	}
	if b.acting != "" {
		ext["enableActingMaster"] = b.acting
	}
	if b.timeout != 0 {
		ext["heartbeatTimeoutMillis"] = strconv.Itoa(b.timeout)
	}
	if b.zone != "" {
		ext["__ZONE_NAME"] = b.zone
	}
	return ext
}

// wrapper is the topicConfigSerializeWrapper.
func (b broker) wrapper() string {
	entries := make([]string, len(b.topics))
	for i, t := range b.topics {
		entries[i] = kit.Quote(t.name) + ":" + t.json()
	}
	mappings := ""
	if b.mappings != "" {
		mappings = `,"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":` + b.mappings
	}
	return `{"dataVersion":` + b.dv.json() + `,"topicConfigTable":{` + strings.Join(entries, ",") + `}` + mappings + `}`
}

func (b broker) body() string {
	filters := b.filters
	if filters == nil {
		filters = []string{}
	}
	return `{"filterServerList":` + kit.Quote(filters) + `,"topicConfigSerializeWrapper":` + b.wrapper() + `}`
}

// request is the REGISTER_BROKER as a broker sends it.
func (b broker) request() kit.Request { return b.requestWith([]byte(b.body())) }

// requestWith is request with another body and the checksum of that.
func (b broker) requestWith(body []byte) kit.Request {
	ext := b.ext()
	ext["bodyCrc32"] = kit.CRC(body)
	return kit.Request{Code: 103, Version: b.version, Ext: ext, Body: body}
}

// compressed is the register body in its compressed form, with the mapping part that 5.x wants or without.
func (b broker) compressed(withMappings bool) []byte {
	var plain []byte
	block := func(s string) {
		plain = binary.BigEndian.AppendUint32(plain, uint32(len(s)))
		plain = append(plain, s...)
	}
	block(b.dv.json())
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(b.topics)))
	for _, t := range b.topics {
		block(fmt.Sprintf("%s %d %d %d SINGLE_TAG {}", t.name, t.read, t.write, t.perm))
	}
	block(kit.Quote(append([]string{}, b.filters...)))
	if withMappings {
		plain = binary.BigEndian.AppendUint32(plain, 0)
	}
	return deflate(plain)
}

// deflate is plain as a zlib stream.
func deflate(plain []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(plain)
	w.Close()
	return out.Bytes()
}

// register registers b, which must succeed.
func (c *client) register(b broker) *kit.Answer {
	c.T.Helper()
	return c.OK(b.request())
}

// unregisterRequest is the UNREGISTER_BROKER of b.
func (b broker) unregister() kit.Request {
	return kit.Request{Code: 104, Ext: map[string]string{
		"brokerName": b.name, "brokerAddr": b.addr, "clusterName": b.cluster, "brokerId": strconv.Itoa(b.id),
	}}
}

// heartbeat is BROKER_HEARTBEAT as brokers send it.
func (b broker) heartbeat() kit.Request {
	return kit.Request{Code: 904, Ext: map[string]string{"clusterName": b.cluster, "brokerAddr": b.addr, "brokerName": b.name}}
}

// dataVersionQuery is QUERY_DATA_VERSION of b.
func (b broker) dataVersionQuery() kit.Request {
	r := b.unregister()
	r.Code, r.Body = 322, []byte(b.dv.json())
	return r
}

// route is the decoded body of a 105.
type route struct {
	BrokerDatas               []brokerData
	QueueDatas                []queueData
	FilterServerTable         map[string][]string
	OrderTopicConf            *string
	TopicQueueMappingByBroker map[string]json.RawMessage
}

type brokerData struct {
	Cluster, BrokerName string
	BrokerAddrs         map[string]string
	EnableActingMaster  *bool
	ZoneName            *string
}

type queueData struct {
	BrokerName                                        string
	ReadQueueNums, WriteQueueNums, Perm, TopicSysFlag int
}

// queue is the queue entry of a broker, or nil.
func (r *route) queue(name string) *queueData {
	for i := range r.QueueDatas {
		if r.QueueDatas[i].BrokerName == name {
			return &r.QueueDatas[i]
		}
	}
	return nil
}

// broker is the entry of a broker, or nil.
func (r *route) broker(name string) *brokerData {
	for i := range r.BrokerDatas {
		if r.BrokerDatas[i].BrokerName == name {
			return &r.BrokerDatas[i]
		}
	}
	return nil
}

func routeRequest(topic string) kit.Request {
	return kit.Request{Code: 105, Ext: map[string]string{"topic": topic}}
}

// route asks for a topic that must have a route.
func (c *client) route(topic string) *route {
	c.T.Helper()
	r, err := c.tryRoute(topic)
	if err != nil {
		c.T.Fatal(err)
	}
	return r
}

// tryRoute is route for polling: an answer other than 0 is an error.
func (c *client) tryRoute(topic string) (*route, error) {
	c.T.Helper()
	a := c.Call(routeRequest(topic))
	if a.Code != 0 {
		return nil, fmt.Errorf("route of %s: %s", topic, a)
	}
	var r route
	decode(c.T, a, &r)
	return &r, nil
}

// gone returns an error while a topic has a route.
func (c *client) gone(topic string) error {
	a := c.Call(routeRequest(topic))
	if a.Code != 17 {
		return fmt.Errorf("route of %s: want 17, got %s", topic, a)
	}
	return nil
}

// clusterInfo is the decoded body of a 106.
type clusterInfo struct {
	BrokerAddrTable  map[string]brokerData
	ClusterAddrTable map[string][]string
}

func (c *client) clusterInfo() clusterInfo {
	c.T.Helper()
	var info clusterInfo
	decode(c.T, c.OK(kit.Request{Code: 106}), &info)
	return info
}

var bareKey = regexp.MustCompile(`([{,])(-?[0-9]+):`)

// decode reads a body of either dialect: bare numeric keys are quoted first. No string of these tests looks like one.
func decode(t testing.TB, a *kit.Answer, into any) {
	t.Helper()
	if err := json.Unmarshal(bareKey.ReplaceAll(a.Body, []byte(`$1"$2":`)), into); err != nil {
		t.Fatalf("body %q: %v", a.Body, err)
	}
}

// topics is a topic list, sorted.
func (c *client) topics(r kit.Request) []string {
	c.T.Helper()
	var list struct{ TopicList []string }
	decode(c.T, c.OK(r), &list)
	slices.Sort(list.TopicList)
	return list.TopicList
}

// addrs is a broker's address table as sorted text, e.g. "0=a 1=b".
func (b *brokerData) addrs() string {
	if b == nil {
		return "no broker"
	}
	var out []string
	for _, id := range slices.Sorted(maps.Keys(b.BrokerAddrs)) {
		out = append(out, id+"="+b.BrokerAddrs[id])
	}
	return strings.Join(out, " ")
}

// addrsOf is the address table of a broker in a 106.
func addrsOf(info clusterInfo, name string) string {
	b, ok := info.BrokerAddrTable[name]
	if !ok {
		return "no broker"
	}
	return b.addrs()
}

// config sends an UPDATE_NAMESRV_CONFIG that must succeed.
func (c *client) config(lines ...string) {
	c.T.Helper()
	c.OK(kit.Request{Code: 318, Body: []byte(strings.Join(lines, "\n") + "\n")})
}

// options is the answer to GET_NAMESRV_CONFIG by key.
func (c *client) options() map[string]string {
	c.T.Helper()
	out := map[string]string{}
	for line := range strings.Lines(string(c.OK(kit.Request{Code: 319}).Body)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		out[k] = v
	}
	return out
}

// putKV stores one value.
func (c *client) putKV(namespace, key, value string) {
	c.T.Helper()
	c.OK(kit.Request{Code: 100, Ext: map[string]string{"namespace": namespace, "key": key, "value": value}})
}

// getKV is the GET_KV_CONFIG of a key.
func getKV(namespace, key string) kit.Request {
	return kit.Request{Code: 101, Ext: map[string]string{"namespace": namespace, "key": key}}
}

// crcFull is the checksum with its top bit.
func crcFull(body []byte) uint32 { return crc32.ChecksumIEEE(body) }

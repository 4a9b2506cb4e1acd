package wire

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func wipe(name string) kit.Request {
	return kit.Request{Code: 205, Ext: map[string]string{"brokerName": name}}
}

func addWrite(name string) kit.Request {
	return kit.Request{Code: 327, Ext: map[string]string{"brokerName": name}}
}

func TestRow130WipeWritePermission(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r130")
	b.topics[1].perm = 7
	c.register(b)
	has(t, "answer", c.OK(wipe(b.name)).Header, `{"code":0,"extFields":{"wipeTopicCount":"2"},"flag":1,`)
	wiped := func(p1, p2 int) {
		t.Helper()
		if q1, q2 := c.queueOf(b.t1(), b.name), c.queueOf(b.t2(), b.name); q1.Perm != p1 || q2.Perm != p2 {
			t.Fatal(q1, q2)
		}
	}
	wiped(4, 5)
	has(t, "again", c.OK(wipe(b.name)).Header, `"wipeTopicCount":"2"`)
	c.register(b)
	wiped(4, 5)
	b.dv.counter++
	c.register(b)
	wiped(6, 7)
}

func TestRow131AddWritePermission(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r131")
	b.topics[0].perm = 7
	c.register(b)
	c.OK(wipe(b.name))
	has(t, "answer", c.OK(addWrite(b.name)).Header, `{"code":0,"extFields":{"addTopicCount":"2"},"flag":1,`)
	if q := c.queueOf(b.t1(), b.name); q.Perm != 6 {
		t.Fatal(q)
	}
}

func TestRow132PermissionOfUnknownBroker(t *testing.T) {
	c := shared(t).dial(t)
	for _, ext := range []map[string]string{{"brokerName": unique("none")}, {}, nil} {
		has(t, "wipe", c.OK(kit.Request{Code: 205, Ext: ext}).Header, `"extFields":{"wipeTopicCount":"0"}`)
		has(t, "add", c.OK(kit.Request{Code: 327, Ext: ext}).Header, `"extFields":{"addTopicCount":"0"}`)
	}
}

func TestRow133DeleteTopic(t *testing.T) {
	c := shared(t).dial(t)
	one, two := newBroker("r133"), newBroker("r133")
	shared, only := unique("r133-shared"), one.t1()
	one.topics = append(one.topics, rw(shared))
	two.topics = append(two.topics, rw(shared))
	c.register(one)
	c.register(two)
	remove := func(topic, cluster string) {
		t.Helper()
		ext := map[string]string{"topic": topic}
		if cluster != "-" {
			ext["clusterName"] = cluster
		}
		c.OK(kit.Request{Code: 216, Ext: ext})
	}
	remove(shared, unique("unknown"))
	remove(unique("unknown"), "-")
	c.OK(kit.Request{Code: 216})
	if r := c.route(shared); len(r.QueueDatas) != 2 {
		t.Fatalf("%+v", r)
	}
	remove(shared, one.cluster)
	if r := c.route(shared); r.queue(one.name) != nil || r.queue(two.name) == nil {
		t.Fatalf("%+v", r)
	}
	remove(shared, two.cluster)
	c.Refused(routeRequest(shared), 17, "")
	remove(only, "-")
	c.Refused(routeRequest(only), 17, "")
	remove(two.t1(), "")
	c.Refused(routeRequest(two.t1()), 17, "")
	c.route(one.t2())
}

func TestRow134RegisterTopic(t *testing.T) {
	c := shared(t).dial(t)
	b, other := newBroker("r134"), newBroker("r134")
	c.register(b)
	c.register(other)
	put := func(topic, body string) {
		t.Helper()
		c.OK(kit.Request{Code: 217, Ext: map[string]string{"topic": topic}, Body: []byte(body)})
	}
	entry := func(name string) string { return `{"brokerName":"` + name + `"}` }
	fresh := unique("r134-fresh")
	put(fresh, `{"queueDatas":[`+entry(b.name)+`]}`)
	if q := c.queueOf(fresh, b.name); q != (queueData{b.name, 0, 0, 0, 0}) {
		t.Fatal(q)
	}
	put(fresh, `{"queueDatas":[{"brokerName":"`+b.name+`","perm":6,"readQueueNums":3,"writeQueueNums":5,"topicSysFlag":2}],"brokerDatas":[]}`)
	if q := c.queueOf(fresh, b.name); q != (queueData{b.name, 3, 5, 6, 2}) {
		t.Fatal(q)
	}
	put(fresh, `{"queueDatas":[`+entry(other.name)+`,`+entry("unknown")+`,{"brokerName":"`+b.name+`","perm":4}]}`)
	if q := c.queueOf(fresh, b.name); q.Perm != 6 {
		t.Fatal(q)
	}
	c.queueOf(fresh, other.name)
	nothing := unique("r134-nothing")
	put(nothing, `{"queueDatas":[`+entry(b.name)+`,`+entry("unknown")+`]}`)
	c.Refused(routeRequest(nothing), 17, "")
	for _, body := range []string{"", `{}`, `{"queueDatas":[]}`} {
		put(nothing, body)
	}
	c.Refused(kit.Request{Code: 217, Ext: map[string]string{"topic": nothing}, Body: []byte("xx")}, 1, "")
	c.Refused(routeRequest(nothing), 17, "")
}

func TestRow135AllTopicListOff(t *testing.T) {
	c := own(t, options{properties: map[string]string{"enableAllTopicList": "false"}}).dial(t)
	if a := c.Refused(kit.Request{Code: 206}, 1, "disable"); a.ExtFields != nil || len(a.Body) != 0 {
		t.Fatal(a)
	}
	c.OK(kit.Request{Code: 224})
}

func TestRow136TopicListsOff(t *testing.T) {
	c := own(t, options{properties: map[string]string{"enableTopicList": "false"}}).dial(t)
	for _, code := range []int{224, 311, 312, 313} {
		if a := c.Refused(kit.Request{Code: code}, 1, "disable"); a.ExtFields != nil || len(a.Body) != 0 {
			t.Fatal(a)
		}
	}
	c.OK(kit.Request{Code: 304})
	c.OK(kit.Request{Code: 206})
}

func TestRow137TopicsOfUnknownCluster(t *testing.T) {
	c := shared(t).dial(t)
	for _, ext := range []map[string]string{{"cluster": unique("none")}, {}, nil} {
		want(t, "body", string(c.OK(kit.Request{Code: 224, Ext: ext}).Body), `{"topicList":[]}`)
	}
}

func TestRow138SystemTopicList(t *testing.T) {
	c := own(t, options{}).dial(t)
	b := newBroker("r138")
	c.register(b)
	body := string(c.OK(kit.Request{Code: 304}).Body)
	if body != `{"brokerAddr":"`+b.addr+`","topicList":["`+b.cluster+`","`+b.name+`"]}` &&
		body != `{"brokerAddr":"`+b.addr+`","topicList":["`+b.name+`","`+b.cluster+`"]}` {
		t.Fatal(body)
	}
}

func TestRow139UnitTopicLists(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r139")
	b.topics = nil
	for flag := range 4 {
		b.topics = append(b.topics, topic{b.name + "-" + string(rune('0'+flag)), 4, 4, 6, flag})
	}
	c.register(b)
	for code, flags := range map[int]string{311: "13", 312: "23", 313: "2"} {
		var got string
		for _, name := range c.topics(kit.Request{Code: code}) {
			if flag, ours := strings.CutPrefix(name, b.name+"-"); ours {
				got += flag
			}
		}
		if got != flags {
			t.Errorf("code %d lists flags %q, want %q", code, got, flags)
		}
	}
}

func TestRow140MemberGroup(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r140")
	c.register(b)
	slave := b.slave(2)
	c.register(slave)
	a := c.OK(kit.Request{Code: 901, Ext: map[string]string{"clusterName": "no such", "brokerName": b.name}})
	want(t, "remark", a.Text(), "not set any response code")
	want(t, "body", string(a.Body), `{"brokerMemberGroup":{"brokerAddrs":{0:"`+b.addr+`",2:"`+slave.addr+`"},"brokerName":"`+b.name+`","cluster":"no such"}}`)
	want(t, "unknown", string(c.OK(kit.Request{Code: 901, Ext: map[string]string{"clusterName": "c", "brokerName": "nobody"}}).Body),
		`{"brokerMemberGroup":{"brokerAddrs":{},"brokerName":"nobody","cluster":"c"}}`)
	want(t, "nothing", string(c.OK(kit.Request{Code: 901}).Body), `{"brokerMemberGroup":{"brokerAddrs":{}}}`)
}

// optionNames are the keys of the body of code 319, in order.
const optionNames = "bindAddress clientRequestThreadPoolNums clientRequestThreadPoolQueueCapacity clusterTest configBlackList " +
	"configStorePath defaultThreadPoolNums defaultThreadPoolQueueCapacity deleteTopicWithBrokerRegistration enableAllTopicList " +
	"enableControllerInNamesrv enableShutdownGracefully enableTopicList kvConfigPath listenPort needWaitForService " +
	"notifyMinBrokerIdChanged orderMessageEnable productEnvName returnOrderTopicConfigToBroker rocketmqHome " +
	"scanNotActiveBrokerInterval serverAsyncSemaphoreValue serverCallbackExecutorThreads serverChannelMaxIdleTimeSeconds " +
	"serverNettyWorkerGroupEnable serverOnewaySemaphoreValue serverPooledByteBufAllocatorEnable serverSelectorThreads " +
	"serverSocketBacklog serverSocketRcvBufSize serverSocketSndBufSize serverWorkerThreads shutdownWaitTimeSeconds " +
	"supportActingMaster unRegisterBrokerQueueCapacity useEpollNativeSelector waitSecondsForService " +
	"writeBufferHighWaterMark writeBufferLowWaterMark"

func TestRow141ListConfig(t *testing.T) {
	s := own(t, options{properties: map[string]string{"extra.key": "more = text", "Zebra": "", "orderMessageEnable": "true"}})
	c := s.dial(t)
	body := string(c.OK(kit.Request{Code: 319}).Body)
	if !strings.HasSuffix(body, "\n") {
		t.Fatalf("no final newline: %q", body)
	}
	var keys []string
	for line := range strings.Lines(body) {
		key, _, _ := strings.Cut(line, "=")
		keys = append(keys, key)
	}
	names := append(strings.Fields(optionNames), "extra.key", "Zebra")
	slices.Sort(names)
	want(t, "keys", strings.Join(keys, " "), strings.Join(names, " "))
	got := c.options()
	for key, value := range map[string]string{
		"extra.key": "more = text", "Zebra": "", "orderMessageEnable": "true", "configStorePath": s.config, "kvConfigPath": s.kv,
		"rocketmqHome": s.dir, "bindAddress": "0.0.0.0", "waitSecondsForService": "45", "productEnvName": "center",
		"configBlackList": "configBlackList;configStorePath;kvConfigPath", "scanNotActiveBrokerInterval": "5000",
		"serverWorkerThreads": "8", "serverChannelMaxIdleTimeSeconds": "120", "clientRequestThreadPoolQueueCapacity": "50000",
		"enableTopicList": "true", "supportActingMaster": "false", "serverSocketBacklog": "1024", "serverSelectorThreads": "3",
		"defaultThreadPoolNums": "16", "clientRequestThreadPoolNums": "8", "defaultThreadPoolQueueCapacity": "10000",
		"unRegisterBrokerQueueCapacity": "3000", "shutdownWaitTimeSeconds": "30", "serverOnewaySemaphoreValue": "256",
		"serverAsyncSemaphoreValue": "64", "serverCallbackExecutorThreads": "0", "writeBufferHighWaterMark": "0",
		"useEpollNativeSelector": "false", "serverNettyWorkerGroupEnable": "true", "serverPooledByteBufAllocatorEnable": "true",
	} {
		want(t, key, got[key], value)
	}
	c.config("orderMessageEnable=false")
	want(t, "after 318", c.options()["orderMessageEnable"], "false")
}

func TestRow142BlackList(t *testing.T) {
	const refusal = "Can not update config in black list."
	s := own(t, options{properties: map[string]string{"configBlackList": "orderMessageEnable;extra"}})
	c := s.dial(t)
	before := string(c.OK(kit.Request{Code: 319}).Body)
	for _, key := range []string{"configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome", "orderMessageEnable", "extra"} {
		c.Refused(kit.Request{Code: 318, Body: []byte("enableTopicList=false\n" + key + "=true\n")}, 16, refusal)
	}
	want(t, "319", string(c.OK(kit.Request{Code: 319}).Body), before)
	c.config("enableTopicList=false")
}

func TestRow143LiveOptions(t *testing.T) {
	c := own(t, options{}).dial(t)
	b := newBroker("r143")
	c.register(b)
	c.putKV(orderNamespace, b.t1(), "p:4")
	for _, on := range []string{"true", "false", "TRUE"} {
		set := on != "false"
		c.config("enableAllTopicList="+on, "enableTopicList="+on, "orderMessageEnable="+on, "returnOrderTopicConfigToBroker="+on)
		if a := c.Call(kit.Request{Code: 206}); (a.Code == 0) != set {
			t.Fatal(on, a)
		}
		if a := c.Call(kit.Request{Code: 311}); (a.Code == 0) != set {
			t.Fatal(on, a)
		}
		if r := c.route(b.t1()); (r.OrderTopicConf != nil) != set {
			t.Fatal(on, r)
		}
		if a := c.register(b); (len(a.Body) != 0) != set {
			t.Fatal(on, a)
		}
	}
	c.config("deleteTopicWithBrokerRegistration=true")
	b.topics = b.topics[1:]
	c.register(b)
	c.Refused(routeRequest(b.t1()), 17, "")
	c.config("needWaitForService=true", "waitSecondsForService=100000")
	c.Refused(routeRequest(b.t2()), 1, "name server not ready")
}

func TestRow144UnknownAndExtraKeys(t *testing.T) {
	c := own(t, options{properties: map[string]string{"extra": "old"}}).dial(t)
	c.config("unknown.key=1", "extra=new")
	got := c.options()
	want(t, "extra", got["extra"], "new")
	if _, listed := got["unknown.key"]; listed {
		t.Fatal(got)
	}
	c.config("garbage")
	c.OK(kit.Request{Code: 318})
}

func TestRow145PropertiesSyntax(t *testing.T) {
	c := own(t, options{properties: map[string]string{"extra": ""}}).dial(t)
	for _, row := range []struct{ text, key, value string }{
		{"waitSecondsForService=46", "waitSecondsForService", "46"},
		{"waitSecondsForService=abc", "waitSecondsForService", "46"},
		{"waitSecondsForService=47 ", "waitSecondsForService", "46"},
		{"waitSecondsForService=4.7", "waitSecondsForService", "46"},
		{"waitSecondsForService=99999999999", "waitSecondsForService", "46"},
		{"waitSecondsForService=", "waitSecondsForService", "46"},
		{"waitSecondsForService:48", "waitSecondsForService", "48"},
		{"  waitSecondsForService \t 49", "waitSecondsForService", "49"},
		{"waitSecondsForService = 50", "waitSecondsForService", "50"},
		{"waitSeconds\\\n   ForService=51", "waitSecondsForService", "51"},
		{"# waitSecondsForService=1\n! waitSecondsForService=2\n", "waitSecondsForService", "51"},
		{"waitSecondsForService=52\nwaitSecondsForService=53", "waitSecondsForService", "53"},
		{"enableTopicList=true ", "enableTopicList", "false"},
		{"enableTopicList=TrUe", "enableTopicList", "true"},
		{"enableTopicList=1", "enableTopicList", "false"},
		{`productEnvName=a\u0041\tb\\c\d`, "productEnvName", "aA\tb\\cd"},
		{"productEnvName=é", "productEnvName", "Ã©"},
		{`extra=a\ b\:c\=`, "extra", "a b:c="},
		{"extra=two \\\n   lines", "extra", "two lines"},
	} {
		c.OK(kit.Request{Code: 318, Body: []byte(row.text)})
		want(t, row.text, c.options()[row.key], row.value)
	}
	c.Refused(kit.Request{Code: 318, Body: []byte(`waitSecondsForService=60` + "\n" + `extra=\u00zz`)}, 1, "")
	want(t, "after a malformed escape", c.options()["waitSecondsForService"], "53")
}

func TestRow146ConfigPersisted(t *testing.T) {
	s := own(t, options{properties: map[string]string{"extra": "e"}})
	old, err := os.ReadFile(s.config)
	kit.Must(t, err)
	c := s.dial(t)
	c.config("waitSecondsForService=46")
	listing := string(c.OK(kit.Request{Code: 319}).Body)
	wantFile(t, s.config, listing)
	wantFile(t, s.config+".bak", string(old))
	c.config("waitSecondsForService=47")
	wantFile(t, s.config+".bak", listing)
	want(t, "after a restart", s.restart(t).dial(t).options()["waitSecondsForService"], "47")
}

func TestRow147NeedWaitForService(t *testing.T) {
	c := own(t, options{properties: map[string]string{"needWaitForService": "true"}}).dial(t)
	b := newBroker("r147")
	c.register(b)
	if a := c.Refused(routeRequest(b.t1()), 1, "name server not ready"); len(a.Body) != 0 || a.ExtFields != nil {
		t.Fatal(a)
	}
	c.OK(kit.Request{Code: 106})
	c.OK(kit.Request{Code: 206})
	c.config("waitSecondsForService=6") // since the start of the server
	eventually(t, kit.Patience, func() error {
		_, err := c.tryRoute(b.t1())
		return err
	})
}

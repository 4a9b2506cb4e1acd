package body

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/mq"
)

func same(t *testing.T, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestBodiesOfTheSpecification has the bodies of docs/spec/nameserver.md#golden-bytes and of the request codes there.
func TestBodiesOfTheSpecification(t *testing.T) {
	broker := BrokerData{Cluster: "C1", BrokerName: "b0", Addrs: []BrokerAddr{{0, "1.1.1.1:10911"}, {1, "1.1.1.2:10911"}}}
	route := &TopicRoute{Brokers: []BrokerData{broker},
		Queues: []QueueData{{BrokerName: "b0", ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6}}}
	const queues = `"queueDatas":[{"brokerName":"b0","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]`
	same(t, AppendTopicRoute(nil, route, Default), `{"brokerDatas":[{"brokerAddrs":{0:"1.1.1.1:10911",1:"1.1.1.2:10911"},"brokerName":"b0","cluster":"C1","enableActingMaster":false}],"filterServerTable":{},`+queues+`}`)
	same(t, AppendTopicRoute(nil, route, Standard), `{"brokerDatas":[{"brokerAddrs":{"0":"1.1.1.1:10911","1":"1.1.1.2:10911"},"brokerName":"b0","cluster":"C1","enableActingMaster":false}],"filterServerTable":{},`+queues+`}`)
	same(t, AppendTopicRoute(nil, &TopicRoute{}, Default), `{"brokerDatas":[],"filterServerTable":{},"queueDatas":[]}`)
	route = &TopicRoute{OrderTopicConf: mq.Some(""), FilterServers: []FilterServers{{"7:1", []string{"f1:1", "f2:2"}}},
		Mappings: []BrokerMapping{{"z1", Mapping{Topic: mq.Some("TZ"), Scope: mq.Some("__global__"), Bname: mq.Some("z1"), TotalQueues: 3, Epoch: 7,
			CurrIDs: []QueueID{{0, 0}, {1, 1}}}}}}
	same(t, AppendTopicRoute(nil, route, Default), `{"brokerDatas":[],"filterServerTable":{"7:1":["f1:1","f2:2"]},"orderTopicConf":"","queueDatas":[],"topicQueueMappingByBroker":{"z1":{"bname":"z1","currIdMap":{0:0,1:1},"dirty":false,"epoch":7,"scope":"__global__","topic":"TZ","totalQueues":3}}}`)

	broker.Addrs = broker.Addrs[:1]
	same(t, AppendClusterInfo(nil, &ClusterInfo{Brokers: []BrokerData{broker}, Clusters: []ClusterMembers{{"C1", []string{"b0"}}}}),
		`{"brokerAddrTable":{"b0":{"brokerAddrs":{0:"1.1.1.1:10911"},"brokerName":"b0","cluster":"C1","enableActingMaster":false}},"clusterAddrTable":{"C1":["b0"]}}`)
	same(t, AppendClusterInfo(nil, &ClusterInfo{}), `{"brokerAddrTable":{},"clusterAddrTable":{}}`)
	same(t, AppendMemberGroup(nil, &MemberGroup{mq.Some("C1"), mq.Some("b0"), []BrokerAddr{{0, "a"}, {1, "b"}}}),
		`{"brokerMemberGroup":{"brokerAddrs":{0:"a",1:"b"},"brokerName":"b0","cluster":"C1"}}`)
	same(t, AppendMemberGroup(nil, &MemberGroup{}), `{"brokerMemberGroup":{"brokerAddrs":{}}}`)
	same(t, AppendTopicList(nil, &TopicList{Topics: []string{"a", "b"}, BrokerAddr: mq.Some("ip:1")}), `{"brokerAddr":"ip:1","topicList":["a","b"]}`)
	same(t, AppendTopicList(nil, &TopicList{}), `{"topicList":[]}`)
	same(t, AppendKVTable(nil, []KV{{"k", "v"}, {"k2", "\""}}), `{"table":{"k":"v","k2":"\""}}`)
	same(t, AppendKVTable(nil, nil), `{"table":{}}`)
	same(t, AppendDataVersion(nil, DataVersion{Timestamp: 1000, Counter: 2}), `{"counter":2,"stateVersion":0,"timestamp":1000}`)
}

func TestStandardDialectSorts(t *testing.T) {
	route := &TopicRoute{
		Brokers:       []BrokerData{{BrokerName: "b", Addrs: []BrokerAddr{{10, "x"}, {2, "y"}}}},
		FilterServers: []FilterServers{{"b:1", nil}, {"a:1", nil}},
		Mappings:      []BrokerMapping{{"n", Mapping{}}, {"m", Mapping{CurrIDs: []QueueID{{10, 1}, {9, 2}}}}},
	}
	same(t, AppendTopicRoute(nil, route, Standard), `{"brokerDatas":[{"brokerAddrs":{"2":"y","10":"x"},"brokerName":"b","cluster":"","enableActingMaster":false}],"filterServerTable":{"a:1":[],"b:1":[]},"queueDatas":[],"topicQueueMappingByBroker":{"m":{"currIdMap":{"9":2,"10":1},"dirty":false,"epoch":0,"totalQueues":0},"n":{"currIdMap":{},"dirty":false,"epoch":0,"totalQueues":0}}}`)
	if route.FilterServers[0].Addr != "b:1" || route.Brokers[0].Addrs[0].ID != 10 {
		t.Error("the caller's lists were sorted")
	}
}

func TestAnswersSurviveTheWire(t *testing.T) {
	check := func(want, got any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	broker := BrokerData{Cluster: "C\"1", BrokerName: "b\n0", Addrs: []BrokerAddr{{-1, "x"}, {0, "é"}}, ZoneName: mq.Some(""), EnableActingMaster: true}
	info := &ClusterInfo{Brokers: []BrokerData{broker}, Clusters: []ClusterMembers{{"C\"1", []string{"b\n0", "c"}}}}
	gotInfo, err := DecodeClusterInfo(AppendClusterInfo(nil, info))
	check(info, gotInfo, err)
	group := &MemberGroup{Cluster: mq.Some("c"), Addrs: broker.Addrs}
	gotGroup, err := DecodeMemberGroup(AppendMemberGroup(nil, group))
	check(group, gotGroup, err)
	list := &TopicList{Topics: []string{"a", "\\"}, BrokerAddr: mq.Some("x:1")}
	gotList, err := DecodeTopicList(AppendTopicList(nil, list))
	check(list, gotList, err)
	table := []KV{{"a", "1"}, {"b", ""}}
	gotTable, err := DecodeKVTable(AppendKVTable(nil, table))
	check(table, gotTable, err)
	route := goldenRoute("name")
	for _, d := range []Dialect{Default, Standard} {
		got, err := DecodeTopicRoute(AppendTopicRoute(nil, route, d))
		route.HasMappings = true
		check(route, got, err)
	}
	for _, data := range []string{"", "null", "[]", "{", "{}x", `{"topicList":5}`} {
		if _, err := DecodeTopicList([]byte(data)); err == nil {
			t.Errorf("%q is accepted", data)
		}
	}
}

package body

import (
	"fmt"
	"testing"
)

// manyTopics is the registration of a broker with n topics.
func manyTopics(n int) *Register {
	reg := &Register{Version: DataVersion{Timestamp: 1700000000000, Counter: 3}}
	for i := range n {
		name := fmt.Appendf(nil, "BenchmarkTopic_%06d", i)
		reg.Topics = append(reg.Topics, TopicConfig{Name: name, Key: name, ReadQueueNums: 8, WriteQueueNums: 8, Perm: 6})
	}
	return reg
}

func benchmarkRegister(b *testing.B, n int, compressed bool) {
	data := AppendRegister(nil, manyTopics(n))
	if compressed {
		var err error
		if data, err = AppendRegisterCompressed(nil, manyTopics(n), 513); err != nil {
			b.Fatal(err)
		}
	}
	var d RegisterDecoder
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		reg, err := d.Decode(data, 513, compressed, 1)
		if err != nil || len(reg.Topics) != n {
			b.Fatal(err)
		}
	}
}

func BenchmarkRegister1000(b *testing.B)            { benchmarkRegister(b, 1000, false) }
func BenchmarkRegister10000(b *testing.B)           { benchmarkRegister(b, 10000, false) }
func BenchmarkRegister10000Compressed(b *testing.B) { benchmarkRegister(b, 10000, true) }

// routeOf is a route over n broker groups of a master and a slave.
func routeOf(n int) *TopicRoute {
	r := &TopicRoute{}
	for i := range n {
		name := fmt.Sprintf("broker-%d", i)
		r.Queues = append(r.Queues, QueueData{BrokerName: name, ReadQueueNums: 8, WriteQueueNums: 8, Perm: 6})
		r.Brokers = append(r.Brokers, BrokerData{Cluster: "DefaultCluster", BrokerName: name,
			Addrs: []BrokerAddr{{0, "10.0.0.1:10911"}, {1, "10.0.0.2:10911"}}})
	}
	return r
}

func BenchmarkRoute(b *testing.B) {
	r := routeOf(4)
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendTopicRoute(out[:0], r, Standard)
	}
	b.SetBytes(int64(len(out)))
}

func BenchmarkDecodeRoute(b *testing.B) {
	data := AppendTopicRoute(nil, routeOf(4), Standard)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeTopicRoute(data); err != nil {
			b.Fatal(err)
		}
	}
}

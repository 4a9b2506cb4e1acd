package body

import (
	"errors"
	"fmt"
	"math"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// ErrNoBody says that a body which must be there is missing or null.
var ErrNoBody = errors.New("body is missing or null")

// DecodeDataVersion reads the body of code 322. ok is false for an absent body or a null. A missing timestamp
// is nowMillis, other missing members are 0.
func DecodeDataVersion(data []byte, nowMillis int64) (v DataVersion, ok bool, err error) {
	if len(data) == 0 {
		return v, false, nil
	}
	v.Timestamp = nowMillis
	var s fastjson.Scanner
	s.Reset(data, nil)
	if ok = s.Open(); ok {
		readDataVersion(&s, &v)
	}
	if err := s.End(); err != nil {
		return DataVersion{}, false, fmt.Errorf("decode data version: %w", err)
	}
	return v, ok, nil
}

// decode reads one whole object, whose members are read by member: it must read the value, or leave it to be
// skipped by returning false.
func decode(what string, data []byte, member func(s *fastjson.Scanner, name string) bool) error {
	var s fastjson.Scanner
	s.Reset(data, nil)
	open := s.Open()
	if open {
		each(&s, func(name []byte) bool { return member(&s, string(name)) })
	}
	if err := s.End(); err != nil {
		return fmt.Errorf("decode %s: %w", what, err)
	}
	if !open {
		return fmt.Errorf("decode %s: %w", what, ErrNoBody)
	}
	return nil
}

// each calls member for every member of an object that was opened.
func each(s *fastjson.Scanner, member func(name []byte) bool) {
	for name, ok := s.Key(); ok; name, ok = s.Key() {
		if !member(name) {
			s.Skip()
		}
	}
}

// entries calls read for every entry of an object that is a map; null is an empty one.
func entries(s *fastjson.Scanner, read func(key string)) {
	if s.Open() {
		for key, ok := s.Key(); ok; key, ok = s.Key() {
			read(string(key))
		}
	}
}

// elements calls read for every element of an array; null is an empty one.
func elements(s *fastjson.Scanner, read func()) {
	if s.OpenArray() {
		for s.Element() {
			read()
		}
	}
}

func readStrings(s *fastjson.Scanner) (list []string) {
	elements(s, func() { list = append(list, string(s.String())) })
	return list
}

// DecodeTopicRoute reads a topic route in either dialect: the body of code 217 and of answers to 105.
// Missing numbers are 0.
func DecodeTopicRoute(data []byte) (*TopicRoute, error) {
	r := &TopicRoute{}
	err := decode("topic route", data, func(s *fastjson.Scanner, name string) bool {
		switch name {
		case "queueDatas":
			r.Queues = r.Queues[:0]
			elements(s, func() { r.Queues = append(r.Queues, readQueue(s)) })
		case "brokerDatas":
			r.Brokers = r.Brokers[:0]
			elements(s, func() { r.Brokers = append(r.Brokers, readBroker(s)) })
		case "filterServerTable":
			r.FilterServers = r.FilterServers[:0]
			entries(s, func(addr string) {
				r.FilterServers = append(r.FilterServers, FilterServers{Addr: addr, Servers: readStrings(s)})
			})
		case "orderTopicConf":
			r.OrderTopicConf = readOpt(s)
		case "topicQueueMappingByBroker":
			r.Mappings, r.HasMappings = r.Mappings[:0], true
			entries(s, func(broker string) {
				m := BrokerMapping{BrokerName: broker}
				readMapping(s, &m.Mapping, math.MaxInt)
				r.Mappings = append(r.Mappings, m)
			})
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func readQueue(s *fastjson.Scanner) (q QueueData) {
	if !s.Open() {
		s.Fail("queue data is null")
		return q
	}
	each(s, func(name []byte) bool {
		switch string(name) {
		case "brokerName":
			q.BrokerName = string(s.String())
		case "readQueueNums":
			q.ReadQueueNums, _ = s.Int32()
		case "writeQueueNums":
			q.WriteQueueNums, _ = s.Int32()
		case "perm":
			q.Perm, _ = s.Int32()
		case "topicSysFlag":
			q.TopicSysFlag, _ = s.Int32()
		default:
			return false
		}
		return true
	})
	return q
}

func readBroker(s *fastjson.Scanner) (b BrokerData) {
	if !s.Open() {
		s.Fail("broker data is null")
		return b
	}
	each(s, func(name []byte) bool {
		switch string(name) {
		case "brokerAddrs":
			b.Addrs = readAddrs(s)
		case "brokerName":
			b.BrokerName = string(s.String())
		case "cluster":
			b.Cluster = string(s.String())
		case "zoneName":
			b.ZoneName = readOpt(s)
		case "enableActingMaster":
			b.EnableActingMaster, _ = s.Bool()
		default:
			return false
		}
		return true
	})
	return b
}

func readAddrs(s *fastjson.Scanner) (addrs []BrokerAddr) {
	entries(s, func(key string) {
		id, ok := int64(0), key != ""
		if ok {
			id, ok = fastjson.ToInteger([]byte(key), math.MinInt64, math.MaxInt64)
		}
		if !ok {
			s.Fail("broker id is not a number")
			return
		}
		addrs = append(addrs, BrokerAddr{ID: id, Addr: string(s.String())})
	})
	return addrs
}

// DecodeClusterInfo reads the answer to code 106.
func DecodeClusterInfo(data []byte) (*ClusterInfo, error) {
	c := &ClusterInfo{}
	err := decode("cluster info", data, func(s *fastjson.Scanner, name string) bool {
		switch name {
		case "brokerAddrTable":
			entries(s, func(string) { c.Brokers = append(c.Brokers, readBroker(s)) })
		case "clusterAddrTable":
			entries(s, func(cluster string) {
				c.Clusters = append(c.Clusters, ClusterMembers{Cluster: cluster, Brokers: readStrings(s)})
			})
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DecodeMemberGroup reads the answer to code 901.
func DecodeMemberGroup(data []byte) (*MemberGroup, error) {
	g := &MemberGroup{}
	err := decode("member group", data, func(s *fastjson.Scanner, name string) bool {
		if name != "brokerMemberGroup" {
			return false
		}
		if !s.Open() {
			return true
		}
		each(s, func(name []byte) bool {
			switch string(name) {
			case "brokerAddrs":
				g.Addrs = readAddrs(s)
			case "brokerName":
				g.BrokerName = readOpt(s)
			case "cluster":
				g.Cluster = readOpt(s)
			default:
				return false
			}
			return true
		})
		return true
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// DecodeTopicList reads a topic list answer.
func DecodeTopicList(data []byte) (*TopicList, error) {
	l := &TopicList{}
	err := decode("topic list", data, func(s *fastjson.Scanner, name string) bool {
		switch name {
		case "brokerAddr":
			l.BrokerAddr = readOpt(s)
		case "topicList":
			l.Topics = readStrings(s)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// DecodeKVTable reads a KV table answer. Null values are left out.
func DecodeKVTable(data []byte) ([]KV, error) {
	var table []KV
	err := decode("kv table", data, func(s *fastjson.Scanner, name string) bool {
		if name != "table" {
			return false
		}
		entries(s, func(key string) {
			if v := s.String(); v != nil {
				table = append(table, KV{Key: key, Value: string(v)})
			}
		})
		return true
	})
	return table, err
}

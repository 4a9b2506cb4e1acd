package body

import (
	"strconv"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// AppendClusterInfo appends the body of code 106 (Java's ClusterInfo), always in the default dialect.
func AppendClusterInfo(dst []byte, c *ClusterInfo) []byte {
	dst = append(dst, `{"brokerAddrTable":{`...)
	for i := range c.Brokers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(fastjson.AppendString(dst, c.Brokers[i].BrokerName), ':')
		dst = appendBroker(dst, &c.Brokers[i], Default)
	}
	dst = append(dst, `},"clusterAddrTable":{`...)
	for i := range c.Clusters {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(fastjson.AppendString(dst, c.Clusters[i].Cluster), ':')
		dst = appendStrings(dst, c.Clusters[i].Brokers)
	}
	return append(dst, "}}"...)
}

// AppendMemberGroup appends the body of code 901 (Java's GetBrokerMemberGroupResponseBody).
func AppendMemberGroup(dst []byte, g *MemberGroup) []byte {
	dst = appendAddrs(append(dst, `{"brokerMemberGroup":{"brokerAddrs":`...), g.Addrs, Default)
	if g.BrokerName.Valid {
		dst = fastjson.AppendString(append(dst, `,"brokerName":`...), g.BrokerName.S)
	}
	if g.Cluster.Valid {
		dst = fastjson.AppendString(append(dst, `,"cluster":`...), g.Cluster.S)
	}
	return append(dst, "}}"...)
}

// AppendTopicList appends a topic list body (Java's TopicList).
func AppendTopicList(dst []byte, l *TopicList) []byte {
	dst = append(dst, '{')
	if l.BrokerAddr.Valid {
		dst = append(fastjson.AppendString(append(dst, `"brokerAddr":`...), l.BrokerAddr.S), ',')
	}
	dst = appendStrings(append(dst, `"topicList":`...), l.Topics)
	return append(dst, '}')
}

// AppendKVTable appends a KV table body (Java's KVTable).
func AppendKVTable(dst []byte, table []KV) []byte {
	dst = append(dst, `{"table":{`...)
	for i, kv := range table {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(fastjson.AppendString(dst, kv.Key), ':')
		dst = fastjson.AppendString(dst, kv.Value)
	}
	return append(dst, "}}"...)
}

// AppendDataVersion appends a data version body.
func AppendDataVersion(dst []byte, v DataVersion) []byte {
	dst = strconv.AppendInt(append(dst, `{"counter":`...), v.Counter, 10)
	dst = strconv.AppendInt(append(dst, `,"stateVersion":`...), v.StateVersion, 10)
	dst = strconv.AppendInt(append(dst, `,"timestamp":`...), v.Timestamp, 10)
	return append(dst, '}')
}

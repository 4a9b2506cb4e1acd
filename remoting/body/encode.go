package body

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// AppendTopicRoute appends the body of code 105 (Java's TopicRouteData). In the standard dialect the maps are
// sorted by key, as Java does there.
func AppendTopicRoute(dst []byte, r *TopicRoute, d Dialect) []byte {
	dst = append(dst, `{"brokerDatas":[`...)
	for i := range r.Brokers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendBroker(dst, &r.Brokers[i], d)
	}
	dst = append(dst, `],"filterServerTable":{`...)
	for i, f := range sorted(r.FilterServers, d, func(f FilterServers) string { return f.Addr }) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(fastjson.AppendString(dst, f.Addr), ':')
		dst = appendStrings(dst, f.Servers)
	}
	dst = append(dst, '}')
	if r.OrderTopicConf.Valid {
		dst = fastjson.AppendString(append(dst, `,"orderTopicConf":`...), r.OrderTopicConf.S)
	}
	dst = append(dst, `,"queueDatas":[`...)
	for i := range r.Queues {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQueue(dst, &r.Queues[i])
	}
	dst = append(dst, ']')
	if r.HasMappings || len(r.Mappings) > 0 {
		dst = append(dst, `,"topicQueueMappingByBroker":{`...)
		for i, m := range sorted(r.Mappings, d, func(m BrokerMapping) string { return m.BrokerName }) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(fastjson.AppendString(dst, m.BrokerName), ':')
			dst = appendMapping(dst, &m.Mapping, d)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// sorted is list in the order of its keys if the dialect asks for it.
func sorted[T any, K cmp.Ordered](list []T, d Dialect, key func(T) K) []T {
	byKey := func(a, b T) int { return cmp.Compare(key(a), key(b)) }
	if d != Standard || slices.IsSortedFunc(list, byKey) {
		return list
	}
	list = slices.Clone(list)
	order.By(list, byKey)
	return list
}

func appendBroker(dst []byte, b *BrokerData, d Dialect) []byte {
	dst = appendAddrs(append(dst, `{"brokerAddrs":`...), b.Addrs, d)
	dst = fastjson.AppendString(append(dst, `,"brokerName":`...), b.BrokerName)
	dst = fastjson.AppendString(append(dst, `,"cluster":`...), b.Cluster)
	dst = append(dst, `,"enableActingMaster":`...)
	dst = strconv.AppendBool(dst, b.EnableActingMaster)
	if b.ZoneName.Valid {
		dst = fastjson.AppendString(append(dst, `,"zoneName":`...), b.ZoneName.S)
	}
	return append(dst, '}')
}

func appendAddrs(dst []byte, addrs []BrokerAddr, d Dialect) []byte {
	dst = append(dst, '{')
	for i, a := range sorted(addrs, d, func(a BrokerAddr) int64 { return a.ID }) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendIntKey(dst, a.ID, d), ':')
		dst = fastjson.AppendString(dst, a.Addr)
	}
	return append(dst, '}')
}

func appendIntKey(dst []byte, key int64, d Dialect) []byte {
	if d != Standard {
		return strconv.AppendInt(dst, key, 10)
	}
	return append(strconv.AppendInt(append(dst, '"'), key, 10), '"')
}

func appendQueue(dst []byte, q *QueueData) []byte {
	dst = fastjson.AppendString(append(dst, `{"brokerName":`...), q.BrokerName)
	dst = strconv.AppendInt(append(dst, `,"perm":`...), int64(q.Perm), 10)
	dst = strconv.AppendInt(append(dst, `,"readQueueNums":`...), int64(q.ReadQueueNums), 10)
	dst = strconv.AppendInt(append(dst, `,"topicSysFlag":`...), int64(q.TopicSysFlag), 10)
	dst = strconv.AppendInt(append(dst, `,"writeQueueNums":`...), int64(q.WriteQueueNums), 10)
	return append(dst, '}')
}

// safeInteger is the largest integer that JavaScript holds exactly; the standard dialect quotes longs beyond it.
const safeInteger = 1<<53 - 1

func appendMapping(dst []byte, m *Mapping, d Dialect) []byte {
	dst = append(dst, '{')
	if m.Bname.Valid {
		dst = append(fastjson.AppendString(append(dst, `"bname":`...), m.Bname.S), ',')
	}
	dst = append(dst, `"currIdMap":{`...)
	for i, id := range sorted(m.CurrIDs, d, func(id QueueID) int32 { return id.Global }) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendIntKey(dst, int64(id.Global), d), ':')
		dst = strconv.AppendInt(dst, int64(id.Local), 10)
	}
	dst = strconv.AppendBool(append(dst, `},"dirty":`...), m.Dirty)
	dst = append(dst, `,"epoch":`...)
	if d == Standard && (m.Epoch > safeInteger || m.Epoch < -safeInteger) {
		dst = appendIntKey(dst, m.Epoch, Standard)
	} else {
		dst = strconv.AppendInt(dst, m.Epoch, 10)
	}
	if m.Scope.Valid {
		dst = fastjson.AppendString(append(dst, `,"scope":`...), m.Scope.S)
	}
	if m.Topic.Valid {
		dst = fastjson.AppendString(append(dst, `,"topic":`...), m.Topic.S)
	}
	dst = strconv.AppendInt(append(dst, `,"totalQueues":`...), int64(m.TotalQueues), 10)
	return append(dst, '}')
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, text := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = fastjson.AppendString(dst, text)
	}
	return append(dst, ']')
}

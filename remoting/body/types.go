// Package body is the bodies of RocketMQ's remoting protocol that a NameServer reads and writes, as pure
// functions on plain structs.
//
// Bodies are written byte for byte as Apache RocketMQ 5.5.0 writes them with fastjson2: no white space,
// members in alphabetical order, absent ones omitted. Where Java's order is that of a hash map, entries are
// written in the order given. Bodies are read with fastjson2's tolerances (see remoting/fastjson).
package body

import "github.com/epitaph-mq/epitaph/mq"

// Dialect is how map keys that are numbers are written.
type Dialect byte

const (
	// Default leaves them unquoted: {0:"addr"}. Every body but the route of a caller that asks for Standard.
	Default Dialect = iota
	// Standard quotes them: {"0":"addr"}.
	Standard
)

// The values that the tables have, too.
type (
	Opt         = mq.Opt
	DataVersion = mq.DataVersion
)

// QueueData is the queue setting of one topic on one broker (Java's QueueData).
type QueueData struct {
	BrokerName     string
	ReadQueueNums  int32
	WriteQueueNums int32
	Perm           int32
	TopicSysFlag   int32
}

// BrokerAddr is one member of a broker group.
type BrokerAddr struct {
	ID   int64
	Addr string
}

// BrokerData is one broker group (Java's BrokerData). Addrs should be sorted by ID.
type BrokerData struct {
	Cluster            string
	BrokerName         string
	Addrs              []BrokerAddr
	ZoneName           Opt
	EnableActingMaster bool
}

// FilterServers is the filter-server list of one broker address.
type FilterServers struct {
	Addr    string
	Servers []string
}

// QueueID is one entry of a mapping's currIdMap: global queue id to the broker's own queue id.
type QueueID struct {
	Global, Local int32
}

// Mapping is Java's TopicQueueMappingInfo: where the queues of a static topic are.
type Mapping struct {
	Topic       Opt
	Scope       Opt // "__global__" unless set
	Bname       Opt
	TotalQueues int32
	Epoch       int64
	Dirty       bool
	CurrIDs     []QueueID
}

// BrokerMapping is one entry of a route's topicQueueMappingByBroker.
type BrokerMapping struct {
	BrokerName string
	Mapping    Mapping
}

// TopicRoute is Java's TopicRouteData. Lists are written in the order given.
type TopicRoute struct {
	OrderTopicConf Opt
	Queues         []QueueData
	Brokers        []BrokerData
	FilterServers  []FilterServers
	HasMappings    bool // write topicQueueMappingByBroker even when it is empty
	Mappings       []BrokerMapping
}

// ClusterMembers is one entry of ClusterInfo's clusterAddrTable.
type ClusterMembers struct {
	Cluster string
	Brokers []string
}

// ClusterInfo is the body of code 106.
type ClusterInfo struct {
	Brokers  []BrokerData
	Clusters []ClusterMembers
}

// MemberGroup is the body of code 901. Cluster and BrokerName echo the request.
type MemberGroup struct {
	Cluster    Opt
	BrokerName Opt
	Addrs      []BrokerAddr
}

// TopicList is the body of codes 206, 224, 304 and 311 to 313.
type TopicList struct {
	Topics     []string
	BrokerAddr Opt // code 304 only
}

// KV is one entry of a KV table (codes 103 and 219).
type KV struct {
	Key, Value string
}

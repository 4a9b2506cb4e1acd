package node

import (
	"sync/atomic"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/routes"
)

// countedCodes are the request codes that are counted one by one; every other one counts as "other".
var countedCodes = [...]int32{
	remoting.PutKVConfig, remoting.GetKVConfig, remoting.DeleteKVConfig, remoting.RegisterBroker,
	remoting.UnregisterBroker, remoting.GetRouteInfoByTopic, remoting.GetBrokerClusterInfo,
	remoting.WipeWritePermOfBroker, remoting.GetAllTopicList, remoting.DeleteTopicInNamesrv,
	remoting.RegisterTopicInNamesrv, remoting.GetKVListByNamespace, remoting.GetTopicsByCluster,
	remoting.GetSystemTopicList, remoting.GetUnitTopicList, remoting.GetHasUnitSubTopicList,
	remoting.GetHasUnitSubUnunitTopics, remoting.UpdateNamesrvConfig, remoting.GetNamesrvConfig,
	remoting.QueryDataVersion, remoting.AddWritePermOfBroker, remoting.GetBrokerMemberGroup,
	remoting.BrokerHeartbeat,
}

const (
	otherCode   = len(countedCodes)
	countShards = 16 // a power of two
)

// counts are plain atomics beside the work. Requests are counted in shards by connection, so that two cores at the same
// code seldom wait for one cache line.
type counts struct {
	slots    [1024]uint8 // by request code, into byCode
	requests [countShards]struct {
		byCode [otherCode + 1]atomic.Uint64
		_      [64]byte
	}
	events [routes.ConflictLoopback + 1]atomic.Uint64 // by kind
}

func newCounts() *counts {
	c := &counts{}
	for i := range c.slots {
		c.slots[i] = uint8(otherCode)
	}
	for slot, code := range countedCodes {
		c.slots[code] = uint8(slot)
	}
	return c
}

// request counts one request.
func (c *counts) request(conn uint64, code int32) {
	c.requests[conn%countShards].byCode[c.slot(code)].Add(1)
}

// slot is where a code is counted.
func (c *counts) slot(code int32) uint8 {
	if code >= 0 && int(code) < len(c.slots) {
		return c.slots[code]
	}
	return uint8(otherCode)
}

// handled is how many requests of a slot were counted.
func (c *counts) handled(slot int) (sum uint64) {
	for i := range c.requests {
		sum += c.requests[i].byCode[slot].Load()
	}
	return sum
}

// routeQueries is how many route queries were counted.
func (c *counts) routeQueries() uint64 { return c.handled(int(c.slots[remoting.GetRouteInfoByTopic])) }

// eventNames are the kinds of events for programs: labels of metrics and values of /v1. They never change.
var eventNames = [...]string{
	routes.BrokerRegistered:      "broker_registered",
	routes.BrokerUnregistered:    "broker_unregistered",
	routes.BrokerLost:            "broker_connection_lost",
	routes.BrokerExpired:         "broker_expired",
	routes.BrokerEvicted:         "broker_evicted",
	routes.BrokerMoved:           "broker_id_changed",
	routes.TopicsChanged:         "topics_changed",
	routes.RegisterRefused:       "registration_refused",
	routes.RegisterDropped:       "registration_dropped",
	routes.UnregisterIgnored:     "unregister_ignored",
	routes.WritePermWiped:        "write_permission_wiped",
	routes.WritePermAdded:        "write_permission_added",
	routes.TopicDeleted:          "topic_deleted",
	routes.TopicRegistered:       "topic_registered",
	routes.ConflictNames:         "one_address_two_names",
	routes.ConflictClusters:      "one_name_two_clusters",
	routes.ConflictMasterAddress: "master_address_changed",
	routes.ConflictLoopback:      "loopback_address",
}

func eventName(k routes.EventKind) string { return eventNames[k] }

// leavingNames are what an UNREGISTER can mean for tombstones, for programs.
var leavingNames = [...]string{
	routes.LeavingProven:    "tombstone",
	routes.LeavingUnknown:   "unknown",
	routes.LeavingOtherName: "other_name",
	routes.LeavingOtherID:   "other_id",
	routes.LeavingOlderConn: "older_connection",
	routes.LeavingOtherConn: "other_connection",
	routes.LeavingNoProof:   "no_proof",
}

package node

import (
	"strconv"

	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

type handler func(n *Node, c *rpc.Conn, req *remoting.Request, resp *remoting.Response)

// request is one code that the node serves (DefaultRequestProcessor, ClientRequestProcessor, NamesrvController).
type request struct {
	code   int32
	name   string // of RocketMQ's RequestCode
	class  rpc.Class
	handle handler
}

// The classes that there are.
var (
	routeClass  = rpc.Class{Pool: rpc.ClientPool, Short: true}
	valueClass  = rpc.Class{Pool: rpc.DefaultPool, Short: true}
	listClass   = rpc.Class{Pool: rpc.DefaultPool}
	changeClass = rpc.Class{Pool: rpc.DefaultPool, Changes: true}
	diskClass   = rpc.Class{Pool: rpc.DiskPool, Changes: true}
	brokerClass = rpc.Class{Pool: rpc.BrokerPool, Changes: true}
	signClass   = rpc.Class{Pool: rpc.BrokerPool, Changes: true, Short: true}
)

// requests are all codes that are served. Dispatch, counts, times and pools follow from this table alone. Every other code
// has the last row.
func requests() []request {
	return []request{
		{remoting.PutKVConfig, "PUT_KV_CONFIG", diskClass, forAdmins((*Node).putKV)},
		{remoting.GetKVConfig, "GET_KV_CONFIG", valueClass, (*Node).getKV},
		{remoting.DeleteKVConfig, "DELETE_KV_CONFIG", diskClass, forAdmins((*Node).deleteKV)},
		{remoting.RegisterBroker, "REGISTER_BROKER", brokerClass, (*Node).registerBroker},
		{remoting.UnregisterBroker, "UNREGISTER_BROKER", brokerClass, (*Node).unregisterBroker},
		{remoting.GetRouteInfoByTopic, "GET_ROUTEINFO_BY_TOPIC", routeClass, (*Node).getRoute},
		{remoting.GetBrokerClusterInfo, "GET_BROKER_CLUSTER_INFO", listClass, (*Node).getClusterInfo},
		{remoting.WipeWritePermOfBroker, "WIPE_WRITE_PERM_OF_BROKER", changeClass, forAdmins((*Node).wipeWritePerm)},
		{remoting.GetAllTopicList, "GET_ALL_TOPIC_LIST_FROM_NAMESERVER", listClass, (*Node).allTopics},
		{remoting.DeleteTopicInNamesrv, "DELETE_TOPIC_IN_NAMESRV", changeClass, forAdmins((*Node).deleteTopic)},
		{remoting.RegisterTopicInNamesrv, "REGISTER_TOPIC_IN_NAMESRV", changeClass, (*Node).registerTopic},
		{remoting.GetKVListByNamespace, "GET_KVLIST_BY_NAMESPACE", listClass, (*Node).listKV},
		{remoting.GetTopicsByCluster, "GET_TOPICS_BY_CLUSTER", listClass, (*Node).topicsByCluster},
		{remoting.GetSystemTopicList, "GET_SYSTEM_TOPIC_LIST_FROM_NS", listClass, (*Node).systemTopics},
		{remoting.GetUnitTopicList, "GET_UNIT_TOPIC_LIST", listClass, unitTopics(routes.UnitTopics)},
		{remoting.GetHasUnitSubTopicList, "GET_HAS_UNIT_SUB_TOPIC_LIST", listClass, unitTopics(routes.UnitSubscribed)},
		{remoting.GetHasUnitSubUnunitTopics, "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST", listClass, unitTopics(routes.UnitSubscribedNonUnits)},
		{remoting.UpdateNamesrvConfig, "UPDATE_NAMESRV_CONFIG", diskClass, forAdmins((*Node).updateConfig)},
		{remoting.GetNamesrvConfig, "GET_NAMESRV_CONFIG", listClass, (*Node).getConfig},
		{remoting.QueryDataVersion, "QUERY_DATA_VERSION", signClass, (*Node).queryDataVersion},
		{remoting.AddWritePermOfBroker, "ADD_WRITE_PERM_OF_BROKER", changeClass, forAdmins((*Node).addWritePerm)},
		{remoting.GetBrokerMemberGroup, "GET_BROKER_MEMBER_GROUP", listClass, (*Node).getMemberGroup},
		{remoting.BrokerHeartbeat, "BROKER_HEARTBEAT", signClass, (*Node).brokerHeartbeat},
		{admin.OtherCode, "other", valueClass, (*Node).notSupported},
	}
}

// dispatch finds the row of a code.
type dispatch struct {
	rows  []request
	slots [1024]uint8 // by request code, into rows
}

func newDispatch() *dispatch {
	d := &dispatch{rows: requests()}
	last := len(d.rows) - 1
	for i := range d.slots {
		d.slots[i] = uint8(last)
	}
	for slot, row := range d.rows[:last] {
		d.slots[row.code] = uint8(slot)
	}
	return d
}

// slot is the row of a code.
func (d *dispatch) slot(code int32) uint8 {
	if code >= 0 && int(code) < len(d.slots) {
		return d.slots[code]
	}
	return uint8(len(d.rows) - 1)
}

// class is the rpc.Config's. Only a registration can be large, and is looked at before it waits for others that are.
func (d *dispatch) class(req *remoting.Request) rpc.Class {
	class := d.rows[d.slot(req.Code)].class
	if class.Pool == rpc.BrokerPool && len(req.Body) >= largeBody && req.Code != remoting.RegisterBroker {
		class.Pool, class.Short = rpc.LargePool, false
	}
	return class
}

// codes are the rows as they are counted.
func (d *dispatch) codes() (all []admin.Code) {
	for _, row := range d.rows {
		all = append(all, admin.Code{Code: row.code, Name: row.name})
	}
	return all
}

var _ rpc.Handler = (*Node)(nil)

// Serve handles one request.
func (n *Node) Serve(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	slot := n.dispatch.slot(req.Code)
	n.counts.Request(c.ID(), slot)
	n.dispatch.rows[slot].handle(n, c, req, resp)
}

// notSupported answers codes that nobody knows. The blank in front is the original's.
func (n *Node) notSupported(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	resp.Fail(remoting.RequestCodeNotSupported, " request type "+strconv.Itoa(int(req.Code))+" not supported")
}

// routeQueries is how many were handled until now.
func (n *Node) routeQueries() uint64 {
	return n.counts.Handled(int(n.dispatch.slot(remoting.GetRouteInfoByTopic)))
}

// lastWord has what a connection said last be heard.
func (n *Node) lastWord(c *rpc.Conn) {
	if n.vanished != nil {
		n.vanished.Closing(n.heard(c))
	}
}

// Closed removes what was registered on a connection that is gone (BrokerHousekeepingService). It never makes a
// tombstone: only an UNREGISTER does. A node that stops closes the connections itself: no broker is lost, none is told that
// another is, and the last requests still find their routes.
func (n *Node) Closed(c *rpc.Conn) {
	if c.Value() != nil { // it carried a registration
		if n.ready.Phase() != readiness.Stopping {
			n.apply(n.table.ConnLost(c.ID()))
		}
		if n.depart != nil {
			n.depart.Gossip().Closed(c.ID())
			n.vanished.Closed(c)
		}
	}
}

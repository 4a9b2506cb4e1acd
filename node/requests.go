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
	pool   rpc.Pool
	handle handler
}

// requests are all codes that are served. Dispatch, counts, times and pools follow from this table alone. Every other code
// has the last row.
func requests() []request {
	const client, disk, other = rpc.ClientPool, rpc.DiskPool, rpc.DefaultPool
	return []request{
		{remoting.PutKVConfig, "PUT_KV_CONFIG", disk, (*Node).putKV},
		{remoting.GetKVConfig, "GET_KV_CONFIG", other, (*Node).getKV},
		{remoting.DeleteKVConfig, "DELETE_KV_CONFIG", disk, (*Node).deleteKV},
		{remoting.RegisterBroker, "REGISTER_BROKER", other, (*Node).registerBroker},
		{remoting.UnregisterBroker, "UNREGISTER_BROKER", other, (*Node).unregisterBroker},
		{remoting.GetRouteInfoByTopic, "GET_ROUTEINFO_BY_TOPIC", client, (*Node).getRoute},
		{remoting.GetBrokerClusterInfo, "GET_BROKER_CLUSTER_INFO", other, (*Node).getClusterInfo},
		{remoting.WipeWritePermOfBroker, "WIPE_WRITE_PERM_OF_BROKER", other, (*Node).wipeWritePerm},
		{remoting.GetAllTopicList, "GET_ALL_TOPIC_LIST_FROM_NAMESERVER", other, (*Node).allTopics},
		{remoting.DeleteTopicInNamesrv, "DELETE_TOPIC_IN_NAMESRV", other, (*Node).deleteTopic},
		{remoting.RegisterTopicInNamesrv, "REGISTER_TOPIC_IN_NAMESRV", other, (*Node).registerTopic},
		{remoting.GetKVListByNamespace, "GET_KVLIST_BY_NAMESPACE", other, (*Node).listKV},
		{remoting.GetTopicsByCluster, "GET_TOPICS_BY_CLUSTER", other, (*Node).topicsByCluster},
		{remoting.GetSystemTopicList, "GET_SYSTEM_TOPIC_LIST_FROM_NS", other, (*Node).systemTopics},
		{remoting.GetUnitTopicList, "GET_UNIT_TOPIC_LIST", other, unitTopics(routes.UnitTopics)},
		{remoting.GetHasUnitSubTopicList, "GET_HAS_UNIT_SUB_TOPIC_LIST", other, unitTopics(routes.UnitSubscribed)},
		{remoting.GetHasUnitSubUnunitTopics, "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST", other, unitTopics(routes.UnitSubscribedNonUnits)},
		{remoting.UpdateNamesrvConfig, "UPDATE_NAMESRV_CONFIG", disk, (*Node).updateConfig},
		{remoting.GetNamesrvConfig, "GET_NAMESRV_CONFIG", other, (*Node).getConfig},
		{remoting.QueryDataVersion, "QUERY_DATA_VERSION", other, (*Node).queryDataVersion},
		{remoting.AddWritePermOfBroker, "ADD_WRITE_PERM_OF_BROKER", other, (*Node).addWritePerm},
		{remoting.GetBrokerMemberGroup, "GET_BROKER_MEMBER_GROUP", other, (*Node).getMemberGroup},
		{remoting.BrokerHeartbeat, "BROKER_HEARTBEAT", other, (*Node).brokerHeartbeat},
		{admin.OtherCode, "other", other, (*Node).notSupported},
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

// pool is the rpc.Config's.
func (d *dispatch) pool(code int32) rpc.Pool { return d.rows[d.slot(code)].pool }

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
		}
	}
}

package node

import (
	"strconv"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

var _ rpc.Handler = (*Node)(nil)

// Serve handles one request (DefaultRequestProcessor.processRequest, ClientRequestProcessor.processRequest).
func (n *Node) Serve(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	n.counts.request(c.ID(), req.Code)
	switch req.Code {
	case remoting.GetRouteInfoByTopic:
		n.getRoute(c, req, resp)
	case remoting.RegisterBroker:
		n.registerBroker(c, req, resp)
	case remoting.UnregisterBroker:
		n.unregisterBroker(c, req, resp)
	case remoting.BrokerHeartbeat:
		n.brokerHeartbeat(req, resp)
	case remoting.QueryDataVersion:
		n.queryDataVersion(req, resp)
	case remoting.GetBrokerMemberGroup:
		n.getMemberGroup(req, resp)
	case remoting.GetBrokerClusterInfo:
		n.getClusterInfo(resp)
	case remoting.WipeWritePermOfBroker:
		n.writePerm(req, resp, "wipeTopicCount", n.table.WipeWritePerm)
	case remoting.AddWritePermOfBroker:
		n.writePerm(req, resp, "addTopicCount", n.table.AddWritePerm)
	case remoting.DeleteTopicInNamesrv:
		n.deleteTopic(req)
	case remoting.RegisterTopicInNamesrv:
		n.registerTopic(req, resp)
	case remoting.PutKVConfig:
		n.putKV(req, resp)
	case remoting.GetKVConfig:
		n.getKV(req, resp)
	case remoting.DeleteKVConfig:
		n.deleteKV(req, resp)
	case remoting.GetKVListByNamespace:
		n.listKV(req, resp)
	case remoting.UpdateNamesrvConfig:
		n.updateConfig(req, resp)
	case remoting.GetNamesrvConfig:
		resp.Body = n.runtime.Listing()
	default:
		n.serveTopicList(req, resp)
	}
}

// serveTopicList handles the codes that are answered with a list of names, and those that nobody knows.
func (n *Node) serveTopicList(req *remoting.Request, resp *remoting.Response) {
	switch req.Code {
	case remoting.GetAllTopicList:
		n.allTopics(resp)
	case remoting.GetTopicsByCluster:
		n.topicsByCluster(req, resp)
	case remoting.GetSystemTopicList:
		n.systemTopics(resp)
	case remoting.GetUnitTopicList, remoting.GetHasUnitSubTopicList, remoting.GetHasUnitSubUnunitTopics:
		n.unitTopics(req.Code, resp)
	default:
		// The blank in front is the original's.
		resp.Fail(remoting.RequestCodeNotSupported,
			" request type "+strconv.Itoa(int(req.Code))+" not supported")
	}
}

// Closed removes what was registered on a connection that is gone (BrokerHousekeepingService). It never makes a
// tombstone: only an UNREGISTER does.
func (n *Node) Closed(c *rpc.Conn) {
	if c.Value() != nil { // it carried a registration
		n.apply(n.table.ConnLost(c.ID()))
		if n.depart != nil {
			n.depart.gossip.Closed(c.ID())
		}
	}
}

package node

// GET_BROKER_CLUSTER_INFO (106), by every version, and GET_BROKER_MEMBER_GROUP (901), by 5.0.0 and later. Deviation: DEV-5
// (no broker without an address is shown).

import (
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// getMemberGroup answers code 901. The remark beside code 0 is the original's.
func (n *Node) getMemberGroup(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	var g body.MemberGroup
	g.Cluster.S, g.Cluster.Valid = req.Str("clusterName")
	g.BrokerName.S, g.BrokerName.Valid = req.Str("brokerName")
	if g.BrokerName.Valid {
		g.Addrs = wireMembers(n.table.MemberGroup(g.BrokerName.S))
	}
	resp.Body = body.AppendMemberGroup(nil, &g)
	resp.Remark, resp.HasRemark = "not set any response code", true
}

// getClusterInfo answers code 106.
func (n *Node) getClusterInfo(_ *rpc.Conn, _ *remoting.Request, resp *remoting.Response) {
	resp.Body = body.AppendClusterInfo(nil, wireClusterInfo(n.table.ClusterInfo()))
}

package node

import (
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// owner is rpc.Config's.
func (n *Node) owner(c *rpc.Conn) (since time.Duration, owns bool) {
	if c.Value() == nil { // it never carried a registration
		return 0, false
	}
	at, owns := n.table.Owned(c.ID())
	if !owns {
		return 0, false
	}
	return n.clock().Sub(at), true
}

// listed is rpc.Config's: the connection that a broker lost is not there any more, its registration may still be.
func (n *Node) listed(c *rpc.Conn, req *remoting.Request) bool {
	switch req.Code {
	case remoting.RegisterBroker, remoting.UnregisterBroker, remoting.QueryDataVersion, remoting.BrokerHeartbeat:
	default:
		return false
	}
	cluster, _ := req.Str("clusterName")
	addr, _ := req.Str("brokerAddr")
	return n.table.RegisteredFrom(cluster, addr, c.Source())
}

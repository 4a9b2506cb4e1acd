package node

// UNREGISTER_BROKER (104), by every version. Deviations: DEV-2 (one that lacks a field costs itself only), DEV-4 (the last
// address of a name takes the name out of every cluster), DEV-9 (applied before it is answered), DEV-11 (one that comes on a
// connection older than the owner's is ignored), DEV-18 (with --admin-from, who is no admin can end only what is his own).

import (
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// unregisterBroker answers code 104. It is applied before it is answered; one that lacks a field is ignored, where the
// original would abandon the whole batch it came in.
func (n *Node) unregisterBroker(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	admin := n.isAdmin(c)
	u := routes.Unregistration{Conn: n.seen(c), At: c.FrameStart(), OwnOnly: !admin}
	var haveCluster, haveAddr, haveName, haveID bool
	u.Cluster, haveCluster = req.Str("clusterName")
	u.Addr, haveAddr = req.Str("brokerAddr")
	u.Name, haveName = req.Str("brokerName")
	u.ID, haveID = req.Int64("brokerId")
	if missing := !haveCluster || !haveAddr || !haveName || !haveID; missing && !admin {
		n.refuse(c, req, resp)
		return
	} else if missing {
		n.log.Warn("unregister ignored: a field is missing", "remote", c.RemoteAddr(), "cluster", u.Cluster,
			"addr", u.Addr, "broker", u.Name, "id", u.ID)
		return
	}
	left, eff := n.table.Unregister(&u)
	if left.NotOwn {
		n.refuse(c, req, resp)
		return
	}
	n.applyBy(c, eff)
	if n.depart != nil {
		n.depart.Unregistered(c, &u, &left, req.IsOneway())
	}
}

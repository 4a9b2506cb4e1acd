package node

import (
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// forAdmins guards a request that changes something for others (--admin-from). Codes 104 and 217, which a broker sends for
// itself, ask on their own.
func forAdmins(h handler) handler {
	return func(n *Node, c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
		if !n.isAdmin(c) {
			n.refuse(c, req, resp)
			return
		}
		h(n, c, req, resp)
	}
}

// isAdmin says that what a connection asks for may change something for others: it comes from --admin-from, or everybody may.
func (n *Node) isAdmin(c *rpc.Conn) bool { return n.admins == nil || n.admins.Contain(c.Source().Addr) }

// refuse answers who is no admin, and tells of it.
func (n *Node) refuse(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	from, name := c.Source(), n.dispatch.rows[n.dispatch.slot(req.Code)].name
	n.counts.NotAdmin()
	n.refusals.Do(func() {
		n.log.Warn("change refused: its sender is not in --admin-from", "code", req.Code, "name", name,
			"remote", c.RemoteAddr().String(), "source", from.Addr.String())
	})
	resp.HasExt = false
	resp.Fail(remoting.NoPermission, name+" is not allowed from "+from.String()+", which is not in --admin-from")
}

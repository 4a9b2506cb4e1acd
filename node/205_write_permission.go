package node

// WIPE_WRITE_PERM_OF_BROKER (205), by every version, and ADD_WRITE_PERM_OF_BROKER (327), by 4.9.2 and later. No deviation.

import (
	"strconv"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

func (n *Node) wipeWritePerm(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	n.writePerm(c, req, resp, "wipeTopicCount", n.table.WipeWritePerm)
}

func (n *Node) addWritePerm(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	n.writePerm(c, req, resp, "addTopicCount", n.table.AddWritePerm)
}

// writePerm answers with the number of topics that the broker has.
func (n *Node) writePerm(c *rpc.Conn, req *remoting.Request, resp *remoting.Response, count string,
	change func(broker string) (int, routes.Effects),
) {
	broker, _ := req.Str("brokerName")
	topics, eff := change(broker)
	n.applyBy(c, eff)
	resp.Set(count, strconv.Itoa(topics))
}

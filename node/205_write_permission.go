package node

// WIPE_WRITE_PERM_OF_BROKER (205), by every version, and ADD_WRITE_PERM_OF_BROKER (327), by 4.9.2 and later. No deviation.

import (
	"strconv"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

func (n *Node) wipeWritePerm(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	n.writePerm(req, resp, "wipeTopicCount", n.table.WipeWritePerm)
}

func (n *Node) addWritePerm(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	n.writePerm(req, resp, "addTopicCount", n.table.AddWritePerm)
}

// writePerm answers with the number of topics that the broker has.
func (n *Node) writePerm(req *remoting.Request, resp *remoting.Response, count string,
	change func(broker string) (int, routes.Effects),
) {
	broker, _ := req.Str("brokerName")
	topics, eff := change(broker)
	n.apply(eff)
	resp.Set(count, strconv.Itoa(topics))
}

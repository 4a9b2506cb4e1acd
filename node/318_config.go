package node

// UPDATE_NAMESRV_CONFIG (318) and GET_NAMESRV_CONFIG (319), by every version. Deviations: DEV-8 (the file is replaced
// atomically), DEV-14 (it is escaped), DEV-18 (what would not start, or harm the node, is refused).

import (
	"errors"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// updateConfig answers code 318. What it changes takes effect at once.
func (n *Node) updateConfig(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	before := n.runtime.Options()
	if err := n.runtime.Update(req.Body, config.Caller{Remote: c.RemoteAddr().String(), Source: c.Source().Addr.String()}); err != nil {
		code := remoting.SystemError
		if errors.Is(err, config.ErrLocked) || errors.Is(err, config.ErrReadOnly) {
			code = remoting.NoPermission
		}
		resp.Fail(code, err.Error())
		return
	}
	n.optionsChanged(before)
}

// optionsChanged makes what the options say true in the tables.
func (n *Node) optionsChanged(before *config.Options) {
	after := n.runtime.Options()
	n.table.SetOptions(tableOptions(after))
	if before.OrderMessageEnable != after.OrderMessageEnable {
		n.table.InvalidateAll()
	}
}

// Reload takes over what of next, read from the operator's files, can change while the node runs (nil: nothing), and
// reads the gossip keys again.
func (n *Node) Reload(next *config.Config) error {
	if next != nil {
		before := n.runtime.Options()
		if later := n.runtime.Reload(next); len(later) > 0 {
			n.log.Warn("options that the files have changed take effect at the next start", "keys", later)
		}
		n.optionsChanged(before)
	}
	return n.ReloadKeys()
}

// getConfig answers code 319.
func (n *Node) getConfig(_ *rpc.Conn, _ *remoting.Request, resp *remoting.Response) {
	resp.Body = n.runtime.Listing()
}

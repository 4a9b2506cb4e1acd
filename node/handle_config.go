package node

import (
	"errors"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
)

// updateConfig answers code 318. What it changes takes effect at once.
func (n *Node) updateConfig(req *remoting.Request, resp *remoting.Response) {
	before := n.runtime.Options()
	if err := n.runtime.Update(req.Body); err != nil {
		code := remoting.SystemError
		if errors.Is(err, config.ErrLocked) || errors.Is(err, config.ErrReadOnly) {
			code = remoting.NoPermission
		}
		resp.Fail(code, err.Error())
		return
	}
	after := n.runtime.Options()
	n.table.SetOptions(tableOptions(after))
	if before.OrderMessageEnable != after.OrderMessageEnable {
		n.table.InvalidateAll()
	}
}

package node

import (
	"path/filepath"

	"github.com/epitaph-mq/epitaph/node/config"
)

// checkDataDir warns at the start of what would otherwise be told with the first change that is refused. The node
// serves all the same: routes are in memory.
func (n *Node) checkDataDir() {
	dir := filepath.Dir(n.kv.Path())
	if err := config.CheckDataDir(dir); err != nil {
		n.log.Warn("KV values cannot be kept, and every change of one will be refused: "+
			"make the directory writable for this user, or give another one with --data", "dir", dir, "err", err)
	}
}

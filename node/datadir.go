package node

import (
	"errors"
	"log/slog"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/kvconfig"
)

// openKV refuses to start where the store of the last run is not what the file holds, unless the node starts as the
// original does.
func openKV(cfg *config.Config, log *slog.Logger) (*kvconfig.Store, error) {
	kv, err := kvconfig.Open(cfg.Options.KVConfigPath)
	var fault *kvconfig.Fault
	if errors.As(err, &fault) && cfg.KVAsOriginal && fault.EmptyToOriginal() {
		log.Warn("kv config starts empty, as the original's does", "path", fault.Path, "bak", fault.Bak, "err", err)
		return kvconfig.OpenEmpty(fault.Path), nil
	}
	if err != nil {
		return nil, err
	}
	if err := kv.Directory(); err != nil {
		log.Warn("kv config starts empty", "path", kv.Path(), "err", err)
	}
	return kv, nil
}

// checkDataDir warns at the start of what would otherwise be told with the first change that is refused. The node
// serves all the same: routes are in memory.
func (n *Node) checkDataDir() {
	if err := config.CheckFile(n.kv.Path()); err != nil {
		n.log.Warn("KV values cannot be kept, and every change of one will be refused: "+
			"make the directory writable for this user, or give another one with --data", "path", n.kv.Path(), "err", err)
	}
	if n.runtime.ReadOnly() {
		return
	}
	store := n.runtime.Options().ConfigStorePath
	if err := config.CheckFile(store); err != nil {
		n.log.Warn("options cannot be kept, and every change of one will be refused: "+
			"make the file and its directory writable for this user, or give another one with --config or --data", "path", store, "err", err)
	}
}

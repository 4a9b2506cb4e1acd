package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/epitaph-mq/epitaph/node/atomicfile"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/node/lockfile"
)

// openKV refuses to start where the store of the last run is not what the file holds, unless the node starts as the
// original does, or is to serve routes alone.
func openKV(cfg *config.Config, log *slog.Logger) (*kvconfig.Store, error) {
	kv, err := kvconfig.Open(cfg.Options.KVConfigPath)
	var fault *kvconfig.Fault
	if errors.As(err, &fault) && cfg.KVAsOriginal && fault.EmptyToOriginal() {
		log.Warn("kv config starts empty, as the original's does", "path", fault.Path, "bak", fault.Bak, "err", err)
		return kvconfig.OpenEmpty(fault.Path), nil
	}
	if fault != nil && cfg.KVServeMissing {
		log.Warn("KV store is missing: routes are served, and every request for KV values is refused, until it is mended and this "+
			"node is started again", "path", fault.Path, "bak", fault.Bak, "err", err)
		return kvconfig.OpenMissing(fault.Path, fmt.Errorf("kv: missing: %w", err)), nil
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
	if n.kv.Missing() == nil { // else it is told already, and no value is written
		if err := config.CheckFile(n.kv.Path()); err != nil {
			n.log.Warn("KV values cannot be kept, and every change of one will be refused: "+
				"make the directory writable for this user, or give another one with --data", "path", n.kv.Path(), "err", err)
		} else {
			n.ownStore()
		}
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

// ownStore makes the KV store, and the options if they are kept beside it, this node's for as long as it runs. Where they
// are those of another node of this machine, each would write over what the other wrote: they stay the first one's, unless
// the node does as the original, which writes.
func (n *Node) ownStore() {
	path := atomicfile.Target(n.kv.Path())
	lock, err := lockfile.Take(path+".lock", n.holder())
	var held *lockfile.Held
	switch {
	case err == nil:
		n.onStop("lock of the KV store", func(context.Context) error { lock.Release(); return nil })
	case !errors.As(err, &held):
		n.log.Warn("KV store cannot be locked, so another node that shares it is not noticed", "path", path, "err", err)
	case n.asOriginal:
		n.log.Warn("KV store is that of another node, too: each writes over what the other wrote; give each its own directory",
			"path", path, "holder", held.Holder)
	default:
		n.log.Warn("KV store belongs to another node: its values are served as they are now, and changes of values and options are refused "+
			"until it ends; give each node its own --data", "path", path, "holder", held.Holder)
		why := fmt.Errorf("%s belongs to %s; give each node its own --data", path, cmp.Or(held.Holder, "another node"))
		n.kv.Freeze(why)
		if filepath.Dir(n.runtime.Options().ConfigStorePath) == filepath.Dir(n.kv.Path()) {
			n.runtime.Freeze(why)
		}
		n.goOnStop("lock of the KV store", func(ctx context.Context) { n.inherit(ctx, path) })
	}
}

// inheritEvery is how often a node looks whether the one that has its store, or its place for the socket, has ended.
const inheritEvery = 5 * time.Second

// inherit takes the store over when the node that has it ends, and keeps it until ctx ends.
func (n *Node) inherit(ctx context.Context, path string) {
	ticker := time.NewTicker(inheritEvery)
	defer ticker.Stop()
	var lock *lockfile.Lock
	defer func() {
		if lock != nil {
			lock.Release()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var err error
		if lock == nil {
			if lock, err = lockfile.Take(path+".lock", n.holder()); err != nil {
				continue
			}
		}
		if err := n.kv.Thaw(); err != nil {
			n.log.Warn("KV store of the node that ended cannot be taken over; trying again", "path", path, "err", err)
			continue
		}
		n.runtime.Thaw()
		n.table.InvalidateAll()
		n.log.Info("KV store is this node's now: the one that had it has ended", "path", path)
		<-ctx.Done()
		return
	}
}

// holder is what a lock file says of this node.
func (n *Node) holder() string {
	return fmt.Sprintf("process %d, which serves at %s", os.Getpid(), n.Addr())
}

// KVFault is why KV values cannot be changed at all: the store is missing, or another node's. Nil: they can.
func (n *Node) KVFault() error { return n.kv.Frozen() }

// OptionsFault is why options cannot be changed, likewise.
func (n *Node) OptionsFault() error { return n.runtime.Frozen() }

package node

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/vanish"
)

// watchHosts makes what finds out that hosts have vanished, and gives it what members ask. A node that is not to do so answers them.
func (n *Node) watchHosts(cfg *config.Config, g *gossip.Config) {
	d := &cfg.DeadHosts
	mode := vanish.Off
	if d.Mode == config.DeadHostsObserve {
		mode = vanish.Observe
	}
	n.vanished = vanished.New(vanished.Config{
		Rule:   vanish.Config{Mode: mode, After: d.After, Nodes: d.Nodes, Brake: d.Brake, Nonce: random64},
		Canary: d.Canary, Table: n.table, Conns: func() *rpc.Server { return n.server }, Clock: cfg.Clock,
		Draining: func() bool { return n.drain.since.Load() != nil || n.ready.Phase() != readiness.Serving }, Logger: n.log.With("component", "vanished"),
	})
	g.OnVanish = n.vanished.Message
}

// random64 is for nonces: nobody can guess it.
func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.LittleEndian.Uint64(b[:])
}

package node

import (
	"crypto/rand"
	"encoding/binary"
	"iter"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/connect"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// triesAtOnce is how many new connections to brokers may be under way.
const triesAtOnce = 256

// watchHosts makes what finds out that hosts have vanished, and gives it what members ask. A node that is not to do so answers them.
func (n *Node) watchHosts(cfg *config.Config, g *gossip.Config) {
	d := &cfg.DeadHosts
	c := vanished.Config{
		Rule:   vanish.Config{After: d.After, Nodes: d.Nodes, Brake: d.Brake, Nonce: random64},
		Canary: d.Canary, Claimed: n.claimed, Dialer: &n.tries, Clock: cfg.Clock,
		Conns: func() iter.Seq[vanished.Conn] {
			return func(yield func(vanished.Conn) bool) {
				for c := range n.server.Conns() {
					if !yield(n.heard(c)) {
						return
					}
				}
			}
		},
		Draining: func() bool { return n.drain.since.Load() != nil || n.ready.Phase() != readiness.Serving }, Logger: n.log.With("component", "vanished"),
	}
	switch d.Mode {
	case config.DeadHostsObserve:
		c.Rule.Mode = vanish.Observe
	case config.DeadHostsOn:
		c.Rule.Mode, c.Tables, c.Evicted, c.PutBack = vanish.On, n.table, n.vanishedEvicted, n.apply
	}
	n.tries.Dialer = connect.New(triesAtOnce)
	n.vanished = vanished.New(c)
	g.OnVanish = n.vanished.Message
}

// HostPlay stands between a node and its kernel where hosts are played: see package played.
type HostPlay interface {
	vanished.Dialer
	Conn(c vanished.Conn) vanished.Conn
}

// tries is what tries new connections.
type tries struct{ vanished.Dialer }

// Play has the node hear of brokers' hosts by p, not by its kernel, from its Start on: for demonstrations on one machine, where no host can vanish.
func (n *Node) Play(p HostPlay) { n.play, n.tries.Dialer = p, p }

// heard is a connection as what watches hosts sees it.
func (n *Node) heard(c *rpc.Conn) vanished.Conn {
	if n.play != nil {
		return n.play.Conn(c)
	}
	return c
}

// claimed says that a subject is registered.
func (n *Node) claimed(s vanish.Subject) bool {
	return n.table.HeldBy(tombstone.Key{Cluster: s.Cluster, Addr: s.Addr}, tombstone.Identity{Name: s.Name, BrokerID: s.BrokerID, RemoteIP: s.Source})
}

// vanishedEvicted carries out what follows when a broker was taken out because its host has vanished.
func (n *Node) vanishedEvicted(silence time.Duration, eff routes.Effects) {
	n.apply(eff)
	if n.admin != nil {
		n.admin.Evicted(silence)
	}
}

// asideBytes is the budget for what vanished hosts lost and may be put back.
func asideBytes(d *config.DeadHosts) int64 {
	if d.Mode == config.DeadHostsOn && d.Restore {
		return routes.DefaultAsideBytes
	}
	return 0
}

// random64 is for nonces: nobody can guess it.
func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.LittleEndian.Uint64(b[:])
}

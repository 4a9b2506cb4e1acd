package node

import (
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/node/departures"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// view is what the listener for operators sees of the node.
type view struct{ n *Node }

var _ admin.View = view{}

func (v view) Ready() (ready bool, why string)             { return v.n.Ready() }
func (v view) KVMissing() bool                             { return v.n.kv.Missing() != nil }
func (v view) Identity() admin.Identity                    { return v.n.identity }
func (v view) Up() time.Duration                           { return v.n.ready.Up(v.n.clock()) }
func (v view) Missing() (brokers int, ready time.Duration) { return v.n.ready.Figures() }
func (v view) ReadyAfter() time.Duration                   { return v.n.readyAfter }
func (v view) Alone() bool                                 { return v.n.alone() }
func (v view) Connections() rpc.Stats                      { return v.n.server.Stats() }
func (v view) Table() *routes.Table                        { return v.n.table }
func (v view) DroppedLines() uint64                        { return v.n.droppedLines() }
func (v view) SharedSources() int                          { return int(v.n.shared.n.Load()) }
func (v view) Shares(st *rpc.Stats) [admin.ShareCount]admin.Share {
	return v.n.sharesOf(st)
}
func (v view) Departures() *departures.Shell { return v.n.depart }
func (v view) Vanished() *vanished.Shell     { return v.n.vanished }

func (n *Node) droppedLines() uint64 {
	if n.dropped == nil {
		return 0
	}
	return n.dropped()
}

// alone says that the node was given others to join and that none has lived for as long as it waits for one.
func (n *Node) alone() bool {
	if n.depart == nil {
		return false
	}
	since := n.Gossip().Alone()
	return since > 0 && since >= n.joinWait
}

// standing is what members are told of the node in digests.
func (n *Node) standing() (s digest.Standing) {
	s.Ready, _ = n.Ready()
	s.Waiting = n.ready.Waits() && n.ready.Phase() <= readiness.Serving
	s.Witness = n.ready.Witness(n.clock(), n.rule())
	return s
}

// Registrations is what /v1/brokers answers, for programs that run nodes themselves.
func (n *Node) Registrations(limit int) api.Brokers { return admin.Brokers(view{n}, limit) }

// Tombstones is what /v1/tombstones answers, likewise.
func (n *Node) Tombstones(limit int) api.Tombstones { return admin.Tombstones(view{n}, limit) }

// Vanished is what the node knows of hosts that fall silent and has decided about them, likewise; nothing without gossip.
func (n *Node) Vanished() (s vanished.Status) {
	if n.vanished != nil {
		s = n.vanished.Status()
	}
	return s
}

package node

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// owner is rpc.Config's.
func (n *Node) owner(c *rpc.Conn) (since time.Duration, owns bool) {
	if c.Value() == nil { // it never carried a registration
		return 0, false
	}
	at, owns := n.table.Owned(c.ID())
	if !owns {
		return 0, false
	}
	return n.clock().Sub(at), true
}

// listed is rpc.Config's: the connection that a broker lost is not there any more, its registration may still be.
func (n *Node) listed(c *rpc.Conn, req *remoting.Request) bool {
	switch req.Code {
	case remoting.RegisterBroker, remoting.UnregisterBroker, remoting.QueryDataVersion, remoting.BrokerHeartbeat:
	default:
		return false
	}
	cluster, _ := req.Str("clusterName")
	addr, _ := req.Str("brokerAddr")
	return n.table.RegisteredFrom(cluster, addr, c.Source())
}

// tablesFull is the remark of code 2 where the tables may not grow.
const tablesFull = "[OVERLOAD]no memory for this registration now, see --memory"

// shares is who may have how much of what the tables may take (docs/spec/nameserver.md#dev-22).
type shares struct {
	limit int64 // bytes; 0: none
	kv    int64 // what the KV store may have

	mu      sync.Mutex // guards the following fields
	at      clock.Stamp
	size    int64      // of the tables then
	top     netip.Addr // the source that holds most of the tables,
	most    int64      // and how much,
	alone   bool       // and no other source holds anything
	refused rate.Sometimes
}

// viewAge is how old may be what is known of who holds most, unless the tables have changed by a viewPart of what they may have.
const (
	viewAge  = time.Second
	viewPart = 32
)

func newShares(limit, kv int64) *shares {
	return &shares{limit: limit, kv: kv, refused: rate.Sometimes{First: 10, Interval: time.Second}}
}

// tableLimit is what the tables may take after something that a connection sends, in bytes; 0: as much as it needs. Of what is
// beyond three quarters the source that holds most gets nothing for a broker that is not listed; of the last eighth others
// get nothing for such a one, and the source that holds most nothing at all. There is nobody to whom a source could give that holds
// all, and to which most fleets behind one address belong: it has as much as others. Whoever comes then has the last eighth
// for brokers that are not listed, too. listed is asked only where there is a limit.
func (n *Node) tableLimit(c *rpc.Conn, listed func() bool) int64 {
	s := n.shares
	if s.limit == 0 {
		return 0
	}
	eighths := int64(7)
	if listed() {
		eighths++
	}
	top, most, alone := n.holdsMost()
	switch {
	case top == c.Source().Network():
		if !alone {
			eighths--
		}
	case most > s.limit/8*6:
		eighths = 8
	}
	return s.limit / 8 * eighths
}

// holdsMost is the source that holds most of the tables, how much, and whether no other holds anything.
func (n *Node) holdsMost() (top netip.Addr, most int64, alone bool) {
	s, now, size := n.shares, n.clock(), n.table.Size()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || now.Sub(s.at) >= viewAge || max(size-s.size, s.size-size) >= s.limit/viewPart {
		all := n.table.Held()
		s.at, s.size, s.top, s.most, s.alone = now, size, netip.Addr{}, 0, len(all) == 1
		for source, held := range all {
			if held > s.most || held == s.most && source.Less(s.top) {
				s.top, s.most = source, held
			}
		}
	}
	return s.top, s.most, s.alone
}

// refuseGrowth answers that the tables may not grow by what a connection sent.
func (n *Node) refuseGrowth(c *rpc.Conn, broker string) {
	c.Busy(tablesFull)
	n.counts.TablesFull()
	top, most, _ := n.holdsMost()
	n.shares.mu.Lock()
	defer n.shares.mu.Unlock()
	n.shares.refused.Do(func() {
		n.log.Warn("memory for the tables is short: the source that holds most gives first",
			"source", top, "holds", most, "used", n.shares.size, "limit", n.shares.limit, "refused", c.RemoteAddr(), "broker", broker)
	})
}

// fillRoom sets how much the tables may take with a registration.
func (n *Node) fillRoom(c *rpc.Conn, r *routes.Registration) {
	r.Limit = n.tableLimit(c, func() bool { return n.table.RegisteredFrom(r.Cluster, r.Addr, c.Source()) })
}

// sharesOf is how much of what is limited is used, and by whom where it is short.
func (n *Node) sharesOf(st *rpc.Stats) (all [admin.ShareCount]admin.Share) {
	all[admin.PassingShare] = admin.Share{Used: st.Memory, Limit: st.MemoryLimit}
	all[admin.TablesShare] = admin.Share{Used: n.table.Size(), Limit: n.shares.limit}
	all[admin.KVShare] = admin.Share{Used: int64(n.kv.Size()), Limit: n.shares.kv}
	all[admin.ConnectionsShare] = admin.Share{Used: st.Conns, Limit: st.MaxConns}
	if s := &all[admin.TablesShare]; s.Short() {
		s.Top, s.Holds, _ = n.holdsMost()
	}
	passing, conns := &all[admin.PassingShare], &all[admin.ConnectionsShare]
	if passing.Short() || conns.Short() {
		most, memory := n.server.Top()
		passing.Top, passing.Holds = memory.Source, memory.Has
		conns.Top, conns.Holds = most.Source, most.Has
	}
	return all
}

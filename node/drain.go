package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// HealthTopic is the topic that nobody has, of which health checks ask the route: who asks for it is no client.
const HealthTopic = "epitaph health"

// drain is how a node lets its clients go: it says so to the other nodes, is in no clients' list any more, and serves everybody
// as before until clients have left by themselves. Nobody is sent away: code 1500 (rpc.Server.GoAway) fails requests of clients
// that come back to the same address, and brokers get it, too.
type drain struct {
	onStop, quiet time.Duration // see config.Config

	changing sync.Mutex // one beginning or end at a time
	final    bool       // a stop drains: nobody takes clients again

	since atomic.Pointer[clock.Stamp] // nil: the node does not drain
	asked atomic.Pointer[clock.Stamp] // when a client asked for a route last, of those that did since then
}

// StartDrain lets clients go, until EndDrain or a stop. A node that drains already goes on with it.
func (n *Node) StartDrain() error { return n.startDrain(false) }

// startDrain lets clients go; final: the node stops behind it.
func (n *Node) startDrain(final bool) error {
	n.drain.changing.Lock()
	defer n.drain.changing.Unlock()
	if err := n.cannotDrain(); err != nil {
		return err
	}
	n.drain.final = n.drain.final || final
	now := n.clock()
	if n.drain.since.CompareAndSwap(nil, &now) {
		n.log.Info("draining: clients are to go elsewhere, and everybody is served as before")
	}
	n.ready.Drain(true)
	n.announce()
	return nil
}

// cannotDrain says why no drain can begin or end in the present phase.
func (n *Node) cannotDrain() error {
	switch n.ready.Phase() {
	case readiness.Starting:
		return errors.New("this node starts: it has no clients yet; ask again when it serves (epitaph health)")
	case readiness.Serving:
		return nil
	case readiness.Draining:
		return errors.New("this node is being stopped (enableShutdownGracefully): it sends its clients away, and takes none again")
	default:
		return errors.New("this node is being stopped: it takes no clients again before its next start")
	}
}

// EndDrain takes clients again. Once a stop drains it is refused: the node would be listed anew a moment before it is gone.
func (n *Node) EndDrain() error {
	n.drain.changing.Lock()
	defer n.drain.changing.Unlock()
	if err := n.cannotDrain(); err != nil {
		return err
	}
	if n.drain.final {
		return errors.New("this node is being stopped, and drains before that (--drain-on-stop): it takes no clients again before its " +
			"next start; a second signal (SIGTERM) cuts the drain short")
	}
	n.ready.Drain(false)
	n.drain.asked.Store(nil)
	if n.drain.since.Swap(nil) != nil {
		n.log.Info("draining no more: clients may come")
	}
	n.announce()
	return nil
}

// Draining says whether clients are let go, and how far that is.
func (n *Node) Draining() (d admin.Drain) {
	since := n.drain.since.Load()
	if since == nil {
		return d
	}
	now := n.clock()
	d.On, d.For, d.Unasked = true, now.Sub(*since), now.Sub(*since)
	if asked := n.drain.asked.Load(); asked != nil {
		d.Unasked, d.Asked = min(now.Sub(*asked), d.For), true
	}
	d.Quiet = d.Unasked >= n.drain.quiet
	return d
}

// noteAsker takes note of a client that asks for a route while the node drains. Brokers ask, too, and stay to the end.
func (n *Node) noteAsker(c *rpc.Conn, topic []byte) {
	if n.drain.since.Load() != nil && c.Value() == nil && string(topic) != HealthTopic {
		now := n.clock()
		n.drain.asked.Store(&now)
	}
}

// drainLook is how often a stop looks whether clients have left.
const drainLook = 200 * time.Millisecond

// Drain is what comes before a stop. Where that is asked for (--drain-on-stop) clients are let go; time that the node has
// drained before counts. Then the original's graceful stop, where somebody has switched it on: for shutdownWaitTimeSeconds the
// node goes on serving, but sends requests of clients newer than 5.3.1 away with code 1500. It returns at once where neither is wanted.
func (n *Node) Drain(ctx context.Context) {
	if n.drain.onStop > 0 {
		n.awaitQuiet(ctx)
	}
	o := n.runtime.Options()
	if !o.EnableShutdownGracefully || o.ShutdownWaitTimeSeconds <= 0 || ctx.Err() != nil {
		return
	}
	wait := time.Duration(o.ShutdownWaitTimeSeconds) * time.Second
	n.log.Info("draining", "for", wait)
	n.enter(readiness.Draining)
	n.server.GoAway(true)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// awaitQuiet drains until no client asks any more, or the time is over.
func (n *Node) awaitQuiet(ctx context.Context) {
	if err := n.startDrain(true); err != nil {
		return // it never served
	}
	ticker := time.NewTicker(drainLook)
	defer ticker.Stop()
	for {
		d := n.Draining()
		if d.Quiet || d.For >= n.drain.onStop {
			why := "the time is over (--drain-on-stop), and clients still ask"
			switch {
			case d.Quiet:
				why = "no client has asked for a route of late"
			case !d.Asked:
				why = "the time is over (--drain-on-stop), and no client has asked for a route in it"
			}
			n.log.Info("drained", "took", d.For, "unasked", d.Unasked, "why", why)
			return
		}
		select {
		case <-ctx.Done():
			n.log.Info("drain cut short", "took", d.For, "unasked", d.Unasked)
			return
		case <-ticker.C:
		}
	}
}

// SetDrain and Draining are for operators.
func (v view) SetDrain(on bool) error {
	if on {
		return v.n.StartDrain()
	}
	return v.n.EndDrain()
}

// Draining is Node.Draining.
func (v view) Draining() admin.Drain { return v.n.Draining() }

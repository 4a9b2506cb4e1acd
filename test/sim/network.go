package sim

import (
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// packet is a message between two nodes.
type packet struct {
	from, to int
	bytes    []byte // as the real codec writes it
}

// transmit carries one packet of the exchange.
func (w *World) transmit(from *node, p tombstone.Packet) {
	to := w.byPeer(p.To)
	if p.Path == tombstone.Queue || to == nil {
		return // at most nine nodes here: no gossip queue
	}
	w.checkProof(from, p.Msg)
	bytes, err := gossip.Encode(w.lie(from, p.Msg))
	if err != nil || len(bytes) > tombstone.MaxMessage || p.Msg.Valid() != nil {
		w.Fail(8, false, "%s sends %d bytes that nobody accepts: %v, %v", from.name(), len(bytes), err, p.Msg.Valid())
		return
	}
	pk := packet{from: from.index, to: to.index, bytes: bytes}
	w.old.Keep(w.Rng, pk)
	if w.Net.Cut[from.index][to.index] {
		return
	}
	if p.Path == tombstone.Stream {
		w.After(w.Between(time.Millisecond, 5*time.Millisecond), func() { w.deliver(pk) })
		return
	}
	if w.Net.Lost(from.index, to.index) {
		return
	}
	if w.Net.Damaged() {
		w.corrupt(bytes)
		return
	}
	w.Net.Delays(func(d time.Duration) { w.After(d, func() { w.deliver(pk) }) })
}

func (w *World) deliver(p packet) {
	to := w.nodes[p.to]
	if w.Net.Cut[p.from][p.to] || to.clock.Stopped() == world.Frozen && w.Chance(0.5) {
		return
	}
	to.when(w.now, func() {
		msg, err := gossip.Decode(p.bytes)
		if err != nil {
			w.Fail(8, false, "%s cannot decode a message: %v", to.name(), err)
			return
		}
		to.output(to.x.Receive(msg, to.stamp()))
	})
}

// corrupt has the decoder look at a damaged message. It goes no further: memberlist checks every datagram, so a
// damaged one is a lost one.
func (w *World) corrupt(bytes []byte) {
	damaged := w.Net.Flip(bytes)
	if msg, err := gossip.Decode(damaged[:w.Rng.IntN(len(damaged)+1)]); err == nil {
		_ = msg.Valid()
	}
}

// replay sends n old packets once more, in any order, to whom they were sent then: also to a later life of that node.
func (w *World) replay(n int) {
	for _, p := range w.old.Some(w.Rng, n) {
		w.deliver(p)
	}
	for _, m := range w.oldWords.Some(w.Rng, n) {
		w.hear(m)
	}
}

func (w *World) byPeer(p tombstone.Peer) *node {
	for _, n := range w.nodes {
		if n.name() == p.Name && n.boot == p.Boot && !n.down {
			return n
		}
	}
	return nil
}

// reachable says that packets pass between a and b now.
func (w *World) reachable(a, b *node) bool {
	return !w.Net.Cut[a.index][b.index] && !a.down && !b.down && a.until <= w.now && b.until <= w.now
}

func (w *World) memberUp(at, who *node) {
	p := who.peer()
	if at.members[p.Name] != p {
		at.members[p.Name], at.changed = p, w.now
	}
	delete(at.missing, p.Name)
	at.when(w.now, func() { at.output(at.x.MemberUp(p, at.stamp())) })
}

// suspect makes a and b lose sight of each other when they cannot talk for some seconds, and find each other again.
func (w *World) suspect(a, b *node) {
	w.After(w.Between(3*time.Second, 8*time.Second), func() {
		if !w.reachable(a, b) {
			w.forget(a, b.peer())
			w.forget(b, a.peer())
		}
	})
}

func (w *World) forget(at *node, p tombstone.Peer) {
	if at.members[p.Name] == p {
		at.missing[p.Name] = missing{p, w.now + int64(30*time.Second)}
	}
	at.left(p)
	at.when(w.now, func() {
		at.x.MemberLeft(p, at.stamp())
		at.ticks()
	})
}

// left takes a member from the list.
func (n *node) left(p tombstone.Peer) {
	if n.members[p.Name] == p {
		delete(n.members, p.Name)
		n.changed = n.w.now
	}
}

// rejoin lets a and b find each other, as the rejoin loop does, and exchange their states.
func (w *World) rejoin(a, b *node, within time.Duration) {
	w.After(w.Between(0, within), func() {
		if w.reachable(a, b) {
			w.memberUp(a, b)
			w.memberUp(b, a)
			w.pushPull(a, b)
		}
	})
}

// pushPull exchanges the ids of own live tombstones by stream, as the real codec writes them.
func (w *World) pushPull(a, b *node) {
	half := func(from, to *node) {
		ids := from.x.LocalIDs(tombstone.MaxMerge, from.stamp())
		if len(ids) == 0 {
			return
		}
		state, err := gossip.EncodeState(tombstone.Hint{From: from.peer(), IDs: ids})
		if err != nil {
			w.Fail(8, false, "%s cannot encode its state of %d ids: %v", from.name(), len(ids), err)
			return
		}
		to.when(w.now+int64(w.Between(time.Millisecond, 5*time.Millisecond)), func() {
			h, err := gossip.DecodeState(state) // refuses one that is too large
			if err != nil || len(h.IDs) != len(ids) {
				w.Fail(8, false, "%s reads %d of %d ids in a state of %d bytes: %v", to.name(), len(h.IDs), len(ids), len(state), err)
				return
			}
			to.output(to.x.Merge(h, to.stamp()))
		})
	}
	half(a, b)
	half(b, a)
}

// probes are memberlist's: once a second every node asks a random one, whose ack carries its clock; every ten seconds
// a push/pull.
func (w *World) probes() {
	second := w.now / int64(time.Second)
	for _, a := range w.nodes {
		b := w.nodes[w.Rng.IntN(len(w.nodes))]
		if a == b || !w.reachable(a, b) || w.Chance(w.Net.Loss) {
			continue
		}
		p, reading, read := b.peer(), b.stamp(), w.now
		a.when(w.now+int64(w.Between(100*time.Microsecond, 400*time.Millisecond)), func() {
			a.probeAck(b, p, reading, read)
		})
		if (second+int64(a.index))%10 == 0 {
			w.pushPull(a, b)
		}
	}
	w.After(time.Second, w.probes)
}

// scan is the nodes' look for expired registrations.
func (w *World) scan() {
	for _, n := range w.nodes {
		n.when(w.now, func() {
			if n.twin != nil {
				n.twin.Expire()
			}
			n.touched = true
			eff := n.table.Expire()
			if len(eff.Events) > 0 {
				n.noted(everything, netip.Addr{}, func(t *routes.Table) { t.Expire() }, byBroker)
			}
			n.effects(eff)
			n.overdue()
		})
	}
	w.After(5*time.Second, w.scan)
}

// restart ends the node's process and begins a new one. Nobody makes a tombstone of it.
func (w *World) restart(n *node, away time.Duration) {
	for _, c := range n.conns {
		c.Hangup()
	}
	n.down = true
	old := n.peer()
	for _, o := range w.nodes {
		if o != n {
			o.when(w.now+int64(w.Between(0, 6*time.Second)), func() {
				o.left(old)
				o.x.MemberLeft(old, o.stamp())
				o.ticks()
			})
		}
	}
	w.After(away, func() {
		if !n.down {
			return
		}
		n.start()
		for _, o := range w.nodes {
			if o != n {
				w.rejoin(n, o, 500*time.Millisecond)
			}
		}
	})
}

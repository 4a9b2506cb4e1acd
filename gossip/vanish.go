package gossip

import (
	"fmt"

	"github.com/epitaph-mq/epitaph/vanish"
)

// vanished takes a message about a host that may have vanished. Without anybody who wants it, it is of a type that is not known.
func (d delegate) vanished(b []byte) {
	msg, err := decodeVanish(b) // copies what it keeps
	if err == nil {
		if err = msg.Valid(); err != nil {
			err = fmt.Errorf("%w: %w", errFormat, err)
		}
	}
	if err != nil {
		d.g.refused(err)
		return
	}
	d.g.cfg.OnVanish(msg)
}

// Tell sends a message about hosts that may have vanished to the listed address of a member, and does not wait for it.
func (g *Gossip) Tell(peer vanish.Peer, msg vanish.Message, stream bool) vanish.Sent {
	b, err := encodeVanish(msg)
	if err == nil && len(b) > vanish.MaxMessage {
		err = fmt.Errorf("%T of %d bytes, want at most %d", msg, len(b), vanish.MaxMessage)
	}
	if err != nil {
		g.counts.unsendable.Add(1)
		g.cfg.Logger.Error("message about a silent host not sent", "err", err)
		return vanish.NotSent
	}
	to, ok := g.inbox.node(peer)
	if !ok {
		return vanish.NotSent
	}
	if stream {
		if !g.sendStream(&to, b) {
			return vanish.HeldBack
		}
		return vanish.Went
	}
	if err := g.list.SendBestEffort(&to, b); err != nil {
		g.counts.sendFailed.Add(1)
		return vanish.NotSent
	}
	return vanish.Went
}

// Nodes is how many nodes the cluster has as far as this one knows: the living, and those that are lost (see AllMembers), unless their
// place was taken by another.
func (g *Gossip) Nodes() int { return nodesOf(g.AllMembers()) }

// nodesOf counts members. One that left is none; a lost one is back when its name lives (then it is listed no more), and was replaced when a living
// one serves clients at its address.
func nodesOf(members []Member) (n int) {
	serves := map[string]bool{}
	for _, m := range members {
		if m.State == StateAlive {
			n++
			serves[m.NameServer] = m.NameServer != ""
		}
	}
	for _, m := range members {
		if m.State == StateFailed && !serves[m.NameServer] {
			n++
		}
	}
	return n
}

package sim

import (
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/vanish"
)

// send gives a message to the network, as gossip.Tell does.
func (h *watch) send(p vanish.Packet) {
	n, w := h.n, h.n.w
	to, sent := w.byPeer(p.To), vanish.Went
	switch {
	case n.members[p.To.Name] != p.To && (n.missing[p.To.Name].Peer != p.To || n.missing[p.To.Name].until <= w.now):
		sent = vanish.NotSent
	case p.Stream && w.Chance(0.02):
		sent = vanish.HeldBack
	case to != nil:
		w.say(words{from: n.index, to: to.index, msg: p.Msg, at: w.now}, p.Stream)
	}
	if q, ok := p.Msg.(vanish.Query); ok && p.Stream {
		h.rule.StreamSent(q.Nonce, sent)
	}
}

// say takes a message on its way, or loses it.
func (w *World) say(m words, stream bool) {
	if err := m.msg.Valid(); err != nil {
		w.FailHost(9, "%s sends what nobody accepts: %v", w.nodes[m.from].name(), err)
		return
	}
	switch msg := m.msg.(type) {
	case vanish.Query:
		w.asked[msg.Nonce] = msg.Subjects
	case vanish.View:
		w.honest(m.from, msg)
	}
	w.oldWords.Keep(w.Rng, m)
	switch {
	case w.Net.Cut[m.from][m.to]:
	case stream:
		late := w.Between(time.Millisecond, 5*time.Millisecond)
		if w.Net.Loss > 0 {
			late += w.Between(0, 700*time.Millisecond)
		}
		w.After(late, func() { w.hear(m) })
	case w.Net.Lost(m.from, m.to) || w.Net.Damaged():
	default:
		w.Net.Delays(func(d time.Duration) { w.After(d, func() { w.hear(m) }) })
	}
}

func (w *World) hear(m words) {
	to := w.nodes[m.to]
	if w.Net.Cut[m.from][m.to] || to.clock.Stopped() == world.Frozen && w.Chance(0.5) {
		return
	}
	to.when(w.now, func() {
		if to.watch != nil {
			to.watch.receive(m)
		}
	})
}

func (h *watch) receive(m words) {
	h.catchUp(h.n.stamp())
	if q, ok := m.msg.(vanish.Query); ok {
		for _, id := range h.rule.LooksFor(q) {
			if c := h.n.conns[id]; c != nil {
				h.look(c)
			}
		}
		for _, s := range q.Subjects {
			if claim, held := h.claims[s]; held && !h.watched[s] {
				if c := h.n.conns[claim.Conn]; c != nil && c.Proc.Kind != world.Proxied {
					h.lookBeside(c)
				}
			}
		}
	}
	before := h.rule.Counters().RefusedNonce
	h.rule.Receive(m.msg, h.n.stamp())
	if h.rule.Counters().RefusedNonce == before {
		h.hears(m)
	}
	h.carryOut()
}

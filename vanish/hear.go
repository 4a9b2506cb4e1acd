package vanish

import (
	"net/netip"

	"github.com/epitaph-mq/epitaph/clock"
)

// Heard takes a sign of life that came from a source by anything but a REGISTER or a look at a watched connection: a heartbeat, or an ACK or
// data on any other of its connections that has no PROXY header.
func (n *Node) Heard(source netip.Addr, life, now clock.Stamp) {
	if m := n.machines[source]; m != nil {
		n.heard(m, life, now)
	}
}

// Knows says that something is or was held of a source: its signs of life are of use.
func (n *Node) Knows(source netip.Addr) bool { return n.machines[source] != nil }

// Looked takes a reading of a watched connection.
func (n *Node) Looked(conn uint64, r Reading, now clock.Stamp) {
	l := n.lines[conn]
	if l == nil {
		return
	}
	l.Look(r, now)
	life, _ := l.Life()
	for _, k := range l.machine.claims {
		if e := k.evicted; e != nil && k.line == l && e.at.Before(life) {
			n.refute(k, "ack", now)
		}
		if e := k.out; e != nil && e.at.Before(life) && k.line == l {
			n.out.Restore = append(n.out.Restore, Restoration{Claim: k.Claim, Evicted: e.at})
		}
	}
	n.heard(l.machine, life, now)
}

// Tried takes the outcome of a Connect.
func (n *Node) Tried(source netip.Addr, number uint64, outcome Tried, now clock.Stamp) {
	m := n.machines[source]
	if m == nil {
		return
	}
	if n.answered { // whoever answered, it may not be the host
		outcome = Failed
	}
	m.Tried(number, outcome, now)
	if outcome != Answered {
		return
	}
	for _, k := range m.claims {
		if k.evicted != nil && k.line != nil {
			n.refute(k, "connect", now)
			n.out.Probes = append(n.out.Probes, k.line.conn) // to be put back it has to be heard there
		}
	}
	n.heard(m, now, now)
}

// heard takes a sign of life of a machine, and tells it to whom this node said that there was none.
func (n *Node) heard(m *machine, life, now clock.Stamp) {
	m.Alive(life)
	if now.Elapsed(m.Life()) >= n.times.Vote {
		return
	}
	for _, k := range m.claims {
		n.tellAll(k.Subject, m, now)
	}
	for _, s := range m.asked {
		n.tellAll(s, m, now)
	}
	m.asked = nil
}

// tellAll tells of life whoever was told of none.
func (n *Node) tellAll(s Subject, m *machine, now clock.Stamp) {
	told := n.told[s]
	for _, p := range n.believed {
		at, was := told[p]
		if was && now.Sub(at) < toldFor {
			n.tellAlive(s, m, p, now)
		}
	}
	delete(n.told, s)
}

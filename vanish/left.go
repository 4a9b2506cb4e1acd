package vanish

import (
	"net/netip"
	"slices"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/order"
)

// newest are the lines that tell of a machine of which nothing is held.
func (m *machine) newest() []*line { return m.lines[max(len(m.lines)-maxNewest, 0):] }

// machine is that of a source of which something is or will be held. One of which nothing was, and to which no connection is open, begins anew: it may
// be another.
func (n *Node) machine(source netip.Addr, now clock.Stamp) *machine {
	m := n.machines[source]
	if m != nil && len(m.claims)+len(m.lines) > 0 {
		return m
	}
	m = &machine{Host: NewHost(n.times, now), source: source}
	for s := range n.told {
		if s.Source == source {
			m.asked = append(m.asked, s)
		}
	}
	order.By(m.asked, Subject.compare)
	n.machines[source] = m
	return m
}

// forgetLeft forgets hosts of which nothing is held, to which no watched connection is open, and of which no sign of life is young enough to matter to
// anybody.
func (n *Node) forgetLeft(now clock.Stamp) {
	many := len(n.left) - maxLeft
	n.left = slices.DeleteFunc(n.left, func(m *machine) bool {
		switch {
		case len(m.claims) > 0: // it is back
			m.left = false
		case len(m.lines) == 0 && (many > 0 || now.Elapsed(m.Life()) >= n.times.After):
			if n.machines[m.source] == m {
				delete(n.machines, m.source)
			}
		default:
			return false
		}
		many--
		return true
	})
}

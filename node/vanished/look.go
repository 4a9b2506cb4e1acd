package vanished

import (
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/vanish"
)

// look reads a connection's TCP_INFO. What it says is as of before the stamp, so life looks younger than it is, which keeps.
func (s *Shell) look(id uint64) (heard time.Duration, ok bool) {
	l, ok := s.glance(id)
	if ok {
		s.rule.Looked(id, reading(&l), s.cfg.Clock())
	}
	return l.Heard, ok
}

func reading(l *rpc.Look) vanish.Reading {
	return vanish.Reading{
		Heard: l.Heard, Probes: l.Probes, Retransmits: l.Retransmits, DataIn: l.DataIn, DataOut: l.DataOut, Unacked: l.Unacked,
	}
}

// heardOn takes what a look at any connection says of the machine behind it.
func (s *Shell) heardOn(c Conn, l *rpc.Look) {
	now := s.cfg.Clock()
	s.rule.Heard(c.SocketAddr().Addr(), now.Add(-max(l.Heard-lookGrant, 0)), now)
}

// glance is what the kernel says of a connection that claims belong to.
func (s *Shell) glance(id uint64) (l rpc.Look, ok bool) {
	if c := s.conns[id]; c != nil {
		return c.Look()
	}
	return l, false
}

// lookBeside looks at every other connection of sources whose brokers' are silent: clients and tools may live on the same machine.
func (s *Shell) lookBeside(silent map[netip.Addr]bool) {
	if len(silent) == 0 {
		return
	}
	watched := map[uint64]bool{} // for any broker: the rule hears of them
	for _, h := range s.claims {
		watched[h.Conn] = watched[h.Conn] || h.why == rpc.Watched
	}
	for c := range s.cfg.Conns() {
		from := c.SocketAddr().Addr()
		if !silent[from] || watched[c.ID()] {
			continue
		}
		if l, ok := c.Look(); ok && !l.Closed {
			s.heardOn(c, &l)
		}
	}
}

// lookUnwatched is for those that ask about a broker whose connection is not watched here: its life is told all the same.
func (s *Shell) lookUnwatched(q vanish.Query) {
	for _, subject := range q.Subjects {
		claim, is := s.claims[subject]
		if !is || claim.why == rpc.Watched {
			continue
		}
		if l, ok := s.glance(claim.Conn); ok && !l.Closed {
			s.heardOn(s.conns[claim.Conn], &l)
		}
	}
}

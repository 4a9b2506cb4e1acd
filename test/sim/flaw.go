package sim

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Flaw breaks one rule on purpose: a simulation that does not notice is blind.
type Flaw int

// Flaws.
const (
	NoFlaw Flaw = iota
	FlawNoLife
	FlawNoUnregister
	FlawNoCompareAndDelete
	FlawResetIsAck
	FlawPushedAges
	FlawT0Overwritten
	FlawNoOffsetBounds
	FlawNoOwnership
	FlawNoRemoteIP
	FlawLateProof
	FlawHandledNotRead
	FlawAcceptedNotRead
	FlawStampedLate
	flaws
)

var flawNames = [flaws]string{
	"none", "no L comparison", "no U comparison", "no compare-and-delete", "reset taken for an acknowledgement",
	"pushed ages", "t0 overwritten by a retry", "no offset bounds", "no ownership rule", "no remote IP",
	"late proof for 4.x", "time of an UNREGISTER is that of its handling", "a connection is as old as its accept",
	"an answer is stamped when it has been written",
}

func (f Flaw) String() string { return flawNames[f] }

// exchange is the flaw's counterpart inside the exchange.
func (f Flaw) exchange() tombstone.Flaw {
	switch f {
	case FlawPushedAges:
		return tombstone.FlawPushedAges
	case FlawT0Overwritten:
		return tombstone.FlawT0Overwritten
	case FlawNoOffsetBounds:
		return tombstone.FlawNoOffsetBounds
	case FlawLateProof:
		return tombstone.FlawLateProofForAll
	}
	return tombstone.NoFlaw
}

// unregistered is when the UNREGISTER was read that is handled.
func (f Flaw) unregistered(c *conn) clock.Stamp {
	if f == FlawHandledNotRead {
		return c.node.stamp()
	}
	return c.begun
}

// always makes a comparison hold: younger than anything.
const always = -1000 * time.Hour

// judge makes a comparison blind.
func (f Flaw) judge(n *node, id tombstone.ID, b tombstone.Bounds) (tombstone.Identity, tombstone.Bounds) {
	who := id.Identity
	switch f {
	case FlawNoLife:
		b.HasLife, b.Life = true, always
	case FlawNoUnregister:
		b.Unregistered = always
	case FlawNoRemoteIP:
		if held := n.table.Holders(id.Key); len(held) > 0 {
			who.RemoteIP = held[0].RemoteIP
		}
	}
	return who, b
}

// decideNowDeleteLater forgets the generation between the decision and the deletion.
func (n *node) decideNowDeleteLater(id tombstone.ID, b tombstone.Bounds) tombstone.Verdict {
	for _, r := range n.table.Registrations() {
		if r.Cluster != id.Cluster || r.Addr != id.Addr {
			continue
		}
		e := tombstone.Entry{
			Identity: n.table.Holders(id.Key)[0], FirstByte: r.Owner.FirstByte, LastRegister: r.LastRegister, Conn: r.Owner.ID,
		}
		v := tombstone.Decide(e, id.Identity, b, n.stamp())
		if v.Outcome == tombstone.Evicted {
			n.when(n.w.now+int64(n.w.Between(0, 50*time.Millisecond)), func() { n.deleteWhatever(id) })
		}
		return v
	}
	return tombstone.Verdict{}
}

func (n *node) deleteWhatever(id tombstone.ID) {
	held := n.table.Holders(id.Key)
	if len(held) == 0 {
		return
	}
	g := n.ghosts[id.Key]
	b := tombstone.Bounds{Asked: n.stamp(), HasLife: true, Life: always, Unregistered: always}
	v, eff := n.table.Judge(id.Key, held[0], b)
	n.twin = nil
	n.judged(id, g, v)
	n.effects(eff)
}

// flawedConn is the connection as the tables see it. Without the ownership rule every REGISTER looks newest.
func (n *node) flawedConn(c *conn) *routes.Conn {
	r := c.route()
	if n.w.flaw == FlawNoOwnership {
		n.accept++
		r.ID = n.accept
		c.also = append(c.also, r.ID)
	}
	return r
}

// flawedUnregister is the connection that an UNREGISTER came on. Without the ownership rule that is always the owner.
func (n *node) flawedUnregister(c *conn, k tombstone.Key) *routes.Conn {
	if n.w.flaw == FlawNoOwnership {
		for _, r := range n.table.Registrations() {
			if r.Cluster == k.Cluster && r.Addr == k.Addr {
				return r.Owner
			}
		}
	}
	return c.route()
}

func (n *node) connLost(c *conn) {
	n.touched = true
	eff := n.table.ConnLost(c.ID)
	n.noted(everything, c.Proc.IP(), func(t *routes.Table) { t.ConnLost(c.ID) }, byBroker)
	if n.twin != nil {
		n.twin.ConnLost(c.ID)
	}
	for _, id := range c.also {
		n.table.ConnLost(id)
	}
	n.effects(eff)
}

// lie makes node A's proofs say that everything happened just now.
func (w *World) lie(from *node, msg tombstone.Message) tombstone.Message {
	p, ok := msg.(tombstone.Proof)
	if !ok || w.Residual != world.ResidualLiar || from.index != 0 {
		return msg
	}
	from.flagged = true
	answers := make([]tombstone.Answer, len(p.Answers))
	for i, a := range p.Answers {
		a.HasLife, a.Life, a.Unregistered = true, 0, 0
		answers[i] = a
	}
	p.Answers = answers
	return p
}

package gossip

import (
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// missingFor is for how long a member that is taken for dead is still told of departures and believed: as long as
// memberlist gossips to the dead, for it may only have lost some probes. With 30 % loss that happens to some member every
// minute, and a departure would reach it seconds late. Nothing depends on its being alive: what it says is checked as
// always, and what is not answered is repeated and given up as always.
const missingFor = 30 * time.Second

// goodbyeIn is for how long a goodbye may be read after memberlist took the member for dead: words of its own it reads first.
const goodbyeIn = time.Second

// missing is a member that stopped answering without saying that it leaves.
type missing struct {
	node  memberlist.Node
	since clock.Stamp
	left  event // tells the exchange that it is gone
	told  bool  // that it is lost
}

// Missing are the members that are taken for dead, and may only have lost some probes, in no order.
func (g *Gossip) Missing() []tombstone.Peer {
	g.inbox.mu.Lock()
	defer g.inbox.mu.Unlock()
	return slices.Collect(maps.Keys(g.inbox.missing))
}

// giveUpMissing queues the events about those that have been missing for long enough. lost are those of whom it is to be told that they
// are: each once, and none whose goodbye may be on its way.
func (b *inbox) giveUpMissing(now clock.Stamp) (lost []memberlist.Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, m := range b.missing {
		if !m.told && now.Sub(m.since) >= goodbyeIn {
			lost = append(lost, m.node)
			m.told = true
			b.missing[p] = m
		}
		if now.Sub(m.since) >= missingFor {
			b.giveUp(p)
		}
	}
	return lost
}

// giveUp queues the event about a member if it is missing.
func (b *inbox) giveUp(p tombstone.Peer) {
	if m, ok := b.missing[p]; ok {
		delete(b.missing, p)
		b.events = append(b.events, m.left)
	}
}

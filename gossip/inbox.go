package gossip

import (
	"cmp"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// maxInbox is how many messages may wait for the loop. Membership changes are never dropped: there are few of them.
const maxInbox = 16_384

// event is something that happened, to be run through the exchange by the loop.
type event func(now clock.Stamp) tombstone.Output

// Member is one member, living or gone.
type Member struct {
	tombstone.Peer
	Addr  string
	Self  bool
	State State
	Meta                // what it says of itself; Age is a lower bound as of now, or of when it was gone
	Ready bool          // it lives and says that clients may be sent to it
	Since time.Time     // when this node first saw it (wall clock, for people)
	Gone  time.Duration // since when it is gone; 0 while it lives
	RTT   time.Duration // of the newest probe that was answered; 0: none yet
	// OnlyTCP says that it answered its last probe by TCP alone: UDP may be blocked.
	OnlyTCP bool
}

type memberEntry struct {
	node      memberlist.Node
	meta      Meta
	heard     clock.Stamp // when meta.Age was first heard
	since     time.Time
	rtt       time.Duration
	onlyTCP   bool
	leaves    bool // it said goodbye
	forcedOut bool // an operator gave it up elsewhere: it is not listed when it is gone
}

// inbox is between memberlist's callbacks and the loop.
type inbox struct {
	mu       sync.Mutex // guards the following fields
	self     tombstone.Peer
	events   []event
	messages int // of events
	living   map[tombstone.Peer]*memberEntry
	gone     map[tombstone.Peer]*gone
	missing  map[tombstone.Peer]missing
}

// message queues a message; false: the queue is full and it was dropped.
func (b *inbox) message(e event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.messages >= maxInbox {
		return false
	}
	b.messages++
	b.events = append(b.events, e)
	return true
}

// up notes a member and what it says of itself, and queues the event about it.
func (b *inbox) up(p tombstone.Peer, n *memberlist.Node, meta Meta, now clock.Stamp, e event) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.living == nil {
		b.living = make(map[tombstone.Peer]*memberEntry)
	}
	delete(b.missing, p)
	known := b.living[p]
	if first = known == nil; first {
		known = &memberEntry{since: time.Now(), heard: now}
		b.living[p] = known
		b.tidy(now)
	}
	known.node = *n
	if known.meta != meta {
		known.meta, known.heard = meta, now
	}
	b.events = append(b.events, e)
	return first
}

// seen says that a member is or was one.
func (b *inbox) seen(p tombstone.Peer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, gone := b.gone[p]
	_, missing := b.missing[p]
	return b.living[p] != nil || gone || missing
}

// down buries a member and queues the event about it, for one that said no goodbye only in a while.
func (b *inbox) down(p tombstone.Peer, now clock.Stamp, e event) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.living[p]
	state := b.bury(p, now)
	if state == StateFailed && p != b.self {
		if b.missing == nil {
			b.missing = map[tombstone.Peer]missing{}
		}
		b.missing[p] = missing{node: m.node, since: now, left: e}
	} else {
		b.events = append(b.events, e)
	}
	return state
}

func (b *inbox) answered(p tombstone.Peer, rtt time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.living[p]; m != nil {
		m.rtt, m.onlyTCP = rtt, false
	}
}

func (b *inbox) answeredByTCP(p tombstone.Peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.living[p]; m != nil {
		m.onlyTCP = true
	}
}

// take empties the queue.
func (b *inbox) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events, b.messages = nil, 0
	return events
}

// node is where a member is reached, or a missing one may be.
func (b *inbox) node(p tombstone.Peer) (memberlist.Node, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.living[p]; m != nil {
		return m.node, true
	}
	m, ok := b.missing[p]
	return m.node, ok
}

// anyAt says that another member that lives, or is only missing, has an address that is so.
func (b *inbox) anyAt(is func(netip.AddrPort) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := func(n *memberlist.Node) bool {
		ip, ok := netip.AddrFromSlice(n.Addr)
		return ok && is(netip.AddrPortFrom(ip.Unmap(), n.Port))
	}
	for p, m := range b.living {
		if p != b.self && at(&m.node) {
			return true
		}
	}
	for _, m := range b.missing {
		if at(&m.node) {
			return true
		}
	}
	return false
}

// namesake is the address of another living member of this node's name, or empty.
func (b *inbox) namesake() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, m := range b.living {
		if p.Name == b.self.Name && p != b.self {
			return m.node.Address()
		}
	}
	return ""
}

func (b *inbox) memberCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.living)
}

// members lists the living and those that are gone, in no order.
func (b *inbox) members(now clock.Stamp) []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tidy(now)
	all := make([]Member, 0, len(b.living)+len(b.gone))
	for p, m := range b.living {
		one := Member{
			Peer: p, Addr: m.node.Address(), Self: p == b.self, Meta: m.meta, Ready: m.meta.Phase == PhaseReady,
			Since: m.since, RTT: m.rtt, OnlyTCP: m.onlyTCP,
		}
		if m.meta.Phase != PhaseUnknown {
			one.Age = ageNow(m.meta.Age, m.heard, now)
		}
		all = append(all, one)
	}
	for p, g := range b.gone {
		all = append(all, Member{
			Peer: p, Addr: g.addr, State: g.state, Meta: g.meta, Since: g.seen, Gone: max(now.Sub(g.since), 1),
		})
	}
	return all
}

// compareMembers puts this node first, then the living, then by name.
func compareMembers(a, b Member) int {
	if a.Self != b.Self {
		if a.Self {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Boot, b.Boot))
}

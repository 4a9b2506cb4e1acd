package gossip

import (
	"cmp"
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

// Member is one living member.
type Member struct {
	tombstone.Peer
	Addr  string
	Self  bool
	Since time.Time     // when this node first saw it (wall clock, for people)
	RTT   time.Duration // of the newest probe that was answered; 0: none yet
}

type memberEntry struct {
	node  memberlist.Node
	since time.Time
	rtt   time.Duration
}

// inbox is between memberlist's callbacks and the loop.
type inbox struct {
	mu       sync.Mutex // guards the following fields
	self     tombstone.Peer
	events   []event
	messages int // of events
	living   map[tombstone.Peer]*memberEntry
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

// up notes a member and queues the event about it.
func (b *inbox) up(p tombstone.Peer, n *memberlist.Node, e event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.living == nil {
		b.living = make(map[tombstone.Peer]*memberEntry)
	}
	if known := b.living[p]; known != nil {
		known.node = *n
	} else {
		b.living[p] = &memberEntry{node: *n, since: time.Now()}
	}
	b.events = append(b.events, e)
}

// down forgets a member and queues the event about it.
func (b *inbox) down(p tombstone.Peer, e event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.living, p)
	b.events = append(b.events, e)
}

func (b *inbox) answered(p tombstone.Peer, rtt time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.living[p]; m != nil {
		m.rtt = rtt
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

// node is where a member is reached.
func (b *inbox) node(p tombstone.Peer) (memberlist.Node, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.living[p]
	if m == nil {
		return memberlist.Node{}, false
	}
	return m.node, true
}

func (b *inbox) memberCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.living)
}

func (b *inbox) members() []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Member, 0, len(b.living))
	for p, m := range b.living {
		all = append(all, Member{Peer: p, Addr: m.node.Address(), Self: p == b.self, Since: m.since, RTT: m.rtt})
	}
	return all
}

func compareMembers(a, b Member) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Boot, b.Boot))
}

package gossip

import (
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// How long members that are gone stay listed, and how many: the eldest go first.
const (
	failedFor = 24 * time.Hour
	leftFor   = 10 * time.Minute
	maxGone   = 256
)

// State is whether a member lives, as this node sees it.
type State uint8

// The states of a member. memberlist does not tell whom it suspects.
const (
	StateAlive  State = iota
	StateFailed       // it stopped answering without saying so; listed for a day, or until ForceLeave
	StateLeft         // it said that it leaves; listed for ten minutes
)

func (s State) String() string {
	switch s {
	case StateFailed:
		return "failed"
	case StateLeft:
		return "left"
	default:
		return "alive"
	}
}

// A goodbye says that a member leaves by its own will, a forced leave that an operator gave a failed one up. memberlist tells
// neither: it has one event for all who are gone.
type farewell struct {
	from tombstone.Peer
	gone tombstone.Peer // the sender itself, in a goodbye
}

type wireFarewell struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	Gone    wirePeer
}

func encodeFarewell(f farewell) ([]byte, error) {
	return encode(typeFarewell, wireFarewell{
		From: wirePeer{Name: f.from.Name, Boot: f.from.Boot}, Gone: wirePeer{Name: f.gone.Name, Boot: f.gone.Boot},
	})
}

func decodeFarewell(b []byte) (farewell, error) {
	if len(b) > tombstone.MaxMessage {
		return farewell{}, fmt.Errorf("%w: %d bytes, want at most %d", errSize, len(b), tombstone.MaxMessage)
	}
	_, payload, err := head(b)
	if err != nil {
		return farewell{}, err
	}
	var w wireFarewell
	if err := decode(payload, &w); err != nil {
		return farewell{}, err
	}
	f := farewell{from: w.From.peer(), gone: w.Gone.peer()}
	for _, p := range []tombstone.Peer{f.from, f.gone} {
		if p.Name == "" || len(p.Name) > tombstone.MaxName {
			return farewell{}, fmt.Errorf("%w: member name of %d bytes", errFormat, len(p.Name))
		}
	}
	return f, nil
}

// farewell takes what another member says about one that is gone.
func (d delegate) farewell(b []byte) {
	f, err := decodeFarewell(b)
	if err != nil {
		d.g.refused(err)
		return
	}
	now := d.g.cfg.Clock()
	if f.from == f.gone {
		if n, untold := d.g.inbox.leaves(f.gone, now); untold {
			d.g.tellLeft(&n)
		}
	} else {
		d.g.inbox.forceLeave(f.gone, now)
	}
}

// tellAll sends a farewell to every living member: by packet, and where asked by stream too.
func (g *Gossip) tellAll(f farewell, stream bool) {
	b, err := encodeFarewell(f)
	if err != nil {
		g.counts.unsendable.Add(1)
		return
	}
	for _, m := range g.inbox.members(g.cfg.Clock()) {
		to, ok := g.inbox.node(m.Peer)
		if !ok || m.Self {
			continue
		}
		if err := g.list.SendBestEffort(&to, b); err != nil {
			g.counts.sendFailed.Add(1)
		}
		if stream {
			g.sendStream(&to, b)
		}
	}
}

// ForceLeave takes a failed member off the list, here and at the other members. It refuses a member that lives; one that
// is not listed is an error too. Nothing about brokers changes by it.
func (g *Gossip) ForceLeave(name string) error {
	now := g.cfg.Clock()
	var failed []tombstone.Peer
	for _, m := range g.inbox.members(now) {
		switch {
		case m.Name != name || m.State == StateLeft:
		case m.Self:
			return fmt.Errorf("%q is this node itself: stop its program, and it leaves in order", name)
		case m.State == StateAlive:
			return fmt.Errorf("%q lives (at %s) and would be back at once: stop its program, and it leaves in order", name, m.Addr)
		default:
			failed = append(failed, m.Peer)
		}
	}
	if len(failed) == 0 {
		return fmt.Errorf("no failed member has the name %q; epitaph members lists them", name)
	}
	for _, p := range failed {
		g.inbox.forceLeave(p, now)
		g.tellAll(farewell{from: g.self, gone: p}, true)
		g.cfg.Logger.Info("failed member forgotten", "member", p.Name, "boot", bootText(p))
	}
	return nil
}

// gone is a member that lives no more.
type gone struct {
	addr  string
	meta  Meta
	state State
	since clock.Stamp
	seen  time.Time // of its life
}

// leaves notes that a member said goodbye, before or after memberlist takes it for dead. untold: it is gone, and nobody was told yet.
func (b *inbox) leaves(p tombstone.Peer, now clock.Stamp) (n memberlist.Node, untold bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m, missing := b.missing[p]; missing {
		n, untold = m.node, !m.told
	}
	b.giveUp(p)
	if m := b.living[p]; m != nil {
		m.leaves = true
	} else if g := b.gone[p]; g != nil {
		g.state = StateLeft
	}
	b.tidy(now)
	return n, untold
}

// forceLeave takes a member that is gone off the list, or keeps one off that this node will only see go.
func (b *inbox) forceLeave(p tombstone.Peer, now clock.Stamp) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.living[p] != nil {
		b.living[p].forcedOut = true
	}
	b.giveUp(p)
	delete(b.gone, p)
	b.tidy(now)
}

// bury moves a member from the living to those that are gone.
func (b *inbox) bury(p tombstone.Peer, now clock.Stamp) State {
	m := b.living[p]
	if m == nil {
		return StateLeft
	}
	delete(b.living, p)
	state := StateFailed
	if m.leaves || m.meta.Phase == PhaseStopping {
		state = StateLeft
	}
	if !m.forcedOut && p != b.self {
		if b.gone == nil {
			b.gone = map[tombstone.Peer]*gone{}
		}
		b.gone[p] = &gone{addr: m.node.Address(), meta: m.meta, state: state, since: now, seen: m.since}
	}
	b.tidy(now)
	return state
}

// tidy ends the memory of members that are gone: in time, by number, and when the name lives again.
func (b *inbox) tidy(now clock.Stamp) {
	alive := map[string]bool{}
	for p := range b.living {
		alive[p.Name] = true
	}
	for p, g := range b.gone {
		keep := failedFor
		if g.state == StateLeft {
			keep = leftFor
		}
		if alive[p.Name] || now.Sub(g.since) > keep {
			delete(b.gone, p)
		}
	}
	for len(b.gone) > maxGone {
		var eldest tombstone.Peer
		for p, g := range b.gone {
			if e := b.gone[eldest]; e == nil || g.since.Before(e.since) {
				eldest = p
			}
		}
		delete(b.gone, eldest)
	}
}

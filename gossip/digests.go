package gossip

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const (
	digestTick  = 100 * time.Millisecond
	maxDigestIn = 1024 // messages that wait for the loop; what is dropped is repeated
)

// Holdings is what a node tells of itself in digests. Its methods must not call the Gossip.
type Holdings interface {
	digest.Source
	// Own is what the node holds; changed is false when that is what Own said the last time.
	Own() (own digest.Own, changed bool)
	// Standing is where the node stands.
	Standing() digest.Standing
}

// digests is the part of a member that compares nodes. It has a lock, a queue and a goroutine of its own, so that no
// tombstone ever waits for it.
type digests struct {
	g      *Gossip
	from   Holdings
	in     chan digestEvent
	mu     sync.Mutex // guards the following fields
	ledger *digest.Ledger
	asking map[uint64]chan digest.Answer
	bytes  uint64                   // sent, as handed to memberlist
	made   map[string]digest.Secret // by the gossip key

	comings struct { // and goings of members; like the exchange's they are never dropped
		mu     sync.Mutex // guards the following field; may be taken while the other is held
		events []digestEvent
	}
}

// digestEvent is something that happened, to be run through the ledger.
type digestEvent func(now clock.Stamp) []digest.Packet

func newDigests(g *Gossip, from Holdings) *digests {
	d := &digests{
		g: g, from: from, in: make(chan digestEvent, maxDigestIn),
		asking: map[uint64]chan digest.Answer{}, made: map[string]digest.Secret{},
	}
	d.ledger = digest.New(digest.Config{Self: g.self, Random: random64, Source: from, Open: g.keys == nil, Secrets: d.secrets}, g.started)
	return d
}

// secrets are those of the gossip keys, the one for sending first. d.mu is held.
func (d *digests) secrets() (all []digest.Secret) {
	if d.g.keys == nil {
		return nil
	}
	for _, key := range d.g.keys.GetKeys() {
		secret, known := d.made[string(key)]
		if !known {
			if len(d.made) >= maxKeys {
				clear(d.made)
			}
			secret = digestSecret(key)
			d.made[string(key)] = secret
		}
		all = append(all, secret)
	}
	return all
}

// message queues a message of another member.
func (d *digests) message(b []byte) {
	msg, err := decodeDigest(b) // copies what it keeps
	if err != nil {
		d.g.refused(err)
		return
	}
	d.event(func(now clock.Stamp) []digest.Packet {
		out, answers := d.ledger.Receive(msg, now)
		for _, a := range answers {
			if to := d.asking[a.Nonce]; to != nil {
				delete(d.asking, a.Nonce)
				to <- a // has room
			}
		}
		return out
	})
}

func (d *digests) event(e digestEvent) {
	select {
	case d.in <- e:
	default:
		d.g.counts.inboxFull.Add(1)
	}
}

// memberUp queues that a member came. A node that compares nothing (nil) queues nothing.
func (d *digests) memberUp(p tombstone.Peer) {
	d.queue(func(now clock.Stamp) []digest.Packet { return d.ledger.MemberUp(p, now) })
}

// memberLeft queues that a member is gone. One that is missing is gone at once: what it held may not be true any more.
func (d *digests) memberLeft(p tombstone.Peer) {
	d.queue(func(clock.Stamp) []digest.Packet {
		d.ledger.MemberLeft(p)
		return nil
	})
}

func (d *digests) queue(e digestEvent) {
	if d == nil {
		return
	}
	d.comings.mu.Lock()
	defer d.comings.mu.Unlock()
	d.comings.events = append(d.comings.events, e)
}

// members tells the ledger who came and went.
func (d *digests) members(now clock.Stamp) (out []digest.Packet) {
	d.comings.mu.Lock()
	events := d.comings.events
	d.comings.events = nil
	d.comings.mu.Unlock()
	for _, e := range events {
		out = append(out, e(now)...)
	}
	return out
}

func (d *digests) loop(ctx context.Context) {
	ticker := time.NewTicker(digestTick)
	defer ticker.Stop()
	d.step(d.tick)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-d.in:
			d.step(e)
		case <-ticker.C:
			d.step(d.tick)
		}
	}
}

func (d *digests) tick(now clock.Stamp) []digest.Packet {
	out := d.members(now)
	d.ledger.SetStanding(d.from.Standing(), now)
	if own, changed := d.from.Own(); changed {
		d.ledger.SetOwn(own, now)
	}
	return append(out, d.ledger.Tick(now)...)
}

// step runs one event and sends what comes of it.
func (d *digests) step(e digestEvent) {
	d.mu.Lock()
	out := e(d.g.cfg.Clock())
	d.mu.Unlock()
	for i := range out {
		d.send(&out[i])
	}
}

func (d *digests) send(p *digest.Packet) {
	g := d.g
	b, err := encodeDigest(p.Msg)
	if limit := map[bool]int{false: digest.MaxMessage, true: digest.MaxStream}[p.Stream]; err == nil && len(b) > limit {
		err = fmt.Errorf("%T of %d bytes, want at most %d", p.Msg, len(b), limit)
	}
	if err != nil {
		g.counts.unsendable.Add(1)
		g.cfg.Logger.Error("digest not sent", "err", err)
		return
	}
	to, ok := g.inbox.node(p.To)
	if !ok {
		return
	}
	d.mu.Lock()
	d.bytes += uint64(len(b))
	d.mu.Unlock()
	if p.Stream {
		g.sendStream(&to, b)
	} else if err := g.list.SendBestEffort(&to, b); err != nil {
		g.counts.sendFailed.Add(1)
	}
}

// Digests is what is known of what the other members hold; on is false when this node compares nothing.
func (g *Gossip) Digests() (v digest.View, on bool) {
	if g.digests == nil {
		return v, false
	}
	g.digests.mu.Lock()
	defer g.digests.mu.Unlock()
	return g.digests.ledger.View(g.cfg.Clock()), true
}

// Unheard is for how long each member has said nothing: see digest.Ledger.Unheard. A node that compares nothing cannot tell.
func (g *Gossip) Unheard() map[tombstone.Peer]time.Duration {
	if g.digests == nil {
		return nil
	}
	g.digests.mu.Lock()
	defer g.digests.mu.Unlock()
	return g.digests.ledger.Unheard(g.cfg.Clock())
}

// Wish says that this node is to be stopped: see digest.Ledger.Wish. A node that compares nothing cannot.
func (g *Gossip) Wish() {
	if g.digests != nil {
		g.digests.mu.Lock()
		defer g.digests.mu.Unlock()
		g.digests.ledger.Wish(g.cfg.Clock())
	}
}

// Turn says whether this node may be stopped before all others that are to be: see digest.Ledger.Turn.
func (g *Gossip) Turn() (may bool, before []string) {
	if g.digests == nil {
		return true, nil
	}
	g.digests.mu.Lock()
	defer g.digests.mu.Unlock()
	return g.digests.ledger.Turn(g.cfg.Clock())
}

// Catchup is what this node lacks of what others hold, as of now.
func (g *Gossip) Catchup() (c digest.Catchup) {
	d := g.digests
	d.step(func(now clock.Stamp) []digest.Packet {
		out := d.members(now) // one that has just joined must be waited for
		c = d.ledger.Catchup(now)
		return out
	})
	return c
}

// DigestCounts are the ledger's counts and the bytes sent.
func (g *Gossip) DigestCounts() (c digest.Counters, bytes uint64) {
	if g.digests == nil {
		return c, 0
	}
	g.digests.mu.Lock()
	defer g.digests.mu.Unlock()
	return g.digests.ledger.Counters(), g.digests.bytes
}

// AskDigest compares a subject with a member and waits for its answer.
func (g *Gossip) AskDigest(ctx context.Context, p tombstone.Peer, subject digest.Subject, name string) (digest.Answer, error) {
	d := g.digests
	if d == nil {
		return digest.Answer{}, fmt.Errorf("%s compares nothing", g.self.Name)
	}
	answer := make(chan digest.Answer, 1)
	var nonce uint64
	var ok bool
	d.step(func(now clock.Stamp) (out []digest.Packet) {
		if nonce, out, ok = d.ledger.Ask(p, subject, name, now); ok {
			d.asking[nonce] = answer
		}
		return out
	})
	if !ok {
		return digest.Answer{}, fmt.Errorf("%s cannot be asked now: it is gone, or too many questions are under way", p.Name)
	}
	defer func() {
		d.mu.Lock()
		delete(d.asking, nonce)
		d.mu.Unlock()
	}()
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return digest.Answer{}, fmt.Errorf("%s does not answer: %w", p.Name, ctx.Err())
	}
}

package gossip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// delegate is what memberlist calls. No method blocks or keeps a buffer.
type delegate struct{ g *Gossip }

var (
	_ memberlist.Delegate      = delegate{}
	_ memberlist.EventDelegate = delegate{}
	_ memberlist.PingDelegate  = delegate{}
	_ memberlist.AliveDelegate = delegate{}
)

// memberName is a peer's name in memberlist.
func memberName(p tombstone.Peer) string {
	return fmt.Sprintf("%s%s%016x", p.Name, nameSeparator, p.Boot)
}

// peerOf reads a memberlist name.
func peerOf(name string) (tombstone.Peer, bool) {
	i := strings.LastIndex(name, nameSeparator)
	if i <= 0 || len(name)-i-1 != 16 {
		return tombstone.Peer{}, false
	}
	boot, err := strconv.ParseUint(name[i+1:], 16, 64)
	return tombstone.Peer{Name: name[:i], Boot: boot}, err == nil
}

// speaks is the version of memberlist's protocol that every release of this program speaks, and none has one of its own above it.
const speaks = memberlist.ProtocolVersion2Compatible

// NotifyAlive refuses a member that cannot speak what the others speak. memberlist would take it, and from then on end every exchange of
// whole states between all others, for they are not of one version together.
func (delegate) NotifyAlive(n *memberlist.Node) error {
	if n.PCur != speaks || n.PMin > speaks || n.PMax < speaks || n.DCur != 0 || n.DMin > 0 {
		return fmt.Errorf("it speaks version %d (%d to %d) and %d (%d to %d), and this cluster %d and 0", n.PCur, n.PMin, n.PMax, n.DCur, n.DMin, n.DMax, speaks)
	}
	return nil
}

// NodeMeta is what this node says of itself.
func (d delegate) NodeMeta(int) []byte { return encodeMeta(d.g.said()) }

// NotifyMsg takes a message of another member, by packet, stream or gossip.
func (d delegate) NotifyMsg(b []byte) {
	g := d.g
	if len(b) > 0 && b[0] == typeFarewell {
		d.farewell(b)
		return
	}
	if g.digests != nil && isDigest(b) {
		g.digests.message(b)
		return
	}
	if g.cfg.OnVanish != nil && isVanish(b) {
		d.vanished(b)
		return
	}
	msg, err := Decode(b) // copies what it keeps
	if err != nil {
		g.refused(err)
		return
	}
	if !g.inbox.message(func(now clock.Stamp) tombstone.Output { return g.exchange.Receive(msg, now) }) {
		g.counts.inboxFull.Add(1)
		return
	}
	g.kick()
}

// GetBroadcasts fills packets with queued hints; there are some above 128 members only.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.g.queue.GetBroadcasts(overhead, limit)
}

// LocalState is the ids of this node's own live tombstones, newest first.
func (d delegate) LocalState(bool) []byte {
	g := d.g
	g.mu.Lock()
	ids := g.exchange.LocalIDs(tombstone.MaxMerge, g.cfg.Clock())
	g.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	b, err := EncodeState(tombstone.Hint{From: g.self, IDs: ids})
	if err != nil {
		g.counts.unsendable.Add(1)
		return nil
	}
	return b
}

// MergeRemoteState takes another member's ids as hints.
func (d delegate) MergeRemoteState(b []byte, _ bool) {
	g := d.g
	if len(b) == 0 {
		return
	}
	hint, err := DecodeState(bytes.Clone(b))
	if err != nil {
		g.refused(err)
		return
	}
	if !g.inbox.message(func(now clock.Stamp) tombstone.Output { return g.exchange.Merge(hint, now) }) {
		g.counts.inboxFull.Add(1)
		return
	}
	g.kick()
}

// NotifyJoin and NotifyUpdate say that a member lives, and where.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.alive(n) }

// NotifyUpdate is NotifyJoin for a member that is known.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.alive(n) }

func (d delegate) alive(n *memberlist.Node) {
	g := d.g
	p, ok := peerOf(n.Name)
	if !ok {
		g.refused(fmt.Errorf("%w: member name %q", errFormat, n.Name))
		return
	}
	meta, err := decodeMeta(n.Meta) // copies what it keeps
	if err != nil {
		g.refused(err) // a member all the same
	}
	seen := g.inbox.seen(p)
	first := g.inbox.up(p, n, meta, g.cfg.Clock(), func(now clock.Stamp) tombstone.Output { return g.exchange.MemberUp(p, now) })
	if p != g.self && first {
		g.company()
		g.digests.memberUp(p)
		g.cfg.Logger.Info("member joined", "member", p.Name, "boot", bootText(p), "addr", n.Address(), "release", meta.Release)
		if !seen {
			g.tellMerged(p, n.Address(), &meta)
		}
	}
	g.kick()
}

// bootText is the boot number as /v1 and commands show it.
func bootText(p tombstone.Peer) string { return fmt.Sprintf("%016x", p.Boot) }

// longAlone is for how long two nodes must have run without each other to be of two clusters that became one.
const longAlone = time.Minute

// tellMerged tells of a member that this node never saw, although both have run for long: two clusters of one name and key have
// become one. A member that comes back is known, and one that started of late is young.
func (g *Gossip) tellMerged(p tombstone.Peer, addr string, meta *Meta) {
	if meta.Age < longAlone || g.cfg.Clock().Elapsed(g.started) < longAlone {
		return
	}
	g.cfg.Logger.Warn("two clusters have become one: this member has run for long without this node; departures are told to all from "+
		"now on. If that is not meant, give one of the two another --cluster and another key", "member", p.Name, "boot", bootText(p), "addr", addr, "age", meta.Age)
}

// NotifyLeave says that a member left or is taken for dead. That says nothing about any broker.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	g := d.g
	p, ok := peerOf(n.Name)
	if !ok {
		return
	}
	state := g.inbox.down(p, g.cfg.Clock(), func(now clock.Stamp) tombstone.Output {
		g.exchange.MemberLeft(p, now)
		return tombstone.Output{}
	})
	g.digests.memberLeft(p)
	g.company()
	if p != g.self && state == StateLeft { // else its goodbye may be on its way
		g.tellLeft(n)
	}
	g.kick()
}

func (g *Gossip) tellLeft(n *memberlist.Node) {
	p, release := whoIs(n)
	g.cfg.Logger.Info("member left", "member", p.Name, "boot", bootText(p), "addr", n.Address(), "release", release)
}

func (g *Gossip) tellLost(n *memberlist.Node) {
	g.counts.membersLost.Add(1)
	p, release := whoIs(n)
	g.cfg.Logger.Warn("member lost: it stopped answering without saying that it leaves",
		"member", p.Name, "boot", bootText(p), "addr", n.Address(), "release", release)
}

// whoIs reads what was refused when it joined, if it cannot be read.
func whoIs(n *memberlist.Node) (p tombstone.Peer, release string) {
	p, _ = peerOf(n.Name)
	meta, _ := decodeMeta(n.Meta)
	return p, meta.Release
}

// An ack carries the answering member's clocks: version, raw, boot.
const ackLen = 1 + 8 + 8

// AckPayload is read as late as possible: the receiver takes it for a time before the ack arrived.
func (d delegate) AckPayload() []byte {
	now := d.g.cfg.Clock()
	b := make([]byte, ackLen)
	b[0] = wireVersion
	binary.BigEndian.PutUint64(b[1:], uint64(now.Raw))
	binary.BigEndian.PutUint64(b[9:], uint64(now.Boot))
	return b
}

// NotifyPingComplete hands the other's clock to the exchange, with the time at which the ack was there.
func (d delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	g := d.g
	p, ok := peerOf(n.Name)
	if !ok {
		return
	}
	g.inbox.answered(p, rtt)
	if len(payload) != ackLen || payload[0] != wireVersion {
		return // a member of another version
	}
	arrived := g.cfg.Clock()
	reading := clock.Stamp{
		Raw: int64(binary.BigEndian.Uint64(payload[1:])), Boot: int64(binary.BigEndian.Uint64(payload[9:])),
	}
	if !g.inbox.message(func(clock.Stamp) tombstone.Output {
		g.exchange.ProbeAck(p, reading, arrived)
		return tombstone.Output{}
	}) {
		g.counts.inboxFull.Add(1)
	}
	g.kick()
}

// broadcast is one hint in memberlist's queue. A newer revision of the same tombstone replaces the older one.
type broadcast struct {
	name string
	msg  []byte
}

var _ memberlist.NamedBroadcast = (*broadcast)(nil)

func broadcastName(id tombstone.ID) string {
	return fmt.Sprintf("%s/%x/%d", id.Origin.Name, id.Origin.Boot, id.Seq)
}

func (b *broadcast) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(*broadcast)
	return ok && o.name == b.name
}
func (b *broadcast) Name() string    { return b.name }
func (b *broadcast) Message() []byte { return b.msg }
func (b *broadcast) Finished()       {}

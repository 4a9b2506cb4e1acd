package gossip

// MetricLabel is the label that memberlist puts on every series, so that those of several members in one process can
// be told apart. Its value is MemberName.
const MetricLabel = "member"

// Counts are the counts of the shell since New.
type Counts struct {
	RefusedKey, RefusedLabel                                uint64 // dropped by memberlist: not of this cluster, or damaged
	RefusedSize, RefusedVersion, RefusedType, RefusedFormat uint64 // messages not understood, by reason
	InboxFull                                               uint64 // messages dropped because the loop is behind
	Unsendable, SendFailed, StreamsDropped                  uint64 // messages not sent
	ClosedSilent, ClosedNoRoom, ClosedTooMuch               uint64 // streams of others closed before they were read
	Sent, SentBytes                                         uint64 // messages handed to memberlist, without its envelope
	MembersLost                                             uint64 // times that a member stopped answering without saying that it leaves
	Rejoins, RejoinsFailed                                  uint64 // seeds tried
	KeysRefused                                             uint64 // key files that could not be used when read again
	Namesake                                                bool   // now: another living member has this node's name
}

// Counts answers the shell's counts; Counters answers the exchange's.
func (g *Gossip) Counts() Counts {
	c := &g.counts
	return Counts{
		RefusedKey: c.refusedKey.Load(), RefusedLabel: c.refusedLabel.Load(),
		RefusedSize: c.refusedSize.Load(), RefusedVersion: c.refusedVersion.Load(),
		RefusedType: c.refusedType.Load(), RefusedFormat: c.refusedFormat.Load(),
		InboxFull: c.inboxFull.Load(), Unsendable: c.unsendable.Load(), SendFailed: c.sendFailed.Load(),
		ClosedSilent: c.closedSilent.Load(), ClosedNoRoom: c.closedNoRoom.Load(), ClosedTooMuch: c.closedTooMuch.Load(),
		StreamsDropped: c.streamsDropped.Load(), Sent: c.sent.Load(), SentBytes: c.sentBytes.Load(),
		MembersLost: c.membersLost.Load(), Rejoins: c.rejoins.Load(), RejoinsFailed: c.rejoinsFailed.Load(),
		KeysRefused: c.keysRefused.Load(), Namesake: c.namesake.Load(),
	}
}

// MemberName is what memberlist knows this node by: its name and its boot number.
func (g *Gossip) MemberName() string { return memberName(g.self) }

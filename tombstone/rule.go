package tombstone

import "github.com/epitaph-mq/epitaph/clock"

// Decide is the whole rule (docs/spec/tombstones.md#the-rule). A registration is evicted if and only if
//
//	E.FirstByte < lo(L)  and  E.LastRegister < lo(U)
//
// and broker name, broker id and source address agree. The first comparison says that E's connection was in use
// while the departing process was provably alive, so it is not a successor's; the second that, within one process,
// the registration came before the unregistration. Ages arrive stretched by the origin's drift, elapsed times are
// shrunk by ours, so a comparison can only err towards keeping.
func Decide(e Entry, who Identity, b Bounds, now clock.Stamp) Verdict {
	v := Verdict{Age: b.Unregistered + now.Age(b.Asked), Conn: e.Conn}
	v.RegisterMargin = b.Asked.Elapsed(e.LastRegister) - b.Unregistered
	if b.HasLife {
		v.LifeMargin = b.Asked.Elapsed(e.FirstByte) - b.Life
	}
	switch {
	case e.Name != who.Name:
		v.Outcome = KeptName
	case e.BrokerID != who.BrokerID:
		v.Outcome = KeptID
	case e.RemoteIP.Unmap() != who.RemoteIP.Unmap():
		v.Outcome = KeptRemoteIP
	case e.FirstByte.IsZero():
		v.Outcome = KeptNoOwner
	case v.RegisterMargin <= 0: // before the proof of life, which no successor passes
		v.Outcome = CameBack
	case !b.HasLife:
		v.Outcome = KeptNoLife
	case v.LifeMargin <= 0:
		v.Outcome = KeptYoungerConn
	default:
		v.Outcome = Evicted
	}
	return v
}

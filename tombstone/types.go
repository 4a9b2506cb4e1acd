package tombstone

import (
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/peer"
)

// Key names a registration as the live table does: (cluster, address).
type Key struct {
	Cluster string
	Addr    string
}

// Identity is what a tombstone and a registration must agree on beside the key.
type Identity struct {
	Name     string     // broker name
	BrokerID int64      // broker id the registration was made under
	RemoteIP netip.Addr // unmapped source address of the connection
}

// Departure is what the routing tables report when they have handled an UNREGISTER on the owning connection: the raw
// material of a tombstone. It carries stamps of this node's clocks only.
type Departure struct {
	Key
	Identity
	Unregistered clock.Stamp // U: when the UNREGISTER's first byte was there
	Life         clock.Stamp // L: newest acknowledged write before U; zero when there is none
	LateProof    bool        // the broker unregisters before it gives up its port: the acknowledged reply may raise L
	Conn         uint64      // accept sequence number of the owning connection
	Since        clock.Stamp // when the broker registered first; zero: not known
}

// Peer is one life of one member.
type Peer = peer.Peer

// ID names a tombstone among all nodes. Everything but Revision is fixed when the tombstone is made.
type ID struct {
	Key
	Identity
	Origin   Peer   // who handled the UNREGISTER; the only one that answers pulls
	Seq      uint64 // counts the origin's tombstones from 1
	Revision uint8  // 0 as made, 1 with late proof
}

// Entry is what the routing tables know about the claim on a registration that a tombstone may take away: what its source said.
type Entry struct {
	Identity
	FirstByte    clock.Stamp // first application byte of the owning connection; zero when no connection can be judged
	LastRegister clock.Stamp // after the newest REGISTER was handled, stamped inside the table's lock
	Conn         uint64      // accept sequence number of the owning connection
}

// Bounds is a proof in the clock of the node that decides: the origin stamped L and U at least these ages before
// Asked, so lo(L) = Asked - Life and lo(U) = Asked - Unregistered.
type Bounds struct {
	Asked        clock.Stamp   // t0: when this node sent the very question that was answered
	Life         time.Duration // age of L, an upper bound by the origin's clocks; without meaning unless HasLife
	HasLife      bool          // the origin has a proof of life
	Unregistered time.Duration // age of U, an upper bound by the origin's clocks
}

// Outcome is what a node did with a tombstone.
type Outcome uint8

// Outcomes. Their numbers are those of the messages. Only Evicted and KeptOtherClaim change the tables.
const (
	NotHeld         Outcome = iota // no registration of that (cluster, address) here
	Evicted                        // removed by the rule
	KeptName                       // held under another broker name
	KeptID                         // held under another broker id
	KeptRemoteIP                   // held from another source address
	KeptNoLife                     // the origin has no proof of life (yet)
	KeptYoungerConn                // first byte of its connection is not before lo(L)
	CameBack                       // last REGISTER is not before lo(U): it is registered here, whatever left
	KeptNoOwner                    // the registration has no connection that could be judged
	KeptLostTime                   // the origin lost time (frozen): its ages cannot be believed
	KeptHolding                    // this node evicts nothing by tombstone for the moment (three refuted evictions)
	Unknown                        // the origin does not know the tombstone (any more)
	SawItself                      // that member handled the UNREGISTER itself
	KeptOtherClaim                 // the claim of its source was taken away, but another source registers it
	outcomes                       // how many there are
)

// outcomeTexts are the outcomes' names for programs, which never change (labels of metrics, values of /v1), and their words
// for people.
var outcomeTexts = [outcomes]struct{ name, words string }{
	NotHeld:         {"not_held", "not held"},
	Evicted:         {"evicted", "evicted"},
	KeptName:        {"kept_other_name", "kept: other broker name"},
	KeptID:          {"kept_other_id", "kept: other broker id"},
	KeptRemoteIP:    {"kept_other_source", "kept: other source address"},
	KeptNoLife:      {"kept_no_proof_of_life", "kept: no proof of life"},
	KeptYoungerConn: {"kept_younger_connection", "kept: connection younger than the proof of life"},
	CameBack:        {"came_back", "came back: registered after the departure"},
	KeptNoOwner:     {"kept_no_connection", "kept: no connection to judge"},
	KeptLostTime:    {"kept_origin_lost_time", "kept: the origin lost time"},
	KeptHolding:     {"kept_on_hold", "kept: evictions are on hold"},
	Unknown:         {"unknown_at_origin", "unknown at its origin"},
	SawItself:       {"saw_itself", "saw it itself"},
	KeptOtherClaim:  {"kept_other_claim", "kept: another source registers it"},
}

// Kept says that a registration stayed that the departure may have been about.
func (o Outcome) Kept() bool {
	switch o {
	case NotHeld, Evicted, CameBack, Unknown, SawItself:
		return false
	}
	return true
}

// String is the outcome in the words of an operator.
func (o Outcome) String() string {
	if o < outcomes {
		return outcomeTexts[o].words
	}
	return "outcome of a later version"
}

// Name is the outcome for programs.
func (o Outcome) Name() string {
	if o < outcomes {
		return outcomeTexts[o].name
	}
	return "other"
}

// Plain is the nearest outcome that members of every version know: they refuse a message that has another.
func (o Outcome) Plain() Outcome {
	if o == KeptOtherClaim {
		return KeptRemoteIP
	}
	return o
}

// Verdict is an Outcome with the figures of both comparisons, for the log, the metrics and the report to the
// origin. Margins are negative or zero when the comparison kept the registration, and zero when it was not reached.
type Verdict struct {
	Outcome        Outcome
	LifeMargin     time.Duration // lo(L) - E.FirstByte
	RegisterMargin time.Duration // lo(U) - E.LastRegister
	Age            time.Duration // age of U at the decision, an upper bound
	Conn           uint64        // the connection that owned the registration which was judged; 0 when not held
}

// Took says that the tables took away what was judged: the registration, or one source's claim on it.
func (v *Verdict) Took() bool { return v.Outcome == Evicted || v.Outcome == KeptOtherClaim }

// Tables is what an Exchange asks of the routing tables. An implementation may lock, but must not call the Exchange: the
// caller of the Exchange holds its lock.
type Tables interface {
	// Holds says whether a registration of k exists.
	Holds(k Key) bool
	// Judge runs Decide on the registration of id.Key and evicts it when Decide says so, both under the one lock that every
	// REGISTER takes too. The tables read their own clock inside that lock, so that no REGISTER can come between the stamp
	// and the decision. The verdict is NotHeld when there is no registration, and KeptOtherClaim when Decide says so but another
	// source goes on registering it: then only the claim of id's source is gone.
	//
	// An eviction does to the tables what a local UNREGISTER does. What it demands outside of them (frames, log lines) is
	// effects, whose type the tables and the shell share; the Exchange hands it out with the decision that caused it.
	Judge(id ID, b Bounds) (v Verdict, effects any)
}

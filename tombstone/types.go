// Package tombstone decides, without sockets, goroutines or a clock of its own, who may be evicted because
// another node says that a broker has left. See docs/gossip.md for the messages and docs/guarantees.md for the
// rule and what it promises.
package tombstone

import (
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
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

// Departure is what the routing tables report when an UNREGISTER was handled on the owning connection:
// the raw material of a tombstone (section 4, first row). It carries stamps of this node's clocks only.
type Departure struct {
	Key
	Identity
	Unregistered clock.Stamp // U: when the UNREGISTER's first byte was there
	Life         clock.Stamp // L: newest acknowledged write before U; zero when there is none
	LateProof    bool        // version >= V5_0_0 and language JAVA: L may be raised by the acknowledged reply
	Conn         uint64      // accept sequence number of the owning connection
}

// Bounds are lower bounds, in the clock of the node that decides, of when the origin stamped L and U:
// lo(x) = t0 - age(x). HasLife is false when the origin has no proof of life.
type Bounds struct {
	Life         clock.Stamp
	HasLife      bool
	Unregistered clock.Stamp
}

// Outcome is what a node did with a tombstone.
type Outcome uint8

// Outcomes, in the order of the checks. Every one but Evicted leaves the tables untouched.
const (
	NotHeld           Outcome = iota // no registration of that (cluster, address) here
	Evicted                          // removed by the rule
	KeptName                         // held under another broker name
	KeptID                           // held under another broker id
	KeptRemoteIP                     // held from another source address
	KeptNoLife                       // the origin has no proof of life (yet)
	KeptYoungerConn                  // first byte of its connection is not before lo(L)
	KeptNewerRegister                // last REGISTER is not before lo(U)
	KeptNoOwner                      // the registration has no connection that could be judged
	KeptLostTime                     // the origin lost time (frozen): its ages cannot be believed
	KeptHolding                      // this node evicts nothing by tombstone for the moment (three refuted evictions)
	Unknown                          // the origin does not know the tombstone (any more)
)

// Verdict is an Outcome with the figures of both comparisons, for the log, the metrics and the report to the
// origin. Margins are negative or zero when the comparison kept the registration.
type Verdict struct {
	Outcome        Outcome
	LifeMargin     time.Duration // lo(L) - E.firstByte
	RegisterMargin time.Duration // lo(U) - E.lastRegister
	Age            time.Duration // age of U at the decision, an upper bound
}

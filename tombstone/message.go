package tombstone

import (
	"errors"
	"fmt"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Message is one of Hint, Pull, Proof and Done (docs/spec/tombstones.md#messages). memberlist hands messages over without a
// source, so each carries its sender. A node sends an answer only to the address that memberlist lists for that name.
type Message interface {
	// Sender is the member that the message names as its sender.
	Sender() Peer
	// Valid says what is wrong with a decoded message, and names the field; nil when nothing is wrong.
	Valid() error
}

// Hint tells a member that brokers left. It proves nothing: the receiver asks the origin.
type Hint struct {
	From   Peer
	Stream bool // the sender sent this copy by stream, so UDP may be blocked: the receiver answers by stream as well
	IDs    []ID // 1 to maxBatch; in push/pull state (Merge) up to MaxMerge bytes
}

// Pull asks an origin for proof of its tombstones. Every try has a fresh nonce.
type Pull struct {
	From   Peer
	Stream bool // as in Hint
	Nonce  uint64
	IDs    []ID // 1 to maxBatch; the receiver made all of them
}

// Proof is the origin's answer to a Pull, in the order of its ids. The origin computes the ages when it sends.
type Proof struct {
	From    Peer
	Clock   clock.Stamp // the sender's clocks at the moment of sending
	Nonce   uint64
	Answers []Answer
}

// Answer is what the origin says about one tombstone.
type Answer struct {
	Seq          uint64
	Known        bool // false: this process never made it, or it expired, or was dropped; the ages mean nothing
	Revision     uint8
	HasLife      bool
	Life         time.Duration // age of L, an upper bound, in whole microseconds
	Unregistered time.Duration // age of U, an upper bound, in whole microseconds
}

// Done tells an origin what the sender did with its tombstones.
type Done struct {
	From    Peer
	Boot    uint64   // of the origin: sequence numbers of another life mean nothing
	Reports []Report // 1 to maxReports
}

// Report is the outcome of one tombstone at one member.
type Report struct {
	Seq      uint64
	Revision uint8 // the revision that was decided on
	Outcome  Outcome
}

func (m Hint) Sender() Peer  { return m.From }
func (m Pull) Sender() Peer  { return m.From }
func (m Proof) Sender() Peer { return m.From }
func (m Done) Sender() Peer  { return m.From }

func (m Hint) Valid() error { return validIDs(m.From, m.IDs, maxBatch) }

func (m Pull) Valid() error {
	if err := validIDs(m.From, m.IDs, maxBatch); err != nil {
		return err
	}
	for _, id := range m.IDs {
		if id.Origin != m.IDs[0].Origin {
			return errors.New("ids of more than one origin in a pull")
		}
	}
	return nil
}

// maxAge is longer than any age of a live tombstone and short enough for every sum of two.
const maxAge = 100 * 365 * 24 * time.Hour

func (m Proof) Valid() error {
	if err := m.From.Valid(); err != nil {
		return err
	}
	if n := len(m.Answers); n == 0 || n > maxBatch {
		return fmt.Errorf("%d answers in a proof, want 1 to %d", n, maxBatch)
	}
	for _, a := range m.Answers {
		if a.Life < 0 || a.Unregistered < 0 || a.Life > maxAge || a.Unregistered > maxAge {
			return fmt.Errorf("ages %v and %v of answer %d: want 0 to %v", a.Life, a.Unregistered, a.Seq, maxAge)
		}
		if a.Revision > 1 {
			return fmt.Errorf("revision %d of answer %d, want 0 or 1", a.Revision, a.Seq)
		}
	}
	return nil
}

func (m Done) Valid() error {
	if err := m.From.Valid(); err != nil {
		return err
	}
	if n := len(m.Reports); n == 0 || n > maxReports {
		return fmt.Errorf("%d reports in a done, want 1 to %d", n, maxReports)
	}
	for _, r := range m.Reports {
		if r.Outcome >= outcomes || r.Revision > 1 {
			return fmt.Errorf("outcome %d, revision %d of report %d are unknown", r.Outcome, r.Revision, r.Seq)
		}
	}
	return nil
}

func validIDs(from Peer, ids []ID, limit int) error {
	if err := from.Valid(); err != nil {
		return err
	}
	if n := len(ids); n == 0 || n > limit {
		return fmt.Errorf("%d ids, want 1 to %d", n, limit)
	}
	size := 0
	for _, id := range ids {
		if err := id.valid(); err != nil {
			return err
		}
		size += id.Size()
	}
	if limit == maxBatch && size > maxID {
		return fmt.Errorf("ids of %d bytes, want at most %d", size, maxID)
	}
	return nil
}

func (id ID) valid() error {
	switch {
	case id.Size() > maxID:
		return fmt.Errorf("id of %d bytes, want at most %d", id.Size(), maxID)
	case id.Origin.Valid() != nil:
		return fmt.Errorf("id without origin: %w", id.Origin.Valid())
	case id.Seq == 0:
		return errors.New("id with sequence number 0")
	case id.Revision > 1:
		return fmt.Errorf("revision %d of id %d, want 0 or 1", id.Revision, id.Seq)
	case !id.RemoteIP.IsValid() || id.RemoteIP.Is4In6():
		return fmt.Errorf("source address %q of id %d: want an unmapped IP address", id.RemoteIP, id.Seq)
	}
	return nil
}

// Size is an upper bound of the id's encoded bytes in MessagePack: 3 for a string's head, 9 for a number.
func (id ID) Size() int {
	const heads = 6*3 + 4*9 + 4 // cluster, addr, name, ip, zone, origin; broker id, boot, seq, revision; arrays
	return heads + len(id.Cluster) + len(id.Addr) + len(id.Name) + len(id.Origin.Name) + 16 + len(id.RemoteIP.Zone())
}

// anyRevision is the id as it was first made, without a late proof: it stays the same when the revision changes.
func (id ID) anyRevision() ID {
	id.Revision = 0
	return id
}

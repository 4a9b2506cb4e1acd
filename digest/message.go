package digest

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// Peer is one life of one member.
type Peer = tombstone.Peer

// Limits of messages.
const (
	MaxMessage = tombstone.MaxMessage // bytes of a packet
	MaxStream  = 32 << 10             // bytes of a message by stream
	maxParts   = 32                   // of one answer
)

// Subject is what items are about.
type Subject uint8

// The subjects. All but Brokers are compared only when somebody asks.
const (
	Brokers Subject = iota
	Topics          // of the broker name that is given
	KV
	Options
	subjects
)

// Standing is where a node stands with clients and with its peers.
type Standing struct {
	Ready   bool // clients may be sent there
	Waiting bool // it has (re)started and waits for brokers: for those that others hold, or to hear any
	Witness bool // it knows what there is: it held what other witnesses hold, or has heard one registration period
}

// Message is one of *Summary, *Compare and *Items.
type Message interface {
	Sender() Peer
	Valid() error
}

// Summary says what a node holds, in one figure.
type Summary struct {
	From Peer
	Age  time.Duration // of the node since its start
	Standing
	Former  bool   // of a release that does not say whether it is a witness: its age decides
	Count   uint32 // of items
	Skipped uint32 // that it holds but could not put into Root
	Secret  uint64 // the ID of the one that Root is made with
	Root    uint64
	Unkeyed uint64 // with a Secret: Root without one, for members of former releases; 0: there is none
	KV      uint64 // digest of the KV store
	Options uint64 // digest of the configuration
	Reply   bool   // the sender has not heard the receiver for some time and asks for a summary
	Turns   bool   // the sender's release knows the two that follow
	Wish    uint64 // of the sender to be stopped; 0: it has none
	Yields  uint64 // the receiver's wish, if the sender lets it go first; 0: it does not, or has not heard of one
}

// Compare asks for the items of buckets that differ.
type Compare struct {
	From    Peer
	Nonce   uint64
	Secret  uint64 // the ID of the one that Sums are made with, and the answer's Root
	Subject Subject
	Name    string   // of the broker, with Topics
	Stream  bool     // the answer must go by stream
	Mask    uint64   // the buckets asked about
	Sums    []uint64 // one for each bit of Mask, from the lowest
}

// Items is one part of an answer.
type Items struct {
	From        Peer
	Nonce       uint64 // of the Compare
	Equal       uint64 // the buckets asked about in which nothing differs
	Covered     uint64 // those that differ and stand in this answer, in all its parts, complete
	Skipped     uint64 // those that differ but are too large to be sent; what is in none of the three was left out
	Root        uint64 // of all that the sender has of the subject
	Part, Parts uint8
	Items       []Item
}

// Sender is the member that sent it.
func (m *Summary) Sender() Peer { return m.From }

// Sender is the member that sent it.
func (m *Compare) Sender() Peer { return m.From }

// Sender is the member that sent it.
func (m *Items) Sender() Peer { return m.From }

func validPeer(p Peer) error {
	if p.Name == "" || len(p.Name) > tombstone.MaxName {
		return fmt.Errorf("member name of %d bytes, want 1 to %d", len(p.Name), tombstone.MaxName)
	}
	return nil
}

// Valid says what in a message makes no sense.
func (m *Summary) Valid() error {
	if m.Age < 0 {
		return fmt.Errorf("age %v", m.Age)
	}
	return validPeer(m.From)
}

// Valid says what in a message makes no sense.
func (m *Compare) Valid() error {
	if m.Subject >= subjects || len(m.Name) > MaxSubject || (m.Subject == Topics) != (m.Name != "") {
		return fmt.Errorf("subject %d with a name of %d bytes", m.Subject, len(m.Name))
	}
	if bits.OnesCount64(m.Mask) != len(m.Sums) || m.Mask == 0 {
		return fmt.Errorf("%d sums for %d buckets", len(m.Sums), bits.OnesCount64(m.Mask))
	}
	return validPeer(m.From)
}

// Valid says what in a message makes no sense.
func (m *Items) Valid() error {
	if m.Parts == 0 || m.Parts > maxParts || m.Part >= m.Parts {
		return fmt.Errorf("part %d of %d", m.Part, m.Parts)
	}
	if m.Covered&m.Skipped|m.Equal&(m.Covered|m.Skipped) != 0 {
		return errors.New("a bucket that is answered in two ways")
	}
	for i := range m.Items {
		if m.Items[i].size() > MaxKey {
			return fmt.Errorf("item with a key of %d bytes", m.Items[i].size())
		}
	}
	return validPeer(m.From)
}

func (m *Compare) sums() (all Sums) {
	n := 0
	for b := range buckets {
		if m.Mask&(1<<b) != 0 {
			all[b] = m.Sums[n]
			n++
		}
	}
	return all
}

func pickSums(s *Sums, mask uint64) []uint64 {
	list := make([]uint64, 0, bits.OnesCount64(mask))
	for b := range buckets {
		if mask&(1<<b) != 0 {
			list = append(list, s[b])
		}
	}
	return list
}

// Packet is a message on its way out.
type Packet struct {
	To     Peer
	Msg    Message
	Stream bool
}

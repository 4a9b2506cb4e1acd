package vanish

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/peer"
)

// Limits of messages.
const (
	MaxMessage  = peer.MaxMessage
	MaxSubjects = 6   // of one message
	maxSubjects = 924 // bytes of all subjects of one message, by Subject.Size
	maxNodes    = math.MaxUint16
	maxAge      = 100 * 365 * 24 * time.Hour
)

// Never is the age of a sign of life that there was none of.
const Never time.Duration = -1

// Peer is one life of a member.
type Peer = peer.Peer

// Subject is what a judgement is about: one source's registration of a broker.
type Subject struct {
	Cluster, Addr, Name string
	BrokerID            int64
	Source              netip.Addr // unmapped
}

// compare puts subjects in order.
func (s Subject) compare(o Subject) int {
	return cmp.Or(cmp.Compare(s.Cluster, o.Cluster), cmp.Compare(s.Addr, o.Addr), cmp.Compare(s.Name, o.Name), cmp.Compare(s.BrokerID, o.BrokerID),
		s.Source.Compare(o.Source))
}

// Message is one of Query, View and Alive. memberlist hands messages over without a source, so each carries its sender; an
// answer goes only to the address that memberlist lists for that name.
type Message interface {
	// Sender is the member that the message names as its sender.
	Sender() Peer
	// Valid says what is wrong with a decoded message, and names the field; nil when nothing is wrong.
	Valid() error
}

// Sent is what became of a message that was to be sent.
type Sent uint8

// The outcomes.
const (
	NotSent  Sent = iota // that failed, or there is no such member
	HeldBack             // it was not tried, for too many streams are open
	Went
)

// Query asks a member what it knows of subjects, now. Every try has a fresh nonce.
type Query struct {
	From     Peer
	Stream   bool // this copy went by stream, so UDP may be blocked: the answer goes by stream as well
	Nonce    uint64
	Nodes    int       // how many nodes the sender takes the cluster to have, the dead ones counted
	Subjects []Subject // 1 to MaxSubjects
}

// View is the answer to a Query, in the order of its subjects.
type View struct {
	From    Peer
	Nonce   uint64
	Nodes   int
	Answers []Answer
}

// Answer is what a member knows of one subject at the moment of sending. Ages are lower bounds, in whole milliseconds: rounded towards young, which
// keeps.
type Answer struct {
	Holds    bool          // it holds that registration, or evicted it by this rule and its connection is open
	Silent   bool          // it says that the host is silent: its own evidence, and it may vote
	Silence  time.Duration // for how long it has listened in vain
	Life     time.Duration // age of the newest sign of life that it saw itself; Never: none
	PassedOn time.Duration // age of the newest one that another member told it first-hand; Never: none
	Why      uint8         // why it does not vote; 0: it votes, or nothing keeps it from it
}

// Alive tells signs of life that nobody asked for.
type Alive struct {
	From Peer
	News []News // 1 to MaxSubjects
}

// News is a subject's newest sign of life, seen by the sender itself.
type News struct {
	Subject
	Life time.Duration
}

func (m Query) Sender() Peer { return m.From }
func (m View) Sender() Peer  { return m.From }
func (m Alive) Sender() Peer { return m.From }

func (m Query) Valid() error {
	return errors.Join(m.From.Valid(), validNodes(m.Nodes), validSubjects(m.Subjects))
}

func (m View) Valid() error {
	if err := errors.Join(m.From.Valid(), validNodes(m.Nodes)); err != nil {
		return err
	}
	if n := len(m.Answers); n == 0 || n > MaxSubjects {
		return fmt.Errorf("%d answers in a view, want 1 to %d", n, MaxSubjects)
	}
	for i, a := range m.Answers {
		switch {
		case a.Silence < 0 || a.Silence > maxAge:
			return fmt.Errorf("silence %v of answer %d: want 0 to %v", a.Silence, i, maxAge)
		case a.Life < Never || a.Life > maxAge || a.PassedOn < Never || a.PassedOn > maxAge:
			return fmt.Errorf("lives %v and %v of answer %d: want none, or 0 to %v", a.Life, a.PassedOn, i, maxAge)
		case a.Silent && (!a.Holds || a.Why != 0):
			return fmt.Errorf("answer %d says silent of what its sender does not hold, or does not vote about (%d)", i, a.Why)
		}
	}
	return nil
}

func (m Alive) Valid() error {
	subjects := make([]Subject, len(m.News))
	for i, n := range m.News {
		if n.Life < 0 || n.Life > maxAge {
			return fmt.Errorf("life %v of news %d: want 0 to %v", n.Life, i, maxAge)
		}
		subjects[i] = n.Subject
	}
	return errors.Join(m.From.Valid(), validSubjects(subjects))
}

func validNodes(n int) error {
	if n < 1 || n > maxNodes {
		return fmt.Errorf("%d nodes, want 1 to %d", n, maxNodes)
	}
	return nil
}

func validSubjects(all []Subject) error {
	if n := len(all); n == 0 || n > MaxSubjects {
		return fmt.Errorf("%d subjects, want 1 to %d", n, MaxSubjects)
	}
	size := 0
	for i, s := range all {
		if !s.Source.IsValid() || s.Source.Is4In6() {
			return fmt.Errorf("source address %q of subject %d: want an unmapped IP address", s.Source, i)
		}
		size += s.Size()
	}
	if size > maxSubjects {
		return fmt.Errorf("subjects of %d bytes, want at most %d", size, maxSubjects)
	}
	return nil
}

// Size is an upper bound of the subject's encoded bytes in MessagePack: 3 for a string's head, 9 for a number, 1 for the array, and
// 9 for the age beside it in an Alive, and 1 for the array around both.
func (s Subject) Size() int {
	return 5*3 + 9 + 1 + 9 + 1 + len(s.Cluster) + len(s.Addr) + len(s.Name) + 16 + len(s.Source.Zone())
}

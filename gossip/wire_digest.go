package gossip

import (
	"fmt"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/mq"
)

// The messages of package digest. A node of a version that does not know them counts and drops them.
const (
	typeSummary = 'Y'
	typeCompare = 'C'
	typeItems   = 'I'
)

type wireSummary struct {
	_struct        bool `codec:",toarray"` //nolint:unused // read by the codec
	From           wirePeer
	Age            int64 // ms
	Flags          uint8
	Count, Skipped uint32
	Root           uint64
	KV, Options    uint64
	// Former releases pass over what follows, and send none of it.
	Secret, Keyed uint64
	Wish, Yields  uint64
}

// Flags of a summary.
const (
	flagReady = 1 << iota
	flagWaiting
	flagReply
	flagWitness
	flagNoWitness // of the last two exactly one is set; a former release sets none
	flagTurns     // the release knows wishes to be stopped
)

type wireCompare struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	Nonce   uint64
	Subject uint8
	Name    string
	Stream  bool
	Mask    uint64
	Sums    []uint64
	Secret  uint64 // former releases pass over it, are asked without one, and send none
}

type wireItems struct {
	_struct                       bool `codec:",toarray"` //nolint:unused // read by the codec
	From                          wirePeer
	Nonce                         uint64
	Equal, Covered, Skipped, Root uint64
	Part, Parts                   uint8
	Items                         []wireItem
}

type wireItem struct {
	_struct                   bool `codec:",toarray"` //nolint:unused // read by the codec
	Cluster, Name, Addr       string
	ID                        int64
	State, Timestamp, Counter int64
	Topics, Writable          uint32
	Kept                      uint8
	Hash                      uint64
}

// isDigest says that a message is one of package digest's.
func isDigest(b []byte) bool {
	return len(b) > 0 && (b[0] == typeSummary || b[0] == typeCompare || b[0] == typeItems)
}

// encodeDigest writes a message of package digest, which keeps each below digest.MaxMessage by packet and
// digest.MaxStream by stream.
func encodeDigest(msg digest.Message) ([]byte, error) {
	from := msg.Sender()
	sender := wirePeer{Name: from.Name, Boot: from.Boot}
	switch m := msg.(type) {
	case *digest.Summary:
		w := wireSummary{
			From: sender, Age: m.Age.Milliseconds(), Count: m.Count, Skipped: m.Skipped, Root: m.Root, KV: m.KV, Options: m.Options,
			Wish: m.Wish, Yields: m.Yields,
		}
		if m.Secret != 0 {
			w.Root, w.Secret, w.Keyed = m.Unkeyed, m.Secret, m.Root
		}
		for flag, on := range map[uint8]bool{
			flagReady: m.Ready, flagWaiting: m.Waiting, flagReply: m.Reply, flagTurns: m.Turns,
			flagWitness: m.Witness && !m.Former, flagNoWitness: !m.Witness && !m.Former,
		} {
			if on {
				w.Flags |= flag
			}
		}
		return encode(typeSummary, w)
	case *digest.Compare:
		return encode(typeCompare, wireCompare{
			From: sender, Nonce: m.Nonce, Subject: uint8(m.Subject), Name: m.Name, Stream: m.Stream, Mask: m.Mask, Sums: m.Sums,
			Secret: m.Secret,
		})
	case *digest.Items:
		w := wireItems{
			From: sender, Nonce: m.Nonce, Equal: m.Equal, Covered: m.Covered, Skipped: m.Skipped, Root: m.Root,
			Part: m.Part, Parts: m.Parts, Items: make([]wireItem, len(m.Items)),
		}
		for i, it := range m.Items {
			w.Items[i] = wireItem{
				Cluster: it.Cluster, Name: it.Name, Addr: it.Addr, ID: it.ID, State: it.Version.StateVersion,
				Timestamp: it.Version.Timestamp, Counter: it.Version.Counter, Topics: it.Topics, Writable: it.Writable,
				Kept: it.Kept, Hash: it.Hash,
			}
		}
		return encode(typeItems, w)
	}
	return nil, fmt.Errorf("gossip: encode %T: no such message", msg)
}

// decodeDigest reads a message of package digest. Whether its content makes sense is for digest.Message.Valid to say.
func decodeDigest(b []byte) (digest.Message, error) {
	if len(b) > digest.MaxStream {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", errSize, len(b), digest.MaxStream)
	}
	kind, payload, err := head(b)
	if err != nil {
		return nil, err
	}
	switch kind {
	case typeSummary:
		var w wireSummary
		if err := decode(payload, &w); err != nil {
			return nil, err
		}
		if w.Age < 0 || w.Age > maxMicros/1000 {
			return nil, fmt.Errorf("%w: age %d ms", errFormat, w.Age)
		}
		m := &digest.Summary{
			From: w.From.peer(), Age: time.Duration(w.Age) * time.Millisecond, Count: w.Count, Skipped: w.Skipped,
			Standing: digest.Standing{
				Ready: w.Flags&flagReady != 0, Waiting: w.Flags&flagWaiting != 0, Witness: w.Flags&flagWitness != 0,
			},
			Former: w.Flags&(flagWitness|flagNoWitness) == 0, Reply: w.Flags&flagReply != 0,
			Root: w.Root, KV: w.KV, Options: w.Options, Turns: w.Flags&flagTurns != 0, Wish: w.Wish, Yields: w.Yields,
		}
		if w.Secret != 0 {
			m.Secret, m.Root, m.Unkeyed = w.Secret, w.Keyed, w.Root
		}
		return m, nil
	case typeCompare:
		var w wireCompare
		if err := decode(payload, &w); err != nil {
			return nil, err
		}
		return &digest.Compare{
			From: w.From.peer(), Nonce: w.Nonce, Subject: digest.Subject(w.Subject), Name: w.Name, Stream: w.Stream,
			Mask: w.Mask, Sums: w.Sums, Secret: w.Secret,
		}, nil
	case typeItems:
		return decodeItems(payload)
	}
	return nil, fmt.Errorf("%w %q", errType, kind)
}

func decodeItems(b []byte) (digest.Message, error) {
	var w wireItems
	if err := decode(b, &w); err != nil {
		return nil, err
	}
	m := &digest.Items{
		From: w.From.peer(), Nonce: w.Nonce, Equal: w.Equal, Covered: w.Covered, Skipped: w.Skipped, Root: w.Root,
		Part: w.Part, Parts: w.Parts, Items: make([]digest.Item, len(w.Items)),
	}
	for i, it := range w.Items {
		m.Items[i] = digest.Item{
			Key:     digest.Key{Cluster: it.Cluster, Name: it.Name, Addr: it.Addr, ID: it.ID},
			Version: mq.DataVersion{StateVersion: it.State, Timestamp: it.Timestamp, Counter: it.Counter},
			Topics:  it.Topics, Writable: it.Writable, Kept: it.Kept, Hash: it.Hash,
		}
	}
	return m, nil
}

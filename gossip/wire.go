package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// A message is one byte of type, one byte of format version, then MessagePack with structs as arrays. A member of
// another version is passed over, not answered: a rolling upgrade works, at worst without fast evictions.
const (
	typeHint  = 'H'
	typePull  = 'P'
	typeProof = 'F'
	typeDone  = 'D'
	typeState = 'S' // push/pull state: a hint of many ids

	typeFarewell = 'L' // a member leaves, or is given up: see forceleave.go

	wireVersion = 1
	headLen     = 2
)

// maxState bounds a push/pull state, head included.
const maxState = tombstone.MaxMerge + 4096

// Reasons for which a message is refused; each is a counter.
var (
	errSize    = errors.New("size")
	errType    = errors.New("type")
	errVersion = errors.New("version")
	errFormat  = errors.New("format")
)

type wirePeer struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	Name    string
	Boot    uint64
}

type wireID struct {
	_struct             bool `codec:",toarray"` //nolint:unused // read by the codec
	Cluster, Addr, Name string
	BrokerID            int64
	IP                  []byte // netip.Addr.MarshalBinary
	Origin              wirePeer
	Seq                 uint64
	Revision            uint8
}

type wireHint struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	Stream  bool
	IDs     []wireID
}

type wirePull struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	Stream  bool
	Nonce   uint64
	IDs     []wireID
}

type wireProof struct {
	_struct   bool `codec:",toarray"` //nolint:unused // read by the codec
	From      wirePeer
	Raw, Boot int64 // the sender's clocks, ns
	Nonce     uint64
	Answers   []wireAnswer
}

type wireAnswer struct {
	_struct            bool `codec:",toarray"` //nolint:unused // read by the codec
	Seq                uint64
	Known              bool
	Revision           uint8
	HasLife            bool
	Life, Unregistered int64 // ages in us
}

type wireDone struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	Boot    uint64
	Reports []wireReport
}

type wireReport struct {
	_struct  bool `codec:",toarray"` //nolint:unused // read by the codec
	Seq      uint64
	Revision uint8
	Outcome  uint8 // one that every version knows
	Exact    uint8 // the outcome itself; a member that does not know it, or has no such field, goes by Outcome
}

// shared is what coders have in common, made for the first one. Nothing changes it then, and codecs only read it.
var shared struct {
	codec.MsgpackHandle
	made sync.Once
}

func handle() *codec.MsgpackHandle {
	h := &shared.MsgpackHandle
	shared.made.Do(func() {
		h.WriteExt = true
		h.MaxInitLen = 64 // a length that a hostile message claims allocates no more than this before its elements come
		h.ErrorIfNoArrayExpand = true
	})
	return h
}

// Encode writes one message. The tombstone package keeps each below tombstone.MaxMessage.
func Encode(msg tombstone.Message) ([]byte, error) {
	switch m := msg.(type) {
	case tombstone.Hint:
		return encode(typeHint, wireHint{From: wirePeer{Name: m.From.Name, Boot: m.From.Boot}, Stream: m.Stream, IDs: wireIDs(m.IDs)})
	case tombstone.Pull:
		return encode(typePull, wirePull{
			From: wirePeer{Name: m.From.Name, Boot: m.From.Boot}, Stream: m.Stream, Nonce: m.Nonce, IDs: wireIDs(m.IDs),
		})
	case tombstone.Proof:
		w := wireProof{
			From: wirePeer{Name: m.From.Name, Boot: m.From.Boot}, Raw: m.Clock.Raw, Boot: m.Clock.Boot, Nonce: m.Nonce,
		}
		for _, a := range m.Answers {
			w.Answers = append(w.Answers, wireAnswer{
				Seq: a.Seq, Known: a.Known, Revision: a.Revision, HasLife: a.HasLife,
				Life: micros(a.Life), Unregistered: micros(a.Unregistered),
			})
		}
		return encode(typeProof, w)
	case tombstone.Done:
		w := wireDone{From: wirePeer{Name: m.From.Name, Boot: m.From.Boot}, Boot: m.Boot}
		for _, r := range m.Reports {
			w.Reports = append(w.Reports, wireReport{
				Seq: r.Seq, Revision: r.Revision, Outcome: uint8(r.Outcome.Plain()), Exact: uint8(r.Outcome),
			})
		}
		return encode(typeDone, w)
	}
	return nil, fmt.Errorf("gossip: encode %T: no such message", msg)
}

// EncodeState writes a push/pull state.
func EncodeState(h tombstone.Hint) ([]byte, error) {
	return encode(typeState, wireHint{From: wirePeer{Name: h.From.Name, Boot: h.From.Boot}, IDs: wireIDs(h.IDs)})
}

// Coders are used again: making one takes longer than a message does. Not one that has failed, nor what a large state has grown.
var (
	encoders = sync.Pool{New: func() any { return &encoder{Encoder: codec.NewEncoderBytes(new([]byte), handle())} }}
	decoders = sync.Pool{New: func() any { return codec.NewDecoderBytes([]byte{}, handle()) }}
)

type encoder struct {
	*codec.Encoder
	bytes []byte
}

func encode(kind byte, v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.ResetBytes(&e.bytes)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("gossip: encode %c: %w", kind, err)
	}
	b := append([]byte{kind, wireVersion}, e.bytes...)
	if cap(e.bytes) <= 2*tombstone.MaxMessage {
		encoders.Put(e)
	}
	return b, nil
}

// micros rounds an age up: an age is an upper bound.
func micros(d time.Duration) int64 { return int64((d + time.Microsecond - 1) / time.Microsecond) }

// Decode reads one message. Whether its content makes sense is for tombstone.Message.Valid to say.
func Decode(b []byte) (tombstone.Message, error) {
	if len(b) > tombstone.MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", errSize, len(b), tombstone.MaxMessage)
	}
	kind, payload, err := head(b)
	if err != nil {
		return nil, err
	}
	switch kind {
	case typeHint:
		var w wireHint
		if err := decode(payload, &w); err != nil {
			return nil, err
		}
		ids, err := tableIDs(w.IDs)
		return tombstone.Hint{From: w.From.peer(), Stream: w.Stream, IDs: ids}, err
	case typePull:
		var w wirePull
		if err := decode(payload, &w); err != nil {
			return nil, err
		}
		ids, err := tableIDs(w.IDs)
		return tombstone.Pull{From: w.From.peer(), Stream: w.Stream, Nonce: w.Nonce, IDs: ids}, err
	case typeProof:
		return decodeProof(payload)
	case typeDone:
		return decodeDone(payload)
	}
	return nil, fmt.Errorf("%w %q", errType, kind)
}

// DecodeState reads a push/pull state.
func DecodeState(b []byte) (tombstone.Hint, error) {
	if len(b) > maxState {
		return tombstone.Hint{}, fmt.Errorf("%w: %d bytes, want at most %d", errSize, len(b), maxState)
	}
	kind, payload, err := head(b)
	if err != nil {
		return tombstone.Hint{}, err
	}
	if kind != typeState {
		return tombstone.Hint{}, fmt.Errorf("%w %q", errType, kind)
	}
	var w wireHint
	if err := decode(payload, &w); err != nil {
		return tombstone.Hint{}, err
	}
	ids, err := tableIDs(w.IDs)
	return tombstone.Hint{From: w.From.peer(), IDs: ids}, err
}

func head(b []byte) (kind byte, payload []byte, err error) {
	if len(b) < headLen {
		return 0, nil, fmt.Errorf("%w: %d bytes", errSize, len(b))
	}
	if b[1] != wireVersion {
		return 0, nil, fmt.Errorf("%w %d", errVersion, b[1])
	}
	return b[0], b[headLen:], nil
}

func decode(b []byte, v any) (err error) {
	defer func() {
		// The codec panics on some malformed input; a message from the network must not.
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errFormat, p)
		}
	}()
	d := decoders.Get().(*codec.Decoder)
	d.ResetBytes(b)
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errFormat, err)
	}
	n := d.NumBytesRead()
	d.ResetBytes([]byte{}) // it keeps no message
	decoders.Put(d)
	if n != len(b) {
		return fmt.Errorf("%w: %d bytes too many", errFormat, len(b)-n)
	}
	return nil
}

func decodeProof(b []byte) (tombstone.Message, error) {
	var w wireProof
	if err := decode(b, &w); err != nil {
		return nil, err
	}
	p := tombstone.Proof{From: w.From.peer(), Clock: clock.Stamp{Raw: w.Raw, Boot: w.Boot}, Nonce: w.Nonce}
	for _, a := range w.Answers {
		if a.Life < 0 || a.Life > maxMicros || a.Unregistered < 0 || a.Unregistered > maxMicros {
			return nil, fmt.Errorf("%w: ages %d and %d us", errFormat, a.Life, a.Unregistered)
		}
		p.Answers = append(p.Answers, tombstone.Answer{
			Seq: a.Seq, Known: a.Known, Revision: a.Revision, HasLife: a.HasLife,
			Life:         time.Duration(a.Life) * time.Microsecond,
			Unregistered: time.Duration(a.Unregistered) * time.Microsecond,
		})
	}
	return p, nil
}

// maxMicros keeps an age within a time.Duration.
const maxMicros = int64(1<<63-1) / int64(time.Microsecond)

func decodeDone(b []byte) (tombstone.Message, error) {
	var w wireDone
	if err := decode(b, &w); err != nil {
		return nil, err
	}
	d := tombstone.Done{From: w.From.peer(), Boot: w.Boot}
	for _, r := range w.Reports {
		outcome := tombstone.Outcome(r.Outcome)
		if exact := tombstone.Outcome(r.Exact); exact.Plain() == outcome { // else it is of an earlier version, or of a later
			outcome = exact
		}
		d.Reports = append(d.Reports, tombstone.Report{Seq: r.Seq, Revision: r.Revision, Outcome: outcome})
	}
	return d, nil
}

func (p wirePeer) peer() tombstone.Peer { return tombstone.Peer{Name: p.Name, Boot: p.Boot} }

func wireIDs(ids []tombstone.ID) []wireID {
	out := make([]wireID, len(ids))
	for i, id := range ids {
		ip, _ := id.RemoteIP.MarshalBinary() // never fails
		out[i] = wireID{
			Cluster: id.Cluster, Addr: id.Addr, Name: id.Name, BrokerID: id.BrokerID, IP: ip,
			Origin: wirePeer{Name: id.Origin.Name, Boot: id.Origin.Boot}, Seq: id.Seq, Revision: id.Revision,
		}
	}
	return out
}

func tableIDs(ids []wireID) ([]tombstone.ID, error) {
	out := make([]tombstone.ID, len(ids))
	for i, w := range ids {
		var ip netip.Addr
		if err := ip.UnmarshalBinary(w.IP); err != nil {
			return nil, fmt.Errorf("%w: source address of %d bytes", errFormat, len(w.IP))
		}
		out[i] = tombstone.ID{
			Key:      tombstone.Key{Cluster: w.Cluster, Addr: w.Addr},
			Identity: tombstone.Identity{Name: w.Name, BrokerID: w.BrokerID, RemoteIP: ip},
			Origin:   w.Origin.peer(), Seq: w.Seq, Revision: w.Revision,
		}
	}
	return out, nil
}

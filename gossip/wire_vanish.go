package gossip

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/vanish"
)

// The messages of package vanish. A node of a version that does not know them counts and drops them.
const (
	typeQuery = 'Q'
	typeView  = 'V'
	typeAlive = 'A'
)

type wireSubject struct {
	_struct             bool `codec:",toarray"` //nolint:unused // read by the codec
	Cluster, Addr, Name string
	BrokerID            int64
	IP                  []byte // netip.Addr.MarshalBinary
}

type wireQuery struct {
	_struct  bool `codec:",toarray"` //nolint:unused // read by the codec
	From     wirePeer
	Stream   bool
	Nonce    uint64
	Nodes    uint16
	Subjects []wireSubject
}

type wireView struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	Nonce   uint64
	Nodes   uint16
	Answers []wireVerdict
}

type wireVerdict struct {
	_struct                 bool `codec:",toarray"` //nolint:unused // read by the codec
	Holds, Silent           bool
	Silence, Life, PassedOn int64 // ms; -1: none
	Why                     uint8
}

type wireAlive struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	News    []wireNews
}

type wireNews struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	Subject wireSubject
	Life    int64 // ms
}

// isVanish says that a message is one of package vanish's.
func isVanish(b []byte) bool {
	return len(b) > 0 && (b[0] == typeQuery || b[0] == typeView || b[0] == typeAlive)
}

// encodeVanish writes a message of package vanish, which keeps each below vanish.MaxMessage.
func encodeVanish(msg vanish.Message) ([]byte, error) {
	from := msg.Sender()
	sender := wirePeer{Name: from.Name, Boot: from.Boot}
	switch m := msg.(type) {
	case vanish.Query:
		w := wireQuery{From: sender, Stream: m.Stream, Nonce: m.Nonce, Nodes: uint16(m.Nodes)}
		for _, s := range m.Subjects {
			w.Subjects = append(w.Subjects, wireSubjectOf(s))
		}
		return encode(typeQuery, w)
	case vanish.View:
		w := wireView{From: sender, Nonce: m.Nonce, Nodes: uint16(m.Nodes)}
		for _, a := range m.Answers {
			w.Answers = append(w.Answers, wireVerdict{
				Holds: a.Holds, Silent: a.Silent, Silence: young(a.Silence), Life: young(a.Life), PassedOn: young(a.PassedOn), Why: a.Why,
			})
		}
		return encode(typeView, w)
	case vanish.Alive:
		w := wireAlive{From: sender}
		for _, n := range m.News {
			w.News = append(w.News, wireNews{Subject: wireSubjectOf(n.Subject), Life: young(n.Life)})
		}
		return encode(typeAlive, w)
	}
	return nil, fmt.Errorf("gossip: encode %T: no such message", msg)
}

// young rounds an age down: news may look younger than it is, and silence shorter. Both keep.
func young(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

// ageOf is the age that was written, or how it is not one.
func ageOf(ms int64) (time.Duration, error) {
	switch {
	case ms == -1:
		return vanish.Never, nil
	case ms < 0 || ms > maxMicros/1000:
		return 0, fmt.Errorf("%w: age %d ms", errFormat, ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// decodeVanish reads a message of package vanish. Whether its content makes sense is for vanish.Message.Valid to say.
func decodeVanish(b []byte) (vanish.Message, error) {
	if len(b) > vanish.MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", errSize, len(b), vanish.MaxMessage)
	}
	kind, payload, err := head(b)
	if err != nil {
		return nil, err
	}
	switch kind {
	case typeQuery:
		var w wireQuery
		if err := decode(payload, &w); err != nil {
			return nil, err
		}
		m := vanish.Query{From: w.From.peer(), Stream: w.Stream, Nonce: w.Nonce, Nodes: int(w.Nodes)}
		for _, s := range w.Subjects {
			subject, err := s.subject()
			if err != nil {
				return nil, err
			}
			m.Subjects = append(m.Subjects, subject)
		}
		return m, nil
	case typeView:
		return decodeView(payload)
	case typeAlive:
		return decodeAlive(payload)
	}
	return nil, fmt.Errorf("%w %q", errType, kind)
}

func decodeView(b []byte) (vanish.Message, error) {
	var w wireView
	if err := decode(b, &w); err != nil {
		return nil, err
	}
	m := vanish.View{From: w.From.peer(), Nonce: w.Nonce, Nodes: int(w.Nodes)}
	for _, v := range w.Answers {
		a := vanish.Answer{Holds: v.Holds, Silent: v.Silent, Why: v.Why}
		for to, ms := range map[*time.Duration]int64{&a.Silence: v.Silence, &a.Life: v.Life, &a.PassedOn: v.PassedOn} {
			var err error
			if *to, err = ageOf(ms); err != nil {
				return nil, err
			}
		}
		m.Answers = append(m.Answers, a)
	}
	return m, nil
}

func decodeAlive(b []byte) (vanish.Message, error) {
	var w wireAlive
	if err := decode(b, &w); err != nil {
		return nil, err
	}
	m := vanish.Alive{From: w.From.peer()}
	for _, n := range w.News {
		subject, err := n.Subject.subject()
		if err != nil {
			return nil, err
		}
		life, err := ageOf(n.Life)
		if err != nil {
			return nil, err
		}
		m.News = append(m.News, vanish.News{Subject: subject, Life: life})
	}
	return m, nil
}

func wireSubjectOf(s vanish.Subject) wireSubject {
	ip, _ := s.Source.MarshalBinary() // never fails
	return wireSubject{Cluster: s.Cluster, Addr: s.Addr, Name: s.Name, BrokerID: s.BrokerID, IP: ip}
}

func (w wireSubject) subject() (vanish.Subject, error) {
	var ip netip.Addr
	if err := ip.UnmarshalBinary(w.IP); err != nil {
		return vanish.Subject{}, fmt.Errorf("%w: source address of %d bytes", errFormat, len(w.IP))
	}
	return vanish.Subject{Cluster: w.Cluster, Addr: w.Addr, Name: w.Name, BrokerID: w.BrokerID, Source: ip}, nil
}

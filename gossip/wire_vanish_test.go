package gossip

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/vanish"
)

// vanishExamples is one message of each kind of package vanish.
func vanishExamples() []vanish.Message {
	from := vanish.Peer{Name: "n2", Boot: 1 << 63}
	broker := vanish.Subject{
		Cluster: "DefaultCluster", Addr: "10.0.0.9:10911", Name: "broker-a", BrokerID: 1, Source: netip.MustParseAddr("10.0.0.9"),
	}
	other := vanish.Subject{Addr: "[2001:db8::9]:10911", BrokerID: -1, Source: netip.MustParseAddr("fe80::9%eth0")}
	return []vanish.Message{
		vanish.Query{From: from, Nonce: 7, Nodes: 3, Subjects: []vanish.Subject{broker}},
		vanish.Query{From: from, Stream: true, Nonce: 1 << 63, Nodes: 65535, Subjects: []vanish.Subject{broker, other}},
		vanish.View{From: from, Nonce: 7, Nodes: 3, Answers: []vanish.Answer{
			{Holds: true, Silent: true, Silence: 5 * time.Second, Life: 5020 * time.Millisecond, PassedOn: vanish.Never},
			{Silence: 0, Life: vanish.Never, PassedOn: 3 * time.Second, Why: 255},
		}},
		vanish.Alive{From: from, News: []vanish.News{{Subject: broker, Life: 40 * time.Millisecond}, {Subject: other}}},
	}
}

func TestVanishMessages(t *testing.T) {
	for _, m := range vanishExamples() {
		kit.Must(t, m.Valid())
		b, err := encodeVanish(m)
		kit.Must(t, err)
		if !isVanish(b) || isDigest(b) {
			t.Errorf("%T is not taken for what it is", m)
		}
		got, err := decodeVanish(b)
		kit.Must(t, err)
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%+v became %+v", m, got)
		}
		if _, err := Decode(b); err == nil {
			t.Errorf("%T is taken for a message about tombstones", m)
		}
		if _, err := decodeDigest(b); err == nil {
			t.Errorf("%T is taken for a digest", m)
		}
	}
}

// TestVanishMessagesAsTheyTravel: what is on the wire is read by other releases.
func TestVanishMessagesAsTheyTravel(t *testing.T) {
	var text strings.Builder
	for _, m := range vanishExamples() {
		b, err := encodeVanish(m)
		kit.Must(t, err)
		fmt.Fprintf(&text, "%T\n%s", m, hex.Dump(b))
	}
	kit.Golden(t, "testdata/vanish.golden", text.String())
}

// TestVanishMessagesFitIntoAPacket: the largest of each kind that is valid.
func TestVanishMessagesFitIntoAPacket(t *testing.T) {
	from := vanish.Peer{Name: strings.Repeat("n", 128), Boot: 1<<64 - 1}
	subject := func(size int) vanish.Subject {
		s := vanish.Subject{BrokerID: -1 << 63, Source: netip.MustParseAddr("2001:db8:1:2:3:4:5:6")}
		s.Cluster = strings.Repeat("c", size-s.Size())
		return s
	}
	years := 100 * 365 * 24 * time.Hour
	var query vanish.Query
	var alive vanish.Alive
	var view vanish.View
	for range vanish.MaxSubjects {
		query.Subjects = append(query.Subjects, subject(924/vanish.MaxSubjects))
		alive.News = append(alive.News, vanish.News{Subject: subject(924 / vanish.MaxSubjects), Life: years})
		view.Answers = append(view.Answers, vanish.Answer{Holds: true, Silence: years, Life: years, PassedOn: years, Why: 255})
	}
	query.From, query.Stream, query.Nonce, query.Nodes = from, true, 1<<64-1, 65535
	view.From, view.Nonce, view.Nodes = from, 1<<64-1, 65535
	alive.From = from
	one := query
	one.Subjects = []vanish.Subject{subject(924)}
	for _, m := range []vanish.Message{query, one, view, alive} {
		kit.Must(t, m.Valid())
		b, err := encodeVanish(m)
		kit.Must(t, err)
		if len(b) > vanish.MaxMessage {
			t.Errorf("%T of %d bytes", m, len(b))
		}
	}
	one.Subjects = []vanish.Subject{subject(925)}
	if one.Valid() == nil {
		t.Error("a subject of 925 bytes is valid")
	}
	query.Subjects = append(query.Subjects, subject(60))
	if query.Valid() == nil {
		t.Error("seven subjects are valid")
	}
}

// Ages are cut to whole milliseconds: silence looks shorter, life younger.
func TestVanishAgesAreRoundedTowardsYoung(t *testing.T) {
	const d = 1999999 * time.Microsecond
	m := vanish.View{From: vanish.Peer{Name: "n2"}, Nodes: 3, Answers: []vanish.Answer{{Silence: d, Life: d, PassedOn: d}}}
	b, err := encodeVanish(m)
	kit.Must(t, err)
	got, err := decodeVanish(b)
	kit.Must(t, err)
	for _, age := range []time.Duration{got.(vanish.View).Answers[0].Silence, got.(vanish.View).Answers[0].Life, got.(vanish.View).Answers[0].PassedOn} {
		if age != 1999*time.Millisecond {
			t.Errorf("%v was told as %v", d, age)
		}
	}
}

func FuzzDecodeVanish(f *testing.F) {
	for _, m := range vanishExamples() {
		b, err := encodeVanish(m)
		kit.Must(f, err)
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(append(b[:len(b):len(b)], 0))
	}
	f.Add(make([]byte, vanish.MaxMessage+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := decodeVanish(b)
		checkReason(t, err)
		if err != nil || msg.Valid() != nil {
			return
		}
		again, err := encodeVanish(msg)
		if err != nil || len(again) > vanish.MaxMessage {
			t.Fatalf("%+v cannot be encoded: %d bytes, %v", msg, len(again), err)
		}
		back, err := decodeVanish(again)
		if err != nil || !reflect.DeepEqual(back, msg) {
			t.Fatalf("%+v became %+v, %v", msg, back, err)
		}
	})
}

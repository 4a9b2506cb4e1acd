package gossip

import (
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// reportBefore is a report as members of before wrote and read it: of an outcome that they did not know they refused the message.
type reportBefore struct {
	_struct  bool `codec:",toarray"` //nolint:unused // read by the codec
	Seq      uint64
	Revision uint8
	Outcome  uint8
}

type doneBefore struct {
	_struct bool `codec:",toarray"` //nolint:unused // read by the codec
	From    wirePeer
	Boot    uint64
	Reports []reportBefore
}

// An outcome that is new goes to members of every version: who does not know it reads the nearest that he knows.
func TestReportsOfOtherVersions(t *testing.T) {
	from := wirePeer{Name: "n2", Boot: 2}
	read := func(sent any) tombstone.Outcome {
		t.Helper()
		b, err := encode(typeDone, sent)
		kit.Must(t, err)
		msg, err := Decode(b)
		kit.Must(t, err)
		kit.Must(t, msg.Valid())
		return msg.(tombstone.Done).Reports[0].Outcome
	}
	for sent := range tombstone.KeptOtherClaim + 1 {
		b, err := Encode(tombstone.Done{From: from.peer(), Boot: 1, Reports: []tombstone.Report{{Seq: 7, Revision: 1, Outcome: sent}}})
		kit.Must(t, err)
		var before doneBefore
		kit.Must(t, decode(b[headLen:], &before))
		if got := before.Reports[0]; got.Seq != 7 || got.Revision != 1 || got.Outcome >= uint8(tombstone.KeptOtherClaim) {
			t.Errorf("%v: a member of before reads %+v", sent, got)
		}
		msg, err := Decode(b)
		kit.Must(t, err)
		if got := msg.(tombstone.Done).Reports[0].Outcome; got != sent {
			t.Errorf("%v is read as %v", sent, got)
		}
		if sent.Plain() != sent {
			continue
		}
		if got := read(doneBefore{From: from, Reports: []reportBefore{{Seq: 7, Outcome: uint8(sent)}}}); got != sent {
			t.Errorf("%v of a member of before is read as %v", sent, got)
		}
		if got := read(wireDone{From: from, Reports: []wireReport{{Seq: 7, Outcome: uint8(sent), Exact: 200}}}); got != sent {
			t.Errorf("%v, with what only a later version knows, is read as %v", sent, got)
		}
	}
}

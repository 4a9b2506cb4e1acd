package tombstone

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestValid(t *testing.T) {
	id := ID{Key: keyOf(1), Identity: who(1), Origin: peerA, Seq: 1}
	with := func(change func(*ID)) []ID {
		id := id
		change(&id)
		return []ID{id}
	}
	many := func(n int) (ids []ID) {
		for i := range n {
			ids = append(ids, ID{Key: keyOf(i), Identity: who(i), Origin: peerA, Seq: uint64(i) + 1})
		}
		return ids
	}
	f := func(what string, m Message, want string) {
		t.Helper()
		err := m.Valid()
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want one with %q", what, err, want)
		}
	}
	long := strings.Repeat("x", MaxName)
	f("hint", Hint{From: peerB, IDs: many(maxBatch)}, "")
	f("longest sender", Hint{From: Peer{Name: long}, IDs: many(1)}, "")
	f("too long a sender", Hint{From: Peer{Name: long + "x"}, IDs: many(1)}, "sender name")
	f("no sender", Hint{IDs: many(1)}, "sender name")
	f("no ids", Hint{From: peerB}, "0 ids")
	f("too many ids", Hint{From: peerB, IDs: many(maxBatch + 1)}, "9 ids")
	f("no origin", Hint{From: peerB, IDs: with(func(i *ID) { i.Origin.Name = "" })}, "origin")
	f("no number", Hint{From: peerB, IDs: with(func(i *ID) { i.Seq = 0 })}, "sequence number")
	f("late proof", Hint{From: peerB, IDs: with(func(i *ID) { i.Revision = 1 })}, "")
	f("revision", Hint{From: peerB, IDs: with(func(i *ID) { i.Revision = 2 })}, "revision")
	f("no address", Hint{From: peerB, IDs: with(func(i *ID) { i.RemoteIP = netip.Addr{} })}, "source address")
	f("mapped address", Hint{From: peerB, IDs: with(func(i *ID) { i.RemoteIP = netip.AddrFrom16(ip.As16()) })}, "source address")
	f("longest id", Hint{From: peerB, IDs: with(func(i *ID) { i.Cluster += strings.Repeat("x", maxID-i.Size()) })}, "")
	f("too long an id", Hint{From: peerB, IDs: with(func(i *ID) { i.Cluster += strings.Repeat("x", maxID-i.Size()+1) })}, "bytes")
	f("pull", Pull{From: peerB, IDs: many(2)}, "")
	f("pull from two", Pull{From: peerB, IDs: append(many(1), with(func(i *ID) { i.Origin = peerC })...)}, "more than one origin")
	f("proof", Proof{From: peerB, Answers: []Answer{{Seq: 1, Life: maxAge}}}, "")
	f("no answers", Proof{From: peerB}, "0 answers")
	f("age", Proof{From: peerB, Answers: []Answer{{Seq: 1, Unregistered: maxAge + 1}}}, "ages")
	f("negative age", Proof{From: peerB, Answers: []Answer{{Seq: 1, Life: -time.Microsecond}}}, "ages")
	f("done", Done{From: peerB, Reports: make([]Report, maxReports)}, "")
	f("too many reports", Done{From: peerB, Reports: make([]Report, maxReports+1)}, "reports")
	f("outcome", Done{From: peerB, Reports: []Report{{Outcome: outcomes}}}, "outcome")
}

func TestOutcomesHaveNames(t *testing.T) {
	for o := range outcomes + 1 {
		if o.String() == "" {
			t.Errorf("outcome %d has no name", o)
		}
	}
	for n := range notMadeKinds {
		if n.String() == "" {
			t.Errorf("reason %d has no name", n)
		}
	}
}

package gossip

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// A member that floods fills the inbox, not the memory; what is dropped is counted by whatever way it came. A change of the
// membership is never dropped, and when the loop has taken what waits there is room again.
func TestInboxIsBounded(t *testing.T) {
	g := deaf(t)
	d := delegate{g}
	message, err := Encode(tombstone.Done{From: tombstone.Peer{Name: "n2", Boot: 1 << 63}, Boot: 1, Reports: []tombstone.Report{{Seq: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	state, err := EncodeState(tombstone.Hint{From: tombstone.Peer{Name: "n2", Boot: 1 << 63}, IDs: []tombstone.ID{{
		Key: tombstone.Key{Cluster: "c", Addr: "a"}, Identity: tombstone.Identity{Name: "b"}, Origin: tombstone.Peer{Name: "n2", Boot: 1 << 63}, Seq: 1,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ack := d.AckPayload()
	full := func() uint64 { return g.counts.inboxFull.Load() }
	for round := range 2 {
		before := full()
		for range maxInbox {
			d.NotifyMsg(message)
		}
		if full() != before {
			t.Fatalf("round %d: %d of %d messages dropped", round, full()-before, maxInbox)
		}
		d.NotifyMsg(message)
		d.MergeRemoteState(state, false)
		d.NotifyPingComplete(member("n2~8000000000000000"), time.Millisecond, ack)
		if got := full() - before; got != 3 {
			t.Errorf("round %d: %d of three messages beyond the limit counted as dropped", round, got)
		}
		d.NotifyJoin(member("n3~8000000000000001"))
		d.NotifyUpdate(member("n3~8000000000000001"))
		if got := len(g.inbox.take()); got != maxInbox+2 {
			t.Errorf("round %d: %d events, want those of the membership beside %d messages", round, got, maxInbox)
		}
	}
}

// The answer to a probe: version, then the clock that is never slewed, then the one that counts sleep. Releases have to agree
// about it for ever.
func TestProbesAnswer(t *testing.T) {
	g := deaf(t)
	g.cfg.Clock = func() clock.Stamp { return clock.Stamp{Raw: 0x0102030405060708, Boot: 0x1112131415161718} }
	want := []byte{1, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18}
	if got := (delegate{g}).AckPayload(); string(got) != string(want) {
		t.Errorf("% x, want % x", got, want)
	}
}

// A machine that has slept has two clocks that are far apart, and no machine has the clocks of another. What a probe tells of
// them fits to what a proof tells, so a proof is believed; and one whose clock says that time was lost is not.
func TestClocksOfAMachineThatSlept(t *testing.T) {
	const other = "n2~8000000000000000"
	for name, lost := range map[string]time.Duration{"no time was lost": 0, "it stood still": 10 * time.Second} {
		g := deaf(t)
		d := delegate{g}
		here := clock.Stamp{Raw: int64(time.Hour), Boot: int64(5 * time.Hour)}
		there := clock.Stamp{Raw: int64(90 * time.Hour), Boot: int64(1000 * time.Hour)}
		g.cfg.Clock = func() clock.Stamp { return here }
		ack := []byte{wireVersion}
		ack = binary.BigEndian.AppendUint64(ack, uint64(there.Raw))
		ack = binary.BigEndian.AppendUint64(ack, uint64(there.Boot))
		d.NotifyPingComplete(member(other), time.Millisecond, ack)
		// The loop is busy: what counts is when the answer was there, not when the loop comes to it.
		here, there = here.Add(time.Minute), there.Add(time.Minute-lost)
		settle(t, g)
		var hint tombstone.Hint
		for _, m := range examples() {
			if h, is := m.(tombstone.Hint); is {
				hint = h
			}
		}
		peer, _ := peerOf(other)
		id := hint.IDs[0]
		id.Origin, id.Seq = peer, 12345
		g.mu.Lock()
		out := g.exchange.Receive(tombstone.Hint{From: peer, IDs: []tombstone.ID{id}}, here)
		var nonce uint64
		for _, p := range out.Packets {
			if pull, is := p.Msg.(tombstone.Pull); is {
				nonce = pull.Nonce
			}
		}
		g.exchange.Receive(tombstone.Proof{From: peer, Clock: there, Nonce: nonce, Answers: []tombstone.Answer{
			{Seq: id.Seq, Known: true, HasLife: true, Life: time.Second, Unregistered: time.Second},
		}}, here)
		c := g.exchange.Counters()
		g.mu.Unlock()
		if nonce == 0 || c.RefusedNonce > 0 || (c.LostTime > 0) != (lost > 0) {
			t.Errorf("%s: nonce %d, lost time %d times, refused %d", name, nonce, c.LostTime, c.RefusedNonce)
		}
	}
}

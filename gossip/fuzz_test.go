package gossip

import (
	"bytes"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// examples is one message of each kind; a new kind is added here and is fuzzed from then on.
func examples() []tombstone.Message {
	self, peer := tombstone.Peer{Name: "n1", Boot: 1}, tombstone.Peer{Name: "n2", Boot: 1 << 63}
	id := func(seq uint64, ip string) tombstone.ID {
		return tombstone.ID{
			Key:      tombstone.Key{Cluster: "DefaultCluster", Addr: "10.0.0.1:10911"},
			Identity: tombstone.Identity{Name: "broker-a", BrokerID: -1, RemoteIP: netip.MustParseAddr(ip)},
			Origin:   self, Seq: seq, Revision: 1,
		}
	}
	ids := []tombstone.ID{id(1, "10.0.0.1"), id(2, "fe80::1%eth0")}
	return []tombstone.Message{
		tombstone.Hint{From: peer, Stream: true, IDs: ids},
		tombstone.Pull{From: peer, Nonce: 7, IDs: ids},
		tombstone.Proof{From: peer, Clock: clock.Stamp{Raw: 1, Boot: 2}, Nonce: 7, Answers: []tombstone.Answer{
			{Seq: 1, Known: true, Revision: 1, HasLife: true, Life: time.Second, Unregistered: time.Millisecond}, {Seq: 2},
		}},
		tombstone.Done{From: peer, Boot: 1, Reports: []tombstone.Report{{Seq: 1, Revision: 1, Outcome: tombstone.Evicted}}},
	}
}

// digestNonce is that of the one question of a deaf gossip that has no answer yet.
const digestNonce = 9

// digestExamples is one message of each kind of package digest, from the member that a deaf gossip knows.
func digestExamples() (all []digest.Message) {
	peer := tombstone.Peer{Name: "n2", Boot: 1 << 63}
	for _, m := range digestMessages() {
		switch m := m.(type) {
		case *digest.Summary:
			m.From = peer
		case *digest.Compare:
			m.From = peer
		case *digest.Items:
			m.From, m.Nonce = peer, digestNonce
		}
		all = append(all, m)
	}
	return all
}

// farewells are that of a member itself, and two of members given up: one that is not there, and one that is.
func farewells() []farewell {
	peer, unknown := tombstone.Peer{Name: "n2", Boot: 1 << 63}, tombstone.Peer{Name: "n3", Boot: 3}
	return []farewell{{from: peer, gone: peer}, {from: peer, gone: unknown}, {from: unknown, gone: peer}}
}

// seeds are the examples as they travel, whole, cut short, too long, of another version and of an unknown type.
func seeds(f *testing.F) (all [][]byte) {
	f.Helper()
	for _, m := range examples() {
		b, err := Encode(m)
		kit.Must(f, err)
		all = append(all, b)
	}
	state, err := EncodeState(examples()[0].(tombstone.Hint))
	kit.Must(f, err)
	all = append(all, state)
	for _, m := range digestExamples() {
		b, err := encodeDigest(m)
		kit.Must(f, err)
		all = append(all, b)
	}
	for _, l := range farewells() {
		b, err := encodeFarewell(l)
		kit.Must(f, err)
		all = append(all, b)
	}
	for _, b := range slices.Clone(all) {
		later, unknown := bytes.Clone(b), bytes.Clone(b)
		later[1], unknown[0] = wireVersion+1, 'x'
		all = append(all, b[:len(b)/2], append(bytes.Clone(b), 0), later, unknown)
	}
	return append(all, nil, []byte{0}, make([]byte, tombstone.MaxMessage+1))
}

// FuzzDecode: whatever comes in, the decoder answers one of the four reasons or a message that encodes to itself.
func FuzzDecode(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := Decode(b)
		checkReason(t, err)
		if err == nil && msg.Valid() == nil {
			again, err := Encode(msg)
			if err != nil {
				t.Fatalf("%+v cannot be encoded: %v", msg, err)
			}
			if len(again) > tombstone.MaxMessage {
				t.Fatalf("%d bytes for a valid message", len(again))
			}
			back, err := Decode(again)
			if err != nil || !reflect.DeepEqual(back, msg) {
				t.Fatalf("%+v became %+v, %v", msg, back, err)
			}
		}
	})
}

// FuzzDecodeState is the same for push/pull states.
func FuzzDecodeState(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := DecodeState(b)
		checkReason(t, err)
	})
}

func checkReason(t *testing.T, err error) {
	t.Helper()
	for _, reason := range []error{errSize, errType, errVersion, errFormat} {
		if err == nil || errors.Is(err, reason) {
			return
		}
	}
	t.Fatalf("refused without a reason that is counted: %v", err)
}

// holdings are the items of an example.
type holdings struct{}

func (holdings) Items(digest.Subject, string) []digest.Item {
	for _, m := range digestMessages() {
		if m, ok := m.(*digest.Items); ok {
			return m.Items
		}
	}
	return nil
}

func (h holdings) Own() (digest.Own, bool) {
	return digest.Own{Brokers: h.Items(digest.Brokers, ""), KV: 1, Options: 2}, true
}

func (holdings) Standing() digest.Standing { return digest.Standing{Ready: true} }

// deaf is a gossip whose packets go nowhere, with one member (n2), one registration that a tombstone could evict, and one
// question about digests that n2 has not answered.
func deaf(t testing.TB) *Gossip {
	cfg := DefaultConfig()
	cfg.Bind, cfg.Cluster, cfg.Name, cfg.Logger = "127.0.0.1:0", "fuzz", "n1", slog.New(slog.DiscardHandler)
	tables := &fakeTables{held: map[tombstone.Key]tombstone.Entry{}}
	for _, m := range examples() {
		if h, ok := m.(tombstone.Hint); ok {
			tables.hold(h.IDs[0].Key, tombstone.Entry{Identity: h.IDs[0].Identity, FirstByte: stamp(1), LastRegister: stamp(1)})
		}
	}
	g, err := New(cfg, tables)
	kit.Must(t, err)
	g.self.Boot = 1 // so that the examples are about its own tombstones
	g.inbox.self = g.self
	nonce := uint64(6)
	next := func() uint64 { nonce++; return nonce }
	if g.exchange, err = tombstone.New(tombstone.Config{Self: g.self, Nonce: next}, tables); err != nil {
		t.Fatal(err)
	}
	g.digests = newDigests(g, holdings{})
	random := uint64(digestNonce - 1)
	g.digests.ledger = digest.New(digest.Config{
		Self: g.self, Random: func() uint64 { random++; return random }, Source: holdings{},
	}, g.started)
	delegate{g}.NotifyJoin(member("n2~8000000000000000"))
	settle(t, g)
	asked, _, ok := g.digests.ledger.Ask(tombstone.Peer{Name: "n2", Boot: 1 << 63}, digest.KV, "", g.cfg.Clock())
	if !ok || asked != digestNonce {
		t.Fatalf("question %d asked: %v, want %d", asked, ok, digestNonce)
	}
	return g
}

func stamp(s int64) clock.Stamp { return clock.Stamp{Raw: s, Boot: s} }

func member(name string) *memberlist.Node {
	return &memberlist.Node{Name: name, Addr: net.IPv4(127, 0, 0, 1), Port: 7946}
}

// settle runs what is queued through the exchange and the ledger, as the loops do, and answers to whom something would be
// sent.
func settle(t testing.TB, g *Gossip) (to []tombstone.Peer) {
	t.Helper()
	for _, e := range g.inbox.take() {
		g.step(e)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	kit.Must(t, g.exchange.Check(g.cfg.Clock()))
	out := g.out
	g.out = tombstone.Output{}
	for _, p := range out.Packets {
		to = append(to, p.To)
	}
	now := g.cfg.Clock()
	said := g.digests.members(now)
	for len(g.digests.in) > 0 {
		said = append(said, (<-g.digests.in)(now)...)
	}
	for _, p := range said {
		to = append(to, p.To)
	}
	return to
}

// readable says that b is a message that somebody may have sent, of whatever kind.
func readable(b []byte) bool {
	switch {
	case len(b) > 0 && b[0] == typeFarewell:
		_, err := decodeFarewell(b)
		return err == nil
	case isDigest(b):
		msg, err := decodeDigest(b)
		return err == nil && msg.Valid() == nil
	}
	msg, err := Decode(b)
	return err == nil && msg.Valid() == nil
}

// FuzzDelegate hands one input to every entry point that the network reaches, in the place of a message, a state, a
// member's name, an ack and its metadata. Nothing panics, what is refused is counted and not answered, and whatever is
// answered goes to a member that memberlist lists.
func FuzzDelegate(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Add([]byte("n2~8000000000000000"))
	f.Add([]byte("n2~800000000000000g"))
	f.Add(delegate{deaf(f)}.AckPayload())
	f.Fuzz(func(t *testing.T, b []byte) {
		g := deaf(t)
		d := delegate{g}
		kept := bytes.Clone(b)
		before := refusals(g)
		d.NotifyMsg(b)
		answered := settle(t, g)
		if !readable(b) {
			if len(answered) > 0 {
				t.Fatalf("refused and answered: %x", b)
			}
			if refusals(g) == before {
				t.Fatalf("refused and not counted: %x", b)
			}
		}
		for _, join := range []bool{true, false} {
			before := refusals(g)
			d.MergeRemoteState(b, join)
			answered = append(answered, settle(t, g)...)
			if _, err := DecodeState(b); err != nil && len(b) > 0 && refusals(g) == before {
				t.Fatalf("state refused and not counted: %x", b)
			}
		}
		for _, to := range answered {
			if _, listed := g.inbox.node(to); !listed {
				t.Fatalf("answered to %v, whom nobody lists", to)
			}
		}
		d.NotifyPingComplete(member("n2~8000000000000000"), time.Millisecond, b)
		d.NotifyPingComplete(member(string(b)), time.Millisecond, b)
		n := member(string(b))
		n.Meta = b
		d.NotifyJoin(n)
		d.NotifyUpdate(n)
		settle(t, g)
		d.NotifyLeave(n)
		settle(t, g)
		if !bytes.Equal(b, kept) {
			t.Fatal("a buffer of memberlist's was changed")
		}
	})
}

// refusals is the sum of all counts of refused messages.
func refusals(g *Gossip) uint64 {
	c, x := g.Counts(), g.Counters()
	d, _ := g.DigestCounts()
	return c.RefusedSize + c.RefusedVersion + c.RefusedType + c.RefusedFormat +
		x.RefusedMalformed + x.RefusedSender + x.RefusedOrigin + x.RefusedNonce +
		d.RefusedMalformed + d.RefusedSender + d.RefusedNonce
}

// Each kind of refusal has a count of its own.
func TestRefusedMessagesAreCountedByReason(t *testing.T) {
	g := deaf(t)
	d := delegate{g}
	hint, err := Encode(examples()[0])
	kit.Must(t, err)
	later, unknown := bytes.Clone(hint), bytes.Clone(hint)
	later[1], unknown[0] = wireVersion+1, 'x'
	stranger := examples()[1].(tombstone.Pull)
	stranger.From.Name = "n3"
	fromStranger, err := Encode(stranger)
	kit.Must(t, err)
	replayed, err := Encode(examples()[2]) // a proof that nobody asked for
	kit.Must(t, err)
	empty, err := Encode(tombstone.Hint{From: tombstone.Peer{Name: "n2", Boot: 1 << 63}})
	kit.Must(t, err)
	for _, b := range [][]byte{make([]byte, tombstone.MaxMessage+1), later, unknown, hint[:len(hint)-3], fromStranger, replayed, empty} {
		d.NotifyMsg(b)
		if to := settle(t, g); len(to) > 0 {
			t.Errorf("%s is answered to %+v", hex.EncodeToString(b), to)
		}
	}
	c, x := g.Counts(), g.Counters()
	got := map[string]uint64{
		"size": c.RefusedSize, "version": c.RefusedVersion, "type": c.RefusedType, "format": c.RefusedFormat,
		"sender": x.RefusedSender, "nonce": x.RefusedNonce, "malformed": x.RefusedMalformed,
	}
	for reason, n := range got {
		if n != 1 {
			t.Errorf("%d refused for %s, want 1", n, reason)
		}
	}
}

// The ledger hears of every coming and going, also of a member that is gone and back before anybody looks.
func TestLedgerHearsOfMembersByEvents(t *testing.T) {
	g := deaf(t)
	n2 := member("n2~8000000000000000")
	p, _ := peerOf(n2.Name)
	delegate{g}.NotifyLeave(n2)
	delegate{g}.NotifyJoin(n2)
	if to := settle(t, g); !slices.Contains(to, p) {
		t.Errorf("told %v, want a summary to the member that is back", to)
	}
	delegate{g}.NotifyLeave(n2)
	settle(t, g)
	if _, _, ok := g.digests.ledger.Ask(p, digest.KV, "", g.cfg.Clock()); ok {
		t.Error("a member that is gone can be asked")
	}
}

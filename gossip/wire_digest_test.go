package gossip

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

func digestMessages() []digest.Message {
	from := tombstone.Peer{Name: "n1", Boot: 0xfeedfacefeedface}
	item := digest.Item{
		Key:     digest.Key{Cluster: "DefaultCluster", Name: "broker-a", Addr: "10.0.0.9:10911", ID: 1},
		Version: mq.DataVersion{StateVersion: 1, Timestamp: 1700000000000, Counter: 7}, Topics: 3, Writable: 2, Kept: 4, Hash: 1 << 63,
	}
	return []digest.Message{
		&digest.Summary{From: from, Age: time.Hour, Standing: digest.Standing{Ready: true, Witness: true}, Reply: true, Count: 3, Skipped: 1, Root: 1 << 62, KV: 5, Options: 6},
		&digest.Summary{From: from, Standing: digest.Standing{Ready: true, Waiting: true}},
		&digest.Summary{From: from, Standing: digest.Standing{Ready: true}, Former: true},
		&digest.Summary{From: from, Secret: 1 << 63, Root: 1 << 62, Unkeyed: 1 << 61, KV: 5},
		&digest.Summary{From: from, Standing: digest.Standing{Witness: true}, Turns: true, Wish: 1 << 60, Yields: 1 << 59},
		&digest.Compare{From: from, Nonce: 9, Secret: 1 << 63, Mask: 1, Sums: []uint64{1}},
		&digest.Compare{From: from, Nonce: 9, Subject: digest.Topics, Name: "broker-a", Stream: true, Mask: 5, Sums: []uint64{1, 2}},
		&digest.Items{From: from, Nonce: 9, Equal: 1, Covered: 2, Skipped: 4, Root: 7, Part: 1, Parts: 2, Items: []digest.Item{item, {}}},
	}
}

func TestDigestMessagesSurviveTheirEncoding(t *testing.T) {
	for _, m := range digestMessages() {
		b, err := encodeDigest(m)
		kit.Must(t, err)
		if !isDigest(b) {
			t.Errorf("%T is not taken for a digest", m)
		}
		got, err := decodeDigest(b)
		kit.Must(t, err)
		if diff := cmp.Diff(m, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%T: %s", m, diff)
		}
		if _, err := Decode(b); err == nil {
			t.Errorf("%T is taken for a message about tombstones", m)
		}
	}
}

// A release from before secrets reads the figures without one, and its own are read as such.
func TestDigestsOfFormerReleases(t *testing.T) {
	type summary struct {
		_struct        bool `codec:",toarray"` //nolint:unused // read by the codec
		From           wirePeer
		Age            int64
		Flags          uint8
		Count, Skipped uint32
		Root           uint64
		KV, Options    uint64
	}
	type compare struct {
		_struct bool `codec:",toarray"` //nolint:unused // read by the codec
		From    wirePeer
		Nonce   uint64
		Subject uint8
		Name    string
		Stream  bool
		Mask    uint64
		Sums    []uint64
	}
	peer := tombstone.Peer{Name: "n1", Boot: 1}
	b, err := encodeDigest(&digest.Summary{From: peer, Secret: 7, Root: 8, Unkeyed: 9, KV: 10, Options: 11})
	kit.Must(t, err)
	var s summary
	kit.Must(t, decode(b[headLen:], &s))
	if s.Root != 9 || s.KV != 10 || s.Options != 11 {
		t.Errorf("a former release reads %+v", s)
	}
	b, err = encodeDigest(&digest.Compare{From: peer, Nonce: 2, Mask: 1, Sums: []uint64{3}})
	kit.Must(t, err)
	var c compare
	kit.Must(t, decode(b[headLen:], &c))
	if c.Nonce != 2 || !slices.Equal(c.Sums, []uint64{3}) {
		t.Errorf("a former release reads %+v", c)
	}
	b, err = encode(typeSummary, summary{From: wirePeer{Name: "n1", Boot: 1}, Root: 9})
	kit.Must(t, err)
	if m, err := decodeDigest(b); err != nil || m.(*digest.Summary).Root != 9 || m.(*digest.Summary).Secret != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	b, err = encode(typeCompare, compare{From: wirePeer{Name: "n1", Boot: 1}, Mask: 1, Sums: []uint64{3}})
	kit.Must(t, err)
	if m, err := decodeDigest(b); err != nil || m.(*digest.Compare).Secret != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

// What digests are keyed with is the same at nodes of one key, and another one for another key.
func TestSecretsOfKeys(t *testing.T) {
	g, key := keyed(t, "127.0.0.1:1")
	other, _ := keyed(t, "127.0.0.1:1")
	of := func(g *Gossip) digest.Secret { return (&digests{g: g, made: map[string]digest.Secret{}}).secrets()[0] }
	if s := of(g); s != digestSecret(key) || s == of(other) || s.ID == 0 || s.ID == of(other).ID {
		t.Errorf("%+v and %+v", of(g), of(other))
	}
	open := made(t, func(*Config) {})
	if s := (&digests{g: open}).secrets(); s != nil {
		t.Errorf("without keys: %+v", s)
	}
}

func FuzzDecodeDigest(f *testing.F) {
	for _, m := range digestMessages() {
		b, err := encodeDigest(m)
		kit.Must(f, err)
		f.Add(b)
	}
	f.Add([]byte{typeItems, wireVersion, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeDigest(b)
		if err != nil {
			return
		}
		again, err := encodeDigest(m)
		kit.Must(t, err)
		back, err := decodeDigest(again)
		kit.Must(t, err)
		if diff := cmp.Diff(m, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		_ = m.Valid() // must not panic
	})
}

// between is two ledgers that hand each other what they encode, and count it.
type between struct {
	now     clock.Stamp
	ledgers map[tombstone.Peer]*digest.Ledger
	bytes   map[tombstone.Peer]int
	largest map[bool]int // by stream or not
	t       interface{ Fatalf(string, ...any) }
}

type nothing struct{}

func (nothing) Items(digest.Subject, string) []digest.Item { return nil }

func newBetween(t interface{ Fatalf(string, ...any) }, names ...string) (*between, []*digest.Ledger) {
	b := &between{
		now: clock.Stamp{Raw: 1e12, Boot: 1e12}, ledgers: map[tombstone.Peer]*digest.Ledger{},
		bytes: map[tombstone.Peer]int{}, largest: map[bool]int{}, t: t,
	}
	var all []*digest.Ledger
	var peers []tombstone.Peer
	for i, name := range names {
		p := tombstone.Peer{Name: name, Boot: ^uint64(i)}
		l := digest.New(digest.Config{Self: p, Random: random64, Source: nothing{}}, b.now)
		b.ledgers[p] = l
		all, peers = append(all, l), append(peers, p)
	}
	for i, l := range all {
		for _, p := range peers {
			b.carry(peers[i], l.MemberUp(p, b.now))
		}
	}
	return b, all
}

func (b *between) carry(from tombstone.Peer, packets []digest.Packet) {
	for _, p := range packets {
		raw, err := encodeDigest(p.Msg)
		if err != nil {
			b.t.Fatalf("%v", err)
		}
		b.bytes[from] += len(raw)
		b.largest[p.Stream] = max(b.largest[p.Stream], len(raw))
		m, err := decodeDigest(raw)
		if err != nil {
			b.t.Fatalf("%v", err)
		}
		if to := b.ledgers[p.To]; to != nil {
			out, _ := to.Receive(m, b.now)
			b.carry(p.To, out)
		}
	}
}

func (b *between) run(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(100 * time.Millisecond)
		for p, l := range b.ledgers {
			b.carry(p, l.Tick(b.now))
		}
	}
}

// No packet is larger than a packet may be, however long the names are, and no part of a stream larger than its limit.
func TestDigestMessagesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		long := strings.Repeat("n", tombstone.MaxName-1)
		b, all := newBetween(t, long+"1", long+"2")
		var items []digest.Item
		size := rapid.IntRange(0, digest.MaxKey-8).Draw(t, "name")
		for i := range rapid.IntRange(1, 200).Draw(t, "items") {
			items = append(items, digest.Item{
				Key:     digest.Key{Cluster: strings.Repeat("c", size), Name: fmt.Sprintf("%08x", i), ID: -1 << 63},
				Version: mq.DataVersion{StateVersion: -1 << 63, Timestamp: 1<<63 - 1, Counter: -1 << 63}, Topics: ^uint32(0), Writable: ^uint32(0),
				Kept: 255, Hash: ^uint64(0),
			})
		}
		all[0].SetOwn(digest.Own{Brokers: items, KV: ^uint64(0), Options: ^uint64(0)}, b.now)
		b.run(5 * time.Second)
		if b.largest[false] > digest.MaxMessage || b.largest[true] > digest.MaxStream {
			t.Fatalf("largest packet %d bytes, by stream %d", b.largest[false], b.largest[true])
		}
		if len(items) > 10 && b.largest[false] < digest.MaxMessage/3 {
			t.Fatalf("the largest packet has only %d bytes: this tests nothing", b.largest[false])
		}
	})
}

// The figure of the issue: 100 brokers of 10,000 topics each, nothing changes, less than 10 kB/s a node. The bytes are
// those handed to memberlist, which adds up to 45 for its header, label and encryption, and UDP and IP add 28.
func TestSummariesAreCheap(t *testing.T) {
	const overhead, seconds = 45 + 28, 20
	for _, nodes := range []int{3, 9, 33, 100} {
		var names []string
		for i := range nodes {
			names = append(names, fmt.Sprintf("node-%03d", i))
		}
		b, all := newBetween(t, names...)
		var items []digest.Item
		for i := range 100 {
			items = append(items, digest.Item{
				Key:     digest.Key{Cluster: "DefaultCluster", Name: fmt.Sprintf("broker-%03d", i), Addr: fmt.Sprintf("10.0.0.%d:10911", i)},
				Version: mq.DataVersion{Timestamp: 1700000000000, Counter: 1}, Topics: 10_000, Writable: 10_000, Hash: uint64(i) << 40,
			})
		}
		for _, l := range all {
			l.SetOwn(digest.Own{Brokers: items, KV: 1 << 60, Options: 1 << 61}, b.now)
		}
		b.run(5 * time.Second)
		before, packets := map[tombstone.Peer]int{}, map[tombstone.Peer]uint64{}
		for p, l := range b.ledgers {
			before[p] = b.bytes[p]
			packets[p] = l.Counters().SummariesSent
		}
		b.run(seconds * time.Second)
		worst, plain := 0, 0
		for p, l := range b.ledgers {
			c := l.Counters()
			if c.ComparesSent+c.ItemsSent > 0 {
				t.Fatalf("%s compares although all agree", p.Name)
			}
			plain = max(plain, b.bytes[p]-before[p])
			worst = max(worst, b.bytes[p]-before[p]+overhead*int(c.SummariesSent-packets[p]))
		}
		t.Logf("%d nodes: %d bytes/s a node, %d on the wire", nodes, plain/seconds, worst/seconds)
		if worst/seconds > 10_000 {
			t.Errorf("%d nodes: %d bytes/s a node, want less than 10 kB/s", nodes, worst/seconds)
		}
	}
}

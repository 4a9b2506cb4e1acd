package digest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
)

// world is some nodes with a network between them, in virtual time.
type world struct {
	t      fataler
	now    clock.Stamp
	nodes  []*testNode
	flying []flight
	random uint64
	loss   int // of 100
	dup    int
	delay  time.Duration // at most
	noUDP  bool
	sent   map[string]int // bytes, by sender
	wire   func(Message) int
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

type testNode struct {
	*Ledger
	peer  Peer
	own   map[Key]Item
	other map[Subject][]Item
	down  bool
	got   []Answer

	former bool     // of a release without secrets and wishes
	keys   []uint64 // IDs of its secrets
}

// reads is a message as the node's release reads it.
func (n *testNode) reads(m Message) Message {
	if s, ok := m.(*Summary); ok && n.former && s.Secret != 0 {
		plain := *s
		plain.Secret, plain.Root, plain.Unkeyed = 0, s.Unkeyed, 0
		return &plain
	}
	return m
}

func (n *testNode) secrets() (all []Secret) {
	for _, id := range n.keys {
		all = append(all, Secret{ID: id, Key: [32]byte{byte(id)}})
	}
	return all
}

func (n *testNode) Items(s Subject, _ string) []Item { return n.other[s] }

type flight struct {
	at  clock.Stamp
	to  Peer
	msg Message
}

func newWorld(t fataler, n int) *world {
	w := &world{t: t, now: clock.Stamp{Raw: 1e12, Boot: 1e12}, random: 1, sent: map[string]int{}, delay: 2 * time.Millisecond}
	for i := range n {
		w.add(fmt.Sprintf("n%d", i+1), uint64(i))
	}
	return w
}

func (w *world) add(name string, boot uint64) *testNode {
	n := &testNode{peer: Peer{Name: name, Boot: boot}, own: map[Key]Item{}, other: map[Subject][]Item{}}
	n.Ledger = New(Config{Self: n.peer, Random: w.rand, Source: n, Secrets: n.secrets}, w.now)
	n.SetStanding(Standing{Ready: true, Witness: true}, w.now)
	w.nodes = append(w.nodes, n)
	for _, o := range w.nodes {
		if o != n && !o.down {
			w.carry(n, n.MemberUp(o.peer, w.now))
			w.carry(o, o.MemberUp(n.peer, w.now))
		}
	}
	return n
}

func (w *world) rand() uint64 {
	w.random = w.random*6364136223846793005 + 1442695040888963407
	return w.random ^ w.random>>29
}

func (w *world) carry(from *testNode, packets []Packet) {
	for _, p := range packets {
		if s, ok := p.Msg.(*Summary); ok && from.former {
			plain := *s
			plain.Turns, plain.Wish, plain.Yields = false, 0, 0
			p.Msg = &plain
		}
		if w.wire != nil {
			w.sent[from.peer.Name] += w.wire(p.Msg)
		}
		copies := 1
		if !p.Stream {
			if w.noUDP || int(w.rand()%100) < w.loss {
				continue
			}
			if int(w.rand()%100) < w.dup {
				copies = 2
			}
		}
		for range copies {
			w.flying = append(w.flying, flight{w.now.Add(time.Duration(w.rand() % uint64(w.delay))), p.To, p.Msg})
		}
	}
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Boot < end.Boot; {
		w.now = w.now.Add(20 * time.Millisecond)
		slices.SortFunc(w.flying, func(a, b flight) int { return int(a.at.Boot - b.at.Boot) })
		for len(w.flying) > 0 && w.flying[0].at.Boot <= w.now.Boot {
			f := w.flying[0]
			w.flying = w.flying[1:]
			for _, n := range w.nodes {
				if n.peer == f.to && !n.down {
					out, answers := n.Receive(n.reads(f.msg), w.now)
					n.got = append(n.got, answers...)
					w.carry(n, out)
				}
			}
		}
		if w.now.Boot/int64(20*time.Millisecond)%5 == 0 {
			for _, n := range w.nodes {
				if !n.down {
					w.carry(n, n.Tick(w.now))
				}
			}
		}
	}
}

func (w *world) kill(n *testNode) {
	n.down = true
	for _, o := range w.nodes {
		o.MemberLeft(n.peer)
	}
}

func (w *world) set(n *testNode, items ...Item) {
	for _, i := range items {
		n.own[i.Key] = i
	}
	n.SetOwn(Own{Brokers: slices.Collect(maps.Values(n.own))}, w.now)
}

func (w *world) unset(n *testNode, keys ...Key) {
	for _, k := range keys {
		delete(n.own, k)
	}
	w.set(n)
}

func broker(i int) Item {
	return Item{
		Key:     Key{Cluster: "DefaultCluster", Name: fmt.Sprintf("broker-%03d", i), Addr: fmt.Sprintf("10.0.%d.%d:10911", i/250, i%250)},
		Version: mq.DataVersion{Timestamp: 1700000000000 + int64(i), Counter: int64(i)}, Topics: 10_000, Writable: 10_000, Hash: uint64(i) * 7919,
	}
}

// differing lists what n believes to differ from a member.
func differing(n *testNode, peer Peer, now clock.Stamp, settledOnly bool) (keys []Key) {
	for _, p := range n.View(now).Peers {
		for _, d := range p.Differences {
			if p.Peer == peer && (d.Settled || !settledOnly) {
				keys = append(keys, d.Key)
			}
		}
	}
	return keys
}

// served is what two nodes must have in common of an item: all of it but why a tombstone was kept.
func served(i Item) Item {
	i.Kept = 0
	return i
}

// truth is what really differs between two nodes.
func truth(a, b *testNode) (keys []Key) {
	for k, i := range a.own {
		if o, ok := b.own[k]; !ok || served(i) != served(o) {
			keys = append(keys, k)
		}
	}
	for k := range b.own {
		if _, ok := a.own[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(x, y Key) int { return compareKeys(&x, &y) })
	return keys
}

func (w *world) checkTruth() {
	w.t.Helper()
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a == b || a.down || b.down {
				continue
			}
			got, want := differing(a, b.peer, w.now, false), truth(a, b)
			for _, k := range want {
				if !slices.Contains(got, k) {
					w.t.Fatalf("%s does not see that %s differs about %v", a.peer.Name, b.peer.Name, k)
				}
			}
			if len(got) != len(want) {
				w.t.Fatalf("%s sees that %s differs about %d, not %d", a.peer.Name, b.peer.Name, len(got), len(want))
			}
		}
	}
}

// However packets are lost, doubled and reordered: some seconds after the last change every node knows exactly what
// differs, and from then on says nothing but summaries.
func TestNodesFindExactlyWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(2, 4).Draw(t, "nodes"))
		w.random = rapid.Uint64().Draw(t, "seed")
		w.loss, w.dup = rapid.SampledFrom([]int{0, 0, 10, 40}).Draw(t, "loss"), rapid.SampledFrom([]int{0, 30}).Draw(t, "dup")
		w.delay = rapid.SampledFrom([]time.Duration{time.Millisecond, 300 * time.Millisecond}).Draw(t, "delay")
		// No keys, one key, the steps of changing it, and members of a former release.
		rings := rapid.SampledFrom([][][]uint64{
			{nil, nil}, {{1}, {1}}, {{1}, {1, 2}}, {{1, 2}, {2, 1}}, {{2, 1}, {2}}, {{1}, nil}, {{2, 1}, nil},
		}).Draw(t, "rings")
		for _, n := range w.nodes {
			n.keys = rapid.SampledFrom(rings).Draw(t, "ring")
			n.former = n.keys == nil
		}
		w.noUDP = rapid.IntRange(0, 9).Draw(t, "udp blocked") == 0
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")]
			i := broker(rapid.IntRange(0, 300).Draw(t, "broker"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				w.unset(n, slices.Collect(maps.Keys(n.own))...)
			case 1:
				w.unset(n, i.Key)
			case 2:
				i.Version.Counter++
				w.set(n, i)
			case 3:
				var many []Item
				for b := range rapid.IntRange(1, 400).Draw(t, "many") {
					many = append(many, broker(b))
				}
				w.set(n, many...)
			default:
				i.Kept = 3
				w.set(n, i)
			}
			w.run(time.Duration(rapid.IntRange(0, 900).Draw(t, "pause")) * time.Millisecond)
		}
		w.run(30 * time.Second)
		w.checkTruth()
		var before []Counters
		for _, n := range w.nodes {
			before = append(before, n.Counters())
		}
		w.run(20 * time.Second)
		for i, n := range w.nodes {
			c := n.Counters()
			if c.ComparesSent != before[i].ComparesSent {
				t.Fatalf("%s compares again although nothing changed", n.peer.Name)
			}
			if sent, most := c.SummariesSent-before[i].SummariesSent, uint64(45*(len(w.nodes)-1)); sent > most {
				t.Fatalf("%s sent %d summaries in 20 s, want at most %d", n.peer.Name, sent, most)
			}
		}
	})
}

// The figures of the issue, in virtual time: a broker that one node lacks shows within 2 s and clears within 2 s.
func TestDivergenceShowsAndClearsInTime(t *testing.T) {
	for _, nodes := range []int{2, 3, 9, 33} {
		w := newWorld(t, nodes)
		for _, n := range w.nodes {
			w.set(n, broker(1), broker(2))
		}
		w.run(5 * time.Second)
		within := func(what string, cond func() bool) {
			t.Helper()
			begin := w.now
			for !cond() {
				if w.run(20 * time.Millisecond); w.now.Sub(begin) > 2*time.Second {
					t.Fatalf("%d nodes: %s took longer than 2 s", nodes, what)
				}
			}
			t.Logf("%d nodes: %s after %v", nodes, what, w.now.Sub(begin))
		}
		shows := func(want int, key Key) func() bool {
			return func() bool {
				for _, n := range w.nodes[1:] {
					if got := differing(n, w.nodes[0].peer, w.now, true); len(got) != want || want > 0 && got[0] != key {
						return false
					}
					if got := differing(w.nodes[0], n.peer, w.now, true); len(got) != want {
						return false
					}
				}
				return true
			}
		}
		w.unset(w.nodes[0], broker(1).Key)
		within("a broker that n1 lacks", shows(1, broker(1).Key))
		w.run(3 * time.Second)
		w.set(w.nodes[0], broker(1))
		within("its return", shows(0, Key{}))
		w.run(3 * time.Second)
		w.set(w.nodes[0], broker(7))
		within("a broker that only n1 has", shows(1, broker(7).Key))
		w.unset(w.nodes[0], broker(7).Key)
		within("its end", shows(0, Key{}))
		w.run(3 * time.Second)
		wiped := broker(2)
		wiped.Writable, wiped.Hash = 0, 1
		w.set(w.nodes[0], wiped)
		if nodes <= 9 { // above, changes are batched for longer
			within("a wiped permission", shows(1, wiped.Key))
			w.set(w.nodes[0], broker(2))
			within("its end", shows(0, Key{}))
			w.run(3 * time.Second)
			updated := broker(3)
			updated.Version.Counter++
			w.set(w.nodes[0], updated)
			within("an update that reached one node", shows(1, updated.Key))
		}
	}
}

// A registration that reaches the nodes within some 100 ms is no divergence at any time, and nothing is compared.
func TestChangeOnItsWayIsNoDivergence(t *testing.T) {
	w := newWorld(t, 3)
	for i := range 50 {
		update := broker(i % 5)
		update.Version.Counter += int64(i)
		for _, n := range w.nodes {
			w.set(n, update)
			w.run(40 * time.Millisecond)
			for _, o := range w.nodes {
				for _, p := range w.nodes {
					if got := differing(o, p.peer, w.now, true); len(got) > 0 {
						t.Fatalf("update %d: %s says that %s differs about %v", i, o.peer.Name, p.peer.Name, got)
					}
				}
			}
		}
		w.run(500 * time.Millisecond)
	}
	for _, n := range w.nodes {
		if c := n.Counters(); c.ComparesSent > 0 {
			t.Errorf("%s compared %d times", n.peer.Name, c.ComparesSent)
		}
	}
}

// A large node is compared in several answers.
func TestManyBrokersAreCompared(t *testing.T) {
	w := newWorld(t, 2)
	var many []Item
	for i := range 3000 {
		many = append(many, broker(i))
	}
	w.set(w.nodes[0], many...)
	w.run(60 * time.Second)
	w.checkTruth()
	if got := len(truth(w.nodes[0], w.nodes[1])); got != 3000 {
		t.Fatal(got)
	}
}

func TestMoreItemsThanAllowed(t *testing.T) {
	var all []Item
	for i := range maxItems + 100 {
		it := broker(i)
		it.Long = i%4 == 0
		all = append(all, it)
	}
	key := Secret{ID: 1, Key: [32]byte{2}}
	a := newSet(byKey(all), key)
	slices.Reverse(all)
	b := newSet(byKey(all), key)
	if a.Len() != maxItems || a.skipped != 100 || b.skipped != 100 || a.Root() != b.Root() {
		t.Fatalf("%d items, %d and %d skipped, roots %x and %x", a.Len(), a.skipped, b.skipped, a.Root(), b.Root())
	}
	same, other := newSet(byKey(all), Secret{}).items, 0
	for k := range a.items {
		if _, both := same[k]; !both {
			other++
		}
	}
	if other < 10 {
		t.Errorf("whoever does not know the secret knows which are compared: all but %d of %d", other, len(same))
	}
	for _, items := range []map[Key]Item{same, a.items, b.items} {
		for i := range all {
			if _, is := items[all[i].Key]; all[i].Long && !is {
				t.Fatalf("%s has been there for long and is not compared", all[i].Name)
			}
		}
	}
}

// Nodes that hold more than is compared say so, are no witnesses, and find what differs among those that have been there for
// long; what the other one does not name is not taken for what it lacks.
func TestMoreThanIsCompared(t *testing.T) {
	w := newWorld(t, 3)
	few, a, b := w.nodes[0], w.nodes[1], w.nodes[2]
	for _, n := range w.nodes {
		n.keys = []uint64{1}
	}
	flood := func(n *testNode, from int) {
		for i := range maxItems + 1000 {
			n.own[broker(from+i).Key] = broker(from + i)
		}
	}
	long := func(i int) Item {
		it := broker(1_000_000 + i)
		it.Long = true
		return it
	}
	flood(a, 0)
	flood(b, 500)
	changed := long(2)
	changed.Hash++
	w.set(few, long(1), long(2), long(4))
	w.set(a, long(1), long(2), long(3))
	w.set(b, long(1), changed)
	w.run(9 * time.Second)
	about := func(n, peer *testNode, k Key) (d *Difference) {
		for _, p := range n.View(w.now).Peers {
			for i := range p.Differences {
				if p.Peer == peer.peer && p.Differences[i].Key == k {
					d = &p.Differences[i]
				}
			}
			if !p.Partly {
				t.Errorf("%s says that %s is compared", n.peer.Name, p.Name)
			}
		}
		return d
	}
	for _, n := range []*testNode{a, b} {
		if got := about(n, few, long(4).Key); got == nil || got.HasHere || !got.HasThere {
			t.Errorf("%s lacks one that a member has, and sees %+v", n.peer.Name, got)
		}
	}
	for _, pair := range [][2]*testNode{{a, b}, {b, a}, {few, b}} {
		if got := about(pair[0], pair[1], changed.Key); got == nil || !got.HasHere || !got.HasThere {
			t.Errorf("%s and %s serve something else, and see %+v", pair[0].peer.Name, pair[1].peer.Name, got)
		}
	}
	if got := about(b, a, long(3).Key); got == nil || got.HasHere || !got.HasThere {
		t.Errorf("b lacks one that a has, and sees %+v", got)
	}
	for _, pair := range [][2]*testNode{{a, b}, {b, a}, {few, a}, {few, b}} {
		for _, p := range pair[0].View(w.now).Peers {
			for _, d := range p.Differences {
				_, here := pair[0].own[d.Key]
				_, there := pair[1].own[d.Key]
				if p.Peer == pair[1].peer && (d.HasHere != here || d.HasThere != there) {
					t.Fatalf("%s says of %v here %v, at %s %v", pair[0].peer.Name, d.Key, d.HasHere, p.Name, d.HasThere)
				}
			}
		}
	}
	if c := few.Catchup(w.now); len(c.Witnesses) > 0 {
		t.Errorf("witnesses that cannot say what they hold: %v", c.Witnesses)
	}
	if c := a.Catchup(w.now); !slices.Equal(c.Witnesses, []string{few.peer.Name}) {
		t.Errorf("witnesses: %v", c.Witnesses)
	}
	if n := a.Counters().Skipped; n != 1003 {
		t.Errorf("%d skipped", n)
	}
}

// What comes with a key that this node does not have any more is refused and counted.
func TestSecretsThatAreGone(t *testing.T) {
	w := newWorld(t, 2)
	n, peer := w.nodes[0], w.nodes[1].peer
	n.keys = []uint64{2}
	w.run(time.Second)
	before := n.Counters()
	out, _ := n.Receive(&Summary{From: peer, Age: time.Hour, Secret: 1, Root: 9}, w.now)
	more, _ := n.Receive(&Compare{From: peer, Nonce: 1, Secret: 1, Mask: 1, Sums: []uint64{1}}, w.now)
	if c := n.Counters(); len(out)+len(more) > 0 || c.RefusedSecret != before.RefusedSecret+2 {
		t.Errorf("%d packets, %+v", len(out)+len(more), c)
	}
}

// Nobody but a living member is believed, and no answer that was not asked for.
func TestStrangersAreNotBelieved(t *testing.T) {
	w := newWorld(t, 2)
	w.set(w.nodes[0], broker(1))
	w.set(w.nodes[1], broker(1))
	w.run(3 * time.Second)
	n := w.nodes[0]
	stranger := Peer{Name: "x", Boot: 9}
	all := ^uint64(0)
	for _, m := range []Message{
		&Summary{From: stranger, Root: 5},
		&Compare{From: stranger, Nonce: 1, Mask: all, Sums: make([]uint64, buckets)},
		&Items{From: w.nodes[1].peer, Nonce: 77, Covered: all, Parts: 1, Items: []Item{broker(9)}},
		&Items{From: w.nodes[1].peer, Covered: all, Equal: 1, Parts: 1},
		&Items{From: w.nodes[1].peer, Covered: all, Part: 1, Parts: 1},
		&Compare{From: w.nodes[1].peer, Mask: 3, Sums: []uint64{1}},
		&Compare{From: w.nodes[1].peer, Subject: subjects, Mask: 1, Sums: []uint64{1}},
		&Summary{From: Peer{}},
	} {
		if out, answers := n.Receive(m, w.now); len(out)+len(answers) > 0 {
			t.Errorf("%+v was answered", m)
		}
	}
	c := n.Counters()
	if c.RefusedSender != 2 || c.RefusedNonce != 1 || c.RefusedMalformed != 5 {
		t.Errorf("%+v", c)
	}
	if got := differing(n, w.nodes[1].peer, w.now, false); len(got) > 0 {
		t.Errorf("believed: %v", got)
	}
}

// Questions about what is not gossiped: topics, KV keys, options.
func TestAskComparesOnDemand(t *testing.T) {
	w := newWorld(t, 2)
	item := func(name string, hash uint64) Item { return Item{Key: Key{Name: name}, Hash: hash} }
	var here, there []Item
	for i := range 1000 {
		here = append(here, item(fmt.Sprintf("topic-%d", i), uint64(i)))
		there = append(there, item(fmt.Sprintf("topic-%d", i), uint64(i)))
	}
	there[5].Hash++
	w.nodes[0].other[Topics] = append(here, item("only-here", 1))
	w.nodes[1].other[Topics] = append(there, item("only-there", 1))
	w.run(2 * time.Second)
	nonce, out, ok := w.nodes[0].Ask(w.nodes[1].peer, Topics, "b", w.now)
	if !ok {
		t.Fatal("not asked")
	}
	w.carry(w.nodes[0], out)
	w.run(time.Second)
	got := w.nodes[0].got
	want := []Delta{
		{Key: Key{Name: "only-here"}, Here: true}, {Key: Key{Name: "only-there"}, There: true},
		{Key: Key{Name: "topic-5"}, Here: true, There: true},
	}
	if len(got) != 1 || got[0].Nonce != nonce || got[0].Cut || !slices.Equal(got[0].Deltas, want) {
		t.Fatalf("%+v", got)
	}
}

// Where a node that restarts stands: what it lacks, and who can know.
func TestCatchup(t *testing.T) {
	w := newWorld(t, 3)
	for _, n := range w.nodes {
		w.set(n, broker(1), broker(2))
	}
	w.run(time.Second)
	w.kill(w.nodes[2])
	back := w.add("n3", 99)
	back.SetStanding(Standing{Waiting: true}, w.now)
	if c := back.Catchup(w.now); len(c.Undecided) != 2 {
		t.Fatalf("before anything was heard: %+v", c)
	}
	w.run(time.Second)
	c := back.Catchup(w.now)
	if len(c.Undecided) > 0 || len(c.Witnesses) != 2 || len(c.Missing) != 2 || c.Held != 2 {
		t.Fatalf("with two witnesses: %+v", c)
	}
	// It waits for what it lacks: that is no divergence yet.
	for _, n := range w.nodes[:2] {
		if got := differing(n, back.peer, w.now, true); len(got) > 0 {
			t.Fatalf("a divergence already: %v", got)
		}
	}
	w.set(back, broker(1))
	if c := back.Catchup(w.now); len(c.Missing) != 1 || c.Missing[0].Key != broker(2).Key {
		t.Fatalf("one is back: %+v", c)
	}
	w.unset(w.nodes[0], broker(2).Key)
	w.unset(w.nodes[1], broker(2).Key)
	w.run(2 * time.Second)
	if c := back.Catchup(w.now); len(c.Missing)+len(c.Undecided) > 0 {
		t.Fatalf("the other is gone for good: %+v", c)
	}
}

// A witness that was compared while both held nothing, and was then told of a broker, is compared again before anybody relies on
// it: what it holds is not known, though it holds something.
func TestCatchupOfWhoHoldsMoreThanIsKnown(t *testing.T) {
	w := newWorld(t, 2)
	back, peer := w.nodes[0], w.nodes[1].peer
	w.run(time.Second)
	if c := back.Catchup(w.now); len(c.Undecided) > 0 || len(c.Witnesses) != 1 || c.Held != 0 {
		t.Fatalf("while both hold nothing: %+v", c)
	}
	back.Receive(&Summary{From: peer, Age: time.Hour, Root: 12345, Count: 1, Standing: Standing{Ready: true, Witness: true}}, w.now)
	if c := back.Catchup(w.now); len(c.Undecided) != 1 {
		t.Errorf("it holds one: %+v", c)
	}
	w.set(back, broker(1))
	if c := back.Catchup(w.now); len(c.Undecided) > 0 {
		t.Errorf("so does this one: %+v", c)
	}
}

// After a full restart nobody is a witness, and nobody waits for another.
func TestCatchupAfterFullRestart(t *testing.T) {
	w := newWorld(t, 3)
	for _, n := range w.nodes {
		n.SetStanding(Standing{Waiting: true}, w.now)
	}
	w.set(w.nodes[0], broker(1))
	w.run(time.Second)
	for _, n := range w.nodes {
		if c := n.Catchup(w.now); len(c.Undecided)+len(c.Witnesses)+len(c.Missing) > 0 {
			t.Errorf("%s: %+v", n.peer.Name, c)
		}
	}
}

// For how long a member has said nothing is known of those that said something, and only while each is told every second.
func TestUnheard(t *testing.T) {
	w := newWorld(t, 3)
	w.run(5 * time.Second)
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	c.down = true // and nobody has noticed
	w.run(10 * time.Second)
	all := a.Unheard(w.now)
	if len(all) != 2 || all[b.peer] > summaryEvery+batch || all[c.peer] < 9*time.Second || all[c.peer] > 11*time.Second {
		t.Errorf("%v", all)
	}
	a.MemberUp(Peer{Name: "of a former release"}, w.now)
	w.run(time.Minute)
	if all := a.Unheard(w.now); len(all) != 2 {
		t.Errorf("one that never said anything: %v", all)
	}
	for i := range meshMembers {
		a.MemberUp(Peer{Name: "many", Boot: uint64(i)}, w.now)
	}
	if all := a.Unheard(w.now); len(all) != 0 {
		t.Errorf("of many members: %v", all)
	}
}

// Who is a witness: whoever says so and is ready; of a former release, which does not say, whoever is ready and old.
func TestWitnesses(t *testing.T) {
	w := newWorld(t, 2)
	asker, other := w.nodes[0], w.nodes[1]
	w.run(time.Second)
	age := YoungAge - time.Second
	for name, c := range map[string]struct {
		is   Standing
		old  bool // of a former release
		age  time.Duration
		want bool
	}{
		"ready and a witness":           {Standing{Ready: true, Witness: true}, false, time.Second, true},
		"a witness that drains":         {Standing{Witness: true}, false, time.Second, false},
		"old and no witness":            {Standing{Ready: true}, false, time.Hour, false},
		"of a former release and young": {Standing{Ready: true}, true, age, false},
		"of a former release and old":   {Standing{Ready: true}, true, age + time.Second, true},
		"of a former release, starting": {Standing{Waiting: true}, true, time.Hour, false},
	} {
		p := asker.peers[other.peer]
		p.last.Age = 0
		asker.Receive(&Summary{From: other.peer, Age: c.age, Standing: c.is, Former: c.old}, w.now)
		if got := len(asker.Catchup(w.now).Witnesses) == 1; got != c.want {
			t.Errorf("%s: a witness %v", name, got)
		}
	}
}

// Whom a node that restarts does not wait for: a broker that another witness lacks, when one witness alone holds it or it
// registered after the start.
func TestLeftOut(t *testing.T) {
	const early, later, never = 1, 2, 0 // when a witness is told of the broker, by the restart of the asker
	for name, c := range map[string]struct {
		witnesses []int
		out       bool
	}{
		"one witness, and it holds it":         {[]int{early}, false},
		"one witness, and it was told later":   {[]int{later}, false},
		"one of two":                           {[]int{early, never}, true},
		"one of three":                         {[]int{early, never, never}, true},
		"two of three":                         {[]int{early, early, never}, false},
		"two of three, told later":             {[]int{later, later, never}, true},
		"two of three, one of them told later": {[]int{early, later, never}, false},
		"all, told later":                      {[]int{later, later, later}, false},
	} {
		w := newWorld(t, len(c.witnesses))
		tell := func(when int) {
			for i, n := range c.witnesses {
				if n == when {
					w.set(w.nodes[i], broker(1))
				}
			}
		}
		for _, n := range w.nodes {
			w.set(n, broker(7)) // so that there is something to compare
		}
		tell(early)
		w.run(2 * time.Second)
		back := w.add("back", 99)
		back.SetStanding(Standing{Waiting: true}, w.now)
		w.run(2 * time.Second)
		tell(later)
		w.run(2 * time.Second)
		w.set(back, broker(7))
		w.run(2 * time.Second)
		got := back.Catchup(w.now)
		want, wantOut := []Missing{{Key: broker(1).Key, Holder: "n1"}}, []Missing(nil)
		if c.out {
			lacks := "n" + fmt.Sprint(len(c.witnesses))
			want, wantOut = nil, []Missing{{Key: broker(1).Key, Holder: "n1", Lacks: lacks}}
		}
		if len(got.Witnesses) != len(c.witnesses) || len(got.Undecided) > 0 || len(got.Missing) != len(want) || !slices.Equal(got.LeftOut, wantOut) {
			t.Errorf("%s: %+v", name, got)
		}
		if !c.out && (got.Missing[0].Key != want[0].Key || got.Missing[0].Holder != want[0].Holder) {
			t.Errorf("%s: %+v", name, got.Missing)
		}
	}
}

// What a witness lacks counts when it was compared as it is now: a broker that is on its way to all is waited for.
func TestWitnessThatChangesLeavesNobodyOut(t *testing.T) {
	w := newWorld(t, 2)
	for _, n := range w.nodes {
		w.set(n, broker(7))
	}
	w.run(2 * time.Second)
	back := w.add("back", 99)
	back.SetStanding(Standing{Waiting: true}, w.now)
	w.set(w.nodes[0], broker(1))
	w.run(2 * time.Second)
	if got := back.Catchup(w.now); len(got.LeftOut) != 1 {
		t.Fatalf("one holds it: %+v", got)
	}
	other := back.peers[w.nodes[1].peer]
	back.Receive(&Summary{From: other.Peer, Age: time.Hour, Standing: Standing{Ready: true, Witness: true}, Root: 12345}, w.now)
	if got := back.Catchup(w.now); len(got.LeftOut) != 0 || len(got.Missing) != 2 {
		t.Errorf("while the other one changes: %+v", got)
	}
}

// Each thing that an item says makes a difference, alone; only why a tombstone was kept makes none.
func TestEachFigureMakesADifference(t *testing.T) {
	for what, change := range map[string]func(i *Item){
		"state version":   func(i *Item) { i.Version.StateVersion++ },
		"timestamp":       func(i *Item) { i.Version.Timestamp++ },
		"counter":         func(i *Item) { i.Version.Counter++ },
		"topics":          func(i *Item) { i.Topics++ },
		"writable topics": func(i *Item) { i.Writable-- },
		"hash of topics":  func(i *Item) { i.Hash++ },
		"id":              func(i *Item) { i.ID++ },
		"kept":            func(i *Item) { i.Kept = 3 },
	} {
		w := newWorld(t, 2)
		i := broker(1)
		w.set(w.nodes[0], broker(1), broker(2))
		change(&i)
		w.set(w.nodes[1], i, broker(2))
		w.run(5 * time.Second)
		want := map[string]int{"id": 2, "kept": 0}
		n, special := want[what]
		if !special {
			n = 1
		}
		if got := differing(w.nodes[0], w.nodes[1].peer, w.now, true); len(got) != n {
			t.Errorf("%s: %d differences, want %d", what, len(got), n)
		}
	}
}

// Answers are limited to so many parts a second, and a walk through topics, KV or options counts as a quarter of them. What
// is refused is counted, and a second later there is room again.
func TestAnswersAreLimited(t *testing.T) {
	w := newWorld(t, 2)
	n, peer := w.nodes[0], w.nodes[1].peer
	w.set(n, broker(1))
	n.other[Topics] = []Item{{Key: Key{Name: "t"}, Hash: 1}}
	w.run(3 * time.Second)
	all := ^uint64(0)
	ask := func(subject Subject) (answered int) {
		name := ""
		if subject == Topics {
			name = "b"
		}
		for range 2 * partsASec {
			out, _ := n.Receive(&Compare{From: peer, Nonce: 1, Subject: subject, Name: name, Mask: all, Sums: make([]uint64, buckets)}, w.now)
			answered += len(out)
		}
		return answered
	}
	for _, test := range []struct {
		subject Subject
		want    int
	}{{Brokers, partsASec}, {Topics, 4}, {Brokers, partsASec}} {
		before := n.Counters().Limited
		if got := ask(test.subject); got != test.want {
			t.Errorf("subject %d: %d answers at once, want %d", test.subject, got, test.want)
		}
		if refused := n.Counters().Limited - before; refused != uint64(2*partsASec-test.want) {
			t.Errorf("subject %d: %d counted as refused", test.subject, refused)
		}
		w.now = w.now.Add(time.Second)
	}
}

// Questions of people to members that do not answer are forgotten after a while, and then others can be asked.
func TestUnansweredQuestionsEnd(t *testing.T) {
	w := newWorld(t, 2)
	n, peer := w.nodes[0], w.nodes[1].peer
	w.nodes[1].down = true // and nobody has noticed
	ask := func() bool {
		_, _, ok := n.Ask(peer, KV, "", w.now)
		return ok
	}
	for i := range maxAsks {
		if !ask() {
			t.Fatalf("question %d is refused", i+1)
		}
	}
	limited := n.Counters().Limited
	if ask() || n.Counters().Limited != limited+1 {
		t.Error("a question beyond the limit is asked, or not counted")
	}
	n.Tick(w.now.Add(askExpires))
	if w.now = w.now.Add(askExpires); ask() {
		t.Error("a question is forgotten too early")
	}
	w.now = w.now.Add(1)
	n.Tick(w.now)
	for i := range maxAsks {
		if !ask() {
			t.Fatalf("after a while question %d is refused", i+1)
		}
	}
}

// A question that was answered has given its place back.
func TestAnsweredQuestionsEnd(t *testing.T) {
	w := newWorld(t, 2)
	w.run(2 * time.Second)
	n := w.nodes[0]
	_, out, _ := n.Ask(w.nodes[1].peer, KV, "", w.now)
	w.carry(n, out)
	w.run(100 * time.Millisecond)
	if len(n.got) != 1 || len(n.asks) != 0 {
		t.Errorf("%d answers, %d questions under way", len(n.got), len(n.asks))
	}
}

// However many members differ, so many comparisons are under way at once; one that nobody answers is given up after its tries
// and rests before the next.
func TestComparisonsUnderWayAreBounded(t *testing.T) {
	w := newWorld(t, 3*maxRounds)
	n := w.nodes[0]
	w.set(n, broker(1))
	for i, o := range w.nodes[1:] {
		w.set(o, broker(2+i))
	}
	w.run(200 * time.Millisecond) // they have told their roots
	for _, o := range w.nodes[1:] {
		o.down = true
	}
	began := map[string][]time.Duration{}
	start := w.now
	tries := map[string]int{}
	for w.now.Sub(start) < 10*time.Second {
		w.now = w.now.Add(100 * time.Millisecond)
		for _, p := range n.Tick(w.now) {
			if _, is := p.Msg.(*Compare); !is {
				continue
			}
			if tries[p.To.Name]++; tries[p.To.Name]%askTries == 1 {
				began[p.To.Name] = append(began[p.To.Name], w.now.Sub(start))
			}
		}
		rounds := 0
		for _, p := range n.peers {
			if p.round != nil {
				rounds++
			}
		}
		if rounds > maxRounds {
			t.Fatalf("%d comparisons under way", rounds)
		}
	}
	again := 0
	for name, at := range began {
		for i := 1; i < len(at); i++ {
			again++
			if rest := at[i] - at[i-1]; rest < askTries*askAgain+retryAfter-200*time.Millisecond {
				t.Errorf("%s is asked again %v after the first question", name, rest)
			}
		}
	}
	if again == 0 || n.Counters().Unanswered == 0 {
		t.Errorf("nobody is asked again: %v", began)
	}
}

// A summary that asks for one is answered by stream, but not one after the other; one that was overtaken on its way is not
// believed.
func TestSummariesThatAskAndThatAreLate(t *testing.T) {
	w := newWorld(t, 2)
	n, peer := w.nodes[0], w.nodes[1].peer
	w.set(n, broker(1))
	w.run(2 * time.Second)
	age := time.Hour
	streams := func() (sent int) {
		for range 10 {
			age++
			out, _ := n.Receive(&Summary{From: peer, Age: age, Root: n.mine().Root(), Count: 1, Reply: true}, w.now)
			for _, p := range out {
				if p.Stream {
					sent++
				}
			}
		}
		return sent
	}
	for round := range 2 {
		if got := streams(); got != 1 {
			t.Errorf("round %d: %d answers by stream, want 1", round, got)
		}
		w.now = w.now.Add(streamEvery / 2)
	}
	n.Receive(&Summary{From: peer, Age: age - 1, Root: 12345}, w.now)
	if p := n.peers[peer]; p.last.Root == 12345 {
		t.Error("an older summary is believed")
	}
	n.Receive(&Summary{From: peer, Age: age, Root: 12345}, w.now)
	if p := n.peers[peer]; p.last.Root != 12345 {
		t.Error("one of the same age is not")
	}
}

// An item of the greatest length is compared as it is; for one a byte longer something stands that fits, and that no other
// name has.
func TestLongestKey(t *testing.T) {
	i := Item{Key: Key{Cluster: "c", Name: strings.Repeat("n", MaxKey-2), Addr: "a"}}
	if k := i.Key.fitting(); k != i.Key {
		t.Errorf("it became %v", k)
	}
	seen := map[Key]bool{}
	for _, key := range []Key{
		{Cluster: "c", Name: i.Name, Addr: "ab"}, {Cluster: "c", Name: i.Name, Addr: "ac"}, {Cluster: i.Name, Name: i.Name + "x", Addr: i.Name},
		{Cluster: i.Name, Name: i.Name + "y", Addr: i.Name}, {Cluster: "c", Name: strings.Repeat("名", MaxKey), Addr: "a"},
	} {
		k := key.fitting()
		if k.size() > MaxKey || !utf8.ValidString(k.Name) || seen[k] || k != key.fitting() {
			t.Errorf("%d bytes: %v", k.size(), k)
		}
		seen[k] = true
	}
}

// Where anybody can forge a member's question, its answer, which is larger, goes by stream: nobody is flooded by a packet.
func TestAnswersToOpenQuestionsGoByStream(t *testing.T) {
	for _, open := range []bool{false, true} {
		w := newWorld(t, 2)
		asked := w.nodes[0]
		asked.cfg.Open = open
		for i := range 100 {
			w.set(asked, broker(i))
		}
		all := ^uint64(0)
		out, _ := asked.Receive(&Compare{From: w.nodes[1].peer, Nonce: 1, Mask: all, Sums: make([]uint64, buckets)}, w.now)
		if len(out) == 0 {
			t.Fatal("no answer")
		}
		for _, p := range out {
			if p.Stream != open || open && len(out) != 1 {
				t.Errorf("open %v: one of %d parts by stream: %v", open, len(out), p.Stream)
			}
		}
	}
}

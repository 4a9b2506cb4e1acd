package vanish

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// gone says at how many living nodes a host is evicted.
func (w *world) gone(h int) (n int) {
	for _, o := range w.nodes {
		if _, is := o.evicted[h]; is && !o.gone {
			n++
		}
	}
	return n
}

// total is how many evictions there were.
func (w *world) total() (n int) {
	for _, o := range w.nodes {
		for _, c := range o.times {
			n += c
		}
	}
	return n
}

func (w *world) none(t *testing.T, what string) {
	t.Helper()
	if n := w.total(); n > 0 {
		t.Errorf("%s: %d evictions", what, n)
	}
	w.clean(t)
}

func (w *world) clean(t *testing.T) {
	t.Helper()
	for _, s := range w.wrong {
		t.Error(s)
	}
}

// TestDeadHostIsGone is V-1 of docs/spec/deadhosts.md: at every node in under nine seconds, also when a node dies beside.
func TestDeadHostIsGone(t *testing.T) {
	for _, c := range []struct {
		nodes int
		loss  float64
		dies  int // nodes
		after time.Duration
		most  time.Duration
	}{
		{2, 0, 0, 8 * time.Second, 9 * time.Second}, {3, 0, 0, 8 * time.Second, 9 * time.Second}, {3, 0, 1, 8 * time.Second, 9 * time.Second},
		{9, 0, 1, 8 * time.Second, 9 * time.Second}, {9, 0.1, 0, 8 * time.Second, 9 * time.Second}, {33, 0, 0, 8 * time.Second, 9 * time.Second},
		{3, 0.3, 0, 8 * time.Second, 9500 * ms}, {3, 0, 1, 6 * time.Second, 7 * time.Second},
	} {
		w := newWorld(1, c.nodes, 4, func(_ int, o *Config) { o.After = c.after })
		w.after = c.after
		w.loss, w.hostLoss = c.loss, c.loss
		w.die(1)
		for i := range c.dies {
			w.nodes[c.nodes-1-i].gone = true
		}
		w.run(c.most)
		if n := w.gone(1); n != c.nodes-c.dies || w.total() != n {
			t.Errorf("%+v: gone at %d nodes, %d evictions", c, n, w.total())
		}
		w.clean(t)
	}
}

// TestClocksOfAnotherRate: a node whose clocks are slow or fast, its kernel's too, evicts nobody whom another hears. Slow, it comes after the others, and at
// less than half they wait until it, too, has heard nothing for five of its seconds; fast, it comes before them, and yet not before they have heard nothing
// for five seconds, two of which may be before the death.
func TestClocksOfAnotherRate(t *testing.T) {
	for _, rate := range []float64{0.5, 0.9, 0.99, 1.01, 1.1, 2} {
		for seed := range uint64(5) {
			w := newWorld(seed, 3, 4)
			w.skew(0, rate)
			w.run(time.Minute)
			w.cut(0, 1, false)
			w.run(time.Minute)
			w.cut(0, 1, true)
			w.run(time.Minute)
			w.die(1)
			early, late := 5500*ms, time.Duration(float64(9*time.Second)*max(1/rate, 1))
			if rate > 1 {
				early = 3 * time.Second
			}
			w.run(early)
			w.none(t, fmt.Sprintf("rate %v, seed %d", rate, seed))
			others := max(9*time.Second, time.Duration(float64(5*time.Second)/rate)+time.Second)
			w.run(others - early)
			if n := w.gone(1); n < 2 || rate > 0.99 && n < 3 {
				t.Errorf("rate %v, seed %d: gone at %d nodes after %v", rate, seed, n, others)
			}
			w.run(late - others)
			if w.gone(1) != 3 || w.total() != 3 {
				t.Errorf("rate %v, seed %d: gone at %d nodes, %d evictions", rate, seed, w.gone(1), w.total())
			}
			w.clean(t)
		}
	}
}

// TestOneNodesFault is V-2 of docs/spec/deadhosts.md: what one node does not hear, others do.
func TestOneNodesFault(t *testing.T) {
	for what, fault := range map[string]func(w *world){
		"its network card": func(w *world) {
			for h := range w.hosts {
				w.cut(0, h, false)
			}
			for j := 1; j < len(w.nodes); j++ {
				w.part(0, j, false)
			}
		},
		"all brokers, not the nodes": func(w *world) {
			for h := range w.hosts {
				w.cut(0, h, false)
			}
		},
		"one broker":                        func(w *world) { w.cut(0, 1, false) },
		"one broker, another node is dead":  func(w *world) { w.cut(0, 1, false); w.nodes[2].gone = true },
		"one broker, another is suspended":  func(w *world) { w.cut(0, 1, false); w.nodes[2].asleep = true },
		"one broker, another has restarted": func(w *world) { w.cut(0, 1, false); w.restart(2) },
		"it is suspended": func(w *world) {
			w.nodes[0].asleep = true
			w.run(time.Minute)
			w.nodes[0].asleep = false
		},
		"one broker, then it and the one that hears it are suspended": func(w *world) {
			w.cut(0, 1, false)
			w.nodes[2].gone = true
			w.run(7 * time.Second)
			w.nodes[0].asleep, w.nodes[1].asleep = true, true
			w.run(10 * time.Second)
			w.nodes[0].asleep, w.nodes[1].asleep = false, false
		},
	} {
		w := newWorld(2, 3, 5)
		fault(w)
		w.run(time.Minute)
		w.none(t, what)
	}
}

// TestQuorumCountsTheDead is V-3 of docs/spec/deadhosts.md.
func TestQuorumCountsTheDead(t *testing.T) {
	for _, c := range []struct {
		sides string // of each node; the host is reached by none but those of capital side
		want  int
	}{
		{"aaB", 2}, {"aBB", 0}, {"aabb", 0}, {"aaabb", 3}, {"aaaBB", 3}, {"a", 0}, {"ab", 0},
	} {
		w := newWorld(3, len(c.sides), 5)
		for i, a := range c.sides {
			w.cut(i, 1, a < 'a')
			for j, b := range c.sides {
				if a != b {
					w.part(i, j, false)
				}
			}
		}
		w.run(30 * time.Second)
		if n := w.total(); n != c.want {
			t.Errorf("%s: %d evictions, want %d", c.sides, n, c.want)
		}
		w.clean(t)
	}
}

// TestBrake is V-4 of docs/spec/deadhosts.md: with half of the hosts silent, nobody is judged; it lets go.
func TestBrake(t *testing.T) {
	for _, c := range []struct {
		hosts, die, want int
	}{{1, 1, 0}, {2, 1, 1}, {2, 2, 0}, {4, 1, 1}, {4, 2, 0}, {10, 4, 4}, {10, 5, 0}, {5, 5, 0}} {
		w := newWorld(4, 3, c.hosts)
		for h := range c.die {
			w.die(h)
		}
		w.run(15 * time.Second)
		if n := w.total(); n != 3*c.want {
			t.Errorf("%d of %d: %d evictions at 3 nodes, want %d each", c.die, c.hosts, n, c.want)
		}
		w.clean(t)
	}
	w := newWorld(4, 3, 5) // one by one: fewer than half in ten minutes
	for h := range 4 {
		w.die(h)
		w.run(20 * time.Second)
	}
	if w.gone(0) != 3 || w.gone(1) != 3 || w.gone(2)+w.gone(3) != 0 {
		t.Errorf("one by one: %d %d %d %d", w.gone(0), w.gone(1), w.gone(2), w.gone(3))
	}
	w.rise(1)
	w.rise(3)
	w.run(40 * time.Second)
	if w.gone(2) != 3 {
		t.Error("braked although two came back")
	}
}

// TestFreeze is V-5 of docs/spec/deadhosts.md: a host that stands still for a little less than T less the two seconds between probes is kept
// (TestFrozen has the edge); fifteen seconds are refuted, and that broker is not judged for ten minutes.
func TestFreeze(t *testing.T) {
	for phase := range 20 {
		w := newWorld(uint64(phase), 3, 4)
		w.run(20*time.Second + time.Duration(phase)*150*ms)
		w.die(1)
		w.run(5800 * ms)
		w.rise(1)
		w.run(20 * time.Second)
		w.none(t, fmt.Sprint("phase ", phase))
	}
	for _, s := range []int{9, 12, 15} {
		w := newWorld(5, 3, 4)
		w.run(29 * time.Second)
		w.die(1)
		w.run(time.Duration(s) * time.Second)
		if w.gone(1) != 3 {
			t.Errorf("%d s: gone at %d nodes", s, w.gone(1))
		}
		w.rise(1)
		w.run(2 * time.Second)
		refuted := 0
		for _, n := range w.nodes {
			refuted += n.by["ack"] + n.by["connect"] + n.by["register"]
		}
		if w.gone(1) != 0 || refuted != 3 {
			t.Errorf("%d s: after the thaw gone at %d nodes, refuted at %d", s, w.gone(1), refuted)
		}
		w.run(30 * time.Second)
		w.die(1)
		w.run(8 * time.Minute)
		if w.gone(1) != 0 || w.nodes[0].kept[OnHold] != 1 {
			t.Errorf("%d s: gone at %d nodes although refuted within ten minutes, on hold %d", s, w.gone(1), w.nodes[0].kept[OnHold])
		}
		w.clean(t)
	}
}

// TestRestored is V-18 of docs/spec/deadhosts.md: a broker whose host stood still and is heard again on the same connection is back within a second, without a
// word of its own, at every node; unless somebody touched it there, or its own time is over.
func TestRestored(t *testing.T) {
	key := tombstone.Key{Cluster: subject(1).Cluster, Addr: subject(1).Addr}
	who := tombstone.Identity{Name: subject(1).Name, BrokerID: subject(1).BrokerID, RemoteIP: subject(1).Source}
	evicted := func(phase int, still time.Duration) *world {
		w := newWorld(uint64(phase), 3, 4)
		w.run(20*time.Second + time.Duration(phase)*150*ms)
		w.die(1)
		w.hosts[1].mute = true
		if w.run(still); w.gone(1) != 3 {
			t.Fatalf("gone at %d nodes", w.gone(1))
		}
		return w
	}
	for phase := range 40 {
		w := evicted(phase, 9*time.Second+time.Duration(phase)*190*ms)
		w.rise(1)
		w.run(time.Second)
		for i, n := range w.nodes {
			if !n.table.Holds(key) || n.back[1] != 1 {
				t.Errorf("phase %d: node %d has not put it back", phase, i)
			}
		}
		w.listed()
		if w.run(100 * time.Second); w.gone(1) != 0 {
			t.Error("evicted again, on hold")
		}
		w.clean(t)
	}
	over := func(conn uint64, c Subject) *routes.Conn {
		return &routes.Conn{ID: conn, Source: mq.Source{Addr: c.Source}}
	}
	for what, touch := range map[string]func(w *world, n *wnode, l *link){
		"its UNREGISTER": func(w *world, n *wnode, l *link) {
			n.table.Unregister(&routes.Unregistration{Cluster: key.Cluster, Addr: key.Addr, Name: who.Name, Conn: over(l.conn, subject(1)), At: w.at()})
		},
		"a tombstone": func(w *world, n *wnode, _ *link) {
			n.table.Judge(key, who, tombstone.Bounds{Asked: w.at(), Life: time.Millisecond, HasLife: true})
		},
		"its name, registered by another host": func(_ *world, n *wnode, _ *link) {
			n.table.Register(&routes.Registration{Cluster: key.Cluster, Addr: "10.9.9.9:10911", Name: who.Name, HasTopics: true, Conn: over(1<<40, subject(2))})
		},
		"an operator": func(_ *world, n *wnode, _ *link) { n.table.WipeWritePerm(who.Name) },
		"its connection's end": func(_ *world, n *wnode, l *link) {
			n.table.ConnLost(l.conn)
			n.Closed(l.conn)
			l.conn = 0
		},
		"its own time": func(w *world, _ *wnode, _ *link) { w.run(120 * time.Second) },
	} {
		w := evicted(1, 10*time.Second)
		touch(w, w.nodes[0], w.links[0][1])
		w.rise(1)
		w.run(2 * time.Second)
		if w.nodes[0].back[1] != 0 || w.nodes[0].table.Holds(key) {
			t.Errorf("%s: put back", what)
		}
		if n := w.nodes[1]; what != "its own time" && n.back[1] != 1 {
			t.Errorf("%s: not put back elsewhere", what)
		}
		w.clean(t)
	}
}

// TestThreeRefutedHoldAll is V-6 of docs/spec/deadhosts.md.
func TestThreeRefutedHoldAll(t *testing.T) {
	w := newWorld(6, 3, 9)
	for h := range 3 {
		w.die(h)
		w.run(12 * time.Second)
		w.rise(h)
		w.run(5 * time.Second)
	}
	if w.nodes[0].events[HoldBegan] != 1 {
		t.Fatalf("%d holds", w.nodes[0].events[HoldBegan])
	}
	w.die(7)
	w.run(9 * time.Minute)
	if w.gone(7) != 0 {
		t.Error("evicted on hold")
	}
	w.run(2 * time.Minute)
	if w.gone(7) != 0 { // its calibration is old by now: not judged
		t.Error("evicted by a calibration of ten minutes ago")
	}
	w.die(8)
	w.run(10 * time.Second)
	if w.gone(8) != 3 {
		t.Error("the hold did not end")
	}
	w.clean(t)
}

// TestCalibration is V-7 of docs/spec/deadhosts.md: what never answers is no evidence.
func TestCalibration(t *testing.T) {
	for what, fault := range map[string]func(w *world){
		"new connections are filtered, and the firewall forgets the old ones": func(w *world) {
			for i := range w.nodes {
				w.links[i][1].fresh = false
			}
			w.run(11 * time.Minute)
			for i := range w.nodes {
				w.links[i][1].flow = false
			}
			w.hosts[1].mute = true
		},
		"the firewall forgets the old ones": func(w *world) {
			for i := range w.nodes {
				w.links[i][1].flow = false
			}
			w.hosts[1].mute = true
		},
		"something answers for others": func(w *world) {
			for _, n := range w.nodes {
				n.AnsweredFor(true)
			}
			w.die(1)
		},
	} {
		w := newWorld(7, 3, 4)
		fault(w)
		w.run(time.Minute)
		w.none(t, what)
	}
}

// TestLastWordStands is V-8 of docs/spec/deadhosts.md: "alive" does not grow old. Two lose the host; the third answers once in 1.2 s, and heard it just within D.
func TestLastWordStands(t *testing.T) {
	w := newWorld(8, 3, 4)
	w.cut(0, 1, false)
	w.cut(1, 1, false)
	last := map[int]time.Duration{}
	w.hears = func(from, to int, m Message) []Message {
		v, ok := m.(View)
		if !ok || from != 2 {
			return []Message{m}
		}
		if w.now-last[to] < 1200*ms {
			return nil
		}
		last[to] = w.now
		v.Answers[0].Life, v.Answers[0].PassedOn = 4900*ms, Never
		return []Message{v}
	}
	w.run(20 * time.Second)
	w.none(t, "rare words")
	if w.nodes[0].kept[Contradicted] != 1 {
		t.Errorf("kept for %v", w.nodes[0].kept)
	}
	w.hears = func(from, _ int, m Message) []Message { // takes it back
		if v, ok := m.(View); ok && from == 2 {
			v.Answers[0].Life, v.Answers[0].PassedOn = 6*time.Second, Never
			return []Message{v}
		}
		return []Message{m}
	}
	w.run(2 * time.Second)
	if w.total() != 2 {
		t.Errorf("taken back, and gone at %d nodes", w.total())
	}
}

// TestAnswers is V-9 of docs/spec/deadhosts.md: delayed, replayed, doubled, forged.
func TestAnswers(t *testing.T) {
	var old []View
	for what, change := range map[string]func(v View) []Message{
		"another nonce":   func(v View) []Message { v.Nonce += 1 << 40; return []Message{v} },
		"another member":  func(v View) []Message { v.From.Name = "n7"; return []Message{v} },
		"another life":    func(v View) []Message { v.From.Boot++; return []Message{v} },
		"answers too few": func(v View) []Message { v.Answers = nil; return []Message{v} },
		"replayed": func(v View) []Message {
			old = append(old, v)
			return []Message{old[0]}
		},
	} {
		old = nil
		w := newWorld(9, 2, 4)
		w.die(1)
		w.hears = func(_, _ int, m Message) []Message {
			if v, ok := m.(View); ok {
				return change(v)
			}
			return []Message{m}
		}
		w.run(30 * time.Second)
		w.none(t, what)
	}
	w := newWorld(9, 2, 4)
	w.die(1)
	w.delay = 1500 * ms // answers are never fresh: two round trips of 750 ms
	w.hears = func(_, _ int, m Message) []Message {
		if v, ok := m.(View); ok {
			return []Message{v, v}
		}
		return []Message{m}
	}
	w.run(9 * time.Second)
	w.clean(t)
}

// TestAbstains is V-10 of docs/spec/deadhosts.md: who may not vote about a dead host makes two nodes too few.
func TestAbstains(t *testing.T) {
	for what, fault := range map[string]func(w *world, n *wnode){
		"young":       func(w *world, _ *wnode) { w.restart(1) },
		"draining":    func(_ *world, n *wnode) { n.Drain(true) },
		"not watched": func(w *world, n *wnode) { n.Registered(Claim{subject(1), w.links[1][1].conn, 99}, false, w.at()) },
		"unknown":     func(_ *world, n *wnode) { n.Ended(subject(1)) },
	} {
		w := newWorld(10, 2, 4)
		w.die(1)
		fault(w, w.nodes[1])
		w.run(25 * time.Second)
		w.none(t, what)
	}
	w := newWorld(10, 2, 4, func(i int, c *Config) {
		if i == 1 {
			c.Mode = Off
		}
	})
	w.die(1)
	w.run(25 * time.Second)
	w.none(t, "off")
}

// TestLoss is V-11 of docs/spec/deadhosts.md: at 30 % loss both ways nobody living goes.
func TestLoss(t *testing.T) {
	w := newWorld(11, 3, 30)
	w.hostLoss, w.loss = 0.3, 0.3
	w.run(5 * time.Minute)
	w.none(t, "loss")
}

// TestNodesAsGiven is V-12 of docs/spec/deadhosts.md: N as the operator gave it.
func TestNodesAsGiven(t *testing.T) {
	for nodes, want := range map[int]int{2: 0, 3: 3, 5: 3, 6: 0} {
		w := newWorld(12, 3, 4, func(_ int, c *Config) { c.Nodes = nodes })
		for _, n := range w.nodes { // that was replaced a moment ago is no more
			n.Members(n.members, []Peer{{Name: "old", Boot: 1}}, 4)
		}
		w.die(1)
		w.run(15 * time.Second)
		if n := w.total(); n != want {
			t.Errorf("N = %d: %d evictions, want %d", nodes, n, want)
		}
	}
}

// TestMissing: a member that membership takes for dead, as happens to one that loses packets, is answered, asked and told all the same.
func TestMissing(t *testing.T) {
	for _, before := range []time.Duration{0, time.Second, 4 * time.Second, 7 * time.Second} { // the host dies
		for _, nodes := range []int{3, 9} {
			w := newWorld(21, nodes, 4)
			w.die(1)
			w.run(before)
			w.miss(1, true)
			w.run(9*time.Second - before)
			if n := w.gone(1); n != nodes {
				t.Errorf("%d nodes, one taken for dead %v after the host died: gone at %d", nodes, before, n)
			}
			w.clean(t)
		}
	}
	w := newWorld(21, 3, 4)
	w.miss(1, true)
	w.cut(0, 1, false)
	w.cut(2, 1, false)
	w.run(30 * time.Second)
	w.none(t, "the one that is taken for dead hears the host alone")
	if w.nodes[0].kept[Contradicted] != 1 {
		t.Errorf("kept for %v", w.nodes[0].kept)
	}
	n, k := w.nodes[0], w.nodes[0].claims[subject(1)]
	n.Take()
	n.Members(nil, n.believed, 3)
	n.told[k.Subject] = map[Peer]clock.Stamp{w.nodes[1].peer: w.at(), w.nodes[2].peer: w.at()}
	if n.Heard(k.Source, w.at(), w.at()); len(n.Take().Packets) != 6 {
		t.Error("members that are taken for dead, and were told of no life, are not told of it")
	}
	living := []Peer{{Name: "n1", Boot: 2}, w.nodes[2].peer}
	if n.Members(living, []Peer{{Name: "n1", Boot: 1}}, 3); !slices.Equal(n.believed, living) {
		t.Errorf("an old life of a member that lives is believed: %v", n.believed)
	}
}

package vanish

import (
	"testing"
	"time"
)

// TestZone is V-1 of docs/spec/deadhosts.md for one of three zones: four of ten hosts and the node beside them lose their power at once.
func TestZone(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(40+seed, 3, 10)
		w.run(time.Duration(seed) * 170 * ms)
		for h := range 4 {
			w.die(h)
		}
		w.nodes[2].gone = true
		w.run(9 * time.Second)
		for h := range w.hosts {
			if want := map[bool]int{true: 2}[h < 4]; w.gone(h) != want {
				t.Errorf("seed %d: host %d is gone at %d nodes, want %d: %v", seed, h, w.gone(h), want, w.nodes[0].kept)
			}
		}
		w.clean(t)
	}
}

// TestDeadGoWithoutUDP is V-11 of docs/spec/deadhosts.md: where nodes ask each other by stream alone, which they find out by asking in vain.
func TestDeadGoWithoutUDP(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(50+seed, 3, 5)
		w.udp = true
		w.run(time.Duration(seed) * 170 * ms)
		w.die(1)
		w.run(10500 * ms)
		if w.gone(1) != 3 || w.total() != 3 {
			t.Errorf("seed %d: gone at %d nodes, %d evictions: %v", seed, w.gone(1), w.total(), w.nodes[0].kept)
		}
		w.clean(t)
	}
}

// TestHalfOfAllWordsAreLost: among nodes. Nobody living goes by that, and the dead do, if later.
func TestHalfOfAllWordsAreLost(t *testing.T) {
	w := newWorld(60, 5, 6)
	w.loss = 0.5
	w.cut(0, 2, false)
	w.cut(1, 2, false)
	w.run(2 * time.Minute)
	w.none(t, "half of all words lost")
	w.die(1)
	w.run(30 * time.Second)
	if w.gone(1) != 5 {
		t.Errorf("gone at %d nodes: %v", w.gone(1), w.nodes[0].kept)
	}
	w.clean(t)
}

// TestLossyHour: a hundred hosts of which 30 % of all packets are lost each way, as of all words of the nodes, which start anew under that loss.
// Nobody is evicted in an hour, and all but one in a thousand may be judged all the while.
func TestLossyHour(t *testing.T) {
	w := newWorld(70, 3, 100)
	w.hostLoss, w.loss = 0.3, 0.3
	for i := range w.nodes {
		w.restart(i)
	}
	w.run(90 * time.Second)
	may, all := 0, 0
	for range time.Hour / (10 * time.Second) {
		w.run(10 * time.Second)
		for _, n := range w.nodes {
			for _, k := range n.order {
				if all++; k.line != nil && k.line.Calibrated() && k.machine.AnswersConnections(w.at()) {
					may++
				}
			}
		}
	}
	w.none(t, "30 % loss")
	t.Logf("of %d looks at a hundred hosts %d found one that may be judged", all, may)
	if all-may > all/1000 {
		t.Errorf("of %d only %d may be judged", all, may)
	}
}

// TestManySubjects: ten thousand hosts fall silent at one node at once. It judges none of them, and asks no more than it may.
func TestManySubjects(t *testing.T) {
	const hosts = 10_000
	now := at(time.Hour)
	nonce := uint64(0)
	n, err := New(Config{Self: Peer{Name: "n0", Boot: 1}, Mode: On, After: 8 * time.Second, Brake: 1, Nonce: func() uint64 {
		nonce++
		return nonce
	}}, now.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	n.Members([]Peer{{Name: "n1", Boot: 1}, {Name: "n2", Boot: 1}}, nil, 3)
	for h := range hosts {
		n.Registered(Claim{subject(h), uint64(h + 1), 1}, true, now)
	}
	began, packets, silent := time.Now(), 0, 0
	for tick := range 80 { // twenty seconds, in which every look shows what the first did
		now = now.Add(Tick)
		for _, c := range n.Due(now) {
			n.Looked(c, Reading{Heard: time.Duration(tick+1) * Tick, Probes: uint8(max(tick-8, 0) / 4)}, now)
		}
		n.Tick(now)
		out := n.Take()
		packets += len(out.Packets)
		silent = n.suspects
		if len(out.Evict) > 0 {
			t.Fatalf("evicts %d hosts", len(out.Evict))
		}
	}
	if silent != hosts || packets == 0 || packets > 17*askRate+askRate || n.counters.Limited == 0 {
		t.Errorf("%d silent, %d messages in 17 s, %d held back", silent, packets, n.counters.Limited)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("twenty seconds of it take %v", took)
	}
	t.Logf("80 looks at %d silent hosts in %v: %d messages", hosts, time.Since(began).Round(time.Millisecond), packets)
}

// TestFrozen is V-5 of docs/spec/deadhosts.md at its edge, whenever it begins: a host that stands still for T less two and a half seconds is kept. So
// 10 s keep one that does for seven.
func TestFrozen(t *testing.T) {
	for after, still := range map[time.Duration]time.Duration{
		6 * time.Second: 3500 * ms, 8 * time.Second: 5500 * ms, 10 * time.Second: 7500 * ms, 17500 * ms: 15 * time.Second,
	} {
		for phase := range 40 {
			w := worldOf(after, uint64(phase), 3, 4)
			w.run(20*time.Second + time.Duration(phase)*75*ms)
			w.die(1)
			w.run(still)
			w.rise(1)
			w.run(20 * time.Second)
			if w.total() > 0 {
				t.Errorf("%v: still for %v, evicted %d times", after, still, w.total())
			}
			w.clean(t)
		}
	}
}

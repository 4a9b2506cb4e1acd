package vanish

import (
	"slices"
	"testing"
	"time"
)

// TestWhoHeardTheHostSaysSo: a node that has heard a host, and holds nothing of it any more, tells of that as long as it matters; then the others
// judge without it.
func TestWhoHeardTheHostSaysSo(t *testing.T) {
	w := newWorld(30, 3, 5)
	w.quiet()
	w.cut(0, 1, false)
	w.cut(1, 1, false)
	w.run(7 * time.Second)
	w.closes(2, 1)
	w.run(4 * time.Second)
	if w.gone(1) != 0 || w.nodes[0].kept[Contradicted] == 0 {
		t.Errorf("gone at %d nodes, kept %v", w.gone(1), w.nodes[0].kept)
	}
	w.run(5 * time.Second)
	if w.gone(1) != 2 {
		t.Errorf("gone at %d nodes, want two", w.gone(1))
	}
	w.clean(t)
}

// TestLifeOfWhatIsNotHeld: a node tells the life of a host of which it holds another broker; for T of one of which it holds nothing any more, and
// then nothing.
func TestLifeOfWhatIsNotHeld(t *testing.T) {
	w := newWorld(31, 3, 5)
	w.quiet()
	n, other := w.nodes[0], subject(1)
	other.Name = "another"
	if a := n.say(other, n.members[0], w.at()); a.Holds || a.Life == Never || a.Life >= n.Node.times.Vote || len(n.told) > 0 {
		t.Errorf("of another broker of the host: %+v; told %v", a, n.told)
	}
	w.closes(0, 1)
	left := w.now
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{100 * ms, true}, {7800 * ms, true}, {8500 * ms, false}} {
		w.run(c.after - (w.now - left))
		a := n.say(subject(1), n.members[0], w.at())
		if known := n.Knows(source(1)); (a.Life != Never) != c.want || known != c.want || a.Holds || a.Silent {
			t.Errorf("%v after it has left: %+v, known %v", c.after, a, known)
		}
	}
}

// TestOpenConnectionTells: a node that holds nothing of a host any more hears it on the connection that is still open, and says so for as long as it is.
func TestOpenConnectionTells(t *testing.T) {
	w := newWorld(35, 3, 5)
	w.quiet()
	n, conn := w.nodes[2], w.links[2][1].conn
	n.Ended(subject(1)) // by another's UNREGISTER
	w.run(20 * time.Second)
	if ago := w.at().Sub(n.lines[conn].LastLook()); ago < 19*time.Second {
		t.Errorf("it is looked at, %v ago, and nobody has asked", ago)
	}
	if !slices.Contains(n.LooksFor(Query{Subjects: []Subject{subject(1)}}), conn) {
		t.Error("who is asked does not look at it")
	}
	w.cut(0, 1, false)
	w.cut(1, 1, false)
	w.run(15 * time.Second)
	if w.gone(1) != 0 || w.nodes[0].kept[Contradicted] == 0 {
		t.Errorf("gone at %d nodes, kept %v", w.gone(1), w.nodes[0].kept)
	}
	w.cut(2, 1, false)
	w.run(6 * time.Second)
	if len(n.machines[source(1)].asked) == 0 || !slices.Contains(n.Due(w.at().Add(Tick)), conn) {
		t.Error("somebody was told of no life, and it is not looked at")
	}
	w.run(5 * time.Second)
	if w.gone(1) != 2 {
		t.Errorf("gone at %d nodes, want two", w.gone(1))
	}
	w.clean(t)
	n.forgetTold(w.at().Add(toldFor))
	if m := n.machines[source(1)]; len(m.asked) > 0 || slices.Contains(n.Due(w.at().Add(Tick)), conn) {
		t.Errorf("nobody waits for news of it any more, and it is looked at; %d are asked about", len(m.asked))
	}
	n.Registered(Claim{subject(1), conn, 99}, true, w.at()) // it is the same host
	if m := n.machines[source(1)]; !m.AnswersConnections(w.at()) || len(m.lines) != 1 {
		t.Errorf("%d lines, or what was found out about it is forgotten", len(m.lines))
	}
	n.forgetLeft(w.at().Add(time.Hour))
	n.Closed(conn)
	if !n.Knows(source(1)) || len(n.lines) != 4 {
		t.Errorf("known: %v, %d lines", n.Knows(source(1)), len(n.lines))
	}
	if n.forgetLeft(w.at().Add(time.Hour)); n.Knows(source(1)) {
		t.Error("it is not forgotten")
	}
}

// TestNewsOfWhatIsNotHeld: whoever was told of no life of a broker that this node does not hold is told when the host is heard by another; of one
// that has left, when it is back.
func TestNewsOfWhatIsNotHeld(t *testing.T) {
	other := subject(1)
	other.Name = "another"
	for what, c := range map[string]struct {
		about Subject
		knows bool // of the host when it is asked
		leave bool
	}{
		"another broker is heard":               {other, true, false},
		"another broker comes":                  {other, false, false},
		"the broker has left, another is heard": {subject(1), true, true},
	} {
		w := newWorld(32, 3, 5)
		n, now := w.nodes[0].Node, w.at().Add(time.Minute)
		if c.leave { // and there is another of that host
			n.Registered(Claim{other, w.links[0][1].conn, 7}, true, w.at())
		}
		if !c.knows {
			n.Closed(w.links[0][1].conn)
			n.forgetLeft(now)
		}
		n.say(c.about, n.members[0], now)
		if c.leave {
			n.Ended(c.about)
		}
		n.Take()
		if c.knows {
			n.Heard(source(1), now, now)
		} else {
			n.Registered(Claim{subject(1), 999, 1}, true, now)
		}
		news := 0
		for _, p := range n.Take().Packets {
			if a, ok := p.Msg.(Alive); ok && a.News[0].Subject == c.about && a.News[0].Life == 0 {
				news++
			}
		}
		if news != 3 || len(n.told) != 0 {
			t.Errorf("%s: told %d times, want 3; %v", what, news, n.told)
		}
	}
}

// TestHostBeginsAnew: what comes from the address of a host that has left may be another host: nothing of what was found out about the first counts.
func TestHostBeginsAnew(t *testing.T) {
	w := newWorld(33, 3, 5)
	n := w.nodes[0]
	if !n.machines[source(1)].AnswersConnections(w.at()) {
		t.Fatal("not calibrated")
	}
	n.Closed(w.links[0][1].conn)
	n.Registered(Claim{subject(1), 999, 1}, true, w.at())
	if m := n.machines[source(1)]; m.AnswersConnections(w.at()) || len(m.claims) != 1 {
		t.Error("it is calibrated by what another answered")
	}
	n.forgetLeft(w.at().Add(time.Hour))
	if !n.Knows(source(1)) || len(n.left) != 0 {
		t.Error("the first is forgotten, and the second with it")
	}
}

// TestLeftIsBounded: of hosts that have left so many are remembered, the newest.
func TestLeftIsBounded(t *testing.T) {
	w := newWorld(34, 2, 2)
	n := w.nodes[0].Node
	for h := range maxLeft + 10 {
		n.Registered(Claim{subject(100 + h), uint64(10_000 + h), 1}, true, w.at())
		n.Closed(uint64(10_000 + h))
	}
	n.forgetLeft(w.at())
	if n.Knows(source(109)) || !n.Knows(source(110)) || len(n.left) != maxLeft || len(n.machines) != maxLeft+2 {
		t.Errorf("%d have left, %d hosts", len(n.left), len(n.machines))
	}
}

// quiet lets no broker register for an hour.
func (w *world) quiet() {
	for _, s := range w.hosts {
		s.register = w.now + time.Hour
	}
}

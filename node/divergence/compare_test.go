package divergence

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// The likely reasons, for what is not easily made to happen.
func TestReasons(t *testing.T) {
	item := func(counter int64, topics, writable uint32, hash uint64, kept uint8) digest.Item {
		return digest.Item{Version: mq.DataVersion{Counter: counter}, Topics: topics, Writable: writable, Hash: hash, Kept: kept}
	}
	same := item(1, 10, 10, 5, 0)
	for name, c := range map[string]struct {
		held []Holding
		kind string
		want string
	}{
		"no connection": {[]Holding{{"n1", true, same}, {"n2", true, same}, {"n3", false, digest.Item{}}},
			"no_connection", "registers at n1, n2 and not at n3"},
		"kept here": {[]Holding{{"n1", true, item(1, 10, 10, 5, 7)}, {"n2", false, digest.Item{}}}, "missed_unregister", "n1 kept: "},
		"older":     {[]Holding{{"n1", true, same}, {"n2", true, item(2, 10, 10, 6, 0)}}, "older_data_version", "at n1"},
		"wiped":     {[]Holding{{"n1", true, same}, {"n2", true, item(1, 10, 0, 6, 0)}}, "write_permission", "at n2 only"},
		"topics":    {[]Holding{{"n1", true, item(1, 9, 9, 4, 0)}, {"n2", true, same}, {"n3", true, same}}, "topics", "at n1 only"},
		"queues":    {[]Holding{{"n1", true, same}, {"n2", true, item(1, 10, 10, 4, 0)}, {"n3", true, same}}, "queues", "at n2"},
	} {
		d := Divergence{Held: c.held}
		kind, words := d.Reason(&Clues{})
		if kind != c.kind || !strings.Contains(words, c.want) {
			t.Errorf("%s: %s, %q", name, kind, words)
		}
	}
}

// A broker that nobody missed but cannot reach a node is told as that, however recently it left; one that was missed is told
// with who handled its departure.
func TestReasonAfterADeparture(t *testing.T) {
	type outcomes = map[string]tombstone.Outcome
	item := func(kept uint8) digest.Item { return digest.Item{Kept: kept} }
	key := digest.Key{Cluster: "c", Name: "b", Addr: "10.0.0.1:10911"}
	id := func(origin string) tombstone.ID {
		return tombstone.ID{
			Key: tombstone.Key{Cluster: key.Cluster, Addr: key.Addr}, Identity: tombstone.Identity{Name: key.Name},
			Origin: tombstone.Peer{Name: origin},
		}
	}
	own := func(self string, age time.Duration, did outcomes) departure {
		return departure{id(self), age, true, did}
	}
	heard := func(origin string, age time.Duration, did outcomes) departure {
		return departure{id(origin), age, false, did}
	}
	const lost, young, now, long = 1 + uint8(tombstone.KeptLostTime), 1 + uint8(tombstone.KeptYoungerConn), time.Second, time.Minute
	for name, c := range map[string]struct {
		self   string
		left   departure
		n1, n2 uint8 // why those keep it, 0: they have no reason; n3 lacks it
		want   string
	}{
		"back, asked at the one that lacks it":  {"n3", own("n3", now, outcomes{"n1": tombstone.SawItself, "n2": tombstone.NotHeld}), 0, 0, ""},
		"back, asked at one that holds it":      {"n1", own("n1", now, outcomes{"n2": tombstone.SawItself, "n3": tombstone.NotHeld}), 0, 0, ""},
		"back at one that had missed it":        {"n3", own("n3", long, outcomes{"n1": tombstone.CameBack, "n2": tombstone.Evicted}), 0, 0, ""},
		"back at one that had kept it":          {"n3", own("n3", long, outcomes{"n1": tombstone.KeptYoungerConn, "n2": tombstone.NotHeld}), 0, 0, ""},
		"back, told by another long ago":        {"n3", heard("n9", long, outcomes{"n3": tombstone.Evicted}), 0, 0, ""},
		"evicted here, and it came back here":   {"n1", heard("n3", now, outcomes{"n1": tombstone.Evicted}), 0, 0, ""},
		"kept by both":                          {"n3", own("n3", long, outcomes{"n1": tombstone.KeptYoungerConn}), young, young, "n3 handled it 60 s ago; n1 kept: connection younger than the proof of life; n2 kept"},
		"kept at one, back at the other":        {"n3", own("n3", long, outcomes{"n2": tombstone.Evicted}), young, 0, ""},
		"kept, and the digest says nothing yet": {"n3", own("n3", now, outcomes{"n1": tombstone.KeptNoLife, "n2": tombstone.KeptNoLife}), 0, 0, "n3 handled it 1 s ago; n1 kept: no proof"},
		"kept without a look at it":             {"n3", own("n3", long, outcomes{"n1": tombstone.KeptHolding, "n2": tombstone.KeptLostTime}), 0, 0, "n1 kept: evictions are on hold; n2 kept: the origin"},
		"kept here, told by n3":                 {"n1", heard("n3", now, outcomes{"n1": tombstone.KeptYoungerConn}), young, young, "n3 handled it 1 s ago; n1 kept"},
		"not judged yet":                        {"n3", own("n3", now, nil), 0, 0, "n3 handled it 1 s ago; n1 has not judged it yet, or it is back there (known in 14 s); n2 has"},
		"evicted here, the others will hear it": {"n3", heard("n9", now, outcomes{"n3": tombstone.Evicted}), 0, 0, "n9 handled it 1 s ago; n1 has not"},
		"back at who handled it":                {"n3", heard("n1", now, outcomes{"n3": tombstone.Evicted}), 0, 0, ""},
		"kept, and nobody knows who handled it": {"n3", departure{}, lost, 0, "missed unregister: n1 kept: the origin lost time"},
		"a former release calls it kept":        {"n3", departure{}, 1 + uint8(tombstone.CameBack), 0, ""},
		"of another broker at the same address": {"n3", departure{id: tombstone.ID{Key: id("n3").Key, Identity: tombstone.Identity{Name: "other"}}, age: now, own: true}, 0, 0, ""},
	} {
		d := Divergence{Key: key, Held: []Holding{{"n1", true, item(c.n1)}, {"n2", true, item(c.n2)}, {"n3", false, digest.Item{}}}}
		clues := newClues(c.self)
		clues.note(c.left)
		kind, words := d.Reason(clues)
		want := "missed_unregister"
		if c.want == "" {
			want = "no_connection"
		}
		if kind != want || !strings.Contains(words, c.want) {
			t.Errorf("%s: %s, %q", name, kind, words)
		}
	}
}

// A broker that this node took out because its host vanished is told as that, and so is one that others took out and whose host is silent here; each after
// 3 s, for nodes judge one after the other.
func TestVanishedIsNamed(t *testing.T) {
	key := digest.Key{Cluster: "c", Name: "b", Addr: "10.0.0.1:10911"}
	subject := vanish.Subject{Cluster: key.Cluster, Name: key.Name, Addr: key.Addr, Source: netip.MustParseAddr("10.0.0.1")}
	at := clock.Stamp{Raw: int64(time.Hour), Boot: int64(time.Hour)}
	status := func(silent bool, evicted clock.Stamp, decisions ...vanished.Decision) *vanished.Status {
		h := vanish.HostStatus{
			Source: subject.Source, Silent: silent, Silence: 9 * time.Second,
			Claims: []vanish.ClaimStatus{{Claim: vanish.Claim{Subject: subject}, EvictedAt: evicted}},
		}
		s := &vanished.Status{At: at, Decisions: decisions}
		s.Hosts = []vanish.HostStatus{h}
		return s
	}
	kept := vanished.Decision{Kind: vanished.Kept, Claim: vanish.Claim{Subject: subject}, Why: vanish.Contradicted, By: "n2"}
	former := vanished.Decision{Kind: vanished.Kept, Claim: vanish.Claim{Subject: subject}, Why: vanish.TooFew}
	left := departure{id: tombstone.ID{Key: tombstone.Key{Cluster: key.Cluster, Addr: key.Addr}, Identity: tombstone.Identity{Name: key.Name}}, age: time.Second}
	for name, c := range map[string]struct {
		self  string // n1 lacks it
		hosts *vanished.Status
		lasts time.Duration
		left  departure
		kind  string
		words string
	}{
		"taken out here":                    {"n1", status(true, at.Add(-4*time.Second)), 4 * time.Second, departure{}, "vanished", "n1 took the broker out 4 s ago; n2 hears its host"},
		"taken out here, and it left since": {"n1", status(true, at.Add(-4*time.Second)), 4 * time.Second, left, "missed_unregister", "handled it 1 s ago"},
		"back, or never taken out":          {"n1", status(false, clock.Stamp{}), 4 * time.Second, departure{}, "no_connection", ""},
		"silent here, kept":                 {"n2", status(true, clock.Stamp{}, kept, former), 4 * time.Second, departure{}, "vanished", "for 9 s at n2, which has not taken the broker out as n1 may have (contradicted by n2)"},
		"silent here, not judged yet":       {"n2", status(true, clock.Stamp{}), 4 * time.Second, departure{}, "vanished", "as n1 may have"},
		"it differed before":                {"n2", status(true, clock.Stamp{}), time.Minute, departure{}, "no_connection", ""},
		"heard here":                        {"n2", status(false, clock.Stamp{}, kept), 4 * time.Second, departure{}, "no_connection", ""},
	} {
		clues := newClues(c.self)
		clues.hear(c.hosts)
		if c.left.age > 0 {
			clues.note(c.left)
		}
		d := Divergence{Key: key, Lasts: c.lasts, Held: []Holding{{"n1", false, digest.Item{}}, {"n2", true, digest.Item{}}}}
		if kind, words := d.Reason(clues); kind != c.kind || !strings.Contains(words, c.words) {
			t.Errorf("%s: %s, %q", name, kind, words)
		}
	}
	for lasts, want := range map[time.Duration]int{vanishing - time.Millisecond: 0, vanishing: 1} {
		v := digest.View{Peers: []digest.PeerView{{
			Peer: digest.Peer{Name: "n2"}, Compared: true, Differences: []digest.Difference{{Key: key, HasThere: true, For: lasts, Settled: true}},
		}}}
		found, settling := Find("n1", &v, func() *Clues {
			clues := newClues("n1")
			clues.hear(status(true, at.Add(-lasts)))
			return clues
		})
		if len(found) != want || settling != 1-want {
			t.Errorf("after %v: %+v, and %d that may be over by themselves", lasts, found, settling)
		}
	}
}

// A node that handled the departure itself, as several do one after the other, holds what registered there since; one that handled a
// former departure may have missed this one.
func TestWhoHandledItHoldsWhatCameBack(t *testing.T) {
	key := tombstone.Key{Cluster: "c", Addr: "a"}
	of := func(origin string, age time.Duration) departure {
		id := tombstone.ID{Key: key, Identity: tombstone.Identity{Name: "b"}}
		id.Origin.Name = origin
		return departure{id: id, age: age, did: map[string]tombstone.Outcome{"n3": tombstone.Evicted}}
	}
	d := Divergence{Held: []Holding{{"n2", true, digest.Item{}}, {"n3", false, digest.Item{}}}}
	d.Key.Cluster, d.Key.Addr, d.Key.Name = "c", "a", "b"
	for earlier, want := range map[time.Duration]string{2 * time.Second: "no_connection", time.Minute: "missed_unregister"} {
		clues := newClues("n3")
		clues.note(of("n2", earlier))
		clues.note(of("n1", time.Second))
		if kind, words := d.Reason(clues); kind != want {
			t.Errorf("n2 handled one %v ago, and n1 one 1 s ago: %s, %q", earlier, kind, words)
		}
	}
}

// Of two nodes' departures of one key the newest counts, and of one departure what this node handled itself.
func TestNewestDepartureCounts(t *testing.T) {
	key := tombstone.Key{Cluster: "c", Addr: "a"}
	of := func(seq uint64, age time.Duration, own bool) departure {
		return departure{id: tombstone.ID{Key: key, Seq: seq}, age: age, own: own}
	}
	for _, c := range []struct{ first, then, want departure }{
		{of(1, time.Second, false), of(2, time.Second+time.Millisecond, true), of(2, 0, true)},
		{of(1, time.Second, true), of(2, time.Second-time.Millisecond, false), of(1, 0, true)},
		{of(1, time.Second, false), of(2, time.Minute, true), of(1, 0, false)},
		{of(1, time.Minute, true), of(2, time.Second, false), of(2, 0, false)},
	} {
		clues := newClues("")
		clues.note(c.first)
		clues.note(c.then)
		if got := clues.left[key].id.Seq; got != c.want.id.Seq {
			t.Errorf("%+v, then %+v: %d", c.first, c.then, got)
		}
	}
}

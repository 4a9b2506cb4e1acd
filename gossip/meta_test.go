package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

func TestMetaSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(most int) string { return rapid.StringN(0, most/4, most).Draw(t, "text") }
		m := Meta{
			Release: text(maxRelease), Phase: Phase(rapid.IntRange(0, int(phases)-1).Draw(t, "phase")),
			Age:        time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "age")) * time.Millisecond,
			NameServer: text(maxAddress), HTTP: text(maxAddress), KVMissing: rapid.Bool().Draw(t, "kv"),
			Witnessed: rapid.Bool().Draw(t, "witnessed"),
			Keys:      rapid.SampledFrom([]string{"", "0123456789ab", "0123456789ab,ba9876543210,111111111111,222222222222"}).Draw(t, "keys"),
			Serve:     rapid.SampledFrom([]netip.AddrPort{{}, addr("10.0.0.1:9876"), addr("[2001:db8:85a3:1111:2222:8a2e:3370:7334]:65535")}).Draw(t, "serve"),
		}
		b := encodeMeta(m)
		if len(b) == 0 || len(b) > metaMax {
			t.Fatalf("%d bytes", len(b))
		}
		got, err := decodeMeta(b)
		kit.Must(t, err)
		if diff := cmp.Diff(m, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

var addr = netip.MustParseAddrPort

// What a member says that nobody can connect to is no address, and the rest of what it says counts.
func TestMetaWithoutAnAddressToServeAt(t *testing.T) {
	for _, text := range []string{"", "ns1:9876", "0.0.0.0:9876", "[::]:9876", "10.0.0.1:0", "10.0.0.1", "[fe80::1%eth0]:9876", "[::ffff:10.0.0.1]:9876", strings.Repeat("1", 300)} {
		b, err := encode(metaVersion, wireMeta{Release: "v9", Phase: uint8(PhaseReady), Serve: text, Witnessed: true})
		kit.Must(t, err)
		if m, err := decodeMeta(b); err != nil || m != (Meta{Release: "v9", Phase: PhaseReady, Witnessed: true}) {
			t.Errorf("%q: %+v, %v", text, m, err)
		}
	}
}

// Of many keys the first are told; what is no fingerprint is none.
func TestFingerprintsInMeta(t *testing.T) {
	const one = "0123456789ab"
	most := strings.Repeat(","+one, maxPrints)[1:]
	for text, want := range map[string]string{most + "," + one: most, one + ",x," + one: one + "," + one, "": ""} {
		if m, err := decodeMeta(encodeMeta(Meta{Keys: text})); err != nil || m.Keys != want {
			t.Errorf("%q: %q, %v", text, m.Keys, err)
		}
	}
	for _, wrong := range [][]byte{make([]byte, printBytes+1), make([]byte, (maxPrints+1)*printBytes)} {
		b, err := encode(metaVersion, wireMeta{Release: "v9", Keys: wrong})
		kit.Must(t, err)
		if m, err := decodeMeta(b); err != nil || m != (Meta{Release: "v9"}) {
			t.Errorf("%x: %+v, %v", wrong, m, err)
		}
	}
}

// Members tell each other which keys they have, also when those change.
func TestMembersTellTheirKeys(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, file := range []string{first, second} {
		_, err := GenerateKeyFile(file)
		kit.Must(t, err)
	}
	text := func(file string) string {
		b, err := os.ReadFile(file)
		kit.Must(t, err)
		return string(b)
	}
	both := filepath.Join(t.TempDir(), "both")
	kit.Must(t, os.WriteFile(both, []byte(text(first)+text(second)), 0o600))
	n1 := made(t, func(c *Config) { c.KeyFile = both })
	run(t, n1)
	n2 := made(t, func(c *Config) { c.KeyFile, c.Name, c.Seeds = first, "n2", []string{n1.Addr()} })
	run(t, n2)
	seen := func(at *Gossip, name string) string {
		m, _ := memberNamed(at, name)
		return m.Keys
	}
	joined := func(g *Gossip) string { return strings.Join(g.Keys(), ",") }
	kit.Until(t, "the keys at both", func() bool {
		return seen(n1, "n2") == joined(n2) && seen(n2, "n1") == joined(n1) && seen(n1, "n1") == joined(n1) && len(n1.Keys()) == 2
	})
	kit.Must(t, os.WriteFile(first, []byte(text(first)+text(second)), 0o600))
	kit.Must(t, n2.ReloadKeys())
	kit.Until(t, "the change", func() bool { return seen(n1, "n2") == joined(n2) && joined(n2) == joined(n1) })
}

func TestMetaTooLongIsCut(t *testing.T) {
	long := strings.Repeat("x", 5000)
	got, err := decodeMeta(encodeMeta(Meta{Release: long, Phase: PhaseReady, NameServer: long, HTTP: long}))
	if err != nil || got != (Meta{Release: long[:maxRelease], Phase: PhaseReady}) {
		t.Fatalf("%+v, %v", got, err)
	}
}

// Members of before and after a field that came later understand each other.
func TestMetaOfAnotherVersion(t *testing.T) {
	type before struct {
		_struct          bool `codec:",toarray"` //nolint:unused // read by the codec
		Release          string
		Phase            uint8
		Age              int64
		NameServer, HTTP string
	}
	old := before{Release: "v1", Phase: uint8(PhaseReady), Age: 1000, NameServer: "n", HTTP: "h"}
	b, err := encode(metaVersion, old)
	kit.Must(t, err)
	m := Meta{Release: "v1", Phase: PhaseReady, Age: time.Second, NameServer: "n", HTTP: "h"}
	if got, err := decodeMeta(b); err != nil || got != m {
		t.Errorf("of an older one: %+v %v", got, err)
	}
	m.KVMissing, m.Witnessed, m.Serve = true, true, addr("10.0.0.1:9876")
	var read before
	if _, payload, err := head(encodeMeta(m)); err != nil {
		t.Error(err)
	} else if err := decode(payload, &read); err != nil || read != old {
		t.Errorf("at an older one: %+v %v", read, err)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(encodeMeta(Meta{Release: "v1", Phase: PhaseReady, Age: time.Minute, NameServer: "10.0.0.1:9876"}))
	f.Add([]byte{metaVersion, wireVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := decodeMeta(encodeMeta(m))
		if err != nil || len(b) > 0 && again != m {
			t.Fatalf("%+v, then %+v, %v", m, again, err)
		}
	})
}

func FuzzDecodeFarewell(f *testing.F) {
	b, err := encodeFarewell(farewell{from: tombstone.Peer{Name: "a", Boot: 1}, gone: tombstone.Peer{Name: "b", Boot: 2}})
	kit.Must(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFarewell(b)
		if err != nil {
			return
		}
		b, err = encodeFarewell(got)
		if again, derr := decodeFarewell(b); err != nil || derr != nil || again != got {
			t.Fatalf("%+v: %v, %v", got, err, derr)
		}
	})
}

func memberNamed(g *Gossip, name string) (m Member, ok bool) {
	for _, m := range g.AllMembers() {
		if m.Name == name {
			return m, true
		}
	}
	return m, false
}

func TestMembersTellWhatTheyAre(t *testing.T) {
	nodes := startCluster(t, 3)
	nodes[0].Announce(Meta{Phase: PhaseReady, NameServer: "10.0.0.1:9876", HTTP: "10.0.0.1:9886"})
	for _, n := range nodes {
		kit.Until(t, "the description at "+n.Self().Name, func() bool {
			m, _ := memberNamed(n.Gossip, "n1")
			return m.Ready && m.Release == "test" && m.NameServer == "10.0.0.1:9876" && m.HTTP == "10.0.0.1:9886"
		})
		m, _ := memberNamed(n.Gossip, "n1")
		if real := clock.Now().Sub(nodes[0].started); m.Age > real {
			t.Errorf("%s takes n1 for older than it is: %v, and it is %v", n.Self().Name, m.Age, real)
		}
	}
	nodes[0].Announce(Meta{Phase: PhaseDraining})
	for _, n := range nodes {
		kit.Until(t, "draining at "+n.Self().Name, func() bool {
			m, _ := memberNamed(n.Gossip, "n1")
			return !m.Ready && m.Phase == PhaseDraining
		})
	}
}

func TestLeavingMemberIsNoLostOne(t *testing.T) {
	nodes := startCluster(t, 3)
	kit.Must(t, nodes[2].Stop(context.Background()))
	for _, n := range nodes[:2] {
		kit.Until(t, "n3 to be gone at "+n.Self().Name, func() bool {
			m, ok := memberNamed(n.Gossip, "n3")
			return ok && m.State == StateLeft && len(n.Members()) == 2
		})
		if lost := n.counts.membersLost.Load(); lost != 0 {
			t.Errorf("%d members are counted as lost", lost)
		}
		if err := n.ForceLeave("n3"); err == nil || !strings.Contains(err.Error(), "no failed member") {
			t.Errorf("force-leave of one that left: %v", err)
		}
	}
}

// memberlist reads the word of a death before a goodbye that came with it. Whose goodbye is read within a second was not lost.
func TestGoodbyeBehindTheDeath(t *testing.T) {
	var b inbox
	now := clock.Stamp{Raw: 1, Boot: 1}
	none := func(clock.Stamp) tombstone.Output { return tombstone.Output{} }
	p := tombstone.Peer{Name: "n1", Boot: 1}
	for name, c := range map[string]struct {
		goodbye time.Duration // below 0: none
		lost    int
		untold  bool
	}{
		"at once": {0, 0, true}, "in time": {goodbyeIn - 1, 0, true}, "late": {goodbyeIn + 1, 1, false}, "never": {-1, 1, false},
	} {
		b.up(p, &testListed, Meta{}, now, none)
		gone := now
		b.down(p, gone, none)
		lost, untold := 0, false
		for d := time.Duration(0); d <= 3*goodbyeIn; d += goodbyeIn / 4 {
			if c.goodbye >= 0 && d >= c.goodbye {
				if _, u := b.leaves(p, gone.Add(d)); u {
					untold = true
				}
			}
			lost += len(b.giveUpMissing(gone.Add(d)))
		}
		if lost != c.lost || untold != c.untold {
			t.Errorf("%s: told %d times that it is lost, and then that it left: %v", name, lost, untold)
		}
		now = now.Add(time.Hour)
	}
}

func TestLostMemberStaysListedUntilForgotten(t *testing.T) {
	var lines kit.Log
	nodes := startCluster(t, 3, func(_ int, c *Config) { c.Logger = slog.New(slog.NewTextHandler(&lines, nil)) })
	// It dies: no goodbye, no leave.
	nodes[2].cancel()
	kit.Must(t, nodes[2].list.Shutdown())
	nodes[2].group.Wait()
	nodes[2].list = nil
	for _, n := range nodes[:2] {
		kit.Until(t, "the loss to be counted", func() bool { return n.counts.membersLost.Load() == 1 })
		kit.Until(t, "n3 to be lost at "+n.Self().Name, func() bool {
			m, ok := memberNamed(n.Gossip, "n3")
			return ok && m.State == StateFailed && m.Gone > 0 && !m.Ready
		})
	}
	lines.Await(t, "level=WARN", "member lost", "member=n3")
	if strings.Contains(lines.String(), "member left") {
		t.Error("it is told that it left")
	}
	for name, want := range map[string]string{"n2": "lives", "n1": "this node itself", "n9": "no failed member"} {
		if err := nodes[0].ForceLeave(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("force-leave %s: %v, want %q", name, err, want)
		}
	}
	kit.Must(t, nodes[0].ForceLeave("n3"))
	for _, n := range nodes[:2] {
		kit.Until(t, "n3 to be off the list at "+n.Self().Name, func() bool {
			_, ok := memberNamed(n.Gossip, "n3")
			return !ok
		})
	}
}

// What is listed of the gone is bounded in time and number, and ends when the name lives again.
func TestMemoryOfTheGoneIsBounded(t *testing.T) {
	var b inbox
	now := clock.Stamp{Raw: 1, Boot: 1}
	none := func(clock.Stamp) tombstone.Output { return tombstone.Output{} }
	for i := range maxGone + 10 {
		p := tombstone.Peer{Name: fmt.Sprintf("n%d", i), Boot: 1}
		b.up(p, &testListed, Meta{}, now, none)
		now = now.Add(time.Millisecond)
		b.down(p, now, none)
	}
	if got := len(b.members(now)); got != maxGone {
		t.Fatalf("%d gone, want %d", got, maxGone)
	}
	if len(b.gone) > 0 && b.gone[tombstone.Peer{Name: "n0", Boot: 1}] != nil {
		t.Error("the eldest is still listed")
	}
	back := tombstone.Peer{Name: "n20", Boot: 2}
	b.up(back, &testListed, Meta{}, now, none)
	for _, m := range b.members(now) {
		if m.Name == "n20" && m.State != StateAlive {
			t.Errorf("n20 is back and still listed as %v", m.State)
		}
	}
	if got := b.members(now.Add(failedFor + time.Second)); len(got) != 1 {
		t.Errorf("%d members a day later, want the living one", len(got))
	}
}

var testListed = memberlist.Node{Addr: net.IPv4(127, 0, 0, 1), Port: 1}

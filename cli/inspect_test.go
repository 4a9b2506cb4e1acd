package cli

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ms(v float64) *float64 { return &v }

func before(d time.Duration) time.Time { return noon.Add(-d) }

func brokerA() api.Tombstone {
	return api.Tombstone{
		Cluster: "DefaultCluster", Broker: "broker-a", Addr: "10.0.0.9:10911", Remote: "10.0.0.9", Origin: "n1",
		Boot: "00000000000000aa", Seq: 7,
	}
}

func sampleVanished() *api.Vanished {
	until := noon.Add(400 * time.Second)
	at := func(d time.Duration) *time.Time { t := before(d); return &t }
	one := api.VanishedBroker{
		Cluster: "DefaultCluster", Broker: "broker-a", Addr: "10.0.0.9:10911", Watched: true, Calibrated: true, Says: "votes", Unanswered: 5,
		Evicted: at(time.Second), Words: []api.VanishedWord{
			{Member: "n2", Answered: at(300 * time.Millisecond), Says: "votes", Heard: at(7 * time.Second)},
			{Member: "n3", Answered: at(4 * time.Second), Says: "heard", Alive: true, Heard: at(4500 * time.Millisecond), Unanswered: 6, Mute: true},
			{Member: "n4"},
		},
	}
	two := api.VanishedBroker{
		Cluster: "DefaultCluster", Broker: "broker-b", ID: 1, Addr: "broker-b:10911", NotJudged: "source", Says: "not_watched", OnHold: true,
	}
	return &api.Vanished{
		Asked: api.Asked{Now: noon}, Gossip: true, Mode: "observe", Node: "n1", Cluster: "orders", AfterMS: 8000, Nodes: 4, Living: 4, Quorum: 3,
		Braked: true, AnsweredFor: true, Draining: true, HeldUntil: &until, Watched: 7,
		NotJudged: []api.NotJudged{{Reason: "source", Registrations: 2}, {Reason: "connect_filtered", Registrations: 1}}, Total: 3,
		Hosts: []api.VanishedHost{
			{Source: "10.0.0.9", Heard: before(7 * time.Second), SilenceMS: 7012, Silent: true, Connects: 16, AnsweredNew: at(4 * time.Minute), Brokers: []api.VanishedBroker{one}},
			{Source: "10.0.0.10", Heard: before(4 * time.Second), SilenceMS: 4000, Silent: true, Connects: 3, Brokers: []api.VanishedBroker{two}},
		},
		Decisions: []api.VanishedDecision{
			{At: before(5 * time.Second), Kind: "refuted", Cluster: "DefaultCluster", Broker: "broker-c", Addr: "10.0.0.11:10911", Source: "10.0.0.11", Why: "ack", SilenceMS: 14200},
			{At: before(20 * time.Second), Kind: "would_evict", Cluster: "DefaultCluster", Broker: "broker-c", Addr: "10.0.0.11:10911", Source: "10.0.0.11",
				SilenceMS: 8040, Unanswered: 24, Connects: 20, Agreed: []string{"n2", "n3"}, Mute: []string{"n4"}, Nodes: 4, Quorum: 3},
			{At: before(2 * time.Minute), Kind: "kept", Cluster: "DefaultCluster", Broker: "broker-a", Addr: "10.0.0.9:10911", Source: "10.0.0.9",
				SilenceMS: 8020, Why: "contradicted", By: "n2"},
			{At: before(3 * time.Minute), Kind: "restored", Cluster: "DefaultCluster", Broker: "broker-c", Addr: "10.0.0.11:10911", Source: "10.0.0.11", SilenceMS: 14500},
		},
	}
}

func sampleTombstones() *api.Tombstones {
	until := noon.Add(400 * time.Second)
	nat := brokerA()
	nat.Broker, nat.ID, nat.Remote, nat.Origin = "broker-b", 1, "192.168.1.1", "n3"
	return &api.Tombstones{
		Gossip: true, Node: "n1", Cluster: "orders", HeldUntil: &until, Live: 3,
		Holds: []api.Hold{
			{Scope: "node", Until: until}, {Scope: "source", Source: "fd00::/64", Until: until.Add(time.Minute)},
			{Scope: "broker", Cluster: "DefaultCluster", Addr: "10.0.0.9:10911", Source: "10.0.0.9", Until: until},
		},
		Own: []api.Own{
			{Tombstone: brokerA(), Left: before(12 * time.Second), LifeKnown: true, Reports: []api.Report{
				{Member: "n2", State: "reported", Outcome: "evicted", Why: "evicted", AfterMS: ms(1.234)},
				{Member: "n3", State: "reported", Outcome: "kept_younger_connection",
					Why: "kept: connection younger than the proof of life", AfterMS: ms(21)},
				{Member: "n4", State: "asked", AfterMS: ms(1500)},
				{Member: "n5", Boot: "0123456789abcdef", State: "no answer"},
				{Member: "n5", Boot: "fedcba9876543210", State: "reported", Outcome: "saw_itself", Why: "saw it itself", AfterMS: ms(3)},
			}},
			{Tombstone: brokerA(), Left: before(200 * time.Second)},
		},
		Decisions: []api.Decision{
			{Tombstone: nat, At: before(3 * time.Minute), Verdict: api.Verdict{
				Outcome: "evicted", Why: "evicted", LifeMargin: ms(29_100), RegisterMargin: ms(12.3), AgeMS: 4.2,
			}},
			{Tombstone: nat, At: before(4 * time.Minute), Verdict: api.Verdict{
				Outcome: "came_back", Why: "came back: registered after the departure", RegisterMargin: ms(-2500), AgeMS: 9000,
			}},
			{Tombstone: nat, At: before(5 * time.Minute), Verdict: api.Verdict{
				Outcome: "unknown_at_origin", Why: "unknown at its origin",
			}},
		},
	}
}

func shown(t *testing.T, print func(*view) error) string {
	t.Helper()
	var out bytes.Buffer
	v := &view{out: &out, now: func() time.Time { return noon }}
	kit.Must(t, print(v))
	return out.String()
}

// The screens stand in testdata/screens as somebody saw them. To accept a change look at it in a terminal first, then
// run with EPITAPH_ACCEPT=1.
func TestScreens(t *testing.T) {
	screens := map[string]func(*view) error{
		"tombstones": func(v *view) error { return v.tombstones(sampleTombstones()) },
		"tombstones_none": func(v *view) error {
			return v.tombstones(&api.Tombstones{Gossip: true, Node: "n1", Cluster: "orders"})
		},
		"vanished": func(v *view) error { return v.vanished(sampleVanished()) },
		"vanished_none": func(v *view) error {
			return v.vanished(&api.Vanished{Gossip: true, Mode: "observe", Node: "n1", Cluster: "orders", AfterMS: 8000, Nodes: 3, Living: 1, Quorum: 2})
		},
		"vanished_off": func(v *view) error {
			return v.vanished(&api.Vanished{Gossip: true, Mode: "off", Node: "n1", Cluster: "orders"})
		},
		"vanished_on": func(v *view) error {
			a := sampleVanished()
			a.Mode, a.Decisions = "on", a.Decisions[1:]
			a.Decisions[0].Kind, a.Decisions[1].Why, a.Decisions[1].By = "evicted", "younger", ""
			heir := a.Decisions[0]
			heir.Why = "heir"
			a.Decisions = append(a.Decisions, heir)
			return v.vanished(a)
		},
		"vanished_why":   func(v *view) error { return v.whyVanished(sampleVanished(), false) },
		"vanished_test":  func(v *view) error { return v.whyVanished(sampleVanished(), true) },
		"tombstones_off": func(v *view) error { return v.tombstones(&api.Tombstones{}) },
		"members": func(v *view) error {
			return v.members(&api.Members{Gossip: true, Node: "n1", Cluster: "orders", Keys: []string{"0123456789ab", "cdef01234567"}, Members: []api.Member{
				{Name: "n1", Addr: "10.0.0.1:7946", Self: true, Since: before(time.Hour), State: "alive", Phase: "ready", Ready: true, Release: "v1.2.0", Keys: []string{"0123456789ab", "cdef01234567"}},
				{Name: "n2", Addr: "10.0.0.2:7946", Since: before(90 * time.Second), RTT: 0.412, State: "alive", Phase: "waiting", Release: "v1.2.0", KV: "missing", Keys: []string{"cdef01234567", "0123456789ab"}},
				{Name: "n5", Addr: "10.0.0.5:7946", Since: before(90 * time.Second), RTT: 0.412, State: "alive", Phase: "ready", Ready: true, Release: "v1.2.0", Keys: []string{"0123456789ab", "cdef01234567"}},
				{Name: "n3", Boot: "0123456789abcdef", Addr: "10.0.0.3:7946", Since: before(26 * time.Hour), OnlyTCP: true, HintsWaiting: 3, PullsWaiting: 1, State: "alive", Phase: "unknown"},
				{Name: "n3", Boot: "fedcba9876543210", Addr: "10.0.0.9:7946", Since: before(time.Hour), State: "failed", Phase: "ready", GoneMS: 2_000_000},
				{Name: "n4", Addr: "10.0.0.4:7946", Since: before(26 * time.Hour), State: "failed", Phase: "ready", Release: "v1.1.0-17-gabcdef0", GoneMS: 4_000_000},
			}})
		},
		"conflicts": func(v *view) error {
			return v.conflicts(&api.Conflicts{Total: 40, Conflicts: []api.Conflict{
				{At: before(9 * time.Second), Kind: "one_address_two_names", Cluster: "DefaultCluster", Broker: "broker-a", Addr: "10.0.0.9:10911", Old: "broker-b", Remote: "10.0.0.9"},
				{At: before(time.Hour), Kind: "loopback_address", Cluster: "DefaultCluster", Broker: "broker-c", ID: 1, Addr: "127.0.0.1:10911", Remote: "10.0.0.77"},
			}})
		},
		"conflicts_none": func(v *view) error { return v.conflicts(&api.Conflicts{}) },
		"top": func(v *view) error {
			for _, line := range sampleTop().lines("127.0.0.1:9886", nil) {
				if _, err := v.out.Write([]byte(line + "\n")); err != nil {
					return err
				}
			}
			return nil
		},
		"diff": func(v *view) error { return v.diff(sampleDiff()) },
		"diff_wide": func(v *view) error {
			v.wide = true
			return v.diff(sampleDiff())
		},
		"members_off":    func(v *view) error { return v.members(&api.Members{}) },
		"members_off_kv": func(v *view) error { return v.members(&api.Members{KV: "missing"}) },
		"brokers":        func(v *view) error { return v.brokers(sampleBrokers()) },
		"brokers_wide": func(v *view) error {
			v.wide = true
			return v.brokers(sampleBrokers())
		},
		"brokers_none": func(v *view) error { return v.brokers(&api.Brokers{}) },
		"route": func(v *view) error {
			return v.route(&api.Route{
				Topic:  "orders-created",
				Queues: []api.Queue{{Broker: "broker-a", Read: 8, Write: 8, Perm: 6}, {Broker: "broker-b", Read: 16, Write: 0, Perm: 4}},
				Brokers: []api.RouteBroker{
					{Cluster: "DefaultCluster", Broker: "broker-a", Addrs: []api.RouteAddr{{Addr: "10.0.0.9:10911"}, {ID: 1, Addr: "10.0.0.10:10911"}}},
					{Cluster: "DefaultCluster", Broker: "broker-b", Addrs: []api.RouteAddr{{Addr: "broker-b-0.brokers.production.svc:10911"}}},
				},
			})
		},
	}
	for name, print := range screens {
		got := shown(t, print)
		golden(t, name, got)
		if !strings.HasSuffix(name, "_wide") {
			fits(t, got)
		}
	}
}

// Into a pipe goes every name whole and every entry on its line, so that grep finds it; ages are those of the node, whatever
// this machine's clock says.
func TestPipesGetWholeLines(t *testing.T) {
	name := strings.Repeat("broker-", 20) + "end"
	brokers, left := sampleBrokers(), sampleTombstones()
	brokers.Now, left.Now = noon, noon
	for i := range brokers.Brokers {
		brokers.Brokers[i].Broker, brokers.Brokers[i].Cluster = name, name
	}
	left.Own[0].Broker, left.Own[0].Cluster, left.Decisions[0].Broker = name, name, name
	wants := map[string][]string{
		"brokers":    {name + "  0 ", "Cluster " + name},
		"tombstones": {"12s ago  " + name + " (id 0) at 10.0.0.9:10911, cluster " + name + "\n", "told by n3\n"},
	}
	for what, print := range map[string]func(*view) error{
		"brokers":    func(v *view) error { return v.brokers(brokers) },
		"tombstones": func(v *view) error { return v.tombstones(left) },
	} {
		var pipe, later bytes.Buffer
		kit.Must(t, print(&view{out: &pipe, whole: true, now: func() time.Time { return noon }}))
		kit.Must(t, print(&view{out: &later, whole: true, now: func() time.Time { return noon.Add(time.Hour) }}))
		if pipe.String() != later.String() {
			t.Errorf("%s: ages by this machine's clock:\n%s", what, later.String())
		}
		for _, want := range wants[what] {
			if !strings.Contains(pipe.String(), want) {
				t.Errorf("%s lacks %q:\n%s", what, want, pipe.String())
			}
		}
		if strings.Contains(pipe.String(), "…") {
			t.Errorf("%s: shortened:\n%s", what, pipe.String())
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	kit.Golden(t, filepath.Join("testdata", "screens", name+".txt"), got)
}

func sampleBrokers() *api.Brokers {
	one := func(cluster, name, addr string, id int64) api.Broker {
		return api.Broker{
			Cluster: cluster, Broker: name, ID: id, Addr: addr, Version: "5.5.0", Language: "JAVA", Since: before(3 * time.Hour),
			Registered: before(20 * time.Second), SeenAgo: 500, Expires: 119_500, Topics: 120, Conn: 17, Remote: "10.0.0.9:51234",
		}
	}
	kept := one("DefaultCluster", "broker-b", "[2001:db8:10:20:30:40:50:60]:10911", 1)
	kept.Expires, kept.Version = -200, "4.9.7"
	kept.Kept = &api.Kept{At: before(9 * time.Second), Verdict: api.Verdict{
		Outcome: "kept_other_source", Why: "kept: other source address", AgeMS: 3,
	}}
	return &api.Brokers{Total: 5, Brokers: []api.Broker{
		one("DefaultCluster", "broker-a", "10.0.0.9:10911", 0), kept,
		one("OtherCluster", "a-broker-with-a-rather-long-name-0003", "10.120.130.140:10911", 0),
	}}
}

func fits(t interface{ Errorf(string, ...any) }, text string) {
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screenWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// Whatever brokers and nodes call themselves, every line fits the screen and nothing of it moves a cursor.
func TestScreensFitAnyNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(0, 200, 600)
		id := brokerA()
		id.Broker, id.Cluster, id.Addr, id.Remote, id.Origin = name.Draw(t, "broker"), name.Draw(t, "cluster"),
			name.Draw(t, "addr"), name.Draw(t, "remote"), name.Draw(t, "origin")
		b := sampleBrokers()
		b.Brokers[1].Broker, b.Brokers[1].Addr, b.Brokers[1].Version = id.Broker, id.Addr, id.Remote
		b.Brokers[0].Cluster = id.Cluster
		tomb := sampleTombstones()
		tomb.Own[0].Tombstone, tomb.Decisions[0].Tombstone = id, id
		tomb.Own[0].Reports[0].Member, tomb.Node = id.Origin, id.Origin
		route := &api.Route{Topic: id.Broker, Brokers: []api.RouteBroker{{
			Cluster: id.Cluster, Broker: id.Broker, Addrs: []api.RouteAddr{{Addr: id.Addr}},
		}}}
		members := &api.Members{Gossip: true, Node: id.Origin, Cluster: id.Cluster, Members: []api.Member{
			{Name: id.Origin, Addr: id.Addr, State: "failed", Release: id.Remote, HintsWaiting: 1},
		}}
		conflicts := &api.Conflicts{Total: 1, Conflicts: []api.Conflict{{
			At: noon, Kind: id.Remote, Cluster: id.Cluster, Broker: id.Broker, Addr: id.Addr, Old: id.Origin, Remote: id.Remote,
		}}}
		d := sampleDiff()
		d.Node, d.Cluster, d.Nodes[3].Name = id.Origin, id.Cluster, id.Origin
		d.Brokers[0].Broker, d.Brokers[0].Addr, d.Brokers[0].Nodes[0].Node = id.Broker, id.Addr, id.Origin
		d.Drifts[0].Node, d.Drifts[0].Differ = id.Remote, []string{id.Broker, id.Addr}
		d.Topics[0].Node, d.Topics[0].Broker = id.Remote, id.Broker
		var out bytes.Buffer
		v := &view{out: &out, now: func() time.Time { return noon }}
		for _, err := range []error{v.brokers(b), v.tombstones(tomb), v.route(route), v.members(members), v.conflicts(conflicts), v.diff(d)} {
			kit.Must(t, err)
		}
		h := sampleTop()
		h.loads[1].Why = id.Remote
		out.WriteString(strings.Join(h.lines(id.Addr, nil), "\n"))
		fits(t, out.String())
		if strings.ContainsAny(out.String(), "\x1b\x00\r\u202e") {
			t.Errorf("control characters reach the terminal: %q", out.String())
		}
	})
}

// answering is a node's HTTP that says what it is told to.
func answering(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func run(args ...string) (status int, out, errs string) {
	var stdout, stderr bytes.Buffer
	papers := func() ([]string, error) { return []string{"the licences\n"}, nil }
	p := &program{stdout: &stdout, stderr: &stderr, licenses: papers, newNode: newNode}
	status = p.main(append([]string{"epitaph"}, args...))
	return status, stdout.String(), stderr.String()
}

// Whoever does not answer, or answers something else, is told apart in a sentence with the flag and the remedy.
func TestCommandsTellWhoDoesNotAnswer(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	closed.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer other.Close()
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	nobody, stranger := closed.Addr().String(), other.Addr().String()
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"members -a " + nobody, 1, "no node answers at " + nobody + ": start it with --http " + nobody + ", or say with -a"},
		{"health -a " + nobody, 1, "no node answers at " + nobody},
		{"tombstones -a " + stranger, 1, stranger + " is no node's HTTP: say with -a HOST:PORT what was given to epitaph serve --http"},
		{"brokers -n " + nobody, 1, "no NameServer answers at " + nobody + ": say with -n"},
		{"brokers -n " + nobody + ";nowhere", 2, `--namesrv="nowhere": want HOST:PORT, such as 127.0.0.1:9876, or several with ; between them`},
		{"health -n ;", 2, `--namesrv=";": want HOST:PORT`},
		{"routes -n " + stranger + " T", 1, stranger + " is no NameServer"},
		{"routes -n nowhere T", 2, `--namesrv="nowhere": want HOST:PORT`},
		{"members -a nowhere", 2, `--http-addr="nowhere": want HOST:PORT`},
		{"members surplus", 2, `members takes no argument "surplus"`},
		{"health surplus", 2, `health takes no argument "surplus"`},
		{"routes", 2, "routes takes one TOPIC"},
		{"tombstones --limit 0", 2, "--limit=0: want a number above 0"},
		{"brokers --nonsense", 2, "see epitaph brokers --help"},
		{"members -a " + answering(t, 200, "<html>"), 1, "not of this version of epitaph"},
		{"members -a " + answering(t, 404, "404 page not found\n"), 1, "answers 404: 404 page not found"},
		{"routes -a " + answering(t, 404, `{"error":"no broker here has the topic \"T\""}`) + " T", 1, `no broker here has the topic "T"`},
		{"health -a " + answering(t, 503, "not ready: draining\n"), 1, "not ready: draining"},
		{"health -a " + answering(t, 503, "\x1b[2Jgone"), 1, "�[2Jgone"},
	} {
		status, out, errs := run(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want %d with %q", c.args, status, out, errs, c.status, c.want)
		}
	}
}

// A listener's address is not one to connect to.
func TestAskAddr(t *testing.T) {
	for in, want := range map[string]string{
		"0.0.0.0:9886": "127.0.0.1:9886", ":9886": "127.0.0.1:9886", "[::]:9886": "127.0.0.1:9886",
		"ns1:9886": "ns1:9886", "http://ns1:9886/": "ns1:9886", "[::1]:1": "[::1]:1",
	} {
		if got, err := askAddr(in); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", in, got, err, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0ms", 840 * time.Microsecond: "0.8ms", 35 * time.Millisecond: "35ms", 4200 * time.Millisecond: "4.2s",
		42 * time.Second: "42s", 12 * time.Minute: "12m", 3 * time.Hour: "3h", 5 * 24 * time.Hour: "5d", -2 * time.Second: "-2.0s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// A node that runs is asked by every command, for people and for programs.
func TestCommandsAskANode(t *testing.T) {
	defer kit.NoLeaks(t, goleak.IgnoreCurrent())
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--http", "127.0.0.1:0",
		"--gossip", "127.0.0.1:0", "--cluster", "c", "--name", "n1", "--ready-after", "0s")
	if !strings.Contains(s.screen, "node n1 of cluster c") {
		t.Errorf("screen: %s", s.screen)
	}
	defer s.stop(t, syscall.SIGTERM)
	// It looks for other nodes first, if only for some milliseconds.
	for deadline := time.Now().Add(30 * time.Second); ; {
		if status, _, errs := run("health", "-a", s.http); status == command.OK {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(errs)
		}
	}
	if status, out, errs := run("diff", "-a", s.http); status != command.Failed ||
		out != "Node n1 of cluster c, 1 node compared, nobody to compare it with\n" || !strings.Contains(errs, "not all nodes") {
		t.Errorf("diff: status %d, stdout %q, stderr %q", status, out, errs)
	}
	for args, want := range map[string]string{
		"health -a " + s.http:                "ready",
		"members -a " + s.http:               "Node n1 of cluster c, 1 member, gossip is NOT encrypted\n",
		"tombstones -a " + s.http:            "0 live tombstones",
		"brokers -a " + s.http:               "No broker is registered.",
		"brokers -n " + s.addr:               "No broker is registered.",
		"brokers --json -n " + s.addr:        `"brokers": []`,
		"brokers -n 127.0.0.1:1;" + s.addr:   "No broker is registered.",
		"health -n " + s.addr + "," + s.addr: "all 2 are ready",
		"members --json -a http://" + s.http: `"name": "n1"`,
		"tombstones --json -a " + s.http:     `"live": 0`,
	} {
		status, out, errs := run(strings.Fields(args)...)
		if status != command.OK || !strings.Contains(out, want) || errs != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", args, status, out, errs)
		}
		if strings.Contains(args, "--json") && !json.Valid([]byte(out)) {
			t.Errorf("%s: no JSON: %s", args, out)
		}
	}
	for _, args := range []string{"routes -a " + s.http + " T", "routes -n " + s.addr + " T"} {
		if status, _, errs := run(strings.Fields(args)...); status != command.Failed || !strings.Contains(errs, `has the topic "T"`) {
			t.Errorf("%s: status %d, %s", args, status, errs)
		}
	}
}

// docs/operations.md names every command and every flag.
func TestOperationsNameEveryFlag(t *testing.T) {
	doc, err := os.ReadFile("../docs/operations.md")
	kit.Must(t, err)
	app := (&program{}).app()
	flags := 0
	for _, c := range app.Commands {
		if !c.Hidden && !strings.Contains(string(doc), "`epitaph "+c.Name) {
			t.Errorf("epitaph %s is not there", c.Name)
		}
		for _, f := range c.Flags {
			flags++
			if !strings.Contains(string(doc), "`--"+f.Name+"`") || f.Short != "" && !strings.Contains(string(doc), "`-"+f.Short+"`") {
				t.Errorf("--%s of epitaph %s is not there", f.Name, c.Name)
			}
			if f.Usage == "" {
				t.Errorf("--%s of epitaph %s has no help", f.Name, c.Name)
			}
		}
	}
	if flags < 20 {
		t.Errorf("only %d flags seen", flags)
	}
}

//go:build linux

package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// fate is what must become of a broker at our nodes. Times are told and never asserted.
type fate int

const (
	vanishes fate = iota // the rule takes it out, at every node that may judge it
	spared               // the rule never does, whatever RocketMQ's own does
	stays                // nothing takes it out
	resets               // its connection ends, and the rule has no part in it
)

// fault is one row of docs/deadhosts.md: what befalls the host of one broker.
type fault struct {
	what    string
	right   string // what is to be said of our nodes, if it is its fate
	release string // of the broker; empty: a peer of the test's own
	fate    fate
	strike  func(f *fault) // one that waits for its moment sets struck
	mend    func(f *fault) // nil: it is never mended
	lasts   time.Duration  // 0: it is mended when Java has had its time, too
	nodes   []*epitaph     // that judge it
	others  []*server      // where it registers besides

	name, key      string
	host           *host
	broker         *broker
	rules          []rule
	struck, mended time.Time
}

func (f *fault) servers() []*server {
	all := slices.Clone(f.others)
	for _, n := range f.nodes {
		all = append(all, n.server)
	}
	return all
}

// drops loses what passes between the host and each server: by is where.
func (f *fault) drops(by func(s *server) []rule) {
	for _, s := range f.servers() {
		f.rules = append(f.rules, by(s)...)
	}
}

func heals(f *fault) { heal(f.rules) }

func down(f *fault) { f.host.cable("down") }
func up(f *fault)   { f.host.cable("up") }

// stage is where the faults are played: three clusters that judge, a node that observes, and a Java NameServer, on one network.
type stage struct {
	t       *testing.T
	net     *network
	java    *server
	watches map[*server]*watch
	faults  []*fault
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, net: newNetwork(t), watches: map[*server]*watch{}}
	s.java = startJava(t, s.net.host("java"), "J")
	s.watches[s.java] = s.java.watch(t, 100*time.Millisecond)
	return s
}

func (s *stage) nodes(mode string, names ...string) []*epitaph {
	s.t.Helper()
	nodes := newWorldOn(s.t, s.net, []string{"--dead-hosts", mode}, names...).nodes
	for _, n := range nodes {
		s.watches[n.server] = n.watch(s.t, 100*time.Millisecond)
	}
	return nodes
}

// add is one more fault, with a broker that registers with the Java NameServer, too.
func (s *stage) add(f *fault) *fault {
	s.t.Helper()
	f.name = fmt.Sprintf("fault%d", len(s.faults)+1)
	f.others = append(f.others, s.java)
	if f.host == nil {
		f.host = s.net.host(f.name)
	}
	f.key = f.name + "@" + net.JoinHostPort(f.host.IP, strconv.Itoa(brokerPort))
	s.faults = append(s.faults, f)
	return f
}

// launch starts the brokers, a few at a time, and waits until they may be judged.
func (s *stage) launch() {
	s.t.Helper()
	began := time.Now()
	var started []*fault
	for _, f := range s.faults {
		if f.release == "" {
			continue
		}
		if n := len(started) - 4; n >= 0 {
			started[n].broker.MustBoot(s.t)
		}
		f.broker = launch(s.t, f.host, f.release, f.name, f.servers()...)
		started = append(started, f)
	}
	for _, f := range started {
		s.judged(f)
	}
	s.t.Logf("%d brokers may be judged after %v", len(started), time.Since(began).Round(time.Second))
}

// judged waits until every node may judge the broker's host.
func (s *stage) judged(f *fault) {
	s.t.Helper()
	for _, server := range f.servers() {
		s.watches[server].listed(s.t, 3*kit.Patience, f.key)
	}
	for _, n := range f.nodes {
		n.mayJudge(s.t, f.name)
	}
}

func (s *stage) strike(f *fault) {
	s.t.Helper()
	f.struck = time.Now()
	f.strike(f)
	s.t.Logf("%s, %s: struck within %v", f.name, f.what, time.Since(f.struck).Round(time.Millisecond))
}

func (s *stage) mend(f *fault) {
	s.t.Helper()
	f.mended = time.Now()
	f.mend(f)
}

// back waits until a broker is listed again everywhere.
func (s *stage) back(f *fault) {
	s.t.Helper()
	for _, server := range f.servers() {
		if err := kit.Within(2*kit.Patience, func() error {
			here, since, err := s.watches[server].state(f.key)
			if err == nil && !here {
				err = fmt.Errorf("not listed since %v", since)
			}
			return err
		}); err != nil {
			s.t.Errorf("%s at %s: %v", f.what, server.name, err)
		}
	}
}

// came is how a broker came and went at some servers, in words; where they differ, for each.
func (s *stage) came(f *fault, servers []*server) string {
	var all [][]string // what happened, by server
	var at [][]time.Duration
	for _, server := range servers {
		var what []string
		var when []time.Duration
		for _, c := range s.watches[server].history(f.key, f.struck) {
			word, since := map[bool]string{true: "back after", false: "gone after"}[c.here], f.struck
			if !f.mended.IsZero() && c.at.After(f.mended) {
				word, since = word[:5]+"%s after its end", f.mended
			} else {
				word += " %s"
			}
			what, when = append(what, word), append(when, c.at.Sub(since))
		}
		all, at = append(all, what), append(at, when)
	}
	same := !slices.ContainsFunc(all, func(one []string) bool { return !slices.Equal(one, all[0]) })
	if same {
		return told(all[0], at...)
	}
	var text []string
	for i, server := range servers {
		text = append(text, server.name+": "+told(all[i], at[i]))
	}
	return strings.Join(text, "; ")
}

// told puts the times of several servers, for which the same happened, into words.
func told(what []string, at ...[]time.Duration) string {
	if len(what) == 0 {
		return "kept"
	}
	var text []string
	for i, word := range what {
		var times []time.Duration
		for _, one := range at {
			times = append(times, one[i])
		}
		least, most := slices.Min(times).Seconds(), slices.Max(times).Seconds()
		span := fmt.Sprintf("%.1f s", most)
		if most-least >= 0.1 {
			span = fmt.Sprintf("%.1f to %.1f s", least, most)
		}
		text = append(text, fmt.Sprintf(word, span))
	}
	return strings.Join(text, ", ")
}

// ends are the lines of a node's log about the end of a registration, with our words for it.
var ends = map[string]string{
	"broker evicted: its host has vanished": "the rule",
	"broker connection lost":                "connection lost",
	"broker expired":                        "expired",
}

var endLine = regexp.MustCompile(`msg="([^"]+)"`)

// ended is why a node dropped a broker, once for each time.
func (f *fault) ended(n *epitaph) (all []string) {
	for line := range strings.Lines(n.Output()) {
		if m := endLine.FindStringSubmatch(line); m != nil && ends[m[1]] != "" && strings.Contains(line, " broker="+f.name+" ") {
			all = append(all, ends[m[1]])
		}
	}
	return all
}

// why is what our nodes say of it.
func (s *stage) why(f *fault) string {
	s.t.Helper()
	var all []string
	add := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, n := range f.nodes {
		var v api.Vanished
		kit.Must(s.t, n.getJSON("/v1/vanished", &v)) // by its name only one that is listed can be asked for
		slices.Reverse(v.Decisions)                  // oldest first
		evicted := false
		for _, d := range v.Decisions {
			if d.Broker != f.name {
				continue
			}
			s.t.Logf("%s, %s: %+v", n.name, f.name, d)
			evicted = evicted || d.Kind == "evicted"
		}
		for _, e := range f.ended(n) {
			add(e)
		}
		for _, d := range v.Decisions {
			switch {
			case d.Broker != f.name:
			case d.Kind == "refuted":
				add("refuted (" + d.Why + ")")
			case d.Kind == "kept" && !evicted:
				add("kept (" + d.Why + ")")
			case d.Kind == "would_evict":
				add("would be evicted")
			}
		}
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

// holds says what is wrong with the fate of a broker.
func (s *stage) holds(f *fault) error {
	var errs []error
	for _, n := range f.nodes {
		ended := f.ended(n)
		byRule := slices.Contains(ended, "the rule")
		wrong := false
		switch f.fate {
		case vanishes:
			wrong = !byRule || ended[0] != "the rule"
		case spared:
			wrong = byRule
		case stays:
			wrong = len(ended) > 0
		case resets:
			wrong = byRule || len(ended) == 0
		}
		if wrong {
			errs = append(errs, fmt.Errorf("%s: %v", n.name, ended))
		}
	}
	return errors.Join(errs...)
}

func (s *stage) row(f *fault) string {
	s.t.Helper()
	right := f.right
	if err := s.holds(f); err != nil {
		right = "**NO**"
		s.t.Errorf("%s: %v", f.what, err)
	}
	var ours []*server
	for _, n := range f.nodes {
		ours = append(ours, n.server)
	}
	broker := f.release
	if broker == "" {
		broker = "-"
	}
	row := "| " + strings.Join([]string{f.what, broker, s.came(f, ours), s.why(f), s.came(f, []*server{s.java}), right}, " | ") + " |"
	s.t.Log(row)
	return row
}

// unanswered waits until the answer of each server to a REGISTER waits for its ACK. The broker must be one that asks nothing else meanwhile
// (4.x), for it gives such a connection up, and the next one is too young to be judged.
func unanswered(f *fault) {
	for _, s := range f.servers() {
		r := rule{f.host, []string{"INPUT", "-s", s.host.IP, "-p", "tcp", "-m", "length", "--length", "90:", "-j", "DROP"}} // no probe is so long
		r.apply("-A")
		f.rules = append(f.rules, r)
	}
	for _, s := range f.servers() {
		kit.Until(f.host.t, s.name+" has data unacknowledged", func() bool {
			out, err := s.host.output("ss", "-Htn", "state", "established", "dst", f.host.IP)
			words := strings.Fields(out)
			return err == nil && len(words) > 1 && words[1] != "0"
		})
	}
	f.struck = time.Now()
	down(f)
}

// forgets is a firewall on the host that forgets every connection.
func forgets(loose string) func(f *fault) {
	return func(f *fault) {
		f.host.invalid()
		kit.Must(f.host.t, f.host.loose(loose), f.host.forget())
	}
}

// dies is a machine that is no more, with all its processes.
func dies(f *fault) {
	f.host.vanish()
	f.broker.Kill()
}

// The fault table of dead hosts, played with released brokers: what our nodes do in each row, and beside them, with the same broker and
// at the same time, a NameServer of Java. EPITAPH_DEADHOSTS names the page that is written.
func TestFaults(t *testing.T) {
	page := os.Getenv("EPITAPH_DEADHOSTS")
	if page == "" {
		t.Skip("SKIPPED: some minutes, with eighteen brokers; make night-deadhosts has it")
	}
	need(t, weightLimit)
	load := kit.Load()
	s := newStage(t)
	three, streams, mixed := s.nodes("on", "A", "B", "C"), s.nodes("on", "D", "E", "F"), s.nodes("on", "G", "H", "I")
	observer := s.nodes("observe", "O")
	for _, to := range streams {
		for _, from := range streams {
			if to != from {
				to.host.drop(from.host, "-p", "udp")
			}
		}
	}
	var hear []string // I is to go with its host
	for server := range s.watches {
		if server != mixed[2].server {
			hear = append(hear, server.addr)
		}
	}
	for i := range 14 { // of so many hosts as are silent here at one time, more than as many must be heard
		h := s.net.host(fmt.Sprintf("other%d", i))
		b := h.simulated(t, h.name)
		b.Register(t, hear...)
		b.Keep(t, b.Registration, hear...)
	}

	const (
		yes      = "yes"
		rocketmq = "as specified: the machine lives, and RocketMQ's own rule goes on"
		gaveUp   = "yes: never by the rule; a broker 5.x itself gives up a connection on which it has asked for routes in vain for 3 s"
	)
	for _, release := range []string{release5, release4} {
		s.add(&fault{what: "the port of its machine goes down (as power, network card, kernel)", right: yes, release: release, strike: down, mend: up, nodes: three})
		s.add(&fault{what: "its machine is gone with its interface and processes (as a pod)", right: yes, release: release, strike: dies, nodes: three})
		s.add(&fault{what: "its JVM stands still (SIGSTOP)", right: rocketmq, release: release, fate: spared, nodes: three,
			strike: func(f *fault) { kit.Must(t, f.broker.Signal(syscall.SIGSTOP)) },
			mend:   func(f *fault) { kit.Must(t, f.broker.Signal(syscall.SIGCONT)) }})
	}
	s.add(&fault{what: "what it sends is lost", right: yes, release: release5, mend: heals, nodes: three,
		strike: func(f *fault) { f.drops(func(s *server) []rule { return []rule{s.host.drop(f.host)} }) }})
	s.add(&fault{what: "what it is sent is lost", release: release5, mend: heals, nodes: three,
		right:  "yes, though later: what it still sends, again and again, counts as life",
		strike: func(f *fault) { f.drops(func(s *server) []rule { return []rule{f.host.drop(s.host)} }) }})
	s.add(&fault{what: "node A alone loses it, both ways; so does Java", right: "yes: one node's path is not the host; A goes by RocketMQ's rule", release: release4,
		fate: spared, mend: heals, nodes: three,
		strike: func(f *fault) {
			f.rules = append(cut(f.host, three[0].host), cut(f.host, s.java.host)...)
		}})
	s.add(&fault{what: "30 % of the packets are lost, both ways", release: release5, fate: spared, mend: heals, nodes: three,
		right: gaveUp,
		strike: func(f *fault) {
			f.drops(func(s *server) []rule { return []rule{s.host.lose(f.host, 0.3), f.host.lose(s.host, 0.3)} })
		}})
	forgotten := ""
	if err := s.java.host.forget(); err != nil {
		forgotten = fmt.Sprintf("| its firewall forgets all connections | - | not played on this machine: %v | - | - | - |\n", err)
		t.Log(forgotten)
	} else {
		for _, f := range []*fault{
			s.add(&fault{what: "its firewall forgets all connections, and picks them up", right: yes, release: release4, fate: stays, nodes: three, strike: forgets("1")}),
			s.add(&fault{what: "its firewall forgets all connections, and drops the old ones", release: release5, fate: spared, nodes: three, strike: forgets("0"),
				right: "yes: new connections are answered; the broker itself gives up the old ones"}),
		} {
			f.host.tracks()
		}
	}
	s.add(&fault{what: "its port goes down, UDP is blocked among the nodes", right: yes, release: release4, strike: down, mend: up, nodes: streams})
	s.add(&fault{what: "it and node I are on one machine, whose port goes down; the others", right: yes, release: release5, host: mixed[2].host, strike: down, mend: up,
		nodes: mixed[:2], others: []*server{mixed[2].server}})
	slow := s.add(&fault{what: "its own timeout is 300 s, the node observes, its port goes down", fate: spared, nodes: observer, mend: up,
		right: "as specified: nothing changes by observing; both close what was idle for 120 s"})
	peer := slow.host.simulated(t, slow.name)
	slow.strike = func(f *fault) {
		r := peer.Registration()
		r.Ext["heartbeatTimeoutMillis"] = "300000"
		for _, server := range f.servers() {
			kit.Must(t, peer.Tell(server.addr, r, kit.Patience))
			s.watches[server].listed(t, kit.Patience, f.key)
		}
		f.struck = time.Now()
		down(f)
	}
	s.add(&fault{what: "its port goes down while answers of ours are unacknowledged", right: yes, release: release4, strike: unanswered, nodes: three,
		mend: func(f *fault) { heals(f); up(f) }})
	s.add(&fault{what: "nothing is heard of its machine for 5 s (as one that is moved while it runs)", release: release5, fate: spared, strike: down, mend: up, lasts: 5 * time.Second, nodes: three,
		right: gaveUp})
	s.add(&fault{what: "the same for 15 s", right: "**wrong for seconds**: until it is heard on that connection, or its next REGISTER where it has given that up", release: release5, strike: down, mend: up, lasts: 15 * time.Second, nodes: three})
	var mac string
	s.add(&fault{what: "its machine starts anew within 3 s, without the broker", right: "yes, sooner: its kernel resets what it does not know",
		release: release4, fate: resets, lasts: 3 * time.Second, nodes: three,
		strike: func(f *fault) { mac = f.host.mac(); dies(f) },
		mend:   func(f *fault) { f.host = f.host.successor(mac) }})

	s.launch()
	for _, f := range s.faults {
		s.strike(f)
		if f.lasts > 0 {
			pass(t, f.lasts-time.Since(f.struck))
			s.mend(f)
		}
	}
	pass(t, 135*time.Second) // RocketMQ's 120 s, and its looks every 5 s
	for _, f := range s.faults {
		if f.mend != nil && f.mended.IsZero() {
			s.mend(f)
		}
	}
	for _, f := range s.faults {
		if f.mend != nil && f.fate != resets && f.broker != nil {
			s.back(f)
		}
	}
	text := fmt.Sprintf(faultsHead, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), kernel(t), load, kit.Load())
	for _, f := range s.faults {
		text += s.row(f) + "\n"
	}
	kit.Must(t, os.WriteFile(page, []byte(text+forgotten), 0o644))
}

const faultsHead = `# Hosts that vanish, fault by fault

Written by ` + "`make deadhosts`" + `: what nodes with ` + "`--dead-hosts on`" + ` do when something befalls the machine of a broker, and beside them, with the same broker at
the same time, the NameServer of Java (5.5.0). Each broker is a released one on a machine of its own, a network namespace; three nodes judge it, and
fourteen other hosts are heard. %s, %d processors, Linux %s, load %s at the start and %s at the end. How they judge: [the rule](spec/deadhosts.md).

Times are since the fault began, from the first node to the last, and include up to 0.1 s until they are seen; what comes after the end of the fault is
told from there. A broker that came back did so by its next REGISTER, every 30 s by default, with ours as with Java; with ours also at the first sign of life on the
connection that it had (` + "`--dead-host-restore`" + `), unless it has given that up meanwhile. *Kept* means that it was listed all the
time. The column *how* says what our nodes tell: *the rule* is this page's subject, all else is RocketMQ's own.

What is not fast, and goes as with Java after two minutes: a process that hangs while its machine lives; a host that one node alone loses, at that node;
half of all hosts at once or the only one, brokers that come through NAT or a balancer or run beside a node, at that node; nodes that may not connect to
brokers; two nodes of which one is gone. What is wrong for seconds: a machine that nobody hears for longer than six to eight seconds and that is then back is
not listed until it is heard again. Set ` + "`--dead-host-after`" + ` above the longest freeze that your machines have. With either NameServer a broker is also gone for
seconds when it gives a connection up itself, as 5.x does with one on which it asked something for 3 s in vain: then the others keep it. And a machine that hears
nothing but is heard goes only when it stops sending.

Where the load is far above the number of processors other programs had them, too, and times are upper bounds.

| what befalls the broker | release | ours | how | Java | right? |
|---|---|---|---|---|---|
`

// kernel is this machine's release of Linux, without what its builder added.
func kernel(t *testing.T) string {
	t.Helper()
	var name unix.Utsname
	kit.Must(t, unix.Uname(&name))
	return regexp.MustCompile(`^\d+\.\d+`).FindString(unix.ByteSliceToString(name.Release[:]))
}

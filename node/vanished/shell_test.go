package vanished

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/connect"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// What kernels, links and real brokers do is proven in test/netns; the rule in package vanish. Here shells are played in virtual time between
// hosts whose kernels answer probes as Linux does.

// net is the nodes, the hosts and the paths between them.
type net struct {
	t     *testing.T
	nodes []*node
	mu    sync.Mutex
	dead  map[string]time.Time // since when a path, "NODE>HOST", or a host is silent
}

// node is one Shell and what surrounds it.
type node struct {
	*Shell
	net      *net
	name     string
	conns    []*conn
	draining atomic.Bool
	missing  atomic.Bool // the others take it for dead
	full     atomic.Bool // of streams
	log      text
	answers  netip.Addr // a canary that answers
	table    *routes.Table
	events   []routes.Event // of what was taken out and put back
	halt     func()         // ends its Run
}

// text is a log that may be read while it is written.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *text) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// of is what is known of a broker.
func (n *node) of(broker string) []vanish.HostStatus {
	s := n.Status()
	return s.Of(broker)
}

// conn is a broker's connection at a node.
type conn struct {
	node    *node
	id      uint64
	host    netip.Addr
	why     rpc.Unwatched
	whys    map[string]rpc.Unwatched // by advertised address, where that differs
	began   time.Time
	mu      sync.Mutex // guards the following
	forced  time.Time  // the last probe that was answered at once
	extra   int        // probes in vain that were asked for
	watched int        // calls
	slow    bool       // its kernel has no TCP_RTO_MAX_MS
	blind   bool       // it began with a PROXY header
}

func (n *net) since(node, host string) (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key := range []string{host, node + ">" + host} {
		if at, cut := n.dead[key]; cut {
			return at, true
		}
	}
	return time.Time{}, false
}

func (n *net) cut(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead[key] = time.Now()
}

func (n *net) heal(key string) {
	n.mu.Lock()
	delete(n.dead, key)
	n.mu.Unlock()
	for _, one := range n.nodes {
		for _, c := range one.open() {
			c.mu.Lock()
			c.extra = 0
			c.mu.Unlock()
		}
	}
}

func (c *conn) ID() uint64                 { return c.id }
func (c *conn) Source() mq.Source          { return mq.Source{Addr: c.host} }
func (c *conn) SocketAddr() netip.AddrPort { return netip.AddrPortFrom(c.host, 40_000) }
func (c *conn) Watch(advertised string, _ int64) rpc.Unwatched {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched++
	if why, is := c.whys[advertised]; is {
		return why
	}
	return c.why
}

func (c *conn) Paced() bool { return !c.slow }

const idle = 2 * time.Second

// Look is what Linux tells: the last of the probes, one every two seconds, that was answered, and those since then, one a second.
func (c *conn) Look() (rpc.Look, bool) {
	if c.blind {
		return rpc.Look{}, false
	}
	now, end := time.Now(), time.Now()
	at, cut := c.node.net.since(c.node.name, c.host.String())
	if cut {
		end = at
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	heard := c.began.Add(end.Sub(c.began) / idle * idle)
	if c.forced.After(heard) {
		heard = c.forced
	}
	l := rpc.Look{Heard: now.Sub(heard)}
	if cut && l.Heard > idle {
		l.Probes = uint8(int((l.Heard-idle)/time.Second) + 1 + c.extra)
	}
	return l, true
}

func (c *conn) Probe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, cut := c.node.net.since(c.node.name, c.host.String()); cut {
		c.extra++
	} else {
		c.forced = time.Now()
	}
}

func (n *node) Self() tombstone.Peer { return tombstone.Peer{Name: n.name, Boot: 1} }
func (n *node) Nodes() int           { return len(n.net.nodes) }
func (n *node) Members() (all []gossip.Member) {
	for _, one := range n.net.nodes {
		if one == n || !one.missing.Load() {
			all = append(all, gossip.Member{Peer: one.Self(), Self: one == n})
		}
	}
	return all
}

func (n *node) Missing() (all []tombstone.Peer) {
	for _, one := range n.net.nodes {
		if one != n && one.missing.Load() {
			all = append(all, one.Self())
		}
	}
	return all
}

func (n *node) Tell(to vanish.Peer, m vanish.Message, stream bool) vanish.Sent {
	if stream && n.full.Load() {
		return vanish.HeldBack
	}
	for _, one := range n.net.nodes {
		if _, mute := n.net.since("", one.name); !mute && one.Self() == to {
			one.Message(m)
			return vanish.Went
		}
	}
	return vanish.NotSent
}

func (n *node) Try(ctx context.Context, addr netip.AddrPort) connect.Result {
	if _, cut := n.net.since(n.name, addr.Addr().String()); !cut {
		return connect.Result{Outcome: connect.Answered}
	}
	select {
	case <-ctx.Done():
		return connect.Result{Outcome: connect.Failed, Err: ctx.Err()}
	case <-time.After(connect.Wait):
		return connect.Result{Outcome: connect.Unanswered}
	}
}

// TellsICMP says that the kernel of n2 alone is of before Linux 5.8.
func (n *node) TellsICMP() bool { return n.name != "n2" }

func (n *node) Canary(context.Context, []netip.Addr) (netip.Addr, bool) {
	return n.answers, n.answers.IsValid()
}

// open are the connections at a node.
func (n *node) open() []*conn {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	return slices.Clone(n.conns)
}

func (n *node) register(c *conn) {
	n.net.mu.Lock()
	n.conns = append(n.conns, c)
	n.net.mu.Unlock()
	r := registration(c, c.host)
	n.table.Register(r)
	n.Registered(c, r)
}

// registration is that of the broker of a host, by a connection of this one or another.
func registration(c *conn, host netip.Addr) *routes.Registration {
	return &routes.Registration{
		Cluster: "c", Name: "broker-" + host.String(), Addr: netip.AddrPortFrom(host, 10911).String(), HasTopics: true,
		Conn: &routes.Conn{ID: c.id, Source: c.Source()},
	}
}

// claimed is what a node says of its tables.
func (n *node) claimed(s vanish.Subject) bool {
	return n.table.HeldBy(tombstone.Key{Cluster: s.Cluster, Addr: s.Addr}, tombstone.Identity{Name: s.Name, BrokerID: s.BrokerID, RemoteIP: s.Source})
}

// lists says that the broker of a host is in a node's tables.
func (n *node) lists(host netip.Addr) bool {
	return n.table.Holds(tombstone.Key{Cluster: "c", Addr: netip.AddrPortFrom(host, 10911).String()})
}

// play has nodes of those modes watch six hosts for 40 s, and then calls f. Their tables put nothing back.
func play(t *testing.T, modes []vanish.Mode, f func(w *net)) {
	t.Helper()
	playAside(t, modes, 0, f)
}

// playAside is play with tables that may set so many bytes aside.
func playAside(t *testing.T, modes []vanish.Mode, aside int64, f func(w *net)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &net{t: t, dead: map[string]time.Time{}}
		began := time.Now()
		stamp := func() clock.Stamp {
			at := int64(time.Hour + time.Since(began))
			return clock.Stamp{Raw: at, Boot: at}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i, mode := range modes {
			n := &node{net: w, name: fmt.Sprintf("n%d", i+1)}
			n.table = routes.New(routes.Config{Clock: stamp, TombstoneTTL: tombstone.TTL, AsideBytes: aside})
			nonce := uint64(i) << 32
			cfg := Config{
				Rule:    vanish.Config{Mode: mode, After: 8 * time.Second, Nonce: func() uint64 { nonce++; return nonce }},
				Claimed: n.claimed, Dialer: n, Clock: stamp,
				Conns: func() iter.Seq[Conn] {
					return func(yield func(Conn) bool) {
						for _, c := range n.open() {
							if !yield(c) {
								return
							}
						}
					}
				},
				Draining: func() bool { return n.draining.Load() }, Logger: slog.New(slog.NewTextHandler(&n.log, nil)),
			}
			if mode == vanish.On { // who observes has nothing to change a table by
				cfg.Tables = n.table
				cfg.PutBack = func(eff routes.Effects) { n.events = append(n.events, eff.Events...) }
				cfg.Evicted = func(_ time.Duration, eff routes.Effects) { cfg.PutBack(eff) }
			}
			n.Shell = New(cfg)
			if err := n.Attach(n); err != nil {
				t.Fatal(err)
			}
			w.nodes = append(w.nodes, n)
		}
		for i, n := range w.nodes {
			for h := range 6 {
				n.register(&conn{node: n, id: uint64(i*100 + h + 1), host: host(h), began: time.Now()})
			}
			its, end := context.WithCancel(ctx)
			over := make(chan struct{})
			n.halt = func() { end(); <-over }
			running.Go(func() { defer close(over); defer end(); n.Run(its) })
		}
		<-time.After(40 * time.Second)
		synctest.Wait()
		f(w)
		cancel()
		running.Wait()
	})
}

func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func all(n int) []vanish.Mode { return slices.Repeat([]vanish.Mode{vanish.Observe}, n) }

func on(n int) []vanish.Mode { return slices.Repeat([]vanish.Mode{vanish.On}, n) }

// kinds are the decisions, oldest first.
func (n *node) kinds() (text string) {
	for _, d := range slices.Backward(n.Status().Decisions) {
		text += string(d.Kind)
		if d.Kind == Kept {
			text += " " + d.Why.Name()
		}
		text += ";"
	}
	return text
}

// TestObserved: a host dies, and every node tells it within 9 s, once; when it is back each says that it was wrong. Nothing is asked of anybody while
// all is well but one new connection to each host, and what the nodes say of each other's silence comes by messages alone.
func TestObserved(t *testing.T) {
	play(t, all(3), func(w *net) {
		for _, n := range w.nodes {
			s := n.Status()
			if s.Lines != 6 || len(s.Hosts) != 6 || s.Counts.Tried[connect.Answered] != 6 || len(s.Decisions) != 0 || len(s.Counts.Sent) != 0 {
				t.Errorf("%s: %+v", n.name, s)
			}
			for i := range s.Hosts {
				if why := s.NotJudged(&s.Hosts[i], &s.Hosts[i].Claims[0]); why != "" {
					t.Errorf("%s does not judge %v: %s", n.name, s.Hosts[i].Source, why)
				}
			}
		}
		w.cut(host(3).String())
		pass(9 * time.Second)
		for _, n := range w.nodes {
			s := n.Status()
			if n.kinds() != "would_evict;" || s.Counts.WouldEvict != 1 {
				t.Fatalf("%s: %s, %d", n.name, n.kinds(), s.Counts.WouldEvict)
			}
			d := s.Decisions[0]
			if d.Claim.Source != host(3) || len(d.Agreed) < 1 || d.Quorum != 2 || d.Nodes != 3 || d.Silence < 8*time.Second || d.Unanswered < 4 || d.Connects < 6 {
				t.Errorf("%s: %+v", n.name, d)
			}
			if !n.lists(host(3)) {
				t.Errorf("%s only observes, and has taken a broker out", n.name)
			}
			if !strings.Contains(n.log.String(), `level=WARN msg="host vanished: broker would be evicted (--dead-hosts=observe)" cluster=c broker=broker-10.0.0.4`) {
				t.Errorf("%s: %s", n.name, n.log.String())
			}
		}
		w.heal(host(3).String())
		pass(3 * time.Second)
		for _, n := range w.nodes {
			s := n.Status()
			refuted := uint64(0)
			for _, by := range Refutations {
				refuted += s.Counts.Refuted[by]
			}
			if n.kinds() != "would_evict;refuted;" || refuted != 1 || !n.of("broker-10.0.0.4")[0].Claims[0].OnHold {
				t.Errorf("%s: %s, %d", n.name, n.kinds(), refuted)
			}
		}
	})
}

// TestContradicted: what one node alone does not hear is kept, and it says who hears it.
func TestContradicted(t *testing.T) {
	play(t, all(3), func(w *net) {
		w.cut("n2>" + host(0).String())
		pass(12 * time.Second)
		if k := w.nodes[1].kinds(); k != "kept contradicted;" || w.nodes[1].Status().Decisions[0].By == "" {
			t.Errorf("%s", k)
		}
		for _, i := range []int{0, 2} {
			if s := w.nodes[i].Status(); len(s.Decisions) != 0 || s.Counts.Got["query"] == 0 || s.Counts.Sent["view"] == 0 {
				t.Errorf("%s: %+v", w.nodes[i].name, s.Counts)
			}
		}
		w.heal("n2>" + host(0).String())
		pass(3 * time.Second)
		if !strings.Contains(w.nodes[1].log.String(), `msg="host alive again" host=10.0.0.1 after=1`) {
			t.Error(w.nodes[1].log.String())
		}
	})
}

// TestDraining: a node that is to be left judges nobody, and does again when it is not.
func TestDraining(t *testing.T) {
	play(t, all(3), func(w *net) {
		w.nodes[0].draining.Store(true)
		w.cut(host(3).String())
		pass(9 * time.Second)
		if a, b := w.nodes[0].kinds(), w.nodes[1].kinds(); a != "kept draining;" || b != "would_evict;" {
			t.Errorf("%q and %q", a, b)
		}
		w.nodes[0].draining.Store(false)
		pass(3 * time.Second)
		if a := w.nodes[0].kinds(); a != "kept draining;would_evict;" {
			t.Errorf("%q", a)
		}
	})
}

// TestMissing: a member that the others take for dead, and that may only have lost some packets, is asked and answered all the same.
func TestMissing(t *testing.T) {
	play(t, all(3), func(w *net) {
		w.nodes[0].missing.Store(true)
		w.cut(host(3).String())
		pass(9 * time.Second)
		for _, n := range w.nodes {
			if k := n.kinds(); k != "would_evict;" || len(n.Status().Decisions[0].Agreed) != 2 {
				t.Errorf("%s: %s", n.name, k)
			}
		}
	})
}

// TestOff: a node without --dead-hosts asks nothing of any kernel, opens no connection, sends nothing of its own, and answers that it does not judge; the
// others agree without it.
func TestOff(t *testing.T) {
	play(t, []vanish.Mode{vanish.Off, vanish.Observe, vanish.Observe}, func(w *net) {
		w.cut(host(3).String())
		pass(9 * time.Second)
		s := w.nodes[0].Status()
		for _, c := range w.nodes[0].open() {
			if c.watched != 0 || !c.forced.IsZero() || c.extra != 0 {
				t.Errorf("%v: watched %d times, probed %d", c.host, c.watched, c.extra)
			}
		}
		if s.Lines != 0 || len(s.Counts.Tried) != 0 || s.Counts.Sent["query"] != 0 || s.Counts.Sent["alive"] != 0 || s.Counts.Sent["view"] == 0 || w.nodes[0].log.String() != "" {
			t.Errorf("%+v\n%s", s.Counts, w.nodes[0].log.String())
		}
		for _, n := range w.nodes[1:] {
			if n.kinds() != "would_evict;" {
				t.Errorf("%s: %q", n.name, n.kinds())
			}
			words := n.of("10.0.0.4:10911")[0].Claims[0].Words
			if i := slices.IndexFunc(words, func(w vanish.WordStatus) bool { return w.Member == "n1" }); i < 0 || words[i].Why != vanish.SwitchedOff {
				t.Errorf("%s: %+v", n.name, words)
			}
		}
	})
}

// TestStatusOfOne: to ask about one broker leaves what is known of the others as it is.
func TestStatusOfOne(t *testing.T) {
	play(t, all(1), func(w *net) {
		n := w.nodes[0]
		n.register(&conn{node: n, id: 90, host: host(0), began: time.Now()})
		r := registration(n.open()[6], host(0))
		r.Name, r.Addr = "beside", "10.0.0.1:20911"
		n.Registered(n.open()[6], r)
		s := n.Status()
		before := fmt.Sprintf("%+v", s.Hosts)
		of := s.Of("beside")
		if len(of) != 1 || len(of[0].Claims) != 1 || of[0].Claims[0].Name != "beside" || len(s.Hosts[0].Claims) != 2 {
			t.Errorf("%+v", of)
		}
		if after := fmt.Sprintf("%+v", s.Hosts); after != before {
			t.Errorf("%s\nwas\n%s", after, before)
		}
	})
}

// TestPoll: what each node would say is asked and shown, changes nothing, and a node that cannot speak is waited for two seconds.
func TestPoll(t *testing.T) {
	play(t, []vanish.Mode{vanish.Observe, vanish.Off, vanish.Observe}, func(w *net) {
		st, hosts, err := w.nodes[0].Poll(w.t.Context(), "broker-10.0.0.2")
		if err != nil || len(hosts) != 1 || len(hosts[0].Claims[0].Words) != 2 {
			t.Fatalf("%+v, %v", hosts, err)
		}
		for i, why := range []vanish.Why{vanish.SwitchedOff, vanish.HeardOfLate} {
			// Also who judges nobody reads for the answer what its kernel knows.
			if word := hosts[0].Claims[0].Words[i]; word.Answered.IsZero() || word.Why != why || st.At.Sub(word.Life) > 3*time.Second {
				t.Errorf("%+v", word)
			}
		}
		if _, _, err := w.nodes[0].Poll(w.t.Context(), "nobody"); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		if w.nodes[0].kinds() != "" || w.nodes[0].Status().Hosts[1].Claims[0].Words != nil {
			t.Errorf("%+v", w.nodes[0].Status())
		}
		w.cut("n3")
		began := time.Now()
		_, _, err = w.nodes[0].Poll(w.t.Context(), "10.0.0.2:10911")
		if took := time.Since(began); err != nil || took > 2*time.Second+pollLook {
			t.Errorf("%v after %v", err, took)
		}
		w.heal("n3")
		if _, _, err := w.nodes[1].Poll(w.t.Context(), "broker-10.0.0.2"); err != nil {
			t.Error(err) // off: it judges nobody, and may ask
		}
		if st := w.nodes[1].Status(); st.Mode != vanish.Off || len(st.Hosts) != 6 {
			t.Errorf("%+v", st)
		}
	})
}

// TestOldKernel: who judges by a kernel that takes a firewall's refusal for a host's own says so, once.
func TestOldKernel(t *testing.T) {
	for _, c := range []struct {
		mode vanish.Mode
		want [2]int
	}{{vanish.On, [2]int{0, 1}}, {vanish.Observe, [2]int{0, 1}}, {vanish.Off, [2]int{0, 0}}} {
		play(t, []vanish.Mode{c.mode, c.mode}, func(w *net) {
			pass(10 * time.Second)
			for i, want := range c.want {
				if n := strings.Count(w.nodes[i].log.String(), "does not tell a firewall's refusal from a host's own"); n != want {
					t.Errorf("%v: n%d says it %d times, want %d", c.mode, i+1, n, want)
				}
			}
		})
	}
}

// TestNotJudged: each reason is told with its name.
func TestNotJudged(t *testing.T) {
	play(t, all(2), func(w *net) {
		n := w.nodes[0]
		want := map[string]string{}
		for i, why := range []rpc.Unwatched{rpc.UnwatchedSource, rpc.UnwatchedProxied, rpc.UnwatchedLocal, rpc.UnwatchedPlatform, rpc.Watched} {
			c := &conn{node: n, id: uint64(1000 + i), host: host(20 + i), why: why, began: time.Now()}
			n.register(c)
			want[c.host.String()] = why.String()
		}
		n.register(&conn{node: n, id: 1030, host: host(30), why: rpc.UnwatchedPlatform, began: time.Now()})
		want[host(30).String()] = rpc.UnwatchedPlatform.String()
		if said := strings.Count(n.log.String(), "the kernel does not let a broker's connection be watched"); said != 1 {
			t.Errorf("that a connection cannot be watched is said %d times", said)
		}
		if said := "waits twice as long before each repeat"; strings.Contains(n.log.String(), said) {
			t.Error(n.log.String())
		} else {
			for i := range 2 {
				n.register(&conn{node: n, id: uint64(1040 + i), host: host(40 + i), began: time.Now(), slow: true})
				want[host(40+i).String()] = vanish.Uncalibrated.Name()
			}
			if told := strings.Count(n.log.String(), said); told != 1 {
				t.Errorf("that retransmissions are not paced is said %d times", told)
			}
		}
		want[host(24).String()] = vanish.Uncalibrated.Name()
		w.cut("n1>" + host(25).String())
		n.register(&conn{node: n, id: 1025, host: host(25), began: time.Now()})
		want[host(25).String()] = vanish.Uncalibrated.Name()
		pass(time.Second)
		check := func() {
			t.Helper()
			s := n.Status()
			for i := range s.Hosts {
				if got := s.NotJudged(&s.Hosts[i], &s.Hosts[i].Claims[0]); got != want[s.Hosts[i].Source.String()] {
					t.Errorf("%v: %q, want %q", s.Hosts[i].Source, got, want[s.Hosts[i].Source.String()])
				}
			}
		}
		check()
		pass(9 * time.Second)
		for _, i := range []int{24, 40, 41} {
			delete(want, host(i).String())
		}
		check()
		n.Closed(n.conns[6])
		if len(n.of("broker-"+host(20).String())) != 0 {
			t.Error("a connection is gone, and its broker is still known")
		}
	})
}

// TestContainer: three brokers of one machine (RocketMQ's BrokerContainer), on one connection and on three, and a fourth that advertises another address. Each
// is judged and put back by itself, whichever registered last; what was handled of one while it was judged keeps that one alone, at that node.
func TestContainer(t *testing.T) {
	for what, apart := range map[string]bool{"one connection": false, "three connections": true} {
		playAside(t, on(3), routes.DefaultAsideBytes, func(w *net) {
			const first, second, third, elsewhere = "broker-10.0.0.1", "second", "third", "elsewhere"
			addrs := map[string]string{first: "10.0.0.1:10911", second: "10.0.0.1:20911", third: "10.0.0.1:30911", elsewhere: "192.0.2.7:10911"}
			last := map[*node]*routes.Registration{} // of the third
			for i, n := range w.nodes {
				c := n.open()[0]
				for k, name := range []string{second, third, elsewhere} {
					if apart && name != elsewhere {
						c = &conn{node: n, id: uint64(i*100 + 50 + k), host: host(0), began: time.Now()}
						w.mu.Lock()
						n.conns = append(n.conns, c)
						w.mu.Unlock()
					}
					c.whys = map[string]rpc.Unwatched{addrs[elsewhere]: rpc.UnwatchedSource}
					r := registration(c, host(0))
					r.Name, r.Addr = name, addrs[name]
					n.table.Register(r)
					n.Registered(c, r)
					if name == third {
						last[n] = r
					}
				}
			}
			pass(10 * time.Second)
			lists := func(n *node) (names []string) {
				for _, name := range []string{first, second, third, elsewhere} {
					if n.table.Holds(tombstone.Key{Cluster: "c", Addr: addrs[name]}) {
						names = append(names, name)
					}
				}
				return names
			}
			for _, n := range w.nodes {
				s := n.Status()
				for _, claim := range s.Hosts[0].Claims {
					want := map[string]string{elsewhere: rpc.UnwatchedSource.String()}[claim.Name]
					if got := s.NotJudged(&s.Hosts[0], &claim); got != want {
						t.Errorf("%s: %s: %q, want %q", what, claim.Name, got, want)
					}
				}
				if want := map[bool]int{false: 6, true: 8}[apart]; s.Lines != want || len(s.Hosts[0].Claims) != 4 {
					t.Errorf("%s: %d connections watched, want %d: %+v", what, s.Lines, want, s.Hosts[0].Claims)
				}
			}
			w.cut(host(0).String())
			pass(6 * time.Second)
			w.nodes[0].table.Register(last[w.nodes[0]]) // it has waited for its turn all the while, and the shell is about to be told
			pass(3 * time.Second)
			for i, n := range w.nodes {
				want, kept := []string{elsewhere}, 0
				if i == 0 {
					want, kept = []string{third, elsewhere}, 1
				}
				if got := lists(n); !slices.Equal(got, want) || strings.Count(n.kinds(), "evicted;") != 3-kept || strings.Count(n.kinds(), "kept younger;") != kept {
					t.Errorf("%s: %s lists %v, want %v: %s", what, n.name, got, want, n.kinds())
				}
			}
			w.heal(host(0).String())
			pass(time.Second + vanish.LookEvery)
			for i, n := range w.nodes {
				if got, back := lists(n), strings.Count(n.kinds(), "restored;"); len(got) != 4 || i == 0 && back != 2 || i > 0 && back != 3 {
					t.Errorf("%s: %s lists %v after it was heard again: %s", what, n.name, got, n.kinds())
				}
			}
		})
	}
}

// TestBrake: a node that hears half of the hosts no more says so once, judges nobody, and says when that is over.
func TestBrake(t *testing.T) {
	play(t, all(3), func(w *net) {
		n := w.nodes[0]
		if n.Status().Braked {
			t.Error("braked while all is well")
		}
		for i := range 4 {
			w.cut("n1>" + host(i).String())
		}
		pass(9 * time.Second)
		told := `level=WARN msg="so many hosts are silent here that none is taken for vanished: look at this node's own network first" silent=`
		if !n.Status().Braked || strings.Count(n.log.String(), told) != 1 || strings.Contains(n.kinds(), "would_evict") {
			t.Errorf("%s\n%s", n.kinds(), n.log.String())
		}
		for i := range 4 {
			w.heal("n1>" + host(i).String())
		}
		pass(4 * time.Second)
		if n.Status().Braked || strings.Count(n.log.String(), "silent hosts are few enough again to be judged") != 1 {
			t.Error(n.log.String())
		}
		for _, one := range n.open() {
			n.Closed(one)
		}
		pass(time.Second)
		if n.Status().Braked || strings.Count(n.log.String(), told) != 1 {
			t.Error("braked without hosts")
		}
	})
}

// TestLastWord: what was heard on a connection since the last look counts when it is closed, of a broker or of anybody else on its machine; of other
// machines nobody is looked at.
func TestLastWord(t *testing.T) {
	for what, c := range map[string]struct {
		which func(n *node) *conn
		want  bool
	}{
		"its own":            {func(n *node) *conn { return n.open()[1] }, true},
		"another of it":      {func(n *node) *conn { return &conn{node: n, id: 70, host: host(1), began: time.Now()} }, true},
		"one of it by PROXY": {func(n *node) *conn { return &conn{node: n, id: 70, host: host(1), blind: true} }, false},
		"another host's":     {func(n *node) *conn { return &conn{node: n, id: 70, host: host(2), began: time.Now()} }, false},
		"a stranger's":       {func(n *node) *conn { return &conn{node: n, id: 70, host: host(77), began: time.Now()} }, false},
	} {
		play(t, all(3), func(w *net) {
			n := w.nodes[0]
			w.cut(host(1).String())
			pass(6 * time.Second)
			n.halt()
			w.heal(host(1).String())
			n.open()[1].Probe()
			silence := func() time.Duration { return n.of("broker-" + host(1).String())[0].Silence }
			before := silence()
			n.Closing(c.which(n))
			n.Closing(c.which(n))
			if after := silence(); before < 5*time.Second || (after < time.Second) != c.want {
				t.Errorf("%s: silent for %v, then %v", what, before, after)
			}
			alive := 0
			for _, p := range n.take().Packets {
				if _, is := p.Msg.(vanish.Alive); is {
					alive++
				}
			}
			if (alive > 0) != c.want || len(n.wake) == 0 && c.want {
				t.Errorf("%s: the others are told %d times", what, alive)
			}
		})
	}
}

// TestGoodbyeIsHeard: an UNREGISTER is a sign of life of the host also where its connection stays open.
func TestGoodbyeIsHeard(t *testing.T) {
	play(t, all(3), func(w *net) {
		n := w.nodes[0]
		w.cut(host(1).String())
		pass(6 * time.Second)
		n.halt() // from here on the test is the loop
		w.heal(host(1).String())
		n.open()[1].Probe()
		r := registration(n.open()[1], host(1))
		n.table.Unregister(&routes.Unregistration{Cluster: r.Cluster, Addr: r.Addr, Name: r.Name, Conn: r.Conn})
		pass(vanish.LookEvery)
		if !slices.ContainsFunc(n.tick().Packets, func(p vanish.Packet) bool { _, is := p.Msg.(vanish.Alive); return is }) {
			t.Error("nobody is told that it was heard")
		}
	})
}

// TestTheLastLook: what was decided is carried out only if nothing was heard since: neither by the rule nor by a look at that moment, and of the claim as it was
// judged.
func TestTheLastLook(t *testing.T) {
	for what, c := range map[string]struct {
		since func(w *net, n *node, e *vanish.Eviction)
		want  uint64
	}{
		"nothing":             {func(*net, *node, *vanish.Eviction) {}, 1},
		"an ACK":              {func(w *net, n *node, _ *vanish.Eviction) { w.heal(host(1).String()) }, 0},
		"another generation":  {func(_ *net, _ *node, e *vanish.Eviction) { e.Generation++ }, 0},
		"a new connection":    {func(_ *net, n *node, e *vanish.Eviction) { n.rule.Tried(e.Source, 0, vanish.Answered, n.cfg.Clock()) }, 0},
		"a closed connection": {func(_ *net, n *node, _ *vanish.Eviction) { n.Closed(n.open()[1]) }, 0},
	} {
		play(t, all(3), func(w *net) {
			n := w.nodes[0]
			w.cut(host(1).String())
			pass(5 * time.Second)
			n.halt() // from here on the test is the loop
			for began := time.Now(); ; {
				if pass(vanish.Tick); time.Since(began) > 5*time.Second {
					t.Fatalf("%s: nothing was decided", what)
				}
				for len(n.inbox) > 0 {
					n.receive(<-n.inbox)
				}
				if out := n.tick(); len(out.Evict) > 0 {
					c.since(w, n, &out.Evict[0])
					n.evict(&out.Evict[0])
					break
				} else {
					n.carryOut(w.t.Context(), out)
				}
			}
			if got := n.Status().Counts.WouldEvict; got != c.want {
				t.Errorf("%s: %d evictions, want %d", what, got, c.want)
			}
		})
	}
}

// TestStreamHeldBack: a member that could not be asked by stream, for too many were open, is not mute; one that could is.
func TestStreamHeldBack(t *testing.T) {
	play(t, on(3), func(w *net) {
		n := w.nodes[0]
		n.full.Store(true)
		w.cut("n3")
		w.cut(host(3).String())
		pass(12 * time.Second)
		if n.kinds() != "kept not_answered;" || !n.lists(host(3)) || w.nodes[1].kinds() != "kept not_answered;evicted;" && w.nodes[1].kinds() != "evicted;" {
			t.Errorf("%s; %s", n.kinds(), w.nodes[1].kinds())
		}
		n.full.Store(false)
		pass(5 * time.Second)
		if n.lists(host(3)) {
			t.Error(n.kinds())
		}
	})
}

// TestOn: a host dies, and its broker is gone at every node within 9 s, and no other; it is back with its next REGISTER, and then not judged for a while.
func TestOn(t *testing.T) {
	play(t, on(3), func(w *net) {
		w.cut(host(3).String())
		pass(9 * time.Second)
		for _, n := range w.nodes {
			s := n.Status()
			if n.kinds() != "evicted;" || s.Counts.Evicted != 1 || s.Counts.WouldEvict != 0 || s.Evicted != 1 {
				t.Errorf("%s: %s, %+v", n.name, n.kinds(), s.Counts)
			}
			if len(n.events) != 1 || n.events[0].Kind != routes.BrokerVanished || n.events[0].Addr != "10.0.0.4:10911" {
				t.Errorf("%s: %+v", n.name, n.events)
			}
			if !strings.Contains(n.log.String(), `level=WARN msg="host vanished: broker evicted" cluster=c broker=broker-10.0.0.4`) {
				t.Errorf("%s: %s", n.name, n.log.String())
			}
			for i := range 6 {
				if n.lists(host(i)) != (i != 3) {
					t.Errorf("%s lists %v: %t", n.name, host(i), i == 3)
				}
			}
		}
		w.heal(host(3).String())
		pass(3 * time.Second)
		for _, n := range w.nodes {
			if n.kinds() != "evicted;refuted;" || n.lists(host(3)) {
				t.Errorf("%s: %s", n.name, n.kinds())
			}
			n.register(n.open()[3])
			if !n.lists(host(3)) {
				t.Errorf("%s: it registers and is not back", n.name)
			}
		}
		w.cut(host(3).String())
		pass(12 * time.Second)
		for _, n := range w.nodes {
			if n.kinds() != "evicted;refuted;kept on_hold;" || !n.lists(host(3)) {
				t.Errorf("%s: %s", n.name, n.kinds())
			}
		}
	})
}

// TestPutBack (V-18 of docs/spec/deadhosts.md): a host stood still for 15 s, and its broker is listed by every node within a second, without a word
// of its own. What is put back is known as before. A node at which the broker said goodbye meanwhile, and one to which the connection is lost, do not
// put it back.
func TestPutBack(t *testing.T) {
	playAside(t, on(3), routes.DefaultAsideBytes, func(w *net) {
		w.cut(host(3).String())
		w.cut(host(4).String())
		pass(15 * time.Second)
		for _, n := range w.nodes {
			if n.lists(host(3)) || n.lists(host(4)) {
				t.Fatalf("%s: %s", n.name, n.kinds())
			}
		}
		first := w.nodes[0]
		c := first.open()[4]
		r := registration(c, host(4))
		first.table.Unregister(&routes.Unregistration{Cluster: r.Cluster, Addr: r.Addr, Name: r.Name, Conn: r.Conn})
		w.heal(host(3).String())
		w.heal(host(4).String())
		pass(time.Second)
		for _, n := range w.nodes {
			s := n.Status()
			want := uint64(2)
			if n == first {
				want = 1
			}
			if !n.lists(host(3)) || n.lists(host(4)) != (n != first) || s.Counts.Restored != want || strings.Count(n.kinds(), "restored;") != int(want) {
				t.Errorf("%s: %s, %+v", n.name, n.kinds(), s.Counts)
			}
			if last := n.events[len(n.events)-1]; last.Kind != routes.BrokerRestored || uint64(len(n.events)) != 2+want {
				t.Errorf("%s: %+v", n.name, n.events)
			}
			for _, d := range s.Decisions {
				if d.Kind == Restored && (d.Silence < 6*time.Second || d.Silence > 10*time.Second) {
					t.Errorf("%s: %+v", n.name, d)
				}
			}
		}
		n := w.nodes[1]
		n.table.ConnLost(n.open()[3].id)
		pass(2 * time.Second)
		if len(n.of("broker-10.0.0.4")) != 0 || len(n.of("broker-10.0.0.5")) != 1 {
			t.Error("what was put back is not known as before")
		}
	})
}

// TestPutBackByTheConnectionAlone: an answer to a new connection refutes, and puts nothing back: the broker's own has to be heard. Then that is told, by the
// line about the refutation where it is the same.
func TestPutBackByTheConnectionAlone(t *testing.T) {
	silent := func(w *net) *node {
		n := w.nodes[0]
		w.cut(host(1).String())
		pass(10 * time.Second)
		n.halt() // from here on the test is the loop
		return n
	}
	heard := func(w *net, n *node) vanish.Output {
		w.heal(host(1).String())
		n.open()[1].Probe()
		pass(vanish.Tick)
		out := n.tick()
		if len(out.Restore) != 1 {
			t.Fatalf("%+v", out)
		}
		return out
	}
	for _, connects := range []bool{false, true} {
		playAside(t, on(3), routes.DefaultAsideBytes, func(w *net) {
			n := silent(w)
			c, subject := n.open()[1], n.of("broker-10.0.0.2")[0].Claims[0].Subject
			if connects {
				n.rule.Tried(subject.Source, 0, vanish.Answered, n.cfg.Clock())
				out := n.take()
				n.carryOut(w.t.Context(), out)
				if n.lists(host(1)) || !slices.Contains(out.Probes, c.id) || !strings.Contains(n.log.String(), "by=connect") || !strings.Contains(n.log.String(), "restored=false") {
					t.Errorf("%+v\n%s", out, n.log.String())
				}
			}
			out := heard(w, n)
			n.carryOut(w.t.Context(), out)
			if !n.lists(host(1)) || strings.Contains(n.log.String(), "restored=true") == connects {
				t.Error(n.log.String())
			}
			if again := n.restore(&out.Restore[0]); again {
				t.Error("put back twice")
			}
		})
	}
	playAside(t, on(3), routes.DefaultAsideBytes, func(w *net) {
		n := silent(w)
		out := heard(w, n)
		n.Closed(n.open()[1])
		if n.restore(&out.Restore[0]) || n.lists(host(1)) {
			t.Errorf("by a connection that is closed: %+v", out)
		}
	})
}

// TestFrozen: a host that stands still for less than six seconds is not evicted by anybody, nor is one that a single node does not hear.
func TestFrozen(t *testing.T) {
	play(t, on(3), func(w *net) {
		w.cut(host(1).String())
		w.cut("n1>" + host(2).String())
		pass(5800 * time.Millisecond)
		w.heal(host(1).String())
		pass(8 * time.Second)
		for _, n := range w.nodes {
			for i := range 6 {
				if !n.lists(host(i)) {
					t.Errorf("%s has taken %v out: %s", n.name, host(i), n.kinds())
				}
			}
		}
	})
}

// TestTheTablesDecide (V-14, V-15 of docs/spec/deadhosts.md): what was handled of a claim while it was judged keeps it, though the rule has not heard
// of it yet; another source's claim keeps the registration, and that is told.
func TestTheTablesDecide(t *testing.T) {
	play(t, on(3), func(w *net) {
		n := w.nodes[0]
		stranger := &conn{node: n, id: 50, host: netip.MustParseAddr("10.0.9.9"), began: time.Now()}
		n.table.Register(registration(stranger, host(4)))
		n.table.Register(registration(n.open()[4], host(4)))
		w.cut(host(4).String())
		w.cut(host(5).String())
		pass(6 * time.Second)
		n.table.Register(registration(n.open()[5], host(5))) // it has waited for its turn all the while, and the shell is about to be told
		pass(4 * time.Second)
		if k := n.kinds(); k != "evicted;kept younger;" && k != "kept younger;evicted;" {
			t.Error(k)
		}
		if !n.lists(host(4)) || !n.lists(host(5)) || n.claimed(vanish.Subject{
			Cluster: "c", Addr: "10.0.0.5:10911", Name: "broker-10.0.0.5", Source: host(4),
		}) {
			t.Errorf("%+v", n.table.Registrations())
		}
		s := n.Status()
		if s.Counts.Evicted != 1 || s.Counts.Kept[vanish.Heir] != 1 || s.Counts.Kept[vanish.Younger] != 1 {
			t.Errorf("%+v", s.Counts)
		}
		if !strings.Contains(n.log.String(), "heir=true") {
			t.Error(n.log.String())
		}
		for _, n := range w.nodes[1:] {
			if n.lists(host(4)) || n.lists(host(5)) {
				t.Errorf("%s: %s", n.name, n.kinds())
			}
		}
	})
}

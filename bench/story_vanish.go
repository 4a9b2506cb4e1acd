package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/played"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/vanish"
)

const (
	storyHosts = 5
	storyWait  = 30 * time.Second // for whatever comes next
	storyOld   = 31 * time.Second // nodes judge nobody before they are so old
	storyPoll  = 50 * time.Millisecond
)

// vanishStory is a cluster whose nodes judge hosts, and what they do about one.
type vanishStory struct {
	screen  *storyScreen
	field   *field
	hosts   played.Hosts
	brokers []*broker
	ahead   atomic.Int64 // of the clock that the nodes share
}

// StoryVanish tells what nodes do about a host that vanishes and about one that only one of them does not hear. The nodes, their gossip and the rule are real;
// what kernels tell of the hosts is played, for on one machine none can vanish alone.
func StoryVanish(ctx context.Context, w io.Writer) error {
	s := &vanishStory{screen: newStoryScreen(w)}
	err := s.tell(ctx)
	if ctx.Err() != nil {
		s.screen.say("interrupted")
		return nil //nolint:nilerr // what was told so far is all there is to say
	}
	return err
}

func (s *vanishStory) tell(ctx context.Context) (err error) {
	s.field, err = startFieldWith(ctx, storyNodes, storyHosts, true, 1, func(_ int, c *config.Config) {
		c.DeadHosts.Mode = config.DeadHostsOn
		c.Clock = func() clock.Stamp { return clock.Now().Add(time.Duration(s.ahead.Load())) }
	}, func(i int) node.HostPlay { return s.hosts.At(nodeLetter(i)) })
	if err != nil {
		return err
	}
	defer s.field.stop()
	s.ahead.Store(int64(storyOld))
	defer func() { closeBrokers(s.brokers) }()
	if err := s.register(); err != nil {
		return err
	}
	s.screen.say("Three NameServers, A, B and C, with --dead-hosts on, in this process. Nodes,")
	s.screen.say("gossip and rule are real. What kernels tell of the hosts is played, and the")
	s.screen.say("clocks are set half a minute on: a younger node judges nobody.")
	s.screen.say("")
	s.screen.say("1. %d brokers register at A, B and C, each from a host of its own. Every node", storyHosts)
	s.screen.say("   has each host's kernel answer probes, and tries a new connection: only what")
	s.screen.say("   has answered can fall silent.")
	if err := s.until(ctx, "the hosts to answer", func() bool { return s.judged() == storyNodes*storyHosts }); err != nil {
		return err
	}
	if err := s.dies(ctx, s.brokers[0]); err != nil {
		return err
	}
	if err := s.unheard(ctx, s.brokers[1]); err != nil {
		return err
	}
	s.screen.say("")
	s.screen.say("Next: epitaph-bench convergence --vanish       with figures, and real sockets")
	s.screen.say("      epitaph vanished --why BROKER            at a node of your own")
	return nil
}

func nodeLetter(i int) string { return string(rune('A' + i)) }

// letter is how the story calls a member.
func letter(member string) string { return nodeLetter(int(member[1] - '1')) }

func letters(members []string) string {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = letter(m)
	}
	return strings.Join(all, " and ")
}

// register has every broker register at every node from an address of its own.
func (s *vanishStory) register() error {
	for i := range storyHosts {
		b := &broker{address: s.field.profile.addressesOf(i)[0], conns: make([]*caller, storyNodes)}
		b.broker = fmt.Sprintf("broker-%d", i+1)
		s.brokers = append(s.brokers, b)
		d := net.Dialer{Timeout: dialTimeout, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 77, 0, byte(i+1))}}
		for n := range s.field.nodes {
			conn, err := d.Dial("tcp", s.field.nodes[n].addr)
			if err != nil {
				return fmt.Errorf("a connection from a loopback address of its own, which takes Linux: %w", err)
			}
			b.conns[n] = &caller{addr: s.field.nodes[n].addr, conn: conn, in: make([]byte, 4096)}
			if err := b.conns[n].register(b.address, s.field.profile.newRegisterBody(i, 0).bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// judged is how many hosts may be judged, but for their silence, at all nodes together.
func (s *vanishStory) judged() (n int) {
	for i := range s.field.nodes {
		st := s.field.nodes[i].node.Vanished()
		for _, h := range st.Hosts {
			for _, c := range h.Claims {
				if c.Why == vanish.HeardOfLate {
					n++
				}
			}
		}
	}
	return n
}

func (s *vanishStory) until(ctx context.Context, what string, holds func() bool) error {
	for end := time.Now().Add(storyWait); !holds(); {
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain for %v for %s: please report this", storyWait, what)
		}
		if err := pause(ctx, storyPoll); err != nil {
			return err
		}
	}
	return nil
}

// dies is a host that loses power.
func (s *vanishStory) dies(ctx context.Context, b *broker) error {
	s.screen.say("")
	s.screen.say("2. The host of %s loses power: no UNREGISTER, and no connection closes.", b.broker)
	f := s.follow(b)
	s.hosts.Silence("", b.host())
	if err := s.until(ctx, "every node to take "+b.broker+" out", func() bool { f.look(); return f.decided == storyNodes }); err != nil {
		return err
	}
	took := time.Since(f.began)
	if listed, err := s.listed(ctx, b); err != nil || listed != 0 {
		return errors.Join(err, fmt.Errorf("%d nodes list %s, which all have taken out: please report this", listed, b.broker))
	}
	s.screen.say("   Gone at A, B and C after %.1f s: each judged for itself. RocketMQ's", took.Seconds())
	s.screen.say("   NameServer lists it for 120 s.")
	return nil
}

// unheard is a host that one node alone does not hear.
func (s *vanishStory) unheard(ctx context.Context, b *broker) error {
	s.screen.say("")
	s.screen.say("3. A false alarm: the way from %s to A is broken. B and C hear its host.", b.broker)
	f := s.follow(b)
	s.hosts.Silence(nodeLetter(0), b.host())
	if err := s.until(ctx, "A to decide about "+b.broker, func() bool { f.look(); return f.decided == 1 }); err != nil {
		return err
	}
	listed, err := s.listed(ctx, b)
	if err == nil && listed != storyNodes {
		err = fmt.Errorf("%d nodes list %s, which lives: please report this", listed, b.broker)
	}
	if err != nil {
		return err
	}
	s.screen.say("   A, B and C list it: one node's fault takes nobody out. The way is mended.")
	s.hosts.Heal(nodeLetter(0), b.host())
	return s.until(ctx, "A to hear "+b.broker+" again", func() bool { f.look(); return f.again })
}

// host is what the broker's host is known by.
func (b *broker) host() netip.Addr { return netip.MustParseAddrPort(b.addr).Addr() }

// listed is how many nodes name the broker in the route of its topic.
func (s *vanishStory) listed(ctx context.Context, b *broker) (n int, err error) {
	for i := range s.field.nodes {
		c, err := dialCaller(ctx, s.field.nodes[i].addr)
		if err != nil {
			return 0, err
		}
		w := watcher{addr: c.addr, names: []address{b.address}, topic: []uint32{uint32(b.index)}}
		named, err := w.named(c, 0)
		c.conn.Close()
		if err != nil {
			return 0, err
		}
		if named {
			n++
		}
	}
	return n, nil
}

// following tells what the nodes know of a broker's host, when it changes.
type following struct {
	story  *vanishStory
	broker string
	began  time.Time
	silent [storyNodes]bool

	words   map[string]bool // of members to A, that were told
	seen    [storyNodes]int // decisions
	decided int
	again   bool // A hears it again
}

func (s *vanishStory) follow(b *broker) *following {
	return &following{story: s, broker: b.broker, began: time.Now(), words: map[string]bool{}}
}

func (f *following) say(format string, args ...any) {
	f.story.screen.say(fmt.Sprintf("   %4.1f s  ", time.Since(f.began).Seconds())+format, args...)
}

// look tells what is new. What A asks and is told stands for all three.
func (f *following) look() {
	for i := range f.story.field.nodes {
		st := f.story.field.nodes[i].node.Vanished()
		for _, h := range st.Of(f.broker) {
			f.host(i, &st, &h)
		}
		var mine []vanished.Decision
		for _, d := range st.Decisions {
			if d.Claim.Name == f.broker {
				mine = append(mine, d)
			}
		}
		for _, d := range mine[:len(mine)-f.seen[i]] {
			f.decision(i, &d)
		}
		f.seen[i] = len(mine)
	}
}

func (f *following) host(i int, st *vanished.Status, h *vanish.HostStatus) {
	switch {
	case h.Silent && !f.silent[i]:
		f.say("%s has heard nothing for %.1f s, probes harder and asks the others", nodeLetter(i), h.Silence.Seconds())
	case f.silent[i] && !h.Silent && i == 0:
		f.say("A hears it again")
		f.again = true
	}
	f.silent[i] = h.Silent
	if i > 0 || len(h.Claims) == 0 {
		return
	}
	for _, w := range h.Claims[0].Words {
		key := fmt.Sprint(w.Member, w.Silent, w.Alive)
		if f.words[key] || w.Answered.IsZero() {
			continue
		}
		switch {
		case w.Silent:
			f.say("%s answers A: I heard nothing for %g s either", letter(w.Member), (st.After * 5 / 8).Seconds())
		case w.Alive && !w.Life.IsZero():
			f.say("%s answers A: I heard it %.1f s ago", letter(w.Member), max(st.At.Sub(w.Life), 0).Seconds())
		default:
			continue
		}
		f.words[key] = true
	}
}

func (f *following) decision(i int, d *vanished.Decision) {
	switch d.Kind {
	case vanished.Evicted:
		f.say("%s takes it out: silent for %.1f s, %d probes, %d connections in vain;", nodeLetter(i), d.Silence.Seconds(), d.Unanswered, d.Connects)
		f.story.screen.say("           %s agreed (%d of %d nodes must)", letters(d.Agreed), d.Quorum, d.Nodes)
		f.decided++
	case vanished.Kept:
		if d.Why == vanish.Contradicted {
			f.say("%s keeps it: contradicted by %s", nodeLetter(i), letter(d.By))
			f.decided++
			return
		}
		f.say("%s keeps it for now: %s", nodeLetter(i), d.Why.Name())
	}
}

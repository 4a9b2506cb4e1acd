// Package vanished is what a node does about brokers whose hosts fall silent: it looks at their connections, tries new ones, and asks the other
// nodes. The rule is package vanish, the transport of its messages package gossip; this is the shell between them, the connections
// and the tables.
package vanished

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"sync"
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

const (
	maxInbox       = 1024    // messages that wait for the loop; what is dropped is repeated
	defaultTimeout = 120_000 // of a broker that names none, in ms
	// Silence from which on other connections of a source are looked at: more than a host that is well has, less than a vote takes.
	silentFrom  = 2500 * time.Millisecond
	lookGrant   = 20 * time.Millisecond
	canaryEvery = time.Hour
	offEvery    = 10 * time.Second // between two looks at the tables of a node that only answers
)

// Conn is a connection, as *rpc.Conn is one.
type Conn interface {
	ID() uint64
	Source() mq.Source
	SocketAddr() netip.AddrPort
	Watch(advertised string, timeout int64) rpc.Unwatched
	Paced() bool
	Look() (rpc.Look, bool)
	Probe()
}

// Members are the nodes that gossip, as *gossip.Gossip knows them.
type Members interface {
	Self() tombstone.Peer
	Members() []gossip.Member
	Missing() []tombstone.Peer
	Nodes() int
	Tell(to vanish.Peer, msg vanish.Message, stream bool) vanish.Sent
}

// Dialer tries new connections, as *connect.Dialer does.
type Dialer interface {
	Try(ctx context.Context, addr netip.AddrPort) connect.Result
	Canary(ctx context.Context, addrs []netip.Addr) (answers netip.Addr, any bool)
	TellsICMP() bool
}

// Tables are those that brokers are taken out of, as *routes.Table.
type Tables interface {
	Vanish(v *routes.Vanished) (routes.Taken, routes.Effects)
	Restore(r *routes.Restoration) (routes.Restored, routes.Effects)
}

// Config is what a Shell needs. Tables is the only thing by which a table could be changed, and one that observes is not given it.
type Config struct {
	Rule    vanish.Config // but Self
	Canary  []netip.Addr  // where nobody may answer a connection
	Claimed func(vanish.Subject) bool
	Tables  Tables                                          // in mode On alone, as the next
	Evicted func(silence time.Duration, eff routes.Effects) // carries out what follows; no lock is held
	PutBack func(eff routes.Effects)                        // likewise
	Conns   func() iter.Seq[Conn]                           // all that are open
	Dialer  Dialer
	// Draining says that the node is to be left, or does not serve. It is called with the Shell's lock held.
	Draining func() bool
	Clock    func() clock.Stamp
	Logger   *slog.Logger
}

// Shell is the rule at one node, and what it needs. Make it with New, give its Message to gossip, Attach that, then Run.
type Shell struct {
	cfg    Config
	gossip Members
	inbox  chan vanish.Message
	tries  sync.WaitGroup
	cannot sync.Once // tells that a connection cannot be watched here,
	slowly sync.Once // or that its retransmissions are not paced

	wake chan struct{} // there is something to carry out

	mu     sync.Mutex // guards the following fields
	rule   *vanish.Node
	conns  map[uint64]*owner // that own what the rule knows
	claims map[vanish.Subject]held
	looked clock.Stamp // when members and tables were asked last
	counts Counts

	decisions []Decision // newest last
}

// owner is a connection that claims belong to.
type owner struct {
	Conn
	spoken uint64 // registrations that it has sent: the generation of its claims
}

// held is a claim, and why its connection is not watched for it.
type held struct {
	vanish.Claim
	why rpc.Unwatched
}

// Counts are counts since the start.
type Counts struct {
	Evicted    uint64 // claims, what an heir keeps included
	WouldEvict uint64
	Kept       map[vanish.Why]uint64
	Restored   uint64
	Refuted    map[string]uint64
	Tried      map[connect.Outcome]uint64
	Sent, Got  map[string]uint64 // messages by type
	Dropped    uint64            // messages, because the loop is behind
}

func (c *Counts) copied() Counts {
	n := *c
	n.Kept, n.Refuted, n.Tried = maps.Clone(c.Kept), maps.Clone(c.Refuted), maps.Clone(c.Tried)
	n.Sent, n.Got = maps.Clone(c.Sent), maps.Clone(c.Got)
	return n
}

// New makes a Shell that knows no broker yet. Attach it before anything else is done with it.
func New(cfg Config) *Shell {
	return &Shell{
		cfg: cfg, inbox: make(chan vanish.Message, maxInbox), wake: make(chan struct{}, 1),
		conns: map[uint64]*owner{}, claims: map[vanish.Subject]held{},
		counts: Counts{
			Kept: map[vanish.Why]uint64{}, Refuted: map[string]uint64{}, Tried: map[connect.Outcome]uint64{},
			Sent: map[string]uint64{}, Got: map[string]uint64{},
		},
	}
}

// Attach gives it the membership, which was made with its Message.
func (s *Shell) Attach(g Members) (err error) {
	s.gossip = g
	rule := s.cfg.Rule
	rule.Self = g.Self()
	s.rule, err = vanish.New(rule, s.cfg.Clock())
	return err
}

// Message takes what a member asks or says. It does not wait.
func (s *Shell) Message(m vanish.Message) {
	select {
	case s.inbox <- m:
	default:
		s.mu.Lock()
		s.counts.Dropped++
		s.mu.Unlock()
	}
}

// Registered is told of every REGISTER that named its broker, while it is handled.
func (s *Shell) Registered(c Conn, r *routes.Registration) {
	source := c.Source().Machine()
	if !source.IsValid() {
		return // nobody can say whose host that is
	}
	why := rpc.UnwatchedPlatform
	if s.cfg.Rule.Mode != vanish.Off {
		timeout := int64(defaultTimeout)
		if r.Timeout.Valid {
			timeout = r.Timeout.N
		}
		why = c.Watch(r.Addr, timeout)
	}
	if why == rpc.UnwatchedPlatform && s.cfg.Rule.Mode != vanish.Off {
		s.cannot.Do(func() {
			s.cfg.Logger.Warn("the kernel does not let a broker's connection be watched (that takes Linux, and no option may be refused): its host is not judged",
				"addr", r.Addr)
		})
	}
	if why == rpc.Watched && !c.Paced() {
		s.slowly.Do(func() {
			s.cfg.Logger.Info("this kernel waits twice as long before each repeat of what is not acknowledged (to pace that takes Linux 6.15): a broker to which " +
				"something is under way when its host vanishes may be gone later than in nine seconds, and is put back later than within one")
		})
	}
	subject := vanish.Subject{
		Cluster: strings.Clone(r.Cluster), Addr: strings.Clone(r.Addr), Name: strings.Clone(r.Name), BrokerID: r.ID, Source: source,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	by := s.conns[c.ID()]
	if by == nil {
		by = &owner{Conn: c}
		s.conns[c.ID()] = by
	}
	by.spoken++
	claim := vanish.Claim{Subject: subject, Conn: c.ID(), Generation: by.spoken}
	s.claims[subject] = held{claim, why}
	s.rule.Registered(claim, why == rpc.Watched, s.cfg.Clock())
}

// Closing is told of a connection that is about to be closed: what was heard on it since the last look would be lost.
func (s *Shell) Closing(c Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rule.Knows(c.SocketAddr().Addr()) {
		return
	}
	if l, ok := c.Look(); ok {
		s.rule.Looked(c.ID(), reading(&l), s.cfg.Clock())
		s.heardOn(c, &l)
	}
	select { // there may be members to tell
	case s.wake <- struct{}{}:
	default:
	}
}

// Closed is told of a connection that is gone.
func (s *Shell) Closed(c Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.ID()] == nil {
		return
	}
	s.rule.Closed(c.ID())
	delete(s.conns, c.ID())
	for subject, claim := range s.claims {
		if claim.Conn == c.ID() {
			delete(s.claims, subject)
		}
	}
}

// Run looks, asks and answers until ctx ends.
func (s *Shell) Run(ctx context.Context) {
	defer s.tries.Wait()
	every := offEvery
	if s.cfg.Rule.Mode != vanish.Off {
		every = vanish.Tick
		s.tries.Go(func() { s.watchCanary(ctx) })
		if !s.cfg.Dialer.TellsICMP() {
			s.cfg.Logger.Warn("this kernel does not tell a firewall's refusal from a host's own (that takes Linux 5.8): a refused connection counts as life, " +
				"and hosts behind a firewall that refuses are never taken for vanished")
		}
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.carryOut(ctx, s.tick())
		case m := <-s.inbox:
			s.carryOut(ctx, s.receive(m))
		case <-s.wake:
			s.carryOut(ctx, s.take())
		}
	}
}

// take is what the rule wants done.
func (s *Shell) take() vanish.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rule.Take()
}

// tick looks at what is due, and has the rule judge.
func (s *Shell) tick() vanish.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock()
	s.catchUp(now)
	if s.cfg.Rule.Mode == vanish.Off {
		s.rule.Tick(now)
		return vanish.Output{}
	}
	silent := map[netip.Addr]bool{}
	for _, id := range s.rule.Due(now) {
		if heard, ok := s.look(id); ok && heard >= silentFrom {
			silent[s.conns[id].SocketAddr().Addr()] = true
		}
	}
	s.lookBeside(silent)
	s.rule.Tick(s.cfg.Clock())
	return s.rule.Take()
}

// catchUp tells the rule who lives, and what is registered no more, once a second at most.
func (s *Shell) catchUp(now clock.Stamp) {
	s.rule.Drain(s.cfg.Draining())
	if now.Sub(s.looked) < vanish.LookEvery {
		return
	}
	s.looked = now
	var others []vanish.Peer
	for _, m := range s.gossip.Members() {
		if !m.Self {
			others = append(others, m.Peer)
		}
	}
	s.rule.Members(others, s.gossip.Missing(), s.gossip.Nodes())
	for subject, claim := range s.claims {
		if !s.cfg.Claimed(subject) {
			s.look(claim.Conn) // for the last time: its goodbye was a sign of life
			s.rule.Ended(subject)
			delete(s.claims, subject)
		}
	}
}

// receive hands a message to the rule; before a question its connections are looked at.
func (s *Shell) receive(m vanish.Message) vanish.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Got[typeOf(m)]++
	s.catchUp(s.cfg.Clock())
	if q, ok := m.(vanish.Query); ok {
		for _, id := range s.rule.LooksFor(q) {
			s.look(id)
		}
		s.lookUnwatched(q)
	}
	s.rule.Receive(m, s.cfg.Clock())
	return s.rule.Take()
}

func typeOf(m vanish.Message) string {
	switch m.(type) {
	case vanish.Query:
		return "query"
	case vanish.View:
		return "view"
	}
	return "alive"
}

// carryOut does what the rule wants done. No lock is held.
func (s *Shell) carryOut(ctx context.Context, out vanish.Output) {
	for _, id := range out.Probes {
		s.mu.Lock()
		c := s.conns[id]
		s.mu.Unlock()
		if c != nil {
			c.Probe()
		}
	}
	for _, t := range out.Connects {
		s.tries.Go(func() { s.try(ctx, t) })
	}
	for _, p := range out.Packets {
		if p.After == 0 {
			s.send(p)
			continue
		}
		s.tries.Go(func() {
			later := time.NewTimer(p.After)
			defer later.Stop()
			select {
			case <-ctx.Done():
			case <-later.C:
				s.send(p)
			}
		})
	}
	for i := range out.Evict {
		s.evict(&out.Evict[i])
	}
	back := map[vanish.Subject]bool{}
	for i := range out.Restore {
		if r := &out.Restore[i]; s.restore(r) {
			back[r.Subject] = true
		}
	}
	for i := range out.Events {
		e := &out.Events[i]
		s.tell(e, back[e.Claim.Subject])
	}
}

func (s *Shell) send(p vanish.Packet) {
	sent := s.gossip.Tell(p.To, p.Msg, p.Stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	if sent == vanish.Went {
		s.counts.Sent[typeOf(p.Msg)]++
	}
	if q, ok := p.Msg.(vanish.Query); ok && p.Stream {
		s.rule.StreamSent(q.Nonce, sent)
	}
}

// try opens a new connection to a broker's advertised address.
func (s *Shell) try(ctx context.Context, t vanish.Connect) {
	addr, err := netip.ParseAddrPort(t.Addr)
	r := connect.Result{Outcome: connect.Failed, Err: err}
	if err == nil {
		r = s.cfg.Dialer.Try(ctx, addr)
	}
	came := map[connect.Outcome]vanish.Tried{
		connect.Answered: vanish.Answered, connect.Refused: vanish.Answered, connect.Unanswered: vanish.Unanswered, connect.ByICMP: vanish.Unanswered,
	}[r.Outcome] // else it failed
	s.mu.Lock()
	s.counts.Tried[r.Outcome]++
	s.rule.Tried(t.Source, t.Try, came, s.cfg.Clock())
	s.mu.Unlock()
	if r.Outcome == connect.Failed && !errors.Is(r.Err, context.Canceled) {
		s.cfg.Logger.Debug("new connection to a broker not tried", "addr", t.Addr, "err", r.Err)
	}
}

// watchCanary finds out whether something on the way answers for everybody.
func (s *Shell) watchCanary(ctx context.Context) {
	was := false
	for {
		who, is := s.cfg.Dialer.Canary(ctx, s.cfg.Canary)
		s.mu.Lock()
		s.rule.AnsweredFor(is)
		s.mu.Unlock()
		if is && !was {
			s.cfg.Logger.Warn("connections are answered where nobody may be (a mesh, a proxy, a firewall?): new connections say nothing about hosts, "+
				"and no host is taken for vanished; see --dead-host-canary", "addr", who)
		}
		was = is
		again := time.NewTimer(canaryEvery)
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
	}
}

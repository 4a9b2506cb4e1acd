package gossip

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const (
	// streamsAtOnce bounds sends by stream under way: each may block for seconds.
	streamsAtOnce = 64
	// streamsEach bounds those to one member, so that one that does not answer leaves room for the others.
	streamsEach = 8
	// leaveWait bounds how long a stop waits until the others have heard of the leave.
	leaveWait = 2 * time.Second
	// batchSize bounds for how many events the lock is held.
	batchSize = 64
)

// Gossip is one member. Make it with New, then Start, then Stop.
type Gossip struct {
	cfg     Config
	self    tombstone.Peer
	started clock.Stamp
	meta    struct {
		mu      sync.Mutex // guards the following field
		said    Meta
		changed chan struct{}
	}
	keys    *memberlist.Keyring // nil: no encryption
	reading sync.Mutex          // one reader of the key file at a time

	mu       sync.Mutex // guards the following fields; held before the tables' lock, never the other way round
	exchange *tombstone.Exchange
	out      tombstone.Output // put out by callers, to be sent by the loop

	inbox   inbox
	wake    chan struct{}
	counts  counters
	list    *memberlist.Memberlist
	addr    string // HOST:PORT that others reach this node at, once started
	queue   *memberlist.TransmitLimitedQueue
	streams struct {
		mu  sync.Mutex // guards the following fields
		all int
		to  map[string]int // by the member's name in memberlist
	}

	cancel context.CancelFunc
	group  sync.WaitGroup

	namesakes namesakes
	refutes   refutes
	digests   *digests // nil: none
	seeds     seedList
	bound     string // the address that gossip listens at, once started

	otherVersion rate.Sometimes // limits the log of messages of other versions
	noUDP        rate.Sometimes // limits the log of members that answer by TCP only

	resolve func(ctx context.Context, network, host string) ([]netip.Addr, error) // looks up names of seeds
}

// New checks the configuration and reads the keys. It binds nothing.
func New(cfg Config, tables tombstone.Tables) (*Gossip, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gossip{cfg: cfg, wake: make(chan struct{}, 1), resolve: net.DefaultResolver.LookupNetIP}
	g.streams.to = map[string]int{}
	g.otherVersion = rate.Sometimes{First: 1, Interval: 10 * time.Minute}
	g.noUDP = rate.Sometimes{First: 1, Interval: 10 * time.Minute}
	g.self = tombstone.Peer{Name: cfg.Name, Boot: random64()}
	g.started = cfg.Clock()
	g.seeds.init(cfg.Seeds, g.started)
	g.meta.said.Phase = PhaseStarting
	g.meta.changed = make(chan struct{}, 1)
	if cfg.KeyFile != "" || cfg.Key != "" {
		keys, err := ReadKeys(cfg.Key)
		if cfg.KeyFile != "" {
			keys, err = LoadKeys(cfg.KeyFile)
		}
		if err != nil {
			return nil, err
		}
		if g.keys, err = memberlist.NewKeyring(keys, keys[0]); err != nil {
			return nil, fmt.Errorf("gossip keys: %w", err)
		}
		g.warnOfOpenKeys()
	}
	if cfg.Holdings != nil {
		g.digests = newDigests(g, cfg.Holdings)
	}
	var err error
	g.exchange, err = tombstone.New(tombstone.Config{Self: g.self, Nonce: random64}, tables)
	return g, err
}

// random64 is for nonces and boot numbers: nobody can guess it.
func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.LittleEndian.Uint64(b[:])
}

// Start joins: it succeeds when no seed answers, and goes on trying. What had started is stopped again when it fails.
// starting ends what it waits for, not what it has started.
func (g *Gossip) Start(starting context.Context) error {
	conf, err := g.memberlistConfig(starting)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	// Callbacks may come before Create returns: everything they touch but list exists by now.
	g.queue = &memberlist.TransmitLimitedQueue{NumNodes: g.inbox.memberCount, RetransmitMult: conf.RetransmitMult}
	list, err := memberlist.Create(conf)
	if err != nil {
		cancel()
		_ = conf.Transport.Shutdown() // the fault that matters is the first
		return fmt.Errorf("--gossip=%s: %w", g.cfg.Bind, explainCreate(err))
	}
	g.list = list
	// Taken once: announce changes the very node that memberlist answers with.
	g.addr = list.LocalNode().Address()
	g.group.Go(func() { g.loop(ctx) })
	g.group.Go(func() { g.rejoin(ctx) })
	g.group.Go(func() { g.announce(ctx) })
	if g.digests != nil {
		g.group.Go(func() { g.digests.loop(ctx) })
	}
	if g.cfg.KeyFile != "" {
		g.group.Go(func() { g.watchKeys(ctx) })
	}
	return nil
}

// Stop leaves the cluster in order and waits for what Start started. It makes no tombstone.
func (g *Gossip) Stop(context.Context) error {
	if g.list == nil {
		return nil
	}
	g.flush() // departures handled a moment ago are hinted before this node is gone
	goodbye := farewell{from: g.self, gone: g.self}
	g.tellAll(goodbye, false)
	if err := g.list.Leave(leaveWait); err != nil {
		// Nobody is there to hear it, as when all nodes stop at once, or the network is slow: probes will tell them.
		g.cfg.Logger.Info("left without knowing that the others have heard it", "err", err)
	}
	g.tellAll(goodbye, false) // again, for packets are lost
	g.cancel()
	err := g.list.Shutdown()
	g.group.Wait()
	g.list = nil
	return err
}

// Self is this node's life in the cluster.
func (g *Gossip) Self() tombstone.Peer { return g.self }

// Addr is the address that others are told to reach this node at; only after Start.
func (g *Gossip) Addr() string { return g.addr }

// Departed tells the others of a departure. It does not wait for the network. ok is false when no tombstone was made.
func (g *Gossip) Departed(d tombstone.Departure) (id tombstone.ID, why tombstone.NotMade, ok bool) {
	g.step(func(now clock.Stamp) tombstone.Output {
		var out tombstone.Output
		id, why, out = g.exchange.Departed(d, now)
		return out
	})
	if ok = why == tombstone.Made; ok && g.cfg.OnMade != nil {
		g.cfg.OnMade(id)
	}
	return id, why, ok
}

// LateProof raises the proof of life of a tombstone of this node (docs/spec/tombstones.md#late-proof).
func (g *Gossip) LateProof(id tombstone.ID, life clock.Stamp) {
	g.step(func(now clock.Stamp) tombstone.Output { return g.exchange.LateProof(id, life, now) })
}

// Registered, Unregistered and Closed feed the check on evictions: whether who was evicted comes back on its own
// connection.
func (g *Gossip) Registered(conn uint64, k tombstone.Key, who tombstone.Identity) {
	g.step(func(now clock.Stamp) tombstone.Output {
		g.exchange.Registered(conn, k, who, now)
		return tombstone.Output{}
	})
}

// Unregistered says that conn sent an UNREGISTER of k.
func (g *Gossip) Unregistered(conn uint64, k tombstone.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exchange.Unregistered(conn, k)
}

// Closed says that conn is gone.
func (g *Gossip) Closed(conn uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exchange.Closed(conn)
}

// Status is what `epitaph tombstones` shows, newest first.
func (g *Gossip) Status(limit int) tombstone.Status {
	now := g.cfg.Clock()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.exchange.Status(limit, now)
}

// step runs one event through the exchange. What it puts out is sent by the loop.
func (g *Gossip) step(event func(now clock.Stamp) tombstone.Output) {
	g.mu.Lock()
	// Read inside the lock, so that the exchange sees time go forward.
	g.gather(event(g.cfg.Clock()))
	pending := len(g.out.Packets) + len(g.out.Decisions) + len(g.out.Refuted)
	g.mu.Unlock()
	if pending > 0 {
		g.kick()
	}
}

func (g *Gossip) gather(o tombstone.Output) {
	g.out.Packets = append(g.out.Packets, o.Packets...)
	g.out.Decisions = append(g.out.Decisions, o.Decisions...)
	g.out.Refuted = append(g.out.Refuted, o.Refuted...)
}

// kick wakes the loop; it never blocks.
func (g *Gossip) kick() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// loop takes what came in, sends what has to go out, and takes the retries that are due.
func (g *Gossip) loop(ctx context.Context) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		for part := range slices.Chunk(append(g.inbox.take(), g.tickIfDue), batchSize) {
			g.stepAll(part)
		}
		g.flush()
		now := g.cfg.Clock()
		g.checkMembers(now)
		timer.Reset(g.untilTick(now))
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
	}
}

// stepAll runs events that have all happened: one reading of the clocks, which is two system calls, is after each.
func (g *Gossip) stepAll(events []event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Clock()
	for _, e := range events {
		g.gather(e(now))
	}
}

func (g *Gossip) tickIfDue(now clock.Stamp) (out tombstone.Output) {
	if now.Sub(g.exchange.NextTick()) >= 0 {
		out = g.exchange.Tick(now)
	}
	return out
}

func (g *Gossip) untilTick(now clock.Stamp) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.exchange.NextTick().Sub(now), 0)
}

// flush sends what the exchange has put out.
func (g *Gossip) flush() {
	g.mu.Lock()
	out := g.out
	g.out = tombstone.Output{}
	g.mu.Unlock()
	for i := range out.Packets {
		g.send(&out.Packets[i])
	}
	for _, d := range out.Decisions {
		if g.cfg.OnDecision != nil {
			g.cfg.OnDecision(d)
		}
	}
	for _, r := range out.Refuted {
		if g.cfg.OnRefutedEviction != nil {
			g.cfg.OnRefutedEviction(r)
		}
	}
}

// send hands one packet to memberlist. What is lost here is repeated by the exchange.
func (g *Gossip) send(p *tombstone.Packet) {
	b, err := Encode(p.Msg)
	if err == nil && len(b) > tombstone.MaxMessage {
		err = fmt.Errorf("%T of %d bytes, want at most %d", p.Msg, len(b), tombstone.MaxMessage)
	}
	if err != nil {
		g.counts.unsendable.Add(1)
		g.cfg.Logger.Error("gossip message not sent", "err", err)
		return
	}
	if p.Path == tombstone.Queue {
		hint, ok := p.Msg.(tombstone.Hint)
		if ok && len(hint.IDs) > 0 {
			g.queue.QueueBroadcast(&broadcast{name: broadcastName(hint.IDs[0]), msg: b})
		}
		return
	}
	to, ok := g.inbox.node(p.To)
	if !ok {
		return // it left meanwhile
	}
	g.counts.sent.Add(1)
	g.counts.sentBytes.Add(uint64(len(b)))
	if p.Path == tombstone.Datagram {
		if err := g.list.SendBestEffort(&to, b); err != nil {
			g.counts.sendFailed.Add(1)
		}
		return
	}
	g.sendStream(&to, b)
}

// sendStream sends one message by stream, without waiting for it. False: it does not, for too many streams are open.
func (g *Gossip) sendStream(to *memberlist.Node, b []byte) bool {
	if !g.takeStream(to.Name) {
		g.counts.streamsDropped.Add(1)
		return false
	}
	node := *to
	g.group.Go(func() {
		defer g.giveStream(node.Name)
		if err := g.list.SendReliable(&node, b); err != nil {
			g.counts.sendFailed.Add(1)
		}
	})
	return true
}

func (g *Gossip) takeStream(to string) bool {
	s := &g.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= streamsAtOnce || s.to[to] >= streamsEach {
		return false
	}
	s.all++
	s.to[to]++
	return true
}

func (g *Gossip) giveStream(to string) {
	s := &g.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.to[to]--; s.to[to] == 0 {
		delete(s.to, to)
	}
}

// Counters are the exchange's counts.
func (g *Gossip) Counters() tombstone.Counters {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.exchange.Counters()
}

// Members lists the living, this node first, then by name.
func (g *Gossip) Members() []Member {
	all := g.AllMembers()
	return slices.DeleteFunc(all, func(m Member) bool { return m.State != StateAlive })
}

// AllMembers lists the living, this node first, then those that failed and those that left, each by name. A member
// that failed stays for a day, or until its name lives again, or until ForceLeave; one that left for ten minutes.
func (g *Gossip) AllMembers() []Member {
	all := g.inbox.members(g.cfg.Clock())
	order.By(all, compareMembers)
	return all
}

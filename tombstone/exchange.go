package tombstone

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/nonce"
)

// Config is what an Exchange needs beside the tables.
type Config struct {
	Self  Peer          // this node; Boot is random for every process start and never reused
	Nonce func() uint64 // unpredictable numbers (crypto/rand); a simulation hands in a seeded source
	Flaw  Flaw          // for tests only: breaks one rule on purpose, so that a test suite can show that it notices
}

// Flaw breaks one rule of the protocol. Nothing but a test may set one.
type Flaw uint8

// Flaws of the exchange; the rule itself and the tables have theirs in the simulation.
const (
	NoFlaw              Flaw = iota
	FlawPushedAges           // lower bounds from the time an answer arrived instead of its question's t0
	FlawT0Overwritten        // a retry repeats the nonce and overwrites t0
	FlawNoOffsetBounds       // a frozen origin is believed
	FlawLateProofForAll      // late proof is taken for brokers that unregister at the end of their shutdown
)

// Packet is one message to send. The shell sends each at most once, in order, to the address memberlist lists for To.
type Packet struct {
	To   Peer // zero for Queue
	Path Path
	Msg  Message
}

// Path is how a packet travels.
type Path uint8

// Paths.
const (
	Datagram Path = iota // one UDP packet, best effort
	Stream               // memberlist's SendReliable, on a goroutine of its own: it may block for seconds
	Queue                // memberlist's gossip queue, named by the tombstone; a Hint of one id, above 128 members
)

// Output is everything a call ids done. Nothing of it is needed for the Exchange to be right: what is lost is repeated.
type Output struct {
	Packets   []Packet
	Decisions []Decision        // made by this call: one log line each, and its effects
	Refuted   []RefutedEviction // evictions found wrong by this call
}

// Decision is what this node did on a proof.
type Decision struct {
	ID      ID // with the revision that was decided on
	Verdict Verdict
	At      clock.Stamp
	Final   bool // no later proof of the same revision can decide otherwise
	Effects any  // what Tables.Judge returned; nil where it was not asked, and in every copy that is kept
}

// Exchange is the state machine of tombstones at one node: it tells the others about its own (origin.go) and asks
// them about theirs (asker.go). It is not safe for concurrent use: the shell holds one lock around it, and takes that lock
// before the lock of the tables. The shell must read now after the event has happened, from the clocks of this process:
// a proof's ages are computed from it.
type Exchange struct {
	self   Peer
	nonce  func() uint64
	flaw   Flaw
	tables Tables

	members map[Peer]*member
	order   []*member // in the order of their arrival, so that runs with one seed are alike
	busy    []*member // those with batches under way, and some that had: NextTick, which runs at every event, looks at no others
	up      int       // members that are present

	seq    uint64
	own    map[uint64]*own       // live tombstones of this node by sequence number
	byAge  []*own                // the same, oldest U first
	live   map[netip.Prefix]*int // how many, by source
	latest map[Key]*own          // the newest of each key

	asking   map[ID]*pullID // ids that wait for a proof, by anyRevision
	tries    nonce.Open[*pullBatch]
	decided  map[ID]Decision // newest decision on each tombstone, by anyRevision, at most maxDecisions
	history  []ID            // of decided, oldest first
	clocks   clocks          // readings of the others' clocks
	making   making
	check    selfCheck // on evictions
	pace     pace      // of repeats
	swept    clock.Stamp
	counters Counters
}

// member is another node, present or gone, with everything that waits for it. While it is gone nothing does.
type member struct {
	Peer
	up       bool
	left     clock.Stamp
	toHint   []uint64     // own tombstones to hint to it, newest last
	hints    []*hintBatch // unanswered, at most maxWindow
	toPull   []*pullID    // tombstones of its to ask for, newest last
	pulls    []*pullBatch // unanswered, at most maxWindow
	busy     bool         // it is in Exchange.busy
	byStream bool         // the last batch was answered only after it had gone by stream: UDP may be blocked
	givenUp  givenUp
}

// New makes an Exchange that knows no member.
func New(c Config, t Tables) (*Exchange, error) {
	if err := c.Self.Valid(); err != nil {
		return nil, fmt.Errorf("tombstone: self: %w", err)
	}
	if c.Nonce == nil || t == nil {
		return nil, errors.New("tombstone: a source of nonces and the tables are needed")
	}
	return &Exchange{
		self: c.Self, nonce: c.Nonce, flaw: c.Flaw, tables: t,
		members: map[Peer]*member{}, own: map[uint64]*own{}, live: map[netip.Prefix]*int{}, latest: map[Key]*own{},
		asking: map[ID]*pullID{}, tries: nonce.Of[*pullBatch](), decided: map[ID]Decision{},
		clocks: clocks{by: map[Peer]*samples{}}, making: newMaking(), check: newSelfCheck(),
	}, nil
}

// MemberUp says that memberlist lists p as alive. This node hints again what a member that was gone, or may not have listened,
// has not answered. A new member gets everything by the push/pull of its join.
func (x *Exchange) MemberUp(p Peer, now clock.Stamp) Output {
	var out Output
	if p == x.self || p.Valid() != nil {
		return out
	}
	m := x.members[p]
	switch {
	case m == nil && len(x.order) >= maxMembers:
		x.counters.MembersRefused++
	case m == nil:
		m = &member{Peer: p, up: true}
		x.members[p] = m
		x.order = append(x.order, m)
		x.up++
	case !m.up:
		m.up = true
		x.up++
		for _, o := range x.byAge {
			if o.progressOf(m).state == hinting {
				m.queueHint(o.id.Seq)
			}
		}
		x.startHints(m, now, &out)
	default:
		x.retryGivenUp(m, now, &out)
	}
	return out
}

// MemberLeft says that memberlist lists p no more (left or dead). This node hints nothing to it and asks it nothing until it
// is back. It makes no tombstone and evicts nothing.
func (x *Exchange) MemberLeft(p Peer, now clock.Stamp) {
	m := x.members[p]
	if m == nil || !m.up {
		return
	}
	x.up--
	m.up, m.left = false, now
	m.toHint, m.hints, m.givenUp = nil, nil, givenUp{} // MemberUp queues again what p has not answered
	for _, b := range m.pulls {
		x.closePull(b)
	}
	for _, w := range m.toPull {
		delete(x.asking, w.id.anyRevision())
	}
	m.toPull, m.pulls = nil, nil
}

// ProbeAck records that p's clocks showed reading some time before now (memberlist's PingDelegate).
func (x *Exchange) ProbeAck(p Peer, reading, now clock.Stamp) {
	x.clocks.saw(p, reading, now)
	if m := x.members[p]; m != nil {
		m.byStream = false // probes go by UDP
	}
}

// Registered says that conn registered k at this node. Only the self-check uses it.
func (x *Exchange) Registered(conn uint64, k Key, who Identity, now clock.Stamp) {
	x.check.registered(conn, k, who, now)
}

// Unregistered says that conn sent an UNREGISTER of k.
func (x *Exchange) Unregistered(conn uint64, k Key) { x.check.unwatch(conn, k) }

// Closed says that conn is gone.
func (x *Exchange) Closed(conn uint64) { x.check.closed(conn) }

// Receive handles one message from the network. It is checked again here, so that whoever decodes may be lax.
func (x *Exchange) Receive(msg Message, now clock.Stamp) Output {
	var out Output
	if msg == nil || msg.Valid() != nil {
		x.counters.RefusedMalformed++
		return out
	}
	m := x.members[msg.Sender()]
	if m == nil || !m.up {
		x.counters.RefusedSender++
		return out
	}
	switch msg := msg.(type) {
	case Hint:
		x.counters.HintsReceived++
		for _, id := range msg.IDs {
			// The member hints a departure of a key of which this node has a tombstone: as a rule the same departure. But the
			// hint may repeat an earlier departure of that key. Then the member must hear of the newer one, so only a
			// tombstone that was made here a moment ago counts as known to it.
			if o := x.latest[id.Key]; id.Origin == m.Peer && o != nil && now.Sub(o.u) < freshFor {
				x.sawItGo(m, id.Key, SawItself, now)
			}
		}
		x.receiveHints(msg, maxBatch, now, &out)
	case Pull:
		x.counters.PullsReceived++
		x.receivePull(m, msg, now, &out)
	case Proof:
		x.counters.ProofsReceived++
		x.receiveProof(m, msg, now, &out)
	case Done:
		x.counters.DonesReceived++
		x.receiveDone(m, msg, now, &out)
	}
	return out
}

// Merge treats the ids of a push/pull state as hints. The sender may be a member whose join is not known yet.
func (x *Exchange) Merge(h Hint, now clock.Stamp) Output {
	var out Output
	if validIDs(h.From, h.IDs, MaxMerge) != nil {
		x.counters.RefusedMalformed++
		return out
	}
	x.counters.MergesReceived++
	x.receiveHints(h, maxMergeReports, now, &out)
	return out
}

// freshFor is how long after a departure another node's hint of the same key counts as a hint of the same departure.
const freshFor = time.Second

// sweepInterval is how often Tick looks at everything that merely gets old.
const sweepInterval = time.Second

// Tick sends every retry that is due and drops what is too old.
func (x *Exchange) Tick(now clock.Stamp) Output {
	var out Output
	for _, m := range x.order {
		if m.up {
			x.retryHints(m, now, &out)
			x.retryPulls(m, now, &out)
		}
	}
	if x.swept.IsZero() || now.Sub(x.swept) >= sweepInterval {
		x.swept = now
		x.sweep(now, &out)
	}
	return out
}

// NextTick is when Tick has something to do: at the latest one sweepInterval after the last sweep.
func (x *Exchange) NextTick() clock.Stamp {
	next := x.swept.Add(sweepInterval)
	x.busy = slices.DeleteFunc(x.busy, func(m *member) bool {
		m.busy = len(m.hints)+len(m.pulls) > 0
		return !m.busy
	})
	for _, m := range x.busy {
		for _, b := range m.hints {
			next = earlier(next, b.due(&x.pace))
		}
		for _, b := range m.pulls {
			next = earlier(next, b.due(&x.pace))
		}
	}
	return next
}

// markBusy notes that a batch for m is under way.
func (x *Exchange) markBusy(m *member) {
	if !m.busy {
		m.busy = true
		x.busy = append(x.busy, m)
	}
}

func earlier(a, b clock.Stamp) clock.Stamp {
	if b.Boot < a.Boot {
		return b
	}
	return a
}

func (x *Exchange) sweep(now clock.Stamp, out *Output) {
	x.expireOwn(now)
	x.clocks.expire(now)
	out.Refuted = x.check.sweep(now)
	x.counters.Refuted += uint64(len(out.Refuted))
	for _, m := range x.order {
		if m.givenUp.due(now) {
			x.retryGivenUp(m, now, out)
		}
	}
	kept := x.order[:0]
	for _, m := range x.order {
		if m.up || now.Sub(m.left) < TTL {
			kept = append(kept, m)
			continue
		}
		delete(x.members, m.Peer)
		for _, o := range x.byAge {
			o.drop(m)
		}
	}
	clear(x.order[len(kept):])
	x.order = kept
	for len(x.history) > 0 && now.Sub(x.decided[x.history[0]].At) > TTL {
		x.dropOldestDecision()
	}
}

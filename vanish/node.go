package vanish

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/hold"
	"github.com/epitaph-mq/epitaph/nonce"
)

// Mode is how much of the rule a node carries out.
type Mode uint8

// Modes.
const (
	Off     Mode = iota // it answers others, abstaining
	Observe             // everything but the eviction itself
	On
)

// Limits of one node.
const (
	young         = 30 * time.Second // a node that has listened for less does not vote
	maxSuspects   = 512              // claims whose host is silent at one time; with more, nobody is judged
	maxEvictions  = 4_096            // watched for being refuted
	askRate       = 2_000            // questions sent in a second
	answerRate    = 4_000            // questions answered in a second; to one member as many as it may ask
	remember      = 10 * time.Minute // evictions count for the brake
	toldFor       = 30 * time.Second // whoever was told of no life is told of it
	maxTold       = 4_096            // subjects that this node does not hold and was asked about, likewise
	maxLeft       = 4_096            // hosts of which nothing is held any more, and to which no connection is open, likewise
	maxNewest     = 4                // connections that tell of one to which some are
	questionsKept = 5 * time.Second  // answers later than this say nothing that counts
)

// Config is what a Node needs.
type Config struct {
	Self  Peer
	Mode  Mode
	After time.Duration // T, 6 s to 60 s
	Nodes int           // N as the operator gave it; 0: learnt
	Brake float64       // share of hosts, more than 0 and at most 1; 0: 0.5
	Nonce func() uint64 // unpredictable numbers
}

// Claim is what a judgement is about: a subject as it was registered last.
type Claim struct {
	Subject
	Conn       uint64 // accept sequence number of the owning connection
	Generation uint64 // counts what was handled of the subject from its source
}

// Packet is one message to send.
type Packet struct {
	To     Peer
	Msg    Message
	Stream bool          // by stream: tell StreamSent what became of it
	After  time.Duration // from now
}

// Connect is a new connection to try: call Tried with its source and number.
type Connect struct {
	Source netip.Addr
	Addr   string // HOST:PORT as advertised
	Try    uint64
}

// Eviction is a claim to evict. The tables ask Pending and Stands under their lock first, and tell the Node by Took what they did.
type Eviction struct {
	Claim
	After      time.Duration // T
	Silence    time.Duration
	Unanswered int
	Connects   int
	Agreed     []string // members that said silent, sorted
	Mute       []string // members that could not speak, sorted
	Nodes      int      // N
	Quorum     int      // Q
}

// Restoration is a claim whose host is heard again on the very connection. The tables ask Stands under their lock, and the Node is told by
// Restored what they did, unless they wait for more.
type Restoration struct {
	Claim
	Evicted clock.Stamp
}

// Output is what the shell has to carry out. What is lost is repeated.
type Output struct {
	Probes   []uint64 // connections whose kernel is to ask at once
	Connects []Connect
	Packets  []Packet
	Evict    []Eviction
	Restore  []Restoration
	Events   []Event
}

// Event is something to tell an operator of.
type Event struct {
	Kind    EventKind
	Claim   Claim         // zero for what is about the node
	Why     Why           // of Kept
	By      string        // the member that contradicted, or the kind of refutation
	Silence time.Duration // of the host; after an eviction, the time since then
	Hosts   int           // of BrakeBegan: watched, or gone by this rule
	Quiet   int           // of them silent or gone
}

// EventKind says what happened.
type EventKind uint8

// Kinds of events.
const (
	Silent     EventKind = iota // a host fell silent: the others are asked
	AliveNow                    // it is heard again
	Kept                        // T has gone by and it is kept, once for each reason in one silence
	Refuted                     // an eviction was wrong
	HoldBegan                   // three were: nobody is judged for a while
	Gap                         // this node was not listening
	BrakeBegan                  // too many hosts are silent here for any to be judged
	BrakeEnded
)

// Counters of a node.
type Counters struct {
	RefusedNonce, Limited, Gaps, Refuted, Evicted uint64
}

// Node is the rule at one node. It is not safe for concurrent use. Every stamp handed in is of this process's clocks and no earlier
// than the one before.
type Node struct {
	cfg       Config
	times     Times
	started   clock.Stamp
	attention Attention
	draining  bool
	answered  bool // something answers for others
	braked    bool // as of the last Tick
	suspects  int  // claims that the others are asked about, as of the last Tick

	members  []Peer // the others that live
	believed []Peer // the same, and those that may only have lost some packets
	nodes    int    // living and lost, this one counted

	machines map[netip.Addr]*machine
	left     []*machine // of which nothing is held any more, the newest last; what comes of their sources again is another machine
	claims   map[Subject]*claim
	order    []*claim // in the order of their arrival, so that runs with one seed are alike
	lines    map[uint64]*line
	told     map[Subject]map[Peer]clock.Stamp // who asked when, and was told of no life younger than D
	turn     uint64                           // of going through all, which is done four times a second and leaves nothing to be collected
	watched  []*machine                       // as of the last Tick

	streams   map[Peer]*question // the newest question to each that went by stream, while it may be answered
	open      nonce.Open[*question]
	asked     []*question // the same and those answered, oldest first
	asking    *rate.Limiter
	answering *rate.Limiter
	askers    map[Peer]*rate.Limiter // members that asked, each with what it may have answered

	after    afterwards
	out      Output
	counters Counters
}

// machine is a source address.
type machine struct {
	*Host
	source netip.Addr
	lines  []*line // by their first claim, until their connections are closed
	claims []*claim
	left   bool        // nothing is held of it
	asked  []Subject   // that are not held, and that a member was told of no life of
	silent bool        // told so
	quiet  clock.Stamp // since when it was then
	turn   uint64      // in which it was met last
}

// line is a watched connection.
type line struct {
	Line
	conn    uint64
	machine *machine
	turn    uint64 // in which it was met last
}

// claim is a subject that this node holds, or has evicted by this rule while its connection is open.
type claim struct {
	Claim
	machine *machine
	line    *line // nil: not watched
	words   map[string]*word
	asking  []*word // the same, in the order of the members
	held    bool
	evicted *eviction // not refuted
	out     *eviction // it is out of the tables by this one, and may be put back
	kept    uint32    // reasons that were told in this silence, a bit for each
}

// New makes a Node that holds nothing.
func New(c Config, now clock.Stamp) (*Node, error) {
	if err := c.Self.Valid(); err != nil {
		return nil, fmt.Errorf("vanish: self: %w", err)
	}
	if c.Brake == 0 {
		c.Brake = 0.5
	}
	switch {
	case c.Nonce == nil:
		return nil, errors.New("vanish: a source of nonces is needed")
	case c.After < 6*time.Second || c.After > time.Minute:
		return nil, fmt.Errorf("vanish: silence of %v before an eviction, want 6s to 1m", c.After)
	case c.Nodes < 0 || c.Nodes > maxNodes:
		return nil, fmt.Errorf("vanish: %d nodes, want 0 to %d", c.Nodes, maxNodes)
	case !(c.Brake > 0 && c.Brake <= 1):
		return nil, fmt.Errorf("vanish: brake at a share of %v, want more than 0 and at most 1", c.Brake)
	}
	return &Node{
		cfg: c, times: TimesOf(c.After), started: now, nodes: 1,
		machines: map[netip.Addr]*machine{}, claims: map[Subject]*claim{}, lines: map[uint64]*line{},
		told: map[Subject]map[Peer]clock.Stamp{}, streams: map[Peer]*question{}, open: nonce.Of[*question](),
		asking: rate.NewLimiter(askRate, askRate), answering: rate.NewLimiter(answerRate, answerRate), askers: map[Peer]*rate.Limiter{},
		after: afterwards{holds: hold.New[Subject, scope](maxEvictions)},
	}, nil
}

// Members takes the others that live, those that were taken for dead of late, and how many nodes there are with this one and the lost ones. Membership is
// often wrong about who loses packets, so the latter are asked and answered all the same; they are no proof that there are more nodes.
func (n *Node) Members(living, missing []Peer, nodes int) {
	n.members, n.nodes = slices.Clone(living), max(nodes, len(living)+1)
	n.believed = slices.Clone(living)
	for _, p := range missing {
		if !slices.ContainsFunc(n.believed, func(o Peer) bool { return o.Name == p.Name }) { // else it lives a new life
			n.believed = append(n.believed, p)
		}
	}
	maps.DeleteFunc(n.askers, func(p Peer, _ *rate.Limiter) bool { return !slices.Contains(n.believed, p) })
	for _, c := range n.order {
		if c.words != nil {
			n.askMembers(c)
		}
	}
}

// Drain says whether this node is to be left, or is stopping: then it judges nobody.
func (n *Node) Drain(is bool) { n.draining = is }

// AnsweredFor says whether something on the way answers for hosts that are not there: then new connections are neither life nor
// evidence.
func (n *Node) AnsweredFor(is bool) { n.answered = is }

// Registered takes a REGISTER of a claim, watched or not. It is a sign of life of the claim's source.
func (n *Node) Registered(c Claim, watched bool, now clock.Stamp) {
	m := n.machine(c.Source, now)
	k := n.claims[c.Subject]
	if k == nil {
		k = &claim{machine: m}
		n.claims[c.Subject] = k
		n.order = append(n.order, k)
		m.claims = append(m.claims, k)
	}
	if k.evicted != nil {
		if k.Conn == c.Conn {
			n.refute(k, "register", now)
		} else {
			k.evicted = nil
		}
	}
	n.after.registered(c.Subject)
	k.Claim, k.held, k.out = c, true, nil
	n.watch(k, watched)
	n.heard(m, now, now)
}

// watch binds a claim to the line of its connection.
func (n *Node) watch(k *claim, watched bool) {
	old := k.line
	k.line = nil
	if watched {
		l := n.lines[k.Conn]
		if l == nil {
			l = &line{conn: k.Conn, machine: k.machine}
			n.lines[k.Conn] = l
			k.machine.lines = append(k.machine.lines, l)
		}
		k.line = l
	}
	if k.line != old { // what was said was about another connection
		k.words, k.asking, k.kept = nil, nil, 0
	}
}

// watched says that one of its claims is.
func (m *machine) watched() bool {
	return slices.ContainsFunc(m.claims, func(k *claim) bool { return k.line != nil })
}

// Ended takes that a registration is gone by anything but this rule, by its subject. What this rule took is told by Took.
func (n *Node) Ended(s Subject) {
	if k := n.claims[s]; k != nil && k.held {
		n.drop(k)
	}
}

// Closed takes that a connection is gone: nothing can be said about what it owned any more.
func (n *Node) Closed(conn uint64) {
	var owned []*claim
	for _, k := range n.order {
		if k.Conn == conn {
			owned = append(owned, k)
		}
	}
	for _, k := range owned {
		n.drop(k)
	}
	if l := n.lines[conn]; l != nil {
		delete(n.lines, conn)
		l.machine.lines = slices.DeleteFunc(l.machine.lines, func(o *line) bool { return o == l })
	}
}

func (n *Node) drop(k *claim) {
	same := func(o *claim) bool { return o == k }
	if k.evicted != nil && !k.evicted.taken { // it is gone by something else
		k.evicted.back = true
	}
	delete(n.claims, k.Subject)
	n.order = slices.DeleteFunc(n.order, same)
	m := k.machine
	m.claims = slices.DeleteFunc(m.claims, same)
	n.watch(k, false)
	if n.told[k.Subject] != nil {
		m.asked = append(m.asked, k.Subject)
	}
	if len(m.claims) == 0 && !m.left { // what is heard of it is told as long as a connection is open, and what was for a while after
		m.left = true
		n.left = append(n.left, m)
	}
}

// Due says which watched connections are to be looked at now: call it every Tick, then Looked for each, then Tick.
func (n *Node) Due(now clock.Stamp) (conns []uint64) {
	if n.attention.Looks(now, Tick) {
		n.counters.Gaps++
		n.out.Events = append(n.out.Events, Event{Kind: Gap})
	}
	n.turn++
	for _, k := range n.order {
		if k.line != nil && k.line.turn != n.turn && (k.out != nil || k.machine.LookDue(k.line.LastLook(), n.attention.Since(), now)) {
			k.line.turn = n.turn
			conns = append(conns, k.line.conn)
		}
	}
	for _, m := range n.left { // whoever was told of no life is told of it
		if len(m.asked) == 0 {
			continue
		}
		for _, l := range m.newest() {
			if l.turn != n.turn && m.LookDue(l.LastLook(), n.attention.Since(), now) {
				l.turn = n.turn
				conns = append(conns, l.conn)
			}
		}
	}
	return conns
}

// Tick asks whom it is time to ask, and judges.
func (n *Node) Tick(now clock.Stamp) {
	n.after.sweep(now)
	n.forgetQuestions(now)
	n.forgetLeft(now)
	if n.cfg.Mode == Off {
		return
	}
	n.forgetTold(now)
	machines := n.inOrder()
	for _, m := range machines {
		n.ask(m, now)
	}
	n.question(now)
	n.brake(machines, now)
	n.suspects = 0
	for _, k := range n.order {
		if k.words != nil {
			n.suspects++
		}
	}
	for _, k := range n.order {
		if k.words != nil && k.held && k.evicted == nil {
			n.judge(k, now)
		}
	}
}

// inOrder are the watched machines by the arrival of their first claim, until it is called again.
func (n *Node) inOrder() []*machine {
	n.turn++
	n.watched = n.watched[:0]
	for _, k := range n.order {
		if m := k.machine; m.turn != n.turn && m.watched() {
			m.turn = n.turn
			n.watched = append(n.watched, m)
		}
	}
	return n.watched
}

// ask asks a machine for a sign of life, and begins or ends asking the others.
func (n *Node) ask(m *machine, now clock.Stamp) {
	m.Evicted(slices.ContainsFunc(m.claims, func(k *claim) bool { return k.evicted != nil }))
	a := m.Ask(n.attention.Since(), now)
	for _, k := range m.claims {
		if a.Probe && k.line != nil && !slices.Contains(n.out.Probes, k.line.conn) {
			n.out.Probes = append(n.out.Probes, k.line.conn)
		}
		if a.Connect && k.line != nil {
			n.out.Connects = append(n.out.Connects, Connect{m.source, k.Addr, a.Try})
			a.Connect = false
		}
	}
	silence := m.Silence(n.attention.Since(), now)
	is := silence >= n.times.Suspect
	if is != m.silent {
		m.silent = is
		kind := AliveNow
		if is {
			kind, m.quiet = Silent, m.Life()
		} else {
			silence = max(m.Life().Sub(m.quiet), 0)
		}
		n.out.Events = append(n.out.Events, Event{Kind: kind, Claim: m.claims[0].Claim, Silence: silence})
	}
	for _, k := range m.claims {
		switch {
		case !is || k.line == nil:
			k.words, k.asking, k.kept = nil, nil, 0
		case k.words == nil:
			k.words = map[string]*word{}
			n.askMembers(k)
		}
	}
}

// Take hands out what is to be done since the last call.
func (n *Node) Take() Output {
	out := n.out
	n.out = Output{}
	return out
}

// Counters are the node's counts so far.
func (n *Node) Counters() Counters { return n.counters }

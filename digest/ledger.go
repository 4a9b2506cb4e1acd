package digest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/order"
)

// How often and to how many a node says what it holds.
const (
	summaryEvery = time.Second
	batch        = 100 * time.Millisecond // changes of this long are told at once
	meshMembers  = 32                     // up to so many other members each is told every time
	fewMembers   = 16                     // of more, so many random ones
	packetsASec  = 96                     // summaries of changes; with more members they are batched for longer

	settleTime = 250 * time.Millisecond // roots that differ for less are not looked into: the same change is on its way
	askAgain   = 400 * time.Millisecond
	askTries   = 5
	streamTry  = 3               // from this try on by stream: packets may be blocked
	retryAfter = 2 * time.Second // after the last try
	maxRounds  = 4               // comparisons under way at once

	silentAfter = 3 * time.Second // without summaries a member is silent: it is asked for one by stream
	streamEvery = 2 * time.Second
	streamRare  = time.Minute // to members that never said anything: they are of a version without digests
	streamFirst = 3           // tries before that

	partsASec  = 256 // of answers, for all members
	maxAsks    = 16  // questions of people under way
	askExpires = 3 * time.Second

	// YoungAge is how long after a start what a node lacks is called "starting", and how old a ready member of a former
	// release must be to be a witness: those do not say whether they are.
	YoungAge = 60 * time.Second
)

// Source is asked for the items of every subject but Brokers, when somebody compares them. It must not call the Ledger.
type Source interface {
	Items(subject Subject, name string) []Item
}

// Own is what this node holds.
type Own struct {
	Brokers     []Item
	KV, Options uint64
}

// Config is what a Ledger is made of.
type Config struct {
	Self   Peer
	Random func() uint64 // unpredictable: nonces, and which members are told
	Source Source
	// Secrets are those that this node has, the first for what it says of its own accord. Nil, and none, is no secret.
	Secrets func() []Secret
	Open    bool // anybody can forge a member's question: its answer goes by stream, which proves who asks
}

// Ledger is what a node knows of what the others hold, compared with its own. Its methods take the time and return
// packets; they are to be called one at a time.
type Ledger struct {
	cfg         Config
	started     clock.Stamp
	own         map[Key]Item    // brokers, not to be changed
	sets        map[uint64]*Set // of own, by the secret's ID, as far as they were needed
	kv, options uint64
	standing    Standing
	changed     clock.Stamp // when the root changed last
	untold      clock.Stamp // since when there is a change that was not told yet; zero: there is none
	told        clock.Stamp // last summary of all
	peers       map[Peer]*peer
	order       []*peer // by name; nil after a change of peers
	asks        map[uint64]*ask
	parts       *rate.Limiter // of answers
	wish        wish
	counters    Counters
}

// peer is one living member.
type peer struct {
	Peer
	up       clock.Stamp
	heard    bool
	last     Summary
	at       clock.Stamp // of last
	differs  clock.Stamp // since when the roots differ and were not compared; zero: they do not
	ownRoot  uint64      // the pair whose differences are in diffs, if known
	itsRoot  uint64
	known    bool
	compared bool // once in this life, or the roots were equal
	round    *round
	notAgain clock.Stamp // no new round before
	diffs    map[Key]*difference

	kvSince, optionsSince clock.Stamp // since when those digests differ; zero: they do not

	streamed clock.Stamp // the last summary sent by stream
	streams  int
	replied  clock.Stamp
}

// difference is what the peer had when it was compared. Whether it still differs depends on what this node has now.
type difference struct {
	item  Item // of the peer
	has   bool
	since clock.Stamp
	late  bool // the peer had been compared before this was seen: it is younger than this node's start
}

// round is one comparison under way.
type round struct {
	nonce     uint64
	secret    Secret
	asked     clock.Stamp
	tries     int
	remaining uint64
	ownRoot   uint64
	itsRoot   uint64
	answers   int
	mixed     bool     // one of the two changed meanwhile: the answers do not belong together
	got       []*Items // by part
	have      int
}

// Counters count since New.
type Counters struct {
	SummariesSent, ComparesSent, ItemsSent             uint64 // packets
	SummariesReceived, ComparesReceived, ItemsReceived uint64
	StreamsSent                                        uint64 // of all three
	RefusedSender, RefusedMalformed, RefusedNonce      uint64
	RefusedSecret                                      uint64 // of a gossip key that this node has no more
	Unanswered                                         uint64 // comparisons given up
	Limited                                            uint64 // questions not answered, or not asked, because of a limit
	Skipped                                            uint64 // gauge: own items that are too many to be compared
}

// New makes an empty ledger at a node that starts now.
func New(cfg Config, now clock.Stamp) *Ledger {
	return &Ledger{
		cfg: cfg, started: now, own: map[Key]Item{}, sets: map[uint64]*Set{}, peers: map[Peer]*peer{}, asks: map[uint64]*ask{},
		parts: rate.NewLimiter(partsASec, partsASec),
	}
}

// Counters answers the counts.
func (l *Ledger) Counters() Counters {
	c := l.counters
	c.Skipped = uint64(l.skipped())
	return c
}

// SetOwn replaces what this node holds.
func (l *Ledger) SetOwn(o Own, now clock.Stamp) {
	before := l.mine()
	l.own, l.sets = byKey(o.Brokers), map[uint64]*Set{}
	root := l.set(before.secret).Root()
	if root != before.Root() {
		l.changed = now
	}
	if root != before.Root() || o.KV != l.kv || o.Options != l.options {
		l.tellSoon(now)
	}
	l.kv, l.options = o.KV, o.Options
	for _, p := range l.peers {
		l.look(p, now)
	}
}

func (l *Ledger) secrets() []Secret {
	if l.cfg.Secrets == nil {
		return nil
	}
	return l.cfg.Secrets()
}

// mine is what this node holds, as it says of its own accord.
func (l *Ledger) mine() *Set {
	if all := l.secrets(); len(all) > 0 {
		return l.set(all[0])
	}
	return l.set(Secret{})
}

// under is what this node holds with hashes of a secret. Nil: it does not have that.
func (l *Ledger) under(id uint64) *Set {
	if id == 0 {
		return l.set(Secret{})
	}
	all := l.secrets()
	if i := slices.IndexFunc(all, func(s Secret) bool { return s.ID == id }); i >= 0 {
		return l.set(all[i])
	}
	return nil
}

// set makes it once for each secret.
func (l *Ledger) set(secret Secret) *Set {
	set := l.sets[secret.ID]
	if set == nil {
		set = newSet(l.own, secret)
		l.sets[secret.ID] = set
	}
	return set
}

// with is what this node holds, hashed as p does it.
func (l *Ledger) with(p *peer) *Set {
	if set := l.under(p.last.Secret); set != nil {
		return set
	}
	return l.mine() // p used a key that was taken away since: its next summary has another one
}

// skipped is how many of its items this node cannot compare.
func (l *Ledger) skipped() int { return max(0, len(l.own)-maxItems) }

// SetStanding says where this node stands.
func (l *Ledger) SetStanding(s Standing, now clock.Stamp) {
	if l.standing != s {
		l.standing = s
		l.tellSoon(now)
	}
}

// tellSoon leaves time for the changes that come together, and for the tombstones that make them at all nodes at once:
// those are in a hurry, summaries are not.
func (l *Ledger) tellSoon(now clock.Stamp) {
	if l.untold.IsZero() {
		l.untold = now
	}
}

// MemberUp says that a member lives. It is told at once what this node holds.
func (l *Ledger) MemberUp(p Peer, now clock.Stamp) (out []Packet) {
	if p == l.cfg.Self || l.peers[p] != nil {
		return nil
	}
	l.peers[p] = &peer{Peer: p, up: now, diffs: map[Key]*difference{}}
	l.order = nil
	return l.send(out, Packet{To: p, Msg: l.summary(l.peers[p], false, now)})
}

// MemberLeft says that a member is gone, and with it what it held.
func (l *Ledger) MemberLeft(p Peer) {
	delete(l.peers, p)
	l.order = nil
}

// summary is what p is told.
func (l *Ledger) summary(p *peer, reply bool, now clock.Stamp) *Summary {
	set := l.mine()
	m := &Summary{
		From: l.cfg.Self, Age: now.Elapsed(l.started), Standing: l.standing, Count: uint32(set.Len()), Skipped: uint32(set.skipped),
		Secret: set.secret.ID, Root: set.Root(), KV: l.kv, Options: l.options, Reply: reply,
		Turns: true, Wish: l.wish.number, Yields: l.yields(p),
	}
	if set.secret.ID != 0 && slices.ContainsFunc(l.sorted(), func(p *peer) bool { return p.last.Secret == 0 }) {
		m.Unkeyed = l.under(0).Root() // for members of former releases, and those that have said nothing yet
	}
	return m
}

func (l *Ledger) send(out []Packet, p Packet) []Packet {
	switch p.Msg.(type) {
	case *Summary:
		l.counters.SummariesSent++
	case *Compare:
		l.counters.ComparesSent++
	case *Items:
		l.counters.ItemsSent++
	}
	if p.Stream {
		l.counters.StreamsSent++
	}
	return append(out, p)
}

// mesh says that every other member is told everything at once.
func (l *Ledger) mesh() bool { return len(l.peers) <= meshMembers }

// interval is for how long changes are batched: with more members for longer.
func (l *Ledger) interval() time.Duration {
	n := len(l.peers)
	if !l.mesh() {
		n = fewMembers
	}
	return max(batch, time.Duration(n)*time.Second/packetsASec)
}

// Tick does what is due. It is to be called about every 100 ms.
func (l *Ledger) Tick(now clock.Stamp) (out []Packet) {
	l.forgetWish(now)
	if !l.untold.IsZero() && now.Sub(l.untold) >= l.interval() || now.Sub(l.told) >= summaryEvery || l.told.IsZero() {
		l.told, l.untold = now, clock.Stamp{}
		for _, p := range l.targets() {
			out = l.send(out, Packet{To: p.Peer, Msg: l.summary(p, false, now)})
		}
	}
	rounds := 0
	for _, p := range l.peers {
		if p.round != nil {
			rounds++
		}
	}
	for _, p := range l.sorted() {
		out = l.speakUp(out, p, now)
		l.look(p, now)
		switch {
		case p.round != nil:
			out = l.retry(out, p, now)
		case rounds < maxRounds && l.due(p, now):
			rounds++
			p.round = &round{remaining: ^uint64(0), ownRoot: l.with(p).Root()}
			out = l.compare(out, p, now)
		}
	}
	for nonce, a := range l.asks {
		if now.Sub(a.asked) > askExpires {
			delete(l.asks, nonce)
		}
	}
	return out
}

// targets are the members that are told this time: all, where one is waited for.
func (l *Ledger) targets() []*peer {
	if l.mesh() || l.wish.number != 0 {
		return l.sorted()
	}
	all := slices.Clone(l.sorted())
	for i := range fewMembers {
		j := i + int(l.cfg.Random()%uint64(len(all)-i))
		all[i], all[j] = all[j], all[i]
	}
	return all[:fewMembers]
}

// sorted are the peers by name. The list is not to be changed.
func (l *Ledger) sorted() []*peer {
	if l.order == nil {
		l.order = order.Sorted(maps.Values(l.peers), func(a, b *peer) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Boot, b.Boot))
		})
	}
	return l.order
}

// patience is how long a member may say nothing before it is silent.
func (l *Ledger) patience() time.Duration {
	if l.mesh() {
		return silentAfter
	}
	// Each second a member tells fewMembers of all: with e^-6 it was chosen by chance in none of so many seconds.
	return 6 * time.Duration(len(l.peers)) * time.Second / fewMembers
}

// Unheard is for how long each member has said nothing. Members that never said anything are not in it; where there are too many
// for each to be told every second it is empty, for then such a silence may be chance.
func (l *Ledger) Unheard(now clock.Stamp) map[Peer]time.Duration {
	all := map[Peer]time.Duration{}
	for _, p := range l.peers {
		if p.heard && l.mesh() {
			all[p.Peer] = now.Sub(p.at)
		}
	}
	return all
}

func (l *Ledger) silent(p *peer, now clock.Stamp) bool {
	since := p.up
	if p.heard {
		since = p.at
	}
	return now.Sub(since) > l.patience()
}

// speakUp asks a silent member for a summary by stream.
func (l *Ledger) speakUp(out []Packet, p *peer, now clock.Stamp) []Packet {
	if !l.silent(p, now) {
		return out
	}
	every := streamEvery
	if !p.heard && p.streams >= streamFirst {
		every = streamRare
	}
	if !p.streamed.IsZero() && now.Sub(p.streamed) < every {
		return out
	}
	p.streamed = now
	p.streams++
	return l.send(out, Packet{To: p.Peer, Msg: l.summary(p, true, now), Stream: true})
}

// look compares what is known in figures.
func (l *Ledger) look(p *peer, now clock.Stamp) {
	if !p.heard {
		return
	}
	differ := func(since *clock.Stamp, yes bool) {
		if !yes {
			*since = clock.Stamp{}
		} else if since.IsZero() {
			*since = now
		}
	}
	differ(&p.kvSince, p.last.KV != l.kv)
	differ(&p.optionsSince, p.last.Options != l.options)
	own := l.with(p).Root()
	if p.last.Root == own {
		p.compared, p.known, p.round, p.differs = true, false, nil, clock.Stamp{}
		clear(p.diffs)
		return
	}
	differ(&p.differs, !p.known || p.ownRoot != own || p.itsRoot != p.last.Root)
}

// due says that roots have differed for so long that the same change is not on its way.
func (l *Ledger) due(p *peer, now clock.Stamp) bool {
	if p.differs.IsZero() || now.Before(p.notAgain) {
		return false
	}
	if !p.compared && len(l.own) == 0 {
		return true // a node that (re)started wants to know what there is
	}
	since := p.differs
	if since.Before(l.changed) {
		since = l.changed
	}
	if !l.mesh() && p.at.Sub(l.changed) < l.interval() {
		return false // its summary may be older than the same change there
	}
	return now.Sub(since) >= l.interval()+settleTime
}

// compare asks for what differs.
func (l *Ledger) compare(out []Packet, p *peer, now clock.Stamp) []Packet {
	r, set := p.round, l.with(p)
	r.nonce, r.asked, r.got, r.have, r.secret = l.cfg.Random(), now, nil, 0, set.secret
	r.mixed = r.mixed || r.ownRoot != set.Root()
	r.tries++
	stream := r.tries >= streamTry
	return l.send(out, Packet{To: p.Peer, Stream: stream, Msg: &Compare{
		From: l.cfg.Self, Nonce: r.nonce, Secret: set.secret.ID, Stream: stream, Mask: r.remaining, Sums: pickSums(&set.sums, r.remaining),
	}})
}

func (l *Ledger) retry(out []Packet, p *peer, now clock.Stamp) []Packet {
	switch {
	case now.Sub(p.round.asked) < askAgain:
	case p.round.tries >= askTries:
		l.counters.Unanswered++
		p.round, p.notAgain = nil, now.Add(retryAfter)
	default:
		out = l.compare(out, p, now)
	}
	return out
}

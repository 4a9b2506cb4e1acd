package vanish

import (
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
)

// When the others are asked, and when one of them cannot speak.
const (
	fresh      = time.Second     // F: an answer counts as a vote for so long after its question
	current    = 3 * time.Second // for so long it says that its sender would have told of life
	muteAfter  = 3 * time.Second // a member that answered nothing for so long
	muteAsks   = 6               // in reply to so many questions
	muteStream = 2 * time.Second // and nothing by stream for so long, or the stream failed
	streamAsk  = 5               // the question in vain from which on one goes by stream as well: as late as being mute allows, for streams bring late news
)

// question is one try, to be answered once, with its own t0.
type question struct {
	to     Peer
	nonce  uint64
	asked  clock.Stamp // t0
	claims []*claim
	words  []*word // of each claim; a claim that asks anew has others
	stream bool
	later  time.Duration // after asked
	also   []*word       // of the same member, of claims that needed a stream while this one waited: it is as good as one of their own
}

// word is what a member said of a claim in this silence.
type word struct {
	peer Peer

	answered clock.Stamp // t0 of the newest answer; zero: none
	silent   bool        // that answer said silent, for long enough
	alive    bool        // the last word told life younger than D
	nodes    int         // the greatest N that it told
	life     sign        // its own
	passedOn sign        // what others told it
	holds    bool        // for operators, as why it does not vote
	why      Why

	asks     int         // in vain
	from     clock.Stamp // of the first of them
	stream   clock.Stamp // when one of them went by stream; zero: not yet
	streamNo bool        // which failed
	next     clock.Stamp
	pace     time.Duration // between two questions, when they are answered
}

// sign is the newest sign of life that a member told of.
type sign struct {
	at   clock.Stamp // the latest moment at which it can have been; zero: there was none
	told clock.Stamp // when the newest word of it came in
}

// take takes a word that was asked for at asked. Whoever was asked when all words before were in has said them before: where it was longer ago by what it says
// now, one of those was long on its way. With zero nobody asked.
func (s *sign) take(age time.Duration, asked, now clock.Stamp) {
	if age == Never { // what it told before it may have forgotten
		return
	}
	if at := now.Add(-age); s.at.IsZero() || s.at.Before(at) || s.told.Before(asked) {
		s.at = at
	}
	s.told = now
}

// mute says that the member cannot speak.
func (w *word) mute(now clock.Stamp) bool {
	return w.asks >= muteAsks && now.Elapsed(w.from) >= muteAfter && !w.stream.IsZero() &&
		(w.streamNo || now.Elapsed(w.stream) >= muteStream)
}

// askMembers adds the members that a claim's silence is not asked about yet. One that is no longer listed goes on being asked: only its own
// silence makes it mute. One that began a new life is asked as a new one, and what it told before is remembered.
func (n *Node) askMembers(k *claim) {
	for _, p := range n.believed {
		old := k.words[p.Name]
		if old != nil && old.peer == p {
			continue
		}
		w := &word{peer: p}
		if old != nil {
			w.life = old.life
		}
		k.words[p.Name] = w
		k.asking = append(slices.DeleteFunc(k.asking, func(o *word) bool { return o.peer.Name == p.Name }), w)
	}
}

// between is how long to wait between two questions: the first was answered, or in vain so far.
func (n *Node) between(silence time.Duration) (answered, vain time.Duration) {
	switch t := n.times.After; {
	case silence < t-2*time.Second:
		return time.Second, Tick
	case silence < t+5*time.Second:
		return Tick, Tick
	case silence < 30*time.Second:
		return time.Second, Tick
	}
	return 5 * time.Second, time.Second
}

// question asks the others about all silent claims that are due.
func (n *Node) question(now clock.Stamp) {
	type pair struct {
		k *claim
		w *word
	}
	due := map[Peer][]pair{}
	var peers []Peer
	for _, k := range n.order {
		for _, w := range k.asking {
			if now.Sub(w.next) < 0 {
				continue
			}
			before, known := due[w.peer]
			if !known {
				peers = append(peers, w.peer)
			}
			due[w.peer] = append(before, pair{k, w})
		}
	}
	for _, p := range peers {
		rest := due[p]
		for len(rest) > 0 {
			part, size := 0, 0
			for part < len(rest) && part < MaxSubjects {
				if size += rest[part].k.Size(); part > 0 && size > maxSubjects {
					break
				}
				part++
			}
			if !n.asking.AllowN(wall(now), 1) { // what was not asked was not asked in vain
				n.counters.Limited++
				break
			}
			q := &question{to: p, asked: now, claims: make([]*claim, 0, part), words: make([]*word, 0, part)}
			var again, byStream *question
			for _, d := range rest[:part] {
				q.add(d.k, d.w)
				if d.w.asks == 0 {
					d.w.from, d.w.stream, d.w.streamNo = now, clock.Stamp{}, false
				} else {
					if again == nil {
						again = &question{to: p, asked: now, later: Tick / 2}
					}
					again.add(d.k, d.w)
				}
				if d.w.asks++; d.w.asks >= streamAsk && d.w.stream.IsZero() && !n.waits(d.w, now) {
					d.w.stream = now
					if byStream == nil {
						byStream = &question{to: p, asked: now, stream: true}
					}
					byStream.add(d.k, d.w)
				}
				answered, vain := n.between(d.k.machine.Silence(n.attention.Since(), now))
				d.w.pace, d.w.next = answered, now.Add(vain)
			}
			n.send(q)
			if again != nil && n.asking.AllowN(wall(now), 1) {
				n.send(again)
			}
			if byStream != nil {
				n.send(byStream)
				n.streams[p] = byStream
			}
			rest = rest[part:]
		}
	}
}

// waits says that a stream to the word's member is under way, and lets the word wait with it: a member that cannot speak about one claim cannot
// about another, and streams to it are few.
func (n *Node) waits(w *word, now clock.Stamp) bool {
	q := n.streams[w.peer]
	if q == nil || now.Elapsed(q.asked) >= muteStream {
		return false
	}
	w.stream = q.asked
	q.also = append(q.also, w)
	return true
}

// streamEnds takes that a stream says nothing any more: it was answered, or held back. What waited with it asks by another.
func (n *Node) streamEnds(q *question) {
	for _, w := range q.also {
		if w.stream == q.asked {
			w.stream = clock.Stamp{}
		}
	}
	if n.streams[q.to] == q {
		delete(n.streams, q.to)
	}
}

func (q *question) add(k *claim, w *word) {
	q.claims, q.words = append(q.claims, k), append(q.words, w)
}

// send sends a question under a nonce of its own.
func (n *Node) send(q *question) {
	q.nonce = n.open.Ask(n.cfg.Nonce, q, q.asked)
	n.asked = append(n.asked, q)
	m := Query{From: n.cfg.Self, Stream: q.stream, Nonce: q.nonce, Nodes: n.known(), Subjects: make([]Subject, len(q.claims))}
	for i, k := range q.claims {
		m.Subjects[i] = k.Subject
	}
	n.out.Packets = append(n.out.Packets, Packet{To: q.to, Msg: m, Stream: q.stream, After: q.later})
}

// StreamSent takes what became of a question that was to go by stream. One that was held back was not asked: it is tried again.
func (n *Node) StreamSent(nonce uint64, sent Sent) {
	q, open := n.open.Find(nonce)
	if !open || !q.stream {
		return
	}
	for _, w := range slices.Concat(q.words, q.also) {
		switch {
		case w.stream != q.asked || sent == Went:
		case sent == HeldBack:
			w.stream = clock.Stamp{}
		default:
			w.streamNo = true
		}
	}
	if sent != Went && n.streams[q.to] == q {
		delete(n.streams, q.to)
	}
}

func (n *Node) forgetQuestions(now clock.Stamp) {
	old := 0
	for old < len(n.asked) && now.Sub(n.asked[old].asked) > questionsKept {
		q := n.asked[old]
		n.open.Drop(q.nonce)
		if n.streams[q.to] == q {
			delete(n.streams, q.to)
		}
		old++
	}
	n.asked = slices.Delete(n.asked, 0, old)
}

// Receive takes a message of a member. Before a Query, look at the connections that LooksFor names.
func (n *Node) Receive(msg Message, now clock.Stamp) {
	if msg.Valid() != nil {
		return
	}
	switch m := msg.(type) {
	case Query:
		if slices.Contains(n.believed, m.From) {
			n.answer(m, now)
		}
	case View:
		n.view(m, now)
	case Alive:
		for _, s := range m.News {
			if k := n.claims[s.Subject]; k != nil {
				if w := k.words[m.From.Name]; w != nil && w.peer == m.From {
					w.life.take(s.Life, clock.Stamp{}, now)
				}
			}
		}
	}
}

// view takes an answer: once, from the life of the member that was asked.
func (n *Node) view(v View, now clock.Stamp) {
	q, t0, ok := n.open.Take(v.Nonce, func(q *question) bool { return q.to == v.From && len(v.Answers) == len(q.claims) })
	if !ok {
		n.counters.RefusedNonce++
		return
	}
	if q.stream {
		n.streamEnds(q)
	}
	for i, a := range v.Answers {
		q.words[i].take(a, v.Nodes, t0, n.times.Vote, now) // where the claim asks anew, this is nobody's word any more
	}
}

// take takes an answer to a question sent at asked. Life counts whenever it was told, as of the latest moment that it can have been; an
// answer to an older question than the newest that was answered changes nothing else, and one to the same never takes back life.
func (w *word) take(a Answer, nodes int, asked clock.Stamp, vote time.Duration, now clock.Stamp) {
	w.life.take(a.Life, asked, now)
	w.passedOn.take(a.PassedOn, asked, now)
	w.nodes = max(w.nodes, nodes)
	if !w.answered.IsZero() && asked.Sub(w.answered) < 0 {
		return
	}
	alive := a.Life != Never && a.Life < vote
	if asked == w.answered && w.alive {
		return
	}
	w.answered, w.alive, w.holds, w.why = asked, alive, a.Holds, Why(a.Why)
	w.silent = a.Silent && !alive && a.Silence >= vote
	w.asks, w.next = 0, asked.Add(w.pace)
}

// LooksFor names the watched connections that are to be looked at before a question is answered.
func (n *Node) LooksFor(q Query) (conns []uint64) {
	for _, s := range q.Subjects {
		if k, m := n.claims[s], n.machines[s.Source]; k != nil && k.line != nil && !slices.Contains(conns, k.line.conn) {
			conns = append(conns, k.line.conn)
		} else if m != nil && len(m.claims) == 0 {
			for _, l := range m.newest() {
				if !slices.Contains(conns, l.conn) {
					conns = append(conns, l.conn)
				}
			}
		}
	}
	return conns
}

// mayAnswer says whether a question is within the limits. One member that floods leaves room for the others'.
func (n *Node) mayAnswer(to Peer, now clock.Stamp) bool {
	if n.askers[to] == nil {
		n.askers[to] = rate.NewLimiter(askRate, askRate)
	}
	return n.askers[to].AllowN(wall(now), 1) && n.answering.AllowN(wall(now), 1)
}

// answer says what this node knows now.
func (n *Node) answer(q Query, now clock.Stamp) {
	if !n.mayAnswer(q.From, now) {
		n.counters.Limited++
		return
	}
	v := View{From: n.cfg.Self, Nonce: q.Nonce, Nodes: n.known(), Answers: make([]Answer, len(q.Subjects))}
	for i, s := range q.Subjects {
		v.Answers[i] = n.say(s, q.From, now)
	}
	n.out.Packets = append(n.out.Packets, Packet{To: q.From, Msg: v, Stream: q.Stream})
}

func (n *Node) say(s Subject, to Peer, now clock.Stamp) Answer {
	a := Answer{Life: Never, PassedOn: Never, Why: uint8(NotHeld)}
	k, m := n.claims[s], n.machines[s.Source]
	if m != nil {
		a.Life = age(m.Life(), now)
	}
	if k == nil { // it may hold another of that host, or have held this one a moment ago
		if (m == nil || a.Life >= n.times.Vote) && len(n.told) < maxTold+len(n.claims) {
			n.tells(s, to, now)
			if m != nil && n.told[s] != nil && !slices.Contains(m.asked, s) {
				m.asked = append(m.asked, s)
			}
		}
		return a
	}
	a.Silence = m.Silence(n.attention.Since(), now).Truncate(time.Millisecond)
	for _, w := range k.asking { // first-hand alone: what is passed on and on would never grow old
		if at := w.life.at; !at.IsZero() && (a.PassedOn == Never || age(at, now) < a.PassedOn) {
			a.PassedOn = age(at, now)
		}
	}
	why := n.abstains(k, now)
	a.Holds, a.Why, a.Silent = k.line != nil, uint8(why), why == Votes
	if a.Life >= n.times.Vote {
		n.tells(s, to, now)
	}
	if k.line != nil && now.Elapsed(m.Life()) > time.Second && m.Probe(now) {
		n.out.Probes = append(n.out.Probes, k.line.conn)
	}
	return a
}

// tells notes that a member was told of no life, whatever else: for as long as that answer counts, it takes news of life to come by itself.
func (n *Node) tells(s Subject, to Peer, now clock.Stamp) {
	if n.cfg.Mode == Off { // it says nothing unasked
		return
	}
	if n.told[s] == nil {
		n.told[s] = map[Peer]clock.Stamp{}
	}
	n.told[s][to] = now
}

func (n *Node) forgetTold(now clock.Stamp) {
	for s, told := range n.told {
		maps.DeleteFunc(told, func(_ Peer, at clock.Stamp) bool { return now.Sub(at) >= toldFor })
		if len(told) > 0 {
			continue
		}
		delete(n.told, s)
		if m := n.machines[s.Source]; m != nil {
			m.asked = slices.DeleteFunc(m.asked, func(o Subject) bool { return o == s })
		}
	}
}

// age is how long ago something was at least, rounded towards young.
func age(then, now clock.Stamp) time.Duration {
	return max(now.Elapsed(then), 0).Truncate(time.Millisecond)
}

// tellAlive tells a member three times that what it was told is over.
func (n *Node) tellAlive(s Subject, m *machine, to Peer, now clock.Stamp) {
	msg := Alive{From: n.cfg.Self, News: []News{{s, age(m.Life(), now)}}}
	for i := range 3 {
		// What is sent later tells an age that is younger than it is by then, which keeps.
		n.out.Packets = append(n.out.Packets, Packet{To: to, Msg: msg, After: time.Duration(i) * 150 * time.Millisecond})
	}
}

func wall(now clock.Stamp) time.Time { return time.Unix(0, now.Boot) }

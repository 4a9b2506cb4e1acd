package tombstone

import (
	"cmp"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// maxMergeReports bounds what one push/pull makes this node say at once; the next push/pull asks for the rest.
const maxMergeReports = 16 * MaxReports

// want is a tombstone of another node that this one holds a registration for.
type want struct {
	id    ID          // with the newest revision hinted
	since clock.Stamp // when it was hinted first
}

// pullBatch is one Pull under way.
type pullBatch struct {
	schedule
	origin *member
	wants  []*want
	nonces []uint64 // of its tries, all outstanding until it is closed
}

// find is the index of the want with that sequence number, or -1.
func (b *pullBatch) find(seq uint64) int {
	return slices.IndexFunc(b.wants, func(w *want) bool { return w.id.Seq == seq })
}

// try is one question that was sent: its answer counts once and with its own t0.
type try struct {
	batch *pullBatch
	asked clock.Stamp
}

// hinted looks at ids that somebody told. What is not held is reported at once, what is held asked for at its origin.
func (x *Exchange) hinted(h Hint, maxSay int, now clock.Stamp, out *Output) {
	say := map[*member][]Report{}
	var origins []*member
	said := 0
	for _, id := range h.IDs {
		m := x.members[id.Origin]
		if m == nil || !m.up {
			x.counters.HintsUnknownOrigin++ // our own, a former life's, or one that cannot be asked
			continue
		}
		r, ok := x.recall(id)
		if !ok {
			x.wish(m, id, now)
		} else if said < maxSay {
			said++
			say[m] = append(say[m], r)
		}
		if !slices.Contains(origins, m) {
			origins = append(origins, m)
		}
	}
	for _, m := range origins {
		x.say(m, say[m], h.Stream, out)
		x.flushPulls(m, now, out)
	}
}

// recall answers what can be said about id without asking.
func (x *Exchange) recall(id ID) (Report, bool) {
	d, known := x.decided[id.anyRevision()]
	if known && d.Final && (d.ID.Revision >= id.Revision || !needsLife(d.Verdict.Outcome)) {
		return Report{Seq: id.Seq, Revision: min(id.Revision, d.ID.Revision), Outcome: d.Verdict.Outcome}, true
	}
	if !x.tables.Holds(id.Key) {
		return Report{Seq: id.Seq, Revision: id.Revision, Outcome: NotHeld}, true
	}
	return Report{}, false
}

// wish puts id on top of what is to be asked from m.
func (x *Exchange) wish(m *member, id ID, since clock.Stamp) {
	if w := x.asking[id.anyRevision()]; w != nil {
		w.id.Revision = max(w.id.Revision, id.Revision)
		return
	}
	if len(m.wanted) >= maxWanted {
		x.counters.WantedDropped++
		delete(x.asking, m.wanted[0].id.anyRevision())
		m.wanted = m.wanted[1:]
	}
	w := &want{id: id, since: since}
	x.asking[id.anyRevision()] = w
	m.wanted = append(m.wanted, w)
}

// say sends reports in messages of at most MaxReports.
func (x *Exchange) say(m *member, reports []Report, stream bool, out *Output) {
	for part := range slices.Chunk(reports, MaxReports) {
		d := Done{From: x.self, Boot: m.Boot, Reports: part}
		x.send(out, Packet{To: m.Peer, Path: Datagram, Msg: d})
		if stream {
			x.send(out, Packet{To: m.Peer, Path: Stream, Msg: d})
		}
	}
}

// flushPulls starts batches, newest ids first, while the window has room.
func (x *Exchange) flushPulls(m *member, now clock.Stamp, out *Output) {
	for len(m.pulls) < maxWindow && len(m.wanted) > 0 {
		b := &pullBatch{origin: m}
		size := 0
		for len(b.wants) < MaxBatch && len(m.wanted) > 0 {
			w := m.wanted[len(m.wanted)-1]
			if size += w.id.Size(); size > maxID || b.find(w.id.Seq) >= 0 {
				break // answers are told apart by their sequence numbers, and a liar may have used one twice
			}
			b.wants = append(b.wants, w)
			m.wanted = m.wanted[:len(m.wanted)-1]
		}
		if x.sendPull(b, now, out) {
			m.pulls = append(m.pulls, b)
			x.begins(m)
		}
	}
}

// sendPull takes one try of b with a nonce and a t0 of its own. It answers false when the batch is closed.
func (x *Exchange) sendPull(b *pullBatch, now clock.Stamp, out *Output) bool {
	var gone []Report
	b.wants = slices.DeleteFunc(b.wants, func(w *want) bool {
		r, ok := x.recall(w.id)
		if ok {
			gone = append(gone, r)
			delete(x.asking, w.id.anyRevision())
		}
		return ok
	})
	x.say(b.origin, gone, b.reliable, out)
	packets, stream := 0, false
	if len(b.wants) > 0 {
		packets, stream = b.step(now)
	}
	if packets == 0 {
		x.counters.PullsUnanswered += uint64(len(b.wants))
		b.origin.rest.giveUp(now, nil, b.wants)
		x.closePull(b)
		return false
	}
	p := Pull{From: x.self, Nonce: x.freshNonce(b)}
	x.tries[p.Nonce] = &try{batch: b, asked: now}
	for _, w := range b.wants {
		p.IDs = append(p.IDs, w.id)
	}
	for range packets {
		x.send(out, Packet{To: b.origin.Peer, Path: Datagram, Msg: p})
	}
	if stream {
		p.Stream = true
		x.send(out, Packet{To: b.origin.Peer, Path: Stream, Msg: p})
	}
	return true
}

func (x *Exchange) freshNonce(b *pullBatch) uint64 {
	if x.flaw == FlawT0Overwritten && len(b.nonces) > 0 {
		return b.nonces[0]
	}
	n := x.nonce()
	for x.tries[n] != nil {
		n = x.nonce()
	}
	b.nonces = append(b.nonces, n)
	return n
}

func (x *Exchange) closePull(b *pullBatch) {
	for _, n := range b.nonces {
		delete(x.tries, n)
	}
	for _, w := range b.wants {
		delete(x.asking, w.id.anyRevision())
	}
	b.wants, b.nonces = nil, nil
}

func (x *Exchange) retryPulls(m *member, now clock.Stamp, out *Output) {
	m.pulls = slices.DeleteFunc(m.pulls, func(b *pullBatch) bool { return b.isDue(&x.pace, now) && !x.sendPull(b, now, out) })
	x.flushPulls(m, now, out)
}

// proved takes an answer: only to an outstanding question, once, and from the very life of the member that was asked.
func (x *Exchange) proved(m *member, p Proof, now clock.Stamp, out *Output) {
	t := x.tries[p.Nonce]
	if t == nil || t.batch.origin != m {
		x.counters.RefusedNonce++
		return
	}
	delete(x.tries, p.Nonce)
	b, asked := t.batch, t.asked
	if !b.reliable { // a stream's answer says nothing of packets
		x.pace.answered(now.Age(asked))
	}
	lost := x.flaw != FlawNoOffsetBounds && x.clocks.lostTime(m.Peer, p.Clock, asked)
	if lost {
		x.counters.LostTime++
	}
	x.clocks.saw(m.Peer, p.Clock, now)
	if x.flaw == FlawPushedAges {
		asked = now
	}
	var reports []Report
	for _, a := range p.Answers {
		i := b.find(a.Seq)
		if i < 0 {
			continue
		}
		w := b.wants[i]
		d := x.decide(w.id, a, asked, lost, now)
		if needsLife(d.Verdict.Outcome) && a.Revision < w.id.Revision {
			continue // an older answer overtook the late proof: the next try brings it
		}
		reports = append(reports, Report{Seq: a.Seq, Revision: a.Revision, Outcome: d.Verdict.Outcome})
		b.wants = slices.Delete(b.wants, i, i+1)
		delete(x.asking, w.id.anyRevision())
		x.remember(d)
		out.Decisions = append(out.Decisions, d)
	}
	x.say(m, reports, b.reliable, out)
	if len(b.wants) == 0 {
		m.byStream = b.reliable
		x.closePull(b)
		m.pulls = slices.DeleteFunc(m.pulls, func(o *pullBatch) bool { return o == b })
	}
	x.flushPulls(m, now, out)
}

// decide has the tables judge one answer, unless its ages cannot be believed or evictions are on hold.
func (x *Exchange) decide(id ID, a Answer, asked clock.Stamp, lost bool, now clock.Stamp) Decision {
	id.Revision = a.Revision
	d := Decision{ID: id, At: now}
	switch {
	case !a.Known:
		d.Verdict.Outcome = Unknown
	case lost:
		d.Verdict.Outcome = KeptLostTime
	case x.refutes.holding(now):
		d.Verdict.Outcome = KeptHolding
	default:
		b := Bounds{Asked: asked, Life: a.Life, HasLife: a.HasLife, Unregistered: a.Unregistered}
		d.Verdict, d.Effects = x.tables.Judge(id, b)
		d.Final = final(d.Verdict, b, now)
	}
	return d
}

// final says that no other proof of the same revision can lead to an eviction here. Whatever registers after this
// moment registered after the departure, so only the registration that was judged matters, and for it only the
// comparisons that the question's way to the origin made worse than the truth.
func final(v Verdict, b Bounds, now clock.Stamp) bool {
	slack := -(now.Age(b.Asked) + (b.Life+b.Unregistered)/100 + time.Millisecond)
	switch v.Outcome {
	case KeptYoungerConn:
		return v.LifeMargin < slack
	case KeptNewerRegister:
		return v.RegisterMargin < slack
	}
	return true
}

// remember keeps the newest decision on each tombstone, so that a repeated hint is answered without another pull.
func (x *Exchange) remember(d Decision) {
	d.Effects = nil // they are carried out once
	x.counters.Decided[d.Verdict.Outcome]++
	if d.Verdict.Outcome == Evicted {
		x.refutes.evicted(d)
	}
	r := d.ID.anyRevision()
	if _, known := x.decided[r]; known {
		x.history = slices.DeleteFunc(x.history, func(o ID) bool { return o == r })
	} else if len(x.history) >= maxDecisions {
		x.forgetOldestDecision()
	}
	x.history = append(x.history, r)
	x.decided[r] = d
}

func (x *Exchange) forgetOldestDecision() {
	delete(x.decided, x.history[0])
	x.history = x.history[1:]
}

func compareDecisions(a, b Decision) int {
	return cmp.Or(cmp.Compare(a.At.Boot, b.At.Boot), cmp.Compare(a.ID.Origin.Name, b.ID.Origin.Name),
		cmp.Compare(a.ID.Seq, b.ID.Seq))
}

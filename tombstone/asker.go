package tombstone

import (
	"cmp"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// maxMergeReports bounds the reports that this node sends at once because of one push/pull. The next push/pull brings the
// remaining ids again.
const maxMergeReports = 16 * maxReports

// pullID is a tombstone of another node that this node holds a registration for, so that it has to ask the origin.
type pullID struct {
	id    ID          // with the newest revision hinted
	since clock.Stamp // when this node was first told of it
}

// pullBatch is one Pull that was sent and is not answered yet.
type pullBatch struct {
	schedule
	origin *member
	ids    []*pullID
	nonces []uint64 // of its tries, all outstanding until it is closed
}

// find is the index of the id with that sequence number, or -1.
func (b *pullBatch) find(seq uint64) int {
	return slices.IndexFunc(b.ids, func(w *pullID) bool { return w.id.Seq == seq })
}

// receiveHints handles the ids of a HINT or a push/pull. For an id whose key is not held here, this node reports that to the
// origin at once. For one that is held, this node asks the origin. It sends at most maxSay reports.
func (x *Exchange) receiveHints(h Hint, maxSay int, now clock.Stamp, out *Output) {
	say := map[*member][]Report{}
	var origins []*member
	said := 0
	for _, id := range h.IDs {
		m := x.members[id.Origin]
		if m == nil || !m.up {
			x.counters.HintsUnknownOrigin++ // this node itself, a former life of a member, or one that cannot be asked
			continue
		}
		r, ok := x.reportAtOnce(id)
		if !ok {
			x.queuePull(m, id, now)
		} else if said < maxSay {
			said++
			say[m] = append(say[m], r)
		}
		if !slices.Contains(origins, m) {
			origins = append(origins, m)
		}
	}
	for _, m := range origins {
		x.report(m, say[m], h.Stream, out)
		x.startPulls(m, now, out)
	}
}

// reportAtOnce is the report about id, if this node can give one without asking the origin.
func (x *Exchange) reportAtOnce(id ID) (Report, bool) {
	d, known := x.decided[id.anyRevision()]
	if known && d.Final && (d.ID.Revision >= id.Revision || !needsLife(d.Verdict.Outcome)) {
		return Report{Seq: id.Seq, Revision: min(id.Revision, d.ID.Revision), Outcome: d.Verdict.Outcome}, true
	}
	if !x.tables.Holds(id.Key) {
		return Report{Seq: id.Seq, Revision: id.Revision, Outcome: NotHeld}, true
	}
	return Report{}, false
}

// queuePull puts id on top of the ids that m will be asked for.
func (x *Exchange) queuePull(m *member, id ID, since clock.Stamp) {
	if w := x.asking[id.anyRevision()]; w != nil {
		w.id.Revision = max(w.id.Revision, id.Revision)
		return
	}
	if len(m.toPull) >= maxWanted {
		x.counters.WantedDropped++
		delete(x.asking, m.toPull[0].id.anyRevision())
		m.toPull = m.toPull[1:]
	}
	w := &pullID{id: id, since: since}
	x.asking[id.anyRevision()] = w
	m.toPull = append(m.toPull, w)
}

// report sends DONEs to the origin m, each with at most maxReports reports.
func (x *Exchange) report(m *member, reports []Report, stream bool, out *Output) {
	for part := range slices.Chunk(reports, maxReports) {
		d := Done{From: x.self, Boot: m.Boot, Reports: part}
		x.send(out, Packet{To: m.Peer, Path: Datagram, Msg: d})
		if stream {
			x.send(out, Packet{To: m.Peer, Path: Stream, Msg: d})
		}
	}
}

// startPulls sends new PULLs to m, newest ids first, while its window has room.
func (x *Exchange) startPulls(m *member, now clock.Stamp, out *Output) {
	for len(m.pulls) < maxWindow && len(m.toPull) > 0 {
		b := &pullBatch{origin: m}
		size := 0
		for len(b.ids) < maxBatch && len(m.toPull) > 0 {
			w := m.toPull[len(m.toPull)-1]
			if size += w.id.Size(); size > maxID || b.find(w.id.Seq) >= 0 {
				break // sequence numbers tell answers apart, and a member that lies may have used one twice
			}
			b.ids = append(b.ids, w)
			m.toPull = m.toPull[:len(m.toPull)-1]
		}
		if x.sendPull(b, now, out) {
			m.pulls = append(m.pulls, b)
			x.markBusy(m)
		}
	}
}

// sendPull sends one try of b to the origin, with a nonce and a t0 of its own. It returns false when it has closed b.
func (x *Exchange) sendPull(b *pullBatch, now clock.Stamp, out *Output) bool {
	var gone []Report
	b.ids = slices.DeleteFunc(b.ids, func(w *pullID) bool {
		r, ok := x.reportAtOnce(w.id)
		if ok {
			gone = append(gone, r)
			delete(x.asking, w.id.anyRevision())
		}
		return ok
	})
	x.report(b.origin, gone, b.reliable, out)
	packets, stream := 0, false
	if len(b.ids) > 0 {
		packets, stream = b.step(now)
	}
	if packets == 0 {
		x.counters.PullsUnanswered += uint64(len(b.ids))
		b.origin.givenUp.add(now, nil, b.ids)
		x.closePull(b)
		return false
	}
	p := Pull{From: x.self, Nonce: x.ask(b, now)}
	for _, w := range b.ids {
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

// ask notes one try of b and returns its nonce.
func (x *Exchange) ask(b *pullBatch, now clock.Stamp) uint64 {
	if x.flaw == FlawT0Overwritten && len(b.nonces) > 0 {
		x.tries.Drop(b.nonces[0])
		return x.tries.Ask(func() uint64 { return b.nonces[0] }, b, now)
	}
	n := x.tries.Ask(x.nonce, b, now)
	b.nonces = append(b.nonces, n)
	return n
}

func (x *Exchange) closePull(b *pullBatch) {
	for _, n := range b.nonces {
		x.tries.Drop(n)
	}
	for _, w := range b.ids {
		delete(x.asking, w.id.anyRevision())
	}
	b.ids, b.nonces = nil, nil
}

func (x *Exchange) retryPulls(m *member, now clock.Stamp, out *Output) {
	m.pulls = slices.DeleteFunc(m.pulls, func(b *pullBatch) bool { return b.isDue(&x.pace, now) && !x.sendPull(b, now, out) })
	x.startPulls(m, now, out)
}

// receiveProof handles an origin's answer to a PULL. The answer counts only while its question is open, once, and only when it
// comes from the very life of the member that was asked.
func (x *Exchange) receiveProof(m *member, p Proof, now clock.Stamp, out *Output) {
	b, asked, ok := x.tries.Take(p.Nonce, func(b *pullBatch) bool { return b.origin == m })
	if !ok {
		x.counters.RefusedNonce++
		return
	}
	if !b.reliable { // how long an answer by stream takes says nothing about packets
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
		w := b.ids[i]
		d := x.decide(w.id, a, asked, lost, now)
		if needsLife(d.Verdict.Outcome) && a.Revision < w.id.Revision {
			continue // the origin wrote this before it had the late proof: the next try brings that
		}
		reports = append(reports, Report{Seq: a.Seq, Revision: a.Revision, Outcome: d.Verdict.Outcome})
		b.ids = slices.Delete(b.ids, i, i+1)
		delete(x.asking, w.id.anyRevision())
		x.keep(d)
		out.Decisions = append(out.Decisions, d)
	}
	x.report(m, reports, b.reliable, out)
	if len(b.ids) == 0 {
		m.byStream = b.reliable
		x.closePull(b)
		m.pulls = slices.DeleteFunc(m.pulls, func(o *pullBatch) bool { return o == b })
	}
	x.startPulls(m, now, out)
}

// decide lets the tables judge one answer, unless the ages cannot be believed or evictions are on hold.
func (x *Exchange) decide(id ID, a Answer, asked clock.Stamp, lost bool, now clock.Stamp) Decision {
	id.Revision = a.Revision
	d := Decision{ID: id, At: now}
	switch {
	case !a.Known:
		d.Verdict.Outcome = Unknown
	case lost:
		d.Verdict.Outcome = KeptLostTime
	case x.check.holding(id, now):
		d.Verdict.Outcome = KeptHolding
	default:
		b := Bounds{Asked: asked, Life: a.Life, HasLife: a.HasLife, Unregistered: a.Unregistered}
		d.Verdict, d.Effects = x.tables.Judge(id, b)
		d.Final = final(d.Verdict, b, now)
	}
	return d
}

// final says that no other proof of the same revision can lead to an eviction here. A broker that registers after this
// moment has registered after the departure. So only the registration that was judged matters. For that one, another
// proof can change a comparison only by the time that this question took on its way to the origin.
func final(v Verdict, b Bounds, now clock.Stamp) bool {
	slack := -(now.Age(b.Asked) + (b.Life+b.Unregistered)/100 + time.Millisecond)
	switch v.Outcome {
	case KeptYoungerConn:
		return v.LifeMargin < slack
	case CameBack:
		return v.RegisterMargin < slack
	}
	return true
}

// keep stores the newest decision on each tombstone, so that this node answers a repeated HINT without another PULL.
func (x *Exchange) keep(d Decision) {
	d.Effects = nil // the shell carries them out once
	x.counters.Decided[d.Verdict.Outcome]++
	if d.Verdict.Took() {
		x.check.evicted(d)
	}
	r := d.ID.anyRevision()
	if _, known := x.decided[r]; known {
		x.history = slices.DeleteFunc(x.history, func(o ID) bool { return o == r })
	} else if len(x.history) >= maxDecisions {
		x.dropOldestDecision()
	}
	x.history = append(x.history, r)
	x.decided[r] = d
}

func (x *Exchange) dropOldestDecision() {
	delete(x.decided, x.history[0])
	x.history = x.history[1:]
}

func compareDecisions(a, b Decision) int {
	return cmp.Or(cmp.Compare(a.At.Boot, b.At.Boot), cmp.Compare(a.ID.Origin.Name, b.ID.Origin.Name),
		cmp.Compare(a.ID.Seq, b.ID.Seq))
}

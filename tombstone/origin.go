package tombstone

import (
	"math"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// own is a tombstone that this node made.
type own struct {
	id   ID
	u    clock.Stamp
	life clock.Stamp // L; zero: no proof of life (yet)
	late bool        // L may be raised by the acknowledged reply
	told []told      // what is known of each member, in the order of asking
}

// told is what one member has made of one own tombstone.
type told struct {
	m        *member
	state    state
	outcome  Outcome       // with state reported
	revision uint8         // newest revision it has pulled or reported
	after    time.Duration // from U to its newest answer
}

type state uint8

const (
	hinting  state = iota // not answered: in its queue, in a batch under way, or given up
	pulling               // it asked for proof
	reported              // it said what it did
)

// hintBatch is one Hint under way: its ids are looked up again at every try.
type hintBatch struct {
	schedule
	seqs []uint64
}

// Made turns a departure into a tombstone of this node and tells the members at once. It answers the id for
// LateProof, or why there is none. The newest acknowledged write must have been looked up before the UNREGISTER's
// reply was written.
func (x *Exchange) Made(d Departure, now clock.Stamp) (ID, NotMade, Output) {
	var out Output
	id := ID{Key: d.Key, Identity: d.Identity, Origin: x.self, Seq: x.seq + 1}
	id.RemoteIP = id.RemoteIP.Unmap()
	why := x.mayMake(d, id, now)
	x.counters.Made[why]++
	if why != Made {
		return ID{}, why, out
	}
	x.seq++
	if len(x.own) >= MaxLive {
		x.counters.Capped++
		x.dropOldestOwn()
	}
	o := &own{id: id, u: d.Unregistered, life: d.Life, late: d.LateProof || x.flaw == FlawLateProofForAll}
	x.own[id.Seq] = o
	x.latest[id.Key] = o
	at := len(x.byAge) // U is stamped by readers, so the newest one made is nearly the newest
	for at > 0 && x.byAge[at-1].u.Boot > o.u.Boot {
		at--
	}
	x.byAge = slices.Insert(x.byAge, at, o)
	x.tell(o, now, &out)
	return id, Made, out
}

func (x *Exchange) mayMake(d Departure, id ID, now clock.Stamp) NotMade {
	switch {
	case d.Unregistered.IsZero() || id.valid() != nil && !id.RemoteIP.IsValid():
		return NoStamp
	case id.valid() != nil:
		return TooLong
	case now.Age(d.Unregistered) > TTL:
		return TooOld
	}
	return x.making.allow(id.RemoteIP, now)
}

// tell hints o to every member, or to some random ones and by gossip when there are too many.
func (x *Exchange) tell(o *own, now clock.Stamp, out *Output) {
	direct := x.order
	if x.up > maxDirect {
		direct = x.someMembers(int(math.Sqrt(float64(x.up))) + 16)
		x.send(out, Packet{Path: Queue, Msg: Hint{From: x.self, IDs: []ID{o.id}}})
	}
	for _, m := range direct {
		if !m.up || o.settled(m) {
			continue
		}
		t := o.about(m)
		t.state = hinting
		m.queue(o.id.Seq)
		x.flushHints(m, now, out)
	}
}

// someMembers picks n present members at random.
func (x *Exchange) someMembers(n int) []*member {
	all := slices.Clone(x.order)
	all = slices.DeleteFunc(all, func(m *member) bool { return !m.up })
	for i := range min(n, len(all)) {
		j := i + int(x.nonce()%uint64(len(all)-i))
		all[i], all[j] = all[j], all[i]
	}
	return all[:min(n, len(all))]
}

// LateProof raises L of the tombstone id to life, the stamp of the UNREGISTER's own reply, which the broker's open
// socket has acknowledged. Those who may have kept the registration for want of it are hinted again. It does
// nothing unless the broker's kind allows it (Departure.LateProof).
func (x *Exchange) LateProof(id ID, life, now clock.Stamp) Output {
	var out Output
	o := x.own[id.Seq]
	if o == nil || o.id.anyRevision() != id.anyRevision() || !o.late || o.id.Revision > 0 || life.IsZero() {
		return out
	}
	x.counters.LateProofs++
	o.life, o.id.Revision = life, 1
	x.tell(o, now, &out)
	return out
}

// LocalIDs are the ids of this node's live tombstones for a push/pull, newest first, of at most size bytes.
func (x *Exchange) LocalIDs(size int, now clock.Stamp) []ID {
	var ids []ID
	for _, o := range slices.Backward(x.byAge) {
		if size -= o.id.Size(); size < 0 {
			break
		}
		if o.live(now) {
			ids = append(ids, o.id)
		}
	}
	return ids
}

// pulled answers a question, for every id with the ages of this moment. Whoever asks needs no more hints.
func (x *Exchange) pulled(m *member, p Pull, now clock.Stamp, out *Output) {
	if p.IDs[0].Origin != x.self {
		x.counters.RefusedOrigin++
		return
	}
	proof := Proof{From: x.self, Clock: now, Nonce: p.Nonce}
	for _, id := range p.IDs {
		o := x.own[id.Seq]
		if o == nil || o.id.anyRevision() != id.anyRevision() || !o.live(now) {
			proof.Answers = append(proof.Answers, Answer{Seq: id.Seq})
			continue
		}
		a := Answer{Seq: id.Seq, Known: true, Revision: o.id.Revision, Unregistered: microseconds(now.Age(o.u))}
		if !o.life.IsZero() {
			a.HasLife, a.Life = true, microseconds(now.Age(o.life))
		}
		proof.Answers = append(proof.Answers, a)
		if t := o.about(m); t.state == hinting {
			t.state, t.revision, t.after = pulling, o.id.Revision, now.Sub(o.u)
		}
	}
	x.send(out, Packet{To: m.Peer, Path: Datagram, Msg: proof})
	if p.Stream {
		x.send(out, Packet{To: m.Peer, Path: Stream, Msg: proof})
	}
	x.answered(m, now, out)
}

// reported takes down what a member did.
func (x *Exchange) reported(m *member, d Done, now clock.Stamp, out *Output) {
	if d.Boot != x.self.Boot {
		x.counters.RefusedOrigin++
		return
	}
	for _, r := range d.Reports {
		o := x.own[r.Seq]
		if o == nil || r.Revision > o.id.Revision {
			continue
		}
		o.report(m, r, now)
		if r.Outcome == NotHeld { // at this moment, so that it answers for a newer tombstone of that key as well
			x.goneAt(m, o.id.Key, NotHeld, now)
		}
	}
	x.answered(m, now, out)
}

// report keeps the most telling answer: an eviction stays one when a repeated hint found nothing, and an answer to
// an older revision does not end the hints of a newer one.
func (o *own) report(m *member, r Report, now clock.Stamp) {
	t := o.about(m)
	if t.state == reported && (t.outcome == Evicted || r.Revision < t.revision || r.Outcome == t.outcome) {
		t.revision = max(t.revision, r.Revision)
		return
	}
	late := needsLife(r.Outcome) && r.Revision < o.id.Revision
	if late && t.state == hinting {
		return // its queue holds the newer revision
	}
	*t = told{m: m, state: reported, outcome: r.Outcome, revision: r.Revision, after: now.Sub(o.u)}
}

// goneAt says that m has itself seen a departure of k since U: nothing more is to be told to it about k.
func (x *Exchange) goneAt(m *member, k Key, as Outcome, now clock.Stamp) {
	o := x.latest[k]
	if o == nil {
		return
	}
	if t := o.about(m); t.state != reported {
		*t = told{m: m, state: reported, outcome: as, revision: o.id.Revision, after: now.Sub(o.u)}
	}
}

// needsLife says that a newer proof of life may turn this outcome into an eviction.
func needsLife(o Outcome) bool { return o == KeptNoLife || o == KeptYoungerConn }

// settled says that nothing this node can say changes what m did.
func (o *own) settled(m *member) bool {
	t := o.find(m)
	return t != nil && t.state == reported && !(needsLife(t.outcome) && t.revision < o.id.Revision)
}

func (o *own) find(m *member) *told {
	for i := range o.told {
		if o.told[i].m == m {
			return &o.told[i]
		}
	}
	return nil
}

func (o *own) about(m *member) *told {
	if t := o.find(m); t != nil {
		return t
	}
	o.told = append(o.told, told{m: m})
	return &o.told[len(o.told)-1]
}

func (o *own) forget(m *member) {
	o.told = slices.DeleteFunc(o.told, func(t told) bool { return t.m == m })
}

func (o *own) live(now clock.Stamp) bool { return now.Age(o.u) <= TTL }

// queue puts a tombstone on top of what waits for m. A member that stays mute keeps the newest only.
func (m *member) queue(seq uint64) {
	if len(m.pending) >= 2*MaxLive {
		m.pending = append(m.pending[:0], m.pending[MaxLive:]...)
	}
	m.pending = append(m.pending, seq)
}

// flushHints starts batches, newest ids first, while the window has room.
func (x *Exchange) flushHints(m *member, now clock.Stamp, out *Output) {
	for len(m.hints) < maxWindow && len(m.pending) > 0 {
		b := &hintBatch{}
		size := 0
		for len(b.seqs) < MaxBatch && len(m.pending) > 0 {
			seq := m.pending[len(m.pending)-1]
			if x.wantsHint(m, seq) && !slices.Contains(b.seqs, seq) && !m.underWay(seq) {
				if size += x.own[seq].id.Size(); size > maxID {
					break
				}
				b.seqs = append(b.seqs, seq)
			}
			m.pending = m.pending[:len(m.pending)-1]
		}
		if x.sendHint(m, b, now, out) {
			m.hints = append(m.hints, b)
			x.begins(m)
		}
	}
}

func (x *Exchange) wantsHint(m *member, seq uint64) bool {
	o := x.own[seq]
	if o == nil {
		return false
	}
	t := o.find(m)
	return t != nil && t.state == hinting
}

func (m *member) underWay(seq uint64) bool {
	return slices.ContainsFunc(m.hints, func(b *hintBatch) bool { return slices.Contains(b.seqs, seq) })
}

// sendHint takes one try of b. It answers false when nothing is left to say or the tries are used up.
func (x *Exchange) sendHint(m *member, b *hintBatch, now clock.Stamp, out *Output) bool {
	b.seqs = slices.DeleteFunc(b.seqs, func(seq uint64) bool { return !x.wantsHint(m, seq) })
	if len(b.seqs) == 0 {
		return false
	}
	packets, stream := b.step(now)
	if packets == 0 {
		x.counters.HintsUnanswered += uint64(len(b.seqs))
		m.rest.giveUp(now, b.seqs, nil)
		return false
	}
	h := Hint{From: x.self}
	for _, seq := range b.seqs {
		h.IDs = append(h.IDs, x.own[seq].id)
	}
	for range packets {
		x.send(out, Packet{To: m.Peer, Path: Datagram, Msg: h})
	}
	if stream {
		h.Stream = true
		x.send(out, Packet{To: m.Peer, Path: Stream, Msg: h})
	}
	return true
}

// answered closes the batches that m's answer has made empty and starts the next.
func (x *Exchange) answered(m *member, now clock.Stamp, out *Output) {
	m.hints = slices.DeleteFunc(m.hints, func(b *hintBatch) bool {
		empty := !slices.ContainsFunc(b.seqs, func(seq uint64) bool { return x.wantsHint(m, seq) })
		if empty {
			m.byStream = b.reliable
		}
		return empty
	})
	x.flushHints(m, now, out)
}

func (x *Exchange) retryHints(m *member, now clock.Stamp, out *Output) {
	m.hints = slices.DeleteFunc(m.hints, func(b *hintBatch) bool { return b.isDue(&x.pace, now) && !x.sendHint(m, b, now, out) })
	x.flushHints(m, now, out)
}

func (x *Exchange) expireOwn(now clock.Stamp) {
	for len(x.byAge) > 0 && !x.byAge[0].live(now) {
		x.counters.Expired++
		x.dropOldestOwn()
	}
}

func (x *Exchange) dropOldestOwn() {
	o := x.byAge[0]
	x.byAge[0] = nil
	x.byAge = x.byAge[1:]
	delete(x.own, o.id.Seq)
	if x.latest[o.id.Key] == o {
		delete(x.latest, o.id.Key)
	}
}

// microseconds rounds an upper bound up.
func microseconds(d time.Duration) time.Duration {
	return max(0, (d + time.Microsecond - 1).Truncate(time.Microsecond))
}

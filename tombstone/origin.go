package tombstone

import (
	"math"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// own is a tombstone that this node made.
type own struct {
	id       ID
	from     *int // how many live tombstones its source has
	long     bool // of a broker that was known for KnownLong
	u        clock.Stamp
	life     clock.Stamp // L; zero: no proof of life (yet)
	late     bool        // the acknowledged reply may raise L
	progress []progress  // what is known of each member, in the order of asking
}

// progress is how far one member is with one tombstone of this node.
type progress struct {
	m        *member
	state    state
	outcome  Outcome       // with state reported
	revision uint8         // newest revision it has pulled or reported
	after    time.Duration // from U to its newest answer
}

type state uint8

const (
	hinting  state = iota // it has not answered: the id waits for it, is in a batch under way, or was given up
	pulling               // it asked for proof
	reported              // it said what it did
)

// hintBatch is one Hint that was sent and is not answered yet. Every try looks its ids up again.
type hintBatch struct {
	schedule
	seqs []uint64
}

// Departed makes a tombstone of a departure and hints it to the members at once. It returns the id for LateProof, or the
// reason why there is none. The shell must have looked up the newest acknowledged write before it wrote the reply to the
// UNREGISTER.
func (x *Exchange) Departed(d Departure, now clock.Stamp) (ID, NotMade, Output) {
	var out Output
	id := ID{Key: d.Key, Identity: d.Identity, Origin: x.self, Seq: x.seq + 1}
	id.RemoteIP = id.RemoteIP.Unmap()
	why := x.mayMake(d, id, now)
	x.counters.Made[why]++
	if why != Made {
		return ID{}, why, out
	}
	x.seq++
	if len(x.own) >= maxLive {
		x.counters.Capped++
		x.makeRoom()
	}
	from := sourceOf(id.RemoteIP)
	if x.live[from] == nil {
		x.live[from] = new(int)
	}
	o := &own{
		id: id, from: x.live[from], long: d.long(), u: d.Unregistered, life: d.Life, late: d.LateProof || x.flaw == FlawLateProofForAll,
	}
	x.own[id.Seq] = o
	x.latest[id.Key] = o
	*o.from++
	at := len(x.byAge) // connections stamp U, so tombstones are made nearly in the order of their U
	for at > 0 && x.byAge[at-1].u.Boot > o.u.Boot {
		at--
	}
	x.byAge = slices.Insert(x.byAge, at, o)
	x.hintAll(o, now, &out)
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
	return x.making.allow(id.RemoteIP, d.long(), now)
}

// long says that the broker was known for so long that it was not made up for this departure.
func (d *Departure) long() bool { return !d.Since.IsZero() && d.Unregistered.Sub(d.Since) >= KnownLong }

// hintAll hints o to every member. When there are too many, it hints o to some random members and puts it into the gossip
// queue.
func (x *Exchange) hintAll(o *own, now clock.Stamp, out *Output) {
	direct := x.order
	if x.up > maxDirect {
		direct = x.someMembers(int(math.Sqrt(float64(x.up))) + 16)
		x.send(out, Packet{Path: Queue, Msg: Hint{From: x.self, IDs: []ID{o.id}}})
	}
	for _, m := range direct {
		if !m.up || o.settled(m) {
			continue
		}
		t := o.progressOf(m)
		t.state = hinting
		m.queueHint(o.id.Seq)
		x.startHints(m, now, out)
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

// LateProof raises L of the tombstone id to life: the stamp of the reply to the UNREGISTER, which the broker's open socket
// has acknowledged. It hints the members again that may have kept the registration because L was missing or too old. It
// does nothing unless the broker's kind allows it (Departure.LateProof; docs/spec/tombstones.md#late-proof).
func (x *Exchange) LateProof(id ID, life, now clock.Stamp) Output {
	var out Output
	o := x.own[id.Seq]
	if o == nil || o.id.anyRevision() != id.anyRevision() || !o.late || o.id.Revision > 0 || life.IsZero() {
		return out
	}
	x.counters.LateProofs++
	o.life, o.id.Revision = life, 1
	x.hintAll(o, now, &out)
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

// receivePull answers a PULL with a PROOF: for every id the ages of this moment. A member that asks needs no more hints.
func (x *Exchange) receivePull(m *member, p Pull, now clock.Stamp, out *Output) {
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
		if t := o.progressOf(m); t.state == hinting {
			t.state, t.revision, t.after = pulling, o.id.Revision, now.Sub(o.u)
		}
	}
	x.send(out, Packet{To: m.Peer, Path: Datagram, Msg: proof})
	if p.Stream {
		x.send(out, Packet{To: m.Peer, Path: Stream, Msg: proof})
	}
	x.closeAnswered(m, now, out)
}

// receiveDone notes what a member did with tombstones of this node.
func (x *Exchange) receiveDone(m *member, d Done, now clock.Stamp, out *Output) {
	if d.Boot != x.self.Boot {
		x.counters.RefusedOrigin++
		return
	}
	for _, r := range d.Reports {
		o := x.own[r.Seq]
		if o == nil || r.Revision > o.id.Revision {
			continue
		}
		o.note(m, r, now)
		if r.Outcome == NotHeld { // that is true of this moment, so it answers for a newer tombstone of that key, too
			x.sawItGo(m, o.id.Key, NotHeld, now)
		}
	}
	x.closeAnswered(m, now, out)
}

// note keeps the report of m that tells most. What was final stays when a repeated hint later finds something else, a
// registration that goes later was kept all the same, and a report on an older revision does not end the hints of a newer one.
func (o *own) note(m *member, r Report, now clock.Stamp) {
	t := o.progressOf(m)
	if t.state == reported &&
		(told(t.outcome, r.Outcome) || r.Outcome == NotHeld || r.Revision < t.revision || r.Outcome == t.outcome) {
		t.revision = max(t.revision, r.Revision)
		return
	}
	late := needsLife(r.Outcome) && r.Revision < o.id.Revision
	if late && t.state == hinting {
		return // the newer revision waits to be hinted to m
	}
	*t = progress{m: m, state: reported, outcome: r.Outcome, revision: r.Revision, after: now.Sub(o.u)}
}

// told says that a member which did first has told all of what it did, whatever it says then. A registration that came back
// can still turn out to have come before the departure: then it is evicted.
func told(first, then Outcome) bool {
	switch first {
	case Evicted, NotHeld, SawItself:
		return true
	case CameBack:
		return then != Evicted
	}
	return false
}

// sawItGo notes that m itself saw a departure of k after U: this node tells m no more about k.
func (x *Exchange) sawItGo(m *member, k Key, as Outcome, now clock.Stamp) {
	o := x.latest[k]
	if o == nil {
		return
	}
	if t := o.progressOf(m); t.state != reported {
		*t = progress{m: m, state: reported, outcome: as, revision: o.id.Revision, after: now.Sub(o.u)}
	}
}

// needsLife says that a newer proof of life may turn this outcome into an eviction.
func needsLife(o Outcome) bool { return o == KeptNoLife || o == KeptYoungerConn }

// settled says that no message of this node can change what m did.
func (o *own) settled(m *member) bool {
	t := o.lookUp(m)
	return t != nil && t.state == reported && !(needsLife(t.outcome) && t.revision < o.id.Revision)
}

func (o *own) lookUp(m *member) *progress {
	for i := range o.progress {
		if o.progress[i].m == m {
			return &o.progress[i]
		}
	}
	return nil
}

func (o *own) progressOf(m *member) *progress {
	if t := o.lookUp(m); t != nil {
		return t
	}
	o.progress = append(o.progress, progress{m: m})
	return &o.progress[len(o.progress)-1]
}

func (o *own) drop(m *member) {
	o.progress = slices.DeleteFunc(o.progress, func(t progress) bool { return t.m == m })
}

func (o *own) live(now clock.Stamp) bool { return now.Age(o.u) <= TTL }

// queueHint puts a tombstone on top of those that will be hinted to m. For a member that stays mute only the newest wait.
func (m *member) queueHint(seq uint64) {
	if len(m.toHint) >= 2*maxLive {
		m.toHint = append(m.toHint[:0], m.toHint[maxLive:]...)
	}
	m.toHint = append(m.toHint, seq)
}

// startHints sends new HINTs to m, newest ids first, while its window has room.
func (x *Exchange) startHints(m *member, now clock.Stamp, out *Output) {
	for len(m.hints) < maxWindow && len(m.toHint) > 0 {
		b := &hintBatch{}
		size := 0
		for len(b.seqs) < maxBatch && len(m.toHint) > 0 {
			seq := m.toHint[len(m.toHint)-1]
			if x.needsHint(m, seq) && !slices.Contains(b.seqs, seq) && !m.underWay(seq) {
				if size += x.own[seq].id.Size(); size > maxID {
					break
				}
				b.seqs = append(b.seqs, seq)
			}
			m.toHint = m.toHint[:len(m.toHint)-1]
		}
		if x.sendHint(m, b, now, out) {
			m.hints = append(m.hints, b)
			x.markBusy(m)
		}
	}
}

func (x *Exchange) needsHint(m *member, seq uint64) bool {
	o := x.own[seq]
	if o == nil {
		return false
	}
	t := o.lookUp(m)
	return t != nil && t.state == hinting
}

func (m *member) underWay(seq uint64) bool {
	return slices.ContainsFunc(m.hints, func(b *hintBatch) bool { return slices.Contains(b.seqs, seq) })
}

// sendHint sends one try of b to m. It returns false when m has answered for every id, or the tries are used up.
func (x *Exchange) sendHint(m *member, b *hintBatch, now clock.Stamp, out *Output) bool {
	b.seqs = slices.DeleteFunc(b.seqs, func(seq uint64) bool { return !x.needsHint(m, seq) })
	if len(b.seqs) == 0 {
		return false
	}
	packets, stream := b.step(now)
	if packets == 0 {
		x.counters.HintsUnanswered += uint64(len(b.seqs))
		m.givenUp.add(now, b.seqs, nil)
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

// closeAnswered closes the batches whose ids m has answered, all of them, and sends the next HINTs.
func (x *Exchange) closeAnswered(m *member, now clock.Stamp, out *Output) {
	m.hints = slices.DeleteFunc(m.hints, func(b *hintBatch) bool {
		empty := !slices.ContainsFunc(b.seqs, func(seq uint64) bool { return x.needsHint(m, seq) })
		if empty {
			m.byStream = b.reliable
		}
		return empty
	})
	x.startHints(m, now, out)
}

func (x *Exchange) retryHints(m *member, now clock.Stamp, out *Output) {
	m.hints = slices.DeleteFunc(m.hints, func(b *hintBatch) bool { return b.isDue(&x.pace, now) && !x.sendHint(m, b, now, out) })
	x.startHints(m, now, out)
}

func (x *Exchange) expireOwn(now clock.Stamp) {
	for len(x.byAge) > 0 && !x.byAge[0].live(now) {
		x.counters.Expired++
		x.dropOwn(0)
	}
}

// makeRoom drops the tombstone with the oldest U of a source that has many and a broker that was not known for long; if there
// is none, the oldest.
func (x *Exchange) makeRoom() {
	x.dropOwn(max(0, slices.IndexFunc(x.byAge, func(o *own) bool { return !o.long && *o.from > maxFew })))
}

func (x *Exchange) dropOwn(i int) {
	o := x.byAge[i]
	if i == 0 {
		x.byAge[0] = nil
		x.byAge = x.byAge[1:]
	} else {
		x.byAge = slices.Delete(x.byAge, i, i+1)
	}
	if *o.from--; *o.from == 0 {
		delete(x.live, sourceOf(o.id.RemoteIP))
	}
	delete(x.own, o.id.Seq)
	if x.latest[o.id.Key] == o {
		delete(x.latest, o.id.Key)
	}
}

// microseconds rounds an upper bound up.
func microseconds(d time.Duration) time.Duration {
	return max(0, (d + time.Microsecond - 1).Truncate(time.Microsecond))
}

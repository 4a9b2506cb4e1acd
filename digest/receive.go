package digest

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/order"
)

// Receive takes a message of another member. Who is no living member is not answered.
func (l *Ledger) Receive(m Message, now clock.Stamp) (out []Packet, answers []Answer) {
	if m.Valid() != nil {
		l.counters.RefusedMalformed++
		return nil, nil
	}
	p := l.peers[m.Sender()]
	if p == nil {
		l.counters.RefusedSender++
		return nil, nil
	}
	switch m := m.(type) {
	case *Summary:
		l.counters.SummariesReceived++
		return l.summarized(p, m, now), nil
	case *Compare:
		l.counters.ComparesReceived++
		return l.answer(p, m, now), nil
	case *Items:
		l.counters.ItemsReceived++
		return l.answered(p, m, now)
	}
	return nil, nil
}

func (l *Ledger) summarized(p *peer, m *Summary, now clock.Stamp) (out []Packet) {
	first := !p.heard
	if m.Age < p.last.Age {
		return nil // overtaken on the way
	}
	if l.under(m.Secret) == nil {
		l.counters.RefusedSecret++
		return nil // it was sent with a key that this node has no more
	}
	if m.Wish != p.last.Wish {
		l.tellSoon(now) // it waits for an answer
	}
	p.heard, p.last, p.at = true, *m, now
	l.look(p, now)
	if m.Reply && (p.replied.IsZero() || now.Sub(p.replied) >= streamEvery/2) {
		p.replied = now
		out = l.send(out, Packet{To: p.Peer, Msg: l.summary(p, false, now), Stream: true})
	}
	// What was sent to it when it came up may have arrived before it knew this node.
	if first && now.Sub(l.started) < YoungAge || first && m.Age < YoungAge {
		out = l.send(out, Packet{To: p.Peer, Msg: l.summary(p, false, now)})
	}
	return out
}

// answer sends the items of the buckets that differ, whole buckets only, as many as are allowed.
func (l *Ledger) answer(p *peer, m *Compare, now clock.Stamp) (out []Packet) {
	set := l.under(m.Secret)
	if set == nil {
		l.counters.RefusedSecret++
		return nil
	}
	if m.Subject != Brokers {
		if !l.allow(partsASec/4, now) { // walks much: four of these a second
			return nil
		}
		set = newSet(byKey(l.cfg.Source.Items(m.Subject, m.Name)), set.secret)
	}
	sums := m.sums()
	limit, stream := MaxMessage, m.Stream || l.cfg.Open
	if stream {
		limit = MaxStream
	}
	differ := set.differing(&sums, m.Mask)
	parts, covered, skipped := l.pack(set, differ, limit)
	if m.Subject == Brokers && !l.allow(len(parts), now) {
		return nil
	}
	for i, items := range parts {
		out = l.send(out, Packet{To: p.Peer, Stream: stream, Msg: &Items{
			From: l.cfg.Self, Nonce: m.Nonce, Equal: m.Mask &^ differ, Covered: covered, Skipped: skipped, Root: set.Root(),
			Part: uint8(i), Parts: uint8(len(parts)), Items: items,
		}})
	}
	return out
}

// allow takes n parts of the budget for answers.
func (l *Ledger) allow(n int, now clock.Stamp) bool {
	allowed := l.parts.AllowN(time.Unix(0, now.Boot), n)
	if !allowed {
		l.counters.Limited++
	}
	return allowed
}

// Bytes of what is encoded beside strings, at most.
const (
	itemBytes = 80
	headBytes = 96
)

// pack puts the items of differing buckets into parts of at most limit bytes. Those buckets that are left out are
// neither covered nor skipped, and will be asked for again.
func (l *Ledger) pack(set *Set, differ uint64, limit int) (parts [][]Item, covered, skipped uint64) {
	room := limit - headBytes - len(l.cfg.Self.Name)
	byBucket := make([][]Item, buckets)
	for k, i := range set.items {
		if b := bucketOf(k.hash(&set.secret)); differ&(1<<b) != 0 {
			byBucket[b] = append(byBucket[b], i)
		}
	}
	parts = [][]Item{nil}
	used := 0
	for b, items := range byBucket {
		if differ&(1<<b) == 0 {
			continue
		}
		// In order, so that two answers to one question have the same parts: a packet may come twice.
		order.By(items, func(x, y Item) int { return compareKeys(&x.Key, &y.Key) })
		next, nextUsed := append([][]Item(nil), parts...), used
		for _, i := range items {
			size := itemBytes + i.size()
			if nextUsed+size > room {
				next, nextUsed = append(next, nil), 0
			}
			last := len(next) - 1
			next[last], nextUsed = append(next[last][:len(next[last]):len(next[last])], i), nextUsed+size
		}
		switch {
		case len(next) <= maxParts:
			parts, used = next, nextUsed
			covered |= 1 << b
		case covered == 0: // not even alone
			skipped |= 1 << b
			l.counters.Limited++
		default:
			return parts, covered, skipped
		}
	}
	return parts, covered, skipped
}

// answered takes one part of an answer; the last one to come ends the try.
func (l *Ledger) answered(p *peer, m *Items, now clock.Stamp) (out []Packet, answers []Answer) {
	if a := l.asks[m.Nonce]; a != nil && a.peer == p.Peer {
		return nil, l.askAnswered(a, m)
	}
	r := p.round
	if r == nil || r.nonce != m.Nonce {
		l.counters.RefusedNonce++
		return nil, nil
	}
	if !r.take(m) {
		return nil, nil
	}
	l.apply(p, r, now)
	r.mixed = r.mixed || r.ownRoot != l.with(p).Root() || r.answers > 0 && r.itsRoot != m.Root
	r.itsRoot = m.Root
	r.answers++
	answered := r.got[0].Equal | r.got[0].Covered | r.got[0].Skipped
	r.remaining &^= answered
	if r.remaining != 0 && answered != 0 {
		r.tries = 0
		return l.compare(out, p, now), nil
	}
	p.round, p.compared, p.known = nil, true, !r.mixed
	p.ownRoot, p.itsRoot, p.last.Root = r.ownRoot, m.Root, m.Root
	l.look(p, now)
	return out, nil
}

// take keeps a part; true says that it was the last one missing.
func (r *round) take(m *Items) bool {
	if r.got == nil {
		r.got = make([]*Items, m.Parts)
	}
	if len(r.got) != int(m.Parts) || r.got[m.Part] != nil {
		return false
	}
	for _, other := range r.got {
		if other != nil && (other.Root != m.Root || other.Covered != m.Covered || other.Equal != m.Equal || other.Skipped != m.Skipped) {
			return false // of another answer to the same question; the next try has a nonce of its own
		}
	}
	r.got[m.Part] = m
	r.have++
	return r.have == len(r.got)
}

// apply notes what differs in the buckets that were answered, and drops what differed there before.
func (l *Ledger) apply(p *peer, r *round, now clock.Stamp) {
	equal, covered := r.got[0].Equal, r.got[0].Covered
	theirs := map[Key]Item{}
	for _, part := range r.got {
		for _, i := range part.Items {
			if covered&(1<<bucketOf(i.Key.hash(&r.secret))) != 0 && len(theirs) < maxItems {
				theirs[i.Key] = i
			}
		}
	}
	fresh := map[Key]*difference{}
	note := func(k Key, d difference) {
		d.since, d.late = now, p.compared
		if before := p.diffs[k]; before != nil {
			d.since, d.late = before.since, before.late
		}
		fresh[k] = &d
	}
	for k, i := range theirs {
		if mine, ok := l.own[k]; !ok || !mine.same(&i) {
			note(k, difference{item: i, has: true})
		}
	}
	for k := range l.with(p).items {
		// What a member that cannot compare all of its own does not name, it may hold all the same.
		if _, has := theirs[k]; !has && p.last.Skipped == 0 && covered&(1<<bucketOf(k.hash(&r.secret))) != 0 {
			note(k, difference{})
		}
	}
	for k := range p.diffs {
		if (equal|covered)&(1<<bucketOf(k.hash(&r.secret))) != 0 {
			delete(p.diffs, k)
		}
	}
	for k, d := range fresh {
		if len(p.diffs) < maxItems {
			p.diffs[k] = d
		}
	}
}

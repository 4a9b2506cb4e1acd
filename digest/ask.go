package digest

import (
	"cmp"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/order"
)

// ask is a question of a person: what differs in a subject that is not gossiped.
type ask struct {
	peer  Peer
	asked clock.Stamp
	own   *Set
	round round
}

// Delta is one key of a subject that differs, or that only one of the two has.
type Delta struct {
	Key
	Here, There bool
}

// Answer ends an Ask.
type Answer struct {
	Nonce  uint64
	Deltas []Delta // sorted by key
	Cut    bool    // there are more
}

// Ask compares a subject with a member, by stream. The answer comes from Receive under the nonce, or not at all. It is
// false when the member is not there or too many questions are under way.
func (l *Ledger) Ask(p Peer, subject Subject, name string, now clock.Stamp) (nonce uint64, out []Packet, ok bool) {
	if l.peers[p] == nil || len(name) > MaxSubject {
		return 0, nil, false
	}
	if len(l.asks) >= maxAsks {
		l.counters.Limited++
		return 0, nil, false
	}
	a := &ask{peer: p, asked: now, own: newSet(byKey(l.cfg.Source.Items(subject, name)), l.with(l.peers[p]).secret)}
	nonce = l.cfg.Random()
	l.asks[nonce] = a
	all := ^uint64(0)
	return nonce, l.send(nil, Packet{To: p, Stream: true, Msg: &Compare{
		From: l.cfg.Self, Nonce: nonce, Secret: a.own.secret.ID, Subject: subject, Name: name, Stream: true, Mask: all, Sums: pickSums(&a.own.sums, all),
	}}), true
}

func (l *Ledger) askAnswered(a *ask, m *Items) []Answer {
	if !a.round.take(m) {
		return nil
	}
	delete(l.asks, m.Nonce)
	head := a.round.got[0]
	answer := Answer{Nonce: m.Nonce, Cut: head.Equal|head.Covered != ^uint64(0) || a.own.skipped > 0}
	theirs := map[Key]bool{}
	for _, part := range a.round.got {
		for i := range part.Items {
			it := &part.Items[i]
			theirs[it.Key] = true
			if mine, here := a.own.items[it.Key]; !here || mine.Hash != it.Hash {
				answer.Deltas = append(answer.Deltas, Delta{Key: it.Key, Here: here, There: true})
			}
		}
	}
	for k := range a.own.items {
		if head.Covered&(1<<bucketOf(k.hash(&a.own.secret))) != 0 && !theirs[k] {
			answer.Deltas = append(answer.Deltas, Delta{Key: k, Here: true})
		}
	}
	order.By(answer.Deltas, func(x, y Delta) int { return compareKeys(&x.Key, &y.Key) })
	return []Answer{answer}
}

func compareKeys(a, b *Key) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Addr, b.Addr))
}

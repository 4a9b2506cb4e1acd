package vanish

import (
	"net/netip"
	"slices"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/hold"
)

const refutedMany = 3 // refuted evictions that put this node on hold

// eviction is one by this rule.
type eviction struct {
	subject Subject
	at      clock.Stamp
	taken   bool // by the tables; until then nothing has been done that could be refuted
	back    bool
}

// afterwards is what evictions have come to.
type afterwards struct {
	evictions []*eviction // within remember, oldest first
	holds     hold.Holds[Subject, scope]
}

// scope is what a hold is about: one claim, or all.
type scope struct {
	Subject
	all bool
}

func (a *afterwards) sweep(now clock.Stamp) {
	a.evictions = slices.DeleteFunc(a.evictions, func(e *eviction) bool { return e.back || now.Sub(e.at) >= remember })
	a.holds.Sweep(now)
}

// gone are the sources whose host is gone by this rule and not back.
func (a *afterwards) gone(now clock.Stamp) map[netip.Addr]struct{} {
	if len(a.evictions) == 0 {
		return nil
	}
	all := map[netip.Addr]struct{}{}
	for _, e := range a.evictions {
		if !e.back && now.Sub(e.at) < remember {
			all[e.subject.Source] = struct{}{}
		}
	}
	return all
}

// registered takes that a broker is back, on whichever connection.
func (a *afterwards) registered(s Subject) {
	for _, e := range a.evictions {
		e.back = e.back || e.subject == s
	}
}

func (a *afterwards) holding(s Subject, now clock.Stamp) bool {
	return a.holds.On(scope{Subject: s}, now) || a.holds.On(scope{all: true}, now)
}

// evict notes that a claim is being evicted.
func (n *Node) evict(k *claim, now clock.Stamp) {
	if len(n.after.evictions) >= maxEvictions {
		n.after.evictions = slices.Delete(n.after.evictions, 0, 1)
	}
	k.evicted = &eviction{subject: k.Subject, at: now}
	n.after.evictions = append(n.after.evictions, k.evicted)
}

// Pending says that an Eviction is still to be carried out: nothing that was heard since the decision speaks against it, of its host or of others that were
// taken for dead, and this node may still judge. The tables ask it under their lock, with Stands.
func (n *Node) Pending(e *Eviction, now clock.Stamp) bool {
	k := n.claims[e.Subject]
	return k != nil && k.Claim == e.Claim && k.evicted != nil && !k.evicted.taken && k.machine.Silence(n.attention.Since(), now) >= n.times.After &&
		n.abstains(k, now) == Votes
}

// Took takes what the tables did with an Eviction. When they kept the claim, it goes on being judged as if nothing had been.
func (n *Node) Took(e Eviction, took bool) {
	k := n.claims[e.Subject]
	switch {
	case k == nil || k.Conn != e.Conn:
	case !took:
		if k.evicted != nil {
			k.evicted.back = true
			k.evicted = nil
		}
		n.keep(k, Younger, "", e.Silence)
	case k.evicted != nil:
		k.evicted.taken = true
		n.counters.Evicted++
		if n.cfg.Mode == On {
			k.held, k.out = false, k.evicted
		}
	}
}

// Restored takes what the tables did with a Restoration: whether the claim is back, or will not be before its next REGISTER.
func (n *Node) Restored(r *Restoration, back bool) {
	if k := n.claims[r.Subject]; k != nil && k.out != nil && k.Claim == r.Claim {
		k.out, k.held = nil, back
	}
}

// Stands is asked under the lock that puts back, with a reading made there: the connection is open, and was heard after the eviction.
func (r *Restoration) Stands(open bool, l Reading, now clock.Stamp) bool {
	return open && l.Heard+lookError < now.Elapsed(r.Evicted)
}

// refute takes that a claim's eviction was wrong: its host lives. One that is not carried out yet is called off.
func (n *Node) refute(k *claim, by string, now clock.Stamp) {
	e := k.evicted
	e.back = true
	k.evicted = nil
	if !e.taken { // nobody was taken out, and nobody is going to be
		return
	}
	n.counters.Refuted++
	n.after.holds.Hold(scope{Subject: k.Subject}, now)
	n.after.holds.Refute(k.Subject, now)
	n.out.Events = append(n.out.Events, Event{Kind: Refuted, Claim: k.Claim, By: by, Silence: now.Sub(e.at)})
	k.machine.Alive(now) // the others are told the age of the newest sign; as young as this keeps
	for _, p := range n.believed {
		n.tellAlive(k.Subject, k.machine, p, now)
	}
	counting := 0
	for range n.after.holds.Counting(scope{all: true}) {
		counting++
	}
	if counting >= refutedMany {
		n.after.holds.Hold(scope{all: true}, now)
		n.out.Events = append(n.out.Events, Event{Kind: HoldBegan})
	}
}

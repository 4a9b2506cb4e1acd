package world

import (
	"time"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// The self-check (docs/spec/tombstones.md#self-check) refutes a claim that was taken refuteAfter after its connection has
// registered the broker again, by the node's clocks: a tenth is room for those, and it looks once a second.
const (
	refuteAfter  = 30 * time.Second
	refutedEarly = refuteAfter * 9 / 10
	refutedLate  = refuteAfter*11/10 + 2*time.Second
)

// taken is the truth about a claim that a tombstone took of a connection.
type taken struct {
	id   tombstone.Identity
	at   int64 // true time
	back int64 // of the first REGISTER of the connection after that; 0: none
	old  bool  // by then the node watched it no more, or nearly
}

// took notes that a tombstone took what the connection claims. One that is back already goes on being what it is.
func (c *Conn) took(id tombstone.ID) {
	if t := c.taken[id.Key]; t != nil && t.back != 0 {
		return
	}
	if c.taken == nil {
		c.taken = map[tombstone.Key]*taken{}
	}
	c.taken[id.Key] = &taken{id: id.Identity, at: c.w.Time.Now()}
}

// back notes a REGISTER.
func (c *Conn) back(f *Frame) {
	t, now := c.taken[f.Key], c.w.Time.Now()
	if t != nil && t.back == 0 && t.id.Name == f.Name && t.id.BrokerID == f.ID {
		t.back, t.old = now, time.Duration(now-t.at) > tombstone.TTL*9/10
	}
}

// Unregistered notes that the node handles an UNREGISTER: what the connection registered before says nothing any more.
func (c *Conn) Unregistered(k tombstone.Key) { delete(c.taken, k) }

// contradicting are the claims that were taken of connections that are open to a node's process.
func (w *World) contradicting(node int, each func(c *Conn, k tombstone.Key, t *taken)) {
	for _, p := range w.ordered() {
		for _, c := range p.all {
			if c.Node != node || c.Life != w.Nodes[node].Life() || !c.Open {
				continue
			}
			for k, t := range c.taken {
				each(c, k, t)
			}
		}
	}
}

// Refuted checks a node's word that it evicted k wrongly: INV-10.
func (w *World) Refuted(node int, k tombstone.Key) {
	var found *taken
	var of *Conn
	w.contradicting(node, func(c *Conn, other tombstone.Key, t *taken) {
		if other == k && t.back != 0 && (found == nil || t.back < found.back) {
			found, of = t, c
		}
	})
	if found == nil || time.Duration(w.Time.Now()-found.back) < refutedEarly {
		w.Fail(10, false, "%s refutes an eviction of %s that nothing contradicts", NodeName(node), k.Cluster)
		return
	}
	delete(of.taken, k)
	w.Logf("%s refutes its eviction of %s", NodeName(node), k.Cluster)
	w.Contradicted++
}

// Overdue checks that a node whose clocks have lost so much time has refuted what it must have by now: INV-10.
func (w *World) Overdue(node int, lost time.Duration) {
	now := w.Time.Now()
	w.contradicting(node, func(c *Conn, k tombstone.Key, t *taken) {
		if since := time.Duration(now - t.back); t.back != 0 && !t.old && since > refutedLate+lost {
			w.Fail(10, false, "%s has not refuted its eviction of %s, which %s goes on registering for %v", NodeName(node),
				k.Cluster, c.Proc.Name(), since)
			t.old = true // told once
		}
	})
}

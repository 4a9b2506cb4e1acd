package cluster

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/order"
)

const (
	// lookLimit bounds the registrations and tombstones of one Look.
	lookLimit = 1000

	rowsGone = time.Minute           // a broker that is gone everywhere is shown for that long
	slack    = 50 * time.Millisecond // between two readings of one moment
)

// Key names a registration.
type Key struct {
	Cluster, Broker string
	ID              int64
	Addr            string
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Addr, b.Addr))
}

// Look is what one node answers at one moment.
type Look struct {
	Name       string
	Addr       string // where brokers and clients connect
	Ready      bool
	Why        string // Ready in words
	Brokers    api.Brokers
	Tombstones api.Tombstones
	Hosts      []HostDecision // newest first
}

// HostDecision is what a node decided about the silent host of a broker.
type HostDecision struct {
	Key
	At      time.Time
	Evicted bool          // else it was kept
	Silence time.Duration // of the host by then
	Agreed  []string      // the nodes that agreed
	Why, By string        // why it was kept, and the node that is the reason, if one is
}

// decisions are those of a node, but for what they came to.
func decisions(s *vanished.Status, now time.Time) (all []HostDecision) {
	for i := range s.Decisions {
		d := &s.Decisions[i]
		if d.Kind != vanished.Evicted && d.Kind != vanished.Kept {
			continue
		}
		all = append(all, HostDecision{
			Key: Key{d.Claim.Cluster, d.Claim.Name, d.Claim.BrokerID, d.Claim.Addr}, At: now.Add(-s.At.Sub(d.At)).Round(time.Millisecond),
			Evicted: d.Kind == vanished.Evicted, Silence: d.Silence, Agreed: d.Agreed, Why: d.Why.Name(), By: d.By,
		})
	}
	return all
}

// Look asks every node.
func (c *Cluster) Look() []Look {
	addrs := c.addrs()
	var all []Look
	for i, n := range c.nodes {
		l := Look{Name: c.names[i], Addr: addrs[i]}
		l.Ready, l.Why = n.Ready()
		// In this order: whoever is gone from the table has left its tombstone by then.
		l.Brokers = n.Registrations(lookLimit)
		l.Tombstones = n.Tombstones(lookLimit)
		hosts := n.Vanished()
		l.Hosts = decisions(&hosts, time.Now())
		all = append(all, l)
	}
	return all
}

// State is what a node knows of a broker.
type State int

// The states of a broker at a node.
const (
	Never    State = iota // it never registered here
	Here                  // it is registered
	Left                  // it unregistered here
	Evicted               // another node's tombstone removed it
	Lost                  // its connection closed
	Expired               // nothing came for too long
	Vanished              // the nodes took its host for vanished
	Unheard               // of a stream alone: its host was silent here, and it is kept
)

// Cell is one broker at one node.
type Cell struct {
	State State

	// While Here.
	Since   time.Time // first registered, since it was last gone
	Seen    time.Time // last sign of life
	Expires time.Time // without another one
	Conn    uint64    // the connection that owns the registration

	// When gone.
	At    time.Time
	After time.Duration // Evicted: the age of the departure then; Vanished: the silence of the host

	registered time.Time
	told       bool // the loss is in the stream
}

// Row is one broker at all nodes, in their order.
type Row struct {
	Key
	Cells []Cell
}

// Watch follows who is registered where from one Look to the next. The zero Watch has seen nothing.
type Watch struct {
	now    time.Time
	looks  []Look
	rows   map[Key]*Row
	losses []Departure
}

// Take sees what the nodes, always the same ones, answer now.
func (w *Watch) Take(now time.Time, looks []Look) {
	w.now, w.looks = now, looks
	if w.rows == nil {
		w.rows = map[Key]*Row{}
	}
	for i := range looks {
		w.takeNode(i)
	}
	maps.DeleteFunc(w.rows, func(_ Key, r *Row) bool { return r.goneSince(now) > rowsGone })
}

func (w *Watch) takeNode(i int) {
	look := &w.looks[i]
	here := make(map[Key]bool, len(look.Brokers.Brokers))
	for j := range look.Brokers.Brokers {
		b := &look.Brokers.Brokers[j]
		k := Key{b.Cluster, b.Broker, b.ID, b.Addr}
		here[k] = true
		r := w.rows[k]
		if r == nil {
			r = &Row{Key: k, Cells: make([]Cell, len(w.looks))}
			w.rows[k] = r
		}
		r.Cells[i] = Cell{
			State: Here, Since: b.Since, Seen: b.Seen, Conn: b.Conn, registered: b.Registered,
			Expires: w.now.Add(time.Duration(b.Expires * float64(time.Millisecond))),
		}
	}
	for k, r := range w.rows {
		if c := &r.Cells[i]; !here[k] && c.State != Never {
			w.gone(k, i, c)
		}
	}
}

// gone says why a broker is not registered any more. A connection that closed leaves no trace but this, so that is told
// only when the next look finds no tombstone either.
func (w *Watch) gone(k Key, i int, c *Cell) {
	first := c.State == Here
	if !first && c.told || c.State == Left || c.State == Evicted || c.State == Vanished {
		return
	}
	for _, d := range w.looks[i].Hosts {
		if d.Key == k && d.Evicted && d.At.After(c.registered) {
			c.State, c.At, c.After = Vanished, d.At, d.Silence
			return
		}
	}
	if state, at, after := w.tombstone(k, i, c.registered.Add(-slack)); state != Never {
		c.State, c.At, c.After = state, at, after
		return
	}
	if first {
		c.State, c.At = Lost, w.now
		if !c.Expires.After(w.now) {
			c.State = Expired
		}
		return
	}
	c.told = true
	w.lost(k, w.looks[i].Name, c)
}

// tombstone looks for the departure of k at node i after a moment.
func (w *Watch) tombstone(k Key, i int, after time.Time) (State, time.Time, time.Duration) {
	t := &w.looks[i].Tombstones
	for j := range t.Own {
		if o := &t.Own[j]; keyOf(&o.Tombstone) == k && o.Left.After(after) {
			return Left, o.Left, 0
		}
	}
	for j := range t.Decisions {
		if d := &t.Decisions[j]; keyOf(&d.Tombstone) == k && d.Outcome == evicted && d.At.After(after) {
			return Evicted, d.At, time.Duration(d.AgeMS * float64(time.Millisecond))
		}
	}
	return Never, time.Time{}, 0
}

func keyOf(t *api.Tombstone) Key { return Key{t.Cluster, t.Broker, t.ID, t.Addr} }

// goneSince is how long the broker is registered nowhere; below zero: it is somewhere.
func (r *Row) goneSince(now time.Time) time.Duration {
	var last time.Time
	for _, c := range r.Cells {
		if c.State == Here {
			return -1
		}
		if c.At.After(last) {
			last = c.At
		}
	}
	return now.Sub(last)
}

// Rows are the brokers, sorted.
func (w *Watch) Rows() []Row {
	var all []Row
	for _, r := range w.rows {
		all = append(all, Row{Key: r.Key, Cells: slices.Clone(r.Cells)})
	}
	order.By(all, func(a, b Row) int { return compareKeys(a.Key, b.Key) })
	return all
}

// Looks are the last ones taken.
func (w *Watch) Looks() []Look { return w.looks }

// Now is when they were taken.
func (w *Watch) Now() time.Time { return w.now }

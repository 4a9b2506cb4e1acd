package cluster

import (
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/order"
)

const (
	// together is how far apart the nodes may hear of one departure.
	together = 3 * time.Second
	// lossesKept is how many losses are remembered.
	lossesKept = 200

	evicted = "evicted"  // an outcome of docs/metrics.md
	notHeld = "not_held" // likewise
)

// Departure is one broker that went, as all nodes together saw it.
type Departure struct {
	Key
	At     time.Time
	How    State     // Left, Lost, Expired, Vanished or Unheard
	Nodes  []string  // that saw it themselves, in their order
	Others []Verdict // with Left: what the others did, in their order

	Silence time.Duration // Vanished and Unheard: of the host, at the first of the nodes when it decided
	Why, By string        // Unheard: why it is kept, and the node that hears it, if one is the reason
}

// Verdict is what a node did that was told of a departure.
type Verdict struct {
	Node    string
	Evicted bool
	Why     string
	After   time.Duration // from the departure to the decision
}

// Departures are those that the nodes still know, newest first.
func (w *Watch) Departures() []Departure {
	all := append(w.left(), w.losses...)
	all = append(all, w.vanished()...)
	order.Stable(all, func(a, b Departure) int { return b.At.Compare(a.At) })
	return all
}

// left puts the tombstones of all nodes together: each node that heard an UNREGISTER made one.
func (w *Watch) left() []Departure {
	var all []Departure
	for i := range w.looks {
		for j := range w.looks[i].Tombstones.Own {
			o := &w.looks[i].Tombstones.Own[j]
			d := find(all, keyOf(&o.Tombstone), Left, o.Left)
			if d == nil {
				all = append(all, Departure{Key: keyOf(&o.Tombstone), At: o.Left, How: Left})
				d = &all[len(all)-1]
			}
			if o.Left.Before(d.At) {
				d.At = o.Left
			}
			if !slices.Contains(d.Nodes, w.looks[i].Name) {
				d.Nodes = append(d.Nodes, w.looks[i].Name)
			}
		}
	}
	for i := range all {
		w.judged(&all[i])
	}
	return all
}

// judged adds what the nodes did that did not hear of d themselves. What was evicted once is found not held later, and
// what was kept may be evicted by a late proof, so an eviction wins.
func (w *Watch) judged(d *Departure) {
	for i := range w.looks {
		name := w.looks[i].Name
		if slices.Contains(d.Nodes, name) {
			continue
		}
		var v *Verdict
		decisions := w.looks[i].Tombstones.Decisions
		for j := range decisions {
			one := &decisions[j]
			if keyOf(&one.Tombstone) != d.Key || one.Outcome == notHeld || one.At.Sub(d.At).Abs() > together {
				continue
			}
			if v == nil || one.Outcome == evicted {
				v = &Verdict{
					Node: name, Evicted: one.Outcome == evicted, Why: one.Why,
					After: time.Duration(one.AgeMS * float64(time.Millisecond)),
				}
			}
		}
		if v != nil {
			d.Others = append(d.Others, *v)
		}
	}
}

// vanished puts together what the nodes decided about silent hosts, each for itself.
func (w *Watch) vanished() []Departure {
	var all []Departure
	for i := range w.looks {
		for _, h := range slices.Backward(w.looks[i].Hosts) {
			how := Unheard
			if h.Evicted {
				how = Vanished
			}
			d := find(all, h.Key, how, h.At)
			if d == nil {
				all = append(all, Departure{Key: h.Key, At: h.At, How: how, Silence: h.Silence})
				d = &all[len(all)-1]
			}
			if !h.Evicted && (d.Why == "" || h.By != "") {
				d.Why, d.By = h.Why, h.By
			}
			if h.At.Before(d.At) {
				d.At, d.Silence = h.At, h.Silence
			}
			if !slices.Contains(d.Nodes, w.looks[i].Name) {
				d.Nodes = append(d.Nodes, w.looks[i].Name)
			}
		}
	}
	// What a node kept at first and took out a moment later was no false alarm.
	told := slices.Clone(all)
	return slices.DeleteFunc(all, func(d Departure) bool {
		return d.How == Unheard && slices.ContainsFunc(told, func(v Departure) bool {
			return v.How == Vanished && v.Key == d.Key && v.At.Sub(d.At).Abs() <= reach(Vanished)
		})
	})
}

// lost notes that a node lost a broker without an UNREGISTER.
func (w *Watch) lost(k Key, name string, c *Cell) {
	d := find(w.losses, k, c.State, c.At)
	if d == nil {
		if len(w.losses) == lossesKept {
			w.losses = slices.Delete(w.losses, 0, 1)
		}
		w.losses = append(w.losses, Departure{Key: k, At: c.At, How: c.State})
		d = &w.losses[len(w.losses)-1]
	}
	d.Nodes = append(d.Nodes, name)
}

// find is the departure that one more node saw.
func find(all []Departure, k Key, how State, at time.Time) *Departure {
	for i := range all {
		if d := &all[i]; d.Key == k && d.How == how && d.At.Sub(at).Abs() <= reach(how) {
			return d
		}
	}
	return nil
}

// reach is how far apart in time one departure may be seen: expiry waits for the next scan, and of silence each node judges for itself.
func reach(how State) time.Duration {
	if how == Expired || how == Vanished || how == Unheard {
		return 2 * together
	}
	return together
}

// Package divergence tells what the nodes of a cluster disagree about: what this one says of itself (Holdings), who has what
// and the likely reason (Gather, Divergence.Reason, Drifts), and the log's lines about what changes (Watch).
package divergence

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Holding is what one node has of a key; a node of which nothing is known has none.
type Holding struct {
	Node string
	Has  bool
	Item digest.Item
}

// Divergence is one key about which nodes differ.
type Divergence struct {
	Key     digest.Key
	Held    []Holding // by node, this one first
	Lasts   time.Duration
	Settled bool // for so long that no update can be on its way
}

// Gather turns what each member differs in into what each node has, key by key, in their order.
func Gather(self string, v *digest.View) []Divergence {
	at := map[digest.Key]*Divergence{}
	for i := range v.Peers {
		for j := range v.Peers[i].Differences {
			d := &v.Peers[i].Differences[j]
			one := at[d.Key]
			if one == nil {
				one = &Divergence{Key: d.Key}
				at[d.Key] = one
			}
			one.Lasts, one.Settled = max(one.Lasts, d.For), one.Settled || d.Settled
		}
	}
	all := make([]Divergence, 0, len(at))
	for key, one := range at {
		mine, here := v.Held[key]
		one.Held = append(one.Held, Holding{self, here, mine})
		for i := range v.Peers {
			p := &v.Peers[i]
			if !p.Compared {
				continue
			}
			h := Holding{p.Name, here, mine} // it agrees unless it differs
			if j := slices.IndexFunc(p.Differences, func(d digest.Difference) bool { return d.Key == key }); j >= 0 {
				h.Has, h.Item = p.Differences[j].HasThere, p.Differences[j].There
			}
			one.Held = append(one.Held, h)
		}
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b Divergence) int {
		return cmp.Or(cmp.Compare(a.Key.Cluster, b.Key.Cluster), cmp.Compare(a.Key.Name, b.Key.Name),
			cmp.Compare(a.Key.ID, b.Key.ID), cmp.Compare(a.Key.Addr, b.Key.Addr))
	})
	return all
}

// nodes are the names of those, sorted, so that every node tells it in the same words.
func (d *Divergence) nodes(which func(*Holding) bool) (names []string) {
	for i := range d.Held {
		if which(&d.Held[i]) {
			names = append(names, d.Held[i].Node)
		}
	}
	slices.Sort(names)
	return names
}

// unlike are the nodes that are not with the most; among equals those with the lower figure.
func (d *Divergence) unlike(figure func(*digest.Item) int64) []string {
	count := map[int64]int{}
	for i := range d.Held {
		if d.Held[i].Has {
			count[figure(&d.Held[i].Item)]++
		}
	}
	var most int64
	first := true
	for value, n := range count {
		if first || n > count[most] || n == count[most] && value > most {
			most, first = value, false
		}
	}
	return d.nodes(func(h *Holding) bool { return h.Has && figure(&h.Item) != most })
}

// Clues are what this node knows of departures and of the others' ages: the likely reason where one lacks what another holds.
type Clues struct {
	own     map[tombstone.Key]*tombstone.OwnStatus
	evicted map[tombstone.Key]*tombstone.Decision
	young   map[string]time.Duration // ages of nodes that have not been there for as long as a registration takes
}

// CluesOf reads them. up is how long this node has been there.
func CluesOf(g *gossip.Gossip, v *digest.View, up time.Duration) *Clues {
	c := &Clues{map[tombstone.Key]*tombstone.OwnStatus{}, map[tombstone.Key]*tombstone.Decision{}, map[string]time.Duration{}}
	s := g.Status(1000)
	for i := range slices.Backward(s.Own) { // the newest last, so that it stays
		c.own[s.Own[i].ID.Key] = &s.Own[i]
	}
	for i := range slices.Backward(s.Decisions) {
		if s.Decisions[i].Verdict.Outcome == tombstone.Evicted {
			c.evicted[s.Decisions[i].ID.Key] = &s.Decisions[i]
		}
	}
	if up < digest.YoungAge {
		c.young[g.Self().Name] = up
	}
	for i := range v.Peers {
		if p := &v.Peers[i]; p.Heard && p.Age < digest.YoungAge {
			c.young[p.Name] = p.Age
		}
	}
	return c
}

// Reason is why the nodes differ, as far as this one can tell: a name for programs and words for people.
func (d *Divergence) Reason(c *Clues) (kind, words string) {
	lack := d.nodes(func(h *Holding) bool { return !h.Has })
	if len(lack) == 0 {
		return d.content()
	}
	holders := d.nodes(func(h *Holding) bool { return h.Has })
	key := tombstone.Key{Cluster: d.Key.Cluster, Addr: d.Key.Addr}
	if o := c.own[key]; o != nil && o.ID.Name == d.Key.Name && o.ID.BrokerID == d.Key.ID {
		return "missed_unregister", fmt.Sprintf("missed unregister: %s handled it %s ago; %s", lack[0], Seconds(o.Age), d.kept(o))
	}
	if e := c.evicted[key]; e != nil {
		return "missed_unregister", fmt.Sprintf("missed unregister: %s handled it; %s", e.ID.Origin.Name, d.kept(nil))
	}
	for i := range d.Held {
		if h := &d.Held[i]; h.Has && h.Item.Kept > 0 {
			return "missed_unregister", "missed unregister: " + d.kept(nil)
		}
	}
	for _, name := range lack {
		if age, young := c.young[name]; young {
			return "starting", fmt.Sprintf("%s started %s ago: a broker registers there within 30 s if it can reach it", name, Seconds(age))
		}
	}
	return "no_connection", fmt.Sprintf("no connection: the broker registers at %s and not at %s",
		strings.Join(firstOf(holders, 3), ", "), strings.Join(firstOf(lack, 3), ", "))
}

// kept says what the holders made of the tombstone.
func (d *Divergence) kept(o *tombstone.OwnStatus) string {
	var parts []string
	for i := range d.Held {
		h := &d.Held[i]
		if !h.Has {
			continue
		}
		text := h.Node + " has not judged it yet"
		if h.Item.Kept > 0 {
			text = h.Node + " " + tombstone.Outcome(h.Item.Kept-1).String()
		} else if o != nil {
			for _, r := range o.Reports {
				if r.Member == h.Node && r.Reported {
					text = h.Node + " " + r.Outcome.String()
				}
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(firstOf(parts, 3), "; ")
}

// content is the reason where every node holds the key.
func (d *Divergence) content() (kind, words string) {
	items := d.Held
	for i := range items {
		if items[i].Item.Version != items[0].Item.Version {
			return "older_data_version", fmt.Sprintf("older data version at %s: the broker's last update has not reached it",
				strings.Join(firstOf(d.older(), 3), ", "))
		}
	}
	more := fmt.Sprintf("; epitaph diff --broker %s lists them", d.Key.Name)
	if odd := d.unlike(func(i *digest.Item) int64 { return int64(i.Topics) }); len(odd) > 0 {
		return "topics", "topics added or deleted at " + strings.Join(firstOf(odd, 3), ", ") + " only" + more
	}
	if odd := d.unlike(func(i *digest.Item) int64 { return int64(i.Writable) }); len(odd) > 0 {
		return "write_permission", "write permission wiped or added at " + strings.Join(firstOf(odd, 3), ", ") + " only"
	}
	odd := d.unlike(func(i *digest.Item) int64 { return int64(i.Hash) })
	return "queues", "other queue settings at " + strings.Join(firstOf(odd, 3), ", ") + more
}

// older are the nodes whose data version is not the newest.
func (d *Divergence) older() []string {
	compare := func(a, b mq.DataVersion) int {
		return cmp.Or(cmp.Compare(a.StateVersion, b.StateVersion), cmp.Compare(a.Counter, b.Counter), cmp.Compare(a.Timestamp, b.Timestamp))
	}
	newest := d.Held[0].Item.Version
	for i := range d.Held {
		if compare(d.Held[i].Item.Version, newest) > 0 {
			newest = d.Held[i].Item.Version
		}
	}
	return d.nodes(func(h *Holding) bool { return h.Item.Version != newest })
}

// Seconds tells a time to people.
func Seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + " s" }

// Drift is a member whose KV store or configuration is not this node's.
type Drift struct {
	What  string // KV or Configuration
	Node  string
	Lasts time.Duration
}

// What can drift.
const (
	KV            = "kv"
	Configuration = "configuration"
)

// driftGrace is how long mqadmin may take to change one node after the other.
const driftGrace = time.Second

// Drifts are those members.
func Drifts(v *digest.View) (all []Drift) {
	for i := range v.Peers {
		p := &v.Peers[i]
		if p.KVDiffers && p.KVFor >= driftGrace {
			all = append(all, Drift{KV, p.Name, p.KVFor})
		}
		if p.OptionsDiffer && p.OptionsFor >= driftGrace {
			all = append(all, Drift{Configuration, p.Name, p.OptionsFor})
		}
	}
	return all
}

// firstOf shortens a list for people.
func firstOf(names []string, most int) []string {
	if len(names) <= most {
		return names
	}
	return append(names[:most:most], fmt.Sprintf("%d more", len(names)-most))
}

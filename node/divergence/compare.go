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
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
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
	Stale   bool // a node concerned has changed since it was compared, and is not compared again yet
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
			one.Stale = one.Stale || v.Peers[i].Comparing
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
			} else if p.Partly {
				continue
			}
			one.Held = append(one.Held, h)
		}
		all = append(all, *one)
	}
	order.By(all, func(a, b Divergence) int {
		return cmp.Or(cmp.Compare(a.Key.Cluster, b.Key.Cluster), cmp.Compare(a.Key.Name, b.Key.Name),
			cmp.Compare(a.Key.ID, b.Key.ID), cmp.Compare(a.Key.Addr, b.Key.Addr))
	})
	return all
}

// Found is a divergence that has lasted for so long that it is told, and its likely reason: a name for programs and words for people.
type Found struct {
	Divergence
	Kind, Why string
}

// Find is every divergence that is to be told, key by key, and how many more there are that may be over by themselves. clues is called at most once.
func Find(self string, v *digest.View, clues func() *Clues) (found []Found, settling int) {
	var c *Clues
	for _, d := range Gather(self, v) {
		if !d.Settled {
			settling++
			continue
		}
		if c == nil {
			c = clues()
		}
		kind, why := d.Reason(c)
		if kind == vanishedKind && d.Lasts < vanishing {
			settling++
			continue
		}
		found = append(found, Found{d, kind, why})
	}
	return found, settling
}

const (
	vanishedKind = "vanished"
	vanishing    = 3 * time.Second // each node judges for itself that a host has vanished, and not at one moment
)

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

// Clues are what this node knows of departures, of silent hosts and of the others' ages: the likely reason where one lacks what another holds.
type Clues struct {
	self   string
	left   map[tombstone.Key]departure  // the newest of each key
	by     map[handled]time.Duration    // who handled a departure of which key itself, and how long ago at least
	young  map[string]time.Duration     // ages of nodes that have not been there for as long as a registration takes
	gone   map[digest.Key]time.Duration // how long ago this node took the broker out, for its host had vanished, of which it heard nothing since
	silent map[digest.Key]time.Duration // for how long the broker's host has been silent here
	kept   map[digest.Key]string        // why this node keeps it all the same
}

// handled is a node that handled an UNREGISTER of the key.
type handled struct {
	key  tombstone.Key
	node string
}

// departure is one that this node handled itself, or was told of and decided on.
type departure struct {
	id  tombstone.ID
	age time.Duration
	own bool
	did map[string]tombstone.Outcome // what nodes made of it: all others of an own one, else this one
}

func newClues(self string) *Clues {
	return &Clues{
		self: self, left: map[tombstone.Key]departure{}, by: map[handled]time.Duration{}, young: map[string]time.Duration{},
		gone: map[digest.Key]time.Duration{}, silent: map[digest.Key]time.Duration{}, kept: map[digest.Key]string{},
	}
}

// CluesOf reads them. up is how long this node has been there, hosts what it knows of silent ones.
func CluesOf(g *gossip.Gossip, v *digest.View, up time.Duration, hosts *vanished.Status) *Clues {
	c := newClues(g.Self().Name)
	c.hear(hosts)
	s := g.Status(1000)
	for i := range s.Decisions {
		d := &s.Decisions[i]
		c.note(departure{id: d.ID, age: s.At.Sub(d.At) + d.Verdict.Age, did: map[string]tombstone.Outcome{c.self: d.Verdict.Outcome}})
	}
	for i := range s.Own {
		o := &s.Own[i]
		did := map[string]tombstone.Outcome{}
		for _, r := range o.Reports {
			if r.Reported {
				did[r.Member] = r.Outcome
			}
		}
		c.note(departure{id: o.ID, age: o.Age, own: true, did: did})
	}
	if up < digest.YoungAge {
		c.young[c.self] = up
	}
	for i := range v.Peers {
		if p := &v.Peers[i]; p.Heard && p.Age < digest.YoungAge {
			c.young[p.Name] = p.Age
		}
	}
	return c
}

// hear reads what this node knows of silent hosts.
func (c *Clues) hear(hosts *vanished.Status) {
	of := func(s *vanish.Subject) digest.Key {
		return digest.Key{Cluster: s.Cluster, Name: s.Name, Addr: s.Addr, ID: s.BrokerID}
	}
	for i := range hosts.Hosts {
		h := &hosts.Hosts[i]
		for j := range h.Claims {
			claim := &h.Claims[j]
			key := of(&claim.Subject)
			if !claim.EvictedAt.IsZero() {
				c.gone[key] = hosts.At.Sub(claim.EvictedAt)
			}
			if h.Silent {
				c.silent[key] = h.Silence
			}
		}
	}
	for i := len(hosts.Decisions) - 1; i >= 0; i-- { // the newest is last
		if d := &hosts.Decisions[i]; d.Kind == vanished.Kept {
			c.kept[of(&d.Claim.Subject)] = strings.TrimSuffix(d.Why.Name()+" by "+d.By, " by ")
		}
	}
}

// note keeps the newest departure of a key. A broker unregisters from one node after the other, so one that this node handled
// itself is that which it heard of a moment before or after, and it knows more of its own.
func (c *Clues) note(d departure) {
	origin := handled{d.id.Key, d.id.Origin.Name}
	if last, again := c.by[origin]; !again || d.age < last {
		c.by[origin] = d.age
	}
	old, known := c.left[d.id.Key]
	age := d.age
	switch {
	case d.own && !old.own:
		age -= judged
	case old.own && !d.own:
		age += judged
	}
	if !known || age < old.age {
		c.left[d.id.Key] = d
	}
}

// judged is within which time every living member has judged a departure, and has said so: a push/pull brings what got lost.
const judged = 15 * time.Second

// Reason is why the nodes differ, as far as this one can tell: a name for programs and words for people.
func (d *Divergence) Reason(c *Clues) (kind, words string) {
	lack := d.nodes(func(h *Holding) bool { return !h.Has })
	if len(lack) == 0 {
		return d.content()
	}
	if gone := d.vanished(c, lack); gone != "" {
		return vanishedKind, gone
	}
	if missed := d.missed(c); missed != "" {
		return "missed_unregister", missed
	}
	for _, name := range lack {
		if age, young := c.young[name]; young {
			return "starting", fmt.Sprintf("%s started %s ago: a broker registers there within 30 s if it can reach it", name, Seconds(age))
		}
	}
	return "no_connection", fmt.Sprintf("no connection: the broker registers at %s and not at %s",
		strings.Join(firstOf(d.nodes(func(h *Holding) bool { return h.Has }), 3), ", "), strings.Join(firstOf(lack, 3), ", "))
}

// vanished says that nodes do not judge alike that the broker's host has vanished, and is empty when this one knows of nothing like that. Nobody tells another
// what he took out: a node knows what it took out itself, and that a host is silent whose broker others do not have any more.
func (d *Divergence) vanished(c *Clues, lack []string) string {
	holders := strings.Join(firstOf(d.nodes(func(h *Holding) bool { return h.Has }), 3), ", ")
	if ago, gone := c.gone[d.Key]; gone && slices.Contains(lack, c.self) {
		left, known := c.left[tombstone.Key{Cluster: d.Key.Cluster, Addr: d.Key.Addr}]
		if known && left.id.Name == d.Key.Name && left.id.BrokerID == d.Key.ID && left.age < ago {
			return "" // it said goodbye since
		}
		return fmt.Sprintf("host vanished: %s took the broker out %s ago; %s hears its host, or has not judged it, or it is back there", c.self, Seconds(ago), holders)
	}
	silence, silent := c.silent[d.Key]
	if !silent || slices.Contains(lack, c.self) || d.Lasts > silence { // what differed before has another reason
		return ""
	}
	words := fmt.Sprintf("host vanished: nothing was heard of it for %s at %s, which has not taken the broker out as %s may have", Seconds(silence), c.self,
		strings.Join(firstOf(lack, 3), ", "))
	if why := c.kept[d.Key]; why != "" {
		words += " (" + why + ")"
	}
	return words
}

// missed says who handled the departure that some nodes missed, and what those made of it that hold the broker. It is empty
// when nobody missed one: a broker that has registered anywhere since is there, and only lacks a connection.
func (d *Divergence) missed(c *Clues) string {
	left, known := c.left[tombstone.Key{Cluster: d.Key.Cluster, Addr: d.Key.Addr}]
	known = known && left.id.Name == d.Key.Name && left.id.BrokerID == d.Key.ID
	var parts []string
	for i := range d.Held {
		h := &d.Held[i]
		if !h.Has {
			continue
		}
		if age, itself := c.by[handled{left.id.Key, h.Node}]; known && itself && age < left.age+judged {
			return "" // it removed the broker itself, so that registered there since
		}
		did, told := left.did[h.Node]
		// What it holds may be known from before it judged, and a registration that was not even judged has no note of it.
		unnoted := left.age < judged || did == tombstone.KeptHolding || did == tombstone.KeptLostTime
		switch kept := tombstone.Outcome(h.Item.Kept - 1); {
		case h.Item.Kept > 0 && kept.Kept():
			parts = append(parts, h.Node+" "+kept.String())
		case !known:
		case told && did.Kept() && unnoted:
			parts = append(parts, h.Node+" "+did.String())
		case !told && h.Node != c.self && (left.own || left.age < judged):
			parts = append(parts, fmt.Sprintf("%s has not judged it yet, or it is back there (known in %s)", h.Node, Seconds(max(0, judged-left.age))))
		default:
			return "" // it registered there since
		}
	}
	if len(parts) == 0 {
		return ""
	}
	words := "missed unregister: "
	if known {
		words += fmt.Sprintf("%s handled it %s ago; ", left.id.Origin.Name, Seconds(left.age))
	}
	return words + strings.Join(firstOf(parts, 3), "; ")
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

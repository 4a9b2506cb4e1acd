package node

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const (
	diffEvery    = 500 * time.Millisecond // how often changes are looked for, for the log
	diffAskTime  = 2 * time.Second        // for members to say which topics, keys or options differ
	diffAskAtOne = 8                      // members asked for one request
	diffNames    = 100                    // names shown of one member
)

// holding is what one node has of a key; a node of which nothing is known has none.
type holding struct {
	node string
	has  bool
	item digest.Item
}

// divergence is one key about which nodes differ.
type divergence struct {
	key      digest.Key
	held     []holding // by node, this one first
	lasts    time.Duration
	settled  bool
	starting []string // nodes that lack it and wait for it
}

// gather turns what each member differs in into what each node has, key by key, in their order.
func gather(self string, v *digest.View) []divergence {
	at := map[digest.Key]*divergence{}
	for i := range v.Peers {
		for j := range v.Peers[i].Differences {
			d := &v.Peers[i].Differences[j]
			one := at[d.Key]
			if one == nil {
				one = &divergence{key: d.Key}
				at[d.Key] = one
			}
			one.lasts, one.settled = max(one.lasts, d.For), one.settled || d.Settled
		}
	}
	all := make([]divergence, 0, len(at))
	for key, one := range at {
		mine, here := v.Held[key]
		one.held = append(one.held, holding{self, here, mine})
		for i := range v.Peers {
			p := &v.Peers[i]
			if !p.Compared {
				continue
			}
			h := holding{p.Name, here, mine} // it agrees unless it differs
			if j := slices.IndexFunc(p.Differences, func(d digest.Difference) bool { return d.Key == key }); j >= 0 {
				h.has, h.item = p.Differences[j].HasThere, p.Differences[j].There
			}
			if !h.has && p.Waiting {
				one.starting = append(one.starting, p.Name)
			}
			one.held = append(one.held, h)
		}
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b divergence) int {
		return cmp.Or(cmp.Compare(a.key.Cluster, b.key.Cluster), cmp.Compare(a.key.Name, b.key.Name),
			cmp.Compare(a.key.ID, b.key.ID), cmp.Compare(a.key.Addr, b.key.Addr))
	})
	return all
}

// nodes are the names of those, sorted, so that every node tells it in the same words.
func (d *divergence) nodes(which func(*holding) bool) (names []string) {
	for i := range d.held {
		if which(&d.held[i]) {
			names = append(names, d.held[i].node)
		}
	}
	slices.Sort(names)
	return names
}

// unlike are the nodes that are not with the most; among equals those with the lower figure.
func (d *divergence) unlike(figure func(*digest.Item) int64) []string {
	count := map[int64]int{}
	for i := range d.held {
		if d.held[i].has {
			count[figure(&d.held[i].item)]++
		}
	}
	var most int64
	first := true
	for value, n := range count {
		if first || n > count[most] || n == count[most] && value > most {
			most, first = value, false
		}
	}
	return d.nodes(func(h *holding) bool { return h.has && figure(&h.item) != most })
}

// clues is what this node knows of departures, by key: the likely reason where one node lacks what another holds.
type clues struct {
	own     map[tombstone.Key]*tombstone.OwnStatus
	evicted map[tombstone.Key]*tombstone.Decision
	young   map[string]time.Duration // ages of nodes that have not been there for as long as a registration takes
}

func (n *Node) clues(v *digest.View) clues {
	c := clues{map[tombstone.Key]*tombstone.OwnStatus{}, map[tombstone.Key]*tombstone.Decision{}, map[string]time.Duration{}}
	s := n.depart.gossip.Status(1000)
	for i := range slices.Backward(s.Own) { // the newest last, so that it stays
		c.own[s.Own[i].ID.Key] = &s.Own[i]
	}
	for i := range slices.Backward(s.Decisions) {
		if s.Decisions[i].Verdict.Outcome == tombstone.Evicted {
			c.evicted[s.Decisions[i].ID.Key] = &s.Decisions[i]
		}
	}
	if age := n.clock().Sub(n.started); age < digest.YoungAge {
		c.young[n.depart.gossip.Self().Name] = age
	}
	for i := range v.Peers {
		if p := &v.Peers[i]; p.Heard && p.Age < digest.YoungAge {
			c.young[p.Name] = p.Age
		}
	}
	return c
}

// reason is why the nodes differ, as far as this one can tell: a name for programs and words for people.
func (d *divergence) reason(c *clues) (kind, words string) {
	lack := d.nodes(func(h *holding) bool { return !h.has })
	if len(lack) == 0 {
		return d.content()
	}
	holders := d.nodes(func(h *holding) bool { return h.has })
	key := tombstone.Key{Cluster: d.key.Cluster, Addr: d.key.Addr}
	if o := c.own[key]; o != nil && o.ID.Name == d.key.Name && o.ID.BrokerID == d.key.ID {
		return "missed_unregister", fmt.Sprintf("missed unregister: %s handled it %s ago; %s", lack[0], seconds(o.Age), d.kept(o))
	}
	if e := c.evicted[key]; e != nil {
		return "missed_unregister", fmt.Sprintf("missed unregister: %s handled it; %s", e.ID.Origin.Name, d.kept(nil))
	}
	for i := range d.held {
		if h := &d.held[i]; h.has && h.item.Kept > 0 {
			return "missed_unregister", "missed unregister: " + d.kept(nil)
		}
	}
	for _, name := range lack {
		if age, young := c.young[name]; young {
			return "starting", fmt.Sprintf("%s started %s ago: a broker registers there within 30 s if it can reach it", name, seconds(age))
		}
	}
	return "no_connection", fmt.Sprintf("no connection: the broker registers at %s and not at %s",
		strings.Join(firstOf(holders, 3), ", "), strings.Join(firstOf(lack, 3), ", "))
}

// kept says what the holders made of the tombstone.
func (d *divergence) kept(o *tombstone.OwnStatus) string {
	var parts []string
	for i := range d.held {
		h := &d.held[i]
		if !h.has {
			continue
		}
		text := h.node + " has not judged it yet"
		if h.item.Kept > 0 {
			text = h.node + " " + tombstone.Outcome(h.item.Kept-1).String()
		} else if o != nil {
			for _, r := range o.Reports {
				if r.Member == h.node && r.Reported {
					text = h.node + " " + r.Outcome.String()
				}
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(firstOf(parts, 3), "; ")
}

// content is the reason where every node holds the key.
func (d *divergence) content() (kind, words string) {
	items := d.held
	for i := range items {
		if items[i].item.Version != items[0].item.Version {
			return "older_data_version", fmt.Sprintf("older data version at %s: the broker's last update has not reached it",
				strings.Join(firstOf(d.older(), 3), ", "))
		}
	}
	more := fmt.Sprintf("; epitaph diff --broker %s lists them", d.key.Name)
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
func (d *divergence) older() []string {
	compare := func(a, b digest.Version) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Counter, b.Counter), cmp.Compare(a.Timestamp, b.Timestamp))
	}
	newest := d.held[0].item.Version
	for i := range d.held {
		if compare(d.held[i].item.Version, newest) > 0 {
			newest = d.held[i].item.Version
		}
	}
	return d.nodes(func(h *holding) bool { return h.item.Version != newest })
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + " s" }

// drifts are the members whose KV store or configuration is not this node's.
func drifts(v *digest.View) (all []api.Drift) {
	for i := range v.Peers {
		p := &v.Peers[i]
		if p.KVDiffers && p.KVFor >= driftGrace {
			all = append(all, api.Drift{What: "kv", Node: p.Name, LastsMS: millis(p.KVFor)})
		}
		if p.OptionsDiffer && p.OptionsFor >= driftGrace {
			all = append(all, api.Drift{What: "configuration", Node: p.Name, LastsMS: millis(p.OptionsFor)})
		}
	}
	return all
}

// driftGrace is how long mqadmin may take to change one node after the other.
const driftGrace = time.Second

// divergences remembers what was told, so that each change is told once.
type divergences struct {
	mu   sync.Mutex // guards the following field
	told map[string]string
}

// watchDivergence writes one line for each change.
func (n *Node) watchDivergence(ctx context.Context) {
	ticker := time.NewTicker(diffEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if v, on := n.depart.gossip.Digests(); on {
				n.tellDivergence(&v)
			}
		}
	}
}

func (n *Node) tellDivergence(v *digest.View) {
	now := map[string]string{}
	var found []divergence
	for _, d := range gather(n.depart.gossip.Self().Name, v) {
		if d.settled {
			found = append(found, d)
		}
	}
	if len(found) > 0 {
		c := n.clues(v)
		for i := range found {
			d := &found[i]
			kind, words := d.reason(&c)
			name := fmt.Sprintf("%s/%s id %d at %s", d.key.Cluster, d.key.Name, d.key.ID, d.key.Addr)
			now[name] = kind
			if n.divs.changed(name, kind) {
				n.log.Warn("nodes differ about a broker", "cluster", d.key.Cluster, "broker", d.key.Name, "id", d.key.ID,
					"addr", d.key.Addr, "held_by", strings.Join(firstOf(d.nodes(func(h *holding) bool { return h.has }), 5), ","),
					"reason", words)
			}
		}
	}
	for _, d := range drifts(v) {
		name := d.What + " of " + d.Node
		now[name] = d.What
		if n.divs.changed(name, d.What) {
			n.log.Warn("nodes differ in their "+d.What, "node", d.Node)
		}
	}
	for _, name := range n.divs.replace(now) {
		n.log.Info("nodes differ no more", "about", name)
	}
}

func (d *divergences) changed(name, kind string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, known := d.told[name]
	return !known || before != kind
}

// replace answers what is over.
func (d *divergences) replace(now map[string]string) (over []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.told {
		if _, still := now[name]; !still {
			over = append(over, name)
		}
	}
	slices.Sort(over)
	d.told = now
	return over
}

// apiDiff answers /v1/diff. broker, unless empty, is a name whose topics are compared too.
func (n *Node) apiDiff(ctx context.Context, limit int, broker string) api.Diff {
	v := api.Diff{Agree: true, Nodes: []api.DiffNode{}, Brokers: []api.DiffBroker{}, Drifts: []api.Drift{}}
	if n.depart == nil {
		return v
	}
	g := n.depart.gossip
	known, _ := g.Digests()
	v.Gossip, v.Node, v.Cluster = true, g.Self().Name, n.depart.cluster
	v.Nodes = append(v.Nodes, api.DiffNode{Name: v.Node, Self: true, Compared: true, Brokers: len(known.Held), Skipped: known.Skipped})
	for i := range known.Peers {
		p := &known.Peers[i]
		v.Nodes = append(v.Nodes, api.DiffNode{
			Name: p.Name, Compared: p.Compared && !p.Silent, Brokers: p.Count, Skipped: p.Skipped, Waiting: p.Waiting,
			Why: notCompared(p),
		})
	}
	for _, m := range g.AllMembers() {
		if m.State == gossip.StateFailed {
			v.Nodes = append(v.Nodes, api.DiffNode{Name: m.Name, Why: "it was lost " + seconds(m.Gone) + " ago"})
		}
	}
	v.Complete = len(v.Nodes) > 1 && !slices.ContainsFunc(v.Nodes, func(n api.DiffNode) bool { return !n.Compared })
	c := n.clues(&known)
	for _, d := range gather(v.Node, &known) {
		if !d.settled {
			v.Settling++
			continue
		}
		v.Total++
		if len(v.Brokers) < limit {
			v.Brokers = append(v.Brokers, apiDivergence(&d, &c))
		}
	}
	v.Drifts = append(v.Drifts, drifts(&known)...)
	v.Agree = v.Total == 0 && len(v.Drifts) == 0
	n.askMore(ctx, &v, &known, broker)
	return v
}

func notCompared(p *digest.PeerView) string {
	switch {
	case !p.Heard && !p.Silent:
		return "it has just joined"
	case !p.Heard:
		return "it says nothing: its version has no digests"
	case p.Silent:
		return "it said nothing for " + seconds(p.HeardAgo)
	case !p.Compared:
		return "being compared"
	}
	return ""
}

func apiDivergence(d *divergence, c *clues) api.DiffBroker {
	b := api.DiffBroker{
		Cluster: d.key.Cluster, Broker: d.key.Name, ID: d.key.ID, Addr: d.key.Addr,
		Since: time.Now().Add(-d.lasts).Round(time.Millisecond), LastsMS: millis(d.lasts),
	}
	b.Reason, b.Why = d.reason(c)
	for i := range d.held {
		h := &d.held[i]
		one := api.DiffHolding{Node: h.node, Held: h.has}
		if h.has {
			version := api.DataVersion{StateVersion: h.item.Version.State, Timestamp: h.item.Version.Timestamp, Counter: h.item.Version.Counter}
			one.DataVersion, one.Topics, one.Writable = &version, int(h.item.Topics), int(h.item.Writable)
			one.Hash = fmt.Sprintf("%016x", h.item.Hash)
			if h.item.Kept > 0 {
				one.Kept = outcomeName(tombstone.Outcome(h.item.Kept - 1))
			}
		}
		b.Nodes = append(b.Nodes, one)
	}
	return b
}

// askMore asks members which keys, options and topics differ, all at once.
func (n *Node) askMore(ctx context.Context, v *api.Diff, known *digest.View, broker string) {
	ctx, cancel := context.WithTimeout(ctx, diffAskTime)
	defer cancel()
	var group sync.WaitGroup
	asked := 0
	ask := func(name string, subject digest.Subject, of string, into *api.Names) {
		i := slices.IndexFunc(known.Peers, func(p digest.PeerView) bool { return p.Name == name && p.Heard })
		if i < 0 || asked >= diffAskAtOne {
			into.More, into.Error = true, "not asked"
			return
		}
		asked++
		peer := known.Peers[i].Peer
		group.Go(func() {
			answer, err := n.depart.gossip.AskDigest(ctx, peer, subject, of)
			if err != nil {
				into.Error = err.Error()
				return
			}
			fillNames(into, &answer)
		})
	}
	for i := range v.Drifts {
		d := &v.Drifts[i]
		subject := digest.KV
		if d.What == "configuration" {
			subject = digest.Options
		}
		ask(d.Node, subject, "", &d.Names)
	}
	if broker != "" {
		for i := range known.Peers {
			v.Topics = append(v.Topics, api.DiffTopics{Node: known.Peers[i].Name, Broker: broker})
		}
		for i := range v.Topics {
			ask(v.Topics[i].Node, digest.Topics, broker, &v.Topics[i].Names)
		}
	}
	group.Wait()
	for i := range v.Topics {
		t := &v.Topics[i]
		v.Agree = v.Agree && len(t.OnlyHere)+len(t.OnlyThere)+len(t.Differ) == 0
	}
}

func fillNames(a *api.Names, answer *digest.Answer) {
	a.More = answer.Cut
	for i, d := range answer.Deltas {
		if i >= diffNames {
			a.More = true
			return
		}
		name := d.Name
		if d.Cluster != "" {
			name = d.Cluster + "/" + name
		}
		switch {
		case d.Here && d.There:
			a.Differ = append(a.Differ, name)
		case d.Here:
			a.OnlyHere = append(a.OnlyHere, name)
		default:
			a.OnlyThere = append(a.OnlyThere, name)
		}
	}
}

func (n *Node) serveDiff(w http.ResponseWriter, r *http.Request) {
	limit, fault := limitOf(r)
	broker := r.URL.Query().Get("broker")
	if len(broker) > digest.MaxSubject {
		fault = "broker: want a name of at most " + strconv.Itoa(digest.MaxSubject) + " bytes"
	}
	if fault != "" {
		writeJSON(w, http.StatusBadRequest, api.Error{Error: fault})
		return
	}
	if broker != "" && n.depart != nil && !n.held(broker) {
		writeJSON(w, http.StatusNotFound, api.Error{Error: fmt.Sprintf("broker: no node holds one of the name %q; see /v1/brokers", broker)})
		return
	}
	writeJSON(w, http.StatusOK, n.apiDiff(r.Context(), limit, broker))
}

// held says that a broker of that name is held here, or known to be held elsewhere.
func (n *Node) held(broker string) bool {
	known, _ := n.depart.gossip.Digests()
	for key := range known.Held {
		if key.Name == broker {
			return true
		}
	}
	return slices.ContainsFunc(known.Peers, func(p digest.PeerView) bool {
		return slices.ContainsFunc(p.Differences, func(d digest.Difference) bool { return d.Key.Name == broker && d.HasThere })
	})
}

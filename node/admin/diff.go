package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/divergence"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const (
	diffAskTime  = 2 * time.Second // for members to say which topics, keys or options differ
	diffAskAtOne = 8               // members asked for one request
	diffNames    = 100             // names shown of one member
)

// Diff is what /v1/diff answers. broker, unless empty, is a name whose topics are compared too.
func Diff(ctx context.Context, view View, limit int, broker string) api.Diff {
	v := api.Diff{Agree: true, Nodes: []api.DiffNode{}, Brokers: []api.DiffBroker{}, Drifts: []api.Drift{}}
	d := view.Departures()
	if d == nil {
		return v
	}
	g := d.Gossip()
	known, _ := g.Digests()
	v.Gossip, v.Node, v.Cluster = true, g.Self().Name, d.Cluster()
	self := api.DiffNode{Name: v.Node, Self: true, Compared: true, Brokers: len(known.Held), Skipped: known.Skipped}
	if self.Skipped > 0 {
		self.Compared, self.Why = false, tooMany("it", self.Brokers)
	}
	v.Nodes = append(v.Nodes, self)
	for i := range known.Peers {
		p := &known.Peers[i]
		v.Nodes = append(v.Nodes, api.DiffNode{
			Name: p.Name, Compared: compared(p), Brokers: p.Count, Skipped: p.Skipped, Waiting: p.Waiting,
			Why: notCompared(p, &known),
		})
	}
	for _, m := range g.AllMembers() {
		if m.State == gossip.StateFailed {
			v.Nodes = append(v.Nodes, api.DiffNode{Name: m.Name, Why: "it was lost " + divergence.Seconds(m.Gone) + " ago"})
		}
	}
	v.Complete = len(v.Nodes) > 1 && !slices.ContainsFunc(v.Nodes, func(n api.DiffNode) bool { return !n.Compared })
	found, settling := divergence.Find(v.Node, &known, clues(view, &known))
	v.Total, v.Settling = len(found), settling
	for i := range found[:min(limit, len(found))] {
		v.Brokers = append(v.Brokers, diffBroker(&found[i]))
	}
	for _, d := range divergence.Drifts(&known) {
		v.Drifts = append(v.Drifts, api.Drift{What: d.What, Node: d.Node, LastsMS: millis(d.Lasts)})
	}
	v.Agree = v.Total == 0 && len(v.Drifts) == 0
	askMore(ctx, g, &v, &known, broker)
	return v
}

// compared says that what does not differ between the member and this node is known to be the same.
func compared(p *digest.PeerView) bool { return p.Compared && !p.Silent && !p.Partly }

// notCompared says why that is not so.
func notCompared(p *digest.PeerView, v *digest.View) string {
	switch {
	case !p.Heard && !p.Silent:
		return "it has just joined"
	case !p.Heard:
		return "it says nothing: its version has no digests"
	case p.Silent:
		return "it said nothing for " + divergence.Seconds(p.HeardAgo)
	case !p.Compared:
		return "being compared"
	case p.Skipped > 0:
		return tooMany("it", p.Count+p.Skipped)
	case v.Skipped > 0:
		return tooMany("this node", len(v.Held))
	}
	return ""
}

func tooMany(who string, brokers int) string {
	return fmt.Sprintf("%s serves %d broker addresses, and %d of one node are compared", who, brokers, digest.MaxCompared)
}

// clues reads what the node knows of why nodes differ.
func clues(view View, known *digest.View) func() *divergence.Clues {
	return func() *divergence.Clues {
		hosts := view.Vanished().Status()
		return divergence.CluesOf(view.Departures().Gossip(), known, view.Up(), &hosts)
	}
}

func diffBroker(d *divergence.Found) api.DiffBroker {
	b := api.DiffBroker{
		Cluster: d.Key.Cluster, Broker: d.Key.Name, ID: d.Key.ID, Addr: d.Key.Addr,
		Since: time.Now().Add(-d.Lasts).Round(time.Millisecond), LastsMS: millis(d.Lasts), Reason: d.Kind, Why: d.Why,
	}
	for i := range d.Held {
		h := &d.Held[i]
		one := api.DiffHolding{Node: h.Node, Held: h.Has}
		if h.Has {
			version := api.DataVersion(h.Item.Version)
			one.DataVersion, one.Topics, one.Writable = &version, int(h.Item.Topics), int(h.Item.Writable)
			one.Hash = fmt.Sprintf("%016x", h.Item.Hash)
			if kept := tombstone.Outcome(h.Item.Kept - 1); h.Item.Kept > 0 && kept.Kept() {
				one.Kept = kept.Name()
			}
		}
		b.Nodes = append(b.Nodes, one)
	}
	return b
}

// askMore asks members which keys, options and topics differ, all at once.
func askMore(ctx context.Context, g *gossip.Gossip, v *api.Diff, known *digest.View, broker string) {
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
			answer, err := g.AskDigest(ctx, peer, subject, of)
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
		if d.What == divergence.Configuration {
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

func (h *Server) serveDiff(w http.ResponseWriter, r *http.Request) {
	limit, fault := limitOf(r)
	broker := r.URL.Query().Get("broker")
	if len(broker) > digest.MaxSubject {
		fault = "broker: want a name of at most " + strconv.Itoa(digest.MaxSubject) + " bytes"
	}
	if fault != "" {
		writeJSON(w, http.StatusBadRequest, api.Error{Error: fault})
		return
	}
	if broker != "" && h.view.Departures() != nil && !held(h.view.Departures().Gossip(), broker) {
		writeJSON(w, http.StatusNotFound, api.Error{Error: fmt.Sprintf("broker: no node holds one of the name %q; see /v1/brokers", broker)})
		return
	}
	writeJSON(w, http.StatusOK, Diff(r.Context(), h.view, limit, broker))
}

// held says that a broker of that name is held here, or known to be held elsewhere.
func held(g *gossip.Gossip, broker string) bool {
	known, _ := g.Digests()
	for key := range known.Held {
		if key.Name == broker {
			return true
		}
	}
	return slices.ContainsFunc(known.Peers, func(p digest.PeerView) bool {
		return slices.ContainsFunc(p.Differences, func(d digest.Difference) bool { return d.Key.Name == broker && d.HasThere })
	})
}

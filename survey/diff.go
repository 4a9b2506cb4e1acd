package survey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/remoting/body"

	"github.com/epitaph-mq/epitaph/order"
)

// Plan is what a look is going to ask for.
type Plan struct {
	Topics, Requests int
	Brokers          int // addresses that they list
}

// Survey compares NameServers.
type Survey struct {
	Targets    []Target
	Namespaces []string // of the KV store, beside that of order configurations
	Limit      int      // so many topics are told in full; the rest are counted
	Settle     time.Duration
	Confirm    func(Plan) error      // told before routes are asked for; an error ends it. May be nil
	Progress   func(done, total int) // of the routes of a look, often and by several at once. May be nil
	// Try lets one of our nodes try an address of a broker; the error says why it did not, and again whether it answers at all. Nil:
	// nobody is asked.
	Try    func(ctx context.Context, addr string) (tried *Tried, again bool, err error)
	access *Access
	peers  []*Peer
	stats  *topicStats // of the routes of the first look; nil: nobody wants them
}

// New is a survey of targets. Close it.
func New(targets []Target, access Access) *Survey {
	s := &Survey{Targets: targets, access: &access, Limit: 100, Settle: 5 * time.Second}
	for _, t := range targets {
		s.peers = append(s.peers, NewPeer(t.Addr, NameServer, s.access))
	}
	return s
}

// Close ends all connections.
func (s *Survey) Close() {
	for _, p := range s.peers {
		p.Close()
	}
}

// Within bounds connections and answers anew.
func (s *Survey) Within(timeout time.Duration) { s.access.Timeout = timeout }

// Result is what two looks found.
type Result struct {
	Views    []*View      // of the last look, one for each target
	Told     []Difference // seen twice, with the same values
	Once     []Difference // seen once, or with other values each time: an update may be on its way
	More     int          // topics that differ beyond those told
	Notes    []string     // what an option explains, and what was not compared
	Missing  []string     // what could not be asked
	Topics   int          // that were compared
	Requests int
	Slowed   int // times that the rate was halved
}

// Agree says that nothing that was compared differs.
func (r *Result) Agree() bool { return len(r.Told) == 0 && r.More == 0 }

// Complete says that everything was compared.
func (r *Result) Complete() bool { return len(r.Missing) == 0 }

// Compared is how many NameServers were.
func (r *Result) Compared() (n int) {
	for _, v := range r.Views {
		if v.Fault == nil {
			n++
		}
	}
	return n
}

// Diff looks twice, Settle apart, unless the first look finds that all agree.
func (s *Survey) Diff(ctx context.Context) (*Result, error) {
	t := newTopics(len(s.peers))
	views := s.facts(ctx, t)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	leftOut := uneven(views)
	if err := s.confirm(t, views); err != nil {
		return nil, err
	}
	if s.stats != nil {
		s.stats.begin(t, views)
	}
	s.routes(ctx, t, views, leftOut)
	first := Compare(views)
	compared := routesKnown(views)
	var topics []int
	for i := range t.names {
		if t.differ(i, compared) {
			topics = append(topics, i)
		}
	}
	r := &Result{Views: views, Topics: len(t.names)}
	if ctx.Err() == nil && len(first)+len(topics) > 0 {
		if err := s.again(ctx, r, t, leftOut, first, topics); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.tell(s.Targets)
	s.count(r)
	return r, nil
}

// count sums up what was sent so far.
func (s *Survey) count(r *Result) {
	r.Requests, r.Slowed = 0, 0
	for _, p := range s.peers {
		r.Requests += p.Asked()
		r.Slowed += p.pace.slowed()
	}
}

// settle waits as long as two looks are apart; false: ctx ended meanwhile.
func (s *Survey) settle(ctx context.Context) bool {
	timer := time.NewTimer(s.Settle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Survey) confirm(t *topics, views []*View) error {
	if s.Confirm == nil {
		return nil
	}
	plan := Plan{Topics: len(t.names)}
	for i, v := range views {
		plan.Requests += len(s.wanted(t, i, v)) + lookFacts + len(s.Namespaces)
	}
	plan.Brokers = len(advertised(views))
	return s.Confirm(plan)
}

// again is the second look: only at what differed in the first.
func (s *Survey) again(ctx context.Context, r *Result, t *topics, leftOut map[string]bool, first []Difference, differing []int) error {
	if !s.settle(ctx) {
		return ctx.Err()
	}
	former := r.Views
	r.Views = s.facts(ctx, nil)
	for i, v := range r.Views { // what the first look said of routes still holds
		v.Notes, v.Missing = union(former[i].Notes, v.Notes), union(former[i].Missing, v.Missing)
		v.listed, v.Known[KindTopic] = former[i].listed, former[i].Known[KindTopic] && v.Fault == nil
	}
	second := Compare(r.Views)
	for i := range second {
		d := &second[i]
		at := slices.IndexFunc(first, func(o Difference) bool { return o.same(d) })
		r.add(d, at >= 0)
	}
	for i := range first {
		if !slices.ContainsFunc(second, func(o Difference) bool { return o.Subject == first[i].Subject }) {
			r.Once = append(r.Once, first[i])
		}
	}
	return s.topicsAgain(ctx, r, t, leftOut, differing)
}

// add takes a difference to where it belongs.
func (r *Result) add(d *Difference, twice bool) {
	switch why := d.explained(r.Views); {
	case why != "":
		if note := fmt.Sprintf("%s: %s", d.Subject, why); !slices.Contains(r.Notes, note) {
			r.Notes = append(r.Notes, note)
		}
	case twice:
		r.Told = append(r.Told, *d)
	default:
		r.Once = append(r.Once, *d)
	}
}

func (s *Survey) topicsAgain(ctx context.Context, r *Result, t *topics, leftOut map[string]bool, differing []int) error {
	compared := routesKnown(r.Views)
	order.By(differing, func(a, b int) int { return strings.Compare(t.names[a], t.names[b]) })
	told := 0
	for n, i := range differing {
		if s.Progress != nil {
			s.Progress(n, len(differing))
		}
		routes := make([]*body.TopicRoute, len(s.peers))
		sums := make([]uint64, len(s.peers))
		var all sync.WaitGroup
		for server, p := range s.peers {
			sums[server] = unasked
			if compared[server] && t.sums[server][i] != unasked {
				all.Go(func() {
					if route, err := s.route(ctx, p, t.names[i]); err == nil {
						routes[server], sums[server] = route, t.sum(route, leftOut)
					}
				})
			}
		}
		all.Wait()
		if err := ctx.Err(); err != nil {
			return err
		}
		twice := true
		for server := range sums {
			twice = twice && (!compared[server] || sums[server] == t.sums[server][i])
		}
		if told >= s.Limit && twice {
			r.More++
			continue
		}
		views := make([]*View, len(s.peers))
		for server, route := range routes {
			views[server] = &View{Known: map[Kind]bool{KindTopic: sums[server] != unasked}}
			if route != nil {
				views[server].Facts = routeFacts(t.names[i], route)
				for subject := range views[server].Facts {
					if leftOut[subject.Broker] {
						delete(views[server].Facts, subject)
					}
				}
			}
		}
		for _, d := range Compare(views) {
			r.add(&d, twice)
		}
		told++
	}
	sortDifferences(r.Told)
	sortDifferences(r.Once)
	return nil
}

func union(a, b []string) []string {
	for _, text := range b {
		if !slices.Contains(a, text) {
			a = append(a, text)
		}
	}
	return a
}

// Glance compares all but routes: one look, and a second one, Settle later, at what differs.
func (s *Survey) Glance(ctx context.Context) (*Result, error) {
	r := &Result{Views: s.facts(ctx, nil)}
	for _, v := range r.Views {
		v.listed = true // nobody was asked
	}
	if first := Compare(r.Views); ctx.Err() == nil && len(first) > 0 {
		if err := s.again(ctx, r, newTopics(len(s.peers)), nil, first, nil); err != nil {
			return nil, err
		}
	}
	r.tell(s.Targets)
	return r, ctx.Err()
}

// tell sums up what was not compared.
func (r *Result) tell(targets []Target) {
	for i, v := range r.Views {
		if v.Fault != nil {
			r.Missing = append(r.Missing, v.Fault.Error())
			continue
		}
		for _, n := range v.Notes {
			r.Notes = append(r.Notes, targets[i].Addr+": "+n)
		}
		for _, n := range v.Missing {
			r.Missing = append(r.Missing, targets[i].Addr+": "+n)
		}
	}
	// What every NameServer hides is nobody's topic.
	if !slices.ContainsFunc(r.Views, func(v *View) bool { return v.listed }) && r.Compared() > 0 {
		r.Missing = append(r.Missing, "no NameServer lists its topics, so no routes were compared")
	}
}

func routesKnown(views []*View) []bool {
	known := make([]bool, len(views))
	for i, v := range views {
		known[i] = v.Fault == nil && v.Known[KindTopic]
	}
	return known
}

// uneven is the brokers that some NameServers have and others not: what they serve is no difference of its own.
func uneven(views []*View) map[string]bool {
	count, compared := map[string]int{}, 0
	for _, v := range views {
		if v.Fault != nil {
			continue
		}
		compared++
		had := map[string]bool{}
		for _, g := range v.Groups {
			had[g.Broker] = true
		}
		for name := range had {
			count[name]++
		}
	}
	out := map[string]bool{}
	for name, n := range count {
		out[name] = n < compared
	}
	return out
}

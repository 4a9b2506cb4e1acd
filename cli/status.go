package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

const (
	clocksApart    = 5 * time.Second  // from which on clocks are a fault
	recentConflict = 10 * time.Minute // a contradiction that is older has been seen
	memberAsk      = 3 * time.Second  // for a member to answer
)

// clusterStatus is what status prints: one cluster, as one of its nodes and every member that can be asked see it.
type clusterStatus struct {
	Node        string         `json:"node,omitempty"`
	Cluster     string         `json:"cluster,omitempty"`
	Members     []memberStatus `json:"members"`
	Agree       bool           `json:"agree"`
	Differences []string       `json:"differences"` // brokers that members serve differently, and drifts
	Conflicts   uint64         `json:"conflicts"`   // since the node started
	HeldUntil   *time.Time     `json:"held_until,omitempty"`
	Keys        []string       `json:"keys"`     // fingerprints of the gossip keys
	Problems    []string       `json:"problems"` // what should not be so
	Missing     []string       `json:"missing"`  // what could not be asked
	Notes       []string       `json:"notes"`
}

// memberStatus is one member, or one NameServer of -n. What nobody knows of it is left out.
type memberStatus struct {
	Name       string   `json:"name"`
	NameServer string   `json:"nameserver,omitempty"`
	State      string   `json:"state"` // "self", "alive", "failed"; of -n "answers", "silent"
	Ready      bool     `json:"ready"`
	Phase      string   `json:"phase,omitempty"`
	Version    string   `json:"version,omitempty"`
	Brokers    *int     `json:"brokers,omitempty"` // addresses
	Topics     *int     `json:"topics,omitempty"`
	ClockMS    *float64 `json:"clock_ms,omitempty"` // ahead of the machine that asks; by half of the time of its answer at most wrong
}

func (p *program) statusCommand() *command.Command {
	var v view
	s := &surveyed{p: p, servers: &v.nameServer.addr}
	return p.inspect(command.Command{
		Name:      "status",
		Usage:     "show the whole cluster on one screen",
		UsageText: "epitaph status [--socket PATH | -a HOST:PORT | -n HOST:PORT,...] [--json]",
		Description: `The first command of every incident: all members as one node sees them, which are ready, what each serves, where they
disagree, which registrations contradict each other, whether evictions are on hold, gossip keys, and clocks. One question
goes to each member that has an HTTP listener (--http); of the others stands here what gossip told. With -n any NameServers are
asked, the Java ones too. What to do next: epitaph doctor.
Ends with 0 when all is well, with 1 when something is not, with 2 when it was asked wrongly, and with 3 when nothing is wrong but something
could not be asked.
    CLOCK     ahead of that of this machine`,
		Flags: s.accessFlags(),
	}, &v, func(ctx context.Context, _ []string) error { return v.showStatus(ctx, s) })
}

func (v *view) showStatus(ctx context.Context, s *surveyed) (err error) {
	var c *clusterStatus
	if *s.servers != "" {
		c, err = v.statusOfServers(ctx, s)
	} else {
		c, err = v.statusOfMembers(ctx)
	}
	if err != nil {
		return err
	}
	if v.json {
		err = v.printAsJSON(c)
	} else {
		err = v.status(c)
	}
	switch {
	case err != nil:
		return err
	case len(c.Problems) > 0:
		return errors.New(plural(len(c.Problems), "thing is not as it should be", "things are not as they should be"))
	case len(c.Missing) > 0:
		return &command.Exit{Status: command.Silent, Err: errors.New("not everything could be asked")}
	}
	return nil
}

// nodeAnswers are what one node is asked.
type nodeAnswers struct {
	members    api.Members
	diff       api.Diff
	tombstones api.Tombstones
	conflicts  api.Conflicts
	loads      map[string]memberLoad // by HTTP address; "" is the node itself
}

// memberLoad is what a member answered; err says why it did not.
type memberLoad struct {
	load        api.Load
	asked, came time.Time
	err         error
}

func (v *view) statusOfMembers(ctx context.Context) (*clusterStatus, error) {
	quiet := *v
	quiet.json = false
	a := nodeAnswers{loads: map[string]memberLoad{}}
	for path, into := range map[string]any{"/v1/members": &a.members, "/v1/diff?limit=100": &a.diff, "/v1/tombstones?limit=1": &a.tombstones, "/v1/conflicts?limit=1": &a.conflicts} {
		if _, err := quiet.askJSON(ctx, path, into); err != nil {
			return nil, &command.Exit{Status: command.Silent, Err: err}
		}
	}
	var mu sync.Mutex // guards loads
	var all sync.WaitGroup
	ask := func(key string, node target) {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, memberAsk)
			defer cancel()
			l := memberLoad{asked: v.now()}
			status, body, err := send(ctx, http.MethodGet, node, "/v1/load")
			l.came = v.now()
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("%s answers %d", node, status)
			}
			if err == nil {
				err = json.Unmarshal(body, &l.load)
			}
			l.err = err
			mu.Lock()
			defer mu.Unlock()
			a.loads[key] = l
		})
	}
	ask("", v.node)
	for _, m := range a.members.Members {
		if !m.Self && m.State == "alive" && reachedAt(&m, m.HTTP) {
			ask(m.HTTP, target{http: m.HTTP, named: true})
		}
	}
	all.Wait()
	return statusOf(&a, v.when(a.members.Asked)), nil
}

// reachedAt says that a member's address leads to it: a loopback address does only where its gossip is on loopback, too.
func reachedAt(m *api.Member, addr string) bool {
	return addr != "" && (!thisMachine(addr) || thisMachine(m.Addr))
}

// statusOf puts together what a node and its members answered. now is the node's.
func statusOf(a *nodeAnswers, now time.Time) *clusterStatus {
	c := &clusterStatus{
		Node: a.members.Node, Cluster: a.members.Cluster, Members: []memberStatus{}, Agree: a.diff.Agree, Conflicts: a.conflicts.Total,
		HeldUntil: a.tombstones.HeldUntil, Keys: append([]string{}, a.members.Keys...),
		Differences: []string{}, Problems: []string{}, Missing: []string{}, Notes: []string{},
	}
	if !a.members.Gossip {
		c.Agree = true
		c.Notes = append(c.Notes, "this node gossips with nobody")
		if a.members.KV != "" {
			c.Problems = append(c.Problems, "this node"+routesAlone)
		}
		c.add(memberStatus{Name: "this node", State: "self"}, a.loads[""])
		return c
	}
	brokers := map[string]*int{}
	for i := range a.diff.Nodes {
		brokers[a.diff.Nodes[i].Name] = &a.diff.Nodes[i].Brokers
	}
	for _, m := range a.members.Members {
		one := memberStatus{Name: m.Name, NameServer: m.NameServer, State: m.State, Ready: m.Ready, Phase: m.Phase, Version: m.Release, Brokers: brokers[m.Name]}
		load, asked := a.loads[m.HTTP]
		switch {
		case m.Self:
			one.State = "self"
			load, asked = a.loads[""], true
		case m.State == "left":
			continue
		case m.State != "alive":
			c.Problems = append(c.Problems, fmt.Sprintf("%s failed %s ago without a word: start it again, or epitaph force-leave %s", m.Name, span(milliseconds(m.GoneMS)), m.Name))
			one.Brokers, one.Ready = nil, false
			asked = false
		case !reachedAt(&m, m.HTTP):
			asked = false
		}
		if m.KV != "" {
			c.Problems = append(c.Problems, m.Name+routesAlone)
		}
		if m.OnlyTCP {
			c.Notes = append(c.Notes, m.Name+" answers gossip by TCP alone: UDP may be blocked on the way (port of --gossip)")
		}
		if !asked {
			load = memberLoad{err: errNotAsked}
		}
		c.add(one, load)
	}
	c.disagreements(a)
	c.clocks()
	if n := a.conflicts.Total; n > 0 && len(a.conflicts.Conflicts) > 0 {
		newest := a.conflicts.Conflicts[0]
		text := fmt.Sprintf("%s since this node started, the newest %s: %s (id %d): %s; epitaph conflicts", plural(int(n), "contradicting registration", "contradicting registrations"),
			ago(newest.At, now), newest.Broker, newest.ID, conflictWords(newest.Kind))
		if now.Sub(newest.At) < recentConflict {
			c.Problems = append(c.Problems, text)
		} else {
			c.Notes = append(c.Notes, text)
		}
	}
	if c.HeldUntil != nil && c.HeldUntil.After(now) {
		c.Notes = append(c.Notes, fmt.Sprintf("evictions by tombstone are on hold for another %s", span(c.HeldUntil.Sub(now))))
	}
	if len(c.Keys) == 0 {
		c.Notes = append(c.Notes, "gossip is NOT encrypted")
	}
	return c
}

// routesAlone is what is wrong with a node that --kv-missing=serve started.
const routesAlone = " serves routes alone, without its KV store: its log says what to do"

// errNotAsked says that a member has no listener for a question.
var errNotAsked = errors.New("not asked")

// add takes up a member and what it answered.
func (c *clusterStatus) add(one memberStatus, l memberLoad) {
	switch {
	case l.err == nil:
		one.Ready = l.load.Ready
		registrations, topics := l.load.Registrations, l.load.Topics
		one.Brokers, one.Topics = &registrations, &topics
		ahead := float64(l.load.At.Sub(l.asked.Add(l.came.Sub(l.asked)/2)).Microseconds()) / 1000
		one.ClockMS = &ahead
		if !one.Ready {
			c.Problems = append(c.Problems, fmt.Sprintf("%s is not ready: %s", one.Name, l.load.Why))
		}
		if n := l.load.SharedSources; n > 0 {
			c.Notes = append(c.Notes, fmt.Sprintf("%s sees brokers of several hosts come from %s (NAT, a balancer): its log says which; see --tombstones-from",
				one.Name, plural(n, "source address", "source addresses")))
		}
	case errors.Is(l.err, errNotAsked):
		if !one.Ready && one.State == "alive" {
			c.Problems = append(c.Problems, fmt.Sprintf("%s is not ready: %s", one.Name, cmp.Or(one.Phase, "unknown")))
		}
	default:
		c.Missing = append(c.Missing, fmt.Sprintf("%s: %v", one.Name, l.err))
	}
	c.Members = append(c.Members, one)
}

func (c *clusterStatus) disagreements(a *nodeAnswers) {
	for i := range a.diff.Brokers {
		b := &a.diff.Brokers[i]
		c.Differences = append(c.Differences, fmt.Sprintf("%s (id %d) at %s, for %s: %s", b.Broker, b.ID, b.Addr, span(milliseconds(b.LastsMS)), b.Why))
	}
	for i := range a.diff.Drifts {
		d := &a.diff.Drifts[i]
		what := "configuration"
		if d.What == "kv" {
			what = "KV store"
		}
		c.Differences = append(c.Differences, fmt.Sprintf("%s has another %s for %s", d.Node, what, span(milliseconds(d.LastsMS))))
	}
	if !a.diff.Agree {
		c.Problems = append(c.Problems, fmt.Sprintf("%s: epitaph diff", plural(len(c.Differences), "difference between members", "differences between members")))
	}
	for _, n := range a.diff.Nodes {
		if !n.Compared && !n.Waiting && !slices.ContainsFunc(c.Problems, func(p string) bool { return strings.HasPrefix(p, n.Name+" ") }) {
			c.Missing = append(c.Missing, n.Name+" is not compared: "+n.Why)
		}
	}
}

// clocks compares those of members with each other: this machine's may be the wrong one.
func (c *clusterStatus) clocks() {
	least, most := -1, -1
	for i := range c.Members {
		ms := c.Members[i].ClockMS
		if ms == nil {
			continue
		}
		if least < 0 || *ms < *c.Members[least].ClockMS {
			least = i
		}
		if most < 0 || *ms > *c.Members[most].ClockMS {
			most = i
		}
	}
	if least < 0 {
		return
	}
	if apart := milliseconds(*c.Members[most].ClockMS - *c.Members[least].ClockMS); apart >= clocksApart {
		c.Problems = append(c.Problems, fmt.Sprintf("the clock of %s is %s ahead of that of %s", c.Members[most].Name, span(apart), c.Members[least].Name))
	}
}

// statusOfServers is the same of any NameServers.
func (v *view) statusOfServers(ctx context.Context, s *surveyed) (*clusterStatus, error) {
	s.settle = time.Second
	sv, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer sv.Close()
	s.announce(sv)
	ctx, stop := s.begin(ctx)
	defer stop()
	r, err := sv.Glance(ctx)
	if err != nil {
		return nil, err
	}
	c := &clusterStatus{Members: []memberStatus{}, Agree: r.Agree(), Keys: []string{}, Differences: []string{}, Problems: []string{}, Missing: append([]string{}, r.Missing...), Notes: append([]string{}, r.Notes...)}
	for i, one := range serversAsJSON(sv.Targets, r.Views) {
		m := memberStatus{Name: one.Name, NameServer: one.Addr, State: "answers", Ready: one.Fault == "", Version: one.Version}
		if one.Fault != "" {
			m.State = "silent"
		} else {
			n := 0
			for _, g := range r.Views[i].Groups {
				n += len(g.Addrs)
			}
			m.Brokers = &n
		}
		c.Members = append(c.Members, m)
	}
	for i := range r.Told {
		d := &r.Told[i]
		c.Differences = append(c.Differences, d.Subject.String()+": "+d.Spoken(sv.Targets))
	}
	if !c.Agree {
		c.Problems = append(c.Problems, plural(len(c.Differences), "difference", "differences")+" between NameServers: epitaph diff -n")
	}
	for _, d := range r.Once {
		c.Notes = append(c.Notes, "seen once, an update may be on its way: "+d.Subject.String()+": "+d.Spoken(sv.Targets))
	}
	return c, nil
}

// answering is how many can be compared.
func (c *clusterStatus) answering() (n int) {
	for _, m := range c.Members {
		if m.State != "silent" && m.State != "failed" {
			n++
		}
	}
	return n
}

func (v *view) status(c *clusterStatus) error {
	ready := 0
	t := newTable("MEMBER", "STATE", "READY", "VERSION", "BROKERS", "TOPICS", "CLOCK", "NAMESERVER")
	t.keep = 7
	number := func(n *int) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	for _, m := range c.Members {
		row := []string{m.Name, m.State, "no", orDash(m.Version), number(m.Brokers), number(m.Topics), "-", orDash(m.NameServer)}
		if m.Ready {
			ready++
			row[2] = "yes"
		} else if m.Phase != "" && m.State == "alive" {
			row[2] = m.Phase
		}
		if m.ClockMS != nil {
			if row[6] = span(milliseconds(*m.ClockMS)); *m.ClockMS >= 0 {
				row[6] = "+" + row[6]
			}
		}
		t.add(row...)
	}
	agree := "they agree"
	switch {
	case !c.Agree:
		agree = "they DIFFER"
	case c.answering() < 2:
		agree = "nobody to compare with"
	}
	head := plural(len(c.Members), "NameServer", "NameServers")
	if c.Cluster != "" {
		head = fmt.Sprintf("Cluster %s as %s sees it: %s", c.Cluster, c.Node, plural(len(c.Members), "member", "members"))
	}
	v.lines(0, head, fmt.Sprintf("%d ready", ready), agree)
	if err := v.table(t); err != nil {
		return err
	}
	if len(c.Keys) > 0 {
		v.lines(0, "gossip key "+strings.Join(c.Keys, ", then "))
	}
	if len(c.Problems)+len(c.Differences)+len(c.Missing)+len(c.Notes) > 0 {
		fmt.Fprintln(v.out)
	}
	for _, text := range c.Problems {
		v.words(0, "WRONG: "+text)
	}
	for i, text := range c.Differences {
		if i == limitOfScreen {
			v.words(2, fmt.Sprintf("and %d more", len(c.Differences)-i))
			break
		}
		v.words(2, text)
	}
	for _, text := range c.Missing {
		v.words(0, "could not be asked: "+text)
	}
	for _, text := range c.Notes {
		v.words(0, "note: "+text)
	}
	return nil
}

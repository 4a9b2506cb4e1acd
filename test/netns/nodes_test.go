//go:build linux

package netns

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	servePort  = "9876"
	gossipPort = "7946"
	httpAddr   = "127.0.0.1:9886" // within the node's namespace
)

// server is a NameServer of either kind on a host of its own.
type server struct {
	*kit.Process
	host *host
	name string
	addr string // for brokers and clients
}

// epitaph is a node.
type epitaph struct {
	*server
	t    testing.TB // that it lives for
	dir  string
	args []string
	// binary is the program that it is; empty: this one.
	binary string
	http   http.Client
	// listed is the address in the lists of the address servers; empty where there are none.
	listed string
}

// world is a network with nodes that gossip with one key.
type world struct {
	*network
	t     testing.TB
	key   string
	nodes []*epitaph
}

// newWorld starts nodes that gossip, and waits until each knows all.
func newWorld(t testing.TB, names ...string) *world {
	t.Helper()
	return newWorldWith(t, nil, names...)
}

// newWorldWith is newWorld with more flags for each node.
func newWorldWith(t testing.TB, flags []string, names ...string) *world {
	t.Helper()
	return newWorldOn(t, newNetwork(t), flags, names...)
}

// newWorldOn is newWorldWith on a network that may have other worlds, with keys of their own.
func newWorldOn(t testing.TB, on *network, flags []string, names ...string) *world {
	t.Helper()
	w := &world{network: on, t: t, key: filepath.Join(t.TempDir(), "gossip.keys")}
	run(t, kit.Binary(t), "keygen", w.key)
	var hosts []*host
	var seeds []string
	for _, name := range names {
		h := w.host(name)
		hosts, seeds = append(hosts, h), append(seeds, net.JoinHostPort(h.IP, gossipPort))
	}
	for i, name := range names {
		w.nodes = append(w.nodes, w.start(hosts[i], name, append(slices.Clone(flags),
			"--gossip", net.JoinHostPort(hosts[i].IP, gossipPort), "--join", strings.Join(seeds, ","),
			"--cluster", "netns", "--name", name, "--gossip-key-file", w.key)...))
	}
	w.awaitMembers(len(names))
	return w
}

// start runs one node; without gossip when args are empty.
func (w *world) start(h *host, name string, args ...string) *epitaph {
	w.t.Helper()
	n := &epitaph{server: &server{host: h, name: name, addr: net.JoinHostPort(h.IP, servePort)}, t: w.t, dir: w.t.TempDir()}
	n.args = append([]string{"serve", "--http", httpAddr, "--data", n.dir}, args...)
	if len(args) > 0 {
		n.args = append(n.args, "--ready-after", "0s", "--join-wait", "2s") // the first one finds none of the others
	}
	if !slices.Contains(args, "--listen") {
		n.args = append(n.args, "--listen", n.addr)
	}
	n.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		return h.dial(addr, 5*time.Second)
	}}
	n.run()
	return n
}

// silent starts a node that gossips with nobody: what RocketMQ does without us.
func (w *world) silent(name string) *epitaph { return w.start(w.host(name), name) }

func (n *epitaph) run() {
	n.t.Helper()
	cmd := exec.Command(cmp.Or(n.binary, kit.Binary(n.t)), n.args...)
	n.host.within(func() { n.Process = kit.Start(n.t, cmd) })
	kit.Await(n.t, kit.Patience, "node "+n.name+" is ready", func() error {
		_, err := n.get("/readyz")
		return err
	})
}

// crash ends the node without a goodbye and starts it again.
func (n *epitaph) crash() {
	n.t.Helper()
	n.Kill()
	n.run()
}

// freeze stops the process as a whole, as a hypervisor would; its kernel goes on acknowledging.
func (n *epitaph) freeze(t testing.TB) {
	t.Helper()
	kit.Must(t, n.Signal(syscall.SIGSTOP))
}

func (n *epitaph) thaw(t testing.TB) {
	t.Helper()
	kit.Must(t, n.Signal(syscall.SIGCONT))
}

func (n *epitaph) get(path string) ([]byte, error) {
	status, body := kit.GetBy(&n.http, "http://"+httpAddr+path)
	if status != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %s", path, status, body)
	}
	return []byte(body), nil
}

func (n *epitaph) getJSON(path string, into any) error {
	body, err := n.get(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// metric is one series of /metrics, written as there: a name with its labels.
func (n *epitaph) metric(t testing.TB, series string) float64 {
	t.Helper()
	body, err := n.get("/metrics")
	kit.Must(t, err)
	value, err := kit.Series(string(body), series)
	if err != nil {
		t.Fatalf("node %s: %v", n.name, err)
	}
	return value
}

// noneRefuted fails where an eviction by a tombstone was found to be wrong.
func (w *world) noneRefuted(t testing.TB) {
	t.Helper()
	for _, n := range w.nodes {
		if refuted := n.metric(t, "epitaph_tombstone_refuted_total"); refuted != 0 {
			t.Errorf("%s: %v evictions refuted", n.name, refuted)
		}
	}
}

// says waits until the node has told something.
func (n *epitaph) says(t testing.TB, limit time.Duration, what string) {
	t.Helper()
	kit.Await(t, limit, n.name+" says "+what, func() error {
		if out := n.Output(); !strings.Contains(out, what) {
			return errors.New(kit.Tail(out, 1500))
		}
		return nil
	})
}

// mayJudgeAll waits until the node watches so many hosts, and may judge each.
func (n *epitaph) mayJudgeAll(t testing.TB, limit time.Duration, hosts int) {
	t.Helper()
	kit.Await(t, limit, n.name+" may judge every host", func() error {
		var v api.Vanished
		if err := n.getJSON("/v1/vanished", &v); err != nil {
			return err
		}
		if v.Watched != hosts || len(v.NotJudged) > 0 {
			return fmt.Errorf("%d watched, not judged: %v", v.Watched, v.NotJudged)
		}
		return nil
	})
}

// mayJudge waits until the node may judge a broker's host.
func (n *epitaph) mayJudge(t testing.TB, broker string) {
	t.Helper()
	kit.Await(t, kit.Patience, n.name+" may judge "+broker, func() error {
		var v api.Vanished
		err := n.getJSON("/v1/vanished?broker="+broker, &v)
		if err == nil && (len(v.Hosts) != 1 || v.Hosts[0].Brokers[0].NotJudged != "") {
			err = fmt.Errorf("%+v", v.Hosts)
		}
		return err
	})
}

// command is what an operator reads when he runs epitaph on the node's host.
func (n *epitaph) command(t testing.TB, args ...string) string {
	t.Helper()
	out, err := n.host.output(kit.Binary(t), args...)
	if err != nil {
		t.Fatalf("epitaph %v on %s: %v\n%s", args, n.name, err, out)
	}
	return out
}

// awaitMembers waits until every node of the world sees n living members.
func (w *world) awaitMembers(n int) {
	w.t.Helper()
	for _, one := range w.nodes {
		kit.Await(w.t, kit.Patience, fmt.Sprintf("%s sees %d members", one.name, n), func() error { return one.sees(n) })
	}
}

func (n *epitaph) sees(members int) error {
	var m api.Members
	if err := n.getJSON("/v1/members", &m); err != nil {
		return err
	}
	alive := 0
	for _, one := range m.Members {
		if one.State == "alive" {
			alive++
		}
	}
	if alive != members {
		return fmt.Errorf("it sees %d members alive: %+v", alive, m.Members)
	}
	return nil
}

// decisions are what a node did with the tombstones of a broker name, newest first: one for each node that told it.
func (n *epitaph) decisions(broker string) ([]api.Decision, error) {
	var all api.Tombstones
	if err := n.getJSON("/v1/tombstones", &all); err != nil {
		return nil, err
	}
	mine := slices.DeleteFunc(all.Decisions, func(d api.Decision) bool { return d.Broker != broker })
	if len(mine) == 0 {
		return nil, fmt.Errorf("node %s decided nothing about %s", n.name, broker)
	}
	return mine, nil
}

// decided waits until a node has decided about a broker as wanted, on what any other node told.
func (n *epitaph) decided(t testing.TB, broker, outcome string) api.Decision {
	t.Helper()
	var found api.Decision
	kit.Await(t, kit.Patience, n.name+" decides about "+broker+": "+outcome, func() error {
		all, err := n.decisions(broker)
		for _, d := range all {
			if d.Outcome == outcome {
				found = d
				return nil
			}
			err = fmt.Errorf("decided %s (%s)", d.Outcome, d.Why)
		}
		return err
	})
	return found
}

// report is what a member did according to the origin.
func (n *epitaph) report(broker, member string) (api.Report, error) {
	var all api.Tombstones
	if err := n.getJSON("/v1/tombstones", &all); err != nil {
		return api.Report{}, err
	}
	for _, o := range all.Own {
		for _, r := range o.Reports {
			if o.Broker == broker && r.Member == member {
				return r, nil
			}
		}
	}
	return api.Report{}, fmt.Errorf("node %s has no report of %s about %s", n.name, member, broker)
}

// own is a node's own tombstone of a broker.
func (n *epitaph) own(t testing.TB, broker string) api.Own {
	t.Helper()
	var all api.Tombstones
	kit.Must(t, n.getJSON("/v1/tombstones", &all))
	for _, o := range all.Own {
		if o.Broker == broker {
			return o
		}
	}
	t.Fatalf("node %s has no tombstone of %s", n.name, broker)
	return api.Own{}
}

// figuresShown wants the log line of an eviction with both comparisons in figures.
var figuresShown = regexp.MustCompile(`msg="tombstone judged".* outcome=.* life_margin=[1-9]\S* register_margin=[1-9]\S* age=[1-9]\S*`)

// evictionShown checks that an eviction of a broker at c can be seen where operators look: at the origin, at c, in the log.
func evictionShown(t testing.TB, origin, c *epitaph, broker string) {
	t.Helper()
	d := c.decided(t, broker, "evicted")
	if d.LifeMargin == nil || d.RegisterMargin == nil || *d.LifeMargin <= 0 || *d.RegisterMargin <= 0 || d.Origin == "" {
		t.Errorf("%s evicted %s without both comparisons above zero: %+v", c.name, broker, d)
	}
	var r api.Report
	kit.Await(t, kit.Patience, "report of "+c.name+" at "+origin.name, func() (err error) {
		if r, err = origin.report(broker, c.name); err == nil && r.State != "reported" {
			err = errors.New(r.State)
		}
		return err
	})
	if r.Outcome != "evicted" || r.AfterMS == nil {
		t.Errorf("%s says of %s: %+v", origin.name, c.name, r)
	}
	if out := origin.command(t, "tombstones"); !regexp.MustCompile(broker + `(?s:.*)\n +` + c.name + ` +[0-9.]+ ?m?s +evicted`).MatchString(out) {
		t.Errorf("epitaph tombstones at the origin does not say that %s evicted %s:\n%s", c.name, broker, out)
	}
	if out := c.command(t, "tombstones"); !strings.Contains(out, "older than proof of life") || !strings.Contains(out, broker) {
		t.Errorf("epitaph tombstones at %s does not show both comparisons:\n%s", c.name, out)
	}
	for line := range strings.Lines(c.Output()) {
		if strings.Contains(line, "broker="+broker+" ") && figuresShown.MatchString(line) {
			t.Log(strings.TrimSpace(line))
			return
		}
	}
	t.Errorf("the log of %s has no line with both comparisons in figures", c.name)
}

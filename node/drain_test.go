package node

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// A node that drains is in no clients' list, stays in the brokers', serves everybody as before and answers nobody with 1500;
// undrained it is back. Nothing of it, nor of its stop, makes a tombstone.
func TestDrain(t *testing.T) {
	t.Parallel()
	first := startNode(t, listing("n1"))
	second := startNode(t, listing("n2", first.Gossip().Addr()))
	broker, client := dial(t, second), dial(t, second)
	ask(t, dial(t, first), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	ask(t, broker, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	for _, n := range []*Node{first, second} {
		kit.Until(t, "both are listed", func() bool { return listed(n, "nsaddr") == bodyOf(first, second) })
	}
	serves := func() {
		t.Helper()
		for _, code := range []int32{remoting.GetRouteInfoByTopic, remoting.GetBrokerClusterInfo} {
			if a := ask(t, client, code, map[string]string{"topic": "TA"}, ""); a.Code != remoting.Success {
				t.Errorf("code %d is answered with %d: %s", code, a.Code, a.Remark)
			}
		}
		if a := ask(t, broker, remoting.RegisterBroker, brokerHeader("0"), twoTopics); a.Code != remoting.Success {
			t.Errorf("REGISTER is answered with %d: %s", a.Code, a.Remark)
		}
	}
	kit.Must(t, second.StartDrain())
	for _, n := range []*Node{first, second} {
		kit.Until(t, "who drains is gone from the clients' list", func() bool { return listed(n, "nsaddr") == bodyOf(first) })
		if got := listed(n, "brokers"); got != bodyOf(first, second) {
			t.Errorf("brokers are told %s", got)
		}
	}
	serves()
	if status, body := get(t, second, "/readyz"); status != http.StatusServiceUnavailable ||
		!regexp.MustCompile(`^not ready: draining \(for \d+ s; a client asked for a route \d+ s ago\)`).MatchString(body) {
		t.Errorf("%d %s", status, body)
	}
	kit.Until(t, "the other node tells it", func() bool {
		var m api.Members
		getJSON(t, first, "/v1/members", &m)
		return len(m.Members) == 2 && m.Members[1].Phase == "draining"
	})
	kit.Until(t, "the metrics tell it", func() bool {
		_, body := get(t, second, "/metrics")
		return strings.Contains(body, "epitaph_draining 1")
	})
	kit.Must(t, second.EndDrain())
	for _, n := range []*Node{first, second} {
		kit.Until(t, "it is back", func() bool { return listed(n, "nsaddr") == bodyOf(first, second) })
	}
	serves()
	kit.Must(t, second.StartDrain())
	kit.Must(t, second.Stop(context.WithoutCancel(t.Context())))
	for _, change := range []func() error{second.StartDrain, second.EndDrain} {
		if err := change(); err == nil || !strings.Contains(err.Error(), "being stopped") {
			t.Errorf("a node that has stopped drains, or ends that: %v", err)
		}
	}
	kit.Until(t, "it left", func() bool { return listed(first, "brokers") == bodyOf(first) })
	if ts := first.Tombstones(10); len(ts.Decisions)+len(ts.Own) > 0 || first.Table().Stats().Registrations != 1 {
		t.Errorf("a stop says something about a broker: %+v", ts)
	}
}

// safeToStop asks a node whether it may be stopped.
func safeToStop(t *testing.T, n *Node, method, query string) (a api.SafeToStop) {
	t.Helper()
	answer := httptest.NewRecorder()
	n.admin.SocketHandler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), method, "/v1/safe-to-stop"+query, nil))
	kit.Must(t, json.Unmarshal(answer.Body.Bytes(), &a))
	return a
}

// A node with KV values is not stopped while another one lacks its store or has other values; one that has none itself may be.
func TestStopThatLosesKVValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		without bool // the other one serves without its store
		why     string
	}{
		"the store of the other one is missing": {true, "n1 serves routes alone: its KV store is missing"},
		"the other one has no such value":       {false, "the KV values of n1 are not those of this node"},
	} {
		dir, first := t.TempDir(), true
		kit.Must(t, os.WriteFile(filepath.Join(dir, "kvConfig.json.bak"), []byte(`{"configTable":{"n":{"k":"v"}}}`), 0o600))
		nodes := startClusterWith(t, 2, func(cfg *config.Config) {
			withHTTP(cfg)
			if c.without && first {
				cfg.UseDataDir(dir)
				cfg.KVServeMissing = true
			}
			first = false
		})
		for _, n := range nodes {
			kit.Until(t, name+": neither has values, and each may be stopped", func() bool { return safeToStop(t, n, http.MethodGet, "").Safe })
		}
		ask(t, dial(t, nodes[1]), remoting.PutKVConfig, map[string]string{"namespace": "n", "key": "k", "value": "v"}, "")
		kit.Until(t, name+": it may not be stopped", func() bool {
			a := safeToStop(t, nodes[1], http.MethodGet, "")
			return !a.Safe && a.Settled && strings.Contains(strings.Join(a.Reasons, "; "), c.why)
		})
		if a := safeToStop(t, nodes[1], http.MethodGet, "?ignore_kv=true"); !a.Safe {
			t.Errorf("%s: it was to be ignored: %q", name, a.Reasons)
		}
		if a := safeToStop(t, nodes[0], http.MethodGet, ""); !a.Safe {
			t.Errorf("%s: the one that has no values: %q", name, a.Reasons)
		}
	}
}

// Of two nodes that are to be stopped at the same time one may go, and the other one when that has left. Who only asks is told so.
func TestTwoWaitToStop(t *testing.T) {
	t.Parallel()
	first := startNode(t, listing("n1"))
	seed := first.Gossip().Addr()
	second, third := startNode(t, listing("n2", seed)), startNode(t, listing("n3", seed))
	for _, n := range []*Node{first, second, third} {
		ask(t, dial(t, n), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	}
	safe := func(n *Node, method string) api.SafeToStop { return safeToStop(t, n, method, "") }
	for _, n := range []*Node{first, second, third} {
		kit.Until(t, "each may be stopped", func() bool { return safe(n, http.MethodGet).Safe })
	}
	may := map[*Node]bool{}
	kit.Until(t, "one may go", func() bool {
		for _, n := range []*Node{first, second} {
			may[n] = safe(n, http.MethodPost).Safe
		}
		return may[first] || may[second]
	})
	if may[first] == may[second] {
		t.Fatal("both may go")
	}
	goes, waits := first, second
	if may[second] {
		goes, waits = second, first
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if a := safe(waits, method); a.Safe || !strings.Contains(strings.Join(a.Reasons, " "), "to be stopped") {
			t.Errorf("%s at the other one: %+v", method, a)
		}
	}
	if a := safe(third, http.MethodGet); a.Safe {
		t.Error("who only asks is not told that others are to be stopped")
	}
	kit.Must(t, goes.Stop(context.WithoutCancel(t.Context())))
	kit.Until(t, "the other one may go", func() bool { return safe(waits, http.MethodPost).Safe })
}

// A drain before a stop lasts until no client asks any more, or its time is over; nobody ends it by hand, and what was drained
// before counts. Brokers and health checks are no clients.
func TestDrainOnStop(t *testing.T) {
	began := func(onStop, quiet time.Duration) *Node {
		return startNode(t, func(c *config.Config) { c.DrainOnStop, c.DrainQuiet = onStop, quiet })
	}
	drained := func(n *Node) time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		n.Drain(ctx)
		return time.Since(start)
	}
	asks := func(n *Node, topic string, register bool) (stop func()) {
		c := dial(t, n)
		if register {
			ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_, _ = c.Invoke(ctx, &remoting.Command{Code: remoting.GetRouteInfoByTopic, Version: remoting.Version, Ext: map[string]string{"topic": topic}})
			}
		}()
		return func() { cancel(); <-done }
	}
	const quiet, long = 300 * time.Millisecond, time.Hour
	if took := drained(began(0, long)); took > 20*time.Second {
		t.Errorf("not asked for: %v", took)
	}
	n := began(long, quiet)
	stop, health := asks(n, "TA", true), asks(n, HealthTopic, false)
	if took := drained(n); took < quiet || took > 20*time.Second || !n.Draining().Quiet {
		t.Errorf("nobody but a broker and a health check asks: %v", took)
	}
	stop()
	health()
	var old aged
	n = startNode(t, func(c *config.Config) { c.Clock, c.DrainOnStop, c.DrainQuiet = old.now, time.Minute, long })
	stop = asks(n, "TA", false)
	kit.Must(t, n.StartDrain())
	kit.Until(t, "the client's question", func() bool { return n.Draining().Asked })
	old.by.Store(int64(time.Minute))
	if took := drained(n); took > 20*time.Second || n.Draining().Quiet || !n.Draining().Asked {
		t.Errorf("a client goes on asking: %v, %+v", took, n.Draining())
	}
	stop()
	n = began(long, long)
	stopping, enough := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { defer close(stopped); n.Drain(stopping) }()
	kit.Until(t, "the drain", func() bool { return n.Draining().On })
	if err := n.EndDrain(); err == nil || !strings.Contains(err.Error(), "being stopped") || !n.Draining().On || n.meta().Phase != gossip.PhaseDraining {
		t.Errorf("a drain of a stop is ended by hand: %v", err)
	}
	kit.Must(t, n.StartDrain())
	enough()
	<-stopped
	book := &kit.Log{}
	drained(startNodeTo(t, slog.NewTextHandler(book, nil), func(c *config.Config) { c.DrainOnStop, c.DrainQuiet = time.Millisecond, long }))
	if !strings.Contains(book.String(), "no client has asked for a route in it") {
		t.Errorf("nobody asked, and the log says: %s", book)
	}
	cut, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	n = began(long, long)
	n.Drain(cut)
	if d := n.Draining(); !d.On || d.Quiet {
		t.Errorf("cut short: %+v", d)
	}
}

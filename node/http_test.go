package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func withHTTP(c *config.Config) { c.HTTP = "127.0.0.1:0" }

// get asks the node's HTTP and answers status and body.
func get(t *testing.T, n *Node, path string) (status int, body string) {
	t.Helper()
	status, body = kit.Get("http://" + n.HTTPAddr().String() + path)
	if status == 0 {
		t.Fatalf("%s: %s", path, body)
	}
	return status, body
}

func getJSON(t *testing.T, n *Node, path string, v any) {
	t.Helper()
	status, body := get(t, n, path)
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); status != http.StatusOK || err != nil {
		t.Fatalf("%s: %d %v\n%s", path, status, err, body)
	}
}

func TestHTTPAnswers(t *testing.T) {
	n := startNode(t, withHTTP)
	ask(t, dial(t, n), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/", 200, "/v1/members"},
		{"/healthz", 404, ""}, // whether a node lives is asked at its own port: epitaph health --live
		{"/readyz", 200, "ready"},
		{"/metrics", 200, "epitaph_registrations 1"},
		{"/v1/members", 200, `"gossip":false,"members":[]}`},
		{"/v1/tombstones", 200, `"gossip":false,"live":0,"own":[],"decisions":[]}`},
		{"/v1/tombstones?limit=0", 400, "limit: want a number from 1"},
		{"/v1/brokers?limit=many", 400, "limit: want a number from 1"},
		{"/v1/routes", 400, "topic: missing"},
		{"/v1/routes?topic=nowhere", 404, `no broker here has the topic \"nowhere\"`},
		{"/v1/routes?topic=TA", 200, `{"topic":"TA","queues":[{"broker":"b0","read":4,"write":4,"perm":6,"sys_flag":0}],` +
			`"brokers":[{"cluster":"C1","broker":"b0","addrs":[{"id":0,"addr":"1.1.1.1:10911"}]}]}`},
		{"/v1/conflicts", 200, `"total":0,"conflicts":[]}`},
		{"/debug/pprof/cmdline", 403, "on the Unix socket of the node"},
		{"/v2", 404, ""},
	} {
		if status, body := get(t, n, c.path); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, status, body, c.status, c.want)
		}
	}
	var b api.Brokers
	getJSON(t, n, "/v1/brokers", &b)
	if len(b.Brokers) != 1 || b.Total != 1 {
		t.Fatalf("brokers: %+v", b)
	}
	one := b.Brokers[0]
	if one.Broker != "b0" || one.Addr != "1.1.1.1:10911" || one.Cluster != "C1" || one.Topics != 2 || one.Version != "5.5.0" ||
		one.Language != "JAVA" || one.DataVersion.Counter != 1 || one.Conn == 0 || one.Expires < 60_000 || one.Kept != nil {
		t.Errorf("broker: %+v", one)
	}
}

// Read-only: nothing but GET and HEAD.
func TestHTTPMethods(t *testing.T) {
	n := startNode(t, withHTTP)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		for _, path := range []string{"/", "/metrics", "/v1/brokers", "/readyz", "/debug/pprof/"} {
			rec := httptest.NewRecorder()
			n.admin.Handler().ServeHTTP(rec, httptest.NewRequest(method, path, nil))
			if rec.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, rec.Code)
			}
		}
	}
	for _, path := range []string{"/v1/force-leave?name=x", "/v1/reach?addr=x:1"} {
		if rec := asked(n.admin.Handler(), http.MethodPost, path); rec.Code != http.StatusForbidden {
			t.Errorf("%s by HTTP: %d", path, rec.Code)
		}
	}
}

// asked is the answer of a handler.
func asked(h http.Handler, method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(method, path, nil)
	req.RemoteAddr = "127.0.0.1:1" // this machine, as behind a proxy everybody is
	h.ServeHTTP(rec, req)
	return rec
}

// The socket has what HTTP has, and profiles, which are bounded.
func TestSocketAnswersEverything(t *testing.T) {
	n := startNode(t, withHTTP)
	for path, want := range map[string]int{
		"/readyz": 200, "/v1/brokers": 200, "/metrics": 200, "/debug/pprof/": 200, "/debug/pprof/cmdline": 200, "/v2": 404,
		"/debug/pprof/trace?seconds=61": 400, "/debug/pprof/trace?seconds=x": 400, "/debug/pprof/trace?seconds=-1": 400,
		"/debug/pprof/trace?seconds=0.1": 200, "/debug/pprof/profile?seconds=NaN": 400,
		"/debug/pprof/heap?gc=1": 200, "/debug/pprof/goroutine?debug=2": 200, "/debug/pprof/none": 404,
	} {
		if rec := asked(n.admin.SocketHandler(), http.MethodGet, path); rec.Code != want {
			t.Errorf("%s: %d %s, want %d", path, rec.Code, rec.Body, want)
		}
	}
}

func TestReadiness(t *testing.T) {
	var old aged
	n := startNode(t, func(c *config.Config) {
		withHTTP(c)
		c.Clock = old.now
		c.Options.NeedWaitForService, c.Options.WaitSecondsForService = true, 45
		c.Options.EnableShutdownGracefully, c.Options.ShutdownWaitTimeSeconds = true, 60
	})
	if status, body := get(t, n, "/readyz"); status != 503 || !strings.Contains(body, "waitSecondsForService") {
		t.Errorf("while waiting: %d %s", status, body)
	}
	old.by.Store(int64(time.Minute))
	if status, body := get(t, n, "/readyz"); status != 200 {
		t.Errorf("after waiting: %d %s", status, body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var draining sync.WaitGroup
	draining.Go(func() { n.Drain(ctx) })
	kit.Until(t, "draining to show", func() bool {
		status, body := get(t, n, "/readyz")
		return status == 503 && strings.Contains(body, "draining")
	})
	if status, _ := get(t, n, "/"); status != 200 {
		t.Errorf("a draining node is alive: %d", status)
	}
	cancel()
	draining.Wait()
}

// The listener of HTTP stops last and waits for nobody for long: neither for half a request nor for a connection that
// says nothing. Whoever scrapes meanwhile gets an answer or a closed connection. Nothing is left behind.
func TestHTTPStops(t *testing.T) {
	defer kit.NoLeaks(t, goleak.IgnoreCurrent())
	n := startNode(t, withHTTP)
	addr := n.HTTPAddr().String()
	for _, text := range []string{"", "GET /metr", "GET /readyz HTTP/1.1\r\nHost: x\r\n"} {
		c, err := net.Dial("tcp", addr)
		kit.Must(t, err)
		defer c.Close()
		fmt.Fprint(c, text)
	}
	var scrapers sync.WaitGroup
	for range 4 {
		scrapers.Go(func() {
			client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for {
				resp, err := client.Get("http://" + addr + "/metrics")
				if err != nil {
					return // the listener is gone
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
	scrapers.Wait()
	rec := httptest.NewRecorder()
	n.admin.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(rec.Body.String(), "\nepitaph_ready 0\n") {
		t.Errorf("after the stop: %d, not told that it is not ready", rec.Code)
	}
}

func TestHTTPPortTaken(t *testing.T) {
	n := startNode(t, withHTTP)
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.Options.BindAddress, cfg.Options.ListenPort = "127.0.0.1", 0
	cfg.HTTP = n.HTTPAddr().String()
	second, err := New(cfg, n.log)
	kit.Must(t, err)
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--http="+cfg.HTTP) {
		t.Errorf("port taken: %v", err)
	}
	if c, err := net.Dial("tcp", second.Addr().String()); err == nil {
		c.Close()
		t.Error("the node that did not start listens")
	}
}

// The same conflict comes with every registration: it takes one place, and is counted each time.
func TestConflicts(t *testing.T) {
	n := startNode(t, withHTTP)
	header := brokerHeader("0")
	header["brokerAddr"] = "127.0.0.1:10911"
	c := dial(t, n)
	ask(t, c, remoting.RegisterBroker, header, twoTopics)
	header["brokerAddr"], header["clusterName"] = "1.1.1.1:10911", "C2"
	for range 3 {
		ask(t, c, remoting.RegisterBroker, header, twoTopics)
	}
	var v api.Conflicts
	getJSON(t, n, "/v1/conflicts", &v)
	kinds := map[string]int{}
	for _, one := range v.Conflicts {
		kinds[one.Kind]++
		if one.What == "" || one.At.IsZero() || one.Broker != "b0" {
			t.Errorf("conflict: %+v", one)
		}
	}
	if kinds["one_name_two_clusters"] != 1 || v.Total < uint64(len(v.Conflicts)) {
		t.Errorf("conflicts: %+v", v)
	}
	var small api.Conflicts
	getJSON(t, n, "/v1/conflicts?limit=1", &small)
	if len(small.Conflicts) != 1 || small.Conflicts[0] != v.Conflicts[0] {
		t.Errorf("the newest: %+v", small)
	}
}

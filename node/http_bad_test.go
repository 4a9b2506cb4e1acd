package node

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// A client that never finishes its request is let go, and nobody waits for it meanwhile.
func TestHTTPClientNeverFinishes(t *testing.T) {
	t.Parallel()
	n := startNode(t, withHTTP)
	var slow []net.Conn
	for range 2 * 16 { // more than requests may be handled at once
		c, err := net.Dial("tcp", n.HTTPAddr().String())
		kit.Must(t, err)
		defer c.Close()
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		slow = append(slow, c)
	}
	if status, body := get(t, n, "/healthz"); status != http.StatusOK {
		t.Errorf("beside them: %d %s", status, body)
	}
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadAll(c); err != nil {
			t.Fatalf("still open after a minute: %v", err)
		}
	}
}

// Forgetting a member is refused with a sentence while it lives, to whoever is not on this machine, and to web pages.
func TestForceLeave(t *testing.T) {
	nodes := startClusterWith(t, 2, withHTTP)
	n := nodes[0]
	post := func(local bool, path string, header ...string) (int, string) {
		rec := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodPost, path, nil)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if local {
			req.RemoteAddr = "127.0.0.1:1"
		}
		n.admin.Handler().ServeHTTP(rec, req)
		return rec.Code, rec.Body.String()
	}
	for _, c := range []struct {
		local  bool
		path   string
		header []string
		status int
		want   string
	}{
		{true, "/v1/force-leave", nil, 400, "name: missing"},
		{true, "/v1/force-leave?name=n2", nil, 409, "lives"},
		{true, "/v1/force-leave?name=n1", nil, 409, "this node itself"},
		{true, "/v1/force-leave?name=n9", nil, 409, "no failed member has the name"},
		{true, "/v1/force-leave?name=n2", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{false, "/v1/force-leave?name=n2", nil, 403, "only from this machine"},
	} {
		if status, body := post(c.local, c.path, c.header...); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s, local %v, %v: %d %s, want %d with %q", c.path, c.local, c.header, status, body, c.status, c.want)
		}
	}
	alone := startNode(t, withHTTP)
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, "/v1/force-leave?name=x", nil)
	req.RemoteAddr = "[::1]:1"
	alone.admin.Handler().ServeHTTP(rec, req)
	if rec.Code != http.StatusConflict || !strings.Contains(rec.Body.String(), "gossips with nobody") {
		t.Errorf("without gossip: %d %s", rec.Code, rec.Body)
	}
}

// A client that never ends its request is told of, and only such a one: not one that leaves, nor one that is merely idle.
func TestSlowClientsAreToldOf(t *testing.T) {
	const told = "did not finish its request"
	book := &kit.Log{}
	n := startNodeTo(t, slog.NewTextHandler(book, nil), withHTTP)
	for range 3 {
		if status, body := get(t, n, "/v1/brokers"); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	client := http.Client{Transport: &http.Transport{}}
	for range 3 { // on one connection, which is idle afterwards
		resp, err := client.Get("http://" + n.HTTPAddr().String() + "/healthz")
		kit.Must(t, err)
		_, _ = io.ReadAll(resp.Body) // so that the connection can be used again
		_ = resp.Body.Close()
	}
	slow, err := net.Dial("tcp", n.HTTPAddr().String())
	kit.Must(t, err)
	defer slow.Close()
	fmt.Fprint(slow, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	lines := book.Await(t, told, slow.LocalAddr().String())
	client.CloseIdleConnections()
	count := 0
	for _, line := range append(lines, book.Take()...) {
		if strings.Contains(line, told) {
			count++
		}
	}
	if count != 1 {
		t.Errorf("told %d times:\n%s", count, strings.Join(lines, "\n"))
	}
}

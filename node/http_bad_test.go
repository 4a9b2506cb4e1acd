package node

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
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
	if status, body := get(t, n, "/"); status != http.StatusOK {
		t.Errorf("beside them: %d %s", status, body)
	}
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadAll(c); err != nil {
			t.Fatalf("still open after a minute: %v", err)
		}
	}
}

// Forgetting a member is refused with a sentence while it lives.
func TestForceLeave(t *testing.T) {
	n := startClusterWith(t, 2, withHTTP)[0]
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/v1/force-leave", 400, "name: missing"},
		{"/v1/force-leave?name=n2", 409, "lives"},
		{"/v1/force-leave?name=n1", 409, "this node itself"},
		{"/v1/force-leave?name=n9", 409, "no failed member has the name"},
	} {
		if rec := asked(n.admin.SocketHandler(), http.MethodPost, c.path); rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d with %q", c.path, rec.Code, rec.Body, c.status, c.want)
		}
	}
	alone := startNode(t, withHTTP)
	if rec := asked(alone.admin.SocketHandler(), http.MethodPost, "/v1/force-leave?name=x"); rec.Code != http.StatusConflict ||
		!strings.Contains(rec.Body.String(), "gossips with nobody") {
		t.Errorf("without gossip: %d %s", rec.Code, rec.Body)
	}
}

// A client that never ends its request is told of, and only such a one: not one that leaves, nor one that is merely idle.
func TestSlowClientsAreToldOf(t *testing.T) {
	t.Parallel()
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
		resp, err := client.Get("http://" + n.HTTPAddr().String() + "/")
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

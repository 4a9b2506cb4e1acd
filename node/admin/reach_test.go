package admin

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Only addresses at which a broker is registered are tried, one a second; what listens there gets no byte.
func TestReach(t *testing.T) {
	got := make(chan int, 1)
	listens := kit.Listen(t, func(c net.Conn) {
		n, _ := c.Read(make([]byte, 1)) // its end
		got <- n
	})
	refuses := kit.Loopback(kit.FreePort(t))
	h := unstarted(t)
	for i, addr := range []string{listens, refuses, "no address"} {
		h.view.Table().Register(&routes.Registration{Cluster: "c", Name: string(rune('a' + i)), Addr: addr, Conn: &routes.Conn{ID: uint64(i + 1)}})
	}
	ask := func(addr string, status int, want string) {
		t.Helper()
		rec := httptest.NewRecorder()
		h.SocketHandler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/reach?addr="+strings.ReplaceAll(addr, " ", "+"), nil))
		if rec.Code != status || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%q: %d %s, want %d with %s", addr, rec.Code, rec.Body, status, want)
		}
	}
	if h.reaches.Limit() != 1 || h.reaches.Burst() != 1 {
		t.Errorf("%v a second, %d at once", h.reaches.Limit(), h.reaches.Burst())
	}
	h.reaches = rate.NewLimiter(rate.Inf, 1)
	ask("", 400, "HOST:PORT")
	ask("10.0.0.1:10911", 409, "no broker is registered here")
	ask(listens, 200, `"reached":true`)
	if n := <-got; n != 0 {
		t.Error("something was sent")
	}
	ask(refuses, 200, "refused")
	ask("no address", 200, `"reached":false`)
	h.reaches = rate.NewLimiter(rate.Every(time.Hour), 1)
	ask("10.0.0.1:10911", 409, "no broker") // takes nobody's turn
	ask(refuses, 200, "refused")
	ask(refuses, 429, "one address a second")
}

package wire

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// client is one connection to a server, with the requests of the rows.
type client struct{ *kit.Client }

// dial opens a connection that is closed when t ends.
func (s *server) dial(t testing.TB) *client {
	t.Helper()
	return version479(kit.Dial(t, s.addr))
}

// dialFrom is dial from another address of this host: another source.
func (s *server) dialFrom(t testing.TB, ip string) *client {
	t.Helper()
	d := net.Dialer{Timeout: kit.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := d.DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Skipf("SKIPPED: this host has no second address of its own: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return version479(kit.Over(t, conn))
}

// version479 speaks as 5.3.3 does, where a row does not say otherwise.
func version479(c *kit.Client) *client {
	c.Version = 479
	return &client{c}
}

// warm is a connection that has already had one good answer, so that what follows is no first byte.
func (s *server) warm(t testing.TB) *client {
	t.Helper()
	c := s.dial(t)
	c.Call(kit.Request{Code: 206})
	return c
}

// exchange sends raw bytes and returns the header of the answer.
func (c *client) exchange(raw []byte) string {
	c.T.Helper()
	c.Put(raw)
	return c.Next().Header
}

// unique is a name that no other row of this run uses.
func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, counter.Add(1)) }

var counter atomic.Int64

// address is a broker address that no other row of this run uses and nobody listens on.
func address() string {
	n := counter.Add(1)
	return fmt.Sprintf("127.9.%d.%d:10911", n/250, n%250+1)
}

// want fails t unless got and wanted text are the same.
func want(t testing.TB, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Fatalf("%s:\n got %s\nwant %s", what, got, wanted)
	}
}

// has fails t unless text contains part.
func has(t testing.TB, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Fatalf("%s: %q is not in %s", what, part, text)
	}
}

package rpc

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestMain(m *testing.M) { kit.MainWithoutLeaks(m) }

// patience bounds every wait for a condition.
const patience = 10 * time.Second

// handlerFunc serves with a function; Closed reports to a channel if there is one.
type handlerFunc struct {
	serve  func(c *Conn, req *remoting.Request, resp *remoting.Response)
	closed chan *Conn
}

func (h handlerFunc) Serve(c *Conn, req *remoting.Request, resp *remoting.Response) {
	h.serve(c, req, resp)
}

func (h handlerFunc) Closed(c *Conn) {
	if h.closed != nil {
		h.closed <- c
	}
}

// echo answers with the body it got.
func echo(_ *Conn, req *remoting.Request, resp *remoting.Response) {
	resp.Body = req.Body
}

func start(t testing.TB, h Handler, change func(*Config)) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Addr = "127.0.0.1:0"
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(context.Background()); err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return s
}

// serve runs s until the test ends and checks that it stops.
func serve(t testing.TB, s *Server) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		} else if held := s.Stats().Memory; held != 0 {
			t.Errorf("%d bytes are still charged though all connections are gone", held)
		}
		if err := <-result; !errors.Is(err, ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
}

// only is the one connection that s has.
func only(t *testing.T, s *Server) (c *Conn) {
	t.Helper()
	kit.Until(t, "one connection", func() bool {
		c = nil
		for c = range s.Conns() {
		}
		return c != nil && s.ConnCount() == 1
	})
	return c
}

// peer is a raw connection.
type peer struct{ *kit.Client }

func dial(t testing.TB, s *Server) *peer {
	t.Helper()
	return &peer{kit.Dial(t, s.Addr().String())}
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Cleanup(func() { _ = conn.Close() })
	return &peer{kit.Over(t, conn)}
}

// recv reads a frame and returns its header text and body.
func (p *peer) recv() (header string, body []byte) {
	p.T.Helper()
	a := p.Next()
	return a.Header, a.Body
}

func (p *peer) wantHeader(parts ...string) {
	p.T.Helper()
	h, _ := p.recv()
	for _, s := range parts {
		if !strings.Contains(h, s) {
			p.T.Fatalf("answer %s lacks %s", h, s)
		}
	}
}

// request is a JSON frame as a client writes it.
func request(code, opaque, flag int, body string) []byte {
	return requestVersion(code, opaque, flag, 479, body)
}

func requestVersion(code, opaque, flag, version int, body string) []byte {
	return kit.Request{Code: code, Flag: flag, Version: version, Body: []byte(body)}.Frame(int32(opaque))
}

func itoa(n int) string { return strconv.Itoa(n) }

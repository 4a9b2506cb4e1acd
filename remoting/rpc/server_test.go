package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epitaph-mq/epitaph/remoting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		}
		if err := <-result; !errors.Is(err, ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
}

// peer is a raw connection.
type peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, s *Server) *peer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, conn)
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &peer{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// recv reads a frame and returns its header text and body.
func (p *peer) recv() (header string, body []byte) {
	p.t.Helper()
	frame, err := readFrame(p.r, 1<<30)
	if err != nil {
		p.t.Fatalf("no answer: %v", err)
	}
	n := binary.BigEndian.Uint32(frame) & 0xFFFFFF
	return string(frame[4 : 4+n]), frame[4+n:]
}

func (p *peer) wantHeader(parts ...string) {
	p.t.Helper()
	h, _ := p.recv()
	for _, s := range parts {
		if !strings.Contains(h, s) {
			p.t.Fatalf("answer %s lacks %s", h, s)
		}
	}
}

// wantClosed checks that the server closes without another byte.
func (p *peer) wantClosed() {
	p.t.Helper()
	b, err := p.r.ReadByte()
	if err == nil {
		p.t.Fatalf("got byte %#x, want a closed connection", b)
	}
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		p.t.Fatal("the connection stays open")
	}
}

// request is a JSON frame as a client writes it.
func request(code, opaque, flag int, body string) []byte {
	return requestVersion(code, opaque, flag, 479, body)
}

func requestVersion(code, opaque, flag, version int, body string) []byte {
	h := fmt.Sprintf(`{"code":%d,"flag":%d,"language":"JAVA","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":%d}`,
		code, flag, opaque, version)
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(h)+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h)))
	return append(append(b, h...), body...)
}

// until waits for a condition.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
		select { // a pause, not a guess: the condition decides
		case <-t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func newPeerReader(conn net.Conn) *bufio.Reader { return bufio.NewReader(conn) }

package kit

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

// Client is one connection to a server. What it sends is built byte by byte. A method without an error fails the test.
type Client struct {
	net.Conn
	T       testing.TB
	Version int // of requests that name none; 0: V5_5_0

	r      *bufio.Reader
	opaque int32
}

// Dial opens a connection that is closed when t ends.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	c, err := TryDial(t, addr)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return c
}

// TryDial is Dial that may fail.
func TryDial(t testing.TB, addr string) (*Client, error) {
	conn, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return Over(t, conn), nil
}

// Over makes a client of any connection. It is closed when the test ends, if not before: one that nobody holds any more would be
// closed by the garbage collector, at any moment. Without a test the caller holds it.
func Over(t testing.TB, conn net.Conn) *Client {
	if t != nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return &Client{Conn: conn, T: t, r: bufio.NewReader(conn), opaque: 100}
}

// Secure shakes hands for TLS on a connection that may already have sent a PROXY header. Without config it trusts anybody.
func (c *Client) Secure(config *tls.Config) (*Client, error) {
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a test's own certificate
	}
	conn := tls.Client(c.Conn, config)
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	return Over(c.T, conn), nil
}

// Put writes raw bytes.
func (c *Client) Put(raw ...[]byte) {
	c.T.Helper()
	if err := c.TryPut(raw...); err != nil {
		c.T.Fatalf("write: %v", err)
	}
}

// TryPut is Put that may fail.
func (c *Client) TryPut(raw ...[]byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := c.Write(bytes.Join(raw, nil))
	return err
}

// Next waits for the next frame.
func (c *Client) Next() *Answer {
	c.T.Helper()
	a, err := c.TryNext(Patience)
	if err != nil {
		c.T.Fatalf("read: %v", err)
	}
	return a
}

// TryNext is Next that may fail.
func (c *Client) TryNext(limit time.Duration) (*Answer, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	return ReadFrame(c.r)
}

// next is the frame of a request with a new opaque.
func (c *Client) next(r Request) []byte {
	if r.Version == 0 {
		r.Version = c.Version
	}
	c.opaque++
	return r.Frame(c.opaque)
}

// Send writes a request with a new opaque and returns that.
func (c *Client) Send(r Request) int32 {
	c.T.Helper()
	c.Put(c.next(r))
	return c.opaque
}

// TryCall sends a request and reads until its answer: earlier ones may have had none in time.
func (c *Client) TryCall(r Request, limit time.Duration) (*Answer, error) {
	until := time.Now().Add(limit)
	if err := c.TryPut(c.next(r)); err != nil {
		return nil, err
	}
	for {
		a, err := c.TryNext(time.Until(until))
		if err != nil || a.Opaque == c.opaque {
			return a, err
		}
	}
}

// Call sends a request; the next frame must be its answer.
func (c *Client) Call(r Request) *Answer {
	c.T.Helper()
	opaque := c.Send(r)
	a := c.Next()
	if a.Opaque != opaque || a.Flag != 1 {
		c.T.Fatalf("code %d: sent opaque %d, answer is %s", r.Code, opaque, a)
	}
	return a
}

// OK is Call for a request that must succeed.
func (c *Client) OK(r Request) *Answer {
	c.T.Helper()
	a := c.Call(r)
	if a.Code != 0 {
		c.T.Fatalf("code %d: %s", r.Code, a)
	}
	return a
}

// Refused is Call for a request that must be answered with a code and, unless "", a remark.
func (c *Client) Refused(r Request, code int, remark string) *Answer {
	c.T.Helper()
	a := c.Call(r)
	if a.Code != code || (remark != "" && a.Text() != remark) {
		c.T.Fatalf("code %d: want answer %d %q, got %s", r.Code, code, remark, a)
	}
	return a
}

// Usable proves that the connection still works.
func (c *Client) Usable() {
	c.T.Helper()
	c.OK(Request{Code: 206})
}

// Closed waits until the server closes the connection without another byte.
func (c *Client) Closed() {
	c.T.Helper()
	if err := c.ClosedWithin(Patience); err != nil {
		c.T.Fatal(err)
	}
}

// ClosedWithin is Closed that may fail.
func (c *Client) ClosedWithin(limit time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	b, err := c.r.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("want a closed connection, got byte %#x", b)
	case IsTimeout(err):
		return fmt.Errorf("connection still open after %s", limit)
	}
	return nil
}

// IsTimeout says that a deadline of a connection has passed.
func IsTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Ask sends one request on a connection of its own.
func Ask(server string, r Request) (*Answer, error) {
	conn, err := net.DialTimeout("tcp", server, Patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return Over(nil, conn).TryCall(r, Patience)
}

package rpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// Errors of Client.
var (
	ErrClientClosed = errors.New("rpc: client closed")
	ErrTooMany      = errors.New("rpc: too many requests await their answer")
)

// ClientConfig of a Client. Start from DefaultClientConfig.
type ClientConfig struct {
	TLS          *tls.Config   // nil: plain text
	MaxFrame     int           // largest whole frame accepted, in bytes
	MaxPending   int           // requests that may await their answer at once
	WriteTimeout time.Duration // of one request, when its context ends later or never
}

// DefaultClientConfig is plain text with the frame limit of the Java peers.
func DefaultClientConfig() ClientConfig {
	return ClientConfig{MaxFrame: remoting.MaxFrame, MaxPending: 4096, WriteTimeout: 3 * time.Second}
}

// Client is one connection to a NameServer or broker. Its methods are safe for concurrent use; requests are pipelined
// and answers matched by opaque.
type Client struct {
	cfg  ClientConfig
	conn net.Conn
	done chan struct{} // closed when the reader has ended

	writing sync.Mutex // one frame at a time; guards out
	out     []byte

	mu      sync.Mutex // guards the following fields
	pending map[int32]chan *remoting.Command
	opaque  int32
	err     error // why the client is over
}

// Dial connects, and does the TLS handshake if there is one, as long as ctx allows.
func Dial(ctx context.Context, addr string, cfg ClientConfig) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("rpc: dial: %w", err)
	}
	if cfg.TLS != nil {
		tc := tls.Client(conn, cfg.TLS)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("rpc: dial %s: tls handshake: %w", addr, err)
		}
		conn = tc
	}
	return NewClient(conn, cfg), nil
}

// NewClient takes over an open connection.
func NewClient(conn net.Conn, cfg ClientConfig) *Client {
	c := &Client{cfg: cfg, conn: conn, done: make(chan struct{}), pending: make(map[int32]chan *remoting.Command)}
	go c.read()
	return c
}

// Close ends the connection and every Invoke, and waits for the reader.
func (c *Client) Close() error {
	c.fail(ErrClientClosed)
	<-c.done
	return nil
}

// Done is closed when the connection is over, by whichever side.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the client is over, or nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// LocalAddr is this side's address.
func (c *Client) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// Invoke sends req and waits for its answer. req is not changed: its opaque is replaced on the wire by a number of the
// client's own.
func (c *Client) Invoke(ctx context.Context, req *remoting.Command) (*remoting.Command, error) {
	answer := make(chan *remoting.Command, 1)
	own := *req
	if err := c.expect(&own, answer); err != nil {
		return nil, err
	}
	defer c.abandon(own.Opaque)
	if err := c.send(ctx, &own); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("rpc: code %d: %w", req.Code, ctx.Err())
	case <-c.done:
	}
	select { // it may have come just before the end
	case a := <-answer:
		return a, nil
	default:
		return nil, c.Err()
	}
}

// InvokeOneway sends req, opaque and all, with the one-way bit set, and returns when the socket has taken it.
func (c *Client) InvokeOneway(ctx context.Context, req *remoting.Command) error {
	own := *req
	own.Flag |= remoting.FlagOneway
	return c.send(ctx, &own)
}

func (c *Client) expect(cmd *remoting.Command, answer chan *remoting.Command) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if len(c.pending) >= c.cfg.MaxPending {
		return ErrTooMany
	}
	for { // a number still awaited after 2^32 others is passed over
		c.opaque++
		if _, taken := c.pending[c.opaque]; !taken {
			break
		}
	}
	cmd.Opaque = c.opaque
	c.pending[c.opaque] = answer
	return nil
}

func (c *Client) abandon(opaque int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, opaque)
}

func (c *Client) send(ctx context.Context, cmd *remoting.Command) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("rpc: code %d: %w", cmd.Code, err)
	}
	until := time.Now().Add(c.cfg.WriteTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := c.conn.SetWriteDeadline(until); err != nil {
		return c.fail(fmt.Errorf("rpc: write: %w", err))
	}
	c.out = remoting.AppendRequest(c.out[:0], cmd)
	_, err := c.conn.Write(c.out)
	if cap(c.out) > freeBuffer {
		c.out = nil
	}
	if err != nil {
		// Part of the frame may be out, so nothing can follow it.
		return c.fail(fmt.Errorf("rpc: write: %w", err))
	}
	return nil
}

// fail ends the client; the first error stays and is returned.
func (c *Client) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		_ = c.conn.SetDeadline(past) // before Close: TLS would wait for a blocked writer
		_ = c.conn.Close()
	}
	return c.err
}

func (c *Client) read() {
	defer close(c.done)
	r := bufio.NewReaderSize(c.conn, smallBuffer)
	for {
		frame, err := readFrame(r, c.cfg.MaxFrame)
		if err != nil {
			_ = c.fail(fmt.Errorf("rpc: read: %w", err))
			return
		}
		cmd, err := remoting.DecodeCommand(frame)
		if err != nil {
			_ = c.fail(fmt.Errorf("rpc: read: %w", err))
			return
		}
		c.deliver(cmd)
	}
}

// deliver drops what nobody waits for: late answers, and requests, which this client does not serve.
func (c *Client) deliver(cmd *remoting.Command) {
	if cmd.Flag&remoting.FlagResponse == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer, ok := c.pending[cmd.Opaque]; ok {
		delete(c.pending, cmd.Opaque)
		answer <- cmd
	}
}

// readFrame returns the next frame without its length word. Memory follows the bytes that arrive, not those announced.
func readFrame(r *bufio.Reader, limit int) ([]byte, error) {
	var word [4]byte
	if _, err := io.ReadFull(r, word[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(word[:])))
	if n < 4 || n > limit-4 {
		return nil, fmt.Errorf("%w: %d", errFrameLen, n)
	}
	frame := make([]byte, 0, min(n, freeBuffer))
	for len(frame) < n {
		if len(frame) == cap(frame) {
			frame = append(make([]byte, 0, min(n, 2*cap(frame))), frame...)
		}
		m, err := io.ReadFull(r, frame[len(frame):cap(frame)])
		frame = frame[:len(frame)+m]
		if err != nil {
			return nil, err
		}
	}
	return frame, nil
}

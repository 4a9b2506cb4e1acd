package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func dialClient(t *testing.T, s *Server, change func(*ClientConfig)) *Client {
	t.Helper()
	cfg := DefaultClientConfig()
	if change != nil {
		change(&cfg)
	}
	c, err := Dial(t.Context(), s.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestClientPipelines(t *testing.T) {
	for name, change := range map[string]func(*Config){"plain": nil, "tls": testTLS(t)} {
		t.Run(name, func(t *testing.T) {
			s := start(t, handlerFunc{serve: echo}, change)
			c := dialClient(t, s, func(cfg *ClientConfig) {
				if name == "tls" {
					cfg.TLS, _ = ClientTLS(testMode)
				}
			})
			var group sync.WaitGroup
			for g := range 16 {
				group.Go(func() {
					for i := range 25 {
						body := strings.Repeat(strconv.Itoa(g), 1+i*i*40)
						got, err := c.Invoke(t.Context(), &remoting.Command{Code: 206, Opaque: 1, Version: 479, Body: []byte(body)})
						if err != nil || string(got.Body) != body || got.Code != 0 {
							t.Errorf("%d %d: %v", g, i, err)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
}

func TestClientOneway(t *testing.T) {
	got := make(chan int32, 1)
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
		if req.IsOneway() {
			got <- req.Opaque
		}
	}}, nil)
	c := dialClient(t, s, nil)
	cmd := &remoting.Command{Code: remoting.NotifyMinBrokerIDChange, Opaque: 16, Version: 513}
	if err := c.InvokeOneway(t.Context(), cmd); err != nil || cmd.Flag != 0 {
		t.Fatalf("%v, flag %d", err, cmd.Flag)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != 16 {
		t.Errorf("opaque %d", n)
	}
}

func TestClientLimits(t *testing.T) {
	release := make(chan struct{})
	var entered atomic.Int64
	s := start(t, handlerFunc{serve: func(*Conn, *remoting.Request, *remoting.Response) {
		entered.Add(1)
		<-release
	}}, nil)
	c := dialClient(t, s, func(cfg *ClientConfig) { cfg.MaxPending = 1 })
	first := make(chan error, 1)
	go func() {
		_, err := c.Invoke(t.Context(), &remoting.Command{Code: 206})
		first <- err
	}()
	kit.Until(t, "the first is being served", func() bool { return entered.Load() == 1 })
	if _, err := c.Invoke(t.Context(), &remoting.Command{Code: 206}); !errors.Is(err, ErrTooMany) {
		t.Errorf("second request: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Invoke(ctx, &remoting.Command{Code: 206}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := c.Invoke(t.Context(), &remoting.Command{Code: 206}); err != nil {
		t.Errorf("after a cancelled one: %v", err)
	}
}

func TestClientEnds(t *testing.T) {
	for name, answer := range map[string]string{
		"closed by peer": "", "length": "\x00\x00\x00\x03", "too long": "\x7f\xff\xff\xff", "no header": "\x00\x00\x00\x04\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			c := NewClient(near, DefaultClientConfig())
			go func() {
				defer far.Close()
				_, _ = far.Read(make([]byte, 1000))
				_, _ = io.WriteString(far, answer)
			}()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := c.Invoke(ctx, &remoting.Command{Code: 206}); err == nil || ctx.Err() != nil {
				t.Errorf("answer %q: %v", answer, err)
			}
			<-c.Done()
			if _, err := c.Invoke(ctx, &remoting.Command{Code: 206}); err == nil || err.Error() != c.Err().Error() {
				t.Errorf("afterwards: %v", err)
			}
			_ = c.Close()
		})
	}
}

// TestClientWriteTimesOut: the peer takes nothing, so the frame is broken and the client over.
func TestClientWriteTimesOut(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := NewClient(near, DefaultClientConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.InvokeOneway(ctx, &remoting.Command{Code: 905}); err == nil {
		t.Error("written to nobody")
	}
	<-c.Done()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestDialRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := Dial(t.Context(), l.Addr().String(), DefaultClientConfig()); err == nil {
		t.Error("connected to nobody")
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// callTimeout bounds one unhurried call; a registration of 10,000 topics took a known server 0.2 s.
const callTimeout = 10 * time.Second

// caller is a connection that asks one thing at a time, for everything that is not measured by the load.
type caller struct {
	addr   string
	conn   net.Conn
	seq    uint32
	in     []byte
	out    []byte
	reader answerReader
}

func dialCaller(ctx context.Context, addr string) (*caller, error) {
	return target{addr: addr}.caller(ctx)
}

func (t target) caller(ctx context.Context) (*caller, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &caller{addr: t.addr, conn: conn, in: make([]byte, 4096)}, nil
}

// call sends what request appends and returns the answer, which aliases the caller's buffer.
func (c *caller) call(timeout time.Duration, request func(out []byte, seq uint32) []byte) (answer, error) {
	c.seq++
	c.out = request(c.out[:0], c.seq)
	a, err := c.exchange(time.Now().Add(timeout))
	var slow net.Error
	switch {
	case err == nil && a.seq != c.seq:
		err = fmt.Errorf("an answer to a request that was not asked: %s", a.header)
	case errors.As(err, &slow) && slow.Timeout():
		err = fmt.Errorf("no answer within %v; is it a NameServer?", timeout)
	case errors.Is(err, io.EOF):
		err = errors.New("the server closed the connection; is it a NameServer?")
	}
	if err != nil {
		return answer{}, fmt.Errorf("target %s: %w", c.addr, err)
	}
	return a, nil
}

func (c *caller) exchange(deadline time.Time) (answer, error) {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return answer{}, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return answer{}, err
	}
	have := 0
	for {
		n, err := c.conn.Read(c.in[have:])
		if err != nil {
			return answer{}, err
		}
		have += n
		a, size, need, err := c.reader.next(c.in[:have])
		if err != nil || size > 0 {
			return a, err
		}
		if need > len(c.in) {
			c.in = append(c.in, make([]byte, need-len(c.in))...)
		}
	}
}

// probe asks for a topic that does not exist, which any NameServer answers with code 17.
func (c *caller) probe() error {
	f := routeFrame(missPrefix)
	a, err := c.call(dialTimeout, func(out []byte, seq uint32) []byte { return f.ask(out, 0, seq) })
	if err != nil {
		return err
	}
	if a.code != int(remoting.TopicNotExist) {
		return fmt.Errorf("target %s: a topic that does not exist was answered with %w; give the target of a NameServer", c.addr, a.failure())
	}
	return nil
}

// register announces one broker and reports a refusal.
func (c *caller) register(a address, body []byte) error {
	return c.registerWithin(callTimeout, a, body)
}

func (c *caller) registerWithin(timeout time.Duration, a address, body []byte) error {
	got, err := c.call(timeout, func(out []byte, seq uint32) []byte { return appendRegister(out, a, seq, body) })
	if err != nil {
		return fmt.Errorf("register %s: %w", a.broker, err)
	}
	if got.code != int(remoting.Success) {
		return fmt.Errorf("register %s: %w", a.broker, got.failure())
	}
	return nil
}

func (c *caller) heartbeat(a address) error {
	_, err := c.call(callTimeout, func(out []byte, seq uint32) []byte { return appendHeartbeat(out, a, seq) })
	return err
}

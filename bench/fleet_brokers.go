package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// announceTimeout is how long a broker waits for the answer to its registration, by default.
const announceTimeout = 24 * time.Second

// announcers are the brokers of a fleet: each registers over a connection of its own, at its time, and again and again,
// whether that succeeded or not, as brokers do.
type announcers struct {
	cancel context.CancelFunc
	group  sync.WaitGroup
	every  time.Duration
	all    chan struct{} // closed when each has registered once

	mu       sync.Mutex
	left     int       // those that have not registered yet
	last     time.Time // when the last of them sent its first registration that succeeded
	answered time.Time // when that was answered
	took     histogram // from the intended time of a registration to its answer
	first    error     // what failed first
}

// announce lets the brokers of p register at addr, one after the other at even intervals within over (0: all at once), and
// again every so often.
func announce(ctx context.Context, addr string, p Profile, over, every time.Duration) *announcers {
	brokers := p.addresses()
	running, cancel := context.WithCancel(ctx)
	n := &announcers{cancel: cancel, every: every, all: make(chan struct{}), left: len(brokers), took: newHistogram()}
	began := time.Now()
	for i, a := range brokers {
		first := began.Add(time.Duration((float64(i) + 0.5) / float64(len(brokers)) * float64(over)))
		n.group.Go(func() { n.announce(running, addr, p, a, first) })
	}
	return n
}

func (n *announcers) announce(ctx context.Context, addr string, p Profile, a address, at time.Time) {
	var c *caller
	defer func() {
		if c != nil {
			c.conn.Close()
		}
	}()
	for registered := false; pause(ctx, time.Until(at)) == nil; at = at.Add(n.every) {
		sent := time.Now()
		err := func() (err error) {
			if c == nil {
				if c, err = dialCaller(ctx, addr); err != nil {
					return err
				}
				conn := c.conn
				context.AfterFunc(ctx, func() { conn.Close() })
			}
			err = c.registerWithin(announceTimeout, a, p.newRegisterBody(a.index, 0).bytes)
			c.out = nil // its large body is built anew the next time
			return err
		}()
		if ctx.Err() != nil {
			return
		}
		if err != nil && c != nil {
			c.conn.Close()
			c = nil
		}
		n.book(at, sent, err, err == nil && !registered)
		registered = registered || err == nil
	}
}

func (n *announcers) book(at, sent time.Time, err error, first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		if n.first == nil {
			n.first = err
		}
		return
	}
	n.took.record(time.Since(at))
	if !first {
		return
	}
	n.last, n.answered = sent, time.Now()
	if n.left--; n.left == 0 {
		close(n.all)
	}
}

// await waits until all have registered.
func (n *announcers) await(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the brokers have not all registered within %v", limit))
	defer cancel()
	select {
	case <-n.all:
		return nil
	case <-ctx.Done():
		_, why := n.missing()
		return firstError(why, context.Cause(ctx))
	}
}

// whole says that all have registered.
func (n *announcers) whole() bool {
	select {
	case <-n.all:
		return true
	default:
		return false
	}
}

// missing is how many have not registered, and what came in the way first.
func (n *announcers) missing() (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.left, n.first
}

// stop closes the brokers' connections, upon which a server forgets them.
func (n *announcers) stop() {
	n.cancel()
	n.group.Wait()
}

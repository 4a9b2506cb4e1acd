package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

const topicNotExist = int(remoting.TopicNotExist)

// askRoute is the question of all watchers; it is only read.
var askRoute = routeFrame(topicPrefix)

// watcher asks one node for the routes of brokers, again and again, until it names none of them.
type watcher struct {
	node  int
	addr  string
	pool  *callers
	every time.Duration // between two questions; grows with the time that has passed, to half a percent of it
	from  time.Duration // the first question after the start waits so long, so that watchers do not keep step
	soon  chan struct{} // the node says that it has evicted: time for the next question. Nil: it says nothing
	names []address
	topic []uint32
	gone  []time.Time // by broker: when the answer that named it no more was there; zero: not seen
}

// run returns when no broker is named any more, or when ctx ends. It calls listed once every broker has been seen.
func (w *watcher) run(ctx context.Context, listed func()) error {
	c, err := w.pool.take(ctx, w.addr)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			w.pool.give(c)
		} else {
			c.conn.Close()
		}
	}()
	w.gone = make([]time.Time, len(w.names))
	for i := range w.names {
		var named bool
		if named, err = w.named(c, i); err != nil {
			return err
		}
		if !named {
			err = fmt.Errorf("target %s: broker %s has registered there and is not in the route of its topic", w.addr, w.names[i].broker)
			return err
		}
	}
	listed()
	began := time.Now()
	for left, wait := len(w.names), w.from; left > 0; {
		if !w.pause(ctx, wait) {
			return nil // what was not seen is not gone
		}
		for i := range w.names {
			if !w.gone[i].IsZero() {
				continue
			}
			var named bool
			if named, err = w.named(c, i); err != nil {
				return err
			}
			if !named {
				w.gone[i] = time.Now()
				left--
			}
		}
		wait = max(w.every, time.Since(began)/200)
	}
	return nil
}

// pause waits for the time of the next question. It answers false when ctx ends.
func (w *watcher) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.soon:
		return true
	case <-ctx.Done():
		return false
	}
}

// named asks for the route of broker i's own topic.
func (w *watcher) named(c *caller, i int) (bool, error) {
	a, err := c.call(callTimeout, func(out []byte, seq uint32) []byte { return askRoute.ask(out, w.topic[i], seq) })
	if err != nil {
		return false, err
	}
	switch a.code {
	case 0:
		return bytes.Contains(a.body, []byte(w.names[i].broker)), nil
	case topicNotExist:
		return false, nil
	}
	return false, fmt.Errorf("target %s: route of %s: %w", w.addr, topicName(int(w.topic[i])), a.failure())
}

// last is when the last broker was gone; ok is false when one was not.
func (w *watcher) last() (at time.Time, ok bool) {
	for _, g := range w.gone {
		if g.IsZero() {
			return time.Time{}, false
		}
		if g.After(at) {
			at = g
		}
	}
	return at, len(w.gone) > 0
}

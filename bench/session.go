package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// brokerConns is over how many connections the brokers of a profile register at most: a NameServer forgets a
	// broker whose connection is gone, so they stay open for the whole session.
	brokerConns = 64
	// readers is how many connections read every route once.
	readers = 32
	// keepAlive is how often each broker says that it lives; a NameServer forgets it after 120 s of silence.
	keepAlive = 20 * time.Second
)

// session is a NameServer with the brokers of a profile registered on it and kept alive, and the knowledge of
// what it must answer.
type session struct {
	target
	expect *expectation
	fixed  bool // the server is the ceiling
	group  errgroup.Group
	cancel context.CancelFunc

	mu       sync.Mutex // guards the connections below: a heartbeat and a registration may not mix
	brokers  []*caller  // broker i registers over brokers[i%len]
	register time.Duration
}

// openSession registers the brokers of p at t and reads the route of every topic once, which must be right.
func openSession(ctx context.Context, t target, p Profile, progress *Progress) (*session, error) {
	s := &session{target: t, expect: newExpectation(p), cancel: func() {}}
	err := s.registerAll(ctx, progress)
	if err == nil {
		err = s.readAll(ctx, progress)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.group.Go(func() error { return s.keepAlive(alive) })
	return s, nil
}

// Close drops the brokers' connections, upon which the server forgets them.
func (s *session) Close() error {
	s.cancel()
	err := s.group.Wait()
	for _, c := range s.brokers {
		c.conn.Close()
	}
	return err
}

func (s *session) registerAll(ctx context.Context, progress *Progress) error {
	p := s.expect.profile
	all := p.addresses()
	for range min(len(all), brokerConns) {
		c, err := s.target.caller(ctx)
		if err != nil {
			return err
		}
		s.brokers = append(s.brokers, c)
	}
	if err := s.brokers[0].probe(); err != nil {
		return err
	}
	began := time.Now()
	var body *registerBody
	for i, a := range all {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if body == nil || i > 0 && all[i-1].index != a.index { // a master and its slave announce the same
			body = p.newRegisterBody(a.index, 0)
		}
		if err := s.brokers[i%len(s.brokers)].register(a, body.bytes); err != nil {
			return err
		}
		progress.Live("registering brokers: %d of %d", i+1, len(all))
	}
	s.register = time.Since(began)
	return nil
}

// readAll asks for every topic once.
func (s *session) readAll(ctx context.Context, progress *Progress) error {
	group, ctx := errgroup.WithContext(ctx)
	topics := s.expect.profile.Topics
	for part := range min(readers, topics) {
		group.Go(func() error {
			c, err := s.target.caller(ctx)
			if err != nil {
				return err
			}
			defer c.conn.Close()
			return s.readPart(ctx, c, part, min(readers, topics), progress)
		})
	}
	return group.Wait()
}

func (s *session) readPart(ctx context.Context, c *caller, part, parts int, progress *Progress) error {
	f := routeFrame(topicPrefix)
	for topic := part; topic < s.expect.profile.Topics; topic += parts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a, err := c.call(callTimeout, func(out []byte, seq uint32) []byte { return f.ask(out, uint32(topic), seq) })
		if err != nil {
			return err
		}
		if a.code != 0 {
			return fmt.Errorf("target %s: route of %s: %w", s.addr, topicName(topic), a.failure())
		}
		if !s.expect.right(uint32(topic), a.body) {
			return fmt.Errorf("target %s: wrong answer: %w", s.addr, s.expect.firstWrong())
		}
		if topic%1000 == 0 {
			progress.Live("reading every route once: topic %d of %d", topic, s.expect.profile.Topics)
		}
	}
	return nil
}

// keepAlive sends heartbeats until ctx ends. A server that has died meanwhile is reported by the measurement itself.
func (s *session) keepAlive(ctx context.Context) error {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.beat(ctx) != nil {
			return nil
		}
	}
}

func (s *session) beat(ctx context.Context) error {
	for i, a := range s.expect.profile.addresses() {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the session ends: that is no fault of the server
		}
		s.mu.Lock()
		err := s.brokers[i%len(s.brokers)].heartbeat(a)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// measure runs one cell against the server.
func (s *session) measure(ctx context.Context, spec cellSpec, progress *Progress) (*CellResult, error) {
	s.expect.changes = s.expect.changes || (spec.kind == Register || spec.kind == Mixed) && spec.changeEvery > 0
	return runCell(ctx, s.target, s.expect, s.fixed, spec, progress)
}

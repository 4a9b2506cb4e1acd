package cli

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/cli/systemd"
)

const (
	statusEvery = time.Second      // how often what systemd shows is compared with what is so
	extendEvery = 10 * time.Second // how often a stop that drains asks for more time
	extendBy    = 30 * time.Second
	feedWithin  = 4 // questions in the time of the watchdog
)

// supervised tells systemd how a server fares: when it serves, why it is (not) ready, that it lives, that it stops. Without
// systemd it does nothing.
type supervised struct {
	manager *systemd.Manager
	log     *slog.Logger
	server  server
	secure  bool // it speaks TLS alone
	once    sync.Once
	stop    context.CancelFunc
	loops   sync.WaitGroup
	extend  chan struct{} // closed: it drains
}

func (p *program) supervised(n server, log *slog.Logger, s serving) *supervised {
	manager, err := systemd.Find(p.env)
	if err != nil {
		log.Warn("systemd is not told, or not all of it", "err", err)
	}
	return &supervised{manager: manager, log: log, server: n, secure: s.tlsOnly, stop: func() {}, extend: make(chan struct{})}
}

// tell warns once when systemd cannot be told: nothing else depends on it.
func (s *supervised) tell(assignments ...string) {
	if err := s.manager.Tell(assignments...); err != nil {
		s.once.Do(func() { s.log.Warn("systemd cannot be told how this node fares", "err", err) })
	}
}

// serving says that all ports serve, whether or not the node is ready, and goes on to say what changes.
func (s *supervised) serving() {
	if s.manager == nil {
		return
	}
	_, why := s.server.Ready()
	s.tell("READY=1", systemd.Status(why))
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.loops.Go(func() { s.follow(ctx, why) })
	if within := s.manager.Watchdog(); within > 0 {
		addr := reachable(s.server.Addr())
		s.loops.Go(func() { s.feed(ctx, within/feedWithin, func() error { return knock(ctx, addr, s.secure) }) })
	}
}

// stopping says so; from then on a node that drains gets the time that it takes.
func (s *supervised) stopping() {
	s.tell("STOPPING=1")
	close(s.extend)
}

// drained ends what serving began. What is left of a stop is short, and bounded by the unit's time-out.
func (s *supervised) drained() {
	s.stop()
	s.loops.Wait()
	s.tell(systemd.Status("stopping"))
}

// follow tells each change of the readiness line, and asks for more time while the node drains.
func (s *supervised) follow(ctx context.Context, said string) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	more := time.NewTicker(extendEvery)
	defer more.Stop()
	extend := s.extend
	for {
		select {
		case <-ctx.Done():
			return
		case <-extend:
			extend = nil
			s.tell(systemd.Extend(extendBy))
		case <-more.C:
			if extend == nil {
				s.tell(systemd.Extend(extendBy))
			}
		case <-tick.C:
		}
		if _, why := s.server.Ready(); why != said {
			s.tell(systemd.Status(why))
			said = why
		}
	}
}

// feed asks the node's own port, and feeds the watchdog with each answer. One that does not come is asked for again at once.
func (s *supervised) feed(ctx context.Context, every time.Duration, ask func() error) {
	for {
		pause := every
		if err := ask(); err == nil {
			s.tell("WATCHDOG=1")
		} else {
			pause = min(every, livePause)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	storyNodes   = 3
	storyQuiet   = 2 * time.Second // everybody lists the broker
	storyLeft    = 6 * time.Second // it has left
	storyBack    = 3 * time.Second // it is back
	storyFrame   = 100 * time.Millisecond
	storyAsk     = time.Millisecond
	storyBrokers = 3
)

// story is two clusters, one with tombstones and one without, and what their clients see of one broker.
type story struct {
	screen *storyScreen
	who    address
	sides  [2]*storySide // without, with
}

type storySide struct {
	name  string
	field *field

	mu    sync.Mutex // guards the following fields
	left  time.Time  // when the first node answered the UNREGISTER; zero: not yet
	nodes [storyNodes]sighting
}

// sighting is what a client sees at one node.
type sighting struct {
	listed bool
	since  time.Time // of the last change
}

// Story tells in the terminal, in less than 20 seconds, what this program is for: three NameServers, a broker that leaves,
// one node that does not hear it; with and without tombstones. Without a terminal it writes plain lines.
func Story(ctx context.Context, w io.Writer) error {
	s := &story{
		screen: newStoryScreen(w),
		who:    address{broker: "broker-1", addr: "10.1.0.1:10911", ha: "10.1.0.1:10912"},
		sides:  [2]*storySide{{name: "without tombstones"}, {name: "with tombstones"}},
	}
	err := s.tell(ctx)
	if ctx.Err() != nil {
		s.screen.say("interrupted")
		return nil //nolint:nilerr // what was told so far is all there is to say
	}
	return err
}

func (s *story) tell(ctx context.Context) error {
	for i, side := range s.sides {
		f, err := startField(ctx, storyNodes, storyBrokers, i == 1, 1)
		if err != nil {
			return err
		}
		defer f.stop()
		side.field = f
	}
	s.screen.say("Two clusters of three NameServers, A, B and C, in this process on loopback.")
	s.screen.say("No route ever travels between nodes: each knows what brokers told it.")
	s.screen.say("")
	s.screen.say("1. %d brokers register at A, B and C of both.", storyBrokers)
	var brokers [2][]*broker
	for i, side := range s.sides {
		var err error
		if brokers[i], err = side.register(ctx, s.who); err != nil {
			return err
		}
		defer closeBrokers(brokers[i])
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	group, watching := errgroup.WithContext(watching)
	for _, side := range s.sides {
		for n := range side.nodes {
			group.Go(func() error { return side.watch(watching, n, s.who) })
		}
	}
	err := s.scenes(watching, brokers)
	stop()
	if failed := group.Wait(); failed != nil {
		return failed
	}
	return err
}

func (s *story) scenes(ctx context.Context, brokers [2][]*broker) error {
	if err := s.show(ctx, storyQuiet); err != nil {
		return err
	}
	s.screen.say("2. broker-1 stops. A and B hear it; its path to C is broken: C hears nothing,")
	s.screen.say("   and its connection there stays open and silent.")
	for i, side := range s.sides {
		if err := side.leave(brokers[i][0]); err != nil {
			return err
		}
	}
	if err := s.show(ctx, storyLeft); err != nil {
		return err
	}
	if err := s.verdict(); err != nil {
		return err
	}
	s.screen.say("3. broker-1 starts again and registers at A, B and C.")
	for _, side := range s.sides {
		side.arrive()
		back, err := side.field.registerOne(ctx, s.who)
		if err != nil {
			return err
		}
		defer back.close()
	}
	if err := s.show(ctx, storyBack); err != nil {
		return err
	}
	for _, side := range s.sides {
		if side.gone(storyNodes-1) != 0 || side.gone(0) != 0 {
			return errors.New("a broker that came back is not listed everywhere: please report this")
		}
	}
	s.screen.say("   The tombstone is still there, and touches only what is older than itself.")
	s.screen.say("")
	s.screen.say("Next: epitaph-bench convergence --nodes 3,9 --loss 0,0.3   with figures")
	s.screen.say("      epitaph-bench story --vanish                        when a host vanishes")
	s.screen.say("      epitaph cluster --demo-brokers 4                    to play with")
	return nil
}

// verdict says what C did on both sides.
func (s *story) verdict() error {
	const c = storyNodes - 1
	with := s.sides[1].gone(c)
	if with == 0 {
		return fmt.Errorf("node C still lists %s after %v although the nodes gossip: is loopback UDP and TCP blocked between processes?", s.who.broker, storyLeft)
	}
	if s.sides[0].gone(c) != 0 {
		return errConverged
	}
	s.screen.say("   With tombstones C dropped it %s after A's answer to the broker.", milliseconds(ms(with)))
	s.screen.say("   Without, C still lists it, until RocketMQ's 120 s are over; clients that ask")
	s.screen.say("   C go on sending to a broker that is gone.")
	s.screen.say("")
	return nil
}

// show draws the live table for d.
func (s *story) show(ctx context.Context, d time.Duration) error {
	defer s.screen.keep()
	for end := time.Now().Add(d); ; {
		s.screen.table(s.sides)
		left := time.Until(end)
		if left <= 0 {
			s.screen.say("")
			return nil
		}
		if err := pause(ctx, min(left, storyFrame)); err != nil {
			return err
		}
	}
}

// register announces the story's brokers at every node; the first is who.
func (side *storySide) register(ctx context.Context, who address) (all []*broker, err error) {
	for b := range storyBrokers {
		a := who
		if b > 0 {
			a = side.field.profile.addressesOf(b)[0]
			a.broker = fmt.Sprintf("broker-%d", b+1)
		}
		one, err := side.field.registerOne(ctx, a)
		if err != nil {
			closeBrokers(all)
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// registerOne announces one broker at every node over connections of its own.
func (f *field) registerOne(ctx context.Context, a address) (*broker, error) {
	b := &broker{address: a, conns: make([]*caller, len(f.nodes))}
	for i, n := range f.nodes {
		c, err := dialCaller(ctx, n.addr)
		if err == nil {
			b.conns[i] = c
			err = c.register(a, f.profile.newRegisterBody(a.index, 0).bytes)
		}
		if err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

// leave tells A and B, as a broker that stops does: one after the other.
func (side *storySide) leave(b *broker) error {
	if err := b.unregister(0); err != nil {
		return err
	}
	side.mu.Lock()
	side.left = time.Now()
	side.mu.Unlock()
	return b.unregister(1)
}

// arrive ends the counting: the broker is about to be back.
func (side *storySide) arrive() {
	side.mu.Lock()
	defer side.mu.Unlock()
	side.left = time.Time{}
}

// watch asks one node all the time.
func (side *storySide) watch(ctx context.Context, n int, who address) error {
	pool := &callers{}
	defer pool.close()
	w := &watcher{addr: side.field.nodes[n].addr, names: []address{who}, topic: []uint32{uint32(who.index)}}
	c, err := pool.take(ctx, w.addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	for {
		listed, err := w.named(c, 0)
		if err != nil {
			return err
		}
		side.mu.Lock()
		if at := &side.nodes[n]; at.since.IsZero() || at.listed != listed {
			*at = sighting{listed, time.Now()}
		}
		side.mu.Unlock()
		if pause(ctx, storyAsk) != nil {
			return nil
		}
	}
}

// gone is how long after the first answer node n named the broker no more; 0: it names it. At least a microsecond.
func (side *storySide) gone(n int) time.Duration {
	side.mu.Lock()
	defer side.mu.Unlock()
	at := side.nodes[n]
	if at.listed || at.since.IsZero() {
		return 0
	}
	return max(at.since.Sub(side.left), time.Microsecond)
}

// cell is what the table says of node n, and whether that is good.
func (side *storySide) cell(n int) (text string, good bool) {
	side.mu.Lock()
	defer side.mu.Unlock()
	at := side.nodes[n]
	switch {
	case at.since.IsZero():
		return "...", true
	case at.listed && side.left.IsZero():
		return "lists it", true
	case at.listed:
		return fmt.Sprintf("LISTS IT %.1f s", time.Since(side.left).Seconds()), false
	case side.left.IsZero():
		return "not yet", true
	}
	return "gone " + milliseconds(max(ms(at.since.Sub(side.left)), 0)), true
}

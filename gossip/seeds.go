package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

const (
	joinsAtOnce = 16
	// joinWait is how long, once a seed has answered, others are waited for before this node counts as joined: the one that
	// answered has told of all members, and a dead host takes ten seconds.
	joinWait = time.Second
	// lookUpFirst bounds the first look-up of a name, so that one that hangs is told within three seconds; lookUpWait those
	// that follow.
	lookUpFirst = 2 * time.Second
	lookUpWait  = 10 * time.Second
	// answerWait is for how long a seed may say nothing before that is told; it is waited for all the same.
	answerWait = 1500 * time.Millisecond
	// retryFirst doubles before each wait for another try at a seed, until a member is met or that would be longer than
	// RejoinEvery.
	retryFirst = time.Second
)

// seedList is the names of --join, each followed by a goroutine of its own: one that hangs holds up no other.
type seedList struct {
	slots   chan struct{} // joins at once
	joined  atomic.Bool   // see Joined
	reached atomic.Bool   // see Reached

	mu      sync.Mutex // guards the following fields
	list    []*seed
	untried int
	trying  map[netip.AddrPort]bool // addresses being joined
	alone   clock.Stamp             // since when no other member lives; zero: one does
}

// seed is one name of --join. seeds.mu guards what follows addr.
type seed struct {
	addr    string           // HOST:PORT as given
	itself  bool             // it is this node
	trouble string           // why it is not reached, in words; empty: it is
	found   []netip.AddrPort // its addresses, as they were looked up last
}

func (s *seedList) init(addrs []string, now clock.Stamp) {
	s.slots, s.trying, s.untried, s.alone = make(chan struct{}, joinsAtOnce), map[netip.AddrPort]bool{}, len(addrs), now
	for _, a := range addrs {
		s.list = append(s.list, &seed{addr: a})
	}
	s.joined.Store(len(addrs) == 0)
	s.reached.Store(len(addrs) == 0)
}

// Joined says that every seed has been tried once, or one has answered a while ago: who is no member by now does not answer.
func (g *Gossip) Joined() bool { return g.seeds.joined.Load() }

// Reached says that another member was met since the start, or that there are no seeds to be reached.
func (g *Gossip) Reached() bool { return g.seeds.reached.Load() }

// Alone is for how long no other member has lived, at a node that has seeds; 0 while one does.
func (g *Gossip) Alone() time.Duration {
	now, s := g.cfg.Clock(), &g.seeds
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 || s.alone.IsZero() {
		return 0
	}
	return max(now.Sub(s.alone), 1)
}

// at says that a seed has that address.
func (s *seedList) at(addr netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.list, func(one *seed) bool {
		return slices.ContainsFunc(one.found, func(a netip.AddrPort) bool { return a.Addr() == addr })
	})
}

// company notes whether another member lives.
func (g *Gossip) company() {
	others, s := g.inbox.memberCount() > 1, &g.seeds
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case others:
		s.alone = clock.Stamp{}
		s.reached.Store(true)
	case s.alone.IsZero():
		s.alone = g.cfg.Clock()
	}
}

// Trouble says in words why seeds were not reached, each with its likely cause; empty when nothing is known against any.
func (g *Gossip) Trouble() string {
	s := &g.seeds
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onlyItself() {
		return onlyItself
	}
	var all []string
	for _, one := range s.list {
		if one.trouble != "" {
			all = append(all, one.addr+": "+one.trouble)
		}
	}
	const most = 5
	if n := len(all); n > most {
		all = append(all[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(all, "; ")
}

// onlyItself says that all seeds are this node. s.mu is held.
func (s *seedList) onlyItself() bool {
	return len(s.list) > 0 && !slices.ContainsFunc(s.list, func(one *seed) bool { return !one.itself })
}

const onlyItself = "--join names only this node itself: give the address of another node; until one joins, this node gossips with nobody"

// rejoin tries the seeds that are no living member, now and then for ever: memberlist does not heal a partition that is
// longer than its memory of the dead, and looks a name up only once.
func (g *Gossip) rejoin(ctx context.Context) {
	var group sync.WaitGroup
	for _, s := range g.seeds.list {
		group.Go(func() { g.follow(ctx, s) })
	}
	group.Wait()
}

// follow tries one seed for ever.
func (g *Gossip) follow(ctx context.Context, s *seed) {
	limit, wait := lookUpFirst, retryFirst
	for first := true; ; first = false {
		g.try(ctx, s, limit)
		if first {
			g.tried()
		}
		limit, wait = lookUpWait, min(2*wait, g.cfg.RejoinEvery)
		if g.inbox.memberCount() > 1 {
			wait = g.cfg.RejoinEvery
		}
		// Up to a fifth more or less, so that a fleet that was restarted at once does not join at once for ever.
		timer := time.NewTimer(time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// tried notes that one more seed has had its first try.
func (g *Gossip) tried() {
	s := &g.seeds
	s.mu.Lock()
	s.untried--
	last := s.untried == 0
	only := last && s.onlyItself()
	s.mu.Unlock()
	if last {
		s.joined.Store(true)
	}
	if only {
		g.cfg.Logger.Warn(onlyItself)
	}
}

// try looks a seed up and joins what no living member has of its addresses, all at once.
func (g *Gossip) try(ctx context.Context, s *seed, limit time.Duration) {
	addrs, err := g.lookUp(ctx, s.addr, limit)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		g.counts.rejoinsFailed.Add(1)
		g.trouble(s, explainLookUp(err, limit))
		return
	}
	members := map[string]bool{}
	for _, m := range g.Members() {
		members[m.Addr] = true
	}
	others := slices.DeleteFunc(addrs, g.isItself)
	itself := len(others) == 0
	g.seeds.mu.Lock()
	s.itself, s.found = itself, others
	g.seeds.mu.Unlock()
	var group sync.WaitGroup
	var mu sync.Mutex
	var faults []string
	reached := itself
	for _, a := range others {
		switch {
		case members[a.String()]:
			reached = true
		case g.begin(a):
			group.Go(func() {
				defer g.end(a)
				fault := g.join(ctx, s, a)
				mu.Lock()
				defer mu.Unlock()
				if fault == "" {
					reached = true
				} else {
					faults = append(faults, fault)
				}
			})
		}
	}
	group.Wait()
	switch {
	case ctx.Err() != nil:
	case reached || len(faults) == 0:
		g.trouble(s, "")
	default:
		slices.Sort(faults)
		g.trouble(s, strings.Join(slices.Compact(faults), "; "))
	}
}

// begin takes an address that nobody is joining.
func (g *Gossip) begin(a netip.AddrPort) bool {
	g.seeds.mu.Lock()
	defer g.seeds.mu.Unlock()
	if g.seeds.trying[a] {
		return false
	}
	g.seeds.trying[a] = true
	return true
}

func (g *Gossip) end(a netip.AddrPort) {
	g.seeds.mu.Lock()
	defer g.seeds.mu.Unlock()
	delete(g.seeds.trying, a)
}

// join joins one address of a seed and says why it could not.
func (g *Gossip) join(ctx context.Context, s *seed, a netip.AddrPort) (fault string) {
	select {
	case g.seeds.slots <- struct{}{}:
		defer func() { <-g.seeds.slots }()
	case <-ctx.Done():
		return ""
	}
	g.counts.rejoins.Add(1)
	answered := make(chan struct{})
	var slow sync.WaitGroup
	slow.Go(func() {
		select {
		case <-answered:
		case <-ctx.Done():
		case <-time.After(answerWait):
			if text := g.explainJoin(ctx, s.addr, a, nil); ctx.Err() == nil {
				g.trouble(s, text)
			}
		}
	})
	_, err := g.list.Join([]string{a.String()})
	close(answered)
	slow.Wait()
	if err == nil {
		time.AfterFunc(joinWait, func() { g.seeds.joined.Store(true) })
		return ""
	}
	if ctx.Err() != nil {
		return ""
	}
	g.counts.rejoinsFailed.Add(1)
	return g.explainJoin(ctx, s.addr, a, err)
}

// trouble notes why a seed is not reached, and logs it when that is new.
func (g *Gossip) trouble(s *seed, text string) {
	g.seeds.mu.Lock()
	fresh := text != s.trouble
	s.trouble = text
	g.seeds.mu.Unlock()
	if fresh && text != "" {
		g.cfg.Logger.Warn("a node of --join was not reached; it is tried again and again", "seed", s.addr, "cause", text)
	}
}

// lookUp finds the addresses behind HOST:PORT.
func (g *Gossip) lookUp(ctx context.Context, seed string, limit time.Duration) ([]netip.AddrPort, error) {
	host, port, err := splitHostPort(seed)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ips, err := g.resolve(ctx, "ip", host)
	var all []netip.AddrPort
	for _, ip := range ips {
		all = append(all, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return all, err
}

// explainLookUp says in words why a name has no address.
func explainLookUp(err error, limit time.Duration) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no such name in DNS: is it mistyped, or is its host not there yet?"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &dns) && dns.IsTimeout:
		return fmt.Sprintf("its name cannot be looked up: DNS did not answer within %v", limit)
	case dns != nil:
		return "its name cannot be looked up: " + cmp.Or(dns.Err, err.Error())
	}
	return "its name cannot be looked up: " + err.Error()
}

// isItself says that a is an address of this node: what it advertises, what it is bound to, or, when it is bound to every
// address, any of this machine with its port.
func (g *Gossip) isItself(a netip.AddrPort) bool {
	if a.String() == g.Addr() {
		return true
	}
	_, port, err := splitHostPort(g.cfg.Bind)
	if err != nil || port == 0 || int(a.Port()) != port {
		return false
	}
	ip, err := netip.ParseAddr(g.bound)
	if err != nil || !ip.IsUnspecified() {
		return err == nil && ip == a.Addr()
	}
	local, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(local, func(l net.Addr) bool {
		prefix, err := netip.ParsePrefix(l.String())
		return err == nil && prefix.Addr().Unmap() == a.Addr()
	})
}

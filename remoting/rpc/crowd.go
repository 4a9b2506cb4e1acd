package rpc

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Where connections run out: from three quarters of MaxConns on the source that has most gives first (DEV-20).
const (
	probation = 5 * time.Second  // in which a new connection must say that it is a broker's
	mute      = 30 * time.Second // after which a connection that never sent a byte is closed
	settled   = 10 * time.Minute // an owner of a registration that old never gives way
)

// crowd is who has most connections. It is made once in a step of the sweeper, and again when all of many have given way: never for a few of a
// crowd. Only Serve's goroutine touches it.
type crowd struct {
	at     int64
	all    int // connections,
	many   int // and those that could give way, when it was made
	counts map[netip.Addr]int
	top    netip.Addr // the source that has most
	give   []place    // of top, in the order in which they give way, the first last
}

// place is what a connection takes, and by what its order is found.
type place struct {
	conn *Conn
	rank int
	age  time.Duration // of the registration
	read int64         // step of the last byte
}

// Ranks, in the order in which connections give way.
const (
	never  = iota // asked
	askers        // only
	owners        // of a young registration
)

// crowded says that connections run out.
func (s *Server) crowded() bool {
	return s.cfg.MaxConns > 0 && s.ConnCount() > s.cfg.MaxConns/4*3
}

// makeRoom is asked for each new connection while they run out. It is let in as any other if another source has more of them, of
// which one is closed for it; else it must say at once that it is a broker's. False: there is no room at all.
func (s *Server) makeRoom(c *Conn) bool {
	v, now, open := &s.crowd, s.ticks.Load(), s.ConnCount()
	if v.counts == nil || v.at != now {
		*v = s.lookAround(now)
	}
	source, full := c.source(), open >= s.cfg.MaxConns
	more := v.counts[v.top] > v.counts[source]+1
	v.counts[source]++
	if open >= s.cfg.MaxConns+s.cfg.MaxConns/16+8 { // those that gave way are not yet gone
		return false
	}
	if !more && (!full || source != v.top) {
		c.probation.Store(now + steps(probation))
		return !full
	}
	gives := v.first(more)
	if gives == nil && len(v.give) == 0 && v.many > v.all/8 {
		*v = s.lookAround(now)
		v.counts[source]++
		gives = v.first(more)
	}
	if gives == nil || !more {
		c.probation.Store(now + steps(probation))
	}
	if gives == nil {
		return !full
	}
	s.giveWay(gives, v)
	return true
}

// first is who gives way next, and is no more among those who will; nil: nobody. Only those that never asked give way to a newcomer of
// the same source, which is worth no more.
func (v *crowd) first(toOthers bool) *Conn {
	for n := len(v.give); n > 0; n = len(v.give) {
		last := v.give[n-1]
		if !toOthers && last.rank != never {
			return nil
		}
		v.give = v.give[:n-1]
		if last.conn.closing.Load() == nil && (last.rank != never || last.conn.wire.meter.requests.Load() == 0) { // else it has asked since
			return last.conn
		}
	}
	return nil
}

func (s *Server) giveWay(c *Conn, v *crowd) {
	s.counts.noRoom.Add(1)
	s.logs.refused.Do(func() {
		s.cfg.Logger.Warn("connections run out: the source that has most gives first", "source", v.top, "has", v.counts[v.top], "limit", s.cfg.MaxConns)
	})
	c.Close("gives its place to others")
}

// lookAround finds the source that has most connections, and the order in which they give way: those that never asked, then those that
// only asked, then those whose registrations are youngest; of each the silent ones first.
func (s *Server) lookAround(now int64) crowd {
	v := crowd{at: now, counts: map[netip.Addr]int{}}
	all := s.snapshot()
	v.all = len(all)
	for _, c := range all {
		v.counts[c.source()]++
	}
	for source, n := range v.counts {
		if most := v.counts[v.top]; n > most || n == most && source.Less(v.top) {
			v.top = source
		}
	}
	for _, c := range all {
		if c.source() != v.top || c.closing.Load() != nil {
			continue
		}
		p := place{conn: c, read: c.wire.meter.read.Load()}
		if age, owns := s.cfg.Owner(c); owns && age >= settled {
			continue
		} else if owns {
			p.rank, p.age = owners, age
		} else if c.wire.meter.requests.Load() > 0 {
			p.rank = askers
		}
		v.give = append(v.give, p)
	}
	v.many = len(v.give)
	slices.SortFunc(v.give, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.age, a.age), cmp.Compare(b.read, a.read))
	})
	return v
}

package routes

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Who owns a registration when several sources register it: docs/spec/tombstones.md#ownership.
const (
	// window is how long after its last REGISTER a claim can inherit, and an heir lasts: twice the period of brokers.
	window = 60 * time.Second
	// maxClaims bounds the claims on one registration.
	maxClaims = 8
)

// ordered says that the connection's source is one machine, so that the order in which its connections were accepted is that
// of its processes. Elsewhere the connection that registered last owns, as in the original, and nobody's life is proven.
func (c *Conn) ordered() bool { return c.Source.Machine().IsValid() && !c.Shared }

// claim is what one source said about a registration. Its owner is open.
type claim struct {
	owner        *Conn // of this source's connections that registered it, the one accepted last; not ordered: that registered last
	version      int32 // of the owner's last REGISTER, like language
	language     uint8
	lastRegister clock.Stamp // of this source, on whichever of its connections, like name and id
	name         string
	id           int64
	made         uint64 // the generation of the registration when it was made
	since        clock.Stamp
}

func (c *claim) source() mq.Source { return c.owner.Source }

// identity is what a tombstone must agree with.
func (c *claim) identity() tombstone.Identity {
	return tombstone.Identity{Name: c.name, BrokerID: c.id, RemoteIP: c.source().Machine()}
}

// entry is what the rule looks at: without order the age of a connection says nothing.
func (c *claim) entry() tombstone.Entry {
	e := tombstone.Entry{Identity: c.identity(), LastRegister: c.lastRegister, Conn: c.owner.ID}
	if c.owner.ordered() {
		e.FirstByte = c.owner.FirstByte
	}
	return e
}

// lateProof says that the broker unregisters first of all when it stops, while it still holds its port, and reads the
// answer: then that answer proves life, too (docs/spec/tombstones.md#late-proof).
func (c *claim) lateProof() bool { return c.version >= mq.V5_0_0 && c.language == languageJava }

const languageJava = 0 // LanguageCode.JAVA

// shown is the claim with the newest REGISTER.
func (e *live) shown() *claim { return &e.claims[0] }

// indexOf is where the claim of a source stands; -1: it has none.
func (e *live) indexOf(s mq.Source) int {
	return slices.IndexFunc(e.claims, func(c claim) bool { return c.source() == s })
}

// claimOf is the claim of a source; nil: it has none.
func (e *live) claimOf(s mq.Source) *claim {
	if i := e.indexOf(s); i >= 0 {
		return &e.claims[i]
	}
	return nil
}

// ownedBy is the claim that a connection owns; nil: none.
func (e *live) ownedBy(conn uint64) *claim {
	for i := range e.claims {
		if e.claims[i].owner.ID == conn {
			return &e.claims[i]
		}
	}
	return nil
}

// claimed takes note of a REGISTER: its claim shows from now on, and its connection owns it unless that is older than the
// owner. What was not listed begins anew. A remembered owner of the key and the source ends here.
func (s *state) claimed(e *live, r *Registration, now clock.Stamp, listed bool, eff *Effects) {
	if !listed {
		s.endClaims(e)
	}
	src := r.Conn.Source
	s.forget(claimKey{e.key, src})
	if listed && e.shown().source() != src {
		eff.Events = append(eff.Events, e.sources(r.Conn, e.shown().source()))
	}
	c := claim{owner: r.Conn, version: r.Version, language: r.Language, made: e.gen, since: now}
	if i := e.indexOf(src); i >= 0 {
		old := &e.claims[i]
		c.made, c.since = old.made, old.since
		if r.Conn.ordered() && r.Conn.ID < old.owner.ID {
			// The owner stays, and so does what tells how it will leave.
			c.owner, c.version, c.language = old.owner, old.version, old.language
		}
		if c.owner != old.owner {
			s.disown(e, old.owner.ID)
		}
		e.claims = slices.Delete(e.claims, i, i+1)
	} else if len(e.claims) >= maxClaims {
		youngest := slices.MaxFunc(e.claims, func(a, b claim) int { return cmp.Compare(a.made, b.made) })
		s.dropClaim(e, youngest.source())
	}
	c.lastRegister, c.name, c.id = now, e.broker.name, r.ID
	e.claims = slices.Insert(e.claims, 0, c)
	s.conn(c.owner.ID).lives[e] = struct{}{}
	e.inherited = false
}

// sources is the conflict that a registration shows another source's claim than before.
func (e *live) sources(now *Conn, before mq.Source) Event {
	ev := e.event(ConflictSources)
	ev.by(now)
	ev.Old = before.String()
	return ev
}

// dropClaim takes the claim of a source away, whatever becomes of the registration.
func (s *state) dropClaim(e *live, src mq.Source) {
	i := e.indexOf(src)
	s.disown(e, e.claims[i].owner.ID)
	e.claims = slices.Delete(e.claims, i, i+1)
}

func (s *state) endClaims(e *live) {
	for i := range e.claims {
		s.disown(e, e.claims[i].owner.ID)
	}
	e.claims = nil
}

func (s *state) disown(e *live, conn uint64) {
	delete(s.conns[conn].lives, e)
	s.dropConn(conn)
}

// outlives says that a registration goes on without one of its claims, and if so takes that away. One that does not show
// changes nothing else. One that shows leaves the registration to the next, if that registered within the window: then the
// registration lasts for the rest of the window at most, unless somebody registers.
func (s *state) outlives(e *live, c *claim, now clock.Stamp, eff *Effects) bool {
	src := c.source()
	showed := src == e.shown().source()
	if showed && (len(e.claims) == 1 || now.Sub(e.claims[1].lastRegister) > window) {
		return false
	}
	s.dropClaim(e, src)
	if showed {
		e.inherited = true
	}
	if showed && !e.hidden {
		eff.Events = append(eff.Events, e.sources(e.shown().owner, src))
	}
	return true
}

// lapsed says that an heir's time is over.
func (e *live) lapsed(now clock.Stamp) bool {
	return e.inherited && now.Sub(e.shown().lastRegister) > window
}

// SharedSource is an address from which brokers of several advertised hosts have registered: those of containers behind a
// bridge, of hosts behind one NAT, or of a balancer.
type SharedSource struct {
	Source  mq.Source
	Hosts   []string // sorted
	Ordered bool     // it is taken for one machine all the same
}

// sharedSources are sorted by address.
func (s *state) sharedSources() (list []SharedSource) {
	hosts, ordered := map[mq.Source]map[string]struct{}{}, map[mq.Source]bool{}
	for _, e := range s.lives {
		if e.hidden {
			continue
		}
		host, _, err := net.SplitHostPort(e.key.Addr)
		if err != nil {
			host = e.key.Addr
		}
		for i := range e.claims {
			c := &e.claims[i]
			src := c.source()
			if hosts[src] == nil {
				hosts[src], ordered[src] = map[string]struct{}{}, c.owner.ordered()
			}
			hosts[src][host] = struct{}{}
		}
	}
	for src, of := range hosts {
		if len(of) > 1 {
			list = append(list, SharedSource{src, slices.Sorted(maps.Keys(of)), ordered[src]})
		}
	}
	order.By(list, func(a, b SharedSource) int { return cmp.Compare(a.Source.String(), b.Source.String()) })
	return list
}

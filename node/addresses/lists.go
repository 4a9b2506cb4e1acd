// Package addresses decides which NameServers brokers and clients are told of: two lists, made from what gossip tells of the
// members, from what they say of their readiness, and from whether their serve addresses answer. Time is handed in; nothing is
// sent, logged or kept here. The rules, for operators: docs/operations.md, "One name instead of a list".
package addresses

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/order"
)

const (
	// ClientsKeep is for how long a member must be lost, and its serve address silent, to leave the clients' list.
	ClientsKeep = 10 * time.Second
	// unheardAfter is for how long a member that lives must have said nothing to count as lost. All that say something each second
	// are lost within less than ClientsKeep of each other to a node that is cut off: it sees no majority before it takes anybody out.
	unheardAfter = 5 * time.Second
	// rememberFor is for how long a member of the lists that were kept over a restart counts as lost: as long as gossip remembers
	// one that failed.
	rememberFor = 24 * time.Hour
)

// Addrs is one list, sorted as text.
type Addrs []netip.AddrPort

// String is the body that RocketMQ's clients read (DefaultTopAddressing): HOST:PORT;HOST:PORT.
func (a Addrs) String() string {
	all := make([]string, len(a))
	for i, one := range a {
		all[i] = one.String()
	}
	return strings.Join(all, ";")
}

// Kept is what outlives a restart: the lists as they were served, and which member had which address.
type Kept struct {
	Clients, Brokers Addrs
	Members          map[string]netip.AddrPort // by name
}

// Input is what is known now.
type Input struct {
	Members []gossip.Member               // living, failed, and those that left; one is this node
	Unheard map[digest.Peer]time.Duration // for how long living members have said nothing; those that may be silent are not in it
	Static  []netip.AddrPort              // addresses of NameServers that are no members
	Met     bool                          // a member was met since the start, and nobody is being asked yet; or none is looked for
}

// LeftOut is a member that is in no list, or not in that of clients, although it lives.
type LeftOut struct{ Name, Why string }

// Conflict is one serve address of several members.
type Conflict struct {
	Addr  netip.AddrPort
	Names []string
}

// View is what is served, and what is to be told of it.
type View struct {
	Clients, Brokers Addrs  // empty: none is known, not even from before the start
	Still            string // why the lists stay as they are whatever is known; empty: they do not
	LeftOut          []LeftOut
	Conflicts        []Conflict
}

// Lists are those of one node. Its methods are to be called one at a time.
type Lists struct {
	keep     time.Duration // --address-keep
	started  clock.Stamp
	silent   map[netip.AddrPort]clock.Stamp // since when an address has not answered; those that answer are not in it
	answered map[netip.AddrPort]clock.Stamp // when one was asked last that answered
	lost     map[digest.Peer]clock.Stamp    // since when gossip has not heard a member; those that it hears are not in it
	before   map[string]netip.AddrPort      // members of the last run that were not met in this one
	trusted  Addrs                          // the clients' list of the last run
	view     View
	members  map[string]netip.AddrPort // of the lists
}

// New makes the lists of a node that starts now: until it knows better they are what they were before.
func New(keep time.Duration, kept Kept, now clock.Stamp) *Lists {
	return &Lists{
		keep: keep, started: now, silent: map[netip.AddrPort]clock.Stamp{}, answered: map[netip.AddrPort]clock.Stamp{},
		before: maps.Clone(kept.Members), trusted: kept.Clients, members: maps.Clone(kept.Members), view: View{Clients: kept.Clients, Brokers: kept.Brokers},
	}
}

// View is what the last Update made.
func (l *Lists) View() View { return l.view }

// Kept is what a later run is to begin with.
func (l *Lists) Kept() Kept {
	return Kept{Clients: l.view.Clients, Brokers: l.view.Brokers, Members: maps.Clone(l.members)}
}

// Asked takes the answer of an address that was asked at a time, or that there was none.
func (l *Lists) Asked(a netip.AddrPort, answered bool, then clock.Stamp) {
	if answered {
		delete(l.silent, a)
		l.answered[a] = then
	} else if _, known := l.silent[a]; !known {
		l.silent[a] = then
	}
}

// Ask lists the addresses that are to be asked whether they answer: all that are listed or might be, but this node's own.
func (l *Lists) Ask(in Input) (all []netip.AddrPort) {
	all = slices.Concat(l.view.Brokers, l.view.Clients, in.Static, slices.Collect(maps.Values(l.before)))
	own := netip.AddrPort{}
	for i := range in.Members {
		m := &in.Members[i]
		if m.Self {
			own = m.Serve
		}
		if m.Serve.IsValid() && m.State != gossip.StateLeft {
			all = append(all, m.Serve)
		}
	}
	order.By(all, netip.AddrPort.Compare)
	all = slices.DeleteFunc(slices.Compact(all), func(a netip.AddrPort) bool { return a == own })
	for _, one := range []map[netip.AddrPort]clock.Stamp{l.silent, l.answered} {
		maps.DeleteFunc(one, func(a netip.AddrPort, _ clock.Stamp) bool { return !slices.Contains(all, a) })
	}
	return all
}

// rank is how good an address is for clients, the best first.
type rank int

const (
	witnessed rank = iota // it has held all brokers that the others hold
	ready                 // by time alone
	serving               // brokers, so far
	draining
	ranks
)

// entry is one address that may be listed.
type entry struct {
	name string // of the member; empty: no member
	addr netip.AddrPort
	rank rank
	gone time.Duration // for how long nobody has seen it: neither gossip nor whoever asks its address
	mute bool          // clients are not told of it yet, and it does not answer
}

// Update makes the lists anew, and says which of them changed.
func (l *Lists) Update(in Input, now clock.Stamp) (clients, brokers bool) {
	before := l.view
	members, away := current(in.Members), apart(in.Members)
	l.lose(members, in.Unheard, now)
	in.Static = l.strangers(in.Static, members, now)
	entries, known, alive := l.entries(members, away, in.Static, now)
	l.view = View{Clients: before.Clients, Brokers: before.Brokers, LeftOut: l.leftOut(members, away), Conflicts: conflicts(members)}
	if l.view.Still = l.still(in, known, alive); l.view.Still != "" {
		return false, false
	}
	// The best rank is that of somebody who is seen: one that is silent is listed beside those for a while, never in their place,
	// and not from now on.
	least, silent := ranks, ranks
	for _, e := range entries {
		switch {
		case e.gone == 0 && !e.mute:
			least = min(least, e.rank)
		case e.gone < ClientsKeep:
			silent = min(silent, e.rank)
		}
	}
	nobody := least == ranks
	if nobody {
		least = silent
	}
	var all, best Addrs
	l.members = map[string]netip.AddrPort{}
	for _, e := range entries {
		if e.gone < ClientsKeep && e.rank <= least && (!e.mute || nobody) {
			best = append(best, e.addr)
		}
		if e.gone < l.keep {
			all = append(all, e.addr)
			if e.name != "" {
				l.members[e.name] = e.addr
			}
		}
	}
	l.view.Clients, clients = replaced(before.Clients, best)
	l.view.Brokers, brokers = replaced(before.Brokers, all)
	return clients, brokers
}

// replaced is the list to serve from now on: never an empty one after another.
func replaced(before, now Addrs) (next Addrs, changed bool) {
	order.By(now, func(a, b netip.AddrPort) int { return strings.Compare(a.String(), b.String()) })
	now = slices.Compact(now)
	if len(now) == 0 || slices.Equal(before, now) {
		return before, false
	}
	return now, true
}

// lose takes note of who is lost: taken for dead by gossip, or unheard, which is known sooner where machines are busy.
func (l *Lists) lose(members []gossip.Member, unheard map[digest.Peer]time.Duration, now clock.Stamp) {
	lost := map[digest.Peer]clock.Stamp{}
	for _, m := range members {
		quiet := m.Gone
		if m.State == gossip.StateAlive {
			quiet = unheard[m.Peer]
		}
		if m.State == gossip.StateAlive && quiet < unheardAfter {
			continue
		}
		lost[m.Peer] = now.Add(-quiet)
		if before, known := l.lost[m.Peer]; known && now.Sub(before) > quiet {
			lost[m.Peer] = before // it was unheard before it was taken for dead
		}
	}
	l.lost = lost
}

// strangers are the static addresses that are no member's: what a member says of itself counts for its address. That of one that has
// left is a stranger's again as soon as somebody answers there, such as a Java NameServer that took its place.
func (l *Lists) strangers(static []netip.AddrPort, members []gossip.Member, now clock.Stamp) (all []netip.AddrPort) {
	for _, a := range static {
		if !slices.ContainsFunc(members, func(m gossip.Member) bool {
			answered, known := l.answered[a]
			return m.Serve == a && (m.State != gossip.StateLeft || !known || now.Sub(answered) >= m.Gone)
		}) {
			all = append(all, a)
		}
	}
	return all
}

// mute says that an address does not answer, and that clients have not been told of it.
func (l *Lists) mute(a netip.AddrPort) bool {
	_, silent := l.silent[a]
	return silent && !slices.Contains(l.view.Clients, a)
}

// entries are the addresses that may be listed, of members, each once, and others; known and alive count members, this node
// included.
func (l *Lists) entries(members []gossip.Member, away bool, static []netip.AddrPort, now clock.Stamp) (all []entry, known, alive int) {
	// How long neither gossip nor the address has been heard: a fault of one of the two alone takes nobody out.
	gone := func(a netip.AddrPort, lost time.Duration) time.Duration {
		since, silent := l.silent[a]
		if !silent {
			return 0
		}
		return min(lost, now.Sub(since))
	}
	for _, m := range members {
		delete(l.before, m.Name)
		if m.State == gossip.StateLeft || m.Phase == gossip.PhaseStopping {
			continue
		}
		known++
		e := entry{name: m.Name, addr: m.Serve, rank: rankOf(&m)}
		if m.Phase == gossip.PhaseStarting && !e.addr.IsValid() {
			e.addr = l.members[m.Name] // it is back, and says in a moment where
		}
		if since, lost := l.lost[m.Peer]; lost {
			e.gone = gone(e.addr, now.Sub(since))
			if !slices.Contains(l.view.Clients, e.addr) {
				// Another life of it may answer there, which holds nothing yet: what this one said counts no more.
				e.rank = max(e.rank, serving)
			}
		} else {
			alive++
		}
		if e.addr.IsValid() && !(away && e.addr.Addr().IsLoopback()) {
			all = append(all, e)
		}
	}
	if now.Sub(l.started) >= rememberFor {
		clear(l.before)
	}
	for name, a := range l.before { // lost while this node was away, or not met yet
		if slices.ContainsFunc(all, func(e entry) bool { return e.addr == a }) {
			continue // its place has another name now
		}
		known++
		e := entry{name: name, addr: a, rank: serving, gone: gone(a, now.Sub(l.started))}
		if slices.Contains(l.trusted, a) {
			e.rank = witnessed
		}
		all = append(all, e)
	}
	for _, a := range static {
		all = append(all, entry{addr: a, rank: witnessed, gone: gone(a, now.Sub(l.started))})
	}
	for i := range all {
		all[i].mute = l.mute(all[i].addr)
	}
	return all, known, alive
}

func rankOf(m *gossip.Member) rank {
	switch {
	case m.Phase == gossip.PhaseDraining:
		return draining
	case m.Phase != gossip.PhaseReady:
		return serving
	case m.Witnessed:
		return witnessed
	}
	return ready
}

// still says why a node must not change its lists: it may be the one that is cut off.
func (l *Lists) still(in Input, known, alive int) string {
	answers := slices.ContainsFunc(in.Static, func(a netip.AddrPort) bool { _, silent := l.silent[a]; return !silent })
	switch {
	case !in.Met:
		return "no other member was met since the start"
	case known > 0 && 2*alive <= known:
		return fmt.Sprintf("%d of %d members are seen, which is no majority: this node may be the one that is cut off; "+
			"epitaph force-leave takes those off that will not come back", alive, known)
	case alive <= 1 && len(in.Static) > 0 && !answers:
		return "nobody else is seen: this node may be the one that is cut off"
	}
	return ""
}

// current is one life for each name, the youngest: a node that came back is at its new address only.
func current(members []gossip.Member) (all []gossip.Member) {
	byName := map[string]gossip.Member{}
	for _, m := range members {
		old, twice := byName[m.Name]
		if !twice || older(&old, &m) {
			byName[m.Name] = m
		}
	}
	return order.Sorted(maps.Values(byName), func(a, b gossip.Member) int { return cmp.Compare(a.Name, b.Name) })
}

// older says that b is a later life of a node than a.
func older(a, b *gossip.Member) bool {
	if a.State != b.State && (a.State == gossip.StateAlive || b.State == gossip.StateAlive) {
		return b.State == gossip.StateAlive
	}
	if a.State != gossip.StateAlive {
		return b.Gone < a.Gone
	}
	// One that says nothing of itself is of another version, and its age is not known.
	return b.Phase != gossip.PhaseUnknown && (a.Phase == gossip.PhaseUnknown || b.Age < a.Age)
}

// apart says that not all members are on one machine: then nobody is helped by an address of loopback.
func apart(members []gossip.Member) bool {
	return slices.ContainsFunc(members, func(m gossip.Member) bool {
		if m.State == gossip.StateLeft {
			return false
		}
		host, _, _ := net.SplitHostPort(m.Addr)
		a, err := netip.ParseAddr(host)
		return err == nil && !a.IsLoopback() || m.Serve.IsValid() && !m.Serve.Addr().IsLoopback()
	})
}

const remedy = ": say with --advertise-serve HOST:PORT, there, how brokers and clients reach it"

// leftOut are the living members that cannot be listed, each with the reason and the remedy.
func (l *Lists) leftOut(members []gossip.Member, away bool) (all []LeftOut) {
	for _, m := range members {
		why := ""
		host, _, _ := net.SplitHostPort(m.NameServer)
		told, _ := netip.ParseAddr(host)
		switch {
		case m.State != gossip.StateAlive || m.Phase == gossip.PhaseStarting || m.Phase == gossip.PhaseStopping:
		case m.Serve.IsValid() && away && m.Serve.Addr().IsLoopback():
			why = "its address " + m.Serve.String() + " is one of its own machine, and other members are elsewhere" + remedy
		case m.Serve.IsValid() && !m.Self && rankOf(&m) <= ready && l.mute(m.Serve):
			why = "its address " + m.Serve.String() + " does not answer this node, and clients are not told of it before it does: is it " +
				"right, and not cut off by a firewall?" + remedy
		case m.Serve.IsValid():
		case told.Is6() && !told.Is4In6() && !told.IsUnspecified():
			why = "its address is one of IPv6, which not every client takes: --advertise-ipv6, there, lists it all the same"
		case m.Self:
			why = "its address is not known" + remedy
		default:
			why = "it tells no address to be listed under: it is of a former release, or its log says why"
		}
		if why != "" {
			all = append(all, LeftOut{Name: m.Name, Why: why})
		}
	}
	return all
}

// conflicts are addresses that several living members are listed under.
func conflicts(members []gossip.Member) (all []Conflict) {
	names := map[netip.AddrPort][]string{}
	for _, m := range members {
		if m.State == gossip.StateAlive && m.Serve.IsValid() {
			names[m.Serve] = append(names[m.Serve], m.Name)
		}
	}
	for _, a := range order.Sorted(maps.Keys(names), netip.AddrPort.Compare) {
		if len(names[a]) > 1 {
			all = append(all, Conflict{Addr: a, Names: names[a]})
		}
	}
	return all
}

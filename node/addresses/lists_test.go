package addresses

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/tombstone"
)

var (
	born = clock.Now()
	at   = netip.MustParseAddrPort
)

var zero netip.AddrPort

const keep = 5 * time.Minute

func addr(n int) netip.AddrPort { return at(fmt.Sprintf("10.0.0.%d:9876", n)) }

// node is a member that is ready and witnessed.
func node(n int) gossip.Member {
	return gossip.Member{
		Peer: tombstone.Peer{Name: fmt.Sprint("n", n), Boot: 1}, Addr: fmt.Sprintf("10.0.0.%d:7946", n), Self: n == 1,
		Meta: gossip.Meta{Phase: gossip.PhaseReady, Age: time.Hour, NameServer: addr(n).String(), Serve: addr(n), Witnessed: true},
	}
}

func with(m gossip.Member, change func(*gossip.Member)) gossip.Member {
	change(&m)
	return m
}

func phase(n int, p gossip.Phase) gossip.Member {
	return with(node(n), func(m *gossip.Member) { m.Phase = p })
}

func byTime(n int) gossip.Member {
	return with(node(n), func(m *gossip.Member) { m.Witnessed = false })
}

func lost(n int, since time.Duration) gossip.Member {
	return with(node(n), func(m *gossip.Member) { m.State, m.Gone = gossip.StateFailed, since })
}

func left(n int) gossip.Member {
	return with(node(n), func(m *gossip.Member) { m.State, m.Gone = gossip.StateLeft, time.Second })
}

func members(all ...gossip.Member) Input { return Input{Members: all, Met: true} }

// numbers are the last bytes of a list of addr(n).
func numbers(list Addrs) (text string) {
	for _, a := range list {
		if b := a.Addr().As4(); a.Port() == 9876 {
			text += fmt.Sprint(b[3])
		}
	}
	return text
}

func (l *Lists) want(t *testing.T, what, clients, brokers string) {
	t.Helper()
	if v := l.View(); numbers(v.Clients) != clients || numbers(v.Brokers) != brokers {
		t.Errorf("%s: clients %s, brokers %s, want %s and %s (%s)", what, v.Clients, v.Brokers, clients, brokers, v.Still)
	}
}

// Who is in which list, while everybody lives.
func TestTheTwoLists(t *testing.T) {
	for name, c := range map[string]struct {
		in               Input
		clients, brokers string
	}{
		"all hold everything":                 {members(node(1), node(2), node(3)), "123", "123"},
		"a new one waits":                     {members(node(1), node(2), phase(3, gossip.PhaseWaiting)), "12", "123"},
		"a new one starts":                    {members(node(1), node(2), phase(3, gossip.PhaseStarting)), "12", "123"},
		"a new one is ready by time":          {members(node(1), node(2), byTime(3)), "12", "123"},
		"one drains":                          {members(node(1), phase(2, gossip.PhaseDraining), node(3)), "13", "123"},
		"one stops":                           {members(node(1), phase(2, gossip.PhaseStopping), node(3)), "13", "13"},
		"one left":                            {members(node(1), left(2), node(3)), "13", "13"},
		"only by time":                        {members(byTime(1), byTime(2), phase(3, gossip.PhaseWaiting)), "12", "123"},
		"nobody is ready":                     {members(phase(1, gossip.PhaseWaiting), phase(2, gossip.PhaseDraining)), "1", "12"},
		"all drain":                           {members(phase(1, gossip.PhaseDraining), phase(2, gossip.PhaseDraining)), "12", "12"},
		"a former release tells no address":   {members(node(1), node(2), with(node(3), func(m *gossip.Member) { m.Serve, m.Witnessed = netip.AddrPort{}, false })), "12", "12"},
		"a version that nobody understands":   {members(node(1), node(2), with(node(3), func(m *gossip.Member) { m.Meta = gossip.Meta{} })), "12", "12"},
		"one address of two":                  {members(node(1), node(2), with(node(3), func(m *gossip.Member) { m.Serve = addr(2) })), "12", "12"},
		"one address of two, one drains":      {members(node(1), phase(2, gossip.PhaseDraining), with(node(3), func(m *gossip.Member) { m.Serve = addr(2) })), "12", "12"},
		"alone":                               {members(node(1)), "1", "1"},
		"with static ones":                    {Input{Members: []gossip.Member{node(1)}, Static: []netip.AddrPort{addr(8), addr(9)}, Met: true}, "189", "189"},
		"a static one is a member":            {Input{Members: []gossip.Member{node(1), node(2)}, Static: []netip.AddrPort{addr(2)}, Met: true}, "12", "12"},
		"a static one is a member that waits": {Input{Members: []gossip.Member{node(1), phase(2, gossip.PhaseWaiting)}, Static: []netip.AddrPort{addr(1), addr(2)}, Met: true}, "1", "12"},
		"a static one is one that drains":     {Input{Members: []gossip.Member{phase(1, gossip.PhaseDraining), node(2)}, Static: []netip.AddrPort{addr(1), addr(2)}, Met: true}, "2", "12"},
		"a static one is one that stops":      {Input{Members: []gossip.Member{node(1), phase(2, gossip.PhaseStopping)}, Static: []netip.AddrPort{addr(2)}, Met: true}, "1", "1"},
		"a static one has left":               {Input{Members: []gossip.Member{node(1), left(2)}, Static: []netip.AddrPort{addr(2)}, Met: true}, "1", "1"},
		"back under another address":          {members(node(1), with(node(2), func(m *gossip.Member) { m.Boot, m.Age, m.Serve = 2, time.Second, addr(4) }), node(2)), "14", "14"},
		"back while the old one is lost":      {members(node(1), node(3), with(node(2), func(m *gossip.Member) { m.Boot, m.Serve = 2, addr(4) }), lost(2, time.Hour)), "134", "134"},
		"an old life of another version":      {members(node(1), with(node(2), func(m *gossip.Member) { m.Boot, m.Meta = 0, gossip.Meta{} }), node(2)), "12", "12"},
		"the order of members does not count": {members(node(3), node(1), node(2)), "123", "123"},
	} {
		l := New(keep, Kept{}, born)
		l.Update(c.in, born.Add(time.Second))
		l.want(t, name, c.clients, c.brokers)
		if again, also := l.Update(c.in, born.Add(2*time.Second)); again || also {
			t.Errorf("%s: changed by nothing", name)
		}
	}
}

// A body is HOST:PORT;HOST:PORT, sorted as text, with brackets around IPv6.
func TestBody(t *testing.T) {
	l := New(keep, Kept{}, born)
	l.Update(Input{Met: true, Static: []netip.AddrPort{addr(9), addr(10), at("[2001:db8::1]:9876")}}, born)
	if got := l.View().Clients.String(); got != "10.0.0.10:9876;10.0.0.9:9876;[2001:db8::1]:9876" {
		t.Error(got)
	}
}

// A lost member goes when its address is silent, too: from the clients' list after ten seconds of both, from the brokers'
// after --address-keep.
func TestLost(t *testing.T) {
	l := New(keep, Kept{}, born)
	now := func(d time.Duration) clock.Stamp { return born.Add(time.Hour + d) }
	l.Update(members(node(1), node(2), node(3)), now(0))
	l.Update(members(node(1), lost(2, time.Hour), node(3)), now(0))
	l.want(t, "its address answers", "123", "123")
	l.Asked(addr(2), false, now(0))
	in := func(d time.Duration) Input { return members(node(1), lost(2, time.Hour+d), node(3)) }
	for _, step := range []struct {
		after            time.Duration
		clients, brokers string
	}{{ClientsKeep - 1, "123", "123"}, {ClientsKeep, "13", "123"}, {keep - 1, "13", "123"}, {keep, "13", "13"}, {time.Hour, "13", "13"}} {
		l.Asked(addr(2), false, now(step.after))
		l.Update(in(step.after), now(step.after))
		l.want(t, fmt.Sprint("silent for ", step.after), step.clients, step.brokers)
		if !slices.Contains(l.Ask(in(0)), addr(2)) {
			t.Fatalf("after %v nobody asks it any more", step.after)
		}
	}
	l.Asked(addr(2), true, now(2*time.Hour))
	l.Update(in(0), now(2*time.Hour))
	l.want(t, "somebody answers there again", "13", "123")

	// Silent for long, but lost only now.
	l.Asked(addr(3), false, now(2*time.Hour))
	l.Update(members(node(1), node(2), node(3)), now(3*time.Hour))
	l.want(t, "it is a member and does not answer", "123", "123")
	l.Update(members(node(1), node(2), lost(3, ClientsKeep-1)), now(3*time.Hour))
	l.want(t, "lost a moment ago", "123", "123")
	l.Update(members(node(1), node(2), lost(3, ClientsKeep)), now(3*time.Hour))
	l.want(t, "lost for long enough", "12", "123")
}

// On a busy machine gossip takes a member for dead late. One that says nothing any more counts as lost from its last word on, so
// it leaves the clients' list after ten seconds of both all the same, and is not listed anew when it is taken for dead at last.
func TestUnheard(t *testing.T) {
	l := New(keep, Kept{}, born)
	now := func(d time.Duration) clock.Stamp { return born.Add(time.Hour + d) }
	in := func(d time.Duration, third gossip.Member) Input {
		in := members(node(1), node(2), third)
		in.Unheard = map[digest.Peer]time.Duration{node(2).Peer: time.Second, third.Peer: d}
		return in
	}
	l.Update(in(0, node(3)), now(0))
	l.Update(in(time.Hour, node(3)), now(0))
	l.want(t, "its address answers", "123", "123")
	l.Update(in(0, node(3)), now(0))
	l.Asked(addr(3), false, now(-time.Hour))
	l.Update(in(unheardAfter-1, node(3)), now(unheardAfter-1))
	l.want(t, "silent for long, and unheard for a moment", "123", "123")
	l.Update(in(ClientsKeep-1, node(3)), now(ClientsKeep-1))
	l.want(t, "unheard for less than ten seconds", "123", "123")
	l.Update(in(ClientsKeep, node(3)), now(ClientsKeep))
	l.want(t, "unheard for ten seconds", "12", "123")
	l.Update(in(0, lost(3, 1)), now(ClientsKeep+time.Second))
	l.want(t, "taken for dead", "12", "123")
	l.Update(in(0, lost(3, keep-ClientsKeep-1)), now(keep-1))
	l.want(t, "unheard for less than --address-keep", "12", "123")
	l.Update(in(0, lost(3, keep-ClientsKeep)), now(keep))
	l.want(t, "unheard for --address-keep", "12", "12")
	l.Update(in(0, node(3)), now(keep))
	l.want(t, "heard again, and does not answer", "12", "123")
	l.Asked(addr(3), true, now(keep))
	l.Update(in(0, node(3)), now(keep))
	l.want(t, "heard again", "123", "123")
}

// Clients are not told anew of an address that does not answer, whatever its node says of itself; brokers are, and of one that is listed
// already nothing changes. Where nobody else is left it is better than nobody.
func TestAnAddressThatDoesNotAnswer(t *testing.T) {
	l := New(keep, Kept{}, born)
	all := members(node(1), node(2), node(3))
	l.Asked(addr(3), false, born)
	l.Update(all, born)
	l.want(t, "it never answered", "12", "123")
	if out := l.View().LeftOut; len(out) != 1 || out[0].Name != "n3" || !strings.Contains(out[0].Why, "10.0.0.3:9876 does not answer") {
		t.Errorf("told: %+v", out)
	}
	l.Update(members(phase(1, gossip.PhaseWaiting), phase(2, gossip.PhaseWaiting), node(3)), born)
	l.want(t, "only that one is ready", "12", "123")
	l.Asked(addr(3), true, born)
	l.Update(all, born)
	l.want(t, "it answers", "123", "123")
	l.Asked(addr(3), false, born)
	l.Update(all, born.Add(time.Hour))
	l.want(t, "it answers no more, and is heard", "123", "123")
	if out := l.View().LeftOut; len(out) != 0 {
		t.Errorf("told: %+v", out)
	}

	l = New(keep, Kept{}, born)
	l.Asked(addr(2), false, born)
	l.Asked(addr(3), false, born)
	l.Update(members(phase(1, gossip.PhaseStopping), node(2), node(3)), born)
	l.want(t, "nobody answers", "23", "23")
}

// A static address is a member's as long as one is there, and that of one that left is a stranger's when somebody answers at it.
func TestStaticInThePlaceOfOneThatLeft(t *testing.T) {
	l := New(keep, Kept{}, born)
	in := func(second gossip.Member) Input {
		return Input{Members: []gossip.Member{node(1), second, node(3)}, Static: []netip.AddrPort{addr(2)}, Met: true}
	}
	l.Asked(addr(2), true, born)
	l.Update(in(node(2)), born)
	l.want(t, "a member", "123", "123")
	now := born.Add(time.Minute)
	l.Update(in(left(2)), now) // a second ago
	l.want(t, "it left", "13", "13")
	l.Asked(addr(2), false, now)
	l.Update(in(left(2)), now)
	l.want(t, "it does not answer", "13", "13")
	l.Asked(addr(2), true, now)
	l.Update(in(left(2)), now)
	l.want(t, "a NameServer of another kind is there now", "123", "123")
}

// One that is back answers at its address before gossip tells of its new life, which holds no broker yet: clients are not told of it again
// for what its former life said. One that never left the list stays there as long as its address answers.
func TestBackByItsAddressAlone(t *testing.T) {
	l := New(keep, Kept{}, born)
	now := func(d time.Duration) clock.Stamp { return born.Add(time.Hour + d) }
	l.Update(members(node(1), node(2), node(3)), now(0))
	l.Update(members(node(1), node(2), lost(3, time.Minute)), now(time.Minute))
	l.want(t, "gossip alone has lost it", "123", "123")
	l.Asked(addr(3), false, now(time.Minute))
	l.Update(members(node(1), node(2), lost(3, 2*time.Minute)), now(2*time.Minute))
	l.want(t, "lost", "12", "123")
	l.Asked(addr(3), true, now(2*time.Minute))
	l.Update(members(node(1), node(2), lost(3, 2*time.Minute)), now(2*time.Minute))
	l.want(t, "somebody answers there", "12", "123")
	l.Update(members(node(1), node(2), node(3)), now(2*time.Minute))
	l.want(t, "heard again", "123", "123")
}

// A node that is cut off hears nobody any more, and changes nothing from the moment that it takes no majority for heard, which is
// before anybody could leave its lists.
func TestCutOffIsUnheardBy(t *testing.T) {
	l := New(keep, Kept{}, born)
	l.Update(members(node(1), node(2), node(3), node(4), node(5)), born)
	for n := 2; n <= 5; n++ {
		l.Asked(addr(n), false, born)
	}
	for d := time.Duration(0); d <= time.Minute; d += 200 * time.Millisecond {
		in := members(node(1), node(2), node(3), node(4), node(5))
		in.Unheard = map[digest.Peer]time.Duration{}
		for n := range 4 { // each said its last word at another time of one second
			in.Unheard[node(n+2).Peer] = d + time.Duration(n)*300*time.Millisecond
		}
		l.Update(in, born.Add(time.Hour+d))
		l.want(t, fmt.Sprint("cut off for ", d), "12345", "12345")
		if still := l.View().Still != ""; still != (d >= unheardAfter-300*time.Millisecond) {
			t.Errorf("cut off for %v: %q", d, l.View().Still)
		}
	}
}

// One that starts again says only in a moment where it is reached: until then brokers are told where it was, and clients are not.
func TestBackAtOnce(t *testing.T) {
	starts := with(phase(3, gossip.PhaseStarting), func(m *gossip.Member) { m.Boot, m.Age, m.Serve = 2, 0, zero })
	l := New(keep, Kept{}, born)
	l.Update(members(node(1), node(2), node(3)), born)
	kept := l.Kept()
	for what, in := range map[string]Input{
		"its former life is not missed yet": members(node(1), node(2), node(3), starts),
		"its former life is lost":           members(node(1), node(2), starts, lost(3, 1)),
		"its former life is gone":           members(node(1), node(2), starts),
	} {
		for _, l := range []*Lists{l, New(keep, kept, born)} {
			l.Update(in, born)
			l.want(t, what, "12", "123")
		}
	}
	l.Update(members(node(1), node(2), with(starts, func(m *gossip.Member) { m.Phase, m.Serve = gossip.PhaseWaiting, addr(4) })), born)
	l.want(t, "it is elsewhere", "12", "124")
}

// One that is silent is listed beside those that are seen, never in their place: a client that starts must find somebody.
func TestSilentOnesAlone(t *testing.T) {
	l := New(keep, Kept{}, born)
	l.Update(members(node(1), node(2), node(3)), born)
	l.Asked(addr(2), false, born)
	now := born.Add(time.Second)
	l.Update(members(phase(1, gossip.PhaseWaiting), lost(2, time.Hour), byTime(3)), now)
	l.want(t, "only the silent one was witnessed", "23", "123")
	l.Update(members(phase(1, gossip.PhaseDraining), lost(2, time.Hour), phase(3, gossip.PhaseWaiting)), now)
	l.want(t, "nobody who is seen is ready", "23", "123")
	l.Update(members(phase(1, gossip.PhaseWaiting), lost(2, time.Hour), phase(3, gossip.PhaseWaiting)), now)
	l.want(t, "all who are seen wait", "123", "123")
}

// Whoever does not see a majority changes nothing, however long, and whatever it sees.
func TestCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		whole, seen []gossip.Member
		still       bool
	}{
		"1 of 2": {[]gossip.Member{node(1), node(2)}, []gossip.Member{node(1), lost(2, time.Hour)}, true},
		"1 of 3": {[]gossip.Member{node(1), node(2), node(3)}, []gossip.Member{node(1), lost(2, time.Hour), lost(3, time.Hour)}, true},
		"2 of 3": {[]gossip.Member{node(1), node(2), node(3)}, []gossip.Member{node(1), node(2), lost(3, time.Hour)}, false},
		"2 of 4": {[]gossip.Member{node(1), node(2), node(3), node(4)}, []gossip.Member{node(1), node(2), lost(3, time.Hour), lost(4, time.Hour)}, true},
		"3 of 5, one of them new, one that left": {
			[]gossip.Member{node(1), node(2), node(3), node(4)}, []gossip.Member{node(1), node(2), lost(3, time.Hour), left(4), node(5)}, false},
		"one drains, and a new one comes": {
			[]gossip.Member{node(1), node(2), node(3), node(4)}, []gossip.Member{phase(1, gossip.PhaseDraining), lost(2, time.Hour), lost(3, time.Hour), lost(4, time.Hour), node(5)}, true},
	} {
		l := New(keep, Kept{}, born)
		l.Update(members(c.whole...), born)
		before := l.View()
		for i := range c.seen {
			if c.seen[i].State == gossip.StateFailed {
				l.Asked(c.seen[i].Serve, false, born)
			}
		}
		clients, brokers := l.Update(members(c.seen...), born.Add(time.Hour))
		v := l.View()
		if c.still != (v.Still != "") || c.still && (clients || brokers || !slices.Equal(v.Clients, before.Clients) || !slices.Equal(v.Brokers, before.Brokers)) ||
			!c.still && !clients {
			t.Errorf("%s: %s and %s; %q", name, v.Clients, v.Brokers, v.Still)
		}
	}
}

// A node that sees neither a member nor a static address may be cut off itself.
func TestStaticOnesThatDoNotAnswer(t *testing.T) {
	l := New(keep, Kept{}, born)
	in := Input{Members: []gossip.Member{node(1)}, Static: []netip.AddrPort{addr(8), addr(9)}, Met: true}
	l.Update(in, born)
	l.Asked(addr(8), false, born)
	l.Update(in, born.Add(ClientsKeep-1))
	l.want(t, "one is silent for less than ten seconds", "189", "189")
	l.Update(in, born.Add(ClientsKeep))
	l.want(t, "one is silent", "19", "189")
	l.Update(in, born.Add(keep))
	l.want(t, "one is silent for long", "19", "19")
	l.Asked(addr(9), false, born)
	l.Update(in, born.Add(2*keep))
	l.want(t, "all are silent", "19", "19")
	l.Asked(addr(8), true, born)
	l.Asked(addr(9), true, born)
	l.Update(in, born.Add(2*keep))
	l.want(t, "they answer again", "189", "189")
}

// Before a member was met the lists are those of the last run, or none; then those of the last run that were not met count as
// lost.
func TestRestart(t *testing.T) {
	alone := Input{Members: []gossip.Member{node(1)}}
	fresh := New(keep, Kept{}, born)
	fresh.Update(alone, born)
	fresh.want(t, "nothing is known", "", "")

	first := New(keep, Kept{}, born)
	first.Update(members(node(1), node(2), node(3), byTime(4), node(5)), born)
	kept := first.Kept()
	l := New(keep, kept, born)
	l.want(t, "before anything", "1235", "12345")
	l.Update(alone, born.Add(time.Hour))
	l.want(t, "nobody was met", "1235", "12345")
	l.Update(members(node(1), node(2)), born.Add(time.Hour))
	l.want(t, "2 of 5 were met", "1235", "12345")
	for n := 3; n <= 5; n++ {
		l.Asked(addr(n), false, born)
	}
	l.Update(members(node(1), node(2), node(3)), born.Add(ClientsKeep-1))
	l.want(t, "3 of 5", "1235", "12345")
	l.Update(members(node(1), node(2), node(3)), born.Add(ClientsKeep))
	l.want(t, "the others are silent", "123", "12345")
	l.Update(members(node(1), node(2), node(3), left(4)), born.Add(keep-1))
	l.want(t, "one of them left", "123", "1235")
	if all := l.Ask(members(node(1))); slices.Contains(all, addr(1)) || !slices.Contains(all, addr(5)) {
		t.Errorf("asked are %v", all)
	}
	l.Update(members(node(1), node(2), node(3)), born.Add(keep))
	l.want(t, "one is silent for long", "123", "123")
	l.Update(members(node(1), node(2), node(3), with(node(5), func(m *gossip.Member) { m.Serve = addr(6) })), born.Add(keep))
	l.want(t, "it is back elsewhere", "1236", "1236")

	renamed := New(keep, kept, born)
	renamed.Update(members(node(1), with(node(2), func(m *gossip.Member) { m.Name = "other" }), lost(3, time.Hour)), born)
	if v := renamed.View(); !strings.Contains(v.Still, "2 of 5") { // n1, other in the place of n2, n3, n4, n5
		t.Errorf("a renamed one is counted twice: %q", v.Still)
	}
	forgotten := New(keep, kept, born)
	forgotten.Update(members(node(1)), born.Add(rememberFor))
	forgotten.want(t, "a day later", "1", "1")
}

// Lists never become empty.
func TestNeverEmpty(t *testing.T) {
	l := New(keep, Kept{}, born)
	l.Update(members(node(1), node(2)), born)
	gone := func(m *gossip.Member) { m.Serve = netip.AddrPort{} }
	if clients, brokers := l.Update(members(with(node(1), gone), with(node(2), gone)), born); clients || brokers {
		t.Error("changed")
	}
	l.want(t, "nobody tells an address", "12", "12")
	l.Update(members(phase(1, gossip.PhaseStopping)), born)
	l.want(t, "the last one stops", "12", "12")
}

// What is in no list is told, with the remedy.
func TestLeftOut(t *testing.T) {
	near := func(n int) gossip.Member {
		return with(node(n), func(m *gossip.Member) {
			m.Addr, m.Serve = fmt.Sprint("127.0.0.1:", 7000+n), at(fmt.Sprint("127.0.0.1:", 9000+n))
			m.NameServer = m.Serve.String()
		})
	}
	none := func(told string) func(*gossip.Member) {
		return func(m *gossip.Member) { m.Serve, m.NameServer = netip.AddrPort{}, told }
	}
	for name, c := range map[string]struct {
		in  Input
		out string // NAME: part of the reason; empty: nobody
	}{
		"all on one machine":            {members(near(1), near(2)), ""},
		"one is elsewhere":              {members(near(1), node(2)), "n1: --advertise-serve"},
		"one gossips elsewhere":         {members(near(1), with(near(2), func(m *gossip.Member) { m.Addr = "10.0.0.2:7946" })), "n1: --advertise-serve"},
		"one that was elsewhere left":   {members(near(1), near(3), left(2)), ""},
		"of a former release":           {members(node(1), with(node(2), none("10.0.0.2:9876"))), "n2: former release"},
		"IPv6":                          {members(node(1), with(node(2), none("[2001:db8::1]:9876"))), "n2: --advertise-ipv6"},
		"its own address is not known":  {members(with(node(1), none("0.0.0.0:9876")), node(2)), "n1: --advertise-serve"},
		"nor is it, of every address":   {members(with(node(1), none("[::]:9876")), node(2)), "n1: --advertise-serve"},
		"one that starts says it later": {members(node(1), with(phase(2, gossip.PhaseStarting), none(""))), ""},
		"one that is gone":              {members(node(1), node(3), with(lost(2, time.Hour), none(""))), ""},
	} {
		l := New(keep, Kept{}, born)
		l.Update(c.in, born)
		out, who := l.View().LeftOut, ""
		if len(out) > 0 {
			who = out[0].Name + ": " + out[0].Why
		}
		name1, part, _ := strings.Cut(c.out, ": ")
		if !strings.HasPrefix(who, name1) || !strings.Contains(who, part) || (c.out == "") != (who == "") {
			t.Errorf("%s: %+v, want %q", name, out, c.out)
		}
	}
	l := New(keep, Kept{}, born)
	l.Update(members(near(1), node(2)), born)
	l.want(t, "loopback is in no list", "2", "2")
}

// Two nodes under one address are told.
func TestConflicts(t *testing.T) {
	l := New(keep, Kept{}, born)
	l.Update(members(node(1), node(2), with(node(3), func(m *gossip.Member) { m.Serve = addr(2) }), with(lost(4, 1), func(m *gossip.Member) { m.Serve = addr(1) })), born)
	if c := l.View().Conflicts; len(c) != 1 || c[0].Addr != addr(2) || !slices.Equal(c[0].Names, []string{"n2", "n3"}) {
		t.Errorf("%+v", c)
	}
}

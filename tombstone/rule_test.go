package tombstone

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
)

func TestDecide(t *testing.T) {
	const s = time.Second
	bounds := func(asked, life, u time.Duration) Bounds {
		return Bounds{Asked: at(asked), HasLife: life > 0, Life: life, Unregistered: u}
	}
	mapped := who(1)
	mapped.RemoteIP = netip.AddrFrom16(ip.As16())
	f := func(what string, e Entry, id Identity, b Bounds, want Outcome) {
		t.Helper()
		if v := Decide(e, id, b, at(101*s)); v.Outcome != want {
			t.Errorf("%s: %v, want %v (%+v)", what, v.Outcome, want, v)
		}
	}
	f("both hold", entry(1, 10*s, 20*s), who(1), bounds(100*s, 70*s, 60*s), Evicted)
	f("mapped address", entry(1, 10*s, 20*s), mapped, bounds(100*s, 70*s, 60*s), Evicted)
	f("connection as old as L", entry(1, 30*s, 20*s), who(1), bounds(100*s, 70*s, 60*s), KeptYoungerConn)
	f("connection younger than L", entry(1, 35*s, 35*s), who(1), bounds(100*s, 70*s, 60*s), KeptYoungerConn)
	f("drift of both sides", entry(1, 30*s-100*time.Millisecond, 20*s), who(1), bounds(100*s, 70*s, 60*s), Evicted)
	f("within drift", entry(1, 30*s-60*time.Millisecond, 20*s), who(1), bounds(100*s, 70*s, 60*s), KeptYoungerConn)
	f("registered after U", entry(1, 10*s, 45*s), who(1), bounds(100*s, 70*s, 60*s), CameBack)
	f("a successor", entry(1, 45*s, 45*s), who(1), bounds(100*s, 70*s, 60*s), CameBack)
	f("a successor, no life", entry(1, 45*s, 45*s), who(1), bounds(100*s, 0, 60*s), CameBack)
	f("no life", entry(1, 10*s, 20*s), who(1), bounds(100*s, 0, 60*s), KeptNoLife)
	f("other name", Entry{Identity: who(2), FirstByte: at(s), LastRegister: at(s)}, who(1), bounds(100*s, 70*s, 60*s), KeptName)
	other := who(1)
	other.BrokerID = 1
	f("other id", entry(1, 10*s, 20*s), other, bounds(100*s, 70*s, 60*s), KeptID)
	other = who(1)
	other.RemoteIP = netip.MustParseAddr("10.0.0.2")
	f("other address", entry(1, 10*s, 20*s), other, bounds(100*s, 70*s, 60*s), KeptRemoteIP)
	f("no connection", Entry{Identity: who(1), LastRegister: at(s)}, who(1), bounds(100*s, 70*s, 60*s), KeptNoOwner)

	// To the nanosecond: a registration that is as old as the proof, or as the departure, stays.
	e, asked := entry(1, 10*s, 20*s), at(100*s)
	life, u := asked.Elapsed(e.FirstByte), asked.Elapsed(e.LastRegister)
	f("older by nothing than U", e, who(1), Bounds{Asked: asked, HasLife: true, Life: life - 1, Unregistered: u}, CameBack)
	f("older by nothing than L", e, who(1), Bounds{Asked: asked, HasLife: true, Life: life, Unregistered: u - 1}, KeptYoungerConn)
	f("older by 1 ns than both", e, who(1), Bounds{Asked: asked, HasLife: true, Life: life - 1, Unregistered: u - 1}, Evicted)
}

// machine is a pair of clocks that drift by up to 1,000 ppm; the second may be slewed by 8 %, and the machine may
// sleep, but not both: then neither clock is right.
type machine struct {
	drift, slew   float64
	sleeps, wakes float64 // true seconds
	rawAt, bootAt float64
}

func drawMachine(t *rapid.T, name string) machine {
	m := machine{drift: rapid.Float64Range(-0.0009, 0.0009).Draw(t, name+" drift"), rawAt: 1e6, bootAt: 2e6}
	if rapid.Bool().Draw(t, name+" slewed") {
		m.slew = rapid.Float64Range(-0.08, 0.08).Draw(t, name+" slew")
	} else {
		m.sleeps = rapid.Float64Range(0, 300).Draw(t, name+" sleeps")
		m.wakes = m.sleeps + rapid.Float64Range(0, 60).Draw(t, name+" for")
	}
	return m
}

func (m machine) stamp(now float64) clock.Stamp {
	slept := max(0, min(now, m.wakes)-m.sleeps)
	raw := m.rawAt + (now-slept)*(1+m.drift)
	boot := m.bootAt + now*(1+m.drift)*(1+m.slew)
	return clock.Stamp{Raw: int64(raw * 1e9), Boot: int64(boot * 1e9)}
}

// Whatever the clocks of two machines do, an eviction means that both comparisons hold in true time.
func TestDecideIsRightUnderAnyClocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, c := drawMachine(t, "A"), drawMachine(t, "C")
		when := rapid.Float64Range(0, 300)
		l, u := when.Draw(t, "L"), when.Draw(t, "U")
		first := l + rapid.Float64Range(-2, 2).Draw(t, "first byte - L")
		last := u + rapid.Float64Range(-2, 2).Draw(t, "last register - U")
		asked := max(l, u, first, last) + rapid.Float64Range(0, 100).Draw(t, "t0")
		answered := asked + rapid.Float64Range(0, 10).Draw(t, "way to the origin")
		now := a.stamp(answered)
		v := Decide(
			Entry{Identity: who(1), FirstByte: c.stamp(first), LastRegister: c.stamp(last)}, who(1),
			Bounds{
				Asked: c.stamp(asked), HasLife: true,
				Life: microseconds(now.Age(a.stamp(l))), Unregistered: microseconds(now.Age(a.stamp(u))),
			}, c.stamp(answered))
		if v.LifeMargin > 0 && first >= l || v.RegisterMargin > 0 && last >= u {
			t.Fatalf("%+v, but first byte %v, L %v, last register %v, U %v", v, first, l, last, u)
		}
	})
}

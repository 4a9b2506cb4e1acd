package rpc

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// crowdedServer has room for 40 connections, and is crowded from the 31st on; code 103 is a broker's.
func crowdedServer(t *testing.T) *Server {
	return start(t, handlerFunc{serve: echo}, func(c *Config) {
		c.MaxConns = 40
		c.Class = func(req *remoting.Request) Class {
			if req.Code == 103 {
				return Class{Pool: BrokerPool, Changes: true}
			}
			return Class{Pool: DefaultPool}
		}
	})
}

// from dials from one of the addresses of the loopback network.
func from(t *testing.T, s *Server, source string) *peer {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: patience}
	c, err := d.DialContext(t.Context(), "tcp", s.Addr().String())
	kit.Must(t, err)
	t.Cleanup(func() { c.Close() }) // keeps it open as well: a socket that nothing holds is closed with the garbage
	return &peer{kit.Over(t, c)}
}

func TestWhoGivesWay(t *testing.T) {
	s := crowdedServer(t)
	asked := from(t, s, "127.0.0.1")
	asked.Put(request(206, 1, 0, ""))
	asked.wantHeader(`"opaque":1,`)
	kit.Until(t, "that is counted", func() bool { return s.Stats().Requests == 1 })
	for range 30 { // as many as a source likes, while there is room
		from(t, s, "127.0.0.1")
	}
	kit.Until(t, "all are there", func() bool { return s.ConnCount() == 31 })

	client := from(t, s, "127.0.0.1") // of the source that has most: only a broker may come now
	client.Put(request(206, 2, 0, ""))
	client.Closed()
	broker := from(t, s, "127.0.0.1")
	broker.Put(request(103, 3, 0, ""))
	broker.wantHeader(`"opaque":3,`)
	kit.Until(t, "the client is counted", func() bool { return s.Stats().NoRoom == 1 })
	other := from(t, s, "127.0.0.2") // one of the source that has most goes for it
	other.Put(request(206, 4, 0, ""))
	other.wantHeader(`"opaque":4,`)
	kit.Until(t, "one gave way", func() bool { return s.Stats().NoRoom == 2 })
	for range 100 {
		from(t, s, "127.0.0.1")
	}
	kit.Until(t, "all have come, and no more than may be are there", func() bool { return s.Stats().Accepted == 134 && s.ConnCount() <= 40 })
	for i, p := range []*peer{asked, broker, other} { // those that never asked went first
		p.Put(request(206, 5+i, 0, ""))
		p.wantHeader(`"opaque":` + itoa(5+i) + `,`)
	}
	mutes := from(t, s, "127.0.0.3")
	_ = mutes.SetReadDeadline(time.Now().Add(2 * probation))
	mutes.Put(request(206, 9, 0, ""))
	mutes.wantHeader(`"opaque":9,`)
}

func TestOrderOfGivingWay(t *testing.T) {
	ages := map[any]time.Duration{"old": settled, "young": settled - 1, "younger": time.Second}
	s := bank(t, mb)
	s.cfg.Owner = func(c *Conn) (time.Duration, bool) { age, owns := ages[c.Value()]; return age, owns }
	named := map[*Conn]string{}
	add := func(name, source string, change func(c *Conn)) {
		c := shareholder(t, s, source, false)
		change(c)
		named[c] = name
	}
	value := func(v string) func(*Conn) { return func(c *Conn) { c.SetValue(v) } }
	add("elsewhere", "192.0.2.2", func(*Conn) {})
	add("old", "192.0.2.1", value("old"))
	add("young", "192.0.2.1", value("young"))
	add("younger", "192.0.2.1", value("younger"))
	add("asked", "192.0.2.1", func(c *Conn) { c.wire.meter.requests.Store(1); c.wire.meter.read.Store(1) })
	add("asked later", "192.0.2.1", func(c *Conn) { c.wire.meter.requests.Store(1); c.wire.meter.read.Store(2) })
	add("mute", "192.0.2.1", func(*Conn) {})
	v := s.lookAround(1)
	var got []string
	for i := range v.give {
		got = append(got, named[v.give[len(v.give)-1-i].conn])
	}
	want := []string{"mute", "asked", "asked later", "younger", "young"}
	if len(got) != len(want) || v.top != netip.MustParseAddr("192.0.2.1") {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
			break
		}
	}
}

// While connections run out, those that never sent a byte go after 30 s, and a newcomer that says nothing after 5; else neither.
func TestMuteConnections(t *testing.T) {
	for crowded, max := range map[bool]int{true: 5, false: 40} {
		virtual(t, func(c *Config) { c.MaxConns = max }, func(t *testing.T, s *Server, m *memory) {
			var first []net.Conn
			for range 4 {
				first = append(first, m.dial())
			}
			if !crowded {
				wantWithin(t, lives(t, first[0]), 120*time.Second)
				return
			}
			newcomer := lives(t, m.dial())
			wantWithin(t, newcomer, probation)
			wantWithin(t, newcomer+lives(t, first[0]), mute)
		})
	}
}

// TestCrowdThatHasGivenWay: in one step of the sweeper too, who has asked since the crowd was looked at gives no way as one that never did, and when all of many
// have given way those that came since are found.
func TestCrowdThatHasGivenWay(t *testing.T) {
	s := bank(t, mb)
	s.cfg.MaxConns = 8
	s.open.Store(8)
	var many []*Conn
	for range 4 {
		many = append(many, shareholder(t, s, "192.0.2.1", false))
	}
	come := func(source string) *Conn {
		c := shareholder(t, s, source, false)
		if !s.makeRoom(c) {
			t.Errorf("one from %s is refused", source)
		}
		return c
	}
	closed := func(of ...*Conn) (n int) {
		for _, c := range of {
			if c.closing.Load() != nil {
				n++
			}
		}
		return n
	}
	come("192.0.2.2")
	if closed(many...) != 1 {
		t.Fatalf("%d have given way", closed(many...))
	}
	for _, c := range many { // those that are left
		c.wire.meter.requests.Store(1)
	}
	var later []*Conn
	for range 4 {
		later = append(later, shareholder(t, s, "192.0.2.1", false))
	}
	come("192.0.2.2")
	if closed(many...) != 1 || closed(later...) > 1 {
		t.Errorf("of those that have asked %d have given way, of those that never did %d", closed(many...)-1, closed(later...))
	}
	come("192.0.2.2")
	if closed(many...) != 1 || closed(later...) == 0 {
		t.Errorf("of those that have asked %d have given way, of those that never did %d", closed(many...)-1, closed(later...))
	}
}

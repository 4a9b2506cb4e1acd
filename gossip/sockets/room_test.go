package sockets

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// peer is a stream that came from somewhere.
type peer struct {
	net.Conn
	from netip.AddrPort
}

func (p peer) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.from) }

// room is a transport without sockets. Streams of 10.0.0.0/8 are those of members.
type room struct {
	*Transport
	t    *testing.T
	port uint16
	gone map[Reason]int
}

func newRoom(t *testing.T) *room {
	r := &room{Transport: &Transport{logger: slog.New(slog.DiscardHandler), open: map[*stream]bool{}}, t: t, gone: map[Reason]int{}}
	members := netip.MustParsePrefix("10.0.0.0/8")
	r.KeepRoom(Room{Familiar: members.Contains, Closed: func(why Reason) { r.gone[why]++ }})
	t.Cleanup(func() {
		for s := range r.open {
			_ = s.Close()
		}
	})
	return r
}

// come is a stream from there and the other end of it.
func (r *room) come(from string) (s *stream, far net.Conn) {
	near, far := net.Pipe()
	r.port++
	time.Sleep(time.Millisecond) // virtual
	return r.admit(peer{near, netip.AddrPortFrom(netip.MustParseAddr(from), r.port)}), far
}

func (r *room) have(want ...*stream) {
	r.t.Helper()
	for i, s := range want {
		if s == nil || !r.open[s] {
			r.t.Errorf("stream %d is gone", i)
		}
	}
}

// bring has the other end send a byte.
func bring(t *testing.T, s *stream, far net.Conn, n int) error {
	t.Helper()
	go func() { _, _ = far.Write(make([]byte, n)) }()
	_, err := io.ReadFull(s, make([]byte, n))
	return err
}

// Of one source that has no place in the cluster a few streams are taken; the next one takes the place of the one that has
// moved least lately, and never that of one that has the key. All addresses of an IPv6 host are one source.
func TestFewStreamsOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		addrs := []string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:1", "2001:db8:0:0:9::"}
		var all []*stream
		var far []net.Conn
		for i := range maxEach {
			s, f := r.come(addrs[i%len(addrs)])
			all, far = append(all, s), append(far, f)
		}
		other, _ := r.come("2001:db8:0:1::1") // another /64
		mapped, _ := r.come("::ffff:192.0.2.1")
		r.have(append(all, other, mapped)...)
		if err := bring(t, all[0], far[0], 1); err != nil {
			t.Error(err)
		}
		all[1].Vouch()
		next, _ := r.come(addrs[0])
		r.have(append(all[3:], all[0], all[1], next, other, mapped)...)
		if r.open[all[2]] {
			t.Error("the one that has done nothing for longest is there")
		}
		for s := range r.open {
			s.Vouch()
		}
		if s, _ := r.come(addrs[0]); s != nil {
			t.Error("one that has shown nothing took the place of one that has the key")
		}
		if r.gone[NoRoom] != 2 {
			t.Error(r.gone)
		}
	})
}

// However many sources hold streams, members and seeds find room, and of their own they may use more.
func TestRoomForMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for i := range byte(200) {
			for range maxEach {
				r.come(netip.AddrFrom4([4]byte{192, 0, 2, i}).String())
			}
		}
		if n := len(r.open); n != maxStrange {
			t.Fatalf("%d streams of strangers, want %d", n, maxStrange)
		}
		members := func() (n int) {
			for s := range r.open {
				if s.familiar {
					n++
				}
			}
			return n
		}
		for range maxFamiliar + 1 {
			r.come("10.0.0.1")
		}
		if n := members(); n != maxFamiliar || len(r.open) != maxAccepted {
			t.Errorf("%d streams of a member, %d in all", n, len(r.open))
		}
		for i := range byte(200) {
			r.come(netip.AddrFrom4([4]byte{10, 0, 1, i}).String())
		}
		if n := members(); n != maxAccepted || len(r.open) != maxAccepted {
			t.Errorf("%d streams of members, %d in all", n, len(r.open))
		}
		if s, _ := r.come("192.0.2.1"); s != nil {
			t.Error("a stranger took a member's place")
		}
	})
}

// A stream begins within a moment. What has begun is for memberlist to end.
func TestFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		silent, _ := r.come("192.0.2.1")
		began, far := r.come("10.0.0.1")
		member, _ := r.come("10.0.0.1")
		time.Sleep(firstByte - 10*time.Millisecond) // virtual
		r.have(silent, began, member)
		if err := bring(t, began, far, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // virtual
		synctest.Wait()
		if r.open[silent] || r.open[member] || !r.open[began] {
			t.Errorf("silent %v, a member's %v, begun %v", r.open[silent], r.open[member], r.open[began])
		}
		if r.gone[Silent] != 2 {
			t.Error(r.gone)
		}
	})
}

// A stream may be closed as soon as it is there, by whoever reads another one (for the race detector).
func TestClosedAsItComes(t *testing.T) {
	r := newRoom(t)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			if all := r.streamsWhere(func(*stream) bool { return true }); len(all) > 0 {
				_ = all[0].Close()
				return
			}
		}
	})
	r.come("10.0.0.1")
	group.Wait()
}

// A byte below what all may have brought is taken, and one above is not: of strangers, and of everybody.
func TestWhatStreamsMayBring(t *testing.T) {
	for name, c := range map[string]struct {
		from string
		most int
	}{"strangers": {"192.0.2.", maxStrangeUnread}, "members": {"10.0.0.", maxUnread}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t)
				var first *stream
				for i := range 4 {
					s, far := r.come(c.from + strconv.Itoa(1+i))
					kit.Must(t, bring(t, s, far, c.most/4))
					if i == 0 {
						kit.Must(t, bring(t, s, far, 1), s.Close()) // what has ended counts no more
						first, far = r.come(c.from + "1")
						kit.Must(t, bring(t, first, far, c.most/4))
					}
				}
				if r.have(first); len(r.open) != 4 || r.gone[TooMuch] != 0 {
					t.Errorf("%d streams, gone: %v", len(r.open), r.gone)
				}
				s, far := r.come(c.from + "5")
				if err := bring(t, s, far, 1); err != nil || len(r.open) != 4 || r.gone[TooMuch] != 1 {
					t.Errorf("a byte more: %v, %d streams, gone: %v", err, len(r.open), r.gone)
				}
			})
		})
	}
}

// What strangers bring and never end leaves room for a member's state, and for a stranger that brings little.
func TestRoomForMembersBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for i, from := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			s, far := r.come(from)
			_ = bring(t, s, far, maxStrangeUnread/2-i) // of equals any goes, and one that is read only at its next byte
		}
		if n := len(r.open); n > 2 {
			t.Errorf("%d streams with %d bytes each", n, maxStrangeUnread/2)
		}
		small, far := r.come("192.0.2.4")
		if err := bring(t, small, far, 1<<10); err != nil {
			t.Error(err)
		}
		member, far := r.come("10.0.0.1")
		if err := bring(t, member, far, 2<<20); err != nil {
			t.Error(err)
		}
		r.have(small, member)
	})
}

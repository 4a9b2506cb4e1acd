package hostile

import (
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/forged"
)

// label is how messages of the cluster of kit.Gossiping begin.
const label = "\xf4\x04test"

func init() {
	rows = append(rows, gossipRows...)
	slices.SortFunc(rows, func(a, b row) int { return a.number - b.number })
}

// gossipRows is what strangers do where nodes gossip.
var gossipRows = []row{
	{
		number: 3, what: "registers the victim from his own address and takes it off again, every few seconds", gossips: "key",
		attack: func(s *stage) {
			v := s.victim(s.peer.Addr)
			i := imposter(s.t, v)
			stop := s.misses(s.peer.Addr, v)
			for end := time.Now().Add(attackTime()); time.Now().Before(end); s.rounds.Add(1) {
				i.Register(s.t, s.Addr, s.peer.Addr)
				v.Register(s.t, s.Addr, s.peer.Addr)
				i.Unregister(s.t, s.Addr)
			}
			s.lost = stop()
		},
		outcome: func(s *stage) string {
			if s.lost > 0 {
				s.t.Errorf("the victim was missing %d times at the other node", s.lost)
			}
			return fmt.Sprintf("his tombstone ends his own claim alone: %d rounds, no eviction at the other node", s.rounds.Load())
		},
	},
	{
		number: 8, what: "140 silent connections to each gossip port, without a key", gossips: "key",
		attack: func(s *stage) {
			var group sync.WaitGroup
			for _, addr := range []string{s.gossip, s.peer.GossipAddr(s.t)} {
				group.Go(func() {
					for end := time.Now().Add(attackTime()); time.Now().Before(end); {
						hold(s.t, addr, 140, nil, min(time.Until(end), 3*time.Second))
					}
				})
			}
			pause(s.t, part(4))
			again, _ := kit.Gossiping(s.t, newContainer(s.t, composed).binary, "restarted", s.t.TempDir(), s.gossip, s.args...)
			kit.AwaitMembers(s.t, s.Node, s.peer, again)
			again.Stop(s.t)
			group.Wait()
		},
		outcome: func(*stage) string {
			return "closed after 2 s, 8 of a source; a node that starts meanwhile finds both members"
		},
	},
	{
		number: 9, what: "fake registrations, as many as there is room for, on 20 connections", gossips: "key",
		attack: func(s *stage) {
			for i := range 20 { // that the other node does not have
				kit.NewBroker(s.t, fmt.Sprintf("apart-%02d", i), fmt.Sprintf("192.0.2.7:%d", 1000+i)).Register(s.t, s.Addr)
			}
			var group sync.WaitGroup
			end := time.Now().Add(attackTime())
			for i := range 20 {
				c := s.dialStranger()
				group.Go(func() {
					defer c.Close()
					for k := 0; time.Now().Before(end); k++ {
						r := registration(fmt.Sprintf("fake-%d-%d", i, k), nil, "false")
						if _, err := c.TryCall(r, kit.Patience); err != nil {
							return
						}
						s.rounds.Add(1)
					}
				})
			}
			pause(s.t, part(2))
			if !s.polled {
				s.listed = s.brokers()
				s.told = s.diff()
			}
			group.Wait()
		},
		outcome: func(s *stage) string {
			return fmt.Sprintf("%d brokers at the most; `epitaph diff` %s", s.listed, s.told)
		},
	},
	{
		number: 16, what: "departures from 14 addresses, as fast as they can", gossips: "key",
		attack: func(s *stage) {
			var group sync.WaitGroup
			end := time.Now().Add(attackTime())
			for i := range 14 {
				group.Go(func() {
					c, err := dialFrom(fmt.Sprintf("127.0.9.%d", 1+i), s.Addr)
					kit.Must(s.t, err)
					defer c.Close()
					p := kit.Over(s.t, c)
					b := kit.NewBroker(s.t, fmt.Sprint("comes", i), fmt.Sprintf("192.0.2.8:%d", 1000+i))
					for time.Now().Before(end) {
						p.OK(b.Registration())
						p.OK(b.Departure())
						s.rounds.Add(1)
					}
				})
			}
			for i := range 3 {
				b := kit.NewBroker(s.t, fmt.Sprint("leaves", i), fmt.Sprintf("192.0.2.9:%d", 1000+i))
				b.Register(s.t, s.Addr, s.peer.Addr)
				b.Unregister(s.t, s.Addr)
				s.left = max(s.left, kit.AwaitServes(s.t, kit.Patience, s.peer.Addr, b.Name, b.Addr, false))
			}
			group.Wait()
		},
		outcome: func(s *stage) string {
			return fmt.Sprintf("%d departures; three honest ones meanwhile were told to the other node, %s at most", s.rounds.Load(), brief(s.left))
		},
	},
	{
		number: 17, what: "a member with the key sends streams with an empty plain text", gossips: "key",
		attack: func(s *stage) {
			keys, err := gossip.LoadKeys(s.key)
			kit.Must(s.t, err)
			for end := time.Now().Add(attackTime()); time.Now().Before(end); s.rounds.Add(1) {
				c, err := dial(s.gossip)
				kit.Must(s.t, err)
				_, err = c.Write(empty(keys[0], byte(s.rounds.Load()%2)))
				kit.Must(s.t, err, c.SetReadDeadline(time.Now().Add(kit.Patience)))
				if n, _ := c.Read(make([]byte, 1)); n > 0 {
					s.t.Error("it is answered")
				}
				c.Close()
			}
		},
		outcome: func(s *stage) string { return fmt.Sprintf("refused, %d times", s.rounds.Load()) },
	},
	{
		number: 18, what: "without a key: packets that unpack to 39 MiB, and pings that name a third party", gossips: "insecure",
		attack: func(s *stage) {
			third, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 77)})
			kit.Must(s.t, err)
			defer third.Close()
			udp, err := net.Dial("udp", s.gossip)
			kit.Must(s.t, err)
			defer udp.Close()
			to := third.LocalAddr().(*net.UDPAddr).AddrPort()
			bomb, ping := append([]byte(label), forged.Squeezed(s.t, make([]byte, 39<<20))...), slices.Concat([]byte(label), forged.Ping(s.t, to), make([]byte, 64))
			for end := time.Now().Add(attackTime()); time.Now().Before(end); s.rounds.Add(1) {
				_, _ = udp.Write(bomb)
				_, _ = udp.Write(ping)
				if s.rounds.Load()%16 == 0 {
					pause(s.t, time.Millisecond)
				}
			}
			_ = third.SetReadDeadline(time.Now().Add(time.Second))
			if n, _, err := third.ReadFromUDP(make([]byte, 64<<10)); err == nil {
				s.t.Errorf("the third party got %d bytes", n)
			}
		},
		outcome: func(s *stage) string {
			return fmt.Sprintf("%d packets and pings; nothing is unpacked beyond its limit, the third party hears nothing", s.rounds.Load())
		},
	},
}

// diff runs epitaph diff until it tells of all brokers that are apart, or says that not all was compared.
func (s *stage) diff() (told string) {
	kit.Await(s.t, kit.Patience, "what differs is told", func() error {
		out, err := exec.Command(kit.Binary(s.t), "diff", "-a", s.HTTP, "--limit", "100000").CombinedOutput()
		found := strings.Count(string(out), "apart-")
		switch {
		case err == nil:
			return fmt.Errorf("exit status 0: %s", kit.Tail(string(out), 500))
		case strings.Contains(string(out), "not compared"):
			told = "says that not all was compared"
		case found >= 20:
			told = "tells all 20 brokers that differ"
		default:
			return fmt.Errorf("%d of 20: %s", found, kit.Tail(string(out), 500))
		}
		return nil
	})
	return told
}

// empty is a stream whose plain text is empty, as memberlist encrypts it in that version.
func empty(key []byte, version byte) []byte {
	header := binary.BigEndian.AppendUint32([]byte{10}, uint32(len(forged.Sealed(key, version, nil, ""))))
	return slices.Concat([]byte(label), header, forged.Sealed(key, version, nil, string(header)+"test"))
}

//go:build linux

package netns

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// names is a DNS server of one name on a host of its own.
type names struct {
	name string
	file string // resolv.conf of those that ask it

	mu  sync.Mutex
	ips []string // guarded by mu: A records, in this order
}

func newNames(t testing.TB, h *host, name string) *names {
	t.Helper()
	n := &names{name: name, file: filepath.Join(t.TempDir(), "resolv.conf")}
	kit.Must(t, os.WriteFile(n.file, []byte("nameserver "+h.IP+"\n"), 0o644))
	var c net.PacketConn
	var err error
	h.within(func() { c, err = net.ListenPacket("udp4", h.IP+":53") })
	kit.Must(t, err)
	t.Cleanup(func() { c.Close() })
	go func() {
		packet := make([]byte, 1500)
		for {
			size, from, err := c.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer := n.answer(packet[:size]); answer != nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
	return n
}

// set replaces the records.
func (n *names) set(ips ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ips = ips
}

// answer has every record, whatever is asked of the name, in A records; nothing for other kinds, as of a name without IPv6.
func (n *names) answer(query []byte) []byte {
	var q dnsmessage.Message
	if q.Unpack(query) != nil || len(q.Questions) != 1 {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true}, Questions: q.Questions}
	ask := q.Questions[0]
	if ask.Name.String() != n.name+"." {
		m.RCode = dnsmessage.RCodeNameError
	} else if ask.Type == dnsmessage.TypeA {
		n.mu.Lock()
		for _, ip := range n.ips {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: ask.Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(ip).As4()},
			})
		}
		n.mu.Unlock()
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

package gossip

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/forged"
	"github.com/epitaph-mq/epitaph/tombstone"
)

const aliveType = 4 // memberlist v0.7.0, net.go

// aliveOf is memberlist's word that the member of that name lives at that address and says that of itself.
func aliveOf(t *testing.T, name string, at netip.AddrPort, incarnation uint32, meta Meta) []byte {
	t.Helper()
	return aliveAs(t, name, at, incarnation, meta, []byte{1, 5, 2, 0, 0, 0})
}

// aliveAs is of one that speaks those versions: the least, the greatest and the present one of memberlist's protocol, then of ours.
func aliveAs(t *testing.T, name string, at netip.AddrPort, incarnation uint32, meta Meta, versions []byte) []byte {
	t.Helper()
	return forged.Packed(t, aliveType, map[string]any{
		"Incarnation": incarnation, "Node": name, "Addr": at.Addr().AsSlice(), "Port": at.Port(), "Meta": encodeMeta(meta), "Vsn": versions,
	})
}

// Whoever has the key can say that another member lives elsewhere, or says something else of itself. Elsewhere is not believed; what it says
// of itself it says again, with the next number. Whoever has no key is not heard.
func TestForgedAlive(t *testing.T) {
	n1, key := keyed(t)
	run(t, n1)
	n2, said := logged(t, func(c *Config) {
		c.Cluster, c.Name, c.Seeds, c.KeyFile = "keyed", "n2", []string{n1.Addr()}, n1.cfg.KeyFile
	})
	served, theirs := addr("127.0.0.9:9876"), addr("192.0.2.66:9876")
	n2.Announce(Meta{Phase: PhaseReady, Serve: served})
	seen := func() Member { m, _ := memberNamed(n1, "n2"); return m }
	kit.Until(t, "what n2 says", func() bool { return seen().Serve == served })

	conn, err := net.Dial("udp", n1.Addr())
	kit.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	head := labelHead("keyed")
	send := func(b []byte) {
		_, err := conn.Write(append(bytes.Clone(head), b...))
		kit.Must(t, err)
	}
	name, at, lie := memberName(n2.self), netip.MustParseAddrPort(n2.Addr()), Meta{Phase: PhaseReady, Serve: theirs}

	refused := n1.Counts().RefusedKey
	send(aliveOf(t, name, at, 1000, lie))
	kit.Until(t, "who has no key refused", func() bool { return n1.Counts().RefusedKey > refused })
	if got := seen().Serve; got != served {
		t.Fatalf("without the key n2 is said to serve at %v", got)
	}

	// The second is read after the first.
	elsewhere := netip.AddrPortFrom(theirs.Addr(), at.Port())
	send(forged.Sealed(key, 1, aliveOf(t, name, elsewhere, 2000, lie), "keyed"))
	send(forged.Sealed(key, 1, aliveOf(t, name, at, 1000, lie), "keyed"))
	kit.Until(t, "n2 contradicts", func() bool { return strings.Contains(said.String(), "Refuting an alive message for '"+name) })
	kit.Until(t, "its own word again", func() bool { return seen().Serve == served })
	if got := seen(); got.Addr != at.String() || got.State != StateAlive {
		t.Errorf("n2 is said to live at %s, and to be %v", got.Addr, got.State)
	}
}

// A member that could not speak what all speak would end every exchange of states between the others. It is not taken, whoever says so.
func TestForgedVersion(t *testing.T) {
	n1, key := keyed(t)
	run(t, n1)
	conn, err := net.Dial("udp", n1.Addr())
	kit.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	head, at := labelHead("keyed"), netip.MustParseAddrPort("127.0.0.9:7946")
	say := func(i int, versions []byte) string {
		name := memberName(tombstone.Peer{Name: fmt.Sprint("phantom", i), Boot: 1})
		sealed := forged.Sealed(key, 1, aliveAs(t, name, at, 1, Meta{Phase: PhaseReady}, versions), "keyed")
		_, err := conn.Write(append(bytes.Clone(head), sealed...))
		kit.Must(t, err)
		return fmt.Sprint("phantom", i)
	}
	for i, versions := range [][]byte{{1, 5, 3, 0, 0, 0}, {1, 5, 1, 0, 0, 0}, {3, 5, 2, 0, 0, 0}, {1, 1, 2, 0, 0, 0}, {1, 5, 2, 0, 9, 9}, {1, 5, 2, 1, 9, 0}, {1, 5, 2}} {
		refused := n1.Counts().RefusedFormat
		name := say(i, versions)
		kit.Until(t, fmt.Sprintf("refused: %v", versions), func() bool { return n1.Counts().RefusedFormat > refused })
		if m, taken := memberNamed(n1, name); taken {
			t.Errorf("%v: taken as %v", versions, m.State)
		}
	}
	good := say(99, []byte{1, 5, 2, 0, 0, 0})
	kit.Until(t, "one that speaks what all speak", func() bool { _, taken := memberNamed(n1, good); return taken })
}

package gossip

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/forged"
)

const aliveType = 4 // memberlist v0.7.0, net.go

// aliveOf is memberlist's word that the member of that name lives at that address and says that of itself.
func aliveOf(t *testing.T, name string, at netip.AddrPort, incarnation uint32, meta Meta) []byte {
	t.Helper()
	return forged.Packed(t, aliveType, map[string]any{
		"Incarnation": incarnation, "Node": name, "Addr": at.Addr().AsSlice(), "Port": at.Port(), "Meta": encodeMeta(meta), "Vsn": []byte{1, 5, 2, 0, 0, 0},
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

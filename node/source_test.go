package node

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// dialBehind connects with a PROXY header that names addr.
func dialBehind(t *testing.T, n *Node, addr string) *rpc.Client {
	t.Helper()
	conn, err := net.Dial("tcp", n.Addr().String())
	kit.Must(t, err)
	if _, err := conn.Write([]byte("PROXY TCP4 " + addr + " 10.0.0.9 4711 9876\r\n")); err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(conn, rpc.DefaultClientConfig())
	t.Cleanup(func() { c.Close() })
	return c
}

// proxyFromHere believes what this machine's headers say.
func proxyFromHere(c *config.Config) { c.ProxyFrom = mq.Networks{netip.MustParsePrefix("127.0.0.0/8")} }

// What a PROXY header names is told in the log, and is who sent the request only from --proxy-from.
func TestSourceThatCounts(t *testing.T) {
	const conflict = "loopback address registered from another host"
	here := netip.MustParseAddr("127.0.0.1")
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   mq.Source
		says   []string
		silent string
	}{
		"by default":        {nil, mq.Source{Addr: here, Apart: true}, []string{"broker=l0 id=0 addr=127.0.0.1:2", "conn=1 remote=10.9.9.9:4711 source=127.0.0.1"}, conflict},
		"from --proxy-from": {proxyFromHere, mq.Source{Addr: netip.MustParseAddr("10.9.9.9")}, []string{conflict, "remote=10.9.9.9:4711"}, "source="},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			n := startNodeTo(t, slog.NewTextHandler(&log, nil), c.change)
			header := brokerHeader("0")
			header["brokerName"], header["brokerAddr"] = "l0", "127.0.0.1:2"
			if a := ask(t, dialBehind(t, n, "10.9.9.9"), remoting.RegisterBroker, header, twoTopics); a.Code != 0 {
				t.Fatal(a)
			}
			if got := n.Table().Registrations()[0].Owner.Source; got != c.want {
				t.Errorf("the owner is %v, want %v", got, c.want)
			}
			for _, want := range c.says {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%q is not in the log:\n%s", want, log.String())
				}
			}
			if strings.Contains(log.String(), c.silent) {
				t.Errorf("%q is in the log:\n%s", c.silent, log.String())
			}
		})
	}
}

// Whoever registers a broker elsewhere with its machine's address in a header is not that machine: its tombstone does not
// fit him, unless the header is believed.
func TestHeaderIsNoMachine(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   tombstone.Outcome
	}{
		"by default": {func(*config.Config) {}, tombstone.KeptRemoteIP}, "from --proxy-from": {proxyFromHere, tombstone.Evicted},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := startClusterWith(t, 2, c.change)
			behind := dialBehind(t, nodes[1], "127.0.0.1")
			if a := ask(t, behind, remoting.RegisterBroker, brokerHeader("0"), twoTopics); a.Code != 0 {
				t.Fatal(a)
			}
			own := registerAt(t, brokerHeader("0"), nodes[0])
			ask(t, own[0], remoting.UnregisterBroker, brokerHeader("0"), "")
			kit.Until(t, "the judgement", func() bool {
				own := nodes[0].Tombstones(1).Own
				return len(own) == 1 && len(own[0].Reports) == 1 && own[0].Reports[0].Outcome == c.want.Name()
			})
		})
	}
}

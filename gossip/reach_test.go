package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// made is a node that has not started.
func made(t *testing.T, change func(*Config)) *Gossip {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Bind, cfg.Cluster, cfg.Name, cfg.Release = "127.0.0.1:0", t.Name(), "n1", "test"
	change(&cfg)
	g, err := New(cfg, &fakeTables{held: make(map[tombstone.Key]tombstone.Entry)})
	kit.Must(t, err)
	return g
}

func run(t *testing.T, g *Gossip) {
	t.Helper()
	kit.Must(t, g.Start(t.Context()))
	t.Cleanup(func() {
		if err := g.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func textLog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// logged starts a node that writes to the log it answers with.
func logged(t *testing.T, change func(*Config)) (*Gossip, *kit.Log) {
	t.Helper()
	var lines kit.Log
	g := made(t, func(c *Config) {
		c.Logger = textLog(&lines)
		change(c)
	})
	run(t, g)
	return g, &lines
}

// A list that all nodes share may name the node itself; one that names nobody else is a mistake.
func TestSeedsThatAreTheNodeItself(t *testing.T) {
	const told = "--join names only this node itself"
	addr := kit.Loopback(kit.FreePort(t))
	alone, lines := logged(t, func(c *Config) { c.Bind, c.Seeds = addr, []string{addr} })
	kit.Until(t, "the sentence", func() bool { return strings.Contains(lines.String(), told) })
	if n := alone.counts.rejoins.Load(); n != 0 {
		t.Errorf("it joined itself %d times", n)
	}

	addr = kit.Loopback(kit.FreePort(t))
	other, lines := logged(t, func(c *Config) { c.Bind, c.Seeds = addr, []string{addr, alone.Addr()} })
	kit.Until(t, "the other one", func() bool { return other.Joined() })
	if strings.Contains(lines.String(), told) {
		t.Errorf("told although another node is named:\n%s", lines)
	}
}

// Whoever must say again and again that it lives is not reached: memberlist's own lines are turned into a sentence with
// the flag.
func TestAdvertiseThatNobodyReaches(t *testing.T) {
	const told = "check that --advertise"
	g, lines := logged(t, func(c *Config) { c.Advertise = "127.0.0.1:9" })
	list := log.New(newLogWriter(g.cfg.Logger, &g.counts, heard{refuting: g.refuting}), "", 0)
	list.Printf("[WARN] memberlist: Refuting an alive message for 'n1'")
	for range maxRefutes - 1 {
		list.Printf("[WARN] memberlist: Refuting a suspect message (from: n2)")
	}
	if strings.Contains(lines.String(), told) {
		t.Fatalf("told too early:\n%s", lines)
	}
	list.Printf("[WARN] memberlist: Refuting a dead message (from: n2)")
	list.Printf("[WARN] memberlist: Refuting a dead message (from: n2)")
	if n := strings.Count(lines.String(), told); n != 1 || !strings.Contains(lines.String(), "addr=127.0.0.1:9") {
		t.Errorf("told %d times:\n%s", n, lines)
	}
}

// memberlist answers a stream that it cannot read with the reason. Whoever lacks the key gets nothing here.
func TestUnreadableStreamsAreNotAnswered(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if _, err := GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	g, _ := logged(t, func(c *Config) { c.KeyFile = key })
	const encrypted = 10 // memberlist's encryptMsg
	for name, payload := range map[string][]byte{
		"wrong key":     append([]byte{encrypted, 0, 0, 0, 64, 1}, make([]byte, 63)...),
		"no encryption": {6, 0x80}, // pushPullMsg and a map of nothing
		"oversized":     binary.BigEndian.AppendUint32([]byte{encrypted}, 1<<31),
	} {
		conn, err := net.DialTimeout("tcp", g.Addr(), 10*time.Second)
		kit.Must(t, err)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		kit.Must(t, memberlist.AddLabelHeaderToStream(conn, t.Name()))
		before := g.counts.refused()
		if _, err := conn.Write(payload); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if len(answer) > 0 || isTimeout(err) {
			t.Errorf("%s: answered %q, %v", name, answer, err)
		}
		kit.Until(t, name+" is counted", func() bool { return g.counts.refused() == before+1 })
		conn.Close()
	}
}

func (c *counters) refused() uint64 {
	return c.refusedKey.Load() + c.refusedSize.Load() + c.refusedFormat.Load() + c.refusedLabel.Load()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A seed that takes connections and never answers delays neither the others nor a stop.
func TestMuteSeedHoldsUpNothing(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer mute.Close()
	began := time.Now()
	other, _ := logged(t, func(*Config) {})
	g, _ := logged(t, func(c *Config) { c.Seeds, c.Name = []string{mute.Addr().String(), other.Addr()}, "n2" })
	kit.Until(t, "the living seed", func() bool { return len(g.Members()) == 2 })
	kit.Until(t, "that it counts as joined", g.Joined)
	_ = other.Stop(t.Context())
	kit.Until(t, "nobody else", func() bool { return len(g.Members()) == 1 })
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 9*time.Second { // memberlist waits 10 s for an answer
		t.Errorf("all of it took %v", took)
	}
}

// Messages of another version are passed over with one sentence.
func TestOtherVersionIsToldOnce(t *testing.T) {
	g, lines := logged(t, func(*Config) {})
	for _, b := range [][]byte{{typeHint, wireVersion + 1, 0}, {'?', wireVersion, 0}, {typeHint, wireVersion + 1, 0}} {
		delegate{g}.NotifyMsg(b)
	}
	if n := strings.Count(lines.String(), "another version of epitaph"); n != 1 || g.counts.refusedVersion.Load() != 2 || g.counts.refusedType.Load() != 1 {
		t.Errorf("told %d times, counted %d and %d", n, g.counts.refusedVersion.Load(), g.counts.refusedType.Load())
	}
}

// A name in --join is looked up again as long as nobody behind it is a member: its host may have moved.
func TestSeedThatMoves(t *testing.T) {
	old, _ := logged(t, func(c *Config) { c.Bind = "127.0.0.2:0" })
	_, port, err := net.SplitHostPort(old.Addr())
	kit.Must(t, err)
	var behind atomic.Value
	behind.Store("127.0.0.9") // nobody yet
	g := made(t, func(c *Config) {
		c.Name, c.RejoinEvery, c.Seeds = "n2", 50*time.Millisecond, []string{net.JoinHostPort("nodes.test", port)}
	})
	g.resolve = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if host != "nodes.test" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr(behind.Load().(string))}, nil
	}
	run(t, g)
	kit.Until(t, "a try in vain", func() bool { return g.Counts().RejoinsFailed > 0 })
	behind.Store("127.0.0.2")
	kit.Until(t, "the seed at its first address", func() bool { return len(g.Members()) == 2 })

	kit.Must(t, old.Stop(t.Context()))
	moved, _ := logged(t, func(c *Config) { c.Bind = net.JoinHostPort("127.0.0.3", port) })
	behind.Store("127.0.0.3")
	kit.Until(t, "the seed at its next address", func() bool {
		m := g.Members()
		return len(m) == 2 && m[1].Addr == moved.Addr()
	})
}

// One member that takes no stream leaves room for the others.
func TestStreamsOfOneMemberAreBounded(t *testing.T) {
	g := made(t, func(*Config) {})
	for i := range streamsEach {
		if !g.takeStream("mute") {
			t.Fatalf("stream %d refused", i)
		}
	}
	if g.takeStream("mute") {
		t.Error("no bound for one member")
	}
	taken := streamsEach
	for i := 0; g.takeStream(strconv.Itoa(i)); i++ {
		taken++
	}
	if taken != streamsAtOnce {
		t.Errorf("%d streams at once, want %d", taken, streamsAtOnce)
	}
	g.giveStream("mute")
	if !g.takeStream("mute") {
		t.Error("a stream given back is not there")
	}
}

// unusable is a transport on which memberlist cannot start.
type unusable struct {
	memberlist.NodeAwareTransport
	closed atomic.Bool
}

func (*unusable) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return nil, 0, errors.New("no advertise address")
}

func (*unusable) PacketCh() <-chan *memberlist.Packet { return nil }

func (*unusable) StreamCh() <-chan net.Conn { return nil }

func (u *unusable) Shutdown() error {
	u.closed.Store(true)
	return nil
}

// A start that fails says what to do, closes its sockets and leaves nothing running.
func TestFailingStartLeavesNothing(t *testing.T) {
	defer kit.NoLeaks(t, goleak.IgnoreCurrent())
	key := filepath.Join(t.TempDir(), "key")
	if _, err := GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	u := &unusable{}
	g := made(t, func(c *Config) { c.Transport, c.KeyFile = u, key })
	err := g.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--advertise") {
		t.Errorf("%v, want the remedy", err)
	}
	if !u.closed.Load() {
		t.Error("the sockets stay open")
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A member that probes reach by TCP only is seen as such before anybody has left, and no longer once UDP passes.
func TestMemberThatAnswersByTCPOnly(t *testing.T) {
	g, lines := logged(t, func(*Config) {})
	d, other := delegate{g}, member("n2~8000000000000000")
	d.NotifyJoin(other)
	list := log.New(newLogWriter(g.cfg.Logger, &g.counts, heard{onlyTCP: g.answeredByTCP}), "", 0)
	onlyTCP := func() bool {
		m, ok := memberNamed(g, "n2")
		return ok && m.OnlyTCP
	}
	for range 3 {
		list.Printf("[WARN] memberlist: Was able to connect to %s over TCP but UDP probes failed, network may be misconfigured", other.Name)
	}
	list.Printf("[WARN] memberlist: Was able to connect to stranger over TCP but UDP probes failed, network may be misconfigured")
	if !onlyTCP() {
		t.Error("not seen")
	}
	if n := strings.Count(lines.String(), "not by UDP"); n != 1 {
		t.Errorf("told %d times:\n%s", n, lines)
	}
	d.NotifyPingComplete(other, time.Millisecond, nil)
	if onlyTCP() {
		t.Error("UDP passes again, and it is not seen")
	}
}

// memberlist keeps what a stream brings until it is complete, up to 20 MiB, before it knows whether the sender has the key.
func TestStrangersCannotFillTheMemory(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if _, err := GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	g, _ := logged(t, func(c *Config) { c.KeyFile = key })
	const strangers = 32
	part := make([]byte, 64<<10)
	var group sync.WaitGroup
	for range strangers {
		conn, err := net.Dial("tcp", g.Addr())
		kit.Must(t, err)
		defer conn.Close()
		kit.Must(t, memberlist.AddLabelHeaderToStream(conn, t.Name()))
		group.Go(func() {
			_, err := conn.Write(binary.BigEndian.AppendUint32([]byte{10}, 20<<20))
			for sent := 0; err == nil && sent < 20<<20; sent += len(part) {
				_, err = conn.Write(part)
			}
			if err == nil {
				t.Error("all of it was read")
			}
		})
	}
	group.Wait()
	kit.Until(t, "that all are counted", func() bool {
		c := g.Counts()
		return c.RefusedSize+c.ClosedNoRoom >= strangers // one may be refused while another one takes its place
	})
}

package gossip

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// toldWithin is for how long whoever started a node wrongly looks at nothing, at most: 3 s, of which lookUpFirst and answerWait
// leave a third at least, and three times that on a busy machine. A second try would come later.
const toldWithin = 3 * 3 * time.Second

// listener takes connections and does something with each.
func listener(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go do(conn)
		}
	}()
	return l.Addr().String()
}

// Why a seed is not reached stands in the log, in words, within three seconds.
func TestWhyASeedIsNotReached(t *testing.T) {
	t.Parallel()
	key := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "key")
		_, err := GenerateKeyFile(path)
		kit.Must(t, err)
		return path
	}
	node := func(change func(*Config)) func(t *testing.T) string {
		return func(t *testing.T) string {
			g, _ := logged(t, func(c *Config) { c.Cluster = "ours"; change(c) })
			return g.Addr()
		}
	}
	for name, c := range map[string]struct {
		seed   func(t *testing.T) string
		keys   bool
		cause  string
		others []string // of which none may be told
	}{
		"a mistyped name":  {func(*testing.T) string { return "tpyo.test:7946" }, false, "there is no such name in DNS", nil},
		"DNS that hangs":   {func(*testing.T) string { return "hangs.test:7946" }, false, "DNS did not answer within 2s", nil},
		"nothing there":    {func(t *testing.T) string { return kit.Loopback(kit.FreePort(t)) }, false, "nothing listens there", nil},
		"another cluster":  {node(func(c *Config) { c.Cluster = "theirs" }), false, "a node of another --cluster", []string{"key"}},
		"another key":      {func(t *testing.T) string { return node(func(c *Config) { c.KeyFile = key(t) })(t) }, true, "its gossip key is another one", []string{"another --cluster"}},
		"a key here only":  {node(func(*Config) {}), true, "its gossip key is another one", []string{"another --cluster"}},
		"a key there only": {func(t *testing.T) string { return node(func(c *Config) { c.KeyFile = key(t) })(t) }, false, "it has a gossip key, and this node has none", nil},
		"a mute stranger": {func(t *testing.T) string {
			return listener(t, func(net.Conn) {})
		}, true, "a program that is no node of epitaph has this port", []string{"key is another"}},
		"a stranger that hangs up": {func(t *testing.T) string {
			return listener(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); c.Close() })
		}, true, "a program that is no node of epitaph has this port", []string{"key is another"}},
		"a stranger that answers": {func(t *testing.T) string {
			return listener(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })
		}, false, "a program that is no node of epitaph has this port", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := c.seed(t)
			var lines kit.Log
			g := made(t, func(cfg *Config) {
				cfg.Logger, cfg.Cluster, cfg.Name, cfg.Seeds = textLog(&lines), "ours", "n2", []string{seed}
				if c.keys {
					cfg.KeyFile = key(t)
				}
			})
			g.resolve = resolveTest
			began := time.Now()
			run(t, g)
			kit.Until(t, "the cause", func() bool { return strings.Contains(lines.String(), "was not reached") })
			took := time.Since(began)
			line := lines.String()
			if !strings.Contains(line, c.cause) || !strings.Contains(line, "seed="+seed) || took > toldWithin {
				t.Errorf("after %v: %s", took, line)
			}
			for _, other := range c.others {
				if strings.Contains(line, other) {
					t.Errorf("%q is told, too: %s", other, line)
				}
			}
			if trouble := g.Trouble(); !strings.Contains(trouble, c.cause) || g.Reached() || g.Alone() == 0 {
				t.Errorf("trouble %q, reached %v, alone for %v", trouble, g.Reached(), g.Alone())
			}
		})
	}
}

// Of a seed that comes between the try to join it and the question why that failed, as where nodes start together, only that is told.
func TestSeedThatHasJustCome(t *testing.T) {
	seed := listener(t, func(net.Conn) {})
	err := errors.New("1 error occurred:\n\t* failed to join " + seed + ": dial tcp " + seed + ": connect: connection refused\n\n")
	got := new(Gossip).likelyCause(t.Context(), netip.MustParseAddrPort(seed), err)
	if want := "it could not be connected to a moment ago (connection refused), and can be now"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// resolveTest knows no name, and looks for hangs.test for ever.
func resolveTest(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if host == "hangs.test" {
		<-ctx.Done()
		return nil, &net.DNSError{Err: ctx.Err().Error(), Name: host, IsTimeout: true}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// Names that cannot be looked up delay neither a seed that is there nor a stop.
func TestNamesThatHangHoldUpNothing(t *testing.T) {
	t.Parallel()
	other, _ := logged(t, func(*Config) {})
	g := made(t, func(c *Config) {
		c.Name, c.Seeds = "n2", []string{"hangs.test:1", "hangs.test:2", "hangs.test:3", other.Addr(), "hangs.test:4"}
	})
	met := make(chan struct{})
	g.resolve = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
		addrs, err := resolveTest(ctx, network, host)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			select { // nobody who waits for these names meets anybody
			case <-met:
			case <-t.Context().Done():
			}
		}
		return addrs, err
	}
	kit.Must(t, g.Start(t.Context()))
	kit.Until(t, "the seed that is there", func() bool { return len(g.Members()) == 2 })
	close(met)
	if !g.Reached() || g.Alone() != 0 {
		t.Errorf("reached %v, alone for %v", g.Reached(), g.Alone())
	}
	goes := time.Now()
	kit.Must(t, other.Stop(t.Context()))
	kit.Until(t, "that nobody is left", func() bool { return g.Alone() > 0 })
	if alone := g.Alone(); alone > time.Since(goes)+time.Second {
		t.Errorf("alone for %v, and the other one left %v ago", alone, time.Since(goes))
	}
	if !g.Reached() {
		t.Error("not reached any more")
	}
	began := time.Now()
	kit.Must(t, g.Stop(t.Context()))
	if took := time.Since(began); took >= lookUpWait {
		t.Errorf("the stop took %v", took)
	}
}

// A node without seeds looks for nobody: it is never called alone.
func TestWithoutSeedsNobodyIsLookedFor(t *testing.T) {
	g := made(t, func(c *Config) { c.Clock = func() clock.Stamp { return clock.Now().Add(time.Hour) } })
	if !g.Joined() || !g.Reached() || g.Alone() != 0 || g.Trouble() != "" {
		t.Errorf("joined %v, reached %v, alone for %v, trouble %q", g.Joined(), g.Reached(), g.Alone(), g.Trouble())
	}
}

// A key file that could not be read once is read again, and its fault is told once.
func TestKeyFileIsReadAgainAfterAFault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, aside := filepath.Join(dir, "key"), filepath.Join(dir, "aside")
	if _, err := GenerateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	g, lines := logged(t, func(c *Config) { c.KeyFile = path })
	other := filepath.Join(dir, "other")
	if _, err := GenerateKeyFile(other); err != nil {
		t.Fatal(err)
	}
	next, err := LoadKeys(other)
	kit.Must(t, err)
	// The new file stands there whole, but cannot be read at the moment: as by a directory, or on a mount that is away.
	kit.Must(t, os.Rename(path, aside))
	kit.Must(t, os.Mkdir(path, 0o700))
	kit.Until(t, "the fault", func() bool { return strings.Contains(lines.String(), "gossip keys not reloaded") })
	kit.Must(t, os.Remove(path))
	kit.Must(t, os.Rename(other, path))
	kit.Until(t, "the new key", func() bool { return string(g.keys.GetPrimaryKey()) == string(next[0]) })
	if n := strings.Count(lines.String(), "gossip keys not reloaded"); n > 2 { // once as a directory, once where nothing was
		t.Errorf("told %d times", n)
	}
}

// A name of the node's own address for which DNS has no answer is asked for again; whoever ends the start does not wait for it.
func TestOwnNameThatHangs(t *testing.T) {
	t.Parallel()
	own := func(resolve func(ctx context.Context, host string) ([]netip.Addr, error)) *Gossip {
		g := made(t, func(c *Config) { c.Advertise = "own.test:7946" })
		g.resolve = func(ctx context.Context, _, host string) ([]netip.Addr, error) { return resolve(ctx, host) }
		return g
	}
	passing := &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	asked := 0
	g := own(func(context.Context, string) ([]netip.Addr, error) {
		if asked++; asked == 1 {
			return nil, passing
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	})
	run(t, g)
	if g.Addr() != "127.0.0.1:7946" || asked != 2 {
		t.Errorf("at %s, after %d questions", g.Addr(), asked)
	}

	g = own(func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := g.Start(ctx); err == nil || time.Since(began) > lookUpFirst {
		t.Errorf("%v after %v", err, time.Since(began))
	}

	g = own(func(context.Context, string) ([]netip.Addr, error) { return resolveTest(t.Context(), "", "tpyo.test") })
	if err := g.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--advertise=own.test:7946") {
		t.Errorf("a name that is not there: %v", err)
	}
}

// A key file is read by its content: a new one may have the size and the time of the old one, as those of reproducible releases
// and of Kubernetes do. What changed is told, with fingerprints, and that everybody may read it.
func TestKeysOfTheSameTimeAreSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, current := filepath.Join(dir, "b"), filepath.Join(dir, "current")
	old := filepath.Join(dir, "a")
	for _, file := range []string{old, path} {
		_, err := GenerateKeyFile(file)
		kit.Must(t, err)
		kit.Must(t, os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)))
	}
	kit.Must(t, os.Chmod(path, 0o644))
	kit.Must(t, os.Symlink(old, current))
	g, lines := logged(t, func(c *Config) { c.KeyFile = current })
	before := g.Keys()
	if text := lines.String(); len(before) != 1 || len(before[0]) != 12 || strings.Contains(text, "every user of this machine") {
		t.Fatalf("%v, %s", before, text)
	}
	kit.Must(t, os.Symlink(path, current+"2"))
	kit.Must(t, os.Rename(current+"2", current)) // as deployments are switched
	next, err := LoadKeys(path)
	kit.Must(t, err)
	kit.Until(t, "the new key", func() bool { return string(g.keys.GetPrimaryKey()) == string(next[0]) })
	kit.Until(t, "the line", func() bool {
		return strings.Contains(lines.String(), "gossip keys changed\" keys="+fingerprint(next[0])+" before="+before[0]) &&
			strings.Contains(lines.String(), "level=WARN msg=\"every user of this machine can read the gossip keys")
	})
	kit.Must(t, g.ReloadKeys()) // the same: nothing to tell
	if text := lines.String(); strings.Count(text, "gossip keys changed") != 1 || strings.Contains(text, string(next[0])) {
		t.Error(text)
	}
}

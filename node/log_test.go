package node

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func startLoggingNode(t *testing.T, level slog.Level) (*Node, *kit.Log) {
	t.Helper()
	book := &kit.Log{}
	return startNodeTo(t, slog.NewTextHandler(book, &slog.HandlerOptions{Level: level}), proxyFromHere), book
}

// TestOneLineForEachChange: what changes the tables is one line, what changes nothing is none, and connections are told
// at debug level only.
func TestOneLineForEachChange(t *testing.T) {
	n, book := startLoggingNode(t, slog.LevelInfo)
	c, broker := dial(t, n), dial(t, n)
	book.Take() // the start
	want := func(lines ...string) {
		t.Helper()
		got := book.Take()
		if len(got) != len(lines) {
			t.Fatalf("%d lines, want %d:\n%s", len(got), len(lines), strings.Join(got, "\n"))
		}
		for i, line := range lines {
			if !kit.ContainsAll(got[i], strings.Split(line, "|")...) {
				t.Errorf("line %d is %q, want %q", i, got[i], line)
			}
		}
	}
	register := func() { t.Helper(); ask(t, broker, remoting.RegisterBroker, brokerHeader("0"), twoTopics) }
	register()
	want(`level=INFO msg="broker registered" |cluster=C1 broker=b0 id=0 addr=1.1.1.1:10911 added=2`)
	register()
	register()
	ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, "")
	ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "none"}, "")
	ask(t, c, remoting.GetBrokerClusterInfo, nil, "")
	ask(t, c, 999, nil, "")
	want()
	ask(t, c, remoting.DeleteTopicInNamesrv, map[string]string{"topic": "TB"}, "")
	want(`level=INFO|topic=TB`)
	ask(t, c, remoting.DeleteTopicInNamesrv, map[string]string{"topic": "TB"}, "")
	want()
	ask(t, c, remoting.WipeWritePermOfBroker, map[string]string{"brokerName": "b0"}, "")
	want(`level=INFO|broker=b0`)
	ask(t, broker, remoting.UnregisterBroker, brokerHeader("0"), "")
	want(`level=INFO msg="broker unregistered"|broker=b0`)
	ask(t, broker, remoting.UnregisterBroker, brokerHeader("0"), "")
	want()
	register()
	book.Take()
	broker.Close()
	lines := book.Await(t, "level=INFO", "broker=b0")
	if len(lines) != 1 {
		t.Errorf("the loss of a broker is %d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// TestConnectionsAreToldAtDebugLevel, each once when it comes and once when it goes.
func TestConnectionsAreToldAtDebugLevel(t *testing.T) {
	n, book := startLoggingNode(t, slog.LevelDebug)
	book.Take()
	c := dial(t, n)
	ask(t, c, remoting.GetBrokerClusterInfo, nil, "")
	opened := book.Await(t, "level=DEBUG", `msg="connection opened"`, "remote="+c.LocalAddr().String())
	c.Close()
	closed := book.Await(t, "level=DEBUG", `msg="connection closed"`, "remote="+c.LocalAddr().String())
	if len(opened) != 1 || len(closed) != 1 {
		t.Errorf("%q and %q", opened, closed)
	}
}

// TestFourWarnings: what is probably a mistake of an operator is a warning that names both sides, told once, however often
// the brokers register.
func TestFourWarnings(t *testing.T) {
	book := &kit.Log{}
	n := startNodeTo(t, slog.NewTextHandler(book, nil), proxyFromHere)
	register := func(c *rpc.Client, cluster, name, addr, id string) {
		t.Helper()
		ext := brokerHeader(id)
		ext["clusterName"], ext["brokerName"], ext["brokerAddr"] = cluster, name, addr
		ask(t, c, remoting.RegisterBroker, ext, twoTopics)
	}
	warnings := func() (lines []string) {
		for _, line := range book.Take() {
			if strings.Contains(line, "level=WARN") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	f := func(what string, again func(), words ...string) {
		t.Helper()
		again()
		lines := warnings()
		if len(lines) != 1 || !kit.ContainsAll(lines[0], words...) {
			t.Errorf("%s: %d warnings, want one with %q:\n%s", what, len(lines), words, strings.Join(lines, "\n"))
		}
		for range 20 {
			again()
		}
		if lines := warnings(); len(lines) > 1 { // one from the other side's view
			t.Errorf("%s: told again and again:\n%s", what, strings.Join(lines, "\n"))
		}
	}
	first, second := dial(t, n), dial(t, n)
	f("one address under two names", func() {
		register(first, "C1", "n0", "10.0.0.1:1", "0")
		register(second, "C1", "n1", "10.0.0.1:1", "0")
	}, "one address under two broker names", "broker=n1", "old=n0", "addr=10.0.0.1:1")
	f("one name in two clusters", func() {
		register(first, "C1", "m0", "10.0.0.2:1", "0")
		register(second, "C2", "m0", "10.0.0.2:2", "1")
	}, "one broker name in two clusters", "cluster=C2", "old=C1", "broker=m0")
	f("id 0 changes its address without an unregister", func() {
		register(first, "C1", "k0", "10.0.0.3:1", "0")
		register(second, "C1", "k0", "10.0.0.3:2", "0")
	}, "master address changed without unregister", "broker=k0", "addr=10.0.0.3:2", "old=10.0.0.3:1")

	register(first, "C1", "h0", "127.0.0.1:1", "0")
	if lines := warnings(); len(lines) != 0 {
		t.Errorf("a loopback address from this host: %q", lines)
	}
	elsewhere := dialBehind(t, n, "10.9.9.9")
	f("a loopback address from another host", func() { register(elsewhere, "C1", "l0", "127.0.0.1:2", "0") },
		"loopback address registered from another host", "broker=l0", "addr=127.0.0.1:2", "10.9.9.9")
}

// TestRepeatedFaultsAreLimited: told once, then with a count after repeatEvery; and however many there are, few are kept.
func TestRepeatedFaultsAreLimited(t *testing.T) {
	r, now := newRepeats(), clock.Now()
	key := repeatKey{routes.ConflictNames, "c", "n", "a"}
	told := 0
	for range 100 {
		if _, due := r.due(key, now, repeatEvery); due {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times at once", told)
	}
	now = now.Add(repeatEvery)
	if skipped, due := r.due(key, now, repeatEvery); !due || skipped != 99 {
		t.Errorf("after %s: due %v, %d kept back", repeatEvery, due, skipped)
	}
	if _, due := r.due(key, now, repeatEvery); due {
		t.Error("told at once after that")
	}
	for i := range 3 * repeatKinds {
		r.due(repeatKey{routes.ConflictNames, "c", "n", fmt.Sprint(i)}, now, repeatEvery)
	}
	if len(r.known) > repeatKinds {
		t.Errorf("%d faults remembered", len(r.known))
	}
}

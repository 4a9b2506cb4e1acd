package bench

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What a client prints is taken as it is; what is no event, or is half written, is passed over.
func TestWindowLines(t *testing.T) {
	const output = `log4j:WARN no appender
SEND plain-0 1700000000123 4567 2 OK
SEND ordered-1 1700000000124 3000001 1 FAIL connect to <127.0.0.1:1> failed
SEND ordered-1 1700000000125 5 0 FAIL
ROUTE plain-0 1700000000200 0
GOT consumer-0 1700000000300 7
SEND plain-0 1700000000400 12
SEND plain-0 x 1 1 OK
ROUTE plain-0
SEND plain-0 1700000000500 1 1 O`
	var got []windowEvent
	if err := readWindow(strings.NewReader(output), func(e windowEvent) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	at := func(ms int64) time.Time { return time.UnixMilli(1_700_000_000_000 + ms) }
	want := []windowEvent{
		{kind: "SEND", client: "plain-0", at: at(123), took: 4567 * time.Microsecond, count: 2},
		{kind: "SEND", client: "ordered-1", at: at(124), took: 3000001 * time.Microsecond, count: 1, failure: "failed connect to <127.0.0.1:1> failed"},
		{kind: "SEND", client: "ordered-1", at: at(125), took: 5 * time.Microsecond, failure: "failed"},
		{kind: "ROUTE", client: "plain-0", at: at(200)},
		{kind: "GOT", client: "consumer-0", at: at(300), count: 7},
	}
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("event %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

// Sends count from the moment to the end of the window; a route counts until it named the broker for the last time.
func TestWindowTally(t *testing.T) {
	moment := time.UnixMilli(1_000_000)
	tally := newWindowTally(moment, 10*time.Second)
	say := func(kind, client string, ms int, count int, failure string) {
		tally.take(windowEvent{kind: kind, client: client, at: moment.Add(time.Duration(ms) * time.Millisecond), took: time.Duration(count) * time.Second, count: count, failure: failure})
	}
	if missing := tally.ready([]string{"plain-0"}); !strings.Contains(missing, "plain-0 has no route") {
		t.Errorf("ready: %q", missing)
	}
	for ms := -6; ms < 0; ms++ {
		say("SEND", "plain-0", ms, 1, "")
	}
	say("ROUTE", "plain-0", -5, 1, "")
	if missing := tally.ready([]string{"plain-0"}); missing != "" {
		t.Errorf("not ready: %q", missing)
	}
	if missing := tally.ready([]string{"plain-0", "plain-1"}); !strings.Contains(missing, "plain-1") {
		t.Errorf("ready: %q", missing)
	}
	say("SEND", "plain-0", -1, 3, "before")
	say("SEND", "plain-0", 0, 2, "")
	say("SEND", "plain-0", 1500, 3, "first")
	say("SEND", "plain-0", 4000, 1, "last")
	say("SEND", "plain-0", 9999, 1, "")
	say("SEND", "plain-0", 10000, 3, "after")
	say("ROUTE", "plain-0", 2000, 0, "")
	say("ROUTE", "plain-0", 3000, 1, "") // a NameServer that did not hear brought it back
	say("ROUTE", "plain-0", 7000, 0, "")
	say("ROUTE", "ordered-0", -900, 1, "")
	say("ROUTE", "consumer-0", -900, 1, "")
	say("ROUTE", "consumer-0", -800, 0, "")
	say("GOT", "consumer-0", -100, 4, "")
	say("GOT", "consumer-0", 500, 2, "")
	say("GOT", "consumer-0", 2500, 3, "")
	tally.finish()

	p := tally.clients["plain-0"]
	if p.Sends != 4 || p.Failed != 2 || p.Retried != 2 || p.before != 1 {
		t.Errorf("%d sends, %d failed, %d retried, %d failed before; want 4, 2, 2, 1", p.Sends, p.Failed, p.Retried, p.before)
	}
	if p.FirstFail != 1.5 || p.LastFail != 4 || p.between() != 2.5 || p.Failure != "first" {
		t.Errorf("failed from %v to %v, first by %q", p.FirstFail, p.LastFail, p.Failure)
	}
	if p.Gone != 7 {
		t.Errorf("the route named the broker until %v, want 7", p.Gone)
	}
	if p.P99 < 2900 || p.P99 > 3100 {
		t.Errorf("p99 is %v ms, want 3000", p.P99)
	}
	if gone := tally.clients["ordered-0"].Gone; gone != -1 {
		t.Errorf("a route that names the broker to the end: %v, want -1", gone)
	}
	c := tally.clients["consumer-0"]
	if c.Received != 5 || c.Gap != 7.5 || c.Gone != 0 {
		t.Errorf("received %d, longest gap %v, gone %v; want 5, 7.5, 0", c.Received, c.Gap, c.Gone)
	}
}

// A muted relay passes nothing on.
func TestMuteRelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	first, all := make(chan string), make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		hello := make([]byte, 5)
		_, err = io.ReadFull(c, hello)
		first <- fmt.Sprint(string(hello), err)
		rest, _ := io.ReadAll(c) // until the relay is stopped
		all <- string(rest)
	}()
	relay, err := startMuteRelay(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", relay.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := <-first; got != "hello<nil>" {
		t.Errorf("through the relay came %q", got)
	}
	relay.mute()
	if _, err := c.Write([]byte("UNREGISTER")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	late, err := net.Dial("tcp", relay.addr()) // it is taken, and nobody is there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { late.Close() })
	relay.stop()
	if got := <-all; got != "" {
		t.Errorf("a muted relay passed on %q", got)
	}
}

// Nor does it pass on that the broker's end of the connection has ended.
func TestMuteRelayHidesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &muteRelay{ended: make(chan struct{})}
		broker, in := net.Pipe()
		out, server := net.Pipe()
		r.running.Go(func() { r.carry(in, out) })
		over := make(chan struct{})
		go func() {
			_, _ = io.ReadAll(server) // how it ends does not matter
			close(over)
		}()
		r.mute()
		broker.Close()
		synctest.Wait()
		select {
		case <-over:
			t.Error("the NameServer saw the connection end")
		default:
		}
		close(r.ended)
		r.running.Wait()
		out.Close()
		<-over
	})
}

// A broker's machine is heard, and hears, until its cable is cut; the other one is heard still.
func TestWindowNet(t *testing.T) {
	n, err := openWindowNet()
	r := windowRun{config: DefaultWindowConfig(), report: &WindowReport{}}
	r.find()
	if played := slices.Contains(r.report.Scenes, WindowVanishes); played != (err == nil) || strings.Contains(strings.Join(r.report.Missing, ""), "the scene vanishes: ") == played {
		t.Errorf("where a network gives %v, scenes %v are played and missing are %q", err, r.report.Scenes, r.report.Missing)
	}
	if err != nil {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
	t.Cleanup(n.close)
	var town net.Listener
	kit.Must(t, n.within(func() (err error) {
		town, err = net.Listen("tcp4", windowApart[0])
		return err
	}))
	t.Cleanup(func() { town.Close() })
	reach := func(host int, limit time.Duration) error {
		return n.at(host)(func() error {
			c, err := net.DialTimeout("tcp4", windowApart[0], limit)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	for host := range windowBrokers {
		kit.Must(t, reach(host, kit.Patience))
	}
	kit.Must(t, n.cut(1))
	if reach(1, 100*time.Millisecond) == nil {
		t.Error("a machine without its cable reaches the town")
	}
	kit.Must(t, reach(0, kit.Patience))
}

// windowSample is a report of one round: with Java one client that asks the NameServer that did not hear.
func windowSample() *WindowReport {
	r := &WindowReport{
		When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Rounds: 1, Load: []float64{3, 1.5}, Scenes: WindowScenes(),
		Servers: []WindowServer{{Key: JavaSmall, Title: "Java 5.5.0"}, {Key: Ours, Title: "epitaph"}},
		Missing: []string{"clients Go 2.1.2: no program"},
	}
	for _, scene := range WindowScenes() {
		for _, server := range r.Servers {
			for _, k := range javaKinds {
				for i := range k.count {
					c := &WindowClient{Round: 1, Name: k.client(i), Sends: 100, Gone: 10 + float64(i), took: newHistogram()}
					c.took.record(20 * time.Millisecond)
					if server.Key == JavaSmall && scene == WindowUnheard && i == 0 {
						c.Gone = 140
					}
					if k.key == windowOrdered {
						c.Failed, c.FirstFail, c.LastFail = 7, 5, 9.5
					}
					r.note(scene, server.Key, "java-5", k.key, c)
				}
			}
		}
	}
	return r
}

func page(t *testing.T, r *WindowReport) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.md")
	if err := r.WriteDocument(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const picture = "img/clients-window.svg"
	if !strings.Contains(string(text), "("+picture+")") {
		t.Errorf("the page does not show %s", picture)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), picture)); err != nil {
		t.Error(err)
	}
	return string(text)
}

// The page has the servers beside each other, the goals with what was reached, and says what is missing.
func TestWindowPage(t *testing.T) {
	text := page(t, windowSample())
	for _, want := range []string{
		"# The client's window", "pollNameServerInterval", "**Missing**: clients Go 2.1.2: no program", "Load average when the windows began and ended: 1.5 to 3.0.",
		"| a broker leaves unheard by one: failed sends of Java clients that retry | 0 | 0 of 500 | 0 of 500 | met |",
		"| leaves, unheard by one | Java 5.5.0, as shipped | 300 | 300 | 0 | 0 | 0 | 0 | 20.1 | 20.1 | - | - | 12.0 [11.0-140] | 11.0 [10.0-12.0] |",
		"| is killed | Java 5.5.0, by key | 300 | 300 | 21 | 21 | 0 | 0 | 20.1 | 20.1 | 4.50 | 4.50 |",
		"| is killed | epitaph | by key | 21 of 300 | 9.50 | 0 of 300 | 20.1 |",
		"| is killed | Java 5.5.0, consumer | 0 received |",
		"| a broker leaves, unheard by one: producers' routes name it no more after, s | all within one poll and a query, 33 | 11.0 [10.0-12.0] | 12.0 [11.0-140] | met |",
		"| a broker's machine vanishes: first to last failed send of a Java client that polls as shipped, p99, s | at most 45 | 4.50 (3 of 8 clients failed) | 4.50 (3 of 8 clients failed) | met |",
		"| vanishes | epitaph | by key | 21 of 300 | 9.50 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page:\n%s", want, text)
		}
	}
	for _, not := range []string{"missed", "Go 2.1.2, as shipped", "**Failed**"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is in the page", not)
		}
	}
}

// A goal that is not reached is said to be missed, and what was not measured stands in the page as missing.
func TestWindowPageOfLess(t *testing.T) {
	r := windowSample()
	for _, c := range r.Cells {
		if c.Server == Ours && c.Kind == windowPlain {
			c.Clients[0].Failed, c.Clients[0].Gone = 1, -1
		}
		if c.Scene == WindowVanishes && c.Kind == windowOrdered {
			c.Clients[1].LastFail = 50.5
		}
	}
	text := page(t, r)
	for _, want := range []string{
		"| a broker leaves unheard by one: failed sends of Java clients that retry | 0 | 1 of 500 | 0 of 500 | **missed** |",
		"| a broker is killed: failed sends of Java clients that retry | no more than with Java's | 1 of 500 | 0 of 500 | **missed** |",
		"all within one poll and a query, 33 | 11.0 [10.0-12.0], 1 still do | 11.0 [10.0-12.0] | **missed** |",
		"p99, s | at most 45 | 45.5 (4 of 8 clients failed) | 45.5 (3 of 8 clients failed) | **missed** |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page:\n%s", want, text)
		}
	}
	r = windowSample()
	r.Servers[0].Missing, r.Failures = "no class path", []string{"round 1: it fell over"}
	r.Cells = slices.DeleteFunc(r.Cells, func(c *WindowCell) bool { return c.Server == JavaSmall })
	r.Scenes = []WindowScene{WindowKilled}
	steps := windowSum{clients: 4, gone: []float64{20, 10, 10}, still: 1}.steps(60)
	if last := steps[len(steps)-1]; last != (XY{60, 75}) || steps[1] != (XY{10, 0}) {
		t.Errorf("one of four clients still names the broker: %v", steps)
	}
	text = page(t, r)
	for _, want := range []string{"**Not measured in this run**: the scene in which a broker leaves, unheard by one (`--scenes unheard`).", "vanishes (`--scenes vanishes`).", "**Missing**: NameServer Java 5.5.0: no class path", "**Failed**: round 1: it fell over", "sends: epitaph | failed: epitaph |", "21 of 300 | - | not compared |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page:\n%s", want, text)
		}
	}
}

func TestWindowConfig(t *testing.T) {
	c := DefaultWindowConfig()
	c.Rounds, c.Scenes = 0, []WindowScene{"lunch"}
	err := c.Validate()
	for _, want := range []string{"ours: ", "broker-cp: ", "make bench-clients", "clients: none", "rounds: 0", `scenes: "lunch" is none of`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	for _, p := range c.programs() {
		if p.missing == nil {
			t.Errorf("%s is not missing", p.title)
		}
	}
}

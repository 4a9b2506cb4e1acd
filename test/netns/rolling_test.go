//go:build linux

package netns

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// tally is what became of messages: refused are those that failed because a broker refused them or was too slow, which no
// NameServer has a part in.
type tally struct{ sent, failed, refused int }

func (a tally) minus(b tally) tally {
	return tally{a.sent - b.sent, a.failed - b.failed, a.refused - b.refused}
}

func (a tally) String() string {
	text := fmt.Sprintf("%d / %d", a.sent, a.failed)
	if a.refused > 0 {
		text += fmt.Sprintf(" (and %d by a broker)", a.refused)
	}
	return text
}

// byBroker finds, in the text of a failure, a broker that refused a message (flow control: it says so itself, or its address
// stands behind the code), or did not answer in time. A NameServer's refusals have another text or another port.
var byBroker = regexp.MustCompile(`broker busy|\[REJECTREQUEST\]|CODE: 2 .*BROKER: |channel <[^>]*:` + fmt.Sprint(brokerPort) + `> timeout`)

func talliesOf(e java.Events) tally {
	all := tally{sent: len(e.Sent)}
	for _, why := range e.Failed {
		if byBroker.MatchString(why) {
			all.refused++
		} else {
			all.failed++
		}
	}
	return all
}

func TestWhoseFailure(t *testing.T) {
	e := java.Events{Sent: map[string]string{"0": "b"}, Failed: map[string]string{
		"1": "Send [3] times, still failed, cost [9]ms <- MQBrokerException: CODE: 2  DESC: [TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while",
		"2": "CODE: 2  DESC: [REJECTREQUEST]system busy, start flow control for a while",
		"3": "x <- RemotingTimeoutException: wait response on the channel <10.77.0.9:10911> timeout, 3000(ms)",
		"4": "CODE: 2  DESC: [OVERLOAD]system busy, start flow control for a while BROKER: 10.77.0.9:10911",
		"5": "CODE: 2  DESC: [OVERLOAD]system busy, start flow control for a while",
		"6": "wait response on the channel <10.77.0.2:9876> timeout, 3000(ms)",
		"7": "No route info of this topic: fresh7",
		"8": "CODE: 1  DESC: create topic failed BROKER: 10.77.0.9:10911",
	}}
	if got, want := talliesOf(e), (tally{sent: 1, failed: 4, refused: 4}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// roller is one client of the long roll and what it had done by the last row.
type roller struct {
	name   string
	client *java.Client
	last   tally
}

// rolling is the long roll with its table: the same clients twice, of our nodes and of Java NameServers.
type rolling struct {
	*fleet
	names        *names // the DNS name of our nodes
	moved        *broker
	admin        *host
	ours, theirs []*roller
	java         []*server
	rows         []string
}

// row tells what has happened to the clients of one side since its last one, and how many messages failed.
func (r *rolling) row(side []*roller, what, servers string, took time.Duration) (failed int) {
	r.t.Helper()
	cells := []string{what, servers, fmt.Sprintf("%.0f s", took.Seconds())}
	for _, c := range side {
		now := talliesOf(c.client.Events())
		d := now.minus(c.last)
		if d.sent == 0 { // one that waits for ever fails nothing either
			r.t.Errorf("%s: %s sent nothing", what, c.name)
		}
		cells = append(cells, d.String())
		failed += d.failed
		c.last = now
	}
	r.rows = append(r.rows, "| "+strings.Join(cells, " | ")+" |")
	r.t.Log(r.rows[len(r.rows)-1])
	return failed
}

const ourServers, javaServers = "epitaph", "Java 5.5.0"

// step does one thing to our nodes and its like to the Java NameServers, and makes the rows of both.
func (r *rolling) step(what string, do func() string, like string, doLike func()) (failed, failedLike int) {
	r.t.Helper()
	began := time.Now()
	if doLike != nil {
		doLike()
	}
	tookLike := time.Since(began)
	began = time.Now()
	what += do()
	took := time.Since(began)
	if doLike == nil {
		tookLike = took
	}
	failed = r.row(r.ours, what, ourServers, took)
	return failed, r.row(r.theirs, like, javaServers, tookLike)
}

// goClient is a peer on rocketmq-client-go; its HTTP resolver asks by the name unless it is given a list.
func (f *fleet) goClient(host string, o java.ClientOptions) (c *java.Client) {
	f.t.Helper()
	start := f.goPeer(o)
	f.host(host).within(func() { c = start() })
	return c
}

// goPeer builds it, which may take a download that no namespace has the way for, and returns what starts it where the caller is.
func (f *fleet) goPeer(o java.ClientOptions) (start func() *java.Client) {
	f.t.Helper()
	if f.goBinary == "" {
		f.goBinary = filepath.Join(f.t.TempDir(), "goclient")
		build := exec.Command("go", "build", "-o", f.goBinary, ".")
		build.Dir = filepath.Join("..", "interop", "goclient")
		if out, err := build.CombinedOutput(); err != nil {
			f.t.Fatalf("build goclient: %v\n%s", err, out)
		}
	}
	return func() *java.Client {
		cmd := exec.Command(f.goBinary, f.asked(o).Args()...)
		cmd.Env = append(os.Environ(), "HOME="+f.t.TempDir()) // it keeps the last list there
		return java.NewClient(kit.Start(f.t, cmd))
	}
}

const freshName = "a new producer and topic each second (Java 5.5.0)"

// peers are the four clients of one side; list is of NameServers, empty: they ask by the name.
func (r *rolling) peers(side, list string) (all []*roller) {
	r.t.Helper()
	every := func(topic string) java.ClientOptions {
		return java.ClientOptions{Endpoint: list, Topic: topic, Group: topic, Every: 50 * time.Millisecond}
	}
	fresh := java.ClientOptions{Endpoint: list, Topic: "fresh*", Every: time.Second}
	return []*roller{
		{name: "Java 5.5.0", client: r.client(side+"java5", release5, every("known5"))},
		{name: freshName, client: r.client(side+"fresh", release5, fresh)},
		{name: "Java 4.9.4", client: r.client(side+"java4", "4.9.4", every("known4"))},
		{name: "Go 2.1.2", client: r.goClient(side+"go", every("knowngo"))},
	}
}

// tell tells the brokers that ask no address server which nodes there are: by the DNS name, and by mqadmin.
func (r *rolling) tell(nodes ...*epitaph) {
	r.t.Helper()
	var ips, list []string
	for _, n := range nodes {
		ips, list = append(ips, n.host.IP), append(list, n.addr)
	}
	r.names.set(ips...)
	if r.moved == nil {
		return
	}
	java.Jars(r.t, "rocketmq-tools", release5)
	r.admin.within(func() {
		out := java.Admin(r.t, release5, "updateBrokerConfig", "-n", list[0], "-b", fmt.Sprintf("%s:%d", r.moved.host.IP, brokerPort),
			"-k", "namesrvAddr", "-v", strings.Join(list, ";"))
		if !strings.Contains(out, "update broker config success") {
			r.t.Errorf("mqadmin updateBrokerConfig: %s", kit.Tail(out, 2000))
		}
	})
}

// never notes lists of clients that are empty or of one node, from now until the end.
func (r *rolling) never() {
	var wrong []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-r.t.Context().Done():
				return
			case <-ticker.C:
			}
			r.mu.Lock()
			up := slices.Clone(r.up)
			r.mu.Unlock()
			for _, n := range up {
				status, list := kit.GetBy(&n.http, "http://"+n.host.IP+":"+addressPort+"/rocketmq/nsaddr")
				if status == 200 && !strings.Contains(list, ";") && len(wrong) < 10 {
					wrong = append(wrong, fmt.Sprintf("%s at %s: %q", n.name, time.Now().Format(time.TimeOnly), list))
				}
			}
		}
	}()
	r.t.Cleanup(func() {
		<-done
		for _, one := range wrong {
			r.t.Errorf("a list of clients that is empty, or of one node: %s", one)
		}
	})
}

// restart stops a Java NameServer and starts it again at its address, which is all that a fixed list allows.
func (r *rolling) restart(i int) func() {
	return func() {
		r.t.Helper()
		old := r.java[i]
		old.Term()
		if _, err := old.Wait(kit.Patience); err != nil {
			r.t.Fatal(err)
		}
		r.java[i] = startJava(r.t, old.host, old.name)
	}
}

// The cluster goes from three nodes to five and back to three, until every address is another one, under brokers that learn of
// it in each of the ways there are: two ask the address server, one looks a DNS name up, one is told by mqadmin. The clients of
// three kinds know nothing but a name. Nothing fails before a node crashes and comes back, and no message is lost. Beside it,
// the same clients with a fixed list of three Java NameServers, which are restarted in turn, and crash at the same time.
// It takes a quarter of an hour, for clients ask for the list every two minutes, and most brokers, too. EPITAPH_ROLLING names
// the page that is written.
func TestRolling(t *testing.T) {
	page := os.Getenv("EPITAPH_ROLLING")
	if page == "" {
		t.Skip("SKIPPED: a quarter of an hour; make night-rolling")
	}
	need(t, weightLimit)
	load := kit.Load()
	r := &rolling{fleet: newFleet(t, "160s")}
	r.names, r.admin = newNames(t, r.host("dns"), "ns.test"), r.host("admin")
	start := time.Now()
	a, b, c := r.add("A"), r.add("B"), r.add("C")
	r.lists("nsaddr", a, b, c)
	r.tell(a, b, c)
	for i := range 3 {
		h := r.host(fmt.Sprint("J", i+1))
		r.java = append(r.java, startJava(t, h, h.name))
	}
	named := r.host("named")
	named.resolver = r.names.file
	brokers := []*broker{
		r.broker("address5", release5, map[string]string{}),
		r.broker("address4", release4, map[string]string{}),
		launchWith(t, named, release5, "named", map[string]string{"namesrvAddr": r.names.name + ":" + servePort, "fetchNameSrvAddrByDnsLookup": "true"}),
		launch(t, r.host("moved"), release4, "moved", a.server, b.server, c.server),
	}
	r.moved = brokers[3]
	beside := launch(t, r.host("beside"), release5, "beside", r.java...)
	for _, one := range brokers {
		one.MustBoot(t)
		for _, n := range r.up {
			n.watch(t, 2*time.Second).listed(t, 4*time.Minute, one.key)
		}
	}
	beside.MustBoot(t)
	r.ours, r.theirs = r.peers("", ""), r.peers("beside-", addrsOf(r.java))
	both := slices.Concat(r.ours, r.theirs)
	for _, one := range both {
		kit.Await(t, 5*time.Minute, one.name+" sends", func() error {
			select {
			case <-one.client.Done():
				t.Fatalf("%s has ended:\n%s", one.name, kit.Tail(one.client.Output(), 2000))
			default:
			}
			if e := one.client.Events(); len(e.Sent) == 0 {
				return fmt.Errorf("%d failed: %s", len(e.Failed), e.Failure)
			}
			return nil
		})
	}
	r.row(r.ours, "three nodes, A, B and C", ourServers, time.Since(start))
	r.row(r.theirs, "three Java NameServers", javaServers, time.Since(start))
	before := map[*roller]java.Events{} // what failed while everything started
	for _, one := range both {
		before[one] = one.client.Events()
	}
	r.never()
	const fixed = "nothing: the list is fixed"
	var d, e, g *epitaph
	added := func() string {
		r.tell(r.up...)
		r.lists("nsaddr", r.up...)
		return ""
	}
	stops := func(old *epitaph) func() string {
		return func() string {
			gone := r.stop(old)
			if gone > 10*time.Second {
				t.Errorf("%s was in a clients' list for %s after SIGTERM", old.name, gone)
			}
			r.tell(r.up...)
			return fmt.Sprintf(" (in no clients' list %.2f s after SIGTERM)", gone.Seconds())
		}
	}
	total := 0
	step := func(what string, do func() string, like string, doLike func()) {
		failed, _ := r.step(what, do, like, doLike)
		total += failed
	}
	step("D and E are added: in every clients' list", func() string {
		d, e = r.add("D"), r.add("E")
		return added()
	}, fixed, nil)
	step("A drains and stops", stops(a), "the first is restarted", r.restart(0))
	step("B drains and stops", stops(b), "the second is restarted", r.restart(1))
	step("F is added", func() string {
		g = r.add("F")
		return added()
	}, fixed, nil)
	step("C drains and stops: every address is another one", stops(c), "the third is restarted", r.restart(2))
	if total > 0 {
		for _, one := range r.ours {
			failed := one.client.Events().Failed
			maps.DeleteFunc(failed, func(id, why string) bool { return before[one].Failed[id] != "" || byBroker.MatchString(why) })
			t.Errorf("%s: %d messages failed: %v", one.name, len(failed), failed)
		}
	}
	if n := r.tombstones(); n > 0 {
		t.Errorf("%d tombstones were made, and no broker has left", n)
	}
	crashed, like := 0, 0 // in both rows together: in which second a new producer takes which node is chance
	crash := func(what string, do, back func(), rest ...*epitaph) {
		a, b := r.step(what, func() string {
			do()
			pass(t, 30*time.Second)
			// Else it could be back before the others have noticed, and be taken for one that is listed again.
			r.listsAt(rest, "nsaddr", rest...)
			back()
			r.lists("nsaddr", d, e, g)
			return ""
		}, "the same, of one of them at the same time", nil)
		crashed, like = crashed+a, like+b
	}
	crash("D is killed, and comes back after 30 s", func() {
		kit.Must(t, d.Signal(syscall.SIGKILL))
		r.java[0].Kill()
	}, func() {
		r.java[0] = startJava(t, r.java[0].host, r.java[0].name)
		d.run()
	}, e, g)
	crash("the machine of E is off the net for 30 s", func() {
		e.host.link("down")
		r.java[1].host.link("down")
	}, func() {
		r.java[1].host.link("up")
		e.host.link("up")
	}, d, g)
	if crashed > like {
		t.Errorf("%d messages failed while nodes were lost, and %d with Java NameServers", crashed, like)
	}
	for _, one := range r.ours {
		if one.name == freshName { // it does not consume
			continue
		}
		sent := one.client.Events().Sent
		kit.Await(t, kit.Patience, one.name+" has received what it sent", func() error {
			e := one.client.Events()
			e.Sent = sent
			if missing := e.Missing(); missing != "" {
				return errors.New(missing)
			}
			return nil
		})
	}
	for _, one := range both { // for the reader of the log
		failed := one.client.Events().Failed
		maps.DeleteFunc(failed, func(id, _ string) bool { return before[one].Failed[id] != "" })
		t.Logf("%s: %v", one.name, failed)
	}
	head := "| step | NameServers | took |"
	line := "|---|---|---:|"
	for _, one := range r.ours {
		head += " " + one.name + " |"
		line += "---:|"
	}
	text := fmt.Sprintf(rollingHead, runtime.NumCPU(), load, kit.Load()) + head + "\n" + line + "\n" + strings.Join(r.rows, "\n") + "\n"
	kit.Must(t, os.WriteFile(page, []byte(text), 0o644))
}

const rollingHead = `# Replacing every node without a failed message

Written by ` + "`make rolling`" + `: nodes, released brokers and clients in network namespaces of one machine (%d processors, load %s at the start and %s at
the end). Our nodes have four brokers, one for each way to learn of them: 5.5.0 and 4.9.7 ask the address servers, a 5.5.0 looks one DNS name up
(` + "`fetchNameSrvAddrByDnsLookup`" + `), a 4.9.7 is told by ` + "`mqadmin updateBrokerConfig`" + `. All their clients know nothing but the name of the address
servers; nodes stop with ` + "`--drain-on-stop 160s`" + ` behind ` + "`epitaph safe-to-stop`" + `. Beside them, in the same minutes, the same clients with a
fixed list of three Java NameServers and a broker 5.5.0: those can be restarted at their addresses, and no more.

Cells are messages sent / failed. What a broker itself refused or left unanswered, as it does on a machine that is too busy, is counted apart. The
first two rows have the start of brokers and clients in them. All but the second column of clients consume as well, and those of our nodes have
received every message that was sent. When a node is lost, new producers are told of it until its address leaves the lists.

`

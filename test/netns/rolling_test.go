//go:build linux

package netns

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// roller is one client of the long roll and what it has done.
type roller struct {
	name   string
	client *java.Client
	failed int // by the last row
	sent   int
}

// rolling is the long roll with its table.
type rolling struct {
	*fleet
	clients []*roller
	rows    []string
}

// row tells what has happened since the last one.
func (r *rolling) row(what string, began time.Time) {
	r.t.Helper()
	cells := []string{what, fmt.Sprintf("%.0f s", time.Since(began).Seconds())}
	for _, c := range r.clients {
		e := c.client.Events()
		if len(e.Sent) == c.sent { // one that waits for ever fails nothing either
			r.t.Errorf("%s: %s sent nothing", what, c.name)
		}
		cells = append(cells, fmt.Sprintf("%d / %d", len(e.Sent)-c.sent, len(e.Failed)-c.failed))
		c.sent, c.failed = len(e.Sent), len(e.Failed)
	}
	r.rows = append(r.rows, "| "+strings.Join(cells, " | ")+" |")
	r.t.Log(r.rows[len(r.rows)-1])
}

// goClient is a peer on rocketmq-client-go with its HTTP resolver.
func (f *fleet) goClient(host string, o java.ClientOptions) (c *java.Client) {
	f.t.Helper()
	binary := filepath.Join(f.t.TempDir(), "goclient")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join("..", "interop", "goclient")
	if out, err := build.CombinedOutput(); err != nil {
		f.t.Fatalf("build goclient: %v\n%s", err, out)
	}
	o.Endpoint, o.Count = "domain:"+f.name, -1
	cmd := exec.Command(binary, o.Args()...)
	cmd.Env = append(os.Environ(), "HOME="+f.t.TempDir())
	f.host(host).within(func() { c = java.NewClient(kit.Start(f.t, cmd)) })
	return c
}

// The cluster goes from three nodes to five and back to three, until every address is another one, under brokers of two releases
// and clients of three kinds that all know nothing but a name; then a node crashes and comes back. Nothing fails before the crash.
// It takes a quarter of an hour, for clients ask for the list every two minutes, and a 4.9 broker, too. EPITAPH_ROLLING names the
// page that is written.
func TestRolling(t *testing.T) {
	page := os.Getenv("EPITAPH_ROLLING")
	if page == "" {
		t.Skip("SKIPPED: a quarter of an hour; make night-rolling")
	}
	need(t, 2*weightBroker+4*weightSmall)
	r := &rolling{fleet: newFleet(t, "160s")}
	start := time.Now()
	a, b, c := r.add("A"), r.add("B"), r.add("C")
	r.lists("nsaddr", a, b, c)
	five := r.broker("five", release5, map[string]string{})
	four := r.broker("four", release4, map[string]string{})
	for _, one := range []*broker{five, four} {
		one.MustBoot(t)
		for _, n := range r.up {
			n.watch(t, 2*time.Second).listed(t, 4*time.Minute, one.key)
		}
	}
	every := java.ClientOptions{Topic: "known", Group: "known", Every: 50 * time.Millisecond}
	fresh := java.ClientOptions{Topic: "fresh*", Every: time.Second}
	r.clients = []*roller{
		{name: "Java 5.5.0", client: r.client("java5", release5, every)},
		{name: "a new producer and topic each second (Java 5.5.0)", client: r.client("fresh", release5, fresh)},
		{name: "Java 4.9.4", client: r.client("java4", "4.9.4", java.ClientOptions{Topic: "known4", Group: "known4", Every: 50 * time.Millisecond})},
		{name: "Go 2.1.2", client: r.goClient("go", java.ClientOptions{Topic: "knowngo", Group: "knowngo", Every: 50 * time.Millisecond})},
	}
	for _, one := range r.clients {
		kit.Await(t, 5*time.Minute, one.name+" sends", func() error {
			if e := one.client.Events(); len(e.Sent) == 0 {
				return fmt.Errorf("%d failed: %s", len(e.Failed), e.Failure)
			}
			return nil
		})
	}
	r.row("three nodes, A, B and C", start)
	before := map[string]int{} // what failed while everything started
	for _, one := range r.clients {
		before[one.name] = one.failed
	}
	start = time.Now()
	d, e := r.add("D"), r.add("E")
	r.lists("nsaddr", a, b, c, d, e)
	r.row("D and E are added: in every clients' list", start)
	for _, old := range []*epitaph{a, b} {
		start = time.Now()
		r.stop(old)
		r.row(old.name+" drains and stops", start)
	}
	start = time.Now()
	g := r.add("F")
	r.lists("nsaddr", c, d, e, g)
	r.row("F is added", start)
	start = time.Now()
	r.stop(c)
	r.row("C drains and stops: every address is another one", start)
	for _, one := range r.clients {
		if e := one.client.Events(); len(e.Failed) > before[one.name] {
			t.Errorf("%s: %d messages failed, and %d before: %v", one.name, len(e.Failed), before[one.name], e.Failed)
		}
	}
	if n := r.tombstones(); n > 0 {
		t.Errorf("%d tombstones were made, and no broker has left", n)
	}
	start = time.Now()
	kit.Must(t, d.Signal(syscall.SIGKILL))
	pass(t, 30*time.Second)
	d.run()
	r.lists("nsaddr", d, e, g)
	r.row("D is killed, and comes back after 30 s", start)
	head := "| step | took |"
	line := "|---|---:|"
	for _, one := range r.clients {
		head += " " + one.name + " |"
		line += "---:|"
	}
	text := rollingHead + head + "\n" + line + "\n" + strings.Join(r.rows, "\n") + "\n"
	kit.Must(t, os.WriteFile(page, []byte(text), 0o644))
}

const rollingHead = `# Replacing every node without a failed message

Written by ` + "`make rolling`" + `: nodes, released brokers and clients in network namespaces of one machine. Brokers 5.5.0 and 4.9.7 and all clients know
nothing but the name of the address servers; nodes stop with ` + "`--drain-on-stop 160s`" + `
behind ` + "`epitaph safe-to-stop`" + `. Cells are messages sent / failed. The first row has the start of brokers and clients in it; in the last one
new producers are told of a node that is dead, until its address leaves the lists.

`

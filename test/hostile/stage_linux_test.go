package hostile

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// box is what a node may have.
type box struct {
	memory   int    // bytes of its memory cgroup
	goMemory string // GOMEMLIMIT
	files    int    // what ulimit -n says inside; 0: as here
	core     string // the only one that it runs on; "": as here
}

// composed is what docker-compose.yml gives a node.
var composed = box{memory: 64 << 20, goMemory: "40MiB"}

// What is asked of a node while a row is played, and after it.
const (
	goalAnswer   = time.Second // p99 of an honest broker's REGISTER, and each answer of /readyz
	goalPart     = 20          // Java's p99 above goalAnswer, by this
	goalSlower   = 2           // than at rest, otherwise;
	goalNoise    = 100 * time.Millisecond
	goalNormal   = 5 * time.Second // after the end
	goalMemory   = 10 << 20        // bytes of RSS more than before,
	goalReturned = 30 * time.Second
)

// container is a memory cgroup of its own, and the program that starts in it.
type container struct {
	cgroup string
	binary string
}

// newContainer skips where there is no memory cgroup to be made.
func newContainer(t *testing.T, b box) *container {
	t.Helper()
	parent, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control"); err == nil && strings.Contains(string(controllers), "memory") {
		parent, limit = "/sys/fs/cgroup", "memory.max"
	}
	dir, err := os.MkdirTemp(parent, "epitaph-hostile-") //nolint:usetesting // a cgroup stands among cgroups
	if err == nil {
		t.Cleanup(func() { // a cgroup can be removed as soon as its processes are gone
			if err := kit.Within(kit.Patience, func() error { return os.Remove(dir) }); err != nil {
				t.Error(err)
			}
		})
		err = os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(b.memory)), 0o600)
	}
	if err != nil {
		t.Skipf("SKIPPED: a memory cgroup is needed, which takes root and the controller at %s: %v", parent, err)
	}
	c := &container{cgroup: dir, binary: filepath.Join(t.TempDir(), "epitaph")}
	ulimit, taskset := "", ""
	if b.files > 0 {
		ulimit = fmt.Sprintf("ulimit -n %d && ", b.files)
	}
	if b.core != "" {
		taskset = "env GOMAXPROCS=2 taskset -c " + b.core + " " // as Go has it within a CPU limit of one core
	}
	script := fmt.Sprintf("#!/bin/sh\necho $$ >%s/cgroup.procs && %sexec %s%s \"$@\"\n", dir, ulimit, taskset, kit.Binary(t))
	kit.Must(t, os.WriteFile(c.binary, []byte(script), 0o700))
	t.Setenv("GOMEMLIMIT", b.goMemory)
	return c
}

// killed is how many processes the kernel has ended in it for want of memory.
func (c *container) killed(t *testing.T) int {
	t.Helper()
	for _, name := range []string{"memory.oom_control", "memory.events"} {
		text, err := os.ReadFile(filepath.Join(c.cgroup, name))
		if _, after, found := strings.Cut(string(text), "oom_kill "); err == nil && found {
			n, err := strconv.Atoi(strings.Fields(after)[0])
			kit.Must(t, err)
			return n
		}
	}
	return 0 // an old kernel does not tell; that the node lives is looked at, too
}

// stage is a node in a container, in which a row is played.
type stage struct {
	*server
	in   *container
	args []string // of the node

	gossip string     // "": it gossips with nobody
	peer   *kit.Node  // another node of its cluster, in a container of its own, or nil
	key    string     // the file of its key
	t      *testing.T // of the row
	silent int        // connections that row 11 opens
	polled bool       // a fleet polls: what takes the cores of others to look at is left out

	// What the attack has seen, for the outcome.
	rounds atomic.Int64
	busy   atomic.Int64  // of these were answered with code 2
	lost   int64         // times that the victim was missing
	left   time.Duration // until an UNREGISTER counted, at most
	listed int           // brokers, at most
	told   string
}

// row is one row of the table: what a stranger does, and what must come of it.
type row struct {
	number  int
	what    string
	among   string                               // what instead, while a fleet polls; "": the same
	files   int                                  // descriptors of the node; 0: as here
	args    []string                             // more options of the node
	gossips string                               // "", or how: "key", or "insecure"
	java    bool                                 // is played with the Java NameServer, too
	data    func(t *testing.T, java bool) string // a directory for the node, or Java's; nil: an empty one

	prepare func(t *testing.T, addr string)
	attack  func(s *stage) // lasts attackTime
	// outcome looks at what became of it, and says so in the words of the page.
	outcome func(s *stage) string
}

// figures are what was measured in a row.
type figures struct {
	Number  int
	What    string
	Rest    time.Duration // p99 of REGISTER: at rest,
	During  time.Duration // meanwhile,
	After   time.Duration // and 5 s after the end
	Ready   time.Duration // the longest answer of /readyz meanwhile
	Before  int64         // RSS, bytes
	Peak    int64
	Back    int64
	Outcome string
	Java    string
	Missed  []string // goals
	Made    string   // day, and the machine's load then
	Fleet   *polled  `json:",omitempty"` // nil: not played while a fleet polls
}

// newStage starts the row's node in a container, ready and prepared.
func newStage(t *testing.T, r *row, c *container) *stage {
	s := &stage{in: c, t: t, silent: 1100}
	data := t.TempDir()
	if r.data != nil {
		data = r.data(t, false)
	}
	switch r.gossips {
	case "":
		s.server = &server{Node: kit.Serve(t, c.binary, "attacked", data, r.args...)}
	case "key":
		s.key = filepath.Join(t.TempDir(), "key")
		args := append([]string{"--gossip-key-file", s.key, "--gossip-key-create"}, r.args...)
		s.start(t, data, args)
	default:
		s.start(t, data, append([]string{"--gossip-insecure"}, r.args...))
	}
	s.AwaitReady(t)
	if r.prepare != nil {
		r.prepare(t, s.Addr)
	}
	return s
}

// playRow plays it, and fails where a goal is missed.
func playRow(t *testing.T, r *row) (f figures) {
	b := composed
	b.files = r.files
	c := newContainer(t, b)
	s := newStage(t, r, c)
	h := newHonest(t, s.Addr)
	if s.peer != nil {
		h.broker.Register(t, s.peer.Addr)
	}
	f.Rest = h.atRest(t, 3*time.Second)
	f.Before = s.memory(t).rss
	look := s.watch()
	f.During = h.during(t, func() { r.attack(s) })
	f.Ready = look()
	ended := time.Now()
	pause(t, goalNormal)
	f.After = h.atRest(t, 3*time.Second)
	f.Outcome = r.outcome(s)
	if err := kit.Within(goalReturned-time.Since(ended), func() error {
		if f.Back = s.memory(t).rss; f.Back > f.Before+goalMemory {
			return errors.New("it holds more than before")
		}
		return nil
	}); err != nil {
		f.miss("RSS is %.0f MB, %s after the end", mb(f.Back), goalReturned)
	}
	f.Peak = s.memory(t).peak
	if n := c.killed(t); n > 0 {
		f.miss("the kernel ended it (%d)", n)
	}
	f.Number, f.What, f.Made = r.number, r.what, machine()
	theirs := time.Duration(0)
	if r.java {
		theirs, f.Java = s.besideJava(r)
	}
	f.judge(theirs)
	return f
}

func (s *stage) start(t *testing.T, data string, args []string) {
	s.server = &server{}
	s.args = args
	s.Node, s.gossip = kit.Gossiping(t, s.in.binary, "attacked", data, "", args...)
	second := newContainer(t, composed)
	s.peer, _ = kit.Gossiping(t, second.binary, "peer", t.TempDir(), s.gossip, args...)
	kit.AwaitMembers(t, s.Node, s.peer)
}

func (f *figures) miss(format string, args ...any) {
	f.Missed = append(f.Missed, fmt.Sprintf(format, args...))
}

// judge compares with the goals; theirs is Java's p99, or 0.
func (f *figures) judge(theirs time.Duration) {
	switch {
	case f.During > goalAnswer:
		f.miss("REGISTER p99 %s meanwhile, want 1 s at most", brief(f.During))
	case theirs > goalAnswer && f.During > theirs/goalPart:
		f.miss("REGISTER p99 %s meanwhile, want a twentieth of Java's %s at most", brief(f.During), brief(theirs))
	case theirs <= goalAnswer && f.During > goalSlower*f.Rest+goalNoise:
		f.miss("REGISTER p99 %s meanwhile, want twice that at rest at most", brief(f.During))
	}
	if f.After > goalSlower*f.Rest+goalNoise {
		f.miss("REGISTER p99 %s still 5 s after the end", brief(f.After))
	}
	if f.Ready > goalAnswer {
		f.miss("/readyz took %s", brief(f.Ready))
	}
}

// watch asks /readyz as an orchestrator does, and epitaph health --live as docker-compose does, until it is called, which
// returns the longest answer of /readyz.
func (s *stage) watch() func() time.Duration {
	ctx, cancel := context.WithCancel(s.t.Context())
	var group sync.WaitGroup
	var most time.Duration
	client := &http.Client{Timeout: kit.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	group.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			begin := time.Now()
			if status, body := kit.GetBy(client, "http://"+s.HTTP+"/readyz"); status != http.StatusOK {
				s.t.Errorf("/readyz meanwhile: %d %s", status, body)
			}
			most = max(most, time.Since(begin))
		}
	})
	group.Go(func() {
		for tick := time.NewTicker(5 * time.Second); ctx.Err() == nil; {
			live := exec.Command(kit.Binary(s.t), "health", "--live", "--listen", s.Addr)
			if out, err := live.CombinedOutput(); err != nil {
				s.t.Errorf("health --live meanwhile: %v %s", err, out)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() time.Duration {
		cancel()
		group.Wait()
		return most
	}
}

// besideJava plays the row with the Java NameServer.
func (s *stage) besideJava(r *row) (theirs time.Duration, cell string) {
	t := s.t
	if err := java.Available(); err != nil {
		return 0, "not here"
	}
	o := java.NameServerOptions{}
	if r.data != nil {
		o.Dir = r.data(t, true)
	}
	prepare := func(addr string) {
		if r.prepare != nil {
			r.prepare(t, addr)
		}
	}
	var rss int64
	theirs, rss = ofJava(t, o, prepare, func(j *java.NameServer) {
		r.attack(&stage{server: &server{Node: &kit.Node{Process: j.Process, Addr: j.Addr}}, t: t})
	})
	return theirs, fmt.Sprintf("%s, %.0f MB", brief(theirs), mb(rss))
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// brief is a time as the page has it.
func brief(d time.Duration) string {
	if d < 100*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// seconds of an attack, in n parts.
func part(n int) time.Duration { return attackTime() / time.Duration(n) }

// hold opens n connections, says text on each, reads nothing, and closes them after d. What is refused is refused.
func hold(t *testing.T, addr string, n int, text []byte, d time.Duration) {
	t.Helper()
	var group sync.WaitGroup
	end := time.Now().Add(d)
	slots := make(chan struct{}, 32)
	conns := make([]net.Conn, n)
	for i := range n {
		slots <- struct{}{}
		if time.Now().After(end) {
			<-slots
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			c, err := dial(addr)
			if err != nil {
				return
			}
			conns[i] = c
			_ = c.SetWriteDeadline(end)
			_, _ = c.Write(text)
		})
	}
	group.Wait()
	pause(t, time.Until(end))
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// TestRows plays the table of docs/hostile.md in a container of 64 MB, each row with a node of its own, and renews its row there if
// EPITAPH_HOSTILE_PAGE names the page; figures are kept beside it.
func TestRows(t *testing.T) {
	if !long() {
		t.Skip("SKIPPED: a quarter of an hour; make night-hostile has it")
	}
	for i := range rows {
		r := &rows[i]
		t.Run(fmt.Sprintf("%02d", r.number), func(t *testing.T) {
			f := playRow(t, r)
			t.Logf("%+v", f)
			for _, m := range f.Missed {
				t.Error(m)
			}
			if t.Failed() && len(f.Missed) == 0 {
				f.miss("what the attack must not reach, it reached")
			}
			renew(t, f.Number, func(was *figures) {
				f.Fleet = was.Fleet
				*was = f
			})
		})
	}
}

// The page is what is drawn of the figures beside it, and has every row.
func TestPageIsDrawnFromFigures(t *testing.T) {
	page := filepath.Join(kit.Root(t), "docs", "hostile.md")
	all, err := readFigures(page)
	kit.Must(t, err)
	for i := range rows {
		if r := &rows[i]; all[r.number] == nil || all[r.number].What != r.what {
			t.Errorf("row %d was not played as it is now: make hostile", r.number)
		}
	}
	among := 0
	for _, f := range all {
		if f.Fleet != nil {
			among++
		}
	}
	if among != 0 && among != len(rows) {
		t.Errorf("%d of %d rows were played while a fleet polls: make hostile-fleet", among, len(rows))
	}
	if len(all) != len(rows) || len(rows) != 19 {
		t.Errorf("%d rows, and figures of %d", len(rows), len(all))
	}
	kit.Golden(t, page, string(drawPage(all)))
}

// figuresOf is the file of figures beside a page.
func figuresOf(page string) string { return strings.TrimSuffix(page, ".md") + ".json" }

// readFigures are those of a page, none if it is not there.
func readFigures(page string) (all map[int]*figures, err error) {
	text, err := os.ReadFile(figuresOf(page))
	if os.IsNotExist(err) {
		return map[int]*figures{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	return all, err
}

// renew writes the page that EPITAPH_HOSTILE_PAGE names, if it does, with a row's figures changed, and the file of figures beside it.
func renew(t *testing.T, number int, change func(*figures)) {
	page := os.Getenv("EPITAPH_HOSTILE_PAGE")
	if page == "" {
		return
	}
	all, err := readFigures(page)
	kit.Must(t, err)
	if all[number] == nil {
		all[number] = &figures{}
	}
	change(all[number])
	text, err := json.MarshalIndent(all, "", "\t")
	kit.Must(t, err, os.WriteFile(figuresOf(page), append(text, '\n'), 0o644), os.WriteFile(page, drawPage(all), 0o644))
}

//go:embed method.md
var method string

// drawPage is docs/hostile.md.
func drawPage(all map[int]*figures) []byte {
	var b bytes.Buffer
	b.WriteString(method + `
| # | what a stranger does | REGISTER p99 at rest | meanwhile | 5 s after | ` + "`/readyz`" + ` at most | RSS, MB | what becomes of it | Java: REGISTER p99, RSS at most | played |
|---:|---|---:|---:|---:|---:|---|---|---|---|
`)
	var missed []string
	numbers := slices.Sorted(maps.Keys(all))
	for _, number := range numbers {
		f := all[number]
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %.0f, %.0f, %.0f | %s | %s | %s |\n", number, f.What, brief(f.Rest), brief(f.During), brief(f.After),
			brief(f.Ready), mb(f.Before), mb(f.Peak), mb(f.Back), f.Outcome, cmp.Or(f.Java, "-"), f.Made)
		for _, m := range f.Missed {
			missed = append(missed, fmt.Sprintf("- Row %d: %s.\n", number, m))
		}
	}
	writeMissed(&b, missed)
	drawFleet(&b, all, numbers)
	return b.Bytes()
}

func writeMissed(b *bytes.Buffer, missed []string) {
	if missed == nil {
		b.WriteString("\nAll goals were reached.\n")
		return
	}
	b.WriteString("\nGoals that were missed:\n\n" + strings.Join(missed, ""))
}

// machine says when and where a row was played.
func machine() string {
	return fmt.Sprintf("%s, %d cores, load %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), kit.Load())
}

package hostile

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/bench"
	nodememory "github.com/epitaph-mq/epitaph/node/memory"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// fleetMemory is what a node has while a fleet polls: by its defaults 15,000 clients are within three quarters of its connections.
const fleetMemory = 640 << 20

// fleetSpare is how many connections more are let in as any other before they run out.
const fleetSpare = 300

// fleetFiles is what ulimit -n says where it may say so, as in the packaged unit.
const fleetFiles = 1 << 16

// What is asked of route queries while a row is played.
const (
	goalTimes = 5                     // p99 at rest
	goalLate  = 10 * time.Millisecond // of the fleet itself; a row in which it was later is not judged
)

// polled is what a fleet saw of a row.
type polled struct {
	Clients int
	Rest    time.Duration // p99 of route queries: at rest,
	During  time.Duration // and meanwhile,
	Tail    time.Duration // p99.9
	Failed  int           // polls without the right answer
	Slow    int           // answered after 3 s
	Lost    int           // connections
	Cores   float64       // of the node
	Late    time.Duration // p99 of the fleet's own lag: at rest, or meanwhile if that is more
	Missed  []string      // goals
	Unsure  string        // why there is no judgement of times
	Made    string
}

// fitting is how many of the clients that are asked for are let in, with what is spare, before connections run out.
func fitting(asked, connections int) int {
	return min(asked, (connections/4*3-fleetSpare)/100*100)
}

// judge compares with the goals.
func (f *polled) judge() {
	miss := func(format string, args ...any) { f.Missed = append(f.Missed, fmt.Sprintf(format, args...)) }
	switch {
	case f.Late > goalLate:
		f.Unsure = fmt.Sprintf("the fleet itself was %s late", brief(f.Late))
	case f.During > goalTimes*f.Rest:
		miss("route p99 %s meanwhile, %.1f times that at rest", brief(f.During), f.times())
	}
	if f.Lost > 0 {
		miss("%d clients lost their connections", f.Lost)
	}
}

func (f *polled) times() float64 { return float64(f.During) / float64(max(f.Rest, 1)) }

// TestFleet plays the rows of TestRows once more while EPITAPH_HOSTILE_FLEET clients poll, and renews the second table of the page.
func TestFleet(t *testing.T) {
	asked, _ := strconv.Atoi(os.Getenv("EPITAPH_HOSTILE_FLEET"))
	if asked == 0 || !long() {
		t.Skip("SKIPPED: a quarter of an hour of two cores; make night-hostile-fleet has it")
	}
	b := box{memory: fleetMemory, files: min(nodememory.Files(), fleetFiles)}
	limits := nodememory.Plan(nodememory.Found{Cgroup: fleetMemory})
	connections := limits.Connections(b.files)
	clients := fitting(asked, connections)
	program := filepath.Join(t.TempDir(), "epitaph-bench")
	build := exec.Command("go", "build", "-o", program, "./bench/cmd/epitaph-bench")
	build.Dir = kit.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	kit.Binary(t)
	b.core = splitCores(t)
	for i := range rows {
		r := &rows[i]
		t.Run(fmt.Sprintf("%02d", r.number), func(t *testing.T) {
			s := newStage(t, r, newContainer(t, b))
			s.silent, s.polled = connections-clients+1000, true
			f := s.among(r, program, clients)
			t.Logf("%+v", *f)
			for _, m := range f.Missed {
				t.Error(m)
			}
			if f.Unsure != "" {
				t.Log("not judged: " + f.Unsure)
			}
			if t.Failed() && len(f.Missed) == 0 {
				f.Missed = append(f.Missed, "what the attack must not reach, it reached")
			}
			renew(t, r.number, func(was *figures) { was.Fleet = f })
		})
	}
}

// splitCores gives this process and what it starts one core, until t ends, and returns the one that is left for the node.
func splitCores(t *testing.T) string {
	t.Helper()
	var set unix.CPUSet
	kit.Must(t, unix.SchedGetaffinity(0, &set))
	var all []string
	for core := 0; len(all) < set.Count(); core++ {
		if set.IsSet(core) {
			all = append(all, strconv.Itoa(core))
		}
	}
	if len(all) < 2 {
		t.Skip("SKIPPED: needs two cores, one for the node alone")
	}
	pin := func(cores string) {
		if out, err := exec.Command("taskset", "-apc", cores, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Cleanup(func() { pin(strings.Join(all, ",")) })
	pin(all[1])
	return all[0]
}

// among plays the row while clients poll, first at rest and then for as long as the attack lasts.
func (s *stage) among(r *row, program string, clients int) *polled {
	t, n := s.t, strconv.Itoa(clients)
	file := filepath.Join(t.TempDir(), "fleet.json")
	// Its command ends with its input. No broker registers a second time meanwhile: what that costs would be in one of the figures or in none.
	fleet := exec.CommandContext(t.Context(), "chrt", "--rr", "1", program, "fleet", "--target", s.Addr, "--pid", strconv.Itoa(s.PID()),
		"--clients", n, "--sources", n, "--scenes", string(bench.SceneSteady), "--meanwhile", "echo begun; cat", "--rounds", "1",
		"--warmup", "2s", "--window", "10s", "--register-every", "90s", "--max-lag", "1h", "--json", file)
	input, err := fleet.StdinPipe()
	kit.Must(t, err)
	defer input.Close()
	output, err := fleet.StderrPipe()
	kit.Must(t, err, fleet.Start())
	lines, begun := bufio.NewReader(output), false
	for err == nil && !begun {
		var line string
		line, err = lines.ReadString('\n')
		t.Log(strings.TrimSpace(line))
		begun = line == "begun\n"
	}
	if begun {
		r.attack(s)
	}
	input.Close()
	rest, _ := io.ReadAll(lines)
	t.Logf("%s", rest)
	kit.Must(t, fleet.Wait())
	text, err := os.ReadFile(file)
	var report bench.FleetReport
	kit.Must(t, err, json.Unmarshal(text, &report))
	value := func(scene bench.Scene, metric string) float64 {
		return report.Servers[0].Cell(scene, clients).Spread(metric).Median
	}
	ms := func(scene bench.Scene, metric string) time.Duration {
		return time.Duration(value(scene, metric) * float64(time.Millisecond))
	}
	const rested, meanwhile = bench.SceneSteady, bench.SceneMeanwhile
	f := &polled{
		Clients: clients, Rest: ms(rested, "p99_ms"), During: ms(meanwhile, "p99_ms"), Tail: ms(meanwhile, "p999_ms"),
		Failed: int(value(meanwhile, "errors")), Slow: int(value(meanwhile, "slow")), Lost: int(value(meanwhile, "lost")),
		Cores: value(meanwhile, "cores"), Late: max(ms(rested, "lag_p99_ms"), ms(meanwhile, "lag_p99_ms")), Made: machine(),
	}
	if f.Rest == 0 || f.During == 0 {
		t.Fatalf("nothing was measured: %s", text)
	}
	f.judge()
	return f
}

//go:embed fleet_method.md
var fleetMethod string

// drawFleet is the page's second table, if anything of it was played.
func drawFleet(b *bytes.Buffer, all map[int]*figures, numbers []int) {
	var table bytes.Buffer
	var missed, unsure []string
	for _, number := range numbers {
		f := all[number].Fleet
		if f == nil {
			continue
		}
		fmt.Fprintf(&table, "| %d | %s | %d | %s | %s | %.1f | %s | %d, %d | %d | %.2f | %s | %s |\n", number, amongOf(number), f.Clients,
			brief(f.Rest), brief(f.During), f.times(), brief(f.Tail), f.Failed, f.Slow, f.Lost, f.Cores, brief(f.Late), f.Made)
		for _, m := range f.Missed {
			missed = append(missed, fmt.Sprintf("- Row %d: %s.\n", number, m))
		}
		if f.Unsure != "" {
			unsure = append(unsure, fmt.Sprintf("- Row %d: %s.\n", number, f.Unsure))
		}
	}
	if table.Len() == 0 {
		return
	}
	b.WriteString(fleetMethod + `
| # | what a stranger does | clients | route p99 at rest | meanwhile | times | p99.9 meanwhile | polls without an answer, after 3 s | connections lost | node, cores | fleet late, p99 | played |
|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
`)
	table.WriteTo(b)
	if unsure != nil {
		b.WriteString("\nTimes that are not judged:\n\n" + strings.Join(unsure, ""))
	}
	writeMissed(b, missed)
}

// amongOf is what a row does while a fleet polls.
func amongOf(number int) string {
	for i := range rows {
		if r := &rows[i]; r.number == number {
			return cmp.Or(r.among, r.what)
		}
	}
	return ""
}

// What a fleet saw is judged by its times, unless it was late itself, and by the connections that were lost in any case.
func TestPolledIsJudged(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		polled
		missed int
		unsure bool
	}{
		"five times":        {polled{Rest: 2 * ms, During: 10 * ms, Late: 10 * ms}, 0, false},
		"more":              {polled{Rest: 2 * ms, During: 11 * ms}, 1, false},
		"a late fleet":      {polled{Rest: 2 * ms, During: 90 * ms, Late: 11 * ms}, 0, true},
		"lost, and late":    {polled{Rest: 2 * ms, During: 90 * ms, Late: 11 * ms, Lost: 1}, 1, true},
		"lost, and in time": {polled{Rest: 2 * ms, During: 2 * ms, Lost: 1}, 1, false},
	} {
		if c.judge(); len(c.Missed) != c.missed || (c.Unsure != "") != c.unsure {
			t.Errorf("%s: missed %q, not judged %q", name, c.Missed, c.Unsure)
		}
	}
}

// With as many files as the packaged unit has, the container of the page has room for all 15,000 clients.
func TestFleetFits(t *testing.T) {
	limits := nodememory.Plan(nodememory.Found{Cgroup: fleetMemory})
	for files, want := range map[int]int{fleetFiles: 15_000, 20_000: 13_700} {
		if n := fitting(15_000, limits.Connections(files)); n != want {
			t.Errorf("%d files: %d clients, want %d", files, n, want)
		}
	}
}

// The second table is drawn of whatever was played, and tells of what was missed and what was not judged.
func TestFleetIsDrawn(t *testing.T) {
	var b bytes.Buffer
	if drawFleet(&b, map[int]*figures{1: {}}, []int{1}); b.Len() > 0 {
		t.Error(b.String())
	}
	drawFleet(&b, map[int]*figures{1: {}, 11: {Fleet: &polled{Clients: 9, Rest: time.Millisecond, During: 6 * time.Millisecond, Missed: []string{"m"}, Unsure: "u"}}}, []int{1, 11})
	for _, want := range []string{"| 11 | a thousand silent", "| 6.0 |", "- Row 11: m.", "- Row 11: u."} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %s", want, b.String())
		}
	}
}

package bench

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestSameSeedSamePlan(t *testing.T) {
	for _, fault := range Faults() {
		a, b := plan(7, fault, 5, 10, 50), plan(7, fault, 5, 10, 50)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: two plans of one seed differ", fault)
		}
		if reflect.DeepEqual(a, plan(8, fault, 5, 10, 50)) {
			t.Errorf("%s: two seeds make one plan", fault)
		}
		for _, d := range a {
			nodes := append(append([]int{d.origin}, d.heard...), d.deaf...)
			slices.Sort(nodes)
			if !slices.Equal(nodes, []int{0, 1, 2, 3, 4}) || len(d.deaf) == 0 {
				t.Errorf("%s: %+v is not every node once", fault, d)
			}
		}
	}
}

func TestPercentilesAreMeasuredValues(t *testing.T) {
	var times Times
	for i := range 100 {
		times.add(time.Duration(100-i) * time.Millisecond)
	}
	times.sum()
	if times.P50 != 50 || times.P90 != 90 || times.P99 != 99 || times.Max != 100 {
		t.Errorf("%+v", times)
	}
}

// The staircase of a setting in which one of four did not converge ends at three quarters.
func TestCumulativeEndsWhereItShould(t *testing.T) {
	points := cumulative([]float64{3, 1, 2}, 4, plotFrom, plotTo)
	if first, last := points[0], points[len(points)-1]; first.Y != 0 || last.Y != 0.75 || last.X != plotTo {
		t.Errorf("%+v", points)
	}
}

func TestConvergeMistakesAreToldBeforeWork(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*ConvergeConfig)
		want   []string
	}{
		"one node":         {func(c *ConvergeConfig) { c.Nodes = []int{1} }, []string{"nodes: 1 node has nobody", "--nodes 3"}},
		"too many nodes":   {func(c *ConvergeConfig) { c.Nodes = []int{3, 500} }, []string{"nodes: 500 is not within"}},
		"two and a death":  {func(c *ConvergeConfig) { c.Nodes, c.Faults = []int{2}, []Fault{OriginDies} }, []string{"needs 3 nodes"}},
		"loss":             {func(c *ConvergeConfig) { c.Losses = []float64{30} }, []string{"loss: 30", "0.3 loses three"}},
		"fault":            {func(c *ConvergeConfig) { c.Faults = []Fault{"flood"} }, []string{`fault: "flood" is none of miss-one`}},
		"plot":             {func(c *ConvergeConfig) { c.Plot = "nowhere/a.svg" }, []string{"plot: ", "name a file in a directory that exists"}},
		"plot of a kind":   {func(c *ConvergeConfig) { c.Plot = "a.gif" }, []string{"neither .svg nor .png"}},
		"json":             {func(c *ConvergeConfig) { c.JSON = "nowhere/a.json" }, []string{"json: "}},
		"one target":       {func(c *ConvergeConfig) { c.Targets = []string{"127.0.0.1:1"} }, []string{"targets: 1 NameServer"}},
		"target":           {func(c *ConvergeConfig) { c.Targets = []string{"a", "b:1"} }, []string{`targets: "a" is not HOST:PORT`}},
		"target and loss":  {func(c *ConvergeConfig) { c.Targets, c.Losses = []string{"a:1", "b:1"}, []float64{0.3} }, []string{"leave them out"}},
		"same target":      {func(c *ConvergeConfig) { c.Targets = []string{"a:1", "a:1"} }, []string{"named twice"}},
		"target and storm": {func(c *ConvergeConfig) { c.Targets, c.Storm = []string{"a:1", "b:1"}, 5 }, []string{"leave --targets out"}},
		"many at once": {func(c *ConvergeConfig) { c.Brokers, c.Losses, c.Window = 0, nil, time.Hour },
			[]string{"brokers: 0", "loss: none", "window: "}},
		"descriptors": {func(c *ConvergeConfig) { c.Nodes, c.Brokers = []int{200}, 1000 }, []string{"file descriptors", "ulimit -n", "ask for fewer nodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := DefaultConvergeConfig()
			test.change(&c)
			began := time.Now()
			r, err := RunConvergence(t.Context(), c, nil)
			if r != nil || err == nil {
				t.Fatal("ran all the same")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %v", want, err)
				}
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("told after %v", took)
			}
		})
	}
}

// A target that is no NameServer, and one that does not answer, are told with the remedy.
func TestTargetsMustBeNameServers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			conn.Close()
		}
	}()
	c := DefaultConvergeConfig()
	c.Targets = []string{ln.Addr().String(), "127.0.0.1:1"}
	_, err = RunConvergence(t.Context(), c, nil)
	if err == nil {
		t.Fatal("believed")
	}
	for _, want := range []string{ln.Addr().String(), "NameServer", "127.0.0.1:1 does not answer", "start a NameServer there or name another target"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// Short forms of what docs/convergence.md holds. Every departure converges, with 30 % loss as well; without gossip none
// does. Times are printed and never asserted.
func TestConvergence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := DefaultConvergeConfig()
	c.Losses, c.Faults = []float64{0, 0.3}, []Fault{MissAllButOne, MissOne}
	c.Trials, c.Window, c.Timeout = 10, 2*time.Second, 60*time.Second
	c.Plot, c.JSON = filepath.Join(dir, "a.svg"), filepath.Join(dir, "a.json")
	r := converge(t, c)
	if len(r.Settings) != 4 || len(r.Without) != 1 || r.Without[0].Trials != 10 {
		t.Fatalf("%d settings, %d without gossip", len(r.Settings), len(r.Without))
	}
	if svg, err := os.ReadFile(c.Plot); err != nil || !strings.Contains(string(svg), "120 s") {
		t.Errorf("the plot has no 120 s of the original: %v", err)
	}
	var text strings.Builder
	kit.Must(t, r.WriteText(&text))
	for line := range strings.Lines(text.String()) {
		if !strings.Contains(line, " UTC, ") && len([]rune(line)) > 81 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	document := filepath.Join(dir, "a.md")
	kit.Must(t, r.WriteDocument(document, c.Plot))
	md, err := os.ReadFile(document)
	kit.Must(t, err)
	for _, want := range []string{"gone at every node, 3 nodes, 30 % loss, p99 | <= 60 ms |", "| not measured |", "(a.svg)"} {
		if !strings.Contains(string(md), want) {
			t.Errorf("%q is not in the document:\n%s", want, md)
		}
	}
}

// Whoever heard it and dies, many at once, and a cut: each converges.
func TestConvergenceUnderFurtherFaults(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED: -short; it takes some seconds; make test has it")
	}
	c := DefaultConvergeConfig()
	c.Faults = []Fault{OriginDies, Mass}
	c.Trials, c.Mass, c.Window, c.Timeout = 5, 60, 2*time.Second, 60*time.Second
	c.Delay = 2 * time.Millisecond
	converge(t, c)
	c = DefaultConvergeConfig()
	c.Trials, c.Brokers, c.Window, c.Timeout, c.Partition = 1, 2, 2*time.Second, 60*time.Second, 2*time.Second
	if r := converge(t, c); r.Settings[0].Wire.P50 < ms(c.Partition) {
		t.Errorf("gone after %v ms in spite of the partition of %v", r.Settings[0].Wire.P50, c.Partition)
	}
}

func converge(t *testing.T, c ConvergeConfig) *ConvergeReport {
	t.Helper()
	r, err := RunConvergence(t.Context(), c, nil)
	kit.Must(t, err)
	for _, s := range r.Settings {
		if s.Trials == 0 || s.Converged != s.Trials {
			t.Errorf("%s: %d of %d departures were gone everywhere", s.Name(), s.Converged, s.Trials)
		}
		t.Logf("%s: p50 %v ms, p99 %v ms, max %v ms; %.0f bytes for each tombstone and member", s.Name(), s.Wire.P50, s.Wire.P99, s.Wire.Max, s.BytesEach)
	}
	for _, s := range r.Without {
		if s.Trials == 0 || s.Converged != 0 {
			t.Errorf("without gossip: %d of %d departures were gone everywhere", s.Converged, s.Trials)
		}
	}
	return r
}

func TestStormIsBounded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED: -short; it takes some seconds; make test has it")
	}
	c := DefaultConvergeConfig()
	c.Trials, c.Window, c.Storm, c.StormTime, c.Idle = 1, time.Second, 2000, 2*time.Second, time.Second
	r := converge(t, c)
	if len(r.Storms) != 2 || len(r.Idle) != 1 {
		t.Fatalf("%d storms, %d idle", len(r.Storms), len(r.Idle))
	}
	for _, s := range r.Storms {
		if s.Handled == 0 || s.Made == 0 || s.MembersGone > 0 || uint64(s.LiveMax) > s.Made {
			t.Errorf("%+v", s)
		}
		t.Log(strings.Join(s.lines(), "; "))
	}
	if one := r.Storms[0]; one.Beside == nil || one.Beside.Converged == 0 || one.Made > 1_000+100*20 {
		t.Errorf("from one source: %+v, beside %+v", one, one.Beside)
	}
}

// An interruption ends the run soon and reports what was measured until then.
func TestConvergenceInterrupted(t *testing.T) {
	t.Parallel()
	c := DefaultConvergeConfig()
	c.Trials = 10_000
	ctx, stop := context.WithCancel(t.Context())
	progress := &stopper{stop: stop}
	r, err := RunConvergence(ctx, c, progress)
	if err != nil || !r.Interrupted || len(r.Settings) != 1 || r.Settings[0].Trials >= c.Trials {
		t.Errorf("%+v %v", r, err)
	}
}

// stopper interrupts a moment after the first step of the measurement.
type stopper struct{ stop func() }

func (s *stopper) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "departures") {
		time.AfterFunc(time.Second, s.stop)
	}
	return len(b), nil
}

// The story comes to its end, and says how long C took.
func TestStory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED: -short; it takes some seconds; make test has it")
	}
	var out strings.Builder
	if err := Story(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"LISTS IT 6.", "With tombstones C dropped it", "broker-1 starts again", "Next:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len([]rune(strings.TrimRight(line, " \n"))) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}

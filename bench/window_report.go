package bench

import (
	_ "embed"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed window_method.md
var windowMethod string

// WriteDocument makes the page, with its picture in img beside it.
func (r *WindowReport) WriteDocument(path string) error {
	return writeDocument(path, windowMethod, r.WriteMarkdown, r.WritePlots)
}

// present are the servers that were measured.
func (r *WindowReport) present() (all []WindowServer) {
	for _, s := range r.Servers {
		if s.Missing == "" {
			all = append(all, s)
		}
	}
	return all
}

// WriteMarkdown writes the goals beside what was reached, then all figures.
func (r *WindowReport) WriteMarkdown(w io.Writer) error {
	fmt.Fprintf(w, "%s UTC, %s. %d rounds, everything started afresh in each.", r.When.Format(time.DateTime), r.Machine, r.Rounds)
	if len(r.Load) > 0 {
		fmt.Fprintf(w, " Load average when the windows began and ended: %.1f to %.1f.", slices.Min(r.Load), slices.Max(r.Load))
	}
	fmt.Fprint(w, "\n\n")
	for _, s := range WindowScenes() {
		if !slices.Contains(r.Scenes, s) {
			fmt.Fprintf(w, "**Not measured in this run**: the scene in which a broker %s (`--scenes %s`).\n\n", s.play().title, s)
		}
	}
	for _, s := range r.Servers {
		if s.Missing != "" {
			fmt.Fprintf(w, "**Missing**: NameServer %s: %s\n\n", s.Title, s.Missing)
		}
	}
	for _, text := range r.Missing {
		fmt.Fprintf(w, "**Missing**: %s\n\n", text)
	}
	for _, text := range r.Failures {
		fmt.Fprintf(w, "**Failed**: %s\n\n", text)
	}
	if err := r.goals().WriteMarkdown(w); err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		table *Table
	}{{"All figures", r.table()}, {"What an operator can", r.remedies()}} {
		fmt.Fprintf(w, "\n### %s\n\n", part.title)
		if err := part.table.WriteMarkdown(w); err != nil {
			return err
		}
	}
	return nil
}

// windowSum is what all clients of some cells did.
type windowSum struct {
	clients, sends, failed, retried int
	last                            float64   // the last failed send
	spans                           Times     // from the first to the last failed send of a client, of those that failed
	gone                            []float64 // when routes ceased to name the broker
	still                           int       // clients whose route names it to the end
	received                        int
	gap                             float64
	took                            histogram
}

// sum adds up the cells of a scene and a server that are wanted.
func (r *WindowReport) sum(scene WindowScene, server string, wanted func(program string, k windowKind) bool) windowSum {
	s := windowSum{took: newHistogram()}
	for _, p := range windowPrograms {
		for _, k := range p.kinds {
			if !wanted(p.key, k) {
				continue
			}
			cell := r.Cell(scene, server, p.key, k.key)
			s.took.merge(cell.took)
			for _, c := range cell.Clients {
				s.clients++
				s.sends, s.failed, s.retried, s.received = s.sends+c.Sends, s.failed+c.Failed, s.retried+c.Retried, s.received+c.Received
				s.last, s.gap = max(s.last, c.LastFail), max(s.gap, c.Gap)
				if c.Failed > 0 {
					s.spans.All = append(s.spans.All, c.between()*1e3)
				}
				if c.Gone < 0 {
					s.still++
				} else {
					s.gone = append(s.gone, c.Gone)
				}
			}
		}
	}
	s.spans.sum()
	return s
}

// failing says from when to when sends of a client failed.
func (s windowSum) failing() string {
	return fmt.Sprintf("%s (%d of %d clients failed)", number(s.spans.P99/1e3), len(s.spans.All), s.clients)
}

// route says when the routes ceased to name the broker.
func (s windowSum) route() string {
	var parts []string
	if len(s.gone) > 0 {
		parts = append(parts, summarise(s.gone).String())
	}
	if s.still > 0 {
		parts = append(parts, fmt.Sprintf("%d still do", s.still))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// goals are the promises beside what was reached. One that is measured by the Java NameServers' figures is open without them.
func (r *WindowReport) goals() *Table {
	t := &Table{Header: []string{"what", "goal", "epitaph", "Java 5.5.0", ""}}
	add := func(scene WindowScene, what, goal string, wanted func(string, windowKind) bool, figure func(windowSum) string, met func(ours, java windowSum) string) {
		ours, java := r.sum(scene, Ours, wanted), r.sum(scene, JavaSmall, wanted)
		if ours.clients == 0 {
			return
		}
		beside := "-"
		if java.clients > 0 {
			beside = figure(java)
		}
		t.Add(what, goal, figure(ours), beside, met(ours, java))
	}
	verdict := func(met bool) string {
		if met {
			return "met"
		}
		return "**missed**"
	}
	none := func(ours, _ windowSum) string { return verdict(ours.failed == 0) }
	noWorse := func(ours, java windowSum) string {
		if java.clients == 0 {
			return "not compared"
		}
		return verdict(float64(ours.failed)/float64(ours.sends) <= float64(java.failed)/float64(java.sends))
	}
	failed := func(s windowSum) string { return s.share(s.failed) }
	retrying := func(program string) func(string, windowKind) bool {
		return func(p string, k windowKind) bool { return strings.HasPrefix(p, program) && k.retries() }
	}
	byKey := func(_ string, k windowKind) bool { return k.key == windowOrdered }
	const like = "no more than with Java's"
	add(WindowUnheard, "a broker leaves unheard by one: failed sends of Java clients that retry", "0", retrying("java"), failed, none)
	add(WindowUnheard, "the same, Go clients that retry", "0", retrying("go"), failed, none)
	add(WindowUnheard, "the same, clients that send by key", like, byKey, failed, noWorse)
	add(WindowKilled, "a broker is killed: failed sends of Java clients that retry", like, retrying("java"), failed, noWorse)
	add(WindowKilled, "the same, Go clients that retry", like, retrying("go"), failed, noWorse)
	add(WindowKilled, "the same, clients that send by key", like, byKey, failed, noWorse)
	polls := func(_ string, k windowKind) bool { return k.polls() && k.key != windowConsumer }
	pollsOf := func(program string) func(string, windowKind) bool {
		return func(p string, k windowKind) bool { return strings.HasPrefix(p, program) && polls(p, k) }
	}
	within := func(ours, _ windowSum) string {
		return verdict(ours.still == 0 && len(ours.gone) > 0 && slices.Max(ours.gone) <= onePoll)
	}
	for _, s := range []WindowScene{WindowUnheard, WindowKilled} {
		add(s, "a broker "+s.play().title+": producers' routes name it no more after, s", fmt.Sprintf("all within one poll and a query, %d", onePoll), polls, windowSum.route, within)
	}
	soon := func(ours, _ windowSum) string { return verdict(ours.spans.P99 <= vanishedFor*1e3) }
	atMost := fmt.Sprintf("at most %d", vanishedFor)
	add(WindowVanishes, "a broker's machine vanishes: first to last failed send of a Java client that polls as shipped, p99, s", atMost, pollsOf("java"), windowSum.failing, soon)
	add(WindowVanishes, "the same, Go clients", atMost, pollsOf("go"), windowSum.failing, soon)
	return t
}

const (
	onePoll     = 33 // a client's 30 s, and the 3 s that it waits for an answer
	vanishedFor = 45 // the 9 s of the rule, and a poll beside sends that wait for their 3 s
)

// table is every kind of client in every scene, the servers beside each other.
func (r *WindowReport) table() *Table {
	servers := r.present()
	t := &Table{Header: []string{"a broker ...", "clients"}}
	for _, column := range []string{"sends", "failed", "retried", "p99, ms", "first to last failed, s", "route names it no more, s"} {
		for _, s := range servers {
			t.Header = append(t.Header, column+": "+s.Title)
		}
	}
	for _, scene := range r.Scenes {
		for _, p := range windowPrograms {
			for _, k := range p.kinds {
				cells := make([][]string, len(servers))
				measured := false
				for i, s := range servers {
					cells[i] = r.cells(scene, s.Key, p, k)
					measured = measured || cells[i][0] != "-"
				}
				if !measured {
					continue
				}
				line := []string{scene.play().title, p.title + ", " + k.title}
				for column := range cells[0] {
					for i := range servers {
						line = append(line, cells[i][column])
					}
				}
				t.Add(line...)
			}
		}
	}
	return t
}

// remedies sets what an operator can against what is shipped: Java clients of both releases together.
func (r *WindowReport) remedies() *Table {
	t := &Table{Header: []string{"a broker ...", "NameServers", "Java clients", "failed", "last one, s", "retried", "p99, ms", "route names it no more, s"}}
	for _, scene := range r.Scenes {
		for _, server := range r.present() {
			for _, k := range javaKinds {
				if k.key == windowConsumer {
					continue
				}
				s := r.sum(scene, server.Key, func(program string, kind windowKind) bool { return strings.HasPrefix(program, "java") && kind == k })
				if s.clients == 0 {
					continue
				}
				t.Add(scene.play().title, server.Title, k.title, s.share(s.failed), s.lastFailed(), s.share(s.retried), number(s.took.summary().P99/1e3), s.route())
			}
		}
	}
	return t
}

// lastFailed is when the last send failed.
func (s windowSum) lastFailed() string {
	if s.failed == 0 {
		return "-"
	}
	return number(s.last)
}

// share is n of the sends.
func (s windowSum) share(n int) string {
	return fmt.Sprintf("%d of %d", n, s.sends)
}

// cells are the columns of one server: sends, failed, retried, p99, first to last failed, route. Of a consumer, which sends nothing,
// the first are what it received and the longest time without a message.
func (r *WindowReport) cells(scene WindowScene, server string, p windowProgram, k windowKind) []string {
	s := r.sum(scene, server, func(program string, kind windowKind) bool { return program == p.key && kind == k })
	switch {
	case s.clients == 0:
		return []string{"-", "-", "-", "-", "-", "-"}
	case k.key == windowConsumer:
		return []string{fmt.Sprintf("%d received", s.received), "", "", "", fmt.Sprintf("%s without a message", number(s.gap)), s.route()}
	}
	between := "-"
	if s.failed > 0 {
		between = number(s.spans.Max / 1e3)
	}
	return []string{strconv.Itoa(s.sends), strconv.Itoa(s.failed), strconv.Itoa(s.retried), number(s.took.summary().P99 / 1e3), between, s.route()}
}

// WritePlots draws how many clients have a route without the broker, by time.
func (r *WindowReport) WritePlots(dir string) ([]string, error) {
	var lines []Line
	for _, scene := range r.Scenes {
		what := scene.play()
		for _, s := range r.present() {
			sum := r.sum(scene, s.Key, func(_ string, k windowKind) bool { return k.polls() })
			lines = append(lines, Line{Name: s.Title + ": " + what.title, Points: sum.steps(what.watch.Seconds())})
		}
	}
	const name = "clients-window.svg"
	err := PlotLines(filepath.Join(dir, name), "Clients whose route names the broker no more",
		Axes{X: "seconds since it was stopped, killed or cut off", Y: "% of the clients that poll every 30 s"}, lines)
	if err != nil {
		return nil, err
	}
	return []string{name}, nil
}

// steps is the share of clients, in percent, whose route names the broker no more, until the end.
func (s windowSum) steps(end float64) []XY {
	if s.clients == 0 {
		return nil
	}
	points := []XY{{0, 0}}
	for _, at := range slices.Sorted(slices.Values(s.gone)) {
		last := points[len(points)-1].Y
		points = append(points, XY{at, last}, XY{at, last + 100/float64(s.clients)})
	}
	return append(points, XY{end, points[len(points)-1].Y})
}

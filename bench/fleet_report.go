package bench

import (
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// fleetTable is the table of one scene: a row for each server and size.
type fleetTable struct {
	scene Scene
	text  string
	rows  []row // columns, here
}

var latencyColumns = []row{{fP50, "p50, ms"}, {fP90, "p90"}, {fP99, "p99"}, {fP999, "p99.9"}}

// columns puts latencies before the others, and what went wrong behind them.
func columns(with ...row) []row {
	all := append(append([]row{}, latencyColumns...), with...)
	return append(all, row{fErrors, "failed"}, row{fSlow, "after 3 s"}, late)
}

// returns are the columns of scenes whose times are those of clients.
func returns(with ...row) []row {
	all := []row{{fServed50, "p50, s"}, {fServed99, "p99"}, {fServed3, "p99.9"}}
	return append(append(all, with...), row{fRefused, "refused"}, row{fErrors, "not served"}, peak, late)
}

var (
	perSecond = row{fPerS, "answers/s"}
	loadCPU   = []row{{fCPU, "CPU us each"}, {fCores, "cores"}}
	memories  = []row{{fRSS, "RSS, MB"}, {fAnon, "RssAnon"}}
	peak      = row{fPeak, "peak RSS, MB"}
	late      = row{fLag, "generator late, p99 ms"}
)

// fleetTables are the tables in the order of the page.
func fleetTables() []fleetTable {
	load := append(append([]row{perSecond}, loadCPU...), memories...)
	return []fleetTable{
		{SceneSteady, "each client polls at a time of its own", columns(append(load, row{fFiles, "descriptors"})...)},
		{SceneMeanwhile, "steady, while a command runs", columns(append(load, peak, row{fLost, "connections lost"})...)},
		{SceneHerd, "all clients poll at once; `last` is from the first query to the last answer", columns(row{fLast, "last, s"}, loadCPU[0], peak)},
		{SceneReconnect, "all connections are closed and opened again; times are those of clients, until they have all their answers",
			returns(row{fLast, "all clients served, s"})},
		{SceneRestart, "the server is killed and started; times are those of clients, from their first try",
			returns(row{fRoutes, "all brokers there, s"}, row{fLast, "all clients served, s"}, row{fGap, "last REGISTER to last client, s"})},
		{SceneSilent, "steady, with a second, silent connection of each client", columns(append(load, row{fSilentKB, "kB for each silent one"}, row{fDropped, "closed by the server"})...)},
		{SceneStorm, "steady, while the brokers register", columns(append(load, peak, row{fRoutes, "all brokers there, s"}, row{fRegister, "REGISTER p99, ms"})...)},
		{sceneAfter, "steady, with all of them there; each registers every 30 s", columns(load...)},
	}
}

// WriteMarkdown writes the goals beside what was reached, then all figures by scene.
func (r *FleetReport) WriteMarkdown(w io.Writer) error {
	fmt.Fprintf(w, "%s UTC, %s; %s. %d rounds, every server started afresh in each; median [min-max].\n\n",
		r.When.Format(time.DateTime), r.Machine, r.Cores, r.Rounds)
	fmt.Fprintf(w, "Each client polls %d topics every %v, drawn by Zipf's law (exponent 1) from all of them; %d brokers with %d topics, in the storm %d brokers that register within %v, %d topics, %d brokers each. Windows of %v.\n\n",
		r.Each, r.Period, r.Profile.Brokers, r.Profile.Topics, r.Storm.Brokers, r.Over, r.Storm.Topics, r.Storm.Width, r.Window)
	if r.Herd > 0 {
		fmt.Fprintf(w, "A herd polls, and a fleet comes back, within %v.\n\n", r.Herd)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "**Less than asked for**: %s\n\n", n)
	}
	for i := range r.Servers {
		s := &r.Servers[i]
		if s.Missing != "" {
			fmt.Fprintf(w, "**%s is missing in this run**: %s\n\n", s.Title, s.Missing)
		}
		for _, limit := range s.Limits {
			fmt.Fprintf(w, "**%s has a limit of its own**: it %s\n\n", s.Title, limit)
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "**Failed**: %s\n\n", f)
	}
	r.writeThrown(w)
	fmt.Fprint(w, "### Goals\n\n")
	if err := r.goals().WriteMarkdown(w); err != nil {
		return err
	}
	for _, t := range fleetTables() {
		if err := r.writeScene(w, t); err != nil {
			return err
		}
	}
	return nil
}

// writeThrown names what was thrown away because the generator was late.
func (r *FleetReport) writeThrown(w io.Writer) {
	for i := range r.Servers {
		for _, c := range r.Servers[i].Cells {
			if c.Thrown > 0 {
				fmt.Fprintf(w, "**Thrown away**: %d of %d rounds of %s with %d clients and %s, because the generator itself was more than %v late at the 99th percentile\n\n",
					c.Thrown, c.Thrown+len(c.Values[fLag]), c.Scene, c.Clients, r.Servers[i].Title, r.MaxLag)
			}
		}
	}
}

func (r *FleetReport) writeScene(w io.Writer, t fleetTable) error {
	table := Table{Header: []string{"server", "clients"}}
	for _, c := range t.rows {
		table.Header = append(table.Header, c.text)
	}
	for i := range r.Servers {
		for _, cell := range r.Servers[i].Cells {
			if cell.Scene != t.scene || len(cell.Values) == 0 {
				continue
			}
			line := []string{r.Servers[i].Title, fmt.Sprint(cell.Clients)}
			for _, c := range t.rows {
				line = append(line, cell.Spread(c.metric).String())
			}
			table.Add(line...)
		}
	}
	if len(table.Rows) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n### %s: %s\n\n", t.scene, t.text)
	return table.WriteMarkdown(w)
}

// sizes are the clients that were measured, ascending: those of a scene at a server.
func (s *FleetServer) sizes(scene Scene) (all []int) {
	for _, c := range s.Cells {
		if c.Scene == scene && len(c.Values) > 0 {
			all = append(all, c.Clients)
		}
	}
	return all
}

// goals is the table of what was asked for and what was measured. A goal whose figures are missing is said to be so.
func (r *FleetReport) goals() *Table {
	t := &Table{Header: []string{"goal", "asked for", "measured", "reached"}}
	ours := r.Server(Ours)
	few, many := 0, 0
	if n := len(r.Clients); n > 0 {
		few, many = r.Clients[0], r.Clients[n-1]
	}
	value := func(key string, scene Scene, clients int, metric string) float64 {
		return r.Server(key).Cell(scene, clients).Spread(metric).Median
	}
	add := func(text string, limit, measured float64, unit string, known bool) {
		switch {
		case !known:
			t.Add(text, "<= "+number(limit)+unit, "-", "not measured")
		case measured <= limit:
			t.Add(text, "<= "+number(limit)+unit, number(measured)+unit, "yes")
		default:
			t.Add(text, "<= "+number(limit)+unit, number(measured)+unit, "**no**")
		}
	}
	ratio := func(text string, scene Scene, clients int, metric, peer string, limit float64) {
		own, base := value(Ours, scene, clients, metric), value(peer, scene, clients, metric)
		measured := 0.0
		if base > 0 {
			measured = own / base
		}
		add(fmt.Sprintf("%s, %d clients: %s", scene, clients, text), limit, measured, " x", own > 0 && base > 0)
	}
	ratio("CPU of each answer, of Java's", SceneSteady, few, fCPU, JavaBig, 1.0/8)
	ratio("CPU of each answer, of Rust's", SceneSteady, few, fCPU, Rust, 1.0/4)
	ratio("CPU of each answer, of the ceiling's", SceneSteady, few, fCPU, Ceiling, 1.6)
	ratio("CPU of each answer, of Java's", SceneSteady, many, fCPU, JavaBig, 1.0/8)
	cell := ours.Cell(SceneSteady, many)
	base, rss := cell.Spread(fBase).Median, cell.Spread(fRSS)
	add(fmt.Sprintf("steady, %d clients: RSS, base + 2.0 kB each + 20 MB", many), base+float64(many)*2.0/1024+20, rss.Median, " MB", rss.N > 0 && base > 0)
	ratio("p99, of Java's", SceneHerd, many, fP99, JavaBig, 1.0/4)
	ratio("last REGISTER to last client's answer, of Java's", SceneRestart, many, fGap, JavaBig, 1.0/5)
	storm := ours.Cell(SceneStorm, many)
	quiet, during, peak := cell.Spread(fP99).Median, storm.Spread(fP99).Median, storm.Spread(fPeak)
	measured := 0.0
	if quiet > 0 {
		measured = during / quiet
	}
	add(fmt.Sprintf("storm, %d clients: p99, of steady's", many), 2, measured, " x", quiet > 0 && during > 0)
	add(fmt.Sprintf("storm, %d clients: RSS", many), 400, peak.Median, " MB", peak.N > 0)
	return t
}

// WritePlots draws cost over size, latencies and comebacks into dir and returns the names of the files. What was not
// measured is not drawn.
func (r *FleetReport) WritePlots(dir string) ([]string, error) {
	var names []string
	lines := func(file, title string, axes Axes, points func(*FleetServer) []XY) error {
		all, any := make([]Line, len(r.Servers)), false
		for i := range r.Servers {
			all[i] = Line{Name: r.Servers[i].Title, Points: points(&r.Servers[i])}
			any = any || len(all[i].Points) > 0
		}
		if !any {
			return nil
		}
		names = append(names, file)
		return PlotLines(filepath.Join(dir, file), title, axes, all)
	}
	over := func(metric string) func(*FleetServer) []XY {
		return func(s *FleetServer) (points []XY) {
			for _, n := range s.sizes(SceneSteady) {
				if v := s.Cell(SceneSteady, n).Spread(metric); v.N > 0 && v.Median > 0 {
					points = append(points, XY{float64(n), v.Median})
				}
			}
			return points
		}
	}
	cost := Axes{X: "clients", LogX: true, LogY: true}
	cost.Y = "cores"
	err := lines("fleet-cpu.svg", fmt.Sprintf("CPU of the server, each client polls %d topics every %v", r.Each, r.Period), cost, over(fCores))
	cost.Y = "RSS in MB"
	err = firstError(err, lines("fleet-memory.svg", "Memory of the server", cost, over(fRSS)))
	for _, scene := range []Scene{SceneSteady, SceneHerd, SceneStorm} {
		series, n := r.curves(scene)
		if n == 0 {
			continue
		}
		file := "fleet-" + string(scene) + ".svg"
		names = append(names, file)
		err = firstError(err, PlotPercentiles(filepath.Join(dir, file), fmt.Sprintf("%s, %d clients", scene, n), series))
	}
	for _, scene := range []Scene{SceneReconnect, SceneRestart} {
		n := r.most(scene)
		title := fmt.Sprintf("%s: clients that have all their answers, of %d", scene, n)
		err = firstError(err, lines("fleet-"+string(scene)+".svg", title, Axes{X: "seconds", Y: "percent"}, func(s *FleetServer) (points []XY) {
			for _, p := range s.Cell(scene, n).Served {
				points = append(points, XY{p.Seconds, p.Percent})
			}
			return points
		}))
	}
	return names, err
}

// most is the largest size of a scene that any server was measured with.
func (r *FleetReport) most(scene Scene) (n int) {
	for i := range r.Servers {
		for _, size := range r.Servers[i].sizes(scene) {
			n = max(n, size)
		}
	}
	return n
}

// curves are the latencies of a scene with the most clients, by server, and that number; 0: there are none.
func (r *FleetReport) curves(scene Scene) (series []Series, n int) {
	n = r.most(scene)
	any := false
	for i := range r.Servers {
		c := r.Servers[i].Cell(scene, n).Curve
		any = any || len(c) > 0
		series = append(series, Series{Name: r.Servers[i].Title, Points: c})
	}
	if !any {
		return nil, 0
	}
	return series, n
}

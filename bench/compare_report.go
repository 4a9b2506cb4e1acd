package bench

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// row is one line of the table of all figures: a metric of every server.
type row struct {
	metric, text string
}

// rows are the metrics in the order of the table.
var rows = []row{
	{mStart, "start to first answer, ms"},
	{mIdle, "RSS idle, MB"},
	{mAfter, "RSS after the load, MB"},
	{mIdleHeld, "idle connections held, of 2,000"},
	{mIdleConns, "RSS added by 2,000 idle connections, MB"},
	{cellDepth1 + "_per_s", "route, depth 1, per s"},
	{cellDepth16 + "_per_s", "route, depth 16, per s"},
	{cellDepth1 + "_cpu_us", "server CPU per query, depth 1, us"},
	{cellDepth16 + "_cpu_us", "server CPU per query, depth 16, us"},
	{cellDepth1 + "_p99_ms", "p99, depth 1, ms"},
	{cellDepth16 + "_p99_ms", "p99, depth 16, ms"},
	{cellHalf + "_p99_ms", "p99 at half the own maximum, open loop, ms"},
	{cellAt + JavaBig + "_p99_ms", "p99 at half of Java's maximum, open loop, ms"},
	{cellAt + Rust + "_p99_ms", "p99 at half of Rust's maximum, open loop, ms"},
	{mRegNew, "registration of 10,000 topics, new content, CPU ms"},
	{mRegNewMS, "the same, wall ms"},
	{mRegSame, "registration of 10,000 topics, same content, CPU ms"},
	{mRegSameMS, "the same, wall ms"},
	{cellQuiet + "_p99_ms", "route p99, 32 connections, quiet, ms"},
	{cellStorm + "_p99_ms", "route p99 while two connections register 10,000 topics, ms"},
	{cellStorm + "_per_s", "route per s meanwhile"},
	{mStormRegs, "registrations per s meanwhile"},
	{mLargeReg, "100,000 topics of width 10: registered in s"},
	{mLargeRSS, "100,000 topics of width 10: RSS after every route was read once, MB"},
	{cellLarge + "_per_s", "100,000 topics of width 10: route per s"},
	{mCompared, "answers compared"},
	{mWrong, "wrong answers"},
}

// WriteMarkdown writes the goals beside what was reached, then all figures.
func (r *CompareReport) WriteMarkdown(w io.Writer) error {
	fmt.Fprintf(w, "%s UTC, %s. %d rounds, every server started afresh in each, %v a cell; median [min-max].\n\n",
		r.When.Format(time.DateTime), r.Machine, r.Rounds, r.CellTime)
	for i := range r.Servers {
		if s := &r.Servers[i]; s.Missing != "" {
			fmt.Fprintf(w, "**%s is missing in this run**: %s\n\n", s.Title, s.Missing)
		}
	}
	for i := range r.Servers {
		if s := &r.Servers[i]; s.Limit != "" {
			fmt.Fprintf(w, "**%s has a limit of its own**: it %s\n\n", s.Title, s.Limit)
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "**Failed**: %s\n\n", f)
	}
	fmt.Fprint(w, "### Goals\n\n")
	if err := r.goals().WriteMarkdown(w); err != nil {
		return err
	}
	if err := r.writeProfiles(w); err != nil {
		return err
	}
	fmt.Fprint(w, "\n### TLS 1.3\n\n")
	if err := r.figures(true).WriteMarkdown(w); err != nil {
		return err
	}
	fmt.Fprint(w, "\n### All figures in plain text\n\n")
	return r.figures(false).WriteMarkdown(w)
}

// figures is the table of the servers that were measured over TLS, with what is measured there, or of the others.
func (r *CompareReport) figures(encrypted bool) *Table {
	var servers []*ServerResult
	table := &Table{Header: []string{""}}
	for i := range r.Servers {
		if s := &r.Servers[i]; s.TLS == encrypted {
			servers = append(servers, s)
			table.Header = append(table.Header, s.Title)
		}
	}
	for _, line := range rows {
		if encrypted && !slices.ContainsFunc(servers, func(s *ServerResult) bool { return len(s.Values[line.metric]) > 0 }) {
			continue
		}
		cells := []string{line.text}
		for _, s := range servers {
			cells = append(cells, s.Spread(line.metric).String())
		}
		table.Add(cells...)
	}
	return table
}

// goals is the table of what was asked for and what was measured. A goal whose figures are missing is said to be so.
func (r *CompareReport) goals() *Table {
	t := &Table{Header: []string{"goal", "asked for", "measured", "reached"}}
	ours := r.Server(Ours)
	own := func(metric string) float64 { return ours.Spread(metric).Median }
	add := func(text, asked, unit string, measured float64, known, reached bool) {
		if !known {
			t.Add(text, asked, "-", "not measured")
			return
		}
		yes := "**no**"
		if reached {
			yes = "yes"
		}
		t.Add(text, asked, number(measured)+unit, yes)
	}
	between := func(text, metric, server, peer string, limit float64, atLeast bool, percent bool) {
		base, mine := r.Server(peer).Spread(metric).Median, r.Server(server).Spread(metric).Median
		known := base > 0 && mine > 0
		v := 0.0
		if known {
			v = mine / base
		}
		sign, shown, unit := ">=", number(limit), " x"
		if !atLeast {
			sign = "<="
		}
		measured := v
		if percent {
			shown, unit, measured = number(limit*100), " %", v*100
		}
		add(text, sign+" "+shown+unit, unit, measured, known, atLeast && v >= limit || !atLeast && v <= limit)
	}
	ratio := func(text, metric, peer string, limit float64, atLeast bool, percent bool) {
		between(text, metric, Ours, peer, limit, atLeast, percent)
	}
	atMost := func(text, metric string, limit float64, unit string) {
		v := own(metric)
		add(text, "<= "+number(limit)+unit, unit, v, ours.Spread(metric).N > 0, v <= limit)
	}
	ratio("route, depth 1, of the ceiling", cellDepth1+"_per_s", Ceiling, 0.97, true, true)
	ratio("route, depth 16, of the ceiling", cellDepth16+"_per_s", Ceiling, 0.92, true, true)
	ratio("server CPU per query, depth 1, of the ceiling's", cellDepth1+"_cpu_us", Ceiling, 1.25, false, false)
	ratio("server CPU per query, depth 16, of the ceiling's", cellDepth16+"_cpu_us", Ceiling, 1.4, false, false)
	between("route over TLS, depth 1, of the ceiling over TLS", cellDepth1+"_per_s", OursTLS, CeilingTLS, 0.6, true, true)
	between("route over TLS, depth 16, of the ceiling over TLS", cellDepth16+"_per_s", OursTLS, CeilingTLS, 0.7, true, true)
	ratio("route, depth 1, against Rust", cellDepth1+"_per_s", Rust, 2.5, true, false)
	ratio("route, depth 16, against Rust", cellDepth16+"_per_s", Rust, 20, true, false)
	ratio("route, depth 1, against Java", cellDepth1+"_per_s", JavaBig, 4, true, false)
	ratio("route, depth 16, against Java", cellDepth16+"_per_s", JavaBig, 13, true, false)
	for _, peer := range []string{JavaBig, Rust} {
		metric := cellAt + peer + "_p99_ms"
		base := r.Server(peer).Spread(metric).Median
		add("p99 at the rate of half the maximum of "+peer, "< "+number(base)+" ms", " ms", own(metric), base > 0 && own(metric) > 0, own(metric) < base)
	}
	atMost("registration of 10,000 topics, new content, CPU", mRegNew, 12, " ms")
	atMost("registration of 10,000 topics, same content, CPU", mRegSame, 1.5, " ms")
	if q := own(cellQuiet + "_p99_ms"); q > 0 {
		v := own(cellStorm+"_p99_ms") / q
		add("route p99 during a registration storm, of the quiet one", "<= 2 x", " x", v, true, v <= 2)
	}
	atMost("start to first answer", mStart, 30, " ms")
	atMost("RSS idle", mIdle, 15, " MB")
	atMost("2,000 idle connections, added memory", mIdleConns, 20, " MB")
	atMost("100,000 topics of width 10, every route read once, RSS", mLargeRSS, 150, " MB")
	return t
}

// WritePlots draws throughput, CPU and latency into dir and returns the names of the files.
func (r *CompareReport) WritePlots(dir string) ([]string, error) {
	var names []string
	var errs []error
	draw := func(file, title, unit string, all []Bar) {
		if err := PlotBars(filepath.Join(dir, file), title, unit, all); err != nil {
			errs = append(errs, err)
			return
		}
		names = append(names, file)
	}
	bars := func(file, title, unit, metric string) {
		var all []Bar
		for i := range r.Servers {
			if s := &r.Servers[i]; !s.TLS {
				all = append(all, Bar{Name: s.Key, Values: s.Values[metric]})
			}
		}
		draw(file, title, unit, all)
	}
	bars("route-depth1.svg", "Route queries, 64 connections, 1 in flight each", "requests per second", cellDepth1+"_per_s")
	bars("route-depth16.svg", "Route queries, 64 connections, 16 in flight each", "requests per second", cellDepth16+"_per_s")
	var encrypted []Bar
	for _, cell := range []string{cellDepth1, cellDepth16} {
		for _, key := range []string{CeilingTLS, OursTLS} {
			encrypted = append(encrypted, Bar{Name: key + ", " + cell, Values: r.Server(key).Values[cell+"_per_s"]})
		}
	}
	if len(r.Server(OursTLS).Values[cellDepth1+"_per_s"]) > 0 {
		draw("route-tls.svg", "Route queries over TLS 1.3, 64 connections, 1 and 16 in flight each", "requests per second", encrypted)
	}
	bars("memory-large.svg", "Memory with 100,000 topics of width 10", "RSS in MB", mLargeRSS)
	var series []Series
	for i := range r.Servers {
		if c := r.Servers[i].Curves[cellAt+JavaBig]; len(c) > 0 {
			series = append(series, Series{Name: r.Servers[i].Key, Points: c})
		}
	}
	if len(series) > 0 {
		file := "latency-half-java.svg"
		title := fmt.Sprintf("Latency at %s/s (half of Java's maximum), open loop", number(r.Rates[JavaBig]))
		if err := PlotPercentiles(filepath.Join(dir, file), title, series); err != nil {
			errs = append(errs, err)
		} else {
			names = append(names, file)
		}
	}
	return names, errors.Join(errs...)
}

package bench

import (
	_ "embed"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

//go:embed vanish_method.md
var vanishMethod string

// vanishGoals are what was asked for, in seconds at the 99th percentile.
var vanishGoals = []struct {
	loss    int
	sooner  bool
	fault   VanishFault
	p99     float64
	nodes   []int
	wording string
}{
	{0, false, VanishAlone, 9, []int{3, 9, 33}, "no loss"},
	{10, false, VanishAlone, 9, []int{3, 9, 33}, "10 % loss"},
	{0, false, NodeDies, 9, []int{3, 9, 33}, "a node dies beside"},
	{30, false, VanishAlone, 9.5, []int{3, 9, 33}, "30 % loss"},
	{0, true, VanishAlone, 7, []int{3, 9, 33}, "`--dead-host-after 6s`"},
	{0, false, ZoneDies, 9, []int{3}, "4 of 10 hosts and a node at once"},
}

// goals is the table of what was asked for and what was measured.
func (r *VanishReport) goals() *Table {
	t := &Table{Header: []string{"goal", "asked for", "measured", "by the node", "reached"}}
	for _, g := range vanishGoals {
		for _, n := range g.nodes {
			name, asked := fmt.Sprintf("gone at every node, %d nodes, %s, p99", n, g.wording), fmt.Sprintf("< %g s", g.p99)
			s := r.find(n, float64(g.loss)/100, g.sooner, g.fault)
			if s == nil {
				t.Add(name, asked, "-", "-", "not measured")
				continue
			}
			measured := inSeconds(s.Wire.P99)
			if s.Gone < s.Vanished {
				measured = fmt.Sprintf("%d of %d not within %g s", s.Vanished-s.Gone, s.Vanished, s.LimitS)
			}
			t.Add(name, asked, measured, inSeconds(s.Decided.P99), reached(s.Wire.P99 < g.p99*1e3 && s.Gone == s.Vanished && s.Vanished > 0))
		}
	}
	wrong := 0
	for _, s := range r.Settings {
		wrong += s.Wrong
	}
	t.Add("hosts that lived and were taken out", "0", fmt.Sprint(wrong), "-", reached(wrong == 0))
	return t
}

func (r *VanishReport) find(nodes int, loss float64, sooner bool, fault VanishFault) *VanishResult {
	i := slices.IndexFunc(r.Settings, func(s *VanishResult) bool {
		return !s.Off && s.Nodes == nodes && s.Loss == loss && s.After < vanishAfter == sooner && s.Fault == fault
	})
	if i < 0 {
		return nil
	}
	return r.Settings[i]
}

func reached(yes bool) string {
	if yes {
		return "yes"
	}
	return "**no**"
}

// inSeconds writes milliseconds as seconds.
func inSeconds(v float64) string { return fmt.Sprintf("%.2f s", v/1e3) }

// table has one line for each setting. Narrow tables are for terminals.
func (r *VanishReport) table(narrow bool) *Table {
	t := &Table{Header: []string{"nodes", "gone", "p50 s", "p90", "p99", "max", "node"}}
	if !narrow {
		t.Header = []string{"setting", "gone everywhere", "p50 s", "p90 s", "p99 s", "max s", "p50 by the node", "p99 by the node", "messages", "gaps", "kept at first"}
	}
	for _, s := range r.Settings {
		name := s.Name()
		if narrow {
			name = strings.Replace(name, " nodes,", ",", 1)
		}
		cells := []string{name, fmt.Sprintf("%d/%d", s.Gone, s.Vanished)}
		seconds := func(v float64) string {
			if s.Gone == 0 {
				return "-"
			}
			return fmt.Sprintf("%.2f", v/1e3)
		}
		for _, v := range []float64{s.Wire.P50, s.Wire.P90, s.Wire.P99, s.Wire.Max} {
			cells = append(cells, seconds(v))
		}
		if narrow {
			t.Add(append(cells, seconds(s.Decided.P99))...)
			continue
		}
		var kept []string
		for why, n := range s.Kept {
			kept = append(kept, fmt.Sprintf("%s %d", why, n))
		}
		slices.Sort(kept)
		t.Add(append(cells, seconds(s.Decided.P50), seconds(s.Decided.P99), fmt.Sprintf("%.0f", s.Messages),
			fmt.Sprint(s.Gaps), strings.Join(kept, ", "))...)
	}
	return t
}

func (r *VanishReport) title() string {
	return (&ConvergeReport{When: r.When, Machine: r.Machine, Load: r.Load, Seed: r.Seed}).title()
}

// writeText writes the report for people.
func (r *VanishReport) writeText(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n\n%s\n", r.title(), wrapped("Hosts that vanish, from just before their address is taken away until a route query at every node no longer named "+
		"the broker, in seconds (a NameServer in Java: 120 and up to its next scan):"))
	return r.table(true).WriteText(w)
}

// writeSection writes the part of docs/convergence.md. plot is the picture's path as the page names it, or empty.
func (r *VanishReport) writeSection(w io.Writer, plot string) error {
	fmt.Fprintf(w, "\n%s\n### Measured, of hosts that vanish\n\n%s.\n\n", vanishMethod, r.title())
	if err := r.goals().WriteMarkdown(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := r.table(false).WriteMarkdown(w); err != nil {
		return err
	}
	if plot != "" {
		fmt.Fprintf(w, "\n![hosts that vanish](%s)\n", plot)
	}
	return nil
}

// vanishPlot is where the picture of vanished hosts is, beside that of departures.
func vanishPlot(path string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-vanish" + ext
}

// Times of the picture of vanished hosts, in milliseconds.
const vanishFrom, vanishTo = 4_000, 200_000

// plot draws one line for each setting: the share of hosts that was gone everywhere by then.
func (r *VanishReport) plot(path string) error {
	p := sharePlot("A broker's host vanished without a word", "hosts that are gone everywhere")
	p.X.Min, p.X.Max = vanishFrom, vanishTo
	p.X.Tick.Marker = plot.ConstantTicks{
		{Value: 4e3, Label: "4 s"}, {Value: 5e3}, {Value: 6e3, Label: "6 s"}, {Value: 7e3}, {Value: 8e3, Label: "8 s"}, {Value: 9e3}, {Value: 10e3, Label: "10 s"},
		{Value: 20e3, Label: "20 s"}, {Value: 50e3, Label: "50 s"}, {Value: 100e3, Label: "100 s"}, {Value: 200e3, Label: "200 s"},
	}
	p.Legend.XOffs = vg.Points(205)
	var lines []share
	for _, s := range r.Settings {
		if !s.Off && s.Nodes != 9 && s.Fault != ZoneDies {
			lines = append(lines, share{s.Name(), s.Wire.All, s.Vanished})
		}
	}
	return drawShares(p, path, lines)
}

package bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

//go:embed convergence_method.md
var convergenceMethod string

// convergenceGoals are what was asked for, in milliseconds at the 99th percentile, by nodes and loss in percent.
var convergenceGoals = []struct {
	nodes, loss int
	p99         float64
}{
	{3, 0, 5}, {9, 0, 10}, {33, 0, 15}, {100, 0, 25},
	{3, 30, 60}, {9, 30, 80}, {33, 30, 110}, {100, 30, 120},
}

const (
	massBrokers, massGoalMS = 500, 1_000
	idleGoal                = 5_000 // bytes a second from each of three nodes
)

// WriteDocument makes docs/convergence.md: the method, the goals beside the figures, and all figures. plot is the picture
// that belongs to it, or empty.
func (r *ConvergeReport) WriteDocument(path, plot string) error {
	var b bytes.Buffer
	b.WriteString(convergenceMethod)
	fmt.Fprintf(&b, "\n## Measured\n\n%s. %s\n\n### Goals\n\n", r.title(), whereHindered)
	if err := r.convergenceGoals().WriteMarkdown(&b); err != nil {
		return err
	}
	b.WriteString("\n### All figures\n\n")
	if err := r.table(false).WriteMarkdown(&b); err != nil {
		return err
	}
	b.WriteString("\n```")
	r.writeWithout(&b)
	r.writeFurther(&b)
	b.WriteString("```\n")
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "\n**Failed**: %s\n", f)
	}
	if plot != "" {
		shown, err := filepath.Rel(filepath.Dir(path), plot)
		if err != nil {
			shown = plot
		}
		plot = filepath.ToSlash(shown)
		fmt.Fprintf(&b, "\n![distribution](%s)\n", plot)
	}
	if r.Vanish != nil && len(r.Vanish.Settings) > 0 {
		if plot != "" {
			plot = vanishPlot(plot)
		}
		if err := r.Vanish.writeSection(&b, plot); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// convergenceGoals is the table of what was asked for and what was measured.
func (r *ConvergeReport) convergenceGoals() *Table {
	t := &Table{Header: []string{"goal", "asked for", "measured", "by the node", "reached"}}
	for _, g := range convergenceGoals {
		name, asked := fmt.Sprintf("gone at every node, %d nodes, %d %% loss, p99", g.nodes, g.loss), fmt.Sprintf("<= %g ms", g.p99)
		s := r.find(g.nodes, float64(g.loss)/100, MissAllButOne)
		if s == nil {
			t.Add(name, asked, "-", "-", "not measured")
			continue
		}
		t.Add(name, asked, short(s.Wire.P99)+" ms", short(s.Decided.P99)+" ms", reached(s.Wire.P99 <= g.p99 && s.Converged == s.Trials))
	}
	mass := fmt.Sprintf("%d brokers at once that one node missed, slowest", massBrokers)
	if s := r.find(3, 0, Mass); s != nil && s.Brokers >= massBrokers {
		t.Add(mass, fmt.Sprintf("<= %d ms", massGoalMS), short(s.Wire.Max)+" ms", short(s.Decided.Max)+" ms", reached(s.Wire.Max <= massGoalMS && s.Converged == s.Trials))
	} else {
		t.Add(mass, fmt.Sprintf("<= %d ms", massGoalMS), "-", "-", "not measured")
	}
	idle := "idle gossip of three nodes, each"
	if i := slices.IndexFunc(r.Idle, func(i *IdleResult) bool { return i.Nodes == 3 }); i >= 0 {
		v := r.Idle[i].BytesEach
		t.Add(idle, fmt.Sprintf("< %d B/s", idleGoal), fmt.Sprintf("%.0f B/s", v), "-", reached(v < idleGoal))
	} else {
		t.Add(idle, fmt.Sprintf("< %d B/s", idleGoal), "-", "-", "not measured")
	}
	return t
}

// find answers the plain setting of so many nodes: without delay and partition.
func (r *ConvergeReport) find(nodes int, loss float64, fault Fault) *SettingResult {
	for _, s := range r.Settings {
		if s.Nodes == nodes && s.Loss == loss && s.Fault == fault && s.Gossip && s.DelayMS == 0 && s.PartMS == 0 && s.Trials > 0 {
			return s
		}
	}
	return nil
}

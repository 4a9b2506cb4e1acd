package bench

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// Bar is one measured quantity of one server: all its rounds.
type Bar struct {
	Name   string
	Values []float64 // empty: not measured, no bar
}

// PlotBars draws the median of each bar on a logarithmic axis, with its range as a whisker and its value above it.
func PlotBars(path, title, unit string, bars []Bar) error {
	p := newPlot(title, "", unit)
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	lo, hi := math.Inf(1), 0.0
	for _, b := range bars {
		for _, v := range b.Values {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if hi <= 0 {
		return fmt.Errorf("draw %s: nothing was measured", title)
	}
	p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(lo)-0.3)), hi*2
	names := make([]string, len(bars))
	for i, b := range bars {
		names[i] = b.Name
		if len(b.Values) == 0 {
			continue
		}
		if err := addBar(p, i, b); err != nil {
			return fmt.Errorf("draw %s: %w", b.Name, err)
		}
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(bars))-0.4
	return savePlot(p, path)
}

// addBar draws a polygon: plotter.BarChart starts at 0, which a logarithmic axis does not have.
func addBar(p *plot.Plot, i int, b Bar) error {
	s, x := summarise(b.Values), float64(i)
	box, err := plotter.NewPolygon(plotter.XYs{
		{X: x - 0.3, Y: p.Y.Min}, {X: x - 0.3, Y: s.Median}, {X: x + 0.3, Y: s.Median}, {X: x + 0.3, Y: p.Y.Min},
	})
	if err != nil {
		return err
	}
	box.Color, box.LineStyle.Width = palette(i), 0
	whisker, err := plotter.NewLine(plotter.XYs{{X: x, Y: s.Min}, {X: x, Y: s.Max}})
	if err != nil {
		return err
	}
	whisker.Width = vg.Points(1.5)
	label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: x, Y: s.Max}}, Labels: []string{number(s.Median)}})
	if err != nil {
		return err
	}
	label.Offset.Y = vg.Points(4)
	label.TextStyle[0].XAlign = -0.5
	p.Add(box, whisker, label)
	return nil
}

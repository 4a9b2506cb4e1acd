package bench

import (
	"errors"
	"fmt"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// Times of the picture, in milliseconds.
const (
	plotFrom   = 0.1
	originalMS = 120_000 // RocketMQ's default expiry of a broker that says nothing
	plotTo     = 300_000
	plotLines  = 10 // of more settings only the plain ones are drawn
)

// share is a line of the picture.
type share struct {
	name   string
	times  []float64
	trials int
}

// PlotConvergence draws one line for each setting: the share of departures that was gone everywhere by then.
func (r *ConvergeReport) PlotConvergence(path string) error {
	p := sharePlot("A broker left, and one or more nodes did not hear it", "departures that are gone everywhere")
	p.X.Tick.Marker = milliTicks{}
	p.X.Min, p.X.Max = plotFrom, plotTo
	var lines []share
	for _, s := range r.Settings {
		if s.Trials > 0 && (len(r.Settings) <= plotLines || s.Fault == MissAllButOne && s.DelayMS+s.PartMS == 0) {
			lines = append(lines, share{s.Name(), s.Wire.All, s.Trials})
		}
	}
	return drawShares(p, path, lines)
}

// sharePlot is a picture of shares over times, without its lines.
func sharePlot(title, y string) *plot.Plot {
	p := newPlot(title, "time until it is gone at every node", y)
	p.X.Scale, p.Y.Min, p.Y.Max = plot.LogScale{}, 0, 1
	p.Y.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0 %"}, {Value: 0.25, Label: "25 %"}, {Value: 0.5, Label: "50 %"}, {Value: 0.75, Label: "75 %"}, {Value: 1, Label: "100 %"},
	}
	// Words to the right of their lines: they stay clear of them with wider fonts than the one that is measured with here.
	p.Legend.Top, p.Legend.Left = false, true
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(250), vg.Points(14)
	return p
}

// drawShares draws the lines, and the original beside them.
func drawShares(p *plot.Plot, path string, lines []share) error {
	if len(lines) == 0 {
		return errors.New("draw the plot: nothing was measured")
	}
	for i, s := range lines {
		line, err := plotter.NewLine(cumulative(s.times, s.trials, p.X.Min, p.X.Max))
		if err != nil {
			return fmt.Errorf("draw %s: %w", s.name, err)
		}
		line.Color, line.Width = palette(i/2), vg.Points(2)
		if i%2 == 1 {
			line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		if len(lines) <= 4 {
			line.Color, line.Dashes = palette(i), nil
		}
		p.Add(line)
		p.Legend.Add(s.name, line)
	}
	// Nothing happens there until the expiry; it is drawn up to there, although no run watched for so long.
	original, err := plotter.NewLine(plotter.XYs{{X: p.X.Min, Y: 0}, {X: originalMS, Y: 0}, {X: originalMS, Y: 1}, {X: p.X.Max, Y: 1}})
	if err != nil {
		return fmt.Errorf("draw the original: %w", err)
	}
	original.Color, original.Width = color.RGBA{0xb0, 0x00, 0x20, 0xff}, vg.Points(2)
	p.Add(original)
	label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: originalMS * 0.45, Y: 0.7}}, Labels: []string{"RocketMQ: 120 s"}})
	if err != nil {
		return fmt.Errorf("draw the original: %w", err)
	}
	label.TextStyle[0].Color, label.TextStyle[0].XAlign = original.Color, -1.05
	p.Add(label)
	return savePlot(p, path)
}

// cumulative are the corners of a staircase that rises at each of the times; those that never converged leave it below 1.
func cumulative(times []float64, trials int, from, to float64) plotter.XYs {
	points := plotter.XYs{{X: from, Y: 0}}
	for i, t := range slices.Sorted(slices.Values(times)) {
		x := min(max(t, from), to)
		points = append(points, plotter.XY{X: x, Y: float64(i) / float64(trials)}, plotter.XY{X: x, Y: float64(i+1) / float64(trials)})
	}
	return append(points, plotter.XY{X: to, Y: float64(len(times)) / float64(trials)})
}

// milliTicks labels a logarithmic axis of milliseconds with times.
type milliTicks struct{}

func (milliTicks) Ticks(lo, hi float64) []plot.Tick {
	ticks := microTicks{}.Ticks(lo*1e3, hi*1e3)
	for i := range ticks {
		ticks[i].Value /= 1e3
	}
	return ticks
}

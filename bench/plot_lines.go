package bench

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// XY is one point of a line.
type XY struct{ X, Y float64 }

// Line is one line of a plot; without points it only keeps its colour.
type Line struct {
	Name   string
	Points []XY
}

// Axes are the labels of a plot of lines; of those that are logarithmic, only points above 0 are drawn.
type Axes struct {
	X, Y       string
	LogX, LogY bool
}

// PlotLines draws lines through their points, which are marked.
func PlotLines(path, title string, axes Axes, lines []Line) error {
	p := newPlot(title, axes.X, axes.Y)
	p.Legend.Top, p.Legend.Left = true, true
	drawn := 0
	for i, l := range lines {
		var points plotter.XYs
		for _, at := range l.Points {
			if (at.X > 0 || !axes.LogX) && (at.Y > 0 || !axes.LogY) {
				points = append(points, plotter.XY(at))
			}
		}
		if len(points) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return fmt.Errorf("draw %s: %w", l.Name, err)
		}
		line.Color, line.Width = palette(i), vg.Points(2)
		marks.Color, marks.Radius = palette(i), vg.Points(2)
		p.Add(line, marks)
		p.Legend.Add(l.Name, line)
		drawn++
	}
	if drawn == 0 {
		return fmt.Errorf("draw %s: nothing was measured", title)
	}
	if axes.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, numberTicks{}
		p.X.Min, p.X.Max = p.X.Min/1.1, p.X.Max*1.1
	} else {
		p.X.Min = 0
	}
	if axes.LogY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, numberTicks{}
		p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(p.Y.Min))), p.Y.Max*4
	} else {
		p.Y.Min, p.Y.Max = 0, p.Y.Max/(1-max(0.2, 0.04+0.056*float64(drawn))) // beside the legend
	}
	return savePlot(p, path)
}

// numberTicks labels 1, 2 and 5 of every power of ten.
type numberTicks struct{}

func (numberTicks) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for v := math.Pow(10, math.Floor(math.Log10(lo))); v <= hi; v *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if at := m * v; at >= lo*0.999 && at <= hi*1.001 {
				ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'g', 6, 64)})
			}
		}
	}
	return ticks
}

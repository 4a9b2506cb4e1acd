package bench

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	plotWidth  = 8 * vg.Inch
	plotHeight = 4.5 * vg.Inch
)

// palette gives each series a colour that is told apart without red and green; it repeats after eight.
func palette(i int) color.Color {
	colors := []color.RGBA{
		{0x00, 0x72, 0xb2, 0xff}, {0x55, 0x55, 0x55, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0xe6, 0x9f, 0x00, 0xff},
		{0x00, 0x9e, 0x73, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, {0xcc, 0x79, 0xa7, 0xff}, {0x00, 0x00, 0x00, 0xff},
	}
	return colors[i%len(colors)]
}

// newPlot is an empty plot in the style of all of ours.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size, p.Title.Padding = 14, font.Length(8)
	p.BackgroundColor = color.White
	p.Legend.Padding = 4
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xe0}, color.Gray{0xe0}
	p.Add(grid)
	return p
}

func drawPlot(p *plot.Plot, path string) error {
	canvas, err := draw.NewFormattedCanvas(plotWidth, plotHeight, strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), "."))
	if err != nil {
		return err
	}
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Path())
	p.Draw(draw.Crop(all, 0, -plotMargin, 0, 0))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

// plotMargin is left at the right of a plot: the last label of an axis stands half beyond it, and a viewer may draw it in
// a wider font than it was measured in.
const plotMargin = 20

func savePlot(p *plot.Plot, path string) error {
	if err := drawPlot(p, path); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	if !strings.EqualFold(filepath.Ext(path), ".svg") {
		return nil
	}
	text, err := os.ReadFile(path)
	if err == nil {
		text = bytes.ReplaceAll(text, []byte(drawnIn), []byte(drawnIn+otherwise))
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// Text is measured in a font that few machines have; the others have letters of the same widths.
const (
	drawnIn   = "font-family:Liberation Serif"
	otherwise = ",Times New Roman,Tinos,Nimbus Roman,Times,serif"
)

// Series is one line of a plot of percentiles.
type Series struct {
	Name   string
	Points []CurvePoint
}

// nines stretches the tail: every further nine is one unit to the right.
func nines(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

// PlotPercentiles draws latencies over percentiles, the tail stretched by powers of ten.
func PlotPercentiles(path, title string, series []Series) error {
	p := newPlot(title, "percentile", "latency")
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, microTicks{}
	p.X.Tick.Marker = plot.ConstantTicks{
		{Value: nines(0), Label: "0"}, {Value: nines(50), Label: "50"}, {Value: nines(90), Label: "90"},
		{Value: nines(99), Label: "99"}, {Value: nines(99.9), Label: "99.9"}, {Value: nines(99.99), Label: "99.99"},
	}
	p.Legend.Top, p.Legend.Left = true, true
	for i, s := range series {
		if len(s.Points) == 0 {
			continue // it keeps its colour in the other plots
		}
		points := make(plotter.XYs, len(s.Points))
		for j, at := range s.Points {
			points[j] = plotter.XY{X: nines(at.Percentile), Y: max(at.Micros, 1)}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return fmt.Errorf("draw %s: %w", s.Name, err)
		}
		line.Color, line.Width = palette(i), vg.Points(2)
		p.Add(line)
		p.Legend.Add(s.Name, line)
	}
	return savePlot(p, path)
}

// microTicks labels a logarithmic axis of microseconds with times.
type microTicks struct{}

func (microTicks) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for v := math.Pow(10, math.Floor(math.Log10(max(lo, 1)))); v <= hi*1.001; v *= 10 {
		ticks = append(ticks, plot.Tick{Value: v, Label: microLabel(v)})
		for _, m := range []float64{2, 5} {
			ticks = append(ticks, plot.Tick{Value: m * v})
		}
	}
	return ticks
}

func microLabel(us float64) string {
	switch {
	case us < 1e3:
		return fmt.Sprintf("%g us", us)
	case us < 1e6:
		return fmt.Sprintf("%g ms", us/1e3)
	default:
		return fmt.Sprintf("%g s", us/1e6)
	}
}

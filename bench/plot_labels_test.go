package bench

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var plotText = regexp.MustCompile(`<text x="([\d.-]+)" y="([\d.-]+)" transform="scale\(1, -1\)"\s*\n?\s*style="[^"]*font-size:([\d.]+)px"[^>]*>([^<]*)<`)

var plotSize = regexp.MustCompile(`viewBox="0 0 ([\d.]+) `)

// labelWidth is about what a digit takes in the widest of the fonts that a viewer may choose.
const labelWidth = 0.62

// No label is cut at the edge of the picture, and none on one line runs into the next.
func TestPlotLabelsFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.svg")
	points := []CurvePoint{{Percentile: 0, Micros: 10}, {Percentile: 50, Micros: 20}, {Percentile: 99.99, Micros: 90000}}
	if err := PlotPercentiles(path, "t", []Series{{Name: "a", Points: points}}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../docs/img/*.svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, path) {
		checkLabels(t, file)
	}
}

func checkLabels(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	size := plotSize.FindStringSubmatch(string(text))
	if size == nil {
		t.Fatalf("%s has no size", file)
	}
	right, err := strconv.ParseFloat(size[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	type label struct {
		end  float64
		text string
	}
	last := map[string]label{} // by the line it stands on
	all := plotText.FindAllStringSubmatch(string(text), -1)
	if len(all) < 5 {
		t.Errorf("%s: %d labels found", file, len(all))
	}
	for _, m := range all {
		x, errX := strconv.ParseFloat(m[1], 64)
		size, errSize := strconv.ParseFloat(m[3], 64)
		if errX != nil || errSize != nil {
			t.Fatal(m[0])
		}
		end := x + labelWidth*size*float64(len(m[4]))
		if len(m[4]) < 8 && end > right {
			t.Errorf("%s: %q ends at %.0f of %.0f", file, m[4], end, right)
		}
		if before, there := last[m[2]]; there && x < before.end && len(before.text) < 8 {
			t.Errorf("%s: %q begins at %.0f, where %q ends at %.0f", file, m[4], x, before.text, before.end)
		}
		last[m[2]] = label{end, m[4]}
	}
}

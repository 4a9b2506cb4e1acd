package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Spread is the median and range of a few rounds.
type Spread struct {
	Median, Min, Max float64
	N                int
}

func summarise(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	return Spread{Median: (v[(len(v)-1)/2] + v[len(v)/2]) / 2, Min: v[0], Max: v[len(v)-1], N: len(v)}
}

// String is "median [min-max]", or the median alone when there is nothing to range over.
func (s Spread) String() string {
	switch {
	case s.N == 0:
		return "-"
	case s.N == 1 || number(s.Min) == number(s.Max):
		return number(s.Median)
	default:
		return fmt.Sprintf("%s [%s-%s]", number(s.Median), number(s.Min), number(s.Max))
	}
}

// number writes three significant digits, with k and M for thousands and millions.
func number(v float64) string {
	scaled, suffix := v, ""
	switch a := math.Abs(v); {
	case a >= 999_500:
		scaled, suffix = v/1e6, "M"
	case a >= 9_995:
		scaled, suffix = v/1e3, "k"
	}
	digits := 0
	if a := math.Abs(scaled); a > 0 && a < 100 {
		digits = min(2-int(math.Floor(math.Log10(a)+1e-9)), 3)
	}
	text := strconv.FormatFloat(scaled, 'f', digits, 64)
	if suffix != "" {
		return text + " " + suffix
	}
	return text
}

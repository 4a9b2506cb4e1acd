package bench

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// Times are some durations in milliseconds, in the order they were measured, and their percentiles: each is one of
// them (nearest rank), none is interpolated.
type Times struct {
	P50 float64   `json:"p50_ms"`
	P90 float64   `json:"p90_ms"`
	P99 float64   `json:"p99_ms"`
	Max float64   `json:"max_ms"`
	All []float64 `json:"all_ms"`
}

func (t *Times) add(d time.Duration) { t.All = append(t.All, math.Round(ms(d)*1e3)/1e3) }

// sum computes the percentiles.
func (t *Times) sum() {
	if len(t.All) == 0 {
		return
	}
	v := slices.Sorted(slices.Values(t.All))
	at := func(p float64) float64 { return v[max(int(math.Ceil(p/100*float64(len(v))))-1, 0)] }
	t.P50, t.P90, t.P99, t.Max = at(50), at(90), at(99), v[len(v)-1]
}

func (t *Times) newest() string {
	if len(t.All) == 0 {
		return "-"
	}
	return milliseconds(t.All[len(t.All)-1])
}

// columns are the percentiles for a table.
func (t *Times) columns() []string {
	if len(t.All) == 0 {
		return []string{"-", "-", "-", "-"}
	}
	return []string{short(t.P50), short(t.P90), short(t.P99), short(t.Max)}
}

// short writes milliseconds with at most one digit behind the point.
func short(v float64) string {
	if v < 99.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// milliseconds writes a time for people.
func milliseconds(v float64) string {
	if v < 10_000 {
		return short(v) + " ms"
	}
	return strconv.FormatFloat(v/1e3, 'f', 1, 64) + " s"
}

package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept to 1 % from 100 ns to ten minutes; a slower answer counts as ten minutes.
const (
	finestLatency  = 100 * time.Nanosecond
	slowestLatency = 10 * time.Minute
)

// histogram is a distribution of times. Not safe for concurrent use: one per connection, merged at the end.
type histogram struct {
	h *hdrhistogram.Histogram // nanoseconds
}

func newHistogram() histogram {
	return histogram{hdrhistogram.New(int64(finestLatency), int64(slowestLatency), 2)}
}

func (h histogram) record(d time.Duration) {
	// The only error is a value out of range, which the clamp excludes.
	_ = h.h.RecordValue(int64(min(max(d, 0), slowestLatency)))
}

func (h histogram) merge(other histogram) { h.h.Merge(other.h) }

// Latency summarises a distribution; times are in microseconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	Max   float64 `json:"max_us"`
}

func (h histogram) summary() Latency {
	if h.h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percent float64) float64 { return micros(h.h.ValueAtQuantile(percent)) }
	return Latency{
		Count: h.h.TotalCount(), Mean: h.h.Mean() / 1e3,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: micros(h.h.Max()),
	}
}

// CurvePoint is one point of a percentile curve.
type CurvePoint struct {
	Percentile float64 `json:"percentile"`
	Micros     float64 `json:"us"`
}

// curve samples the distribution evenly in the number of nines, which is how tails are drawn.
func (h histogram) curve() []CurvePoint {
	if h.h.TotalCount() == 0 {
		return nil
	}
	var points []CurvePoint
	for _, p := range []float64{
		1, 10, 25, 50, 60, 70, 80, 85, 90, 92.5, 95, 96, 97, 98, 98.5, 99, 99.25, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97, 99.99, 99.999,
	} {
		if float64(h.h.TotalCount())*(1-p/100) < 1 && p > 50 {
			break // fewer answers than this percentile tells apart
		}
		points = append(points, CurvePoint{p, micros(h.h.ValueAtQuantile(p))})
	}
	return points
}

func micros(ns int64) float64 { return float64(ns) / 1e3 }

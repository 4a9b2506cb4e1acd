package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// CompareReport is what RunCompare measured.
type CompareReport struct {
	When     time.Time          `json:"when"`
	Machine  Machine            `json:"machine"`
	Rounds   int                `json:"rounds"`  // finished ones
	CellTime time.Duration      `json:"cell_ns"` // measured time of each load cell
	Servers  []ServerResult     `json:"servers"`
	Rates    map[string]float64 `json:"rates"` // requests per second of the common open loops, by the server whose half maximum each is
	Profiles []CPUProfile       `json:"profiles,omitempty"`
	Failures []string           `json:"failures,omitempty"`
}

// ServerResult is all that was measured of one server.
type ServerResult struct {
	Key     string                  `json:"key"`
	Title   string                  `json:"title"`
	Missing string                  `json:"missing,omitempty"`
	Limit   string                  `json:"limit,omitempty"` // of the server's own, which a cell has met
	TLS     bool                    `json:"tls,omitempty"`
	Values  map[string][]float64    `json:"values,omitempty"` // by metric, one value a round
	Curves  map[string][]CurvePoint `json:"curves,omitempty"` // of the last round
}

// Server returns the results of a server; an empty one when it was not measured.
func (r *CompareReport) Server(key string) *ServerResult {
	for i := range r.Servers {
		if r.Servers[i].Key == key {
			return &r.Servers[i]
		}
	}
	return &ServerResult{Key: key}
}

// Spread summarises one metric.
func (s *ServerResult) Spread(metric string) Spread { return summarise(s.Values[metric]) }

func (s *ServerResult) add(metric string, v float64) { s.Values[metric] = append(s.Values[metric], v) }

// RunCompare measures the servers side by side. Servers that this machine lacks are named in the report. When ctx
// ends it reports what was measured until then.
func RunCompare(ctx context.Context, c CompareConfig, progress io.Writer) (*CompareReport, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := enoughFiles(idleConns + brokerConns + readers); err != nil {
		return nil, err
	}
	p := NewProgress(progress)
	defer p.Done()
	dir, err := os.MkdirTemp("", "epitaph-compare-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the compiler: %w", err)
	}
	defer os.RemoveAll(dir)
	r := &CompareReport{When: time.Now().UTC(), Machine: thisMachine(), CellTime: c.Cell, Rates: map[string]float64{}}
	var present []server
	// What a goal compares has its turns one after the other: the two over TLS, then ours and the ceiling, with which the next round goes on.
	all := findServers(ctx, c.Peers, Profiles()[0], dir)
	encrypted, err := findEncrypted(ctx, c.Peers, Profiles()[0], dir)
	if err != nil {
		return nil, err
	}
	for _, s := range slices.Insert(all, len(all)-1, encrypted...) {
		if !c.wants(s.key) {
			continue
		}
		result := ServerResult{Key: s.key, Title: s.title, TLS: s.tls, Values: map[string][]float64{}, Curves: map[string][]CurvePoint{}}
		if s.missing != nil {
			result.Missing = s.missing.Error()
			p.Step("%s is missing: %v", s.key, s.missing)
		} else {
			present = append(present, s)
		}
		r.Servers = append(r.Servers, result)
	}
	run := &comparison{config: c, report: r, progress: p}
	run.calibrate(ctx, present)
	for round := range c.Rounds {
		// The order turns by one each round, so that no server always follows the same one.
		for i := range present {
			s := present[(i+round)%len(present)]
			p.Step("round %d of %d: %s", round+1, c.Rounds, s.title)
			run.round(ctx, s, round < c.LargeRounds)
		}
		if ctx.Err() != nil {
			return r, nil
		}
		r.Rounds++
	}
	run.profile(ctx, present)
	if len(r.Failures) > 0 {
		return r, errors.New("some measurements failed; the report lists them")
	}
	return r, nil
}

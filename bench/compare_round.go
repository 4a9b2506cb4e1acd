package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// The metrics of a comparison. Times are in the unit of the name, memory in MB (2^20 bytes).
const (
	mStart     = "start_ms"
	mIdle      = "rss_idle_mb"
	mAfter     = "rss_after_mb"
	mIdleHeld  = "idle_conns_held"
	mIdleConns = "rss_2000_conns_mb"
	mRegNew    = "register_new_cpu_ms"
	mRegNewMS  = "register_new_ms"
	mRegSame   = "register_same_cpu_ms"
	mRegSameMS = "register_same_ms"
	mStormRegs = "storm_registrations_per_s"
	mLargeReg  = "large_register_s"
	mLargeRSS  = "large_rss_mb"
	mCompared  = "compared"
	mWrong     = "wrong"
)

// The load cells; each has the metrics cell+"_per_s", "_p99_ms" and "_cpu_us".
const (
	cellDepth1  = "depth1"
	cellDepth16 = "depth16"
	cellHalf    = "half"  // open loop at half of the own depth-1 maximum
	cellAt      = "at_"   // + server: open loop at half of that server's maximum
	cellQuiet   = "quiet" // table of two brokers with 10,000 topics each
	cellStorm   = "storm" // the same while both register again and again
	cellLarge   = "large"
)

const (
	idleConns = 2000
	loadConns = 64
	fewConns  = 32 // of the cells on bigger tables
	settle    = time.Second
)

// registerProfile is two brokers with 10,000 topics each.
func registerProfile() Profile {
	return Profile{Name: "register", Brokers: 2, Topics: 10_000, Width: 2}
}

// comparison is one running RunCompare.
type comparison struct {
	config   CompareConfig
	report   *CompareReport
	progress *Progress
}

// calibrate finds the common rates of the open loops: half of what Java and Rust can do.
func (r *comparison) calibrate(ctx context.Context, present []server) {
	for _, s := range present {
		if s.key != JavaBig && s.key != Rust {
			continue
		}
		r.progress.Step("looking for half of the maximum of %s", s.title)
		r.with(ctx, s, Profiles()[0], func(m *measuring) error {
			got, err := m.session.measure(ctx, r.closed(1, loadConns), r.progress)
			if err == nil {
				r.report.Rates[s.key] = math.Round(got.PerSecond/200) * 100
			}
			return err
		})
	}
}

// round measures everything of one server once.
func (r *comparison) round(ctx context.Context, s server, large bool) {
	if s.tls {
		r.with(ctx, s, Profiles()[0], func(m *measuring) error { return m.encrypted(ctx) })
		return
	}
	r.with(ctx, s, Profiles()[0], func(m *measuring) error { return m.small(ctx) })
	if s.fixed {
		return // the ceiling has no tables
	}
	r.with(ctx, s, registerProfile(), func(m *measuring) error { return m.registering(ctx) })
	if large {
		r.with(ctx, s, Profiles()[2], func(m *measuring) error { return m.large(ctx) })
	}
}

// measuring is one started server with a registered profile.
type measuring struct {
	*comparison
	server  *child
	session *session
	result  *ServerResult
}

// with starts s afresh, registers the profile, measures, and stops it. A failure is kept in the report.
func (r *comparison) with(ctx context.Context, s server, p Profile, measure func(*measuring) error) {
	if ctx.Err() != nil {
		return
	}
	if err := r.try(ctx, s, p, measure); err != nil && ctx.Err() == nil {
		r.report.Failures = append(r.report.Failures, fmt.Sprintf("%s, profile %s: %v", s.title, p.Name, err))
		r.progress.Step("%s: %v", s.title, err)
	}
}

func (r *comparison) try(ctx context.Context, s server, p Profile, measure func(*measuring) error) error {
	ch, err := startChild(ctx, s.cmd)
	if err != nil {
		return err
	}
	defer ch.stop()
	m := &measuring{comparison: r, server: ch, result: r.report.Server(s.key)}
	if s.fixed {
		m.session = fixedSession(ch.target, p)
		return measure(m)
	}
	if p.Name == Profiles()[0].Name && !s.tls {
		m.memory(ctx, mIdle, 0) // before anything is registered
	}
	if m.session, err = openSession(ctx, ch.target, p, r.progress); err != nil {
		return err
	}
	err = measure(m)
	return firstError(err, m.session.Close())
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *comparison) closed(depth, conns int) cellSpec {
	return cellSpec{
		kind: Route, connections: conns, depth: depth, warmup: r.config.Cell / 3, duration: r.config.Cell,
		changeEvery: stormChange, checkEvery: 8, seed: 1,
	}
}

func (r *comparison) open(rate float64) cellSpec {
	spec := r.closed(1, loadConns)
	spec.rate = rate
	return spec
}

// cell runs one load cell and keeps its figures.
func (m *measuring) cell(ctx context.Context, name string, spec cellSpec) (*CellResult, error) {
	got, err := m.session.measure(ctx, spec, m.progress)
	if err != nil {
		return nil, err
	}
	m.result.add(name+"_per_s", got.PerSecond)
	m.result.add(name+"_p99_ms", got.Latency.P99/1e3)
	m.result.add(name+"_cpu_us", got.ServerCPU)
	m.result.add(mCompared, float64(got.Compared))
	m.result.add(mWrong, float64(got.Wrong))
	m.result.Curves[name] = got.Curve
	if got.Unsent > 0 {
		return nil, fmt.Errorf("%s at %.0f/s: %d requests were never sent, the server was too far behind", name, spec.rate, got.Unsent)
	}
	return got, nil
}

// memory lets the server settle and keeps its resident memory above base.
func (m *measuring) memory(ctx context.Context, metric string, base float64) {
	select {
	case <-time.After(settle):
	case <-ctx.Done():
	}
	rss, err := readRSS(m.server.pid)
	if err != nil {
		return // not Linux: the tables show "-"
	}
	mb := float64(rss) / (1 << 20)
	m.result.add(metric, mb-base)
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// ConvergeReport is what RunConvergence measured.
type ConvergeReport struct {
	When        time.Time        `json:"when"`
	Machine     Machine          `json:"machine"`
	Load        string           `json:"load_average,omitempty"` // of the minute before: what else this machine did
	Seed        uint64           `json:"seed"`
	Targets     []string         `json:"targets,omitempty"`
	Settings    []*SettingResult `json:"settings"`
	Without     []*SettingResult `json:"without_gossip"` // the same plan at nodes that do not gossip
	Idle        []*IdleResult    `json:"idle,omitempty"`
	Storms      []*StormResult   `json:"storms,omitempty"`
	Vanish      *VanishReport    `json:"vanish,omitempty"` // hosts that vanish
	Interrupted bool             `json:"interrupted,omitempty"`
	Failures    []string         `json:"failures,omitempty"`
}

// errConverged says that the control run did what it must not.
var errConverged = errors.New("a departure converged without gossip before the expiry: the measurement is wrong, something else removed the broker")

// RunConvergence measures how long NameServers disagree about a broker that left, as c says. When ctx ends it reports
// what was measured until then; when a node fails, beside the error.
func RunConvergence(ctx context.Context, c ConvergeConfig, progress io.Writer) (*ConvergeReport, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := NewProgress(progress)
	defer p.Done()
	r := &ConvergeReport{When: time.Now().UTC(), Machine: thisMachine(), Load: loadAverage(), Seed: c.Seed, Targets: c.Targets}
	run := &convergence{config: c, report: r, progress: p}
	var err error
	switch {
	case c.From != "":
		err = ReadJSON(c.From, r)
	case len(c.Targets) > 0:
		err = run.targets(ctx)
	default:
		err = run.own(ctx)
	}
	if c.Vanish && err == nil && ctx.Err() == nil {
		r.Vanish, err = runVanish(ctx, &c, p)
	}
	r.Interrupted = ctx.Err() != nil
	if r.empty() && err != nil {
		return nil, err
	}
	for _, w := range r.Without {
		if w.Converged > 0 {
			err = errors.Join(err, errConverged)
		}
	}
	if r.Interrupted {
		err = nil
	}
	if err != nil {
		r.Failures = append(r.Failures, err.Error())
	}
	if c.Plot != "" && !r.empty() {
		err = errors.Join(err, r.PlotConvergence(c.Plot))
		if r.Vanish != nil && len(r.Vanish.Settings) > 0 {
			err = errors.Join(err, r.Vanish.plot(vanishPlot(c.Plot)))
		}
	}
	return r, err
}

func (r *ConvergeReport) empty() bool {
	return !slices.ContainsFunc(append(slices.Clone(r.Settings), r.Without...), func(s *SettingResult) bool { return s.Trials > 0 }) &&
		len(r.Idle)+len(r.Storms) == 0
}

// convergence is one running RunConvergence.
type convergence struct {
	config   ConvergeConfig
	report   *ConvergeReport
	progress *Progress
}

// targets measures NameServers that already run.
func (r *convergence) targets(ctx context.Context) (err error) {
	c := r.config
	for _, j := range c.jobs() {
		f, err := targetField(ctx, c.Targets, j.brokers)
		if err != nil {
			return err
		}
		r.progress.Step("%d NameServers that already run: %d departures, %s; one that is not gone after %v counts as not converged", j.nodes, j.trials, j.fault, c.Timeout)
		if err := r.measure(ctx, f, j); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return r.without(ctx, c.jobs()[0])
}

// own measures nodes of this process. Settings of the same nodes share them.
func (r *convergence) own(ctx context.Context) error {
	jobs, seen := r.config.jobs(), map[int]bool{}
	for len(jobs) > 0 {
		first, n := jobs[0], 1
		for n < len(jobs) && jobs[n].nodes == first.nodes && jobs[n].brokers == first.brokers {
			n++
		}
		if err := r.withGossip(ctx, jobs[:n]); err != nil || ctx.Err() != nil {
			return err
		}
		jobs = jobs[n:]
		if !seen[first.nodes] {
			seen[first.nodes] = true
			if err := r.without(ctx, first); err != nil || ctx.Err() != nil {
				return err
			}
		}
	}
	if r.config.Storm > 0 {
		return r.storm(ctx, r.config.Nodes[0])
	}
	return nil
}

func (r *convergence) withGossip(ctx context.Context, jobs []job) error {
	c, n := r.config, jobs[0].nodes
	r.progress.Step("starting %d nodes that gossip", n)
	f, err := startField(ctx, n, jobs[0].brokers, true, c.Seed)
	if err != nil {
		return err
	}
	defer f.stop()
	defer holdCollector()()
	if c.Idle > 0 && len(r.report.Idle) == 0 {
		if err := r.idle(ctx, f); err != nil || ctx.Err() != nil {
			return err
		}
	}
	for _, j := range jobs {
		f.net.Hinder(j.loss, j.delay)
		err := r.measure(ctx, f, j)
		f.net.Hinder(0, 0)
		if err == nil && ctx.Err() == nil {
			err = f.awaitMembers(ctx)
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// without takes the first departures of the same plan at nodes that do not gossip, all at once, and watches them for a
// while: they must not converge before the original's expiry.
func (r *convergence) without(ctx context.Context, j job) error {
	c := r.config
	f, err := startField(ctx, j.nodes, j.brokers, false, c.Seed)
	if err != nil {
		return err
	}
	defer f.stop()
	all := plan(c.Seed, j.fault, j.nodes, j.brokers, j.trials)
	all = all[:min(len(all), j.brokers)]
	if j.fault == Mass {
		all = all[:1]
	}
	r.progress.Step("%d nodes without gossip: %d departures, watched for %v", j.nodes, len(all), c.Window)
	s := newSetting(f, j.fault, c.Window, c.Seed, r.progress)
	s.every, s.patience = askEvery(j.nodes*len(all), askBudget), 0
	r.report.Without = append(r.report.Without, s.SettingResult)
	err = s.run(ctx, all)
	r.stepResult(s)
	return err
}

// measure keeps the result of a setting whatever became of it.
func (r *convergence) measure(ctx context.Context, f *field, j job) error {
	s := newSetting(f, j.fault, r.config.Timeout+j.partition, r.config.Seed, r.progress)
	s.Loss, s.DelayMS, s.PartMS, s.partition = j.loss, ms(j.delay), ms(j.partition), j.partition
	r.report.Settings = append(r.report.Settings, s.SettingResult)
	if f.net != nil {
		r.progress.Step("%s: %d departures", s.Name(), j.trials)
	}
	err := s.run(ctx, plan(r.config.Seed, j.fault, j.nodes, j.brokers, j.trials))
	r.stepResult(s)
	return err
}

func (r *convergence) stepResult(s *setting) {
	if s.Converged == 0 {
		r.progress.Step("  %d of %d gone everywhere within %g s", s.Converged, s.Trials, s.LimitS)
		return
	}
	r.progress.Step("  %d of %d gone everywhere; p50 %s, p99 %s, max %s", s.Converged, s.Trials,
		milliseconds(s.Wire.P50), milliseconds(s.Wire.P99), milliseconds(s.Wire.Max))
}

// title is the line above a table.
func (r *ConvergeReport) title() string {
	text := fmt.Sprintf("%s UTC, %s, seed %d", r.When.Format(time.DateTime), r.Machine, r.Seed)
	if r.Load != "" {
		text += ", load average before " + r.Load
	}
	return text
}

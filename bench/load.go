package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// RunLoad measures one NameServer as c says and writes its progress to progress (nil: nowhere). When ctx ends, or
// the target dies, it reports what was measured so far; in the second case beside an error.
func RunLoad(ctx context.Context, c LoadConfig, progress io.Writer) (*LoadReport, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := enoughFiles(c.Connections + brokerConns + readers); err != nil {
		return nil, err
	}
	p := NewProgress(progress)
	defer p.Done()
	r := &LoadReport{When: time.Now().UTC(), Machine: thisMachine(), Config: c}
	err := r.run(ctx, p)
	if ctx.Err() != nil && r.Target != nil {
		r.Target.Interrupted = true
		err = nil
	}
	if r.Target == nil {
		return nil, err
	}
	if c.Plot != "" && len(r.Target.Curve) > 0 {
		err = errors.Join(err, r.plot(c.Plot))
	}
	return r, err
}

func (r *LoadReport) run(ctx context.Context, p *Progress) error {
	c := r.Config
	at := target{addr: c.Target, pid: c.PID}
	if at.addr == "" {
		p.Step("starting %s", c.Program[0])
		server, err := startChild(ctx, command{argv: c.Program})
		if err != nil {
			return err
		}
		defer server.stop()
		at = server.target
	} else if at.pid == 0 {
		at.pid = localPID(at.addr)
	}
	r.Addr, r.PID = at.addr, at.pid
	p.Step("registering %d brokers with %d topics at %s and reading every route once", c.Profile.Brokers, c.Profile.Topics, at.addr)
	s, err := openSession(ctx, at, c.Profile, p)
	if err != nil {
		return err
	}
	r.RegisterSeconds = s.register.Seconds()
	p.Step("measuring %s for %v over %d connections", c.Kind, c.Duration, c.Connections)
	r.Target, err = s.measure(ctx, c.spec(), p)
	err = errors.Join(err, s.Close())
	if err != nil || !c.Ceiling || ctx.Err() != nil {
		return err
	}
	p.Step("measuring the ceiling the same way")
	r.Ceiling, err = measureCeiling(ctx, c, p)
	if err != nil {
		return fmt.Errorf("ceiling: %w", err)
	}
	return nil
}

func (c *LoadConfig) spec() cellSpec {
	return cellSpec{
		kind: c.Kind, connections: c.Connections, depth: c.Depth, rate: c.Rate, warmup: c.Warmup, duration: c.Duration,
		changeEvery: c.ChangeEvery, checkEvery: c.CheckEvery, seed: c.Seed,
	}
}

// measureCeiling measures the ceiling as c says, always with route queries: it knows nothing else.
func measureCeiling(ctx context.Context, c LoadConfig, p *Progress) (*CellResult, error) {
	dir, err := os.MkdirTemp("", "epitaph-ceiling-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the compiler: %w", err)
	}
	defer os.RemoveAll(dir)
	program, err := buildCeiling(ctx, dir)
	if err != nil {
		return nil, err
	}
	cmd, err := ceilingCommand(program, c.Profile.routeAnswer())
	if err != nil {
		return nil, err
	}
	server, err := startChild(ctx, cmd)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	spec := c.spec()
	spec.kind = Route
	return fixedSession(server.target, c.Profile).measure(ctx, spec, p)
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// The metrics of a fleet. Times are in the unit of the name, memory in MB (2^20 bytes).
const (
	fPerS     = "answers_per_s"
	fP50      = "p50_ms"
	fP90      = "p90_ms"
	fP99      = "p99_ms"
	fP999     = "p999_ms"
	fMax      = "max_ms"
	fServed50 = "served_p50_s" // reconnect, restart: from a client's first try until it has all its answers
	fServed99 = "served_p99_s"
	fServed3  = "served_p999_s"
	fLag      = "lag_p99_ms" // the generator's own
	fErrors   = "errors"     // queries without the right answer; clients that did not come back
	fSlow     = "slow"       // answers that no Java client had waited for
	fCPU      = "cpu_us"     // of the server, for each answer
	fCores    = "cores"      // CPU seconds of the server in a second
	fRSS      = "rss_mb"
	fAnon     = "rss_anon_mb"
	fPeak     = "rss_peak_mb"
	fFiles    = "files"
	fLast     = "last_s"       // herd, reconnect, restart: until the last answer
	fRefused  = "refused"      // reconnect, restart: connections that could not be made at the first try
	fRoutes   = "routes_s"     // restart, storm: until the last broker was registered
	fGap      = "gap_s"        // restart: from the last broker's REGISTER until the last client had its answers
	fBase     = "base_mb"      // RSS with the brokers and without a client
	fSilentKB = "silent_kb"    // silent: memory of each such connection
	fDropped  = "silent_ended" // silent: connections that the server closed
	fRegister = "register_p99_ms"
	fLost     = "lost" // meanwhile: connections of clients
)

const (
	fleetGrace   = 30 * time.Second  // how long answers are waited for when a window is over
	herdLimit    = 90 * time.Second  // how long a herd's answers are
	returnLimit  = 180 * time.Second // until all clients have come back, and all brokers
	stormLimit   = 90 * time.Second  // for brokers that are late in a storm
	fleetSettle  = 2 * time.Second   // of silence before a scene
	gatherLimit  = 120 * time.Second
	sceneAfter   = Scene("after the storm")
	servedPoints = 100
)

// limitError says that a server keeps a limit of its own, which is a figure and no failure.
type limitError struct {
	text    string
	refuses bool // connections: a larger fleet makes no sense
}

func (e *limitError) Error() string { return e.text }

// outing is one started server with its brokers, and a fleet of one size that is connected to it.
type outing struct {
	*fleetRun
	server
	child   *child // nil: the target
	addr    string
	pid     int // 0: not known
	brokers *announcers
	crowd   *crowd
	size    int
	base    int64 // its memory before any client came, in bytes; 0: not known
	profile Profile
	rng     *rand.Rand
}

// outing starts s afresh, lets the brokers of p register (those of a storm come later), connects the clients, plays f,
// and stops everything.
func (r *fleetRun) outing(ctx context.Context, s server, size int, p Profile, f func(*outing) error) (err error) {
	if ctx.Err() != nil {
		return nil // interrupted: nobody asks any more
	}
	o := &outing{fleetRun: r, server: s, addr: r.config.Target, pid: r.config.PID, size: size, profile: p}
	o.rng = rand.New(rand.NewPCG(r.config.Seed, uint64(size)))
	if o.addr == "" {
		if o.child, err = startChild(ctx, s.cmd); err != nil {
			return err
		}
		defer o.child.stop()
		o.addr, o.pid = o.child.addr, o.child.pid
	} else if o.pid == 0 {
		o.pid = localPID(o.addr)
	}
	topics := fleetTopics(size, r.config.Each, p.Topics, o.rng)
	if o.crowd, err = newCrowd(o.addr, size, r.config.Each, size, topics, newExpectation(p)); err != nil {
		return err
	}
	defer o.crowd.close()
	if n := r.config.Sources; n > 0 && o.crowd.sources != nil {
		o.crowd.sources = loopbacks(n)
	}
	o.crowd.fixed = s.fixed
	stormy := p.Name == r.config.Storm.Name
	defer func() {
		if o.brokers != nil {
			o.brokers.stop()
		}
	}()
	if !s.fixed && !stormy {
		o.brokers = announce(ctx, o.addr, p, 0, r.config.Register)
		if err := o.brokers.await(ctx, gatherLimit); err != nil {
			return err
		}
	}
	o.base, _ = readRSS(o.pid) // 0 is "not known"
	if err := o.gather(ctx); err != nil {
		return err
	}
	return f(o)
}

// play runs the crowd, and fails when the server ends meanwhile.
func (o *outing) play(ctx context.Context, scene Scene, over func(int64) bool, queues ...queue) error {
	o.crowd.progress = func() {
		o.progress.Live("%s, %s: %d answers, %d of %d clients connected", o.title, scene, o.crowd.answers, o.crowd.open, o.size)
	}
	if o.child == nil {
		return o.crowd.run(ctx, over, queues...)
	}
	alive, end := context.WithCancelCause(ctx)
	defer end(nil)
	ended := o.child.ended
	go func() {
		select {
		case <-ended:
			end(errors.New("the server ended"))
		case <-alive.Done():
		}
	}()
	err := o.crowd.run(alive, over, queues...)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; the end of its output: %s", err, o.child.output())
	}
	return err
}

// until is over at a time.
func until(at int64) func(int64) bool { return func(now int64) bool { return now >= at } }

// gather connects all clients.
func (o *outing) gather(ctx context.Context) error {
	g := &gathering{crowd: o.crowd, answered: make([]bool, o.size), number: o.crowd.nextLap()}
	o.crowd.observer = g
	limit := o.crowd.now() + int64(gatherLimit)
	err := o.play(ctx, "connecting", func(now int64) bool { return g.over(now) || now > limit }, g)
	switch {
	case err != nil:
		return err
	case g.failed && o.crowd.open > 0:
		open := g.ready
		if o.brokers != nil {
			open += len(o.profile.addresses())
		}
		return &limitError{fmt.Sprintf("refuses further connections at %d open ones (%v)", open, o.crowd.trouble), true}
	case g.failed:
		return fmt.Errorf("target %s: %w", o.addr, o.crowd.trouble)
	case g.ready < g.size:
		return fmt.Errorf("target %s: %d of %d clients had an answer within %v", o.addr, g.ready, g.size, gatherLimit)
	}
	return nil
}

// window measures the queries from now+warmup on until end says so, and waits for their answers. It returns the meter and
// the cell, which is nil when the generator was late.
func (o *outing) window(ctx context.Context, scene Scene, warmup time.Duration, end func(now int64) bool, queues ...queue) (*meter, *FleetCell, error) {
	c := o.crowd
	m := newMeter(c.now()+int64(warmup), never)
	c.meter = m
	if err := o.play(ctx, scene, until(m.from), queues...); err != nil {
		return nil, nil, err
	}
	before, cpuErr := readThreads(o.pid)
	answers := c.answers
	if err := o.play(ctx, scene, end, queues...); err != nil {
		return nil, nil, err
	}
	m.to = c.now()
	after, err := readThreads(o.pid)
	answers = c.answers - answers
	state, stateErr := readProcess(o.pid)
	limit := m.to + int64(fleetGrace)
	if err := o.play(ctx, scene, func(now int64) bool { return m.done(now) || now > limit }, others(queues)...); err != nil {
		return nil, nil, err
	}
	cell := o.keep(scene, m)
	if cell == nil {
		return m, nil, nil
	}
	seconds := time.Duration(m.to - m.from).Seconds()
	cell.add(fPerS, float64(answers)/seconds)
	if cpuErr == nil && err == nil {
		spent := after.since(before)
		cell.add(fCores, spent.Seconds()/seconds)
		cell.add(fCPU, micros(int64(spent))/float64(max(answers, 1)))
	}
	if stateErr == nil {
		o.state(cell, state)
	}
	return m, cell, nil
}

// others are the queues that go on when no more queries are sent.
func others(queues []queue) (rest []queue) {
	for _, q := range queues {
		if _, ok := q.(*polls); !ok {
			rest = append(rest, q)
		}
	}
	return rest
}

func (o *outing) state(cell *FleetCell, p processState) {
	mb := func(bytes int64) float64 { return float64(bytes) / (1 << 20) }
	cell.add(fRSS, mb(p.rss))
	cell.add(fAnon, mb(p.anon))
	cell.add(fPeak, mb(p.peak))
	cell.add(fFiles, float64(p.files))
	cell.add(fBase, mb(o.base))
}

// keep adds the latencies of a scene to its cell; nil when they are thrown away because the generator was late.
func (o *outing) keep(scene Scene, m *meter) *FleetCell {
	cell := o.report.Server(o.key).cell(scene, o.size)
	lag, l := m.lag.summary(), m.latency.summary()
	o.progress.Step("  %s, %d clients: p50 %s, p99 %s, p99.9 %s, %d of %d failed, generator late by %s at the 99th percentile", scene, o.size,
		microLabel(round3(l.P50)), microLabel(round3(l.P99)), microLabel(round3(l.P999)), m.failed(), m.meant, microLabel(round3(lag.P99)))
	if err := firstError(o.crowd.trouble, o.crowd.expect.firstWrong()); err != nil && m.failed() > 0 {
		o.progress.Step("    the first trouble: %v", err)
	}
	if lag.P99 > micros(int64(o.config.MaxLag)) {
		cell.Thrown++
		o.progress.Step("    thrown away: the generator was later than %v", o.config.MaxLag)
		return nil
	}
	if scene == SceneReconnect || scene == SceneRestart {
		for metric, us := range map[string]float64{fServed50: l.P50, fServed99: l.P99, fServed3: l.P999} {
			cell.add(metric, us/1e6)
		}
	} else {
		for metric, us := range map[string]float64{fP50: l.P50, fP90: l.P90, fP99: l.P99, fP999: l.P999, fMax: l.Max} {
			cell.add(metric, us/1e3)
		}
		cell.add(fSlow, float64(m.slow))
	}
	cell.add(fLag, lag.P99/1e3)
	cell.add(fErrors, float64(m.failed()))
	cell.Curve = m.latency.curve()
	return cell
}

// steadyPolls begins to poll, each client at a time of its own.
func (o *outing) steadyPolls() *polls {
	plan := steadyPlan(o.size, o.config.Each, o.config.Period, o.rng)
	p := o.crowd.newPolls(plan, o.crowd.now(), o.config.Period)
	o.crowd.observer = p
	return p
}

func (o *outing) steady(ctx context.Context) error {
	end := until(o.crowd.now() + int64(o.config.Warmup+o.config.Window))
	_, _, err := o.window(ctx, SceneSteady, o.config.Warmup, end, o.steadyPolls())
	return err
}

// meanwhile is steady for as long as somebody else does something.
func (o *outing) meanwhile(ctx context.Context) error {
	c, p := o.crowd, o.steadyPolls()
	if err := o.play(ctx, SceneMeanwhile, until(c.now()+int64(o.config.Warmup)), p); err != nil {
		return err
	}
	forgetPeak(o.pid)
	lost := c.cut
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- o.config.Meanwhile(ctx) }()
	var failed error
	_, cell, err := o.window(ctx, SceneMeanwhile, 0, func(int64) bool {
		select {
		case failed = <-ended:
			return true
		default:
			return false
		}
	}, p)
	if cell != nil {
		cell.add(fLost, float64(c.cut-lost))
	}
	return firstError(err, failed)
}

// settle is how long nothing happens before a scene.
func (r *fleetRun) settle() time.Duration { return min(fleetSettle, r.config.Window) }

// stampede lets all clients poll within spread, out of silence.
func (o *outing) stampede(ctx context.Context, spread time.Duration) (*meter, error) {
	c := o.crowd
	p := c.newPolls(herdPlan(o.size, o.config.Each, spread, o.rng), c.now()+int64(o.settle()), 0)
	c.observer = p
	m := newMeter(p.start, p.start+int64(spread)+1)
	c.meter = m
	limit := m.to + int64(herdLimit)
	err := o.play(ctx, SceneHerd, func(now int64) bool { return m.done(now) || now > limit }, p)
	return m, err
}

func (o *outing) herd(ctx context.Context) error {
	before, cpuErr := readThreads(o.pid)
	forgetPeak(o.pid)
	m, err := o.stampede(ctx, o.report.Herd)
	if err != nil {
		return err
	}
	cell := o.keep(SceneHerd, m)
	if cell == nil {
		return nil
	}
	cell.add(fLast, time.Duration(m.last-m.from).Seconds())
	if after, err := readThreads(o.pid); err == nil && cpuErr == nil {
		cell.add(fCPU, micros(int64(after.since(before)))/float64(max(m.answered, 1)))
	}
	if state, err := readProcess(o.pid); err == nil {
		o.state(cell, state)
	}
	return nil
}

// reconnect closes all connections and lets the clients come back.
func (o *outing) reconnect(ctx context.Context) error {
	c := o.crowd
	for m := range c.size {
		c.hangUp(m)
	}
	forgetPeak(o.pid)
	b, refused := c.newComeback(spreadPlan(o.size, o.report.Herd, o.rng), c.now()), c.refused
	c.observer = b
	limit := c.now() + int64(returnLimit)
	if err := o.play(ctx, SceneReconnect, func(now int64) bool { return b.over(now) || now > limit }, b); err != nil {
		return err
	}
	o.returned(SceneReconnect, b, b.start, refused)
	return nil
}

// returned books how the clients came back after start; refused is what had been refused before.
func (o *outing) returned(scene Scene, b *comeback, start, refused int64) *FleetCell {
	cell := o.keep(scene, b.meter)
	if cell == nil {
		return nil
	}
	cell.Served = servedCurve(b.served, start, o.size)
	if len(b.served) > 0 {
		cell.add(fLast, time.Duration(b.served[len(b.served)-1]-start).Seconds())
	}
	cell.add(fRefused, float64(o.crowd.refused-refused))
	if state, err := readProcess(o.pid); err == nil {
		o.state(cell, state)
	}
	return cell
}

// servedCurve thins out when so many clients were served, times being those of the crowd's clock in order.
func servedCurve(served []int64, start int64, size int) []ServedPoint {
	var curve []ServedPoint
	for i := range min(len(served), servedPoints) {
		k := (i + 1) * len(served) / min(len(served), servedPoints)
		curve = append(curve, ServedPoint{time.Duration(served[k-1] - start).Seconds(), 100 * float64(k) / float64(size)})
	}
	return curve
}

// restart kills the server and starts it again. The brokers come back within their 30 s, the clients at once.
func (o *outing) restart(ctx context.Context) error {
	c := o.crowd
	killed, refused := c.now(), c.refused
	if err := o.child.restart(o.cmd); err != nil {
		return err
	}
	o.pid = o.child.pid
	o.brokers.stop()
	o.brokers = announce(ctx, o.addr, o.profile, o.config.Register, o.config.Register)
	b := c.newComeback(spreadPlan(o.size, o.report.Herd, o.rng), c.now())
	c.observer = b
	limit := c.now() + int64(returnLimit)
	over := func(now int64) bool { return b.over(now) && o.brokers.whole() || now > limit }
	if err := o.play(ctx, SceneRestart, over, b); err != nil {
		return err
	}
	cell := o.returned(SceneRestart, b, killed, refused)
	if cell == nil || !o.brokers.whole() || !b.over(0) {
		return nil
	}
	last := b.served[len(b.served)-1]
	cell.add(fRoutes, time.Duration(int64(o.brokers.answered.Sub(c.base))-killed).Seconds())
	cell.add(fGap, time.Duration(last-int64(o.brokers.last.Sub(c.base))).Seconds())
	return nil
}

// silent is steady with a second, silent connection of each client.
func (o *outing) silent(ctx context.Context) error {
	c := o.crowd
	before, beforeErr := readProcess(o.pid)
	first := &firstSilents{crowd: c, start: c.now()}
	p := o.steadyPolls()
	opened := time.Duration(o.size) * time.Second / silentRate
	if err := o.play(ctx, SceneSilent, until(c.now()+int64(opened+o.settle())), first, p); err != nil {
		return err
	}
	after, afterErr := readProcess(o.pid)
	if c.silent == 0 {
		return errors.New("no silent connection could be opened")
	}
	again := &silents{crowd: c, plan: spreadPlan(o.size, silentTurn, o.rng), start: c.now()}
	end := until(c.now() + int64(o.config.Warmup+o.config.Window))
	_, cell, err := o.window(ctx, SceneSilent, o.config.Warmup, end, p, again)
	if cell == nil || err != nil {
		return err
	}
	cell.add(fDropped, float64(c.dropped))
	if beforeErr == nil && afterErr == nil {
		cell.add(fSilentKB, float64(after.rss-before.rss)/1024/float64(c.silent))
	}
	return nil
}

// storm is steady while the brokers register, and then steady again.
func (o *outing) storm(ctx context.Context) error {
	c := o.crowd
	c.expect.partial = true
	p := o.steadyPolls()
	if err := o.play(ctx, SceneStorm, until(c.now()+int64(o.config.Warmup)), p); err != nil {
		return err
	}
	forgetPeak(o.pid)
	began := c.now()
	o.brokers = announce(ctx, o.addr, o.profile, o.config.StormTime, o.config.Register)
	end := func(now int64) bool {
		return now >= began+int64(o.config.StormTime) && o.brokers.whole() || now > began+int64(o.config.StormTime+stormLimit)
	}
	_, cell, err := o.window(ctx, SceneStorm, 0, end, p)
	if err != nil {
		return err
	}
	if left, why := o.brokers.missing(); left > 0 {
		if cell == nil {
			return nil // it may be the generator's own, or the machine's
		}
		return &limitError{text: fmt.Sprintf("had %d of %d brokers registered after %v of the storm, with %d clients (%v)",
			len(o.profile.addresses())-left, len(o.profile.addresses()), o.config.StormTime+stormLimit, o.size, why)}
	}
	if cell != nil {
		o.brokers.mu.Lock()
		cell.add(fRoutes, time.Duration(int64(o.brokers.answered.Sub(c.base))-began).Seconds())
		cell.add(fRegister, o.brokers.took.summary().P99/1e3)
		o.brokers.mu.Unlock()
	}
	c.expect.partial = false
	_, _, err = o.window(ctx, sceneAfter, o.config.Warmup, until(c.now()+int64(o.config.Warmup+o.config.Window)), o.steadyPolls())
	return err
}

// round3 keeps three significant digits.
func round3(v float64) float64 {
	if v <= 0 {
		return 0
	}
	scale := math.Pow(10, math.Floor(math.Log10(v))-2)
	return math.Round(v/scale) * scale
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// FleetReport is what RunFleet measured.
type FleetReport struct {
	When     time.Time     `json:"when"`
	Machine  Machine       `json:"machine"`
	Cores    string        `json:"cores"`  // where servers and generator ran
	Rounds   int           `json:"rounds"` // finished ones
	Clients  []int         `json:"clients"`
	Each     int           `json:"topics_each"`
	Period   time.Duration `json:"period_ns"`
	Window   time.Duration `json:"window_ns"`
	Herd     time.Duration `json:"herd_ns"`
	MaxLag   time.Duration `json:"max_lag_ns"`
	Profile  Profile       `json:"profile"`
	Storm    Profile       `json:"storm"`
	Over     time.Duration `json:"storm_ns"`
	Notes    []string      `json:"notes,omitempty"` // what is less than was asked for
	Servers  []FleetServer `json:"servers"`
	Gossip   []GossipSize  `json:"gossip,omitempty"`
	Failures []string      `json:"failures,omitempty"`
}

// FleetServer is all that was measured of one server.
type FleetServer struct {
	Key     string       `json:"key"`
	Title   string       `json:"title"`
	Missing string       `json:"missing,omitempty"`
	Limits  []string     `json:"limits,omitempty"` // of the server's own, which a fleet has met
	Cells   []*FleetCell `json:"cells,omitempty"`
}

// FleetCell is one scene with so many clients.
type FleetCell struct {
	Scene   Scene                `json:"scene"`
	Clients int                  `json:"clients"`
	Values  map[string][]float64 `json:"values"`           // by metric, one value a round
	Thrown  int                  `json:"thrown,omitempty"` // rounds that were thrown away: the generator was late
	Curve   []CurvePoint         `json:"curve,omitempty"`  // latency, of the last round
	Served  []ServedPoint        `json:"served,omitempty"` // clients that have come back, of the last round
}

// ServedPoint says how many clients had come back at a time.
type ServedPoint struct {
	Seconds float64 `json:"s"`
	Percent float64 `json:"percent"`
}

// Server returns the results of a server; an empty one when it was not measured.
func (r *FleetReport) Server(key string) *FleetServer {
	for i := range r.Servers {
		if r.Servers[i].Key == key {
			return &r.Servers[i]
		}
	}
	return &FleetServer{Key: key}
}

// Cell returns the results of a scene; an empty one when it was not measured.
func (s *FleetServer) Cell(scene Scene, clients int) *FleetCell {
	for _, c := range s.Cells {
		if c.Scene == scene && c.Clients == clients {
			return c
		}
	}
	return &FleetCell{Scene: scene, Clients: clients, Values: map[string][]float64{}}
}

func (s *FleetServer) cell(scene Scene, clients int) *FleetCell {
	c := s.Cell(scene, clients)
	if !slices.Contains(s.Cells, c) {
		s.Cells = append(s.Cells, c)
	}
	return c
}

// Spread summarises one metric.
func (c *FleetCell) Spread(metric string) Spread { return summarise(c.Values[metric]) }

func (c *FleetCell) add(metric string, v float64) { c.Values[metric] = append(c.Values[metric], v) }

// fleetRun is one running RunFleet.
type fleetRun struct {
	config   FleetConfig
	report   *FleetReport
	progress *Progress
	cores    *cores // nil: the server runs elsewhere
	files    int    // how many this process may open
}

// fleetSpare is what the generator and a server need beside the clients' connections: brokers, files, and readers.
const fleetSpare = 600

// RunFleet measures what NameServers do for a fleet of clients. Servers that this machine lacks are named in the report.
// When ctx ends it reports what was measured until then.
func RunFleet(ctx context.Context, c FleetConfig, progress io.Writer) (*FleetReport, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	files, err := raiseFileLimit()
	if err != nil {
		return nil, err
	}
	p := NewProgress(progress)
	defer p.Done()
	r := &fleetRun{config: c, progress: p, files: files, report: &FleetReport{
		When: time.Now().UTC(), Machine: thisMachine(), Each: c.Each, Period: c.Period, Window: c.Window, Herd: c.Herd,
		MaxLag: c.MaxLag, Profile: c.Profile, Storm: c.Storm, Over: c.StormTime,
	}}
	if err := r.fit(); err != nil {
		return nil, err
	}
	// The crowd's thread waits in system calls and holds a P there, which the brokers shall not miss.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	defer debug.SetGCPercent(debug.SetGCPercent(sharedGC))
	present, done, err := r.servers(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	err = r.calibrate(ctx, present)
	if ctx.Err() != nil {
		return r.report, nil
	}
	if err != nil {
		return nil, err
	}
	for round := range c.Rounds {
		// The order turns by one each round, so that no server always follows the same one.
		for i := range present {
			s := present[(i+round)%len(present)]
			p.Step("round %d of %d: %s", round+1, c.Rounds, s.title)
			r.round(ctx, s)
		}
		if ctx.Err() != nil {
			return r.report, nil
		}
		r.report.Rounds++
	}
	if slices.ContainsFunc(present, func(s server) bool { return s.key == Ours }) {
		r.cores.release() // three nodes and their brokers: the figure is bytes, not time
		for _, p := range r.gossipProfiles() {
			if err := r.gossip(ctx, p); err != nil && ctx.Err() == nil {
				r.report.Failures = append(r.report.Failures, fmt.Sprintf("gossip: %v", err))
			}
		}
	}
	if len(r.report.Failures) > 0 {
		return r.report, errors.New("some measurements failed; the report lists them")
	}
	return r.report, nil
}

// fit takes from the sizes what the limit of open files does not allow.
func (r *fleetRun) fit() error {
	most := r.files - fleetSpare
	if most < 1 {
		return fmt.Errorf("clients: this process may open %d files and needs %d beside its clients; raise the limit (ulimit -n)", r.files, fleetSpare)
	}
	var sizes []int
	for _, n := range r.config.Clients {
		if n > most {
			r.note("%d clients were asked for and %d are measured: this process may open %d files (ulimit -n)", n, most, r.files)
		}
		sizes = append(sizes, min(n, most))
	}
	r.config.Clients = slices.Compact(sizes)
	r.report.Clients = r.config.Clients
	if n := r.largest(); r.config.wants(SceneSilent) && r.withSilent(n) < n {
		r.note("silent has %d clients instead of %d: each holds two connections, and this process may open %d files (ulimit -n)", r.withSilent(n), n, r.files)
	}
	return nil
}

func (r *fleetRun) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.report.Notes = append(r.report.Notes, text)
	r.progress.Step("%s", text)
}

func (r *fleetRun) largest() int { return r.config.Clients[len(r.config.Clients)-1] }

// withSilent is how many of n clients can hold two connections; one always can, out of what is spared.
func (r *fleetRun) withSilent(n int) int { return min(n, max(1, (r.files-fleetSpare)/2)) }

// servers finds what is to be measured, and gives servers and generator their cores. done gives them back.
func (r *fleetRun) servers(ctx context.Context) (present []server, done func(), err error) {
	if r.config.Target != "" {
		c, err := dialCaller(ctx, r.config.Target)
		if err != nil {
			return nil, nil, err
		}
		defer c.conn.Close()
		if err := c.probe(); err != nil {
			return nil, nil, err
		}
		r.report.Cores = "the server ran wherever it was started, the generator on any core"
		r.report.Servers = []FleetServer{{Key: targetKey, Title: r.config.Target}}
		return []server{{key: targetKey, title: r.config.Target}}, func() {}, nil
	}
	if r.cores, err = splitCores(); err != nil {
		return nil, nil, err
	}
	r.report.Cores = fmt.Sprintf("each server on core %d alone, the generator on core %d", r.cores.server, r.cores.own)
	dir, err := os.MkdirTemp("", "epitaph-fleet-")
	if err != nil {
		r.cores.release()
		return nil, nil, fmt.Errorf("make a directory for the compiler: %w", err)
	}
	wanted := r.config.Servers
	if len(wanted) == 0 {
		wanted = FleetServers()
	}
	peers := r.config.Peers
	peers.Ours = append(slices.Clone(peers.Ours), "--max-connections", strconv.Itoa(fleetMost(r.largest())))
	for _, s := range findServers(ctx, peers, r.config.Profile, dir) {
		if !slices.Contains(wanted, s.key) {
			continue
		}
		result := FleetServer{Key: s.key, Title: s.title}
		if s.missing != nil {
			result.Missing = s.missing.Error()
			r.progress.Step("%s is missing: %v", s.key, s.missing)
		} else {
			s.cmd.begin = r.cores.start
			present = append(present, s)
		}
		r.report.Servers = append(r.report.Servers, result)
	}
	done = func() { os.RemoveAll(dir); r.cores.release() }
	if len(present) == 0 {
		done()
		return nil, nil, errors.New("servers: none of those that are wanted is there")
	}
	return present, done, nil
}

// fleetMost is what epitaph is given as --max-connections: with more than three quarters in use it lets in nobody who only asks. A client may hold two.
func fleetMost(clients int) int { return 3*clients + fleetSpare }

const targetKey = "target"

// leisure orders servers by how little they do for a query.
func (s server) leisure() int {
	switch {
	case s.fixed:
		return 2
	case s.key == Ours:
		return 1
	}
	return 0
}

// calibrate finds out within how many seconds this machine can let the largest fleet poll at once, with the server that
// does the least.
func (r *fleetRun) calibrate(ctx context.Context, present []server) error {
	if r.config.Herd > 0 || !(r.config.wants(SceneHerd) || r.config.wants(SceneReconnect) || r.config.wants(SceneRestart)) {
		return nil
	}
	least := slices.MaxFunc(present, func(a, b server) int { return a.leisure() - b.leisure() })
	r.progress.Step("looking for the seconds that a herd of %d clients takes at least, with %s", r.largest(), least.title)
	err := r.outing(ctx, least, r.largest(), r.config.Profile, func(o *outing) error {
		for _, seconds := range []time.Duration{1, 2, 3, 4, 6, 8, 12, 16, 24, 32} {
			r.report.Herd = seconds * time.Second
			m, err := o.stampede(ctx, r.report.Herd)
			if err != nil {
				return err
			}
			lag := m.lag.summary()
			r.progress.Step("  %d s: the generator was %.1f ms late at the 99th percentile", seconds, lag.P99/1e3)
			if lag.P99 <= micros(int64(r.config.MaxLag)) {
				return nil
			}
		}
		return fmt.Errorf("herd: this machine cannot let %d clients poll within %v; make it quiet, or ask for fewer clients", r.largest(), r.report.Herd)
	})
	if err == nil && r.report.Herd > time.Second {
		r.note("a herd polls, and a fleet comes back, within %v instead of one second: this machine cannot do it faster", r.report.Herd)
	}
	return err
}

// round measures everything of one server once.
func (r *fleetRun) round(ctx context.Context, s server) {
	for i, size := range r.config.Clients {
		all := (i == 0 || size == r.largest()) && !s.fixed
		wants := func(scene Scene) bool {
			return r.config.wants(scene) && (all || scene == SceneSteady || scene == SceneHerd && size == r.largest())
		}
		if !r.with(ctx, s, size, wants) {
			return
		}
	}
}

// with measures one size; false: no larger one makes sense. A failure is kept in the report.
func (r *fleetRun) with(ctx context.Context, s server, size int, wants func(Scene) bool) bool {
	result := r.report.Server(s.key)
	try := func(scenes string, size int, p Profile, f func(*outing) error) bool {
		err := r.outing(ctx, s, size, p, f)
		var limit *limitError
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.As(err, &limit):
			if !slices.Contains(result.Limits, limit.Error()) {
				result.Limits = append(result.Limits, limit.Error())
			}
			r.progress.Step("%s %v", s.title, limit)
			return !limit.refuses && ctx.Err() == nil
		default:
			r.report.Failures = append(r.report.Failures, fmt.Sprintf("%s, %d clients, %s: %v", s.title, size, scenes, err))
			r.progress.Step("%s: %v", s.title, err)
		}
		return ctx.Err() == nil
	}
	same := func(o *outing) error {
		for _, one := range []struct {
			scene Scene
			play  func(context.Context) error
		}{{SceneSteady, o.steady}, {SceneMeanwhile, o.meanwhile}, {SceneHerd, o.herd}, {SceneReconnect, o.reconnect}, {SceneRestart, o.restart}} {
			if !wants(one.scene) {
				continue
			}
			if err := one.play(ctx); err != nil {
				return fmt.Errorf("%s: %w", one.scene, err)
			}
		}
		return nil
	}
	if slices.ContainsFunc([]Scene{SceneSteady, SceneMeanwhile, SceneHerd, SceneReconnect, SceneRestart}, wants) && !try("one after the other", size, r.config.Profile, same) {
		return false
	}
	if wants(SceneSilent) && !try(string(SceneSilent), r.withSilent(size), r.config.Profile, func(o *outing) error { return o.silent(ctx) }) {
		return false
	}
	return !wants(SceneStorm) || try(string(SceneStorm), size, r.config.Storm, func(o *outing) error { return o.storm(ctx) })
}

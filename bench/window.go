package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
)

// WindowReport is what RunWindow measured.
type WindowReport struct {
	When     time.Time      `json:"when"`
	Machine  Machine        `json:"machine"`
	Rounds   int            `json:"rounds"`       // finished ones
	Load     []float64      `json:"load_average"` // when each window began and ended
	Scenes   []WindowScene  `json:"scenes"`
	Servers  []WindowServer `json:"servers"`
	Missing  []string       `json:"missing,omitempty"` // clients and scenes that this machine lacks
	Cells    []*WindowCell  `json:"cells"`
	Failures []string       `json:"failures,omitempty"`
}

// WindowServer is one kind of NameServer, three of which serve.
type WindowServer struct {
	Key     string `json:"key"`
	Title   string `json:"title"`
	Missing string `json:"missing,omitempty"`
}

// WindowCell is all clients of one kind, of one program, in one scene, with one kind of NameServer, in all rounds.
type WindowCell struct {
	Scene   WindowScene     `json:"scene"`
	Server  string          `json:"server"`
	Program string          `json:"program"`
	Kind    string          `json:"kind"`
	Latency Latency         `json:"send"`
	Clients []*WindowClient `json:"clients"`

	took histogram
}

// Cell returns what was measured; an empty one when it was not.
func (r *WindowReport) Cell(scene WindowScene, server, program, kind string) *WindowCell {
	for _, c := range r.Cells {
		if c.Scene == scene && c.Server == server && c.Program == program && c.Kind == kind {
			return c
		}
	}
	return &WindowCell{Scene: scene, Server: server, Program: program, Kind: kind, took: newHistogram()}
}

// note adds one client to its cell.
func (r *WindowReport) note(scene WindowScene, server, program, kind string, client *WindowClient) {
	c := r.Cell(scene, server, program, kind)
	if !slices.Contains(r.Cells, c) {
		r.Cells = append(r.Cells, c)
	}
	c.Clients = append(c.Clients, client)
	c.took.merge(client.took)
	c.Latency = c.took.summary()
}

// windowRun is one running RunWindow.
type windowRun struct {
	config   WindowConfig
	progress *Progress
	programs []windowProgram

	mu     sync.Mutex // guards the report
	report *WindowReport
}

// RunWindow lets real clients send to real brokers while one of these goes, with three NameServers of ours and three Java ones in
// turn. What this machine lacks is named in the report. When ctx ends it reports what was measured until then.
func RunWindow(ctx context.Context, c WindowConfig, progress io.Writer) (*WindowReport, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := NewProgress(progress)
	defer p.Done()
	r := &windowRun{config: c, progress: p, report: &WindowReport{When: time.Now().UTC(), Machine: thisMachine()}}
	servers := r.find()
	for round := range c.Rounds {
		for _, scene := range r.report.Scenes {
			r.playAll(ctx, servers, scene.play(), round)
			if ctx.Err() != nil {
				return r.report, nil
			}
		}
		r.report.Rounds++
	}
	if len(r.report.Failures) > 0 {
		return r.report, errors.New("some measurements failed; the report lists them")
	}
	return r.report, nil
}

// playAll lets one scene happen with each kind of NameServer. The order turns by one each round, so that none always follows the same one.
func (r *windowRun) playAll(ctx context.Context, servers []server, what windowPlay, round int) {
	var all sync.WaitGroup
	for i := range servers {
		s := servers[(i+round)%len(servers)]
		all.Go(func() {
			if err := r.play(ctx, s, what, round); err != nil && ctx.Err() == nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.report.Failures = append(r.report.Failures, fmt.Sprintf("round %d, %s, %s: %v", round+1, s.title, what.scene, err))
				r.progress.Step("%s: %v", s.title, err)
			}
		})
		if !what.apart {
			all.Wait()
		}
	}
	all.Wait()
}

// find says which servers there are, which programs with clients, and which scenes can be played.
func (r *windowRun) find() (present []server) {
	for _, s := range []server{
		findJava(JavaSmall, "Java 5.5.0", r.config.JavaCP, "-Xms512m", "-Xmx512m"),
		{key: Ours, title: "epitaph", cmd: command{argv: r.config.Ours}},
	} {
		result := WindowServer{Key: s.key, Title: s.title}
		if s.missing != nil {
			result.Missing = s.missing.Error()
			r.progress.Step("MISSING, not measured: NameServer %s: %v", s.title, s.missing)
		} else {
			present = append(present, s)
		}
		r.report.Servers = append(r.report.Servers, result)
	}
	for _, p := range r.config.programs() {
		if p.missing != nil {
			r.report.Missing = append(r.report.Missing, fmt.Sprintf("clients %s: %v", p.title, p.missing))
			r.progress.Step("MISSING, not measured: clients %s: %v", p.title, p.missing)
			continue
		}
		r.programs = append(r.programs, p)
	}
	for _, scene := range r.config.Scenes {
		if scene.play().apart {
			n, err := openWindowNet()
			if err != nil {
				r.report.Missing = append(r.report.Missing, fmt.Sprintf("the scene %s: machines of brokers take Linux, root and the program ip (iproute2): %v", scene, err))
				r.progress.Step("MISSING, not measured: the scene %s: %v", scene, err)
				continue
			}
			n.close()
		}
		r.report.Scenes = append(r.report.Scenes, scene)
	}
	return present
}

// play lets one scene happen with one kind of NameServer.
func (r *windowRun) play(ctx context.Context, s server, what windowPlay, round int) error {
	r.progress.Step("round %d of %d: three NameServers %s, a broker %s", round+1, r.config.Rounds, s.title, what.title)
	w, err := startWindow(ctx, s, what, r.config.BrokerCP)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := w.within(func() error { return w.startClients(ctx, r.programs) }); err != nil {
		return err
	}
	r.load()
	moment := time.Now()
	if err := what.strike(w); err != nil {
		return err
	}
	if err := pause(ctx, what.watch); err != nil {
		return err
	}
	r.load()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.programs {
		t, err := w.tally(i, moment, what.watch)
		if err != nil {
			return err
		}
		t.finish()
		failed, before := 0, 0
		for _, k := range p.kinds {
			for i := range k.count {
				c := t.client(k.client(i))
				c.Round = round + 1
				failed, before = failed+c.Failed, before+c.before
				r.report.note(what.scene, s.key, p.key, k.key, c)
			}
		}
		r.progress.Step("  NameServers %s, clients %s: %d sends failed", s.title, p.title, failed)
		if before > 0 {
			r.progress.Step("  and %d before anything happened", before)
		}
	}
	return nil
}

// load notes how many threads want a core.
func (r *windowRun) load() {
	if v, err := strconv.ParseFloat(loadAverage(), 64); err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.report.Load = append(r.report.Load, v)
	}
}

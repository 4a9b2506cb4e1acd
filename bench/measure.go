package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	dialTimeout = 3 * time.Second
	// silence is how long a server may owe answers to all connections before a run is given up.
	silence = 10 * time.Second
	// openSlots bounds the requests in flight of an open loop, over all connections.
	openSlots = 1 << 18
)

// target is a NameServer that is measured.
type target struct {
	addr string
	pid  int         // 0: not known
	tls  *tls.Config // what its clients speak; nil: plain text
}

// cellSpec is what one measurement is asked to do.
type cellSpec struct {
	kind        Kind
	connections int
	depth       int
	rate        float64
	warmup      time.Duration
	duration    time.Duration
	changeEvery int
	checkEvery  int
	seed        uint64
}

// CellResult is one measurement.
type CellResult struct {
	Kind        Kind         `json:"kind"`
	Connections int          `json:"connections"`
	Depth       int          `json:"depth,omitempty"`       // closed loop
	Rate        float64      `json:"asked_per_s,omitempty"` // open loop
	Seconds     float64      `json:"seconds"`
	Answers     int64        `json:"answers"`
	PerSecond   float64      `json:"per_s"`
	Latency     Latency      `json:"latency"`
	Curve       []CurvePoint `json:"curve,omitempty"`
	Compared    int64        `json:"compared"`              // bodies compared with the expected one
	Wrong       int64        `json:"wrong"`                 // answers that were not right
	FirstWrong  string       `json:"first_wrong,omitempty"` // what was wrong with the first of them
	ServerCPU   float64      `json:"server_cpu_us"`         // per answer; 0: not known
	ClientCPU   float64      `json:"client_cpu_us"`         // per answer
	ServerRSS   int64        `json:"server_rss_bytes"`      // at the end; 0: not known
	Late        *Latency     `json:"sent_late,omitempty"`   // open loop: from the intended time to the write
	Unsent      int64        `json:"unsent,omitempty"`      // open loop: too many in flight to send; latencies are then lower bounds
	Interrupted bool         `json:"interrupted,omitempty"`
}

// runCell measures one server. An ended ctx shortens the cell; a server that fails makes it return what was
// measured until then beside the error.
func runCell(ctx context.Context, t target, expect *expectation, fixed bool, spec cellSpec, progress *Progress) (*CellResult, error) {
	c := &cell{
		kind: spec.kind, profile: expect.profile, expect: expect, fixed: fixed, depth: spec.depth,
		checkEvery: spec.checkEvery, changeEach: spec.changeEvery, base: time.Now(), batches: t.tls != nil,
	}
	conns, err := dialAll(ctx, c, t, spec)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	if spec.rate > 0 {
		// The pacer's thread sleeps in system calls and holds a P there, which the readers shall not miss.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
	}
	var group errgroup.Group
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	work := func(f func() error) {
		group.Go(func() error {
			err := f()
			if err != nil {
				fail(err)
			}
			return err
		})
	}
	var p *pacer
	for _, lc := range conns {
		if spec.rate > 0 {
			work(lc.runReader)
		} else {
			work(lc.runClosed)
		}
	}
	if spec.rate > 0 {
		p = &pacer{cell: c, conns: conns, gap: 1e9 / spec.rate, rng: rand.New(rand.NewPCG(spec.seed, 1<<32)), late: newHistogram()}
		work(p.run)
	}
	r, silentErr := c.watch(failed, t.pid, spec, progress)
	c.phase.Store(phaseDone)
	closeAll(conns)
	err = group.Wait()
	r.sum(conns, p, expect)
	r.Interrupted = ctx.Err() != nil
	if err == nil {
		err = silentErr
	}
	if err == nil && r.Answers == 0 && !r.Interrupted {
		err = errors.New("no answer came while measuring; measure longer, or with fewer connections")
	}
	if err != nil {
		err = fmt.Errorf("target %s: %w", t.addr, err)
	}
	return r, err
}

func dialAll(ctx context.Context, c *cell, t target, spec cellSpec) ([]*loadConn, error) {
	slots := 4 * spec.depth
	if spec.rate > 0 {
		slots = min(max(openSlots/spec.connections, 64), 8192)
	}
	conns := make([]*loadConn, 0, spec.connections)
	for i := range spec.connections {
		conn, err := t.dial(ctx)
		if err != nil {
			closeAll(conns)
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, spec.connections, err)
		}
		conns = append(conns, newLoadConn(c, conn, i, slots, spec.seed))
	}
	return conns, nil
}

func closeAll(conns []*loadConn) {
	for _, lc := range conns {
		lc.conn.Close()
	}
}

func (t target) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, fmt.Errorf("target %s does not answer: %w; start a NameServer there or name another target", t.addr, err)
	}
	if t.tls == nil {
		return conn, nil
	}
	return secured(ctx, conn, t.tls)
}

var errSilent = fmt.Errorf("no answer for %v although requests are waiting", silence)

// watch turns the phases over and returns what was read of the processes. Its only error is errSilent.
func (c *cell) watch(ctx context.Context, pid int, spec cellSpec, progress *Progress) (*CellResult, error) {
	r := &CellResult{Kind: spec.kind, Connections: spec.connections, Depth: spec.depth, Rate: spec.rate}
	if spec.rate > 0 {
		r.Depth = 0
	}
	if err := c.wait(ctx, spec.warmup, "warming up", progress); err != nil || ctx.Err() != nil {
		return r, err
	}
	server, serverErr := readThreads(pid)
	client, began, answered := ownCPU(), time.Now(), c.answered.Load()
	c.phase.Store(phaseMeasure)
	err := c.wait(ctx, spec.duration, "measuring", progress)
	r.Seconds = time.Since(began).Seconds()
	c.phase.Store(phaseDone)
	answers := float64(max(c.answered.Load()-answered, 1))
	r.ClientCPU = micros(int64(ownCPU()-client)) / answers
	if after, err := readThreads(pid); pid > 0 && err == nil && serverErr == nil {
		r.ServerCPU = micros(int64(after.since(server))) / answers
		r.ServerRSS, _ = readRSS(pid) // 0 is "not known"
	}
	return r, err
}

// wait lets d pass, less when ctx ends or the server falls silent.
func (c *cell) wait(ctx context.Context, d time.Duration, what string, progress *Progress) error {
	end := time.After(d)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, lastAt := c.answered.Load(), time.Now()
	for {
		select {
		case <-end:
			return nil
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n := c.answered.Load()
		progress.Live("%s: %d answers, %.0f/s", what, n, float64(n-last)/time.Since(lastAt).Seconds())
		if n > last {
			last, lastAt = n, time.Now()
		} else if time.Since(lastAt) > silence {
			return errSilent
		}
	}
}

// sum adds up what the connections saw.
func (r *CellResult) sum(conns []*loadConn, p *pacer, expect *expectation) {
	all := newHistogram()
	for _, lc := range conns {
		all.merge(lc.hist)
		r.Answers += lc.tally.Answers
		r.Compared += lc.tally.Compared
		r.Wrong += lc.tally.Wrong
	}
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Answers) / r.Seconds
	}
	r.Latency, r.Curve = all.summary(), all.curve()
	if p != nil {
		late := p.late.summary()
		r.Late, r.Unsent = &late, p.unsent
	}
	if err := expect.firstWrong(); err != nil && r.Wrong > 0 {
		r.FirstWrong = err.Error()
	}
}

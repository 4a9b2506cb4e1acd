package bench

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func smallOuting(t *testing.T, addr string, clients int) *outing {
	t.Helper()
	c := DefaultFleetConfig()
	c.Target, c.Each, c.Period, c.Warmup, c.Window, c.MaxLag = addr, 2, time.Second, 0, 500*time.Millisecond, time.Minute
	r := &fleetRun{config: c, report: &FleetReport{Herd: 100 * time.Millisecond, Servers: []FleetServer{{Key: targetKey, Title: addr}}}}
	o := &outing{fleetRun: r, server: server{key: targetKey, title: addr}, addr: addr, size: clients, profile: c.Profile, rng: seeded()}
	e := newExpectation(c.Profile)
	e.partial = true // code 17 is right
	var err error
	o.crowd, err = newCrowd(addr, clients, c.Each, clients, fleetTopics(clients, c.Each, c.Profile.Topics, o.rng), e)
	kit.Must(t, err)
	t.Cleanup(o.crowd.close)
	return o
}

// A server that refuses connections beyond a number has a limit, and no failure.
func TestFleetMeetsALimit(t *testing.T) {
	addr, _ := missServer(t, 40)
	var limit *limitError
	if err := smallOuting(t, addr, 60).gather(t.Context()); !errors.As(err, &limit) || !limit.refuses || !strings.Contains(limit.Error(), "at 40 open ones") {
		t.Errorf("%v, want a limit of 40", err)
	}
	addr, _ = missServer(t, 40)
	kit.Must(t, smallOuting(t, addr, 10).gather(t.Context()))
}

// Clients connect at a pace.
func TestFleetGathersAtAPace(t *testing.T) {
	const clients = 500
	addr, _ := missServer(t, clients)
	o := smallOuting(t, addr, clients)
	began := time.Now()
	kit.Must(t, o.gather(t.Context()))
	if took := time.Since(began); took < (clients-1)*time.Second/gatherRate {
		t.Errorf("%d clients have connected within %v", clients, took)
	}
}

// Connections that the server closes are opened again, and the queries that they cost are told.
func TestFleetOutlivesLostConnections(t *testing.T) {
	addr, drop := missServer(t, 1000)
	o := smallOuting(t, addr, 50)
	kit.Must(t, o.gather(t.Context()))
	dropped := time.AfterFunc(100*time.Millisecond, drop)
	defer dropped.Stop()
	limit := o.crowd.now() + int64(20*time.Second)
	again := func(now int64) bool { return o.crowd.cut == 50 && o.crowd.open == 50 || now > limit }
	m, cell, err := o.window(t.Context(), SceneSteady, 0, again, o.steadyPolls())
	kit.Must(t, err)
	if m.failed() < 50 || o.crowd.cut != 50 || o.crowd.open != 50 || cell.Spread(fErrors).Median != float64(m.failed()) {
		t.Errorf("%d failed, %d answered, %d lost, %d open", m.failed(), m.answered, o.crowd.cut, o.crowd.open)
	}
}

// What somebody else does ends the scene, with its error, and the connections that clients lose until then are told.
func TestMeanwhile(t *testing.T) {
	const clients = 20
	conns := make(chan net.Conn, 2*clients)
	o := smallOuting(t, kit.Listen(t, func(c net.Conn) { conns <- c; answerMisses(c) }), clients)
	kit.Must(t, o.gather(t.Context()))
	failed := errors.New("failed")
	o.config.Meanwhile = func(ctx context.Context) error {
		for n := range 2 * clients { // each is closed, and comes back
			select {
			case c := <-conns:
				if n < clients {
					c.Close()
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return failed
	}
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	if err := o.meanwhile(ctx); !errors.Is(err, failed) {
		t.Error(err)
	}
	cell := o.report.Server(targetKey).Cell(SceneMeanwhile, clients)
	if lost := cell.Spread(fLost); lost.N != 1 || lost.Median != clients || cell.Spread(fErrors).Median == 0 {
		t.Errorf("%+v", cell)
	}
}

// A client that is refused, or whose route is not whole, tries again a second later.
func TestComebackTriesAgain(t *testing.T) {
	addr, _ := missServer(t, 1000)
	gone := net.JoinHostPort("127.0.0.1", strconv.Itoa(kit.FreePort(t)))
	for _, at := range []struct {
		addr  string
		tries func(*crowd) int64
	}{{addr, func(c *crowd) int64 { return c.answers }}, {gone, func(c *crowd) int64 { return c.refused }}} {
		o := smallOuting(t, at.addr, 5)
		began := o.crowd.now()
		b := o.crowd.newComeback(spreadPlan(5, time.Millisecond, o.rng), began)
		o.crowd.observer = b
		limit := began + int64(20*time.Second)
		kit.Must(t, o.play(t.Context(), SceneRestart, func(now int64) bool { return at.tries(o.crowd) >= 10 || now > limit }, b))
		if took := time.Duration(o.crowd.now() - began); len(b.served) != 0 || at.tries(o.crowd) != 10 || took < comebackRetry {
			t.Errorf("%s: %d of 5 clients served, %d tries after %v; want 0, and 10 after a second", at.addr, len(b.served), at.tries(o.crowd), took)
		}
	}
}

// A round in which the generator itself was late is thrown away: none of its figures is kept.
func TestLateRoundsAreThrownAway(t *testing.T) {
	addr, _ := missServer(t, 10)
	o := smallOuting(t, addr, 1)
	o.config.MaxLag = 10 * time.Millisecond
	late, good := newMeter(0, never), newMeter(0, never)
	for i := range int64(1000) {
		lag := int64(time.Millisecond)
		if i < 20 {
			lag = int64(11 * time.Millisecond)
		}
		late.sent(1, 1+lag)
		late.landed(1, 1+2*lag, true)
		good.sent(1, 1+int64(time.Millisecond))
		good.landed(1, 1+int64(2*time.Millisecond), true)
	}
	if o.keep(SceneSteady, late) != nil {
		t.Error("2 % of the queries were sent 11 ms late, and the round was kept")
	}
	cell := o.report.Server(targetKey).Cell(SceneSteady, 1)
	if cell.Thrown != 1 || len(cell.Values) != 0 || len(cell.Curve) != 0 {
		t.Errorf("%+v", cell)
	}
	if o.keep(SceneSteady, good) == nil || cell.Thrown != 1 || cell.Spread(fP99).N != 1 {
		t.Errorf("%+v", cell)
	}
}

// However late the generator is, a latency begins when the query was to be sent.
func TestLatencyIsFromTheIntendedStart(t *testing.T) {
	addr, _ := missServer(t, 10)
	o := smallOuting(t, addr, 1)
	kit.Must(t, o.gather(t.Context()))
	p := o.crowd.newPolls([]event{{at: 0, what: 0}, {at: 1000, what: 1}}, o.crowd.now()-int64(300*time.Millisecond), 0)
	o.crowd.observer, o.crowd.meter = p, newMeter(p.start, o.crowd.now())
	m := o.crowd.meter
	limit := o.crowd.now() + int64(10*time.Second)
	kit.Must(t, o.play(t.Context(), SceneSteady, func(now int64) bool { return m.meant == 2 && m.done(now) || now > limit }, p))
	for name, h := range map[string]histogram{"latency": m.latency, "lag": m.lag} {
		if least := time.Duration(h.h.Min()); m.meant != 2 || h.h.TotalCount() != 2 || least < 290*time.Millisecond {
			t.Errorf("%s: %d queries of %d, at least %v; want 2, 299 ms", name, h.h.TotalCount(), m.meant, least)
		}
	}
}

// A query whose connection is lost before its answer counts, as one that failed.
func TestLostQueriesCount(t *testing.T) {
	addr, _ := missServer(t, 10)
	o := smallOuting(t, addr, 1)
	kit.Must(t, o.gather(t.Context()))
	c := o.crowd
	start := c.now()
	c.meter = newMeter(start, start+1)
	c.meter.sent(start, start)
	if !c.send(0, 1, start, c.nextLap()) || c.flights[1] == 0 {
		t.Fatal("not sent")
	}
	c.hangUp(0)
	if m := c.meter; m.ended != 1 || m.failed() != 1 || !m.done(start+1) || c.flights[1] != 0 {
		t.Errorf("%+v", m)
	}
}

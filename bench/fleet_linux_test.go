package bench

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// missServer answers every query with code 17, over at most limit connections at a time, and closes all of them when told.
func missServer(t *testing.T, limit int32) (addr string, drop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	t.Cleanup(func() { ln.Close() })
	var open atomic.Int32
	conns := make(chan net.Conn, 1024)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if open.Add(1) > limit {
				conn.Close()
				continue
			}
			conns <- conn
			go func() { answerMisses(conn); open.Add(-1) }()
		}
	}()
	return ln.Addr().String(), func() {
		for len(conns) > 0 {
			(<-conns).Close()
		}
	}
}

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
	if err := smallOuting(t, addr, 60).gather(t.Context()); !errors.As(err, &limit) || limit.at != 42 {
		t.Errorf("%v, want a limit of 40 and two brokers", err)
	}
	addr, _ = missServer(t, 40)
	kit.Must(t, smallOuting(t, addr, 10).gather(t.Context()))
}

// Connections that the server closes are opened again, and the queries that they cost are told.
func TestFleetOutlivesLostConnections(t *testing.T) {
	addr, drop := missServer(t, 1000)
	o := smallOuting(t, addr, 50)
	kit.Must(t, o.gather(t.Context()))
	dropped := time.AfterFunc(100*time.Millisecond, drop)
	defer dropped.Stop()
	m, cell, err := o.window(t.Context(), SceneSteady, 0, until(o.crowd.now()+int64(1500*time.Millisecond)), o.steadyPolls())
	kit.Must(t, err)
	if m.failed() == 0 || m.answered == 0 || o.crowd.cut != 50 || o.crowd.open != 50 || cell.Spread(fErrors).Median != float64(m.failed()) {
		t.Errorf("%d failed, %d answered, %d lost, %d open", m.failed(), m.answered, o.crowd.cut, o.crowd.open)
	}
}

// A client that is refused, or whose route is not whole, tries again until it has all its answers or the scene ends.
func TestComebackTriesAgain(t *testing.T) {
	addr, _ := missServer(t, 1000)
	o := smallOuting(t, addr, 5)
	b := o.crowd.newComeback(spreadPlan(5, time.Millisecond, o.rng), o.crowd.now())
	o.crowd.observer = b
	answers := o.crowd.answers
	kit.Must(t, o.play(t.Context(), SceneRestart, until(o.crowd.now()+int64(comebackRetry)+int64(500*time.Millisecond)), b))
	if n := o.crowd.answers - answers; len(b.served) != 0 || n != 10 {
		t.Errorf("%d clients were served by a server without topics, after %d answers; want 0 after 10", len(b.served), n)
	}
	o.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(kit.FreePort(t)))
	gone := smallOuting(t, o.addr, 5)
	b = gone.crowd.newComeback(spreadPlan(5, time.Millisecond, o.rng), gone.crowd.now())
	gone.crowd.observer = b
	kit.Must(t, gone.play(t.Context(), SceneRestart, until(gone.crowd.now()+int64(comebackRetry)+int64(500*time.Millisecond)), b))
	if gone.crowd.refused != 10 || !strings.Contains(gone.crowd.trouble.Error(), "refused") {
		t.Errorf("%d refused, %v; want 10", gone.crowd.refused, gone.crowd.trouble)
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// stormChange: during a storm every registration has a new data version, and one topic in so many changed, which
	// is what a broker sends after somebody changed topics.
	stormChange = 100
	// A registration is measured over regCount of them or regTime, whichever ends first.
	regCount  = 40
	regTime   = 4 * time.Second
	regWarmup = 10
)

// small measures throughput, latency and memory with the small profile.
func (m *measuring) small(ctx context.Context) error {
	m.result.add(mStart, m.server.toWait.Seconds()*1e3)
	if m.session.fixed {
		m.memory(ctx, mIdle, 0)
	}
	one, err := m.cell(ctx, cellDepth1, m.closed(1, loadConns))
	if err != nil {
		return err
	}
	if _, err := m.cell(ctx, cellDepth16, m.closed(16, loadConns)); err != nil {
		return err
	}
	m.memory(ctx, mAfter, 0)
	if _, err := m.cell(ctx, cellHalf, m.open(one.PerSecond/2)); err != nil {
		return err
	}
	for peer, rate := range m.report.Rates {
		if _, err := m.cell(ctx, cellAt+peer, m.open(rate)); err != nil {
			return err
		}
	}
	return m.idle(ctx)
}

// encrypted measures throughput over TLS.
func (m *measuring) encrypted(ctx context.Context) error {
	_, err := m.cell(ctx, cellDepth1, m.closed(1, loadConns))
	if err == nil {
		_, err = m.cell(ctx, cellDepth16, m.closed(16, loadConns))
	}
	return err
}

// idle opens connections that have asked once and then stay silent. A server that refuses further ones and still
// answers on those that it has keeps a limit of its own, which is a figure and no failure.
func (m *measuring) idle(ctx context.Context) error {
	before, err := readRSS(m.server.pid)
	if err != nil {
		return nil // not Linux: not measured
	}
	ask := routeFrame(topicPrefix)
	held, refused := 0, error(nil)
	for ; held < idleConns && refused == nil; held++ {
		c, err := dialCaller(ctx, m.server.addr)
		if err == nil {
			defer c.conn.Close()
			_, err = c.call(callTimeout, func(out []byte, seq uint32) []byte { return ask.ask(out, 0, seq) })
		}
		if refused = err; err != nil {
			break
		}
	}
	if refused == nil {
		m.result.add(mIdleHeld, float64(held))
		m.memory(ctx, mIdleConns, float64(before)/(1<<20))
		return nil
	}
	if ctx.Err() != nil || m.session.fixed {
		return refused
	}
	m.session.mu.Lock()
	defer m.session.mu.Unlock()
	if err := m.session.brokers[0].probe(); err != nil {
		return fmt.Errorf("with %d idle connections: %w (and then: %w)", held, refused, err)
	}
	m.result.add(mIdleHeld, float64(held))
	m.result.Limit = fmt.Sprintf("refuses further connections at %d open ones (%v)", held+len(m.session.brokers), refused)
	m.progress.Step("%s %s", m.result.Title, m.result.Limit)
	return nil
}

// registering measures what a registration of 10,000 topics costs, and route queries beside a storm of them.
func (m *measuring) registering(ctx context.Context) error {
	if err := m.registerCost(ctx, mRegSame, mRegSameMS, 0); err != nil {
		return err
	}
	m.session.expect.changes = true
	if err := m.registerCost(ctx, mRegNew, mRegNewMS, 1); err != nil {
		return err
	}
	if _, err := m.cell(ctx, cellQuiet, m.closed(1, fewConns)); err != nil {
		return err
	}
	perSecond, err := m.storm(ctx, func() error {
		_, err := m.cell(ctx, cellStorm, m.closed(1, fewConns))
		return err
	})
	if err == nil {
		m.result.add(mStormRegs, perSecond)
	}
	return err
}

// registerCost registers one broker again and again, over the connection that owns it.
func (m *measuring) registerCost(ctx context.Context, cpuMetric, timeMetric string, changeEvery int) error {
	m.session.mu.Lock()
	defer m.session.mu.Unlock()
	self := m.session.expect.profile.addresses()[0]
	body := m.session.expect.profile.newRegisterBody(self.index, changeEvery)
	var before threadTimes
	var began time.Time
	done := -regWarmup
	for ; done < regCount && (done <= 0 || time.Since(began) < regTime); done++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if done == 0 {
			var err error
			if before, err = readThreads(m.server.pid); err != nil {
				return err
			}
			began = time.Now()
		}
		if changeEvery > 0 {
			body.next()
		}
		if err := m.session.brokers[0].register(self, body.bytes); err != nil {
			return err
		}
		m.progress.Live("registering 10,000 topics: %d", done)
	}
	took := time.Since(began)
	after, err := readThreads(m.server.pid)
	if err != nil {
		return err
	}
	m.result.add(cpuMetric, after.since(before).Seconds()*1e3/float64(done))
	m.result.add(timeMetric, took.Seconds()*1e3/float64(done))
	return nil
}

// storm registers both brokers without a pause while f runs; it returns how many registrations a second were answered.
func (m *measuring) storm(ctx context.Context, f func() error) (perSecond float64, err error) {
	m.session.mu.Lock() // no heartbeat meanwhile: a registration is one, too
	defer m.session.mu.Unlock()
	p := m.session.expect.profile
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var group errgroup.Group
	var count atomic.Int64
	began := time.Now()
	for i, a := range p.addresses() {
		group.Go(func() error {
			for body := p.newRegisterBody(a.index, stormChange); stop.Err() == nil; count.Add(1) {
				body.next()
				if err := m.session.brokers[i].register(a, body.bytes); err != nil {
					return fmt.Errorf("during the storm: %w", err)
				}
			}
			return nil
		})
	}
	err = f()
	perSecond = float64(count.Load()) / time.Since(began).Seconds()
	cancel()
	return perSecond, errors.Join(err, group.Wait())
}

// large measures the table of 100 brokers with slaves, 100,000 topics and width 10, which has just been registered
// and read once.
func (m *measuring) large(ctx context.Context) error {
	m.result.add(mLargeReg, m.session.register.Seconds())
	m.memory(ctx, mLargeRSS, 0)
	_, err := m.cell(ctx, cellLarge, m.closed(1, fewConns))
	return err
}

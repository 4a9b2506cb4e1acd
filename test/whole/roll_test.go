package whole

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/world"
)

const (
	rollBrokers = 30
	heartbeat   = 30 * time.Second // between two registrations of a broker
)

// TestRollLosesNoRoute: three nodes are stopped and started again one after the other, the next as soon as the last one is
// ready, as a StatefulSet does; brokers register every 30 s, each in its own moment. No node that is ready ever answers a
// query for a registered topic with "no route". Before that all are started at once, when nobody can tell.
func TestRollLosesNoRoute(t *testing.T) {
	rolls := int(world.Number(t, "ROLLS", 10))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 3, seed: 1})
		defer w.close()
		r := &roll{w: w, t: t, clients: map[*life]*rpc.Client{}}
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		defer group.Wait()
		defer cancel()
		for i := range rollBrokers {
			group.Go(func() { r.broker(ctx, i) })
		}
		w.sleep(heartbeat)
		for _, m := range w.machine {
			r.stop(m)
		}
		for _, m := range w.machine {
			m.start()
		}
		for _, m := range w.machine {
			if took := r.awaitReady(m); took > heartbeat+time.Second {
				t.Errorf("after a start of all %s was ready after %v", m.name(), took)
			}
		}
		var slowest time.Duration
		for range rolls {
			for _, m := range w.machine {
				slowest = max(slowest, r.restart(m))
			}
		}
		t.Logf("%d rolls of 3 nodes with %d brokers: %d queries of ready nodes, %d answered \"no route\"; the slowest was ready after %v",
			rolls, rollBrokers, r.asked, r.lost, slowest)
		if r.asked < rolls*3*rollBrokers || r.lost > 0 {
			t.Errorf("%d queries, %d without a route", r.asked, r.lost)
		}
	})
}

// roll asks, and counts what is answered.
type roll struct {
	w           *World
	t           *testing.T
	clients     map[*life]*rpc.Client
	asked, lost int
}

func topicOf(broker int) string { return fmt.Sprintf("topic-%d", broker) }

// restart ends a machine's node, starts it again and waits until it is ready.
func (r *roll) restart(m *machine) time.Duration {
	r.stop(m)
	r.w.sleep(time.Second)
	r.askAll()
	m.start()
	return r.awaitReady(m)
}

// stop ends a machine's node in order.
func (r *roll) stop(m *machine) {
	l := m.current()
	r.w.mu.Lock()
	m.life = nil
	r.w.mu.Unlock()
	kit.Must(r.t, l.node.Stop(context.Background()))
	if c := r.clients[l]; c != nil {
		c.Close()
		delete(r.clients, l)
	}
}

// awaitReady lets time pass until the node is ready, and asks it then: this is the moment that counts.
func (r *roll) awaitReady(m *machine) time.Duration {
	began := time.Now()
	for {
		if ready, why := m.current().node.Ready(); ready {
			r.askAll()
			return time.Since(began)
		} else if time.Since(began) > time.Minute {
			r.t.Fatalf("%s is not ready after a minute: %s", m.name(), why)
		}
		r.w.sleep(50 * time.Millisecond)
		if int(time.Since(began)/(50*time.Millisecond))%100 == 0 { // the others, every five seconds
			r.askAll()
		}
	}
}

// askAll asks every node that is ready for the route of every topic.
func (r *roll) askAll() {
	for _, m := range r.w.machine {
		l := m.current()
		if l == nil {
			continue
		}
		if ready, _ := l.node.Ready(); !ready {
			continue
		}
		if r.clients[l] == nil {
			r.clients[l] = connect(l, 0)
		}
		for i := range rollBrokers {
			a, err := r.clients[l].Invoke(context.Background(), &remoting.Command{
				Code: remoting.GetRouteInfoByTopic, Version: remoting.Version, Ext: map[string]string{"topic": topicOf(i)},
			})
			kit.Must(r.t, err)
			r.asked++
			if a.Code != remoting.Success {
				r.lost++
				if r.lost < 10 {
					r.t.Errorf("%s, ready, answers %d for %s, at %v", m.name(), a.Code, topicOf(i), time.Since(r.w.started))
				}
			}
		}
	}
}

// broker registers at every node, now and every 30 s, over connections that stay until the node is gone.
func (r *roll) broker(ctx context.Context, i int) {
	clients, lives := make([]*rpc.Client, len(r.w.machine)), make([]*life, len(r.w.machine))
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.Close()
			}
		}
	}()
	wait := time.Duration(i) * heartbeat / rollBrokers
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = heartbeat
		for n, m := range r.w.machine {
			l := m.current()
			if l != lives[n] && clients[n] != nil {
				clients[n].Close()
				clients[n] = nil
			}
			if lives[n] = l; l == nil {
				continue // refused
			}
			if clients[n] == nil {
				clients[n] = connect(l, 1+i)
			}
			body := kit.RegisterBody(topicOf(i), "common")
			// A node that stops meanwhile answers nothing; the next registration is made anew.
			_, _ = clients[n].Invoke(ctx, &remoting.Command{Code: remoting.RegisterBroker, Version: remoting.Version, Body: body, Ext: map[string]string{
				"clusterName": "roll", "brokerName": fmt.Sprintf("broker-%d", i), "brokerId": "0", "compressed": "false",
				"brokerAddr": fmt.Sprintf("192.0.2.%d:10911", 1+i), "haServerAddr": fmt.Sprintf("192.0.2.%d:10912", 1+i), "bodyCrc32": kit.CRC(body),
			}})
		}
	}
}

// connect opens a connection in memory to a node.
func connect(l *life, host int) *rpc.Client {
	ours, theirs := net.Pipe()
	l.listener.conns <- addressed{theirs, theirs.LocalAddr(), &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(100+host)), Port: 40_000}}
	return rpc.NewClient(ours, rpc.DefaultClientConfig())
}

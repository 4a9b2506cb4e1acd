package node

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestRouteQueriesAreCounted(t *testing.T) {
	n := &Node{dispatch: newDispatch()}
	n.counts = admin.NewCounts(n.dispatch.codes(), false)
	for conn := range uint64(40) {
		n.counts.Request(conn, n.dispatch.slot(105))
		n.counts.Request(conn, n.dispatch.slot(103))
	}
	if got := n.routeQueries(); got != 40 {
		t.Errorf("%d route queries, want 40", got)
	}
}

// Each row is found by its code, no code has two, and what has none has the last.
func TestEveryCodeHasItsRow(t *testing.T) {
	d := newDispatch()
	last := len(d.rows) - 1
	if len(d.rows) > admin.MaxCodes {
		t.Fatalf("%d rows: raise admin.MaxCodes", len(d.rows))
	}
	names := map[string]bool{}
	for i, row := range d.rows[:last] {
		if int(d.slot(row.code)) != i || row.handle == nil || names[row.name] || row.name != strings.ToUpper(row.name) {
			t.Errorf("row %d: %d %s", i, row.code, row.name)
		}
		if got := d.class(&remoting.Request{Code: row.code}); got != row.class {
			t.Errorf("%s has %+v", row.name, got)
		}
		names[row.name] = true
	}
	for _, code := range []int32{-1, 0, 999, 1024, 1 << 30, remoting.NotifyMinBrokerIDChange} {
		if int(d.slot(code)) != last {
			t.Errorf("code %d has the row %d", code, d.slot(code))
		}
	}
}

// Brokers have a gate of their own, and what changes something is told from what only answers.
func TestClasses(t *testing.T) {
	d := newDispatch()
	pools := map[int32]rpc.Pool{
		100: rpc.DiskPool, 102: rpc.DiskPool, 318: rpc.DiskPool, 105: rpc.ClientPool,
		103: rpc.BrokerPool, 104: rpc.BrokerPool, 322: rpc.BrokerPool, 904: rpc.BrokerPool,
	}
	short := map[int32]bool{101: true, 105: true, 322: true, 904: true, admin.OtherCode: true}
	changes := map[int32]bool{
		100: true, 102: true, 103: true, 104: true, 205: true, 216: true, 217: true, 318: true, 322: true, 327: true, 904: true,
	}
	for _, row := range d.rows {
		want := rpc.Class{Pool: pools[row.code], Changes: changes[row.code], Short: short[row.code]}
		if row.class != want {
			t.Errorf("%s: %+v, want %+v", row.name, row.class, want)
		}
	}
	for size, pool := range map[int]rpc.Pool{largeBody - 1: rpc.BrokerPool, largeBody: rpc.LargePool} {
		if got := d.class(&remoting.Request{Code: remoting.QueryDataVersion, Body: make([]byte, size)}); got.Pool != pool {
			t.Errorf("a data version of %d bytes has %s", size, got.Pool)
		}
	}
}

// What works without a pause leaves half of the cores to the others, whatever the options say, and as many requests are admitted
// as they say.
func TestPools(t *testing.T) {
	for _, c := range []struct{ threads, queue, half, atOnce, waiting int32 }{
		{16, 10000, 1, 1, 10015}, {16, 10000, 4, 4, 10012}, {2, 10, 4, 2, 10}, {1, 1, 1, 1, 1}, {0, -1, 1, 1, 0},
	} {
		p := pools(&config.Options{DefaultThreadPoolNums: c.threads, DefaultThreadPoolQueueCapacity: c.queue}, c.half)
		if want := (rpc.PoolSize{Threads: int(c.atOnce), Queue: int(c.waiting)}); p[rpc.DefaultPool] != want {
			t.Errorf("%+v: %+v", c, p[rpc.DefaultPool])
		}
	}
}

// A broker is served while others hold every slot that there is for lists and changes.
func TestBrokersAreServedWhileOthersHoldAllSlots(t *testing.T) {
	stand, release := make(chan struct{}), make(chan struct{})
	n := startNode(t, func(cfg *config.Config) {
		cfg.Options.DefaultThreadPoolNums = 1
		cfg.OnEvent = func(e *routes.Event) {
			if e.Kind == routes.WritePermWiped {
				close(stand)
				<-release
			}
		}
	})
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	broker, other := dial(t, n), dial(t, n)
	ask(t, broker, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	wiped := make(chan error, 1)
	go func() {
		_, err := other.Invoke(ctx, &remoting.Command{Code: remoting.WipeWritePermOfBroker, Version: remoting.Version, Ext: brokerHeader("0")})
		wiped <- err
	}()
	<-stand
	for _, code := range []int32{remoting.BrokerHeartbeat, remoting.RegisterBroker, remoting.QueryDataVersion, remoting.UnregisterBroker} {
		a, err := broker.Invoke(ctx, &remoting.Command{Code: code, Version: remoting.Version, Ext: brokerHeader("0")})
		if err != nil || a.Code != 0 {
			t.Errorf("code %d: %v %v", code, a, err)
		}
	}
	goOn()
	kit.Must(t, <-wiped)
}

// What nobody serves is answered with code 3, as by the original, and a blank before its text.
func TestUnknownCode(t *testing.T) {
	c := dial(t, startNode(t, nil))
	for _, code := range []int32{-5, 0, 905, 31337} {
		a := ask(t, c, code, nil, "")
		if want := " request type " + strconv.Itoa(int(code)) + " not supported"; a.Code != remoting.RequestCodeNotSupported || a.Remark != want {
			t.Errorf("code %d: %d %q", code, a.Code, a.Remark)
		}
	}
}

// A registration that takes a while holds up no other: neither the small ones nor, of its own kind, what is as it was.
func TestLargeRegistrationsWaitAmongThemselves(t *testing.T) {
	stand, release := make(chan struct{}), make(chan struct{})
	n := startNode(t, func(cfg *config.Config) {
		cfg.Options.DefaultThreadPoolNums = 1
		cfg.OnEvent = func(e *routes.Event) {
			if e.Name == "slow" && e.Kind == routes.BrokerRegistered {
				close(stand)
				<-release
			}
		}
	})
	topics := make([]string, 3000)
	for i := range topics {
		topics[i] = "topic-" + strconv.Itoa(i)
	}
	large := string(kit.RegisterBody(topics...))
	if len(large) < largeBody {
		t.Fatalf("%d bytes", len(large))
	}
	header := func(name string) map[string]string {
		h := brokerHeader("0")
		h["brokerName"], h["brokerAddr"] = name, name+":10911"
		return h
	}
	known, slow := dial(t, n), dial(t, n)
	ask(t, known, remoting.RegisterBroker, header("known"), large)
	ended := make(chan *remoting.Command, 1)
	go func() {
		answer, _ := slow.Invoke(t.Context(), &remoting.Command{Code: remoting.RegisterBroker, Version: remoting.Version, Ext: header("slow"), Body: []byte(large)})
		ended <- answer
	}()
	<-stand
	for name, body := range map[string]string{"small": twoTopics, "known": large} {
		if a := ask(t, known, remoting.RegisterBroker, header(name), body); a.Code != 0 {
			t.Errorf("%s: %d %s", name, a.Code, a.Remark)
		}
	}
	close(release)
	if a := <-ended; a == nil || a.Code != 0 {
		t.Errorf("slow: %v", a)
	}
}

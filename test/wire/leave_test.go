package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// quickScan is a server that looks for silent brokers often; the original's first look is after five seconds.
func quickScan() options {
	return options{properties: map[string]string{"scanNotActiveBrokerInterval": "100"}}
}

func TestRow110Unregister(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r110")
	c.register(b)
	a := c.OK(b.unregister())
	if a.Remark != nil || a.ExtFields != nil || len(a.Body) != 0 {
		t.Fatal(a)
	}
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
	c.Refused(routeRequest(b.t2()), 17, "")
	if got := c.clusterInfo().BrokerAddrTable[b.name]; got.BrokerName != "" {
		t.Fatal(got)
	}
	c.OK(b.unregister()) // of nothing
}

func TestRow111UnregisterByAddress(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r111")
	c.register(b)
	b.id = 5
	c.OK(b.unregister())
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
}

// settled waits until everything that was unregistered on this connection before has been applied: the original
// applies unregistrations in turn, after it answered.
func (c *client) settled(t *testing.T) {
	t.Helper()
	b := newBroker("settled")
	c.register(b)
	c.OK(b.unregister())
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
}

func TestRow112LateUnregisterOfOldAddress(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r112")
	c.register(b)
	successor := b
	successor.addr = address()
	c.register(successor)
	c.OK(b.unregister())
	c.settled(t)
	if got := c.route(b.t1()).broker(b.name); got.addrs() != "0="+successor.addr {
		t.Fatal(got.addrs())
	}
}

// Only among connections of one source is one late: a 104 from elsewhere counts, on however old a connection it comes.
func TestRow112UnregisterFromAnotherSource(t *testing.T) {
	s := shared(t)
	other := s.dialFrom(t, "127.0.0.2")
	other.Usable()
	b := newBroker("r112s")
	c := s.dial(t)
	c.register(b)
	other.OK(b.unregister())
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })

	// The broker's own 104 counts although somebody else has registered it on a younger connection since.
	c.register(b)
	s.dialFrom(t, "127.0.0.2").register(b)
	c.OK(b.unregister())
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
}

func TestRow113UnregisterSlave(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r113")
	c.register(b)
	slave := b.slave(1)
	c.register(slave)
	c.OK(slave.unregister())
	eventually(t, kit.Patience, func() error {
		if got := c.route(b.t1()).broker(b.name).addrs(); got != "0="+b.addr {
			return fmt.Errorf("route shows %s", got)
		}
		return nil
	})
	if q := c.queueOf(b.t2(), b.name); q.Perm != 6 {
		t.Fatal(q)
	}
}

func TestRow114UnregisterMasterWithSlaveLeft(t *testing.T) {
	c := shared(t).dial(t)
	for acting, perm := range map[string]int{"": 6, "false": 6, "true": 4} {
		b := newBroker("r114")
		b.acting = acting
		c.register(b)
		slave := b.slave(1)
		c.register(slave)
		c.OK(b.unregister())
		eventually(t, kit.Patience, func() error {
			if got := c.route(b.t1()).broker(b.name).addrs(); got != "1="+slave.addr {
				return fmt.Errorf("route shows %s", got)
			}
			return nil
		})
		if q := c.queueOf(b.t1(), b.name); q.Perm != perm {
			t.Fatalf("enableActingMaster %q: %+v, want permission %d", acting, q, perm)
		}
	}
}

func TestRow115LastBrokerRemovesCluster(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r115")
	other := newBroker("r115")
	other.cluster = b.cluster
	c.register(b)
	c.register(other)
	c.OK(b.unregister())
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
	if got := c.clusterInfo().ClusterAddrTable[b.cluster]; len(got) != 1 || got[0] != other.name {
		t.Fatal(got)
	}
	c.OK(other.unregister())
	eventually(t, kit.Patience, func() error { return c.gone(other.t1()) })
	if got, ok := c.clusterInfo().ClusterAddrTable[b.cluster]; ok {
		t.Fatal(got)
	}
}

func TestRow117ConnectionLoss(t *testing.T) {
	s := shared(t)
	c := s.dial(t)
	b := newBroker("r117")
	bc := s.dial(t)
	bc.register(b)
	c.route(b.t1())
	begin := time.Now()
	bc.Close()
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
	if d := time.Since(begin); d > 20*time.Second {
		t.Fatalf("gone after %s", d)
	}
	if got := c.clusterInfo().BrokerAddrTable[b.name]; got.BrokerName != "" {
		t.Fatal(got)
	}
}

func TestRow118CloseOfOlderConnection(t *testing.T) {
	s := shared(t)
	b := newBroker("r118")
	old, fresh := s.dial(t), s.dial(t)
	old.register(b)
	fresh.register(b)
	old.Close()
	sentinel(t, s)
	fresh.route(b.t1())
}

func TestRow118CloseOfOlderConnectionOfAnotherSource(t *testing.T) {
	s := shared(t)
	b := newBroker("r118s")
	old, fresh := s.dialFrom(t, "127.0.0.2"), s.dial(t)
	old.register(b)
	fresh.register(b)
	old.Close()
	sentinel(t, s)
	fresh.route(b.t1())
	fresh.Close()
	eventually(t, kit.Patience, func() error { return s.dial(t).gone(b.t1()) })
}

// sentinel proves that the server has handled the loss of every connection closed before: it handles them in turn.
func sentinel(t *testing.T, s *server) {
	t.Helper()
	b := newBroker("sentinel")
	bc, c := s.dial(t), s.dial(t)
	bc.register(b)
	bc.Close()
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
}

func TestRow119HeartbeatDoesNotAdopt(t *testing.T) {
	s := shared(t)
	for name, beat := range map[string]func(broker) kit.Request{"904": broker.heartbeat, "322": broker.dataVersionQuery} {
		t.Run(name, func(t *testing.T) {
			b := newBroker("r119")
			first, second := s.dial(t), s.dial(t)
			first.register(b)
			second.OK(beat(b))
			second.OK(beat(b))
			first.Close()
			eventually(t, kit.Patience, func() error { return second.gone(b.t1()) })
		})
	}
}

func TestRow120CloseOfOtherConnection(t *testing.T) {
	s := shared(t)
	b := newBroker("r120")
	bc, reader := s.dial(t), s.dial(t)
	bc.register(b)
	reader.OK(b.heartbeat())
	reader.route(b.t1())
	reader.Close()
	s.dial(t).Close()
	sentinel(t, s)
	bc.route(b.t1())
}

func TestRow121SeveralBrokersOnOneConnection(t *testing.T) {
	s := shared(t)
	c, bc := s.dial(t), s.dial(t)
	one, two := newBroker("r121"), newBroker("r121")
	bc.register(one)
	bc.register(two)
	bc.Close()
	eventually(t, kit.Patience, func() error { // which one the original removes is not determined
		if err := c.gone(one.t1()); err == nil {
			return nil
		}
		return c.gone(two.t1())
	})
}

func TestRow122Expiry(t *testing.T) {
	s := own(t, quickScan())
	c, bc := s.dial(t), s.dial(t)
	b := newBroker("r122")
	b.timeout = 1500
	begin := time.Now()
	bc.register(b)
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
	if d := time.Since(begin); d < 1500*time.Millisecond {
		t.Fatalf("gone after %s", d)
	}
	bc.Closed()
}

// Nobody waits for the longer timeout of a sibling when the whole connection is silent.
func TestRow122SilentConnectionWithSibling(t *testing.T) {
	s := own(t, quickScan())
	c, bc := s.dial(t), s.dial(t)
	b, sibling := newBroker("r122"), newBroker("r122")
	b.timeout = 1500
	bc.register(sibling)
	bc.register(b)
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
	bc.Closed()
}

func TestRow122OddTimeouts(t *testing.T) {
	c := shared(t).dial(t)
	for _, timeout := range []string{"x", "", "99999999999999999999", "1.5"} {
		b := newBroker("r122")
		r := b.request()
		r.Ext["heartbeatTimeoutMillis"] = timeout // not a number: the default of 120 seconds
		c.OK(r)
		want(t, timeout, c.OK(b.dataVersionQuery()).ExtFields["changed"], "false")
	}
}

func TestRow123HeartbeatsKeepAlive(t *testing.T) {
	s := own(t, quickScan())
	c := s.dial(t)
	silent := newBroker("r123-silent")
	silent.timeout = 4000 // the others have twice that, for a machine that is busy
	alive := map[string]broker{}
	conns := map[string]*client{}
	for _, name := range []string{"904", "322", "322 other version", "oneway 322"} {
		b := newBroker("r123")
		b.timeout = 8000
		alive[name], conns[name] = b, s.dial(t)
		conns[name].register(b)
	}
	s.dial(t).register(silent)
	next := time.Now()
	begin := time.Now()
	eventually(t, kit.Patience, func() error {
		if time.Now().After(next) {
			next = time.Now().Add(400 * time.Millisecond)
			conns["904"].OK(alive["904"].heartbeat())
			conns["322"].OK(alive["322"].dataVersionQuery())
			other := alive["322 other version"]
			other.dv.counter = 77
			want(t, "changed", conns["322 other version"].OK(other.dataVersionQuery()).ExtFields["changed"], "true")
			r := alive["oneway 322"].dataVersionQuery()
			r.Flag = 2
			conns["oneway 322"].Send(r)
		}
		if d := time.Since(begin); d < 10*time.Second {
			return fmt.Errorf("only %s passed", d)
		}
		return c.gone(silent.t1())
	})
	for name, b := range alive {
		if _, err := c.tryRoute(b.t1()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRow124HeartbeatOfUnknown(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r124")
	want(t, "904", c.exchange(b.heartbeat().Frame(5)), fmt.Sprintf(success, 5))
	a := c.OK(b.dataVersionQuery())
	if a.ExtFields["changed"] != "true" || len(a.ExtFields) != 1 || len(a.Body) != 0 {
		t.Fatal(a)
	}
	if got := c.clusterInfo().BrokerAddrTable[b.name]; got.BrokerName != "" {
		t.Fatal(got)
	}
}

func TestRow125DataVersionQuery(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r125")
	b.dv = dataVersion{0, 1000, 2}
	c.register(b)
	const stored = `{"counter":2,"stateVersion":0,"timestamp":1000}`
	for _, asked := range []struct {
		dv      dataVersion
		changed string
	}{{b.dv, "false"}, {dataVersion{0, 1000, 3}, "true"}, {dataVersion{0, 1001, 2}, "true"}, {dataVersion{1, 1000, 2}, "true"}} {
		query := b
		query.dv = asked.dv
		a := c.OK(query.dataVersionQuery())
		has(t, "header", a.Header, `{"code":0,"extFields":{"changed":"`+asked.changed+`"},"flag":1,`)
		want(t, "stored", string(a.Body), stored)
	}
	for _, missing := range []string{"clusterName", "brokerAddr"} {
		r := b.dataVersionQuery()
		delete(r.Ext, missing)
		c.Refused(r, 1, "")
	}
}

func TestRow126DataVersionQueryWithoutBody(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r126")
	c.register(b)
	r := b.dataVersionQuery()
	r.Body = nil
	a := c.OK(r)
	want(t, "changed", a.ExtFields["changed"], "true")
	want(t, "stored", string(a.Body), `{"counter":1,"stateVersion":0,"timestamp":1700000000000}`)
}

func TestRow126DataVersionQueryWithOddBody(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r126")
	c.register(b)
	for body, code := range map[string]int{
		"xx": 1, "[]": 1, "1": 1, "{counter:1}": 1, "null": 0, "{}": 0, `{"counter":"1","timestamp":1700000000000.9}`: 0,
	} {
		r := b.dataVersionQuery()
		r.Body = []byte(body)
		a := c.Call(r)
		same := strings.HasPrefix(body, `{"`)
		if a.Code != code || (code == 0 && a.ExtFields["changed"] != fmt.Sprint(!same)) {
			t.Errorf("%s: %s", body, a)
		}
	}
}

func TestRow127IdleBrokerConnection(t *testing.T) {
	s := own(t, options{properties: map[string]string{"serverChannelMaxIdleTimeSeconds": "1"}})
	b := newBroker("r127")
	bc := s.dial(t)
	bc.register(b)
	bc.Closed()
	eventually(t, kit.Patience, func() error { return s.dial(t).gone(b.t1()) })
}

func TestRow128DefaultTimeoutIsLong(t *testing.T) {
	s := own(t, quickScan())
	c := s.dial(t)
	b, quick := newBroker("r128"), newBroker("r128")
	quick.timeout = 3000
	c.register(b)
	s.dial(t).register(quick)
	eventually(t, kit.Patience, func() error { return c.gone(quick.t1()) })
	c.route(b.t1())
}

// The whole 120 seconds, for those who ask for it.
func TestRow128DefaultTimeoutIs120Seconds(t *testing.T) {
	if os.Getenv("EPITAPH_WIRE_LONG") == "" {
		t.Skip("SKIPPED: takes two minutes; set EPITAPH_WIRE_LONG=1, as make night-wire does")
	}
	o := quickScan()
	o.properties["serverChannelMaxIdleTimeSeconds"] = "600"
	s := own(t, o)
	c := s.dial(t)
	b := newBroker("r128")
	begin := time.Now()
	s.dial(t).register(b)
	eventually(t, 130*time.Second, func() error { return c.gone(b.t1()) })
	if d := time.Since(begin); d < 120*time.Second {
		t.Fatalf("expired after %s", d)
	}
}

func TestRow129RestartLosesRoutes(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	b := newBroker("r129")
	c.register(b)
	c.OK(kit.Request{Code: 205, Ext: map[string]string{"brokerName": b.name}})
	c.putKV("ns", "k", "v")
	c = s.restart(t).dial(t)
	c.Refused(routeRequest(b.t1()), 17, "")
	want(t, "106", string(c.OK(kit.Request{Code: 106}).Body), `{"brokerAddrTable":{},"clusterAddrTable":{}}`)
	want(t, "206", string(c.OK(kit.Request{Code: 206}).Body), `{"topicList":[]}`)
	want(t, "304", string(c.OK(kit.Request{Code: 304}).Body), `{"topicList":[]}`)
	want(t, "kv", c.OK(getKV("ns", "k")).ExtFields["value"], "v")
	c.register(b)
	if q := c.queueOf(b.t1(), b.name); q.Perm != 6 {
		t.Fatal(q)
	}
}

package wire

import (
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// queueOf is the queue entry that a topic has with a broker.
func (c *client) queueOf(topic, name string) queueData {
	c.T.Helper()
	q := c.route(topic).queue(name)
	if q == nil {
		c.T.Fatalf("topic %s has no queue of %s", topic, name)
	}
	return *q
}

func TestRow084SameVersionDoesNotReapply(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r84")
	c.register(b)
	b.topics[0].read, b.topics[0].perm = 9, 4
	c.register(b)
	if q := c.queueOf(b.t1(), b.name); q != (queueData{b.name, 4, 4, 6, 0}) {
		t.Fatal(q)
	}
}

func TestRow085SameVersionRestoresMissing(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r85")
	c.register(b)
	c.OK(kit.Request{Code: 216, Ext: map[string]string{"topic": b.t1()}})
	c.Refused(routeRequest(b.t1()), 17, "")
	c.register(b)
	c.route(b.t1())
	b.topics[0].read = 9 // restored, and from then on as stored as any other
	c.register(b)
	if q := c.queueOf(b.t1(), b.name); q.ReadQueueNums != 4 {
		t.Fatal(q)
	}
}

func TestRow085SameBodyAfterUnregister(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r85")
	for range 3 {
		c.register(b)
		c.route(b.t1())
		c.OK(b.unregister())
		eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
	}
}

func TestRow086AnyChangedNumberReapplies(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r86")
	c.register(b)
	for i, change := range []func(){
		func() { b.dv.counter++ }, func() { b.dv.time++ }, func() { b.dv.state++ },
		func() { b.dv.counter-- }, func() { b.dv.time-- },
	} {
		change()
		b.topics[0].read = 10 + i
		c.register(b)
		if q := c.queueOf(b.t1(), b.name); q.ReadQueueNums != 10+i {
			t.Fatalf("change %d: %+v", i, q)
		}
	}
}

func TestRow087OlderCounterAccepted(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r87")
	b.dv.counter = 3
	c.register(b)
	b.dv.counter = 2
	b.topics[0].read = 9
	c.register(b)
	if q := c.queueOf(b.t1(), b.name); q.ReadQueueNums != 9 {
		t.Fatal(q)
	}
	a := c.OK(b.dataVersionQuery())
	want(t, "changed", a.ExtFields["changed"], "false")
	want(t, "stored", string(a.Body), `{"counter":2,"stateVersion":0,"timestamp":1700000000000}`)
}

func TestRow088AbsentTopicsStay(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r88")
	b.topics = append(b.topics, rw(b.name+"-T3"))
	c.register(b)
	b.topics, b.dv.counter = b.topics[:2], 2
	c.register(b)
	c.route(b.name + "-T3")
}

func TestRow089DeleteTopicWithRegistration(t *testing.T) {
	c := own(t, options{properties: map[string]string{"deleteTopicWithBrokerRegistration": "true"}}).dial(t)
	b, other := newBroker("r89"), newBroker("r89")
	t3 := b.name + "-T3"
	other.topics = []topic{rw(t3), rw(other.t1())}
	b.topics = append(b.topics, rw(t3))
	c.register(b)
	c.register(other)
	b.topics = b.topics[1:2] // an incremental registration, at that
	b.dv.counter++
	b.mappings = `{"` + b.t2() + `":{"bname":"` + b.name + `","currIdMap":{0:0},"dirty":false,"epoch":1,"scope":"__global__","topic":"` + b.t2() + `","totalQueues":1}}`
	c.register(b)
	c.route(b.t1())
	b.mappings = ""
	c.register(b) // also when the data version has not changed
	c.Refused(routeRequest(b.t1()), 17, "")
	c.route(b.t2())
	if r := c.route(t3); r.queue(b.name) != nil || r.queue(other.name) == nil {
		t.Fatalf("%+v", r)
	}
}

func TestRow090SameAddressNewID(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r90")
	b.id, b.acting = 1, "false"
	c.register(b)
	b.id = 0
	b.dv.counter++
	c.register(b)
	if got := c.route(b.t1()).broker(b.name); got.addrs() != "0="+b.addr {
		t.Fatal(got.addrs())
	}
}

func TestRow091NewAddressSameID(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r91")
	c.register(b)
	successor := b
	successor.addr = address()
	c.register(successor)
	if got := c.route(b.t1()).broker(b.name); got.addrs() != "0="+successor.addr {
		t.Fatal(got.addrs())
	}
}

func TestRow092StateVersion(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r92")
	b.dv.state = 5
	c.register(b)
	lower := b
	lower.addr, lower.dv.state, lower.dv.counter = address(), 3, 99
	lower.topics = []topic{{b.t1(), 9, 9, 4, 0}, rw(b.name + "-T3")}
	a := c.register(lower)
	has(t, "refused silently", a.Header, `{"code":0,"extFields":{},`)
	if r := c.route(b.t1()); r.broker(b.name).addrs() != "0="+b.addr || r.queue(b.name).ReadQueueNums != 4 {
		t.Fatalf("%+v", r)
	}
	c.Refused(routeRequest(b.name+"-T3"), 17, "")
	if a := c.OK(lower.dataVersionQuery()); a.ExtFields["changed"] != "true" || len(a.Body) != 0 {
		t.Fatalf("the refused one has a live entry: %s", a)
	}
	for _, state := range []int64{5, 6} {
		winner := b
		winner.addr, winner.dv.state = address(), state
		c.register(winner)
		if got := c.route(b.t1()).broker(b.name); got.addrs() != "0="+winner.addr {
			t.Fatalf("state version %d: %s", state, got.addrs())
		}
	}
}

func TestRow093StateVersionOfDeadBrokerIgnored(t *testing.T) {
	s := shared(t)
	c := s.dial(t)
	b := newBroker("r93")
	b.dv.state = 5
	first := s.dial(t)
	first.register(b)
	first.Close()
	eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
	b.addr, b.dv.state = address(), 3
	c.register(b)
	if got := c.route(b.t1()).broker(b.name); got.addrs() != "0="+b.addr {
		t.Fatal(got.addrs())
	}
	b.addr, b.dv.state, b.cluster = address(), 1, unique("other") // no live entry of the old address in this cluster
	c.register(b)
	if got := c.route(b.t1()).broker(b.name); got.addrs() != "0="+b.addr {
		t.Fatal(got.addrs())
	}
}

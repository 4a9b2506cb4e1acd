package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Row 116 is the first half of DEV-2: an UNREGISTER that lacks a field makes the original drop every other
// one that it took from its queue together with that.
func TestRow116MalformedUnregisterDisturbsNobody(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	stays := newBroker("r116stays") // of id 0, which a missing one is not
	c.register(stays)
	lacking := func(b broker, field string) kit.Request {
		bad := b.unregister()
		delete(bad.Ext, field)
		return bad
	}
	fields := []string{"brokerAddr", "clusterName", "brokerId"}
	for _, field := range fields {
		c.OK(lacking(stays, field))
	}
	deviation(t, "DEV-2", func() error {
		const n = 100
		var brokers []broker
		var raw []byte
		for range n {
			b := newBroker("r116")
			b.topics = nil
			c.register(b)
			brokers = append(brokers, b)
			for _, field := range fields {
				raw = append(raw, lacking(b, field).Frame(1)...)
			}
			raw = append(raw, b.unregister().Frame(1)...)
		}
		c.Put(raw)
		for range 4 * n {
			if a := c.Next(); a.Code != 0 {
				t.Fatal(a)
			}
		}
		last := 0
		return kit.Within(watched(3*time.Second), func() error {
			table := c.clusterInfo().BrokerAddrTable
			last = 0
			for _, b := range brokers {
				if table[b.name].BrokerName != "" {
					last++
				}
			}
			if last > 0 {
				return fmt.Errorf("%d of %d brokers stayed", last, n)
			}
			return nil
		})
	})
	if c.clusterInfo().BrokerAddrTable[stays.name].BrokerName == "" {
		t.Error("an UNREGISTER that lacks a field took a broker out")
	}
}

func TestDeviation02MalformedRegisterChangesNothing(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	deviation(t, "DEV-2", func() error {
		var errs []error
		for _, missing := range []string{"brokerName", "brokerAddr", "clusterName"} {
			r := newBroker("d2").request()
			delete(r.Ext, missing)
			if a := c.Call(r); a.Code > 1 {
				t.Fatal(a)
			}
			body := string(c.OK(kit.Request{Code: 106}).Body)
			if body != `{"brokerAddrTable":{},"clusterAddrTable":{}}` {
				errs = append(errs, fmt.Errorf("without %s: %s", missing, body))
			}
		}
		return errors.Join(errs...)
	})
}

func TestDeviation02NamelessTopicSkipped(t *testing.T) {
	c := shared(t).dial(t)
	deviation(t, "DEV-2", func() error {
		b := newBroker("d2")
		a := c.Call(b.requestWith([]byte(`{"topicConfigSerializeWrapper":{"dataVersion":` + b.dv.json() + `,"topicConfigTable":{"x":{"perm":6},` +
			kit.Quote(b.t1()) + `:` + b.topics[0].json() + `,` + kit.Quote(b.t2()) + `:` + b.topics[1].json() + `}}}`)))
		if a.Code != 0 {
			return fmt.Errorf("registration: %s", a)
		}
		if a := c.OK(b.dataVersionQuery()); a.ExtFields["changed"] != "false" {
			return fmt.Errorf("no live entry: %s", a)
		}
		if a := c.Call(routeRequest(b.t2())); a.Code != 0 {
			return fmt.Errorf("the topics after it: %s", a)
		}
		return nil
	})
}

func TestDeviation03AllBrokersOfALostConnection(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-3", func() error {
		c, bc := s.dial(t), s.dial(t)
		var brokers []broker
		for range 5 {
			b := newBroker("d3")
			bc.register(b)
			brokers = append(brokers, b)
		}
		bc.Close()
		return kit.Within(watched(3*time.Second), func() error {
			for _, b := range brokers {
				if err := c.gone(b.t1()); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func TestDeviation03SupersededClusterOfALostConnection(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-3", func() error {
		var left []string
		for range 10 { // which of its two entries the original finds is not determined
			c, bc := s.dial(t), s.dial(t)
			b := newBroker("d3")
			bc.register(b)
			b.cluster = unique("second")
			bc.register(b)
			bc.Close()
			if kit.Within(watched(time.Second), func() error { return c.gone(b.t1()) }) != nil {
				left = append(left, b.name)
			}
			if got, ok := c.clusterInfo().ClusterAddrTable[b.cluster]; ok {
				left = append(left, fmt.Sprint(got))
			}
		}
		if left != nil {
			return fmt.Errorf("left over: %v", left)
		}
		return nil
	})
}

func TestDeviation04NameLeavesEveryCluster(t *testing.T) {
	c := shared(t).dial(t)
	deviation(t, "DEV-4", func() error {
		b := newBroker("d4")
		c.register(b)
		first := b.cluster
		b.cluster = unique("second")
		c.register(b)
		c.OK(b.unregister())
		eventually(t, kit.Patience, func() error { return c.gone(b.t1()) })
		if got := c.clusterInfo().ClusterAddrTable[first]; slices.Contains(got, b.name) {
			return fmt.Errorf("cluster %s still lists %v", first, got)
		}
		return nil
	})
}

func TestDeviation04SupersededLiveEntryDropped(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-4", func() error {
		old, c := s.dial(t), s.dial(t)
		b := newBroker("d4")
		old.register(b)
		successor := b
		successor.addr = address()
		c.register(successor)
		old.Close()
		sentinel(t, s)
		c.route(b.t1())
		if a := c.OK(b.dataVersionQuery()); a.ExtFields["changed"] != "true" || len(a.Body) != 0 {
			return fmt.Errorf("the superseded address is live although its connection is lost: %s", a)
		}
		return nil
	})
}

func TestDeviation05RefusedRegistrationLeavesNothing(t *testing.T) {
	c := shared(t).dial(t)
	deviation(t, "DEV-5", func() error {
		b := newBroker("d5")
		b.topics = b.topics[:1]
		c.Refused(b.request(), 1, "register broker failed")
		if got, ok := c.clusterInfo().BrokerAddrTable[b.name]; ok {
			return fmt.Errorf("106 lists %q with addresses %q", b.name, got.addrs())
		}
		return nil
	})
}

func TestDeviation06UnannouncedCompression(t *testing.T) {
	c := shared(t).dial(t)
	deviation(t, "DEV-6", func() error {
		b := newBroker("d6")
		if a := c.Call(b.requestWith(b.compressed(true))); a.Code != 0 {
			return fmt.Errorf("%s", a)
		}
		c.route(b.t1())
		return nil
	})
}

func TestDeviation07StandardJSONAfterZoneFilter(t *testing.T) {
	c := shared(t).dial(t)
	deviation(t, "DEV-7", func() error {
		b := newBroker("d7")
		b.zone = "z"
		c.register(b)
		r := routeRequest(b.t1())
		r.Ext["__ZONE_MODE"], r.Ext["__ZONE_NAME"] = "true", "z"
		body := c.OK(r).Body
		if !json.Valid(body) {
			return fmt.Errorf("not JSON: %s", body)
		}
		return nil
	})
}

// sameFile says whether put leaves the very file at path.
func sameFile(t *testing.T, path string, put func()) bool {
	t.Helper()
	held, err := os.Open(path) // so that its inode cannot be used again
	kit.Must(t, err)
	defer held.Close()
	before, err := held.Stat()
	kit.Must(t, err)
	put()
	after, err := os.Stat(path)
	kit.Must(t, err)
	return os.SameFile(before, after)
}

func TestDeviation08FilesReplacedAtomically(t *testing.T) {
	s := own(t, options{properties: map[string]string{}})
	c := s.dial(t)
	c.putKV("ns", "k", "v")
	deviation(t, "DEV-8", func() error {
		if sameFile(t, s.kv, func() { c.putKV("ns", "k", "w") }) {
			return fmt.Errorf("%s was overwritten in place", filepath.Base(s.kv))
		}
		if sameFile(t, s.config, func() { c.config("waitSecondsForService=46") }) {
			return fmt.Errorf("%s was overwritten in place", filepath.Base(s.config))
		}
		return nil
	})
}

func TestDeviation09AnswersInOrder(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-9", func() error {
		c := s.dial(t)
		for range 20 {
			var raw []byte
			for i := range 500 {
				raw = append(raw, kit.JSONFrame(fmt.Sprintf(`{"code":206,"opaque":%d}`, i))...)
			}
			c.Put(raw)
			var err error
			for i := range 500 {
				if a := c.Next(); a.Opaque != int32(i) && err == nil {
					err = fmt.Errorf("answer %d came in place %d", a.Opaque, i)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func TestDeviation09UnregisterAppliedBeforeTheAnswer(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-9", func() error {
		c := s.dial(t)
		for range 300 {
			b := newBroker("d9")
			c.register(b)
			c.Put(b.unregister().Frame(1), routeRequest(b.t1()).Frame(2))
			var route *kit.Answer
			for range 2 {
				if a := c.Next(); a.Opaque == 2 {
					route = a
				}
			}
			if route.Code != 17 {
				return fmt.Errorf("a lookup behind the unregistration: %s", route)
			}
		}
		return nil
	})
}

func TestDeviation11UnregisterOnOlderConnection(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-11", func() error {
		older, newer := s.dial(t), s.dial(t)
		older.Usable()
		b := newBroker("d11")
		newer.register(b)
		older.OK(b.unregister())
		older.settled(t)
		if err := newer.gone(b.t1()); err == nil {
			return errors.New("an unregistration on an older connection removed the broker")
		}
		return nil
	})
}

func TestDeviation12UnpersistedKVFails(t *testing.T) {
	s := own(t, options{properties: map[string]string{}})
	c := s.dial(t)
	if err := os.Mkdir(s.kv, 0o755); err != nil { // so that no file can be there
		t.Fatal(err)
	}
	deviation(t, "DEV-12", func() error {
		a := c.Call(kit.Request{Code: 100, Ext: map[string]string{"namespace": "ns", "key": "k", "value": "v"}})
		if a.Code != 1 {
			return fmt.Errorf("put: %s", a)
		}
		if a := c.Call(getKV("ns", "k")); a.Code != 22 {
			return fmt.Errorf("the refused value is there: %s", a)
		}
		return nil
	})
}

// What the next start would refuse, and what would keep the server from ending, is not taken from whoever sends code 318.
func TestDeviation18ConfigThatHarms(t *testing.T) {
	c := own(t, options{}).dial(t)
	deviation(t, "DEV-18", func() error {
		for _, line := range []string{
			"shutdownWaitTimeSeconds=2147483647", "scanNotActiveBrokerInterval=0", "enableControllerInNamesrv=true",
			"productEnvName=" + strings.Repeat("x", 64<<10),
		} {
			if a := c.Call(kit.Request{Code: 318, Body: []byte(line)}); a.Code != 1 {
				return fmt.Errorf("%.40s: %.200s", line, a)
			}
		}
		return nil
	})
}

// takenOver registers a broker on a connection and then, with new content, on one that was accepted before it.
func takenOver(t *testing.T, s *server) (b broker, older, newer *client) {
	t.Helper()
	older, newer = s.dial(t), s.dial(t)
	older.Usable()
	b = newBroker("d13")
	newer.register(b)
	b.dv.counter, b.topics[0].read = 2, 9
	older.register(b) // answered, and its content applied
	if q := newer.queueOf(b.t1(), b.name); q.ReadQueueNums != 9 {
		t.Fatal(q)
	}
	return b, older, newer
}

func TestDeviation13UnregisterByOlderOfTwoOwners(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-13", func() error {
		b, older, newer := takenOver(t, s)
		older.OK(b.unregister())
		older.settled(t)
		if err := newer.gone(b.t1()); err == nil {
			return errors.New("an unregistration on the older connection removed the broker")
		}
		newer.OK(b.unregister())
		eventually(t, kit.Patience, func() error { return newer.gone(b.t1()) })
		return nil
	})
}

func TestDeviation13LossOfOlderOfTwoOwners(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-13", func() error {
		b, older, newer := takenOver(t, s)
		older.Close()
		sentinel(t, s)
		if err := newer.gone(b.t1()); err == nil {
			return errors.New("the loss of the older connection removed the broker")
		}
		newer.Close()
		eventually(t, kit.Patience, func() error { return s.dial(t).gone(b.t1()) })
		return nil
	})
}

// Whoever registers a living broker from elsewhere and closes does not take it out.
func TestDeviation13LossOfAnotherSource(t *testing.T) {
	s := shared(t)
	deviation(t, "DEV-13", func() error {
		b := newBroker("d13s")
		c, stranger := s.dial(t), s.dialFrom(t, "127.0.0.2")
		c.register(b)
		stranger.register(b)
		stranger.Close()
		sentinel(t, s)
		if err := c.gone(b.t1()); err == nil {
			return errors.New("the loss of another source's connection removed the broker")
		}
		c.Close()
		eventually(t, kit.Patience, func() error { return s.dial(t).gone(b.t1()) })
		return nil
	})
}

// The original closes the connection of a broker that expires, and takes one of those on it with it: one of the others, unless its scan
// still has the expired one in the table when that is looked for.
func TestDeviation16SiblingsOfAnExpiredBroker(t *testing.T) {
	s := own(t, quickScan())
	deviation(t, "DEV-16", func() error {
		c := s.dial(t)
		for range 3 {
			bc := s.dial(t)
			silent, one, two := newBroker("d16-silent"), newBroker("d16"), newBroker("d16")
			silent.timeout = 4000
			for _, b := range []broker{silent, one, two} {
				bc.register(b)
			}
			eventually(t, kit.Patience, func() error {
				if err := c.gone(silent.t1()); err != nil {
					_, _ = bc.TryCall(one.heartbeat(), time.Second) // the original closes the connection meanwhile
					return err
				}
				return nil
			})
			lost := kit.Within(awaited(2*time.Second), func() error {
				if c.gone(one.t1()) == nil || c.gone(two.t1()) == nil {
					return nil
				}
				return errors.New("both are there")
			})
			if lost == nil {
				return errors.New("a sibling of the expired broker went with it")
			}
			if _, err := bc.TryCall(silent.request(), kit.Patience); err != nil {
				continue // it was closed: try again
			}
			c.route(silent.t1())
			return nil
		}
		return errors.New("the connection of an expired broker was closed, three times")
	})
}

// A name of 1,024 bytes is taken, one of 1,025 is left out or refuses what cannot do without.
func TestDeviation17LimitsOfARegistration(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	long := strings.Repeat("n", 1024)
	b := newBroker("d17")
	b.topics = append(b.topics, rw(long))
	c.register(b)
	c.queueOf(long, b.name)
	b = newBroker("d17")
	topic := b.t1()
	b.cluster, b.name, b.addr, b.ha, b.zone = long, long, long, long, long
	c.register(b)
	want(t, "haServerAddr", c.OK(b.slave(1).request()).ExtFields["haServerAddr"], long)
	has(t, "zone", c.routeAs(topic, 401, ""), `"zoneName":"`+long+`"`)
	c.OK(kit.Request{Code: 100, Ext: map[string]string{"namespace": long, "key": long, "value": "v"}})
	deviation(t, "DEV-17", func() error {
		b := newBroker("d17")
		b.ha, b.zone = long+"n", long+"n"
		c.register(b)
		if ha := c.OK(b.slave(1).request()).ExtFields["haServerAddr"]; ha != "" {
			return fmt.Errorf("haServerAddr has %d bytes", len(ha))
		}
		if route := c.routeAs(b.t1(), 401, ""); strings.Contains(route, "zoneName") {
			return fmt.Errorf("route: %s", route)
		}
		b = newBroker("d17")
		b.topics = append(b.topics, rw(long+"n"))
		c.register(b)
		c.queueOf(b.t2(), b.name)
		if err := c.gone(long + "n"); err != nil {
			return err
		}
		for field, change := range map[string]func(b *broker){
			"clusterName": func(b *broker) { b.cluster = long + "n" },
			"brokerName":  func(b *broker) { b.name = long + "n" },
			"brokerAddr":  func(b *broker) { b.addr = long + "n" },
		} {
			b := newBroker("d17")
			change(&b)
			if a := c.Call(b.request()); a.Code != 1 || a.Remark == nil || *a.Remark != field+": longer than 1024 bytes" {
				return fmt.Errorf("%s: %s", field, a)
			}
		}
		for field, r := range map[string]kit.Request{
			"topic":     {Code: 217, Ext: map[string]string{"topic": long + "n"}, Body: []byte(`{"queueDatas":[{"brokerName":"b"}]}`)},
			"namespace": {Code: 100, Ext: map[string]string{"namespace": long + "n", "key": "k", "value": "v"}},
			"key":       {Code: 100, Ext: map[string]string{"namespace": "ns", "key": long + "n", "value": "v"}},
		} {
			if a := c.Call(r); a.Code != 1 || a.Remark == nil || *a.Remark != field+": longer than 1024 bytes" {
				return fmt.Errorf("%s: %s", field, a)
			}
		}
		return nil
	})
}

func TestDeviation17LimitOfAKVValue(t *testing.T) {
	c := shared(t).dial(t)
	ns := unique("d17")
	c.putKV(ns, "k", strings.Repeat("v", 65536))
	deviation(t, "DEV-17", func() error {
		put := kit.Request{Code: 100, Ext: map[string]string{"namespace": ns, "key": "k", "value": strings.Repeat("v", 65537)}}
		if a := c.Call(put); a.Code != 1 || a.Text() != "value: 65537 bytes, and --kv-value-max allows 65536" {
			return fmt.Errorf("%d %s", a.Code, a.Text())
		}
		return nil
	})
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	port, err := strconv.Atoi(addr[len("127.0.0.1:"):])
	kit.Must(t, err)
	return port
}

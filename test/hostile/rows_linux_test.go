package hostile

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// rows is what strangers do to the port of brokers and to HTTP; gossip_linux_test.go adds what they do to gossip.
var rows = []row{
	{
		number: 1, what: "REGISTERs of 63 kB that inflate to one topic repeated, on 32 connections", java: true,
		attack: func(s *stage) {
			packed := inflating(s.t)
			stop := s.alone(packed)
			flood(s.t, s.Addr, 32, func(i int) []byte {
				return registration(fmt.Sprint("inflated", i), packed, "true").Frame(1)
			})
			stop()
		},
		outcome: func(s *stage) string {
			return fmt.Sprintf("decoded while they inflate: 60,000 repetitions become one topic; of %d that waited for their answers %d got code 2", s.rounds.Load(), s.busy.Load())
		},
	},
	{
		number: 2, what: "broker names of 4 MB, on 8 connections", java: true,
		attack: func(s *stage) {
			name := strings.Repeat("n", 4<<20)
			flood(s.t, s.Addr, 8, func(int) []byte { return registration(name, kit.RegisterBody("t"), "false").Frame(1) })
		},
		outcome: func(s *stage) string {
			_, conflicts := kit.Get("http://" + s.HTTP + "/v1/conflicts")
			log := len(s.Output())
			if log > 1<<20 || len(conflicts) > 1<<20 {
				s.t.Errorf("%d bytes of log, %d of conflicts", log, len(conflicts))
			}
			return fmt.Sprintf("refused; %d kB of log, %d kB of conflicts", log/1000, len(conflicts)/1000)
		},
	},
	{
		number: 4, what: "a REGISTER of the victim's address, then silence", java: true,
		attack: func(s *stage) {
			v := s.victim()
			imposter(s.t, v).Register(s.t, s.Addr)
			for range 5 {
				pause(s.t, part(6))
				v.Register(s.t, s.Addr)
			}
			s.left = s.leaves(v)
		},
		outcome: func(s *stage) string {
			if s.left > time.Second {
				s.t.Errorf("the victim's UNREGISTER took %s", s.left)
			}
			return fmt.Sprintf("the victim's REGISTER is taken; after its UNREGISTER it is gone within %s", brief(s.left))
		},
	},
	{
		number: 5, what: "150 connections ask for KV values, lists of 30,000 topics and of namespaces, and read nothing", java: true,
		prepare: func(t *testing.T, addr string) {
			fill(t, addr)
			put := func(n int) error {
				a, err := kit.Ask(addr, kvPut("ns", "k", strings.Repeat("v", n)))
				if err == nil {
					err = a.Failed(nil)
				}
				return err
			}
			if put(15_000_000) != nil { // beyond what a node of that size takes
				kit.Must(t, put(64<<10))
			}
		},
		attack: func(s *stage) {
			asks := [][]byte{request(206), kit.Request{Code: 101, Ext: map[string]string{"namespace": "ns", "key": "k"}}.Frame(1),
				kit.Request{Code: 219, Ext: map[string]string{"namespace": "ns"}}.Frame(1)}
			flood(s.t, s.Addr, 150, func(i int) []byte { return asks[i%len(asks)] })
		},
		outcome: func(s *stage) string {
			s.counted("epitaph_overloads_total")
			return "answers beyond the budget are refused with code 2; one body is shared by all who ask"
		},
	},
	{
		number: 6, what: "20 connections pipeline one-way lists and wipes", java: true, prepare: fill,
		attack: func(s *stage) {
			lists, wipes := floods["one-way lists"], floods["wipes"]
			flood(s.t, s.Addr, 20, func(i int) []byte {
				if i%2 == 0 {
					return lists(i)
				}
				return wipes(i)
			})
		},
		outcome: func(s *stage) string {
			if n := s.Metric(`epitaph_requests_total{code="206"}`); n > 0 {
				s.t.Errorf("%v lists were computed", n)
			}
			return "lists are not computed, wipes wait in a pool that brokers do not share"
		},
	},
	{
		number: 7, what: "static topic mappings, from brokers that leave", java: true,
		attack: func(s *stage) {
			flood(s.t, s.Addr, 8, func(i int) []byte { return mapped(i).Frame(1) })
		},
		outcome: func(s *stage) string {
			kit.Until(s.t, "no mapping is left", func() bool { return s.brokers() == 1 })
			return "they go with their brokers"
		},
	},
	{
		number: 10, what: "80 halves of frames of 1 MB, then 1,200 of 65 kB, then 9,000 idle connections", java: true,
		attack: func(s *stage) {
			hold(s.t, s.Addr, 80, half(1<<20), part(3))
			hold(s.t, s.Addr, 1200, half(65<<10), part(3))
			hold(s.t, s.Addr, 9000, nil, part(3))
		},
		outcome: func(s *stage) string {
			s.counted(`epitaph_connections_closed_total{reason="no_budget"}`)
			s.counted("epitaph_connections_refused_total", `epitaph_connections_closed_total{reason="no_room"}`)
			return "what exceeds the budget, or `--max-connections`, is closed"
		},
	},
	{
		number: 11, what: "1,100 silent connections at `ulimit -n 1024`", among: "a thousand silent connections more than the node has room for", files: 1024,
		attack: func(s *stage) {
			var group sync.WaitGroup
			group.Go(func() { hold(s.t, s.Addr, s.silent, nil, attackTime()) })
			pause(s.t, part(4))
			s.reconnects()
			group.Wait()
		},
		outcome: func(s *stage) string {
			if !strings.Contains(s.Output(), "LimitNOFILE") {
				s.t.Error("nothing names LimitNOFILE")
			}
			return "a broker that reconnects, a KV write and `/readyz` are served; the log names LimitNOFILE"
		},
	},
	{
		number: 12, what: "300 HTTP connections that read nothing, or are kept",
		attack: func(s *stage) {
			ctx, cancel := context.WithTimeout(s.t.Context(), attackTime())
			defer cancel()
			var group sync.WaitGroup
			for i := range 300 {
				text := "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
				if i%2 == 0 {
					text = strings.Repeat("GET /v1/brokers HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
				}
				group.Go(func() { visitHTTP(ctx, s.HTTP, i, text) })
			}
			group.Wait()
		},
		outcome: func(*stage) string { return "health has a room of its own; slow readers are cut" },
	},
	{
		number: 13, what: "a page elsewhere (DNS rebinding), or a proxy here, asks for force-leave and profiles",
		attack: func(s *stage) {
			for end := time.Now().Add(attackTime()); time.Now().Before(end); pause(s.t, 100*time.Millisecond) {
				for path, method := range map[string]string{"/v1/force-leave?name=attacked": http.MethodPost, "/debug/pprof/heap": http.MethodGet, "/v1/drain": http.MethodPost} {
					s.elsewhere(method, path)
				}
			}
		},
		outcome: func(*stage) string { return "refused: HTTP only reads" },
	},
	{
		number: 14, what: "318 with values that would harm the next start, the run or the stop",
		attack: func(s *stage) {
			c := s.dialStranger()
			for end := time.Now().Add(attackTime()); time.Now().Before(end); pause(s.t, 100*time.Millisecond) {
				for _, text := range []string{
					"scanNotActiveBrokerInterval=0", "enableControllerInNamesrv=true", "shutdownWaitTimeSeconds=2147483647",
					"clientRequestThreadPoolNums=2147483647", "defaultThreadPoolQueueCapacity=2147483647", "serverWorkerThreads=2147483647",
					"kvConfigPath=" + strings.Repeat("x", 4_000_000),
				} {
					if a := c.Call(kit.Request{Code: 318, Body: []byte(text)}); a.Code == 0 {
						s.t.Errorf("%.60s was taken", text)
					}
				}
			}
		},
		outcome: func(s *stage) string { return "each is refused with the option's name" },
	},
	{
		number: 15, what: "KV: tiny changes of a store that is nearly full, 5 MB, on 20 connections (Java: of 80 MB)", java: true,
		data: func(t *testing.T, java bool) string {
			if java {
				return largeStore(t)
			}
			return storeOf(t, 4500)
		},
		attack: func(s *stage) {
			flood(s.t, s.Addr, 20, func(i int) []byte {
				r := kvPut("n", fmt.Sprint(i), strings.Repeat("w", 1000))
				r.Flag = 2
				return r.Frame(1)
			})
		},
		outcome: func(s *stage) string {
			return "one writer outside the pools"
		},
	},
	{
		number: 19, what: "a PROXY header that names the victim, 127.0.0.1, or a new source each time", args: []string{"--admin-from", "127.0.0.1"},
		attack: func(s *stage) {
			v := s.victim()
			stop := s.misses(s.Addr, v)
			for end, i := time.Now().Add(attackTime()), 0; time.Now().Before(end); i++ {
				s.named([]string{"127.0.0.1", "192.0.2.99", fmt.Sprintf("10.%d.%d.1", i/256%256, i%256)}[i%3], v)
			}
			s.lost = stop()
		},
		outcome: func(s *stage) string {
			if s.lost > 0 {
				s.t.Errorf("the victim was missing %d times", s.lost)
			}
			return "nobody believes it: `--admin-from` refuses each change, the victim is listed all the while"
		},
	},
}

// inflating is a zlib body of 63 kB: one topic, again and again, and another, without which it would be refused as a single topic is.
func inflating(t *testing.T) []byte {
	t.Helper()
	reg := body.Register{}
	for range 60_000 {
		reg.Topics = append(reg.Topics, body.TopicConfig{Name: bytes.Repeat([]byte("t"), 200), ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6})
	}
	reg.Topics = append(reg.Topics, body.TopicConfig{Name: []byte("another"), ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6})
	packed, err := body.AppendRegisterCompressed(nil, &reg, remoting.Version)
	kit.Must(t, err)
	r, err := zlib.NewReader(bytes.NewReader(packed))
	kit.Must(t, err, r.Close())
	t.Logf("%d bytes compressed", len(packed))
	return packed
}

// alone registers what inflates while nobody else does, which the node lists once, and on the same connection again and again until it
// is called, for the answers. The Java NameServer is spared.
func (s *stage) alone(packed []byte) (stop func()) {
	if s.in == nil {
		return func() {}
	}
	c, r := s.dialStranger(), registration("alone", packed, "true")
	c.OK(r)
	if n := strings.Count(string(c.OK(kit.Request{Code: 206}).Body), strings.Repeat("t", 200)); n != 1 {
		s.t.Errorf("its topic is listed %d times", n)
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for ; ; s.rounds.Add(1) {
			select {
			case <-done:
				return
			default:
			}
			a, err := c.TryCall(r, kit.Patience)
			switch {
			case err != nil: // closed, as who has most may be
				return
			case a.Code == int(remoting.SystemBusy):
				s.busy.Add(1)
			case a.Code != 0:
				s.t.Errorf("what inflates, alone on its connection: %s", a)
			}
		}
	})
	return func() {
		close(done)
		group.Wait()
	}
}

// registration is a REGISTER of a stranger's.
func registration(name string, packed []byte, compressed string) kit.Request {
	return kit.Request{Code: 103, Body: packed, Ext: map[string]string{
		"brokerName": name, "brokerAddr": fmt.Sprintf("192.0.2.3:%d", 1000+len(name)), "clusterName": "c", "brokerId": "0", "compressed": compressed,
	}}
}

// mapped is the same with 500 mappings.
func mapped(i int) kit.Request {
	name := fmt.Sprint("mapped", i)
	reg := body.Register{Version: body.DataVersion{Counter: int64(i)}}
	for k := range 500 {
		topic := fmt.Sprintf("mapped-%d-%d", i, k)
		reg.Topics = append(reg.Topics, body.TopicConfig{Name: []byte(topic), ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6})
		reg.Mappings = append(reg.Mappings, body.TopicMapping{Topic: topic, Mapping: body.Mapping{
			Topic: body.Opt{S: topic, Valid: true}, Bname: body.Opt{S: name, Valid: true}, TotalQueues: 8, CurrIDs: []body.QueueID{{Global: 0, Local: 0}},
		}})
	}
	r := registration(name, body.AppendRegister(nil, &reg), "false")
	r.Ext["brokerAddr"] = fmt.Sprintf("192.0.2.5:%d", 1000+i)
	return r
}

func kvPut(namespace, key, value string) kit.Request {
	return kit.Request{Code: 100, Ext: map[string]string{"namespace": namespace, "key": key, "value": value}}
}

// half is a frame of size bytes of which half is there.
func half(size int) []byte {
	frame := kit.Request{Code: 318, Body: make([]byte, size)}.Frame(1)
	return frame[:len(frame)/2]
}

// fill registers three brokers with 10,000 topics each.
func fill(t *testing.T, addr string) {
	t.Helper()
	for i := range 3 {
		b := kit.NewBroker(t, fmt.Sprint("filled", i), fmt.Sprintf("192.0.2.2:%d", 1000+i))
		for k := range 10_000 {
			b.Topics = append(b.Topics, fmt.Sprintf("%s-%d-%d", strings.Repeat("x", 40), i, k))
		}
		b.Register(t, addr)
	}
}

// counted fails unless one of the metrics says that what the page tells of has happened.
func (s *stage) counted(metrics ...string) {
	s.t.Helper()
	sum := 0.0
	for _, m := range metrics {
		sum += s.Metric(m)
	}
	if sum == 0 {
		s.t.Errorf("%q: none", metrics)
	}
}

// victim is a broker that is registered at the node.
func (s *stage) victim(also ...string) *kit.Broker {
	v := kit.NewBroker(s.t, "victim", "192.0.2.99:10911", "victims")
	v.Register(s.t, append(also, s.Addr)...)
	return v
}

// imposter says what the victim would, from a stranger's address.
func imposter(t *testing.T, v *kit.Broker) *kit.Broker {
	i := kit.NewBroker(t, v.Name, v.Addr, "stolen")
	i.Dial = func(server string) (net.Conn, error) { return dial(server) }
	return i
}

// leaves is how long an UNREGISTER of v takes to count, after the victim has lived for a while.
func (s *stage) leaves(v *kit.Broker) time.Duration {
	v.Unregister(s.t, s.Addr)
	return kit.AwaitServes(s.t, kit.Patience, s.Addr, "victims", v.Addr, false)
}

// misses counts how often the victim is not served there, until it is called.
func (s *stage) misses(addr string, v *kit.Broker) func() int64 {
	var lost atomic.Int64
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			if serves, err := kit.Serves(addr, "victims", v.Addr); err != nil || !serves {
				lost.Add(1)
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return func() int64 {
		close(done)
		group.Wait()
		return lost.Load()
	}
}

func (s *stage) dialStranger() *kit.Client {
	c, err := dial(s.Addr)
	kit.Must(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	return kit.Over(s.t, c)
}

// brokers is how many names are listed.
func (s *stage) brokers() int {
	all, err := kit.Dial(s.t, s.Addr).OK(kit.ClusterInfo).Brokers(nil)
	kit.Must(s.t, err)
	return len(all)
}

// reconnects: what needs a new file is served until the attack is nearly over.
func (s *stage) reconnects() {
	b := kit.NewBroker(s.t, "returns", "192.0.2.98:10911")
	for i := range 5 {
		b.HangUp(s.Addr)
		b.Register(s.t, s.Addr)
		if err := b.Tell(s.Addr, kvPut("ns", "k", fmt.Sprint(i)), kit.Patience); err != nil {
			s.t.Error(err)
		}
	}
}

// elsewhere asks as a page of another host does, and as a proxy on this one.
func (s *stage) elsewhere(method, path string) {
	for _, host := range []string{"rebound.example", "127.0.0.1", s.HTTP} {
		req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.HTTP+path, nil)
		kit.Must(s.t, err)
		req.Host = host
		req.Header.Set("X-Forwarded-For", "127.0.0.1")
		resp, err := http.DefaultClient.Do(req)
		kit.Must(s.t, err)
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			s.t.Errorf("%s %s of host %s: %d", method, path, host, resp.StatusCode)
		}
	}
}

// named sends a header that names source, the victim's UNREGISTER, a wipe and a REGISTER of the victim.
func (s *stage) named(source string, v *kit.Broker) {
	c := s.dialStranger()
	defer c.Close()
	c.Put(fmt.Appendf(nil, "PROXY TCP4 %s 127.0.0.1 4711 9876\r\n", source))
	for _, r := range []kit.Request{{Code: 205, Ext: map[string]string{"brokerName": v.Name}}, v.Departure()} {
		if a := c.Call(r); r.Code == 205 && a.Code != int(remoting.NoPermission) {
			s.t.Errorf("as %s: code %d is answered %s", source, r.Code, a)
		}
	}
	if a := c.Call(v.Registration()); a.Code != 0 {
		s.t.Errorf("as %s: %s", source, a)
	}
	if a := c.Call(v.Departure()); a.Code != 0 && a.Code != int(remoting.NoPermission) {
		s.t.Errorf("as %s: %s", source, a)
	}
}

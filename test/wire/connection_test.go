package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestRow030IdleClose(t *testing.T) {
	s := own(t, options{properties: map[string]string{"serverChannelMaxIdleTimeSeconds": "4"}})
	old := s.dial(t)
	old.config("serverChannelMaxIdleTimeSeconds=120")
	c := s.warm(t)
	begin := time.Now()
	old.Usable()
	old.Closed() // the limit is read when a connection is set up
	if d := time.Since(begin); d < 3900*time.Millisecond {
		t.Fatalf("closed after %s", d)
	}
	c.Usable()
}

func TestRow031TrafficResetsIdle(t *testing.T) {
	s := own(t, options{properties: map[string]string{"serverChannelMaxIdleTimeSeconds": "3"}})
	c := s.dial(t)
	steadily(t, 7*time.Second, func() error {
		c.Usable()
		return nil
	})
}

const proxied = `{"code":206,"opaque":32}`

func TestRow032ProxyV1(t *testing.T) {
	s := shared(t)
	for _, line := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 9876\r\n",
		"PROXY TCP6 2001:db8::1 2001:db8::2 56324 9876\r\n",
		"PROXY UNKNOWN\r\n",
		"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
	} {
		t.Run(strings.Fields(line)[1], func(t *testing.T) {
			c := s.dial(t)
			c.Put([]byte(line), kit.JSONFrame(proxied))
			want(t, "answer", c.Next().Header, fmt.Sprintf(success, 32))
			c.Usable()
		})
	}
}

// ipv4 is the address part of a v2 header for TCP over IPv4.
func ipv4() []byte { return []byte{192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x26, 0x94} }

func TestRow033ProxyV2(t *testing.T) {
	s := shared(t)
	ipv6 := append(append([]byte{0x20, 1, 13: 0, 15: 1}, []byte{0x20, 1, 13: 0, 15: 2}...), 0xdc, 4, 0x26, 0x94)
	tlv := append(ipv4(), 0xea, 0, 9)
	tlv = append(append(tlv, "vpce-1234"...), 0x04, 0, 1, 0)
	for name, head := range map[string][]byte{
		"PROXY IPv4": kit.ProxyV2(0x21, 0x11, ipv4()...),
		"PROXY IPv6": kit.ProxyV2(0x21, 0x21, ipv6...),
		"LOCAL":      kit.ProxyV2(0x20, 0x00),
		"TLV":        kit.ProxyV2(0x21, 0x11, tlv...),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.Put(head, kit.JSONFrame(proxied))
			want(t, "answer", c.Next().Header, fmt.Sprintf(success, 32))
			c.Usable()
		})
	}
}

func TestRow034ProxyInSegments(t *testing.T) {
	s := shared(t)
	for name, parts := range map[string][][]byte{
		"v1":        {[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 56324 9876\r\n"), kit.JSONFrame(proxied)},
		"v2":        {kit.ProxyV2(0x21, 0x11, ipv4()...), kit.JSONFrame(proxied)},
		"v1 in two": {[]byte("PROXY TCP4 192.0"), []byte(".2.1 192.0.2.2 56324 9876\r\n"), kit.JSONFrame(proxied)},
		"v2 in two": {kit.ProxyV2(0x21, 0x11, ipv4()...)[:14], kit.ProxyV2(0x21, 0x11, ipv4()...)[14:], kit.JSONFrame(proxied)},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			for _, part := range parts {
				if err := c.ClosedWithin(100 * time.Millisecond); err == nil {
					t.Fatal("closed before the header was complete")
				}
				c.Put(part)
			}
			want(t, "answer", c.Next().Header, fmt.Sprintf(success, 32))
		})
	}
}

func TestRow035BadProxyCloses(t *testing.T) {
	s := shared(t)
	v1 := "PROXY TCP4 192.0.2.1 192.0.2.2 56324 9876\r\n"
	for name, raw := range map[string]string{
		"malformed v1": "PROXY TCP4 nonsense\r\n" + string(kit.JSONFrame(proxied)),
		"long v1":      "PROXY TCP4 " + strings.Repeat("1", 200),
		"bad port v1":  "PROXY TCP4 192.0.2.1 192.0.2.2 0 99999\r\n" + string(kit.JSONFrame(proxied)),
		"v2 version 3": string(kit.ProxyV2(0x31, 0x11, ipv4()...)) + string(kit.JSONFrame(proxied)),
		"second v1":    v1 + v1 + string(kit.JSONFrame(proxied)),
		"second v2":    string(bytes.Repeat(kit.ProxyV2(0x21, 0x11, ipv4()...), 2)) + string(kit.JSONFrame(proxied)),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.Put([]byte(raw))
			c.Closed()
		})
	}
}

// flood sends batches of requests on many connections at once, until one of them is refused, and returns a refusal.
// raw makes a request of an opaque number.
func flood(t *testing.T, s *server, raw func(opaque int) []byte) (*kit.Answer, error) {
	const connections, batch = 24, 50
	deadline := time.Now().Add(kit.Patience)
	refused := make(chan *kit.Answer, connections)
	var group errgroup.Group
	for range connections {
		group.Go(func() error {
			c, err := kit.TryDial(t, s.addr)
			if err != nil {
				return err
			}
			defer c.Close()
			for len(refused) == 0 && time.Now().Before(deadline) {
				var all []byte
				for i := range batch {
					all = append(all, raw(i)...)
				}
				if err := c.TryPut(all); err != nil {
					return err
				}
				for range batch {
					a, err := c.TryNext(kit.Patience)
					if err != nil {
						return err
					}
					if a.Code == 2 && len(refused) == 0 {
						refused <- a
					}
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	select {
	case a := <-refused:
		return a, nil
	default:
		return nil, fmt.Errorf("%d connections could not overload a pool of one thread with a queue of one", connections)
	}
}

const busy = `{"code":2,"flag":1,"language":"JAVA","opaque":%d,"remark":"[OVERLOAD]system busy, start flow control for a while","serializeTypeCurrentRPC":"JSON","version":513}`

func TestRow044Overload(t *testing.T) {
	s := own(t, options{properties: map[string]string{
		"clientRequestThreadPoolNums": "1", "clientRequestThreadPoolQueueCapacity": "1",
	}})
	c := s.dial(t)
	var b broker
	for range 60 { // a lookup that takes a while: its answer is made anew for the zone
		b = newBroker("r44")
		b.topics, b.zone = []topic{rw("slow"), rw("other")}, "z"
		c.register(b)
	}
	lookup := func(flag int) func(int) []byte {
		return func(i int) []byte {
			return kit.JSONFrame(fmt.Sprintf(`{"code":105,"opaque":%d,"flag":%d,"extFields":{"topic":"slow","__ZONE_MODE":"true","__ZONE_NAME":"y"}}`, i, flag))
		}
	}
	overload := func(raw func(int) []byte) *kit.Answer {
		a, err := flood(t, s, raw)
		kit.Must(t, err)
		return a
	}
	a := overload(lookup(0))
	want(t, "refusal", a.Header, fmt.Sprintf(busy, a.Opaque))
	oneway := func(i int) []byte { // among answered ones, so that the pools are as full
		return append(lookup(2)(1000+i), lookup(0)(i)...)
	}
	if a := overload(oneway); a.Opaque >= 1000 {
		t.Fatalf("a oneway request was answered: %s", a)
	}
	c.Put(bytes.Repeat(lookup(2)(1000), 1000))
	c.Usable() // and not one answer to the oneway requests
}

func TestRow045OverloadOfOnePool(t *testing.T) {
	s := own(t, options{properties: map[string]string{"defaultThreadPoolNums": "1", "defaultThreadPoolQueueCapacity": "1"}})
	reader := s.dial(t)
	b := newBroker("r45")
	reader.register(b)
	for i := range 300 { // a list that takes a while
		b.topics = append(b.topics, rw(fmt.Sprintf("%s-%d", b.name, i)))
	}
	b.dv.counter++
	reader.register(b)
	done := make(chan error)
	go func() {
		_, err := flood(t, s, func(i int) []byte { return kit.JSONFrame(fmt.Sprintf(`{"code":206,"opaque":%d}`, i)) })
		done <- err
	}()
	for flooding := true; flooding; {
		reader.route(b.t1())
		select {
		case err := <-done:
			kit.Must(t, err)
			flooding = false
		default:
		}
	}
}

func TestRow046GracefulStop(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	c.config("enableShutdownGracefully=true", "shutdownWaitTimeSeconds=10")
	s.Term()
	eventually(t, kit.Patience, func() error {
		if a := c.Call(kit.Request{Code: 206, Version: 476}); a.Code != 1500 || a.Text() != "please go away" {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
	c.Refused(kit.Request{Code: 206, Version: 513}, 1500, "please go away")
	c.OK(kit.Request{Code: 206, Version: 475})
	fresh := s.dial(t)
	fresh.OK(kit.Request{Code: 206, Version: 475})
	ns := unique("r46")
	fresh.Refused(kit.Request{Code: 100, Version: 476, Ext: map[string]string{"namespace": ns, "key": "k", "value": "v"}}, 1500, "")
	r := getKV(ns, "k")
	r.Version = 475
	fresh.Refused(r, 22, "")
	if _, err := s.Wait(kit.Patience); err != nil {
		t.Fatal(err)
	}
}

func TestRow047HandlerFailure(t *testing.T) {
	c := shared(t).dial(t)
	a := c.Refused(kit.Request{Code: 904}, 1, "")
	if a.Text() == "" || a.ExtFields != nil || len(a.Body) != 0 {
		t.Fatal(a)
	}
	c.Usable()
}

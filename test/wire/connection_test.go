package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRow030IdleClose(t *testing.T) {
	s := own(t, options{})
	old := s.dial(t)
	old.config("serverChannelMaxIdleTimeSeconds=1")
	c := s.warm(t)
	begin := time.Now()
	c.closed()
	if d := time.Since(begin); d < 900*time.Millisecond {
		t.Fatalf("closed after %s", d)
	}
	old.usable() // the limit is read when a connection is set up
}

func TestRow031TrafficResetsIdle(t *testing.T) {
	s := own(t, options{properties: map[string]string{"serverChannelMaxIdleTimeSeconds": "1"}})
	c := s.dial(t)
	steadily(t, 2500*time.Millisecond, func() error {
		c.usable()
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
			c.write([]byte(line), jsonFrame(proxied))
			want(t, "answer", c.read().header, fmt.Sprintf(success, 32))
			c.usable()
		})
	}
}

// proxyV2 is a v2 header: command 0x20 LOCAL or 0x21 PROXY, family 0x11 TCP over IPv4 and so on.
func proxyV2(command, family byte, payload ...byte) []byte {
	h := []byte{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, command, family}
	return append(append(h, byte(len(payload)>>8), byte(len(payload))), payload...)
}

// ipv4 is the address part of a v2 header for TCP over IPv4.
func ipv4() []byte { return []byte{192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x26, 0x94} }

func TestRow033ProxyV2(t *testing.T) {
	s := shared(t)
	ipv6 := append(append([]byte{0x20, 1, 13: 0, 15: 1}, []byte{0x20, 1, 13: 0, 15: 2}...), 0xdc, 4, 0x26, 0x94)
	tlv := append(ipv4(), 0xea, 0, 9)
	tlv = append(append(tlv, "vpce-1234"...), 0x04, 0, 1, 0)
	for name, head := range map[string][]byte{
		"PROXY IPv4": proxyV2(0x21, 0x11, ipv4()...),
		"PROXY IPv6": proxyV2(0x21, 0x21, ipv6...),
		"LOCAL":      proxyV2(0x20, 0x00),
		"TLV":        proxyV2(0x21, 0x11, tlv...),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.write(head, jsonFrame(proxied))
			want(t, "answer", c.read().header, fmt.Sprintf(success, 32))
			c.usable()
		})
	}
}

func TestRow034ProxyInSegments(t *testing.T) {
	s := shared(t)
	for name, parts := range map[string][][]byte{
		"v1":        {[]byte("PROXY TCP4 192.0.2.1 192.0.2.2 56324 9876\r\n"), jsonFrame(proxied)},
		"v2":        {proxyV2(0x21, 0x11, ipv4()...), jsonFrame(proxied)},
		"v1 in two": {[]byte("PROXY TCP4 192.0"), []byte(".2.1 192.0.2.2 56324 9876\r\n"), jsonFrame(proxied)},
		"v2 in two": {proxyV2(0x21, 0x11, ipv4()...)[:14], proxyV2(0x21, 0x11, ipv4()...)[14:], jsonFrame(proxied)},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			for _, part := range parts {
				if err := c.closedWithin(100 * time.Millisecond); err == nil {
					t.Fatal("closed before the header was complete")
				}
				c.write(part)
			}
			want(t, "answer", c.read().header, fmt.Sprintf(success, 32))
		})
	}
}

func TestRow035BadProxyCloses(t *testing.T) {
	s := shared(t)
	v1 := "PROXY TCP4 192.0.2.1 192.0.2.2 56324 9876\r\n"
	for name, raw := range map[string]string{
		"malformed v1": "PROXY TCP4 nonsense\r\n" + string(jsonFrame(proxied)),
		"long v1":      "PROXY TCP4 " + strings.Repeat("1", 200),
		"bad port v1":  "PROXY TCP4 192.0.2.1 192.0.2.2 0 99999\r\n" + string(jsonFrame(proxied)),
		"v2 version 3": string(proxyV2(0x31, 0x11, ipv4()...)) + string(jsonFrame(proxied)),
		"second v1":    v1 + v1 + string(jsonFrame(proxied)),
		"second v2":    string(bytes.Repeat(proxyV2(0x21, 0x11, ipv4()...), 2)) + string(jsonFrame(proxied)),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.write([]byte(raw))
			c.closed()
		})
	}
}

// overloaded sends so many requests at once that a pool of one thread with one place must refuse some. It returns
// the refused ones and the others.
func overloaded(c *client, raw func(opaque int) []byte) (refused, served []*answer) {
	const n = 2000
	var all []byte
	for i := range n {
		all = append(all, raw(i)...)
	}
	c.write(all)
	for range n {
		if a := c.read(); a.Code == 2 {
			refused = append(refused, a)
		} else {
			served = append(served, a)
		}
	}
	return refused, served
}

const systemBusy = "[OVERLOAD]system busy, start flow control for a while"

func TestRow044Overload(t *testing.T) {
	s := own(t, options{properties: map[string]string{
		"clientRequestThreadPoolNums": "1", "clientRequestThreadPoolQueueCapacity": "1",
	}})
	c := s.dial(t)
	lookup := func(flag int) func(int) []byte {
		return func(i int) []byte {
			return jsonFrame(fmt.Sprintf(`{"code":105,"opaque":%d,"flag":%d,"extFields":{"topic":"none"}}`, i, flag))
		}
	}
	refused, served := overloaded(c, lookup(0))
	if len(refused) == 0 || len(served) == 0 {
		t.Fatalf("%d refused, %d served; want some of both", len(refused), len(served))
	}
	for _, a := range refused {
		want(t, "refusal", a.header, fmt.Sprintf(
			`{"code":2,"flag":1,"language":"JAVA","opaque":%d,"remark":"%s","serializeTypeCurrentRPC":"JSON","version":513}`, a.Opaque, systemBusy))
	}
	for i := range 2000 {
		c.write(lookup(2)(i))
	}
	c.usable() // and not one answer to the oneway requests
}

func TestRow045OverloadOfOnePool(t *testing.T) {
	s := own(t, options{properties: map[string]string{"defaultThreadPoolNums": "1", "defaultThreadPoolQueueCapacity": "1"}})
	flood, reader := s.dial(t), s.dial(t)
	b := newBroker("r45")
	reader.register(b)
	done := make(chan int)
	go func() {
		refused, _ := overloaded(flood, func(i int) []byte { return jsonFrame(fmt.Sprintf(`{"code":206,"opaque":%d}`, i)) })
		done <- len(refused)
	}()
	for n := 0; ; n++ {
		reader.route(b.t1())
		select {
		case refused := <-done:
			if refused == 0 {
				t.Fatalf("no request of the default pool was refused while %d lookups were answered", n)
			}
			return
		default:
		}
	}
}

func TestRow046GracefulStop(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	c.config("enableShutdownGracefully=true", "shutdownWaitTimeSeconds=2")
	s.Term()
	eventually(t, patience, func() error {
		if a := c.call(request{code: 206, version: 476}); a.Code != 1500 || a.remark() != "please go away" {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
	c.refused(request{code: 206, version: 513}, 1500, "please go away")
	c.ok(request{code: 206, version: 475})
	fresh := s.dial(t)
	fresh.ok(request{code: 206, version: 475})
	ns := unique("r46")
	fresh.refused(request{code: 100, version: 476, ext: map[string]string{"namespace": ns, "key": "k", "value": "v"}}, 1500, "")
	r := getKV(ns, "k")
	r.version = 475
	fresh.refused(r, 22, "")
	if _, err := s.Wait(30 * time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestRow047HandlerFailure(t *testing.T) {
	c := shared(t).dial(t)
	a := c.refused(request{code: 904}, 1, "")
	if a.remark() == "" || a.ExtFields != nil || len(a.body) != 0 {
		t.Fatal(a)
	}
	c.usable()
}
